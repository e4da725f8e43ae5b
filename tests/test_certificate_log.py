"""A station logs its certificates in the words of its TLS library."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lorafw.cups.credentials import Credentials
from lorafw.station.certificate_log import _format_serial, certificate_info, tls_setup_lines
from lorafw.station.tls_files import CERTIFICATE_TYPE

KEY = rsa.generate_private_key(65537, 2048)


NAME = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Starfield Technologies, Inc."),
        x509.NameAttribute(NameOID.COMMON_NAME, "Größe"),
    ]
)


def builder(name: x509.Name = NAME, serial: int = 0xA70E4A4C3482B77F) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(serial)
        .not_valid_before(datetime(2009, 9, 2, tzinfo=UTC))
        .not_valid_after(datetime(2034, 6, 28, 17, 39, 16, tzinfo=UTC))
    )


def certificate(*extensions: x509.ExtensionType, serial: int = 0xA70E4A4C3482B77F) -> x509.Certificate:
    made = builder(serial=serial)
    for extension in extensions:
        made = made.add_extension(extension, critical=False)
    return made.sign(KEY, hashes.SHA256())


def pem(made: x509.Certificate) -> bytes:
    return made.public_bytes(serialization.Encoding.PEM)


def test_all_that_the_library_shows_is_shown_in_its_order() -> None:
    made = certificate(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
        x509.KeyUsage(True, False, True, False, False, False, False, False, False),
        x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.RFC822Name("a@b")]),
        x509.BasicConstraints(ca=True, path_length=0),
    )
    assert certificate_info(pem(made)) == (
        "cert. version     : 3\n"
        "serial number     : A7:0E:4A:4C:34:82:B7:7F\n"
        "issuer name       : C=US, O=Starfield Technologies, Inc., CN=Gr????e\n"
        "subject name      : C=US, O=Starfield Technologies, Inc., CN=Gr????e\n"
        "issued  on        : 2009-09-02 00:00:00\n"
        "expires on        : 2034-06-28 17:39:16\n"
        "signed using      : RSA with SHA-256\n"
        "RSA key size      : 2048 bits\n"
        "basic constraints : CA=true, max_pathlen=0\n"
        "subject alt name  :\n"
        "    dNSName : localhost\n"
        "    <unsupported>\n"
        "key usage         : Digital Signature, Key Encipherment\n"
        "ext key usage     : TLS Web Server Authentication, TLS Web Client Authentication\n"
    )


def test_policies_and_types_of_a_certificate_are_shown_around_its_key_usage() -> None:
    made = certificate(
        x509.CertificatePolicies(
            [
                x509.PolicyInformation(x509.ObjectIdentifier("2.5.29.32.0"), None),
                x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None),
            ]
        ),
        x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.4.1.45605.1"), x509.ObjectIdentifier("1.2.3")]),
        x509.KeyUsage(True, False, False, False, False, False, False, False, False),
        x509.UnrecognizedExtension(CERTIFICATE_TYPE, b"\x03\x02\x05\xa1"),
    )
    assert (certificate_info(pem(made)) or "").partition("2048 bits\n")[2] == (
        "cert. type        : SSL Client, Email, Object Signing CA\n"
        "key usage         : Digital Signature\n"
        "ext key usage     : Wi-SUN Alliance Field Area Network (FAN), ???\n"
        "certificate policies : Any Policy, ???\n"
    )


@pytest.mark.parametrize(("salt_bytes", "shown"), [(20, "0x14"), (padding.PSS.MAX_LENGTH, "0xDE")])
def test_the_parameters_of_a_pss_signature_are_shown(salt_bytes: int, shown: str) -> None:
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt_bytes)
    made = builder().sign(KEY, hashes.SHA256(), rsa_padding=pss)
    assert f"signed using      : RSASSA-PSS (SHA256, MGF1-SHA256, {shown})\n" in (certificate_info(pem(made)) or "")


def test_the_bytes_of_a_name_are_shown_as_they_are() -> None:
    texts = [
        x509.NameAttribute(NameOID.COMMON_NAME, "ab", _type=_ASN1Type.BMPString),
        x509.NameAttribute(NameOID.X500_UNIQUE_IDENTIFIER, b"\0c", _type=_ASN1Type.BitString),
        x509.NameAttribute(NameOID.DOMAIN_COMPONENT, "d" * 300),
    ]
    made = builder(x509.Name(texts)).sign(KEY, hashes.SHA256())
    assert f"issuer name       : CN=?a?b, uniqueIdentifier=?c, DC={'d' * 255}\n" in (certificate_info(pem(made)) or "")


@pytest.mark.parametrize(
    ("serial", "shown"), [(0x80, "80"), (0xFF00, "FF:00"), (-128, "80"), (-129, "FF:7F"), (-1, "FF"), (0, "00")]
)
def test_a_serial_number_is_shown_without_a_zero_in_front(serial: int, shown: str) -> None:
    assert _format_serial(serial) == shown


@pytest.mark.parametrize("content", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_file_without_a_certificate_is_not_described(content: bytes) -> None:
    assert certificate_info(content) is None


def test_the_second_certificate_of_a_file_must_be_readable_too_but_is_not_shown() -> None:
    first, second = pem(certificate(serial=1)), pem(certificate(serial=2))
    assert "serial number     : 01\n" in (certificate_info(first + second) or "")
    assert certificate_info(first + second.replace(b"MII", b"AII", 1)) is None


def test_which_files_there_are_decides_what_is_logged() -> None:
    content = pem(certificate())
    key = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    both = list(tls_setup_lines(Credentials(content, content, key), "cups-bak", "/home"))
    assert [text.partition(" ")[0] for text in both] == ["/home/cups-bak.trust:", "/home/cups-bak.crt:"]
    server_only = [Credentials(content), Credentials(content, content)]
    for credentials in server_only:
        last = list(tls_setup_lines(credentials, "cups", "/home"))[-1]
        assert last == "cups has no key+cert configured - running server auth only"
    token = Credentials(content, b"", b"Authorization: x\r\n")
    assert len(list(tls_setup_lines(token, "cups", "/home"))) == 1
    assert list(tls_setup_lines(Credentials(b"", content, b"key"), "cups", "/home")) == []
