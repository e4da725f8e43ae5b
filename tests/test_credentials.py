"""Credentials, compared with files made by OpenSSL, and with CRCs and log lines of the real client."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafw.cups.codec import decode_request
from lorafw.cups.credentials import Credentials, parse_credentials
from lorafw.cups.messages import NO_CREDENTIALS_CRC
from lorafw.cups.parser import ResponseDecoder, Segment, SegmentData
from lorafw.errors import CupsError, MalformedResponse

OpenSsl = Callable[..., bytes]

TOKEN = b"Authorization: Bearer abc.DEF-123\r\n"
NONE = bytes(4)
SHORT = b"\x30\x03\x02\x01\x05"
"""The smallest of all "certificates": a sequence with one number in it."""


@pytest.fixture(scope="module")
def made(openssl: OpenSsl, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Certificates and keys in DER, and one certificate in PEM, as OpenSSL makes them."""
    folder: Path = tmp_path_factory.mktemp("openssl")
    for name, algorithm in (
        ("ec", ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        ("rsa", ["-newkey", "rsa:2048"]),
    ):
        files = ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"]
        openssl("req", "-x509", "-nodes", *algorithm, "-subj", f"/CN={name}.example.org", "-days", "2", *files)
    return {
        "EC certificate": openssl("x509", "-in", folder / "ec.pem", "-outform", "DER"),
        "RSA certificate": openssl("x509", "-in", folder / "rsa.pem", "-outform", "DER"),
        "PEM certificate": (folder / "ec.pem").read_bytes(),
        "EC SEC1": openssl("ec", "-in", folder / "ec.key", "-outform", "DER"),
        "EC PKCS#8": openssl("pkcs8", "-topk8", "-nocrypt", "-in", folder / "ec.key", "-outform", "DER"),
        "RSA PKCS#1": openssl("rsa", "-traditional", "-in", folder / "rsa.key", "-outform", "DER"),
    }


def test_the_crc_of_no_credentials_is_what_a_station_sends(requests_by_name: Any) -> None:
    sent = requests_by_name["keys0"].json["cupsCredCrc"]
    assert Credentials().crc == sent == NO_CREDENTIALS_CRC == 2077607535


def test_the_crc_of_a_token_is_what_a_station_sent(requests_by_name: Any) -> None:
    """This station had the token as cups.key and no other credentials; the file ended with CR LF."""
    assert decode_request(requests_by_name["plain_tok"].body).cups_cred_crc == 2963165233
    assert Credentials(key=TOKEN).crc == 2963165233


@pytest.mark.parametrize("key", ["EC SEC1", "RSA PKCS#1"])
@pytest.mark.parametrize("certificate", ["EC certificate", "RSA certificate"])
def test_real_certificates_and_keys_are_taken_apart(made: dict[str, bytes], certificate: str, key: str) -> None:
    trust, cert, private = made["RSA certificate"], made[certificate], made[key]
    assert parse_credentials(trust + cert + private) == Credentials(trust, cert, private)
    assert Credentials(trust, cert, private).to_segment() == trust + cert + private


@pytest.mark.parametrize("trust", ["EC certificate", "RSA certificate"])
def test_absent_parts_are_four_zero_bytes(made: dict[str, bytes], trust: str) -> None:
    assert parse_credentials(made[trust] + NONE + NONE) == Credentials(made[trust])
    assert parse_credentials(made[trust] + NONE + TOKEN) == Credentials(made[trust], key=TOKEN)
    assert parse_credentials(made[trust] + NONE + made["EC SEC1"]) == Credentials(made[trust], key=made["EC SEC1"])
    assert Credentials(made[trust], key=TOKEN).to_segment() == made[trust] + NONE + TOKEN


def test_a_segment_may_end_before_the_key(made: dict[str, bytes]) -> None:
    # sys.c puts a zero byte behind the segment, and that says "no key".
    trust = made["EC certificate"]
    assert parse_credentials(trust + trust) == Credentials(trust, trust)
    assert parse_credentials(trust + NONE) == Credentials(trust)


def test_the_station_reports_the_crc_of_the_segment_that_it_was_given(made: dict[str, bytes]) -> None:
    for credentials in (
        Credentials(made["EC certificate"]),
        Credentials(made["EC certificate"], key=TOKEN),
        Credentials(made["EC certificate"], made["RSA certificate"], made["RSA PKCS#1"]),
    ):
        segment = credentials.to_segment()
        assert parse_credentials(segment).crc == credentials.crc == zlib.crc32(segment)


def test_bytes_behind_the_key_are_dropped_so_the_crc_is_another(made: dict[str, bytes]) -> None:
    credentials = Credentials(made["EC certificate"], made["EC certificate"], made["EC SEC1"])
    segment = credentials.to_segment() + b"\n"
    assert parse_credentials(segment) == credentials
    assert parse_credentials(segment).crc != zlib.crc32(segment)


def test_an_ec_key_in_pkcs8_is_refused(made: dict[str, bytes]) -> None:
    trust, key = made["EC certificate"], made["EC PKCS#8"]
    assert key[:2] == b"\x30\x81"
    segment = trust + trust + key
    # sys.c: 0x81 is read as if it were 0x82.
    parsed = 2 * len(trust) + 4 + int.from_bytes(key[2:4], "big")
    words = f"Lengths do not align segment_len={len(segment)} parsed_len={parsed}. Ignoring."
    with pytest.raises(MalformedResponse, match=re.escape(words)):
        parse_credentials(segment)
    with pytest.raises(ValueError, match="an EC key as SEC1, not PKCS#8"):
        Credentials(trust, trust, key).to_segment()


def test_credentials_that_no_station_can_take_are_not_made_into_a_segment(made: dict[str, bytes]) -> None:
    trust = made["EC certificate"]
    for wrong in (
        Credentials(),
        Credentials(key=TOKEN),
        Credentials(made["PEM certificate"]),
        Credentials(trust, made["PEM certificate"], made["EC SEC1"]),
        Credentials(trust + trust, key=TOKEN),
        Credentials(trust, key=made["EC SEC1"] + b"\n"),
        Credentials(trust[:-1], key=TOKEN),
    ):
        with pytest.raises(ValueError, match="a station could not take these credentials apart"):
            wrong.to_segment()


@pytest.mark.parametrize(
    ("segment", "words"),
    [
        (b"", "ASN.1 SEQ expected for trust (0x00)"),
        (b"-----BEGIN CERTIFICATE-----", "ASN.1 SEQ expected for trust (0x2d)"),
        (SHORT + b"-----BEGIN", "ASN.1 SEQ expected for cert (0x2d)"),
        (SHORT + TOKEN, "ASN.1 SEQ expected for cert (0x41)"),
        (SHORT, "expecting more data (key_offset=9, total_len=5)"),
        (SHORT + NONE[:3], "expecting more data (key_offset=9, total_len=8)"),
        (b"\x30\x82\x01\x00", "expecting more data (key_offset=264, total_len=4)"),
        (SHORT + b"\x30\x10", "expecting more data (key_offset=23, total_len=7)"),
        (SHORT + SHORT + b"\x30\x10", "Lengths do not align segment_len=12 parsed_len=28. Ignoring."),
        (SHORT + NONE + b"\x30\x82\xff\xff", "Lengths do not align segment_len=13 parsed_len=65544. Ignoring."),
    ],
)
def test_a_segment_that_cannot_be_parsed_is_refused_in_the_words_of_the_log(segment: bytes, words: str) -> None:
    with pytest.raises(MalformedResponse) as caught:
        parse_credentials(segment)
    assert str(caught.value) == words


def test_every_recorded_credential_segment_is_refused_as_the_station_refused_it(recorded_response: Any) -> None:
    """No recorded reply brought good credentials; some of the damaged ones had bytes in their place."""
    held: dict[Segment, bytes] = {}
    for event in ResponseDecoder(len(recorded_response.body)).feed(recorded_response.body):
        if isinstance(event, SegmentData):
            held[event.segment] = held.get(event.segment, b"") + event.data
    said = [line for line in recorded_response.verdict["log"] if line.startswith("[SYS:ERRO] Failed to parse")]
    completed = [line for line in recorded_response.verdict["log"] if "Credentials update completed" in line]
    assert len(said) == len(completed)
    for line in said:
        category, words = re.fullmatch(r"\[SYS:ERRO\] Failed to parse (cups|tc) credentials: (.*)", line).groups()
        with pytest.raises(MalformedResponse) as caught:
            parse_credentials(held[Segment.CUPS_CRED if category == "cups" else Segment.TC_CRED])
        assert str(caught.value) == words


@given(
    st.binary(max_size=60) | st.lists(st.sampled_from([SHORT, NONE, b"\x30", b"\x82", b"\x81", TOKEN])).map(b"".join)
)
def test_any_bytes_are_credentials_or_a_cups_error(segment: bytes) -> None:
    try:
        credentials = parse_credentials(segment)
    except CupsError:
        return
    assert segment.startswith(credentials.trust)
    assert len(credentials.trust + credentials.certificate + credentials.key) <= len(segment)
    assert credentials.key in segment
