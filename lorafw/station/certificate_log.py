"""What a Basics Station logs about its certificates before it connects with TLS.

The text is that of its library, mbed TLS 2.28 (x509_crt.c, ``mbedtls_x509_crt_info``), which describes the first
certificate of a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, SignatureAlgorithmOID

from lorafw.cups.credentials import Credentials
from lorafw.station.tls_files import TlsFileError, read_certificates, read_private_key

_SHOWN_SERIAL_BYTES: Final = 28
_LONGEST_SERIAL_BYTES: Final = 32

_NAMES: Final = {
    NameOID.COMMON_NAME: "CN",
    NameOID.COUNTRY_NAME: "C",
    NameOID.LOCALITY_NAME: "L",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.EMAIL_ADDRESS: "emailAddress",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.POSTAL_ADDRESS: "postalAddress",
    NameOID.POSTAL_CODE: "postalCode",
    NameOID.SURNAME: "SN",
    NameOID.GIVEN_NAME: "GN",
    NameOID.INITIALS: "initials",
    NameOID.GENERATION_QUALIFIER: "generationQualifier",
    NameOID.TITLE: "title",
    NameOID.DN_QUALIFIER: "dnQualifier",
    NameOID.PSEUDONYM: "pseudonym",
    NameOID.DOMAIN_COMPONENT: "DC",
}
_SIGNATURES: Final = {
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
_KEY_USAGES: Final = {
    "digital_signature": "Digital Signature",
    "content_commitment": "Non Repudiation",
    "key_encipherment": "Key Encipherment",
    "data_encipherment": "Data Encipherment",
    "key_agreement": "Key Agreement",
    "key_cert_sign": "Key Cert Sign",
    "crl_sign": "CRL Sign",
}
_EXTENDED_KEY_USAGES: Final = {
    ExtendedKeyUsageOID.SERVER_AUTH: "TLS Web Server Authentication",
    ExtendedKeyUsageOID.CLIENT_AUTH: "TLS Web Client Authentication",
    ExtendedKeyUsageOID.CODE_SIGNING: "Code Signing",
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "E-mail Protection",
    ExtendedKeyUsageOID.TIME_STAMPING: "Time Stamping",
    ExtendedKeyUsageOID.OCSP_SIGNING: "OCSP Signing",
}


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
        if certificate is not None and _is_key(credentials.key):
            yield f"{folder}/{name}.crt: \n{certificate}"
        return
    is_token = bool(credentials.key) and not credentials.certificate
    if not is_token:
        yield f"{name} has no key+cert configured - running server auth only"


def _is_key(content: bytes) -> bool:
    """Whether the station can read the key, which it does before it reads the certificate."""
    try:
        read_private_key(content)
    except TlsFileError:
        return False
    return True


def certificate_info(content: bytes) -> str | None:
    """Describe the first certificate of a file, or return None if one of them cannot be read.

    The station prints into a buffer of the file's size, so the text of a small file is cut.
    """
    try:
        first = read_certificates(content)[0]
    except TlsFileError:
        return None
    text = "\n".join(_lines(first)) + "\n"
    if content.startswith(b"-"):
        return text[: len(content)]
    return text[: len(content) - 1]


def _lines(certificate: x509.Certificate) -> Iterator[str]:
    yield f"cert. version     : {certificate.version.value + 1}"
    yield f"serial number     : {_serial(certificate.serial_number)}"
    yield f"issuer name       : {_name(certificate.issuer)}"
    yield f"subject name      : {_name(certificate.subject)}"
    yield f"issued  on        : {certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%S}"
    yield f"expires on        : {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S}"
    yield f"signed using      : {_SIGNATURES.get(certificate.signature_algorithm_oid, '???')}"
    key = certificate.public_key()
    kind = "RSA" if isinstance(key, rsa.RSAPublicKey) else "EC"
    key_size_label = f"{kind} key size"
    yield f"{key_size_label:18}: {getattr(key, 'key_size', 0)} bits"
    yield from _extension_lines(certificate.extensions)


def _extension_lines(extensions: x509.Extensions) -> Iterator[str]:
    """Describe the extensions, in the order of the library and not of the certificate."""
    values = {type(extension.value): extension.value for extension in extensions}
    constraints = values.get(x509.BasicConstraints)
    if isinstance(constraints, x509.BasicConstraints):
        length = "" if constraints.path_length is None else f", max_pathlen={constraints.path_length}"
        yield f"basic constraints : CA={str(constraints.ca).lower()}{length}"
    names = values.get(x509.SubjectAlternativeName)
    if isinstance(names, x509.SubjectAlternativeName):
        yield "subject alt name  :"
        yield from (_alternative_name(name) for name in names)
    usage = values.get(x509.KeyUsage)
    if isinstance(usage, x509.KeyUsage):
        yield f"key usage         : {_listed(_key_usages(usage))}"
    extended = values.get(x509.ExtendedKeyUsage)
    if isinstance(extended, x509.ExtendedKeyUsage):
        yield f"ext key usage     : {_listed(_EXTENDED_KEY_USAGES.get(oid, '???') for oid in extended)}"


def _alternative_name(name: x509.GeneralName) -> str:
    if isinstance(name, x509.DNSName):
        return f"    dNSName : {name.value}"
    return "    <unsupported>"


def _key_usages(usage: x509.KeyUsage) -> Iterator[str]:
    for attribute, text in _KEY_USAGES.items():
        if getattr(usage, attribute):
            yield text
    if usage.key_agreement and usage.encipher_only:
        yield "Encipher Only"
    if usage.key_agreement and usage.decipher_only:
        yield "Decipher Only"


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(texts)


def _serial(number: int) -> str:
    size = max(1, (number.bit_length() + 7) // 8)
    shown = number.to_bytes(size, "big")
    if size <= _LONGEST_SERIAL_BYTES:
        return shown.hex(":").upper()
    return shown[:_SHOWN_SERIAL_BYTES].hex(":").upper() + "...."


def _name(name: x509.Name) -> str:
    return ", ".join(" + ".join(_attribute(attribute) for attribute in rdn) for rdn in name.rdns)


def _attribute(attribute: x509.NameAttribute[str | bytes]) -> str:
    value = attribute.value
    text = value if isinstance(value, bytes) else value.encode()
    shown = "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in text)
    return f"{_NAMES.get(attribute.oid, '??')}={shown}"
