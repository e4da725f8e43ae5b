"""Read the TLS files of a gateway as the station's library, mbed TLS 2.28, reads them.

* A file of certificates is PEM if it begins with ``-`` or ends with a zero byte. Otherwise it is DER.
* If one certificate of a file cannot be read, the station does not use the file.
* Text before the PEM block of a key is ignored, and so are bytes after DER.
* Keys are RSA or on an elliptic curve. The station cannot read an encrypted key, because it has no password.

Source: tls.c of Basics Station 2.0.6; x509_crt.c, pem.c and pkparse.c of mbed TLS 2.28. The error messages are those
of the library's source; they occur in no recording.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

NOT_A_CERTIFICATE: Final = "X509 - The CRT/CRL/CSR format is invalid, e.g. different type expected"
UNKNOWN_SIGNATURE: Final = "X509 - Signature algorithm (oid) is unsupported : OID - OID is not found"
UNKNOWN_KEY_KIND: Final = "PK - Key algorithm is unsupported (only RSA and EC are supported)"
UNKNOWN_EXTENSION: Final = "X509 - The extension tag or value is invalid : ASN1 - ASN1 tag was of an unexpected value"
NOT_A_KEY: Final = "PK - Invalid key tag or value"
ENCRYPTED_KEY: Final = "PK - Private key password can't be empty"
BAD_BASE64: Final = "PEM - PEM string is not as expected : BASE64 - Invalid character in input"

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
        x509.ObjectIdentifier("2.16.840.1.113730.1.1"),
    }
)
_SEQUENCE: Final = 0x30
_MAX_SHORT_LENGTH: Final = 0x7F
_LINE_END: Final = re.compile(rb" ?\r?\n")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]*={0,2}")
_KEY_LABELS: Final = (b"RSA PRIVATE KEY", b"EC PRIVATE KEY", b"PRIVATE KEY", b"ENCRYPTED PRIVATE KEY")
_ENCRYPTED: Final = b"Proc-Type: 4,ENCRYPTED"

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
        raise TlsFileError(f"UNKNOWN ERROR CODE ({len(errors):04X})")
    if errors:
        raise errors[0]
    if not certificates:
        raise TlsFileError("X509 - Format not recognized as DER or PEM")
    return certificates


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
        if label.startswith(b"ENCRYPTED") or block.content.startswith(_ENCRYPTED):
            raise TlsFileError(ENCRYPTED_KEY)
        return _load_private_key(block.to_der())
    return _load_private_key(content)


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

    mbed TLS checks the form, the signature, the key and the extensions, in this order.
    """
    try:
        certificate = x509.load_der_x509_certificate(_first_sequence(content))
        signature_algorithm = certificate.signature_algorithm_oid
        extensions = list(certificate.extensions)
    except ValueError as error:
        raise TlsFileError(NOT_A_CERTIFICATE) from error
    if signature_algorithm not in _SUPPORTED_SIGNATURES:
        raise TlsFileError(UNKNOWN_SIGNATURE)
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TlsFileError(UNKNOWN_KEY_KIND) from error
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise TlsFileError(UNKNOWN_KEY_KIND)
    for extension in extensions:
        if extension.critical and extension.oid not in _KNOWN_EXTENSIONS:
            raise TlsFileError(UNKNOWN_EXTENSION)
    return certificate


def _load_private_key(content: bytes) -> PrivateKey:
    """Return a private key in DER. Raises TlsFileError if mbed TLS cannot read it."""
    try:
        key = serialization.load_der_private_key(_first_sequence(content), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TlsFileError(NOT_A_KEY) from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise TlsFileError(UNKNOWN_KEY_KIND)
    return key


def _first_sequence(content: bytes) -> bytes:
    """Return the DER sequence at the beginning of ``content``, without the bytes after it.

    A sequence is a tag (1 byte), a length, and contents of this length. A length of at most 0x7F is 1 byte. For a
    longer one, the low 7 bits of this byte are the number of bytes that follow and hold the length, big-endian.

    Raises ValueError if ``content`` does not begin with a sequence.
    """
    if content[:1] != bytes([_SEQUENCE]) or len(content) < 2:
        raise ValueError("no sequence")
    length = content[1]
    if length <= _MAX_SHORT_LENGTH:
        return content[: 2 + length]
    length_bytes = length & 0x7F
    if length_bytes == 0:
        # 0x80 stands for an indefinite length, which DER does not have. The parser refuses it.
        return content[: 2 + length]
    if length_bytes > 4:
        raise ValueError("a length of more than 4 bytes")
    header_bytes = 2 + length_bytes
    long_length = int.from_bytes(content[2:header_bytes], "big")
    return content[: header_bytes + long_length]
