"""CreateCertificateFromCsr, with a certificate that belongs to the key of the request.

moto 5.2 issues a certificate for a new key that it throws away, so nobody can use that certificate for TLS. AWS issues
one for the public key of the request. ``register()`` puts this function in the place of moto's.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from lorafw.errors import IncompatibleMoto

LIFETIME: Final = timedelta(days=365)
"""The lifetime that moto gives the certificates of CreateKeysAndCertificate."""

MIN_RSA_BITS: Final = 2048
CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
"""AWS's text: an RSA key of at least 2048 bits, or an ECC key from the NIST curves P-256, P-384 or P-521."""


def certify_requested_keys() -> None:
    """Let moto's IoT issue certificates for the keys of the requests.

    Raises:
        IncompatibleMoto: The installed moto has no such method.
    """
    from moto.iot.models import IoTBackend  # noqa: PLC0415

    if not hasattr(IoTBackend, "create_certificate_from_csr"):
        raise IncompatibleMoto("moto's IoTBackend has no create_certificate_from_csr: pip install 'moto>=5.2,<6'")
    IoTBackend.create_certificate_from_csr = create_certificate_from_csr


def create_certificate_from_csr(backend: Any, csr: str, set_as_active: bool | str | None) -> Any:
    """Answer CreateCertificateFromCsr for a backend of moto's IoT.

    Args:
        backend: moto's IoTBackend. The certificate is registered in it.
        csr: The certificate signing request as PEM text.
        set_as_active: Whether the certificate is active at once. moto passes the text of the URL's query.

    Returns:
        moto's certificate.
    """
    pem = issue(_read(csr)).public_bytes(Encoding.PEM).decode()
    # It comes from the query of the URL, so False may be the text "false".
    is_active = str(set_as_active).lower() == "true"
    return backend.register_certificate(pem, ca_certificate_pem=None, set_as_active=is_active, status="INACTIVE")


def issue(request: x509.CertificateSigningRequest) -> x509.Certificate:
    """Issue a certificate for the public key of a request. The issuer's key is new and is not kept."""
    from moto.core.utils import utcnow  # noqa: PLC0415

    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lorafw lab, in the place of AWS IoT")])
    now = utcnow()
    return (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(issuer)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(ec.generate_private_key(ec.SECP256R1()), SHA256())
    )


def _read(csr: str) -> x509.CertificateSigningRequest:
    """Parse a request. Raises moto's InvalidRequestException if AWS would not accept it."""
    from moto.iot.exceptions import InvalidRequestException  # noqa: PLC0415

    try:
        request = x509.load_pem_x509_csr(csr.encode())
        is_good = request.is_signature_valid and _is_accepted(request.public_key())
    except Exception as error:
        raise InvalidRequestException(f"The certificate signing request cannot be read: {error}") from error
    if not is_good:
        raise InvalidRequestException(
            f"The certificate signing request must be signed with its own key: RSA of {MIN_RSA_BITS} bits or more, "
            "or ECC on P-256, P-384 or P-521."
        )
    return request


def _is_accepted(key: object) -> bool:
    """Return True if AWS issues certificates for keys of this type and size."""
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= MIN_RSA_BITS
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, CURVES)
