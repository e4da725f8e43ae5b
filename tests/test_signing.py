"""Signatures, compared with OpenSSL, the vectors of RFC 6979, AWS's documented numbers and the real client."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import traceback
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from lorafw.cups.codec import decode_response
from lorafw.errors import BadSignature, InvalidKey, NoMatchingKey, SignatureError
from lorafw.firmware.signing import (
    KeyPair,
    PublicKey,
    UpdateSignature,
    decode_signature,
    find_key,
    sign_update,
    verify_external_signature,
)

OpenSsl = Callable[..., bytes]

UPDATE = b"#!/bin/sh\necho 1.0.1 > version.txt\n"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

# AWS IoT Wireless developer guide, "Run the firmware update using a task definition".
DOCUMENTED_SIGNATURE = (
    "MEQCIDPY/p2ssgXIPNCOgZr+NzeTLpX+WfBo5tYWbh5pQWN3AiBROen+XlIdMScvAsfVfU/ZScJCalkVNZh4esyS8mNIgA=="
)
DOCUMENTED_SIG_KEY_CRC = 3434210794

# RFC 6979, A.2.5: ECDSA, 256 bits; the signatures with SHA-512.
RFC_SECRET = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
RFC_SIG_KEY = bytes.fromhex(
    "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6"
    "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299"
)
RFC_SIGNATURES = {
    b"sample": (
        0x8496A60B5E9B47C825488827E0495B0E3FA109EC4568FD3F8D1097678EB97F00,
        0x2362AB1ADBE2B8ADF9CB9EDAB740EA6049C028114F2460F96554F61FAE3302FE,
    ),
    b"test": (
        0x461D93F31B6540894788FD206C07CFA0CC35F46FA3C91816FFF1040AD1581A04,
        0x39AF9F15DE0DB8D97E72719C74820D304CE5226E32DEDAE67519E840D1194E55,
    ),
}

OURS = KeyPair.from_secret(RFC_SECRET)
OTHER = KeyPair.from_secret(2)


@dataclass(frozen=True)
class OpenSslSigner:
    """A Signer that is not ours: the key never leaves OpenSSL."""

    openssl: OpenSsl
    key: Path
    digest: str = "-sha512"

    @property
    def public_key(self) -> PublicKey:
        return PublicKey.from_pem(self.openssl("ec", "-in", self.key, "-pubout"))

    def sign(self, data: bytes) -> bytes:
        return self.openssl("dgst", self.digest, "-sign", self.key, stdin=data)


@dataclass(frozen=True)
class Liar:
    """Shows one key and gives whatever it likes."""

    public_key: PublicKey
    signature: bytes

    def sign(self, data: bytes) -> bytes:
        return self.signature


@pytest.fixture(scope="module")
def keys(openssl: OpenSsl, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of keys as OpenSSL makes them: NAME.pem is private, NAME.pub is public."""
    folder: Path = tmp_path_factory.mktemp("keys")
    for name, words in {
        "sec1": ["ecparam", "-name", "prime256v1", "-genkey", "-noout"],
        "with-parameters": ["ecparam", "-name", "prime256v1", "-genkey"],
        "pkcs8": ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        "p384": ["ecparam", "-name", "secp384r1", "-genkey", "-noout"],
        "k256": ["ecparam", "-name", "secp256k1", "-genkey", "-noout"],
        "rsa": ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        "ed25519": ["genpkey", "-algorithm", "ed25519"],
    }.items():
        openssl(*words, "-out", folder / f"{name}.pem")
        openssl("pkey", "-in", folder / f"{name}.pem", "-pubout", "-out", folder / f"{name}.pub")
    locked = ["-topk8", "-passout", "pass:secret", "-out", folder / "locked.pem"]
    openssl("pkcs8", "-in", folder / "sec1.pem", *locked)
    openssl("ec", "-aes128", "-passout", "pass:secret", "-in", folder / "sec1.pem", "-out", folder / "locked-sec1.pem")
    return folder


@pytest.fixture(scope="module")
def theirs(openssl: OpenSsl, keys: Path) -> OpenSslSigner:
    return OpenSslSigner(openssl, keys / "sec1.pem")


# --- both ways with OpenSSL ---


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("data", [b"\0", UPDATE, bytes(range(256)) * 400], ids=["one byte", "script", "100 kB"])
def test_openssl_verifies_what_lorafw_signs(openssl: OpenSsl, tmp_path: Path, data: bytes, deterministic: bool) -> None:
    pair = KeyPair.generate(deterministic=deterministic)
    (tmp_path / "public").write_bytes(pair.public_key.pem)
    (tmp_path / "signature").write_bytes(sign_update(pair, data).signature)
    words = ["dgst", "-sha512", "-verify", tmp_path / "public", "-signature", tmp_path / "signature"]
    assert openssl(*words, stdin=data) == b"Verified OK\n"


@pytest.mark.parametrize("data", [b"\0", UPDATE, bytes(range(256)) * 400], ids=["one byte", "script", "100 kB"])
def test_lorafw_verifies_what_openssl_signs(theirs: OpenSslSigner, data: bytes) -> None:
    signature = theirs.sign(data)
    theirs.public_key.verify(data, signature)
    theirs.public_key.verify_digest(hashlib.sha512(data).digest(), signature)
    for wrong in (data + b"\0", data[1:], data[:-1] + bytes([data[-1] ^ 1])):
        with pytest.raises(BadSignature):
            theirs.public_key.verify(wrong, signature)
        with pytest.raises(BadSignature):
            theirs.public_key.verify_digest(hashlib.sha512(wrong).digest(), signature)


@pytest.mark.parametrize("name", ["sec1", "with-parameters", "pkcs8"])
def test_a_sig_key_is_the_point_that_openssl_shows(openssl: OpenSsl, keys: Path, tmp_path: Path, name: str) -> None:
    der = openssl("ec", "-in", keys / f"{name}.pem", "-pubout", "-outform", "DER")
    assert der[-65:-64] == b"\x04"
    text = openssl("ec", "-in", keys / f"{name}.pub", "-pubin", "-noout", "-text").decode()
    shown = bytes.fromhex("".join(text.partition("pub:")[2].partition("ASN1")[0].split()).replace(":", ""))
    pair, public = KeyPair.load(keys / f"{name}.pem"), PublicKey.load(keys / f"{name}.pub")
    assert pair.public_key.sig_key == public.sig_key == der[-64:] == shown[1:]
    assert public.pem == (keys / f"{name}.pub").read_bytes()
    (tmp_path / "sig-0.key").write_bytes(der[-64:])
    assert PublicKey.load(tmp_path / "sig-0.key") == public
    assert hash(PublicKey(der[-64:])) == hash(public)
    assert public != OURS.public_key
    assert public != public.sig_key


def test_the_key_crc_is_zlib_s_over_the_sig_key() -> None:
    assert OURS.public_key.crc == zlib.crc32(RFC_SIG_KEY)
    assert repr(OURS.public_key) == f"PublicKey(crc={zlib.crc32(RFC_SIG_KEY):08X})"


def test_a_saved_key_is_one_that_openssl_reads(openssl: OpenSsl, tmp_path: Path) -> None:
    pair = KeyPair.generate()
    pair.save(tmp_path / "private.pem")
    assert openssl("pkey", "-in", tmp_path / "private.pem", "-pubout") == pair.public_key.pem
    assert KeyPair.load(tmp_path / "private.pem").public_key == pair.public_key


def test_an_encrypted_key_is_read_with_its_password(theirs: OpenSslSigner, keys: Path) -> None:
    for name in ("locked", "locked-sec1"):
        assert KeyPair.load(keys / f"{name}.pem", password=b"secret").public_key == theirs.public_key


# --- numbers of others ---


@pytest.mark.parametrize("data", RFC_SIGNATURES)
def test_a_deterministic_signature_is_that_of_rfc_6979(data: bytes) -> None:
    pair = KeyPair.from_secret(RFC_SECRET)
    assert pair.public_key.sig_key == RFC_SIG_KEY
    signature = pair.sign(data)
    assert decode_dss_signature(signature) == RFC_SIGNATURES[data]
    assert signature[:1] == b"\x30"
    assert pair.sign(data) == signature == KeyPair.from_pem(pair.pem, deterministic=True).sign(data)


def test_a_signature_is_random_unless_asked_otherwise() -> None:
    for pair in (KeyPair.generate(), KeyPair.from_secret(7, deterministic=False), KeyPair.from_pem(OURS.pem)):
        assert pair.sign(UPDATE) != pair.sign(UPDATE)


def test_the_documented_signature_and_crc_are_read() -> None:
    signature = decode_signature(DOCUMENTED_SIGNATURE)
    assert len(signature) == 70
    r, s = decode_dss_signature(signature)
    assert 0 < r < ORDER
    assert 0 < s < ORDER
    assert DOCUMENTED_SIG_KEY_CRC == 0xCCB1E5EA
    assert UpdateSignature(signature, DOCUMENTED_SIG_KEY_CRC).base64 == DOCUMENTED_SIGNATURE


def test_the_key_crc_is_what_the_station_sent_and_logged(requests_by_name: Any, responses_by_name: Any) -> None:
    key = PublicKey(responses_by_name["signed"].station_keys[0])
    assert requests_by_name["keys0"].json["keys"] == []
    assert requests_by_name["eui_02"].json["keys"] == [key.crc] == [0x8D7E2138]


def test_recorded_signatures_verify_exactly_where_the_station_verified_them(recorded_response: Any) -> None:
    results: list[list[object]] = []
    value = None if recorded_response.failed else decode_response(recorded_response.body)
    if value and value.update and value.signature:
        for index, sig_key in enumerate(recorded_response.station_keys):
            try:
                PublicKey(sig_key).verify(value.update, value.signature)
            except BadSignature:
                results.append([index, "NOT verified"])
            else:
                results.append([index, "VERIFIED"])
                break  # the station stops at the first
    assert results == recorded_response.verdict["key_results"]


def test_the_recordings_hold_both_verdicts(responses_by_name: Any) -> None:
    found = {result for case in responses_by_name.values() for _, result in case.verdict["key_results"]}
    assert found == {"VERIFIED", "NOT verified"}


# --- what is no signature ---


def test_only_der_over_sha_512_verifies(theirs: OpenSslSigner) -> None:
    good = theirs.sign(UPDATE)
    r, s = decode_dss_signature(good)
    for wrong in (
        b"",
        good[:-1],
        good + b"\0",
        r.to_bytes(32, "big") + s.to_bytes(32, "big"),
        encode_dss_signature(s, r),
        encode_dss_signature(r, s + ORDER),
        encode_dss_signature(0, s),
        encode_dss_signature(r, 0),
        OpenSslSigner(theirs.openssl, theirs.key, "-sha256").sign(UPDATE),
        OpenSslSigner(theirs.openssl, theirs.key, "-sha384").sign(UPDATE),
    ):
        with pytest.raises(BadSignature) as caught:
            theirs.public_key.verify(UPDATE, wrong)
        assert caught.value.key_crc == theirs.public_key.crc
        assert f"{theirs.public_key.crc:08X}" in str(caught.value)
        with pytest.raises(BadSignature):
            theirs.public_key.verify_digest(hashlib.sha512(UPDATE).digest(), wrong)


@given(st.binary(max_size=140))
def test_any_bytes_are_a_bad_signature(signature: bytes) -> None:
    with pytest.raises(BadSignature):
        OURS.public_key.verify(UPDATE, signature)


def test_the_signature_covers_the_update_and_nothing_else() -> None:
    signed = sign_update(OURS, UPDATE)
    length = len(UPDATE).to_bytes(4, "little")
    for other in (length + UPDATE, signed.key_crc.to_bytes(4, "little") + UPDATE, UPDATE + b"\n"):
        with pytest.raises(BadSignature):
            OURS.public_key.verify(other, signed.signature)


# --- keys that cannot be used ---


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("p384", "not an ECDSA key on P-256 but one on secp384r1"),
        ("k256", "not an ECDSA key on P-256 but one on secp256k1"),
        ("rsa", "not an ECDSA key on P-256 but RSA"),
        ("ed25519", "not an ECDSA key on P-256 but Ed25519"),
    ],
)
def test_a_key_of_another_kind_is_refused_by_name(keys: Path, name: str, words: str) -> None:
    for load, path in ((KeyPair.load, keys / f"{name}.pem"), (PublicKey.load, keys / f"{name}.pub")):
        with pytest.raises(InvalidKey) as caught:
            load(path)
        assert str(caught.value).startswith(f"{path}: {words}")


@pytest.mark.parametrize(
    ("name", "password", "words"),
    [
        ("locked", None, "key is encrypted"),
        ("locked-sec1", None, "key is encrypted"),
        ("locked", b"", "key is encrypted"),
        ("locked", b"wrong", "is the password right"),
        ("sec1", b"secret", "key is not encrypted"),
    ],
)
def test_a_wrong_password_is_reported_clearly(keys: Path, name: str, password: bytes | None, words: str) -> None:
    with pytest.raises(InvalidKey, match=words) as caught:
        KeyPair.load(keys / f"{name}.pem", password=password)
    assert str(keys) in str(caught.value)


def test_every_wrong_password_is_reported_as_one(keys: Path) -> None:
    """Some of them decrypt to bytes that OpenSSL refuses as a key, and not as a wrong password."""
    for number in range(600):
        with pytest.raises(InvalidKey, match="is the password right"):
            KeyPair.load(keys / "locked.pem", password=b"wrong %d" % number)


def test_a_private_key_is_not_taken_for_a_public_one_nor_the_other_way(keys: Path) -> None:
    with pytest.raises(InvalidKey, match="not a public key in PEM"):
        PublicKey.load(keys / "sec1.pem")
    with pytest.raises(InvalidKey, match="not a private key in PEM"):
        KeyPair.load(keys / "sec1.pub")


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"garbage",
        b"\xff" * 200,
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN \xff",
    ],
)
def test_garbage_is_an_invalid_key(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / "key").write_bytes(garbage)
    for load in (KeyPair.load, PublicKey.load):
        with pytest.raises(InvalidKey) as caught:
            load(tmp_path / "key")
        assert str(caught.value).startswith(f"{tmp_path / 'key'}: ")
    for read in (KeyPair.from_pem, PublicKey.from_pem, PublicKey):
        with pytest.raises(InvalidKey):
            read(garbage)


@given(st.binary(max_size=300).map(lambda body: b"-----BEGIN PUBLIC KEY-----\n" + body))
def test_any_bytes_are_an_invalid_key(garbage: bytes) -> None:
    for read in (KeyPair.from_pem, PublicKey.from_pem, PublicKey):
        with pytest.raises(InvalidKey):
            read(garbage)


@pytest.mark.parametrize("size", [0, 63, 65, 128])
def test_a_sig_key_has_64_bytes(size: int) -> None:
    with pytest.raises(InvalidKey, match=f"64 bytes .* this has {size}$"):
        PublicKey(bytes(size))


def test_a_sig_key_with_prefix_or_line_end_is_refused() -> None:
    for wrong in (b"\x04" + RFC_SIG_KEY, RFC_SIG_KEY + b"\n", RFC_SIG_KEY.hex().encode()):
        with pytest.raises(InvalidKey, match="no 04 prefix, no newline"):
            PublicKey(wrong)


def test_a_sig_key_is_a_point_on_the_curve() -> None:
    little = RFC_SIG_KEY[31::-1] + RFC_SIG_KEY[:31:-1]
    swapped = RFC_SIG_KEY[32:] + RFC_SIG_KEY[:32]
    for wrong in (bytes(64), b"\xff" * 64, little, swapped, RFC_SIG_KEY[:-1] + b"\0"):
        assert len(wrong) == 64
        with pytest.raises(InvalidKey, match="not a point on the curve P-256"):
            PublicKey(wrong)


@pytest.mark.parametrize("secret", [0, -1, ORDER, 2**256])
def test_a_secret_out_of_range_is_an_invalid_key(secret: int) -> None:
    with pytest.raises(InvalidKey, match="from 1 to the order of the curve"):
        KeyPair.from_secret(secret)


# --- secrets stay secret ---


def test_a_private_key_file_is_for_its_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    for mask in (0, 0o022, 0o077):
        before = os.umask(mask)
        try:
            KeyPair.generate().save(tmp_path / f"{mask}.pem")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / f"{mask}.pem").stat().st_mode) == 0o600


def test_saving_never_overwrites_a_key(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    OURS.save(path)
    with pytest.raises(FileExistsError):
        OTHER.save(path)
    assert path.read_bytes() == OURS.pem
    link = tmp_path / "link.pem"
    link.symlink_to(tmp_path / "nowhere.pem")
    with pytest.raises(FileExistsError):
        OTHER.save(link)
    assert not (tmp_path / "nowhere.pem").exists()


def test_a_private_key_is_never_shown(keys: Path, tmp_path: Path) -> None:
    shown = [repr(OURS), str(OURS), f"{OURS}", repr(OURS.public_key), repr(sign_update(OURS, UPDATE))]
    pems = [OURS.pem]
    broken = tmp_path / "broken.pem"
    broken.write_bytes(OURS.pem.replace(b"-----END", b"!\n-----END"))
    for load, path in (
        (PublicKey.load, keys / "sec1.pem"),
        (KeyPair.load, keys / "p384.pem"),
        (KeyPair.load, keys / "rsa.pem"),
        (KeyPair.load, keys / "locked.pem"),
        (KeyPair.load, broken),
    ):
        pems.append(path.read_bytes())
        with pytest.raises(InvalidKey) as caught:
            load(path)
        shown += traceback.format_exception(caught.value)
    with pytest.raises(BadSignature) as lied:
        sign_update(Liar(OURS.public_key, OTHER.sign(UPDATE)), UPDATE)
    shown += traceback.format_exception(lied.value)
    text = "".join(shown)
    lines = [line.decode() for pem in pems for line in pem.split() if len(line) > 20]
    assert lines
    assert not [line for line in lines if line[:40] in text]
    assert f"{RFC_SECRET:x}" not in text.lower()
    assert str(RFC_SECRET) not in text


# --- signing and checking an update ---


def test_an_update_is_signed_by_a_signer_that_is_not_ours(theirs: OpenSslSigner) -> None:
    signed = sign_update(theirs, UPDATE)
    theirs.public_key.verify(UPDATE, signed.signature)
    assert signed.key_crc == theirs.public_key.crc
    assert base64.b64decode(signed.base64, validate=True) == signed.signature


def test_a_signer_that_lies_is_found(theirs: OpenSslSigner) -> None:
    r, s = decode_dss_signature(OURS.sign(UPDATE))
    for signature in (
        OURS.sign(UPDATE + b"\n"),
        OTHER.sign(UPDATE),
        OURS.sign(hashlib.sha512(UPDATE).digest()),
        r.to_bytes(32, "big") + s.to_bytes(32, "big"),
    ):
        with pytest.raises(BadSignature):
            sign_update(Liar(OURS.public_key, signature), UPDATE)
    with pytest.raises(BadSignature):
        sign_update(OpenSslSigner(theirs.openssl, theirs.key, "-sha256"), UPDATE)
    for signature in (b"", bytes(3), bytes(129)):
        with pytest.raises(SignatureError, match=f"the signature has {len(signature)} bytes; a station takes 4 to 128"):
            sign_update(Liar(OURS.public_key, signature), UPDATE)


def test_an_empty_update_is_not_signed() -> None:
    with pytest.raises(SignatureError, match="nothing to sign"):
        sign_update(OURS, b"")


def test_a_given_signature_is_taken_once_its_key_verifies_it(theirs: OpenSslSigner) -> None:
    signature = theirs.sign(UPDATE)
    assert verify_external_signature(UPDATE, signature, theirs.public_key) == UpdateSignature(
        signature, theirs.public_key.crc
    )
    with pytest.raises(BadSignature) as caught:
        verify_external_signature(UPDATE, signature, OURS.public_key)
    assert caught.value.key_crc == OURS.public_key.crc
    with pytest.raises(BadSignature):
        verify_external_signature(UPDATE + b"\n", signature, theirs.public_key)
    with pytest.raises(SignatureError, match="129 bytes"):
        verify_external_signature(UPDATE, bytes(129), theirs.public_key)


def test_all_keys_are_tried_and_the_first_that_verifies_is_named() -> None:
    old, new, unknown = (KeyPair.from_secret(secret) for secret in (11, 12, 13))
    rotation = [old.public_key, new.public_key, new.public_key]
    assert find_key(UPDATE, old.sign(UPDATE), rotation) == 0
    assert find_key(UPDATE, new.sign(UPDATE), rotation) == 1
    # The CRC that came with it is a label only.
    assert find_key(UPDATE, new.sign(UPDATE), rotation, offered_crc=old.public_key.crc) == 1
    known = tuple(key.crc for key in rotation)
    with pytest.raises(NoMatchingKey) as caught:
        find_key(UPDATE, unknown.sign(UPDATE), rotation, offered_crc=0xAB)
    assert (caught.value.offered, caught.value.known) == (0xAB, known)
    assert "with key CRC 000000AB" in str(caught.value)
    assert all(f"{crc:08X}" in str(caught.value) for crc in known)
    with pytest.raises(NoMatchingKey, match="without a key CRC; keys tried: none") as alone:
        find_key(UPDATE, old.sign(UPDATE), [])
    assert (alone.value.offered, alone.value.known) == (None, ())


# --- signatures as text ---


def test_base64_is_read_in_one_line_or_wrapped(openssl: OpenSsl) -> None:
    signature = OURS.sign(UPDATE)
    wrapped = openssl("base64", stdin=signature).decode()
    assert wrapped.count("\n") == 2
    for text in (base64.b64encode(signature).decode(), wrapped, wrapped.replace("\n", "\r\n"), f"\n  {wrapped}\t"):
        assert decode_signature(text) == signature


@pytest.mark.parametrize(
    "text",
    ["MEQ", "M", "====", "MEQCIDPY$", "MEQC-_==", "SGk=SGk=", "-----BEGIN", "ＭEQC", "é", "\ud800", "\0"],
)
def test_what_is_not_base64_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(SignatureError, match=r"not base64 .*give the output of 'base64' over the DER signature"):
        decode_signature(text)


@pytest.mark.parametrize("size", [0, 3, 129, 10_000])
def test_a_decoded_signature_has_a_size_that_a_station_takes(size: int) -> None:
    with pytest.raises(SignatureError, match=f"the signature has {size} bytes"):
        decode_signature(base64.b64encode(bytes(size)).decode())


@given(st.text(max_size=200))
def test_any_text_is_a_signature_or_a_signature_error(text: str) -> None:
    try:
        signature = decode_signature(text)
    except SignatureError:
        return
    assert 4 <= len(signature) <= 128
