"""TLS files are read as mbed TLS 2.28.0 reads them, compared with files that OpenSSL makes."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import example, given
from hypothesis import strategies as st

from lorafw.cups.credentials import Credentials
from lorafw.gateway.client_tls import UnmatchedKey, auth_header_lines, client_context
from lorafw.station.certificate_log import certificate_info
from lorafw.station.http import TransportError
from lorafw.station.tls_files import CERTIFICATE_TYPE, TlsFileError, read_certificates, read_private_key

OpenSsl = Callable[..., bytes]
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
KEY = ec.generate_private_key(ec.SECP256R1())
NOT_A_CERTIFICATE = "X509 - The CRT/CRL/CSR format is invalid, e.g. different type expected"


@pytest.fixture
def made(openssl: OpenSsl, tmp_path: Path) -> Callable[..., tuple[bytes, bytes]]:
    def make(algorithm: str = "ec", form: str = "PEM") -> tuple[bytes, bytes]:
        options = ["-pkeyopt", "ec_paramgen_curve:prime256v1"] if algorithm == "ec" else []
        key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
        openssl("req", "-x509", "-newkey", algorithm, *options, "-nodes", "-subj", "/CN=x", "-keyout", key,
                "-out", certificate)  # fmt: skip
        if form == "DER":
            return openssl("x509", "-in", certificate, "-outform", "DER"), openssl(
                "pkey", "-in", key, "-outform", "DER"
            )
        return certificate.read_bytes(), key.read_bytes()

    return make


def lines(credentials: Credentials) -> list[str]:
    with pytest.raises(TransportError) as caught:
        client_context(credentials)
    return [str(line) for line in caught.value.lines]


def test_swapped_key_and_certificate_are_refused_for_the_key_which_is_read_first(made: Callable) -> None:
    certificate, key = made()
    assert lines(Credentials(certificate, key, certificate)) == [
        "[any:ERRO] Parsing key: PK - Invalid key tag or value",
        "[AIO:ERRO] cups key/cert rejected by MBedTLS",
    ]


def test_an_ed25519_root_is_refused_and_makes_the_whole_file_useless(made: Callable) -> None:
    good, _ = made()
    bad, key = made("ed25519")
    assert lines(Credentials(bad)) == [
        "[any:ERRO] Parsing trust certificate: X509 - Signature algorithm (oid) is unsupported : "
        "OID - OID is not found",
        "[AIO:ERRO] cups trust certificates rejected by MBedTLS",
    ]
    assert lines(Credentials(good + bad))[0] == "[any:ERRO] Parsing trust certificate: ERROR - Generic error"
    assert lines(Credentials(good + bad + bad))[0].endswith(
        "BIGNUM - An error occurred while reading from or writing to a file"
    )
    assert "only RSA and EC are supported" in lines(Credentials(good, good, key))[0]


@pytest.mark.parametrize("form", [["-traditional"], []])
def test_an_encrypted_key_is_refused_without_a_prompt_for_its_password(
    made: Callable, openssl: OpenSsl, tmp_path: Path, form: list[str]
) -> None:
    certificate, _ = made("rsa:2048")
    encrypted = openssl("pkey", "-in", tmp_path / "key.pem", "-aes128", "-passout", "pass:secret", *form)
    assert lines(Credentials(certificate, certificate, encrypted))[0] == (
        "[any:ERRO] Parsing key: PK - Private key password can't be empty"
    )


def test_two_certificates_without_a_line_end_between_are_two(made: Callable) -> None:
    certificate, key = made()
    both = certificate.rstrip(b"\n") + certificate
    assert len(read_certificates(both)) == 2
    client_context(Credentials(both, both, key))


def test_der_may_be_followed_by_a_line_end_or_anything_else(made: Callable) -> None:
    certificate, key = made(form="DER")
    for end in (b"", b"\n", b"\r\n", b"garbage"):
        client_context(Credentials(certificate + end, certificate + end, key + end))


def test_text_before_pem_is_refused_in_certificates_and_accepted_in_a_key(made: Callable) -> None:
    certificate, key = made()
    client_context(Credentials(certificate + b"text behind", certificate, b"text before\n" + key + b"text behind"))
    assert lines(Credentials(b"text before\n" + certificate))[0].endswith(NOT_A_CERTIFICATE)
    assert read_certificates(b"text before\n" + certificate + b"\0"), "a zero byte at the end makes it text"
    assert lines(Credentials(b"\xef\xbb\xbf" + certificate))[0].endswith(NOT_A_CERTIFICATE)


def test_line_ends_of_windows_are_accepted(made: Callable) -> None:
    certificate, key = (content.replace(b"\n", b"\r\n") for content in made())
    client_context(Credentials(certificate, certificate, key))


def test_a_broken_certificate_among_good_ones_is_refused(made: Callable) -> None:
    certificate, _ = made()
    broken = certificate.replace(b"MII", b"!II", 1)
    assert read_certificates(certificate)
    for content in (certificate + broken, broken + certificate, broken):
        with pytest.raises(TlsFileError):
            read_certificates(content)


def test_a_key_of_another_certificate_is_no_fault_of_a_file(made: Callable) -> None:
    certificate, _ = made()
    _, other_key = made()
    rsa_certificate, rsa_key = made("rsa:2048")
    for unmatched in ((certificate, other_key), (certificate, rsa_key), (rsa_certificate, other_key)):
        with pytest.raises(UnmatchedKey):
            client_context(Credentials(certificate, *unmatched))


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux has files in memory")
def test_a_key_is_never_written_to_a_folder(made: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = made()
    monkeypatch.setattr("tempfile.mkstemp", lambda **_: pytest.fail("the key would be in a file"))
    client_context(Credentials(certificate, certificate, key))


@pytest.mark.parametrize(
    ("text", "sent"),
    [(b"\n\r\n", b""), (b"A: b\0rest", b"A: b\r\n"), (b"A: b\nC: d", b"A: b\r\nC: d\r\n"), (b"\0", b"")],
)
def test_a_token_is_a_c_string_and_may_be_empty(text: bytes, sent: bytes) -> None:
    assert auth_header_lines(Credentials(b"trust", b"", text)) == sent


def signed(
    *extensions: tuple[x509.ExtensionType, bool], name: x509.Name = NAME, key: ec.EllipticCurvePrivateKey = KEY
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(0x55)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2040, 1, 1, tzinfo=UTC))
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, critical=is_critical)
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


def name_of(kind: _ASN1Type) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "12345", _type=kind)])


def policies(*numbers: str) -> x509.CertificatePolicies:
    return x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(each), None) for each in numbers])


ANY_POLICY = "2.5.29.32.0"
BAD_TEXT = "X509 - The name tag or value is invalid : ASN1 - ASN1 tag was of an unexpected value"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (
            signed(name=x509.Name([])),
            "X509 - The name tag or value is invalid : ASN1 - Out of data when parsing an ASN1 data structure",
        ),
        (signed(name=name_of(_ASN1Type.VisibleString)), BAD_TEXT),
        (signed(name=name_of(_ASN1Type.NumericString)), BAD_TEXT),
        (
            signed().replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03", 1),
            "X509 - CRT/CRL/CSR has an unsupported version number",
        ),
        (
            signed((policies(ANY_POLICY, "1.2.3"), True)),
            "X509 - Unavailable feature, e.g. RSA hashing/encryption combination",
        ),
        (
            signed((x509.UnrecognizedExtension(CERTIFICATE_TYPE, b""), False)),
            "X509 - The extension tag or value is invalid : ASN1 - ASN1 tag was of an unexpected value",
        ),
    ],
    ids=["no name", "VisibleString", "NumericString", "version 4", "critical policy", "no type"],
)
def test_a_certificate_that_openssl_accepts_can_be_one_that_the_station_refuses(content: bytes, error: str) -> None:
    with pytest.raises(TlsFileError) as caught:
        read_certificates(content)
    assert str(caught.value) == error


def test_a_certificate_whose_key_is_a_compressed_point_is_refused(openssl: OpenSsl, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    path.write_bytes(openssl("ec", "-in", path, "-conv_form", "compressed"))
    assert read_private_key(path.read_bytes())
    certificate = openssl("req", "-x509", "-key", path, "-subj", "/CN=x")
    with pytest.raises(TlsFileError, match="ECP - The requested feature is not available"):
        read_certificates(certificate)


@pytest.mark.parametrize(
    "content",
    [
        signed((policies(ANY_POLICY), True)),
        signed((policies("1.2.3"), False)),
        signed(name=name_of(_ASN1Type.BMPString)),
        signed(name=name_of(_ASN1Type.UTF8String)).replace(b"12345", b"\xff\xfe345"),
        signed().replace(b"\x02\x01\x55", b"\x02\x01\x80", 1),
    ],
    ids=["any policy", "policy", "BMPString", "no UTF-8", "negative serial number"],
)
@pytest.mark.filterwarnings("ignore:.*serial number")
def test_the_station_does_not_look_closely_at_texts_and_numbers(content: bytes) -> None:
    assert certificate_info(content)


def test_a_key_that_is_only_for_pss_is_refused(openssl: OpenSsl) -> None:
    for form in ("PEM", "DER"):
        key = openssl("genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:1024", "-outform", form)
        with pytest.raises(TlsFileError, match="PK - "):
            read_private_key(key)


def test_a_key_of_another_kind_in_der_is_only_invalid() -> None:
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(TlsFileError, match=r"^PK - Invalid key tag or value$"):
        read_private_key(key)


@pytest.mark.parametrize(
    ("cipher", "error"),
    [
        ("CAMELLIA-128", "PEM - Unsupported key encryption algorithm"),
        ("AES-128", "PK - Private key password can't be empty"),
    ],
)
def test_the_cipher_of_an_encrypted_key_is_looked_at_first(cipher: str, error: str) -> None:
    label = "RSA PRIVATE KEY"
    head = f"Proc-Type: 4,ENCRYPTED\nDEK-Info: {cipher}-CBC,00\n\n"
    text = f"-----BEGIN {label}-----\n{head}MAA=\n-----END {label}-----\n"
    with pytest.raises(TlsFileError, match=error):
        read_private_key(text.encode())


@given(
    st.binary(max_size=60), st.sampled_from([b"", b"-----BEGIN CERTIFICATE-----\n", b"-----BEGIN PRIVATE KEY-----\n"])
)
@example(b"MA==\n-----END CERTIFICATE-----", b"-----BEGIN CERTIFICATE-----\n")
@example(b"\x30\x84\xff\xff\xff\xff", b"")
def test_any_bytes_are_read_or_refused_with_an_error_of_the_library(content: bytes, begin: bytes) -> None:
    for read in (read_certificates, read_private_key):
        with pytest.raises(TlsFileError):
            read(begin + content)
