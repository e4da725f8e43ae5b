"""Read the TLS files of a gateway as the station's library, mbed TLS 2.28, reads them.

* A file of certificates is PEM if it begins with ``-`` or ends with a zero byte. Otherwise it is DER.
* If one certificate of a file cannot be read, the station does not use the file.
* Text before the PEM block of a key is ignored, and so are bytes after DER.
* Keys are RSA or on an elliptic curve. The station cannot read an encrypted key, because it has no password.

Source: tls.c of Basics Station 2.0.6. The rules and the error messages were compared with mbed TLS 2.28.0, the version
that this station is built with, on 1,600 files. Of the errors within DER, only the kind is reproduced.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import (
    CertificatePoliciesOID,
    ExtensionOID,
    PublicKeyAlgorithmOID,
    SignatureAlgorithmOID,
)

from lorafw.station.certificate_names import issuer_and_subject
from lorafw.station.der import SEQUENCE, first_sequence

NOT_A_CERTIFICATE: Final = "X509 - The CRT/CRL/CSR format is invalid, e.g. different type expected"
UNKNOWN_SIGNATURE: Final = "X509 - Signature algorithm (oid) is unsupported : OID - OID is not found"
UNKNOWN_KEY_KIND: Final = "PK - Key algorithm is unsupported (only RSA and EC are supported)"
UNKNOWN_CURVE: Final = "PK - Elliptic curve is unsupported (only NIST curves are supported)"
COMPRESSED_POINT: Final = (
    "ECP - The requested feature is not available, for example, the requested curve is not supported"
)
UNKNOWN_POLICY: Final = "X509 - Unavailable feature, e.g. RSA hashing/encryption combination"
EMPTY_NAME: Final = "X509 - The name tag or value is invalid : ASN1 - Out of data when parsing an ASN1 data structure"
UNKNOWN_TEXT_KIND: Final = "X509 - The name tag or value is invalid : ASN1 - ASN1 tag was of an unexpected value"
UNKNOWN_VERSION: Final = "X509 - CRT/CRL/CSR has an unsupported version number"
REPEATED_EXTENSION: Final = "X509 - The extension tag or value is invalid"
UNKNOWN_EXTENSION: Final = "X509 - The extension tag or value is invalid : ASN1 - ASN1 tag was of an unexpected value"
NOT_A_KEY: Final = "PK - Invalid key tag or value"
WRONG_KEY_TAG: Final = "PK - Invalid key tag or value : ASN1 - ASN1 tag was of an unexpected value"
UNKNOWN_ENCRYPTION: Final = "PEM - Unsupported key encryption algorithm"
ENCRYPTED_KEY: Final = "PK - Private key password can't be empty"
BAD_BASE64: Final = "PEM - PEM string is not as expected : BASE64 - Invalid character in input"
CERTIFICATE_TYPE: Final = x509.ObjectIdentifier("2.16.840.1.113730.1.1")
"""An extension of Netscape: a BIT STRING that says for what a certificate is used."""

_ONE_BYTE_OF_BITS: Final = b"\x03\x02"
"""The beginning of a BIT STRING of one byte in DER. The number of unused bits and the byte follow."""
_TEXTS_OF_COUNTS: Final = {
    1: "ERROR - Generic error",
    2: "BIGNUM - An error occurred while reading from or writing to a file",
    3: "HMAC_DRBG - Too many random requested in single call",
    4: "BIGNUM - Bad input parameters to function",
    5: "HMAC_DRBG - Input too large (Entropy + additional)",
    6: "BIGNUM - There is an invalid character in the digit string",
    7: "HMAC_DRBG - Read/write error in file",
    8: "BIGNUM - The buffer is too small to write to",
    9: "HMAC_DRBG - The entropy source failed",
}
"""The library returns the number of unreadable certificates. The station logs it as if it were the code of an error.

Numbers above 9 are left out here.
"""

_SUPPORTED_SIGNATURES: Final = frozenset(
    {
        SignatureAlgorithmOID.RSA_WITH_MD5,
        SignatureAlgorithmOID.RSA_WITH_SHA1,
        SignatureAlgorithmOID.RSA_WITH_SHA224,
        SignatureAlgorithmOID.RSA_WITH_SHA256,
        SignatureAlgorithmOID.RSA_WITH_SHA384,
        SignatureAlgorithmOID.RSA_WITH_SHA512,
        SignatureAlgorithmOID.ECDSA_WITH_SHA1,
        SignatureAlgorithmOID.ECDSA_WITH_SHA224,
        SignatureAlgorithmOID.ECDSA_WITH_SHA256,
        SignatureAlgorithmOID.ECDSA_WITH_SHA384,
        SignatureAlgorithmOID.ECDSA_WITH_SHA512,
        SignatureAlgorithmOID.RSASSA_PSS,
    }
)
_KNOWN_EXTENSIONS: Final = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.CERTIFICATE_POLICIES,
        CERTIFICATE_TYPE,
    }
)
_RSA_PSS_KEY: Final = x509.ObjectIdentifier("1.2.840.113549.1.1.10")
"""The algorithm of a key that is only for RSASSA-PSS. mbed TLS does not know such keys."""
_RSA_PSS_KEY_DER: Final = bytes.fromhex("06092a864886f70d01010a")
_PARSED_WHEN_READ: Final = (
    "version",
    "signature_algorithm_oid",
    "not_valid_before_utc",
    "not_valid_after_utc",
    "extensions",
)
"""The properties of ``x509.Certificate`` that raise an error when they are read, and not when it is loaded."""
_PRIME_FIELD_DER: Final = bytes.fromhex("06072a8648ce3d0101")
"""Begins the parameters of a curve that is not given by its name. mbed TLS cannot read most such parameters."""
_ALGORITHM_BYTES: Final = 32
"""The algorithm of a private key in PKCS#8 is within this number of bytes."""
_SUPPORTED_CURVES: Final = (
    ec.SECP192R1,
    ec.SECP224R1,
    ec.SECP256R1,
    ec.SECP384R1,
    ec.SECP521R1,
    ec.SECP256K1,
    ec.BrainpoolP256R1,
    ec.BrainpoolP384R1,
    ec.BrainpoolP512R1,
)
_TEXT_TAGS: Final = frozenset({0x03, 0x0C, 0x13, 0x14, 0x16, 0x1C, 0x1E})
"""The DER tags of the kinds of text that a name can have: BIT STRING, UTF8String, PrintableString, T61String,
IA5String, UniversalString and BMPString."""
_POINT: Final = serialization.Encoding.X962
_LINE_END: Final = re.compile(rb" ?\r?\n")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]*={0,2}")
_KEY_LABELS: Final = (b"RSA PRIVATE KEY", b"EC PRIVATE KEY", b"PRIVATE KEY", b"ENCRYPTED PRIVATE KEY")
_ENCRYPTED: Final = b"Proc-Type: 4,ENCRYPTED"
_KNOWN_ENCRYPTION: Final = re.compile(rb"Proc-Type: 4,ENCRYPTED\r?\nDEK-Info: (DES-EDE3|DES|AES-(128|192|256))-CBC,")

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class TlsFileError(ValueError):
    """The library cannot read a file. The message is the text of its error."""


@dataclass(frozen=True, slots=True)
class _PemBlock:
    """One PEM block of a file."""

    content: bytes
    """The text between the BEGIN line and the END line."""
    end: int
    """The offset of the first byte after the block."""

    def to_der(self) -> bytes:
        """Return the content as mbed TLS decodes it from base64.

        Raises:
            TlsFileError: The block has a character that base64 does not have.
        """
        # 1. Join the lines, without the spaces at their ends.
        lines = self.content.replace(b"\r\n", b"\n").split(b"\n")
        text = b"".join(line.rstrip(b" ") for line in lines)
        if not _BASE64.fullmatch(text):
            raise TlsFileError(BAD_BASE64)
        # 2. Four digits are 3 bytes. mbed TLS ignores a single digit after them, because it is less than a byte.
        digits = text.rstrip(b"=")
        if len(digits) % 4 == 1:
            digits = digits[:-1]
        # 3. Python decodes only a multiple of 4 digits, padded with "=".
        padding = b"=" * (-len(digits) % 4)
        return base64.b64decode(digits + padding)


def read_certificates(content: bytes) -> list[x509.Certificate]:
    """Return the certificates of a file. There is at least one.

    Raises:
        TlsFileError: The station cannot read one of the certificates, or the file has none.
    """
    is_text = content[:1] == b"-" or content[-1:] == b"\0"
    text = content.partition(b"\0")[0]
    if not is_text or b"-----BEGIN CERTIFICATE-----" not in text:
        return [_load_certificate(content)]
    certificates: list[x509.Certificate] = []
    errors: list[TlsFileError] = []
    for block in _pem_blocks(text, b"CERTIFICATE"):
        try:
            certificates.append(_load_certificate(block.to_der()))
        except TlsFileError as error:
            errors.append(error)
    if certificates and errors:
        unknown = f"UNKNOWN ERROR CODE ({len(errors):04X})"
        raise TlsFileError(_TEXTS_OF_COUNTS.get(len(errors), unknown))
    if errors:
        raise errors[0]
    if not certificates:
        raise TlsFileError("X509 - Format not recognized as DER or PEM")
    return certificates


def can_be_trusted(certificate: x509.Certificate) -> bool:
    """Return whether the station can trust a server because of a certificate in its file.

    That need not be a root: any certificate of a CA will do, and so will the server's own if it is self-signed. A
    certificate of version 1 does not say whether it is that of a CA.
    """
    if certificate.version is not x509.Version.v3:
        return True
    issuer, subject = issuer_and_subject(certificate)
    if issuer == subject:
        return True
    constraints = (each.value for each in certificate.extensions if isinstance(each.value, x509.BasicConstraints))
    return any(each.ca for each in constraints)


def read_private_key(content: bytes) -> PrivateKey:
    """Return the private key of a file.

    Raises:
        TlsFileError: The station cannot read the key, or the key is encrypted.
    """
    text = content.partition(b"\0")[0]
    for label in _KEY_LABELS:
        block = next(_pem_blocks(text, label), None)
        if block is None:
            continue
        _check_is_not_encrypted(label, block)
        der = block.to_der()
        if der[:1] != bytes([SEQUENCE]):
            raise TlsFileError(WRONG_KEY_TAG)
        return _load_private_key(der, UNKNOWN_KEY_KIND)
    # The library tries all kinds of keys, and does not say why none of them fits.
    return _load_private_key(content, NOT_A_KEY)


def _check_is_not_encrypted(label: bytes, block: _PemBlock) -> None:
    """Raise TlsFileError if a private key in PEM is encrypted."""
    if label.startswith(b"ENCRYPTED"):
        raise TlsFileError(ENCRYPTED_KEY)
    if not block.content.startswith(_ENCRYPTED):
        return
    if not _KNOWN_ENCRYPTION.match(block.content):
        raise TlsFileError(UNKNOWN_ENCRYPTION)
    raise TlsFileError(ENCRYPTED_KEY)


def _pem_blocks(text: bytes, label: bytes) -> Iterator[_PemBlock]:
    """Yield the PEM blocks with this label, up to the first incomplete one. Text between blocks is ignored."""
    header = b"-----BEGIN %s-----" % label
    footer = b"-----END %s-----" % label
    offset = 0
    while True:
        begin = text.find(header, offset)
        end = text.find(footer, offset)
        if begin < 0 or end <= begin:
            return
        line_end = _LINE_END.match(text, begin + len(header))
        if line_end is None:
            return
        block = _PemBlock(text[line_end.end() : end], end + len(footer))
        yield block
        offset = block.end


def _load_certificate(content: bytes) -> x509.Certificate:
    """Return a certificate in DER. Raises TlsFileError if mbed TLS refuses it.

    mbed TLS checks the form, the signature, the names, the key and the extensions, in this order.
    """
    certificate = _parse_certificate(content)
    if certificate.signature_algorithm_oid not in _SUPPORTED_SIGNATURES:
        raise TlsFileError(UNKNOWN_SIGNATURE)
    _check_names(certificate)
    _check_public_key(certificate)
    for extension in certificate.extensions:
        _check_extension(extension)
    return certificate


def _parse_certificate(content: bytes) -> x509.Certificate:
    """Return a certificate whose parts can all be read. Raises TlsFileError if one of them cannot."""
    try:
        certificate = x509.load_der_x509_certificate(first_sequence(content))
        for part in _PARSED_WHEN_READ:
            getattr(certificate, part)
    except x509.InvalidVersion as error:
        raise TlsFileError(UNKNOWN_VERSION) from error
    except x509.DuplicateExtension as error:
        raise TlsFileError(REPEATED_EXTENSION) from error
    except (ValueError, x509.UnsupportedGeneralNameType) as error:
        raise TlsFileError(NOT_A_CERTIFICATE) from error
    return certificate


def _check_names(certificate: x509.Certificate) -> None:
    """Raise TlsFileError if mbed TLS refuses the issuer or the subject. Only the subject may be empty."""
    try:
        issuer, subject = issuer_and_subject(certificate)
    except ValueError as error:
        raise TlsFileError(EMPTY_NAME) from error
    if not issuer:
        raise TlsFileError(EMPTY_NAME)
    for attribute in itertools.chain(*issuer, *subject):
        if not attribute.value:
            raise TlsFileError(EMPTY_NAME)
        if attribute.tag not in _TEXT_TAGS:
            raise TlsFileError(UNKNOWN_TEXT_KIND)


def _check_public_key(certificate: x509.Certificate) -> None:
    """Raise TlsFileError if mbed TLS refuses the public key of a certificate."""
    if certificate.public_key_algorithm_oid == _RSA_PSS_KEY:
        raise TlsFileError(UNKNOWN_KEY_KIND)
    if _PRIME_FIELD_DER in certificate.tbs_certificate_bytes:
        raise TlsFileError(NOT_A_KEY)
    try:
        key = certificate.public_key()
    except UnsupportedAlgorithm as error:
        if certificate.public_key_algorithm_oid == PublicKeyAlgorithmOID.EC_PUBLIC_KEY:
            raise TlsFileError(UNKNOWN_CURVE) from error
        raise TlsFileError(UNKNOWN_KEY_KIND) from error
    except ValueError as error:
        raise TlsFileError(UNKNOWN_KEY_KIND) from error
    if isinstance(key, rsa.RSAPublicKey):
        return
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TlsFileError(UNKNOWN_KEY_KIND)
    if not isinstance(key.curve, _SUPPORTED_CURVES):
        raise TlsFileError(UNKNOWN_CURVE)
    compressed_point = key.public_bytes(_POINT, serialization.PublicFormat.CompressedPoint)
    if compressed_point in certificate.tbs_certificate_bytes:
        raise TlsFileError(COMPRESSED_POINT)


def _check_extension(extension: x509.Extension[x509.ExtensionType]) -> None:
    """Raise TlsFileError if mbed TLS refuses an extension: it is critical, and unknown or with an unknown policy."""
    if extension.oid == CERTIFICATE_TYPE:
        certificate_type_bits(extension)
    if not extension.critical:
        return
    if extension.oid not in _KNOWN_EXTENSIONS:
        raise TlsFileError(UNKNOWN_EXTENSION)
    if isinstance(extension.value, x509.CertificatePolicies):
        policies = {policy.policy_identifier for policy in extension.value}
        if policies != {CertificatePoliciesOID.ANY_POLICY}:
            raise TlsFileError(UNKNOWN_POLICY)


def certificate_type_bits(extension: x509.Extension[x509.ExtensionType]) -> int:
    """Return the bits of the extension CERTIFICATE_TYPE. Raises TlsFileError if it has more or fewer than one byte."""
    assert isinstance(extension.value, x509.UnrecognizedExtension)
    bit_string = extension.value.value
    if len(bit_string) != len(_ONE_BYTE_OF_BITS) + 2 or not bit_string.startswith(_ONE_BYTE_OF_BITS):
        raise TlsFileError(UNKNOWN_EXTENSION)
    return bit_string[-1]


def _load_private_key(content: bytes, error_for_other_kinds: str) -> PrivateKey:
    """Return a private key in DER.

    Args:
        content: The key.
        error_for_other_kinds: The text of the error for a key that is neither RSA nor on an elliptic curve.

    Raises:
        TlsFileError: mbed TLS cannot read the key.
    """
    if _PRIME_FIELD_DER in content:
        raise TlsFileError(NOT_A_KEY)
    try:
        key = serialization.load_der_private_key(first_sequence(content), None)
    except UnsupportedAlgorithm as error:
        raise TlsFileError(UNKNOWN_CURVE) from error
    except (ValueError, TypeError) as error:
        raise TlsFileError(NOT_A_KEY) from error
    is_rsa_pss = _RSA_PSS_KEY_DER in content[:_ALGORITHM_BYTES]
    if is_rsa_pss or not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise TlsFileError(error_for_other_kinds)
    return key
