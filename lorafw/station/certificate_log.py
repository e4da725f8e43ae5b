"""The lines that a Basics Station logs about its certificates before it connects with TLS.

Its library, mbed TLS 2.28.0, writes the text (x509_crt.c, ``mbedtls_x509_crt_info``). It describes only the first
certificate of a file. The texts were compared with those of the library.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import CertificatePoliciesOID, ExtendedKeyUsageOID, NameOID, SignatureAlgorithmOID

from lorafw.cups.credentials import Credentials
from lorafw.station.certificate_names import CertificateName, NameAttribute, issuer_and_subject
from lorafw.station.tls_files import (
    CERTIFICATE_TYPE,
    TlsFileError,
    certificate_type_bits,
    read_certificates,
    read_private_key,
)

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

_SHOWN_SERIAL_BYTES: Final = 28
_MAX_SERIAL_BYTES: Final = 32
_MAX_NAME_BYTES: Final = 255
"""The library truncates the value of an attribute of a name to this size."""

_ATTRIBUTE_LABELS: Final = {
    NameOID.COMMON_NAME.dotted_string: "CN",
    NameOID.COUNTRY_NAME.dotted_string: "C",
    NameOID.LOCALITY_NAME.dotted_string: "L",
    NameOID.STATE_OR_PROVINCE_NAME.dotted_string: "ST",
    NameOID.ORGANIZATION_NAME.dotted_string: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME.dotted_string: "OU",
    NameOID.EMAIL_ADDRESS.dotted_string: "emailAddress",
    NameOID.SERIAL_NUMBER.dotted_string: "serialNumber",
    NameOID.POSTAL_ADDRESS.dotted_string: "postalAddress",
    NameOID.POSTAL_CODE.dotted_string: "postalCode",
    NameOID.SURNAME.dotted_string: "SN",
    NameOID.GIVEN_NAME.dotted_string: "GN",
    NameOID.INITIALS.dotted_string: "initials",
    NameOID.GENERATION_QUALIFIER.dotted_string: "generationQualifier",
    NameOID.TITLE.dotted_string: "title",
    NameOID.DN_QUALIFIER.dotted_string: "dnQualifier",
    NameOID.PSEUDONYM.dotted_string: "pseudonym",
    NameOID.DOMAIN_COMPONENT.dotted_string: "DC",
    NameOID.X500_UNIQUE_IDENTIFIER.dotted_string: "uniqueIdentifier",
}
_SIGNATURE_LABELS: Final = {
    SignatureAlgorithmOID.RSA_WITH_MD5: "RSA with MD5",
    SignatureAlgorithmOID.RSA_WITH_SHA1: "RSA with SHA1",
    SignatureAlgorithmOID.RSA_WITH_SHA224: "RSA with SHA-224",
    SignatureAlgorithmOID.RSA_WITH_SHA256: "RSA with SHA-256",
    SignatureAlgorithmOID.RSA_WITH_SHA384: "RSA with SHA-384",
    SignatureAlgorithmOID.RSA_WITH_SHA512: "RSA with SHA-512",
    SignatureAlgorithmOID.ECDSA_WITH_SHA1: "ECDSA with SHA1",
    SignatureAlgorithmOID.ECDSA_WITH_SHA224: "ECDSA with SHA224",
    SignatureAlgorithmOID.ECDSA_WITH_SHA256: "ECDSA with SHA256",
    SignatureAlgorithmOID.ECDSA_WITH_SHA384: "ECDSA with SHA384",
    SignatureAlgorithmOID.ECDSA_WITH_SHA512: "ECDSA with SHA512",
    SignatureAlgorithmOID.RSASSA_PSS: "RSASSA-PSS",
}
_KEY_USAGE_LABELS: Final = {
    "digital_signature": "Digital Signature",
    "content_commitment": "Non Repudiation",
    "key_encipherment": "Key Encipherment",
    "data_encipherment": "Data Encipherment",
    "key_agreement": "Key Agreement",
    "key_cert_sign": "Key Cert Sign",
    "crl_sign": "CRL Sign",
}
_EXTENDED_KEY_USAGE_LABELS: Final = {
    ExtendedKeyUsageOID.SERVER_AUTH: "TLS Web Server Authentication",
    ExtendedKeyUsageOID.CLIENT_AUTH: "TLS Web Client Authentication",
    ExtendedKeyUsageOID.CODE_SIGNING: "Code Signing",
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "E-mail Protection",
    ExtendedKeyUsageOID.TIME_STAMPING: "Time Stamping",
    ExtendedKeyUsageOID.OCSP_SIGNING: "OCSP Signing",
    x509.ObjectIdentifier("1.3.6.1.4.1.45605.1"): "Wi-SUN Alliance Field Area Network (FAN)",
}
_CERTIFICATE_TYPE_LABELS: Final = (
    "SSL Client",
    "SSL Server",
    "Email",
    "Object Signing",
    "Reserved",
    "SSL CA",
    "Email CA",
    "Object Signing CA",
)
"""The meaning of the bits of CERTIFICATE_TYPE, beginning with the highest."""
_POLICY_LABELS: Final = {CertificatePoliciesOID.ANY_POLICY: "Any Policy"}


def tls_setup_lines(credentials: Credentials, name: str, folder: str) -> Iterator[str]:
    """Yield the texts that a station logs at INFO when it prepares a TLS connection.

    Args:
        credentials: The contents of the files NAME.trust, NAME.crt and NAME.key.
        name: ``cups``, ``cups-bak`` or ``cups-boot``.
        folder: The home folder as the log shows it.
    """
    trust = certificate_info(credentials.trust)
    if trust is None:
        return
    yield f"{folder}/{name}.trust: \n{trust}"
    if credentials.certificate and credentials.key:
        certificate = certificate_info(credentials.certificate)
        if certificate is not None and _can_read_key(credentials.key):
            yield f"{folder}/{name}.crt: \n{certificate}"
        return
    is_token = bool(credentials.key) and not credentials.certificate
    if not is_token:
        yield f"{name} has no key+cert configured - running server auth only"


def _can_read_key(content: bytes) -> bool:
    """Whether the station can read the key. It reads the key before the certificate, and stops if it cannot."""
    try:
        read_private_key(content)
    except TlsFileError:
        return False
    return True


def certificate_info(content: bytes) -> str | None:
    """Return a description of the first certificate of a file, or None if the station cannot read the file.

    The station writes the description to a buffer as large as the file, so the description of a small file is
    truncated.
    """
    try:
        first = read_certificates(content)[0]
    except TlsFileError:
        return None
    text = "\n".join(_certificate_lines(first)) + "\n"
    if content.startswith(b"-"):
        return text[: len(content)]
    return text[: len(content) - 1]


def _certificate_lines(certificate: x509.Certificate) -> Iterator[str]:
    """Yield the lines of a description, in the layout of mbed TLS."""
    yield f"cert. version     : {certificate.version.value + 1}"
    yield f"serial number     : {_format_serial(certificate.serial_number)}"
    issuer, subject = issuer_and_subject(certificate)
    yield f"issuer name       : {_format_name(issuer)}"
    yield f"subject name      : {_format_name(subject)}"
    yield f"issued  on        : {certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%S}"
    yield f"expires on        : {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S}"
    yield f"signed using      : {_signature_label(certificate)}"
    yield _key_size_line(certificate)
    yield from _extension_lines(certificate.extensions)


def _signature_label(certificate: x509.Certificate) -> str:
    """Return the name of the signature algorithm. RSASSA-PSS is followed by its parameters."""
    label = _SIGNATURE_LABELS[certificate.signature_algorithm_oid]
    if certificate.signature_algorithm_oid != SignatureAlgorithmOID.RSASSA_PSS:
        return label
    try:
        pss = certificate.signature_algorithm_parameters
        message_hash = certificate.signature_hash_algorithm
    except (UnsupportedAlgorithm, ValueError):
        return label
    if not isinstance(pss, padding.PSS) or message_hash is None:
        return label
    mask_hash = pss.mgf._algorithm
    salt_bytes = pss._salt_length
    return f"{label} ({message_hash.name.upper()}, MGF1-{mask_hash.name.upper()}, 0x{salt_bytes:02X})"


def _key_size_line(certificate: x509.Certificate) -> str:
    """Return the line about the key. The library counts the bits of an RSA key in whole bytes."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA key size      : {-(-key.key_size // 8) * 8} bits"
    return f"EC key size       : {getattr(key, 'key_size', 0)} bits"


def _extension_lines(extensions: x509.Extensions) -> Iterator[str]:
    """Yield a description of the extensions.

    The library lists six kinds of them, always in this order, whatever their order in the certificate.
    """
    constraints = _find_extension(extensions, x509.BasicConstraints)
    if constraints is not None:
        is_ca = "true" if constraints.ca else "false"
        path_length = "" if constraints.path_length is None else f", max_pathlen={constraints.path_length}"
        yield f"basic constraints : CA={is_ca}{path_length}"
    names = _find_extension(extensions, x509.SubjectAlternativeName)
    if names is not None:
        yield "subject alt name  :"
        yield from (_format_alternative_name(name) for name in names)
    types = _certificate_type_labels(extensions)
    if types is not None:
        yield f"cert. type        : {', '.join(types)}"
    usage = _find_extension(extensions, x509.KeyUsage)
    if usage is not None:
        yield f"key usage         : {', '.join(_key_usage_labels(usage))}"
    extended_usage = _find_extension(extensions, x509.ExtendedKeyUsage)
    if extended_usage is not None:
        labels = [_EXTENDED_KEY_USAGE_LABELS.get(oid, "???") for oid in extended_usage]
        yield f"ext key usage     : {', '.join(labels)}"
    policies = _find_extension(extensions, x509.CertificatePolicies)
    if policies is not None:
        labels = [_POLICY_LABELS.get(policy.policy_identifier, "???") for policy in policies]
        yield f"certificate policies : {', '.join(labels)}"


def _find_extension(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension | None:
    """Return the value of the extension of this kind, or None if the certificate does not have it."""
    for extension in extensions:
        if isinstance(extension.value, kind):
            return extension.value
    return None


def _certificate_type_labels(extensions: x509.Extensions) -> list[str] | None:
    """Return the types in the extension of Netscape, or None if the certificate does not have it."""
    for extension in extensions:
        if extension.oid == CERTIFICATE_TYPE:
            bits = certificate_type_bits(extension)
            return [label for index, label in enumerate(_CERTIFICATE_TYPE_LABELS) if bits & 0x80 >> index]
    return None


def _format_alternative_name(name: x509.GeneralName) -> str:
    """Return the line of one subject alternative name. The library knows only DNS names."""
    if isinstance(name, x509.DNSName):
        return f"    dNSName : {name.value}"
    return "    <unsupported>"


def _key_usage_labels(usage: x509.KeyUsage) -> Iterator[str]:
    """Yield a label for each usage that the key has."""
    for attribute, text in _KEY_USAGE_LABELS.items():
        if getattr(usage, attribute):
            yield text
    if usage.key_agreement and usage.encipher_only:
        yield "Encipher Only"
    if usage.key_agreement and usage.decipher_only:
        yield "Decipher Only"


def _format_serial(number: int) -> str:
    """Return a serial number in hexadecimal. The library truncates a number of more than 32 bytes to 28 bytes.

    A negative number is in two's complement. The first byte is left out if it is zero.
    """
    magnitude = ~number if number < 0 else number
    size_bytes = magnitude.bit_length() // 8 + 1
    serial = number.to_bytes(size_bytes, "big", signed=True)
    shown = serial if size_bytes <= _MAX_SERIAL_BYTES else serial[:_SHOWN_SERIAL_BYTES]
    if shown[0] == 0 and size_bytes > 1:
        shown = shown[1:]
    dots = "...." if size_bytes > _MAX_SERIAL_BYTES else ""
    return shown.hex(":").upper() + dots


def _format_name(name: CertificateName) -> str:
    """Return a distinguished name as ``CN=..., O=...``. A plus sign joins the attributes of one part."""
    return ", ".join(" + ".join(_format_attribute(attribute) for attribute in part) for part in name)


def _format_attribute(attribute: NameAttribute) -> str:
    """Return one attribute as ``LABEL=value``. A byte that is not printable ASCII becomes a question mark."""
    printable = re.sub(rb"[^ -~]", b"?", attribute.value[:_MAX_NAME_BYTES]).decode("ascii")
    return f"{_ATTRIBUTE_LABELS.get(attribute.oid, '??')}={printable}"
