"""Recovered keys, compared with OpenSSL: a key that verifies a signature does not prove who has signed."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafw.cups.codec import decode_response
from lorafw.errors import SignatureError
from lorafw.firmware.recovery import recover_key_crcs, recover_public_keys
from lorafw.firmware.signing import KeyPair, PublicKey

OpenSsl = Callable[..., bytes]

# AWS IoT Wireless developer guide, "Run the firmware update using a task definition".
DOCUMENTED = base64.b64decode(
    "MEQCIDPY/p2ssgXIPNCOgZr+NzeTLpX+WfBo5tYWbh5pQWN3AiBROen+XlIdMScvAsfVfU/ZScJCalkVNZh4esyS8mNIgA=="
)
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
"""What stands before X and Y in a public key in DER."""


@pytest.mark.parametrize("data", [b"\0", b"#!/bin/sh\n", bytes(100_000)], ids=["one byte", "script", "100 kB"])
def test_openssl_verifies_the_documented_signature_with_recovered_keys(
    openssl: OpenSsl, tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "signature").write_bytes(DOCUMENTED)
    found = recover_public_keys(data, DOCUMENTED)
    assert len(set(found)) == 2
    for key in found:
        (tmp_path / "key.der").write_bytes(SPKI + key.sig_key)
        (tmp_path / "key.pem").write_bytes(openssl("pkey", "-pubin", "-inform", "DER", "-in", tmp_path / "key.der"))
        words = ["dgst", "-sha512", "-verify", tmp_path / "key.pem", "-signature", tmp_path / "signature"]
        assert openssl(*words, stdin=data) == b"Verified OK\n"


def test_the_key_that_openssl_signed_with_is_among_the_recovered(openssl: OpenSsl, tmp_path: Path) -> None:
    for data in (b"one", b"two", b"three"):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", tmp_path / "key.pem")
        sig_key = openssl("ec", "-in", tmp_path / "key.pem", "-pubout", "-outform", "DER")[-64:]
        signature = openssl("dgst", "-sha512", "-sign", tmp_path / "key.pem", stdin=data)
        assert PublicKey(sig_key) in recover_public_keys(data, signature)


def test_the_key_of_a_station_is_recovered_from_what_it_verified(responses_by_name: Any) -> None:
    for name in ("signed", "signed_big", "high_s_twin"):
        case = responses_by_name[name]
        reply = decode_response(case.body)
        assert PublicKey(case.station_keys[0]) in recover_public_keys(reply.update, reply.signature)


def test_another_file_gives_other_keys() -> None:
    assert not set(recover_public_keys(b"one", DOCUMENTED)) & set(recover_public_keys(b"two", DOCUMENTED))


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=200), st.integers(1, ORDER - 1), st.booleans())
def test_every_recovered_key_verifies_any_file(data: bytes, secret: int, own: bool) -> None:
    pair = KeyPair.from_secret(secret)
    signature = pair.sign(data) if own else DOCUMENTED
    found = recover_public_keys(data, signature)
    for key in found:
        key.verify(data, signature)
    assert found
    assert own == (pair.public_key in found)


R, S = decode_dss_signature(DOCUMENTED)


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        (b"", "not in DER"),
        (bytes(70), "not in DER"),
        (R.to_bytes(32, "big") + S.to_bytes(32, "big"), "not in DER"),
        (DOCUMENTED[:-1], "not in DER"),
        (DOCUMENTED + b"\0", "not in DER"),
        (b"\x30\x06\x02\x01\xff\x02\x01\x01", "not in DER"),
        (encode_dss_signature(0, S), "no public key verifies this signature"),
        (encode_dss_signature(1, S), "no public key verifies this signature"),
        (encode_dss_signature(R, 0), "no public key verifies this signature"),
        (encode_dss_signature(R, ORDER), "no public key verifies this signature"),
        (encode_dss_signature(R, S + ORDER), "no public key verifies this signature"),
        (encode_dss_signature(R + ORDER, S), "no public key verifies this signature"),
        (encode_dss_signature(2**100_000, S), "no public key verifies this signature"),
    ],
    ids=[
        "nothing",
        "zeros",
        "raw r and s",
        "cut short",
        "padded",
        "negative r",
        "r is 0",
        "no point at r",
        "s is 0",
        "s is the order",
        "s is beyond the order",
        "r is beyond the order",
        "r is huge",
    ],
)
def test_what_is_no_signature_has_no_key(signature: bytes, words: str) -> None:
    with pytest.raises(SignatureError, match=words):
        recover_public_keys(b"file", signature)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=80) | st.builds(encode_dss_signature, *2 * [st.integers(0, 2**256)]))
def test_any_bytes_have_keys_that_verify_or_none(signature: bytes) -> None:
    try:
        found = recover_public_keys(b"file", signature)
    except SignatureError:
        return
    for key in found:
        key.verify(b"file", signature)


def test_the_signers_of_a_file_read_in_pieces_are_those_of_the_whole(openssl: OpenSsl, tmp_path: Path) -> None:
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", tmp_path / "key.pem")
    sig_key = openssl("ec", "-in", tmp_path / "key.pem", "-pubout", "-outform", "DER")[-64:]
    signature = openssl("dgst", "-sha512", "-sign", tmp_path / "key.pem", stdin=b"an update")
    assert PublicKey(sig_key).crc in recover_key_crcs([b"an ", memoryview(b"update")], signature)
    assert PublicKey(sig_key).crc not in recover_key_crcs([b"another"], signature)
    assert recover_key_crcs([b"an update"], b"no DER") == frozenset()
