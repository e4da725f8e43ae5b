"""Read the issuer and the subject of a certificate as mbed TLS 2.28.0 reads them.

The library does not look at the characters of a text. So it accepts a PrintableString with a character that such a
text may not have, such as ``@`` or ``*``, and a UTF8String that is not UTF-8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography import x509

from lorafw.station.der import format_oid, iter_values, split_value

_VERSION: Final = 0xA0
"""The tag of the version, with which a certificate begins unless its version is 1."""


@dataclass(frozen=True, slots=True)
class NameAttribute:
    """One attribute of a name, such as the common name."""

    oid: str
    """The object identifier of the attribute, as numbers with dots."""
    tag: int
    """The DER tag of the text, which says how it is encoded."""
    value: bytes
    """The bytes of the text."""


CertificateName = tuple[tuple[NameAttribute, ...], ...]
"""The parts of a name. Most parts have a single attribute."""


def issuer_and_subject(certificate: x509.Certificate) -> tuple[CertificateName, CertificateName]:
    """Return the two names of a certificate.

    Raises:
        ValueError: A name is not DER.
    """
    _, contents, _ = split_value(certificate.tbs_certificate_bytes)
    fields = list(iter_values(contents))
    if fields[0][0] == _VERSION:
        fields = fields[1:]
    # The serial number and the algorithm of the signature come first.
    (_, issuer), _, (_, subject) = fields[2:5]
    return _read_name(issuer), _read_name(subject)


def _read_name(contents: bytes) -> CertificateName:
    """Return the name in the contents of its sequence. Raises ValueError."""
    return tuple(
        tuple(_read_attribute(attribute) for _, attribute in iter_values(part)) for _, part in iter_values(contents)
    )


def _read_attribute(contents: bytes) -> NameAttribute:
    """Return the attribute in the contents of its sequence. Raises ValueError."""
    _, oid, text = split_value(contents)
    tag, value, _ = split_value(text)
    return NameAttribute(format_oid(oid), tag, value)
