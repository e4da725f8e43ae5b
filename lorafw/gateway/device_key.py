"""The private key of a new gateway. It never leaves this machine: AWS receives only its public key."""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from lorafw.eui import GatewayEui
from lorafw.gateway.enrolment_rollback import key_sha256

RSA_BITS: Final = 2048
"""The size of the key. AWS's CreateKeysAndCertificate creates keys of the same size."""


class DeviceKey:
    """A private key for one gateway."""

    def __init__(self) -> None:
        """Create a random key."""
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the public key, as the journal stores it."""
        return key_sha256(self._key.public_key())

    def to_pem(self) -> bytes:
        """Return the private key in PEM, without a password."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())

    def signing_request_pem(self, eui: GatewayEui) -> str:
        """Return a certificate signing request in PEM, whose common name is the EUI of the gateway."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, eui.hex)])
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(self._key, SHA256())
        return request.public_bytes(Encoding.PEM).decode()

    def belongs_to(self, certificate_pem: bytes) -> bool:
        """Return True if a certificate in PEM is for this key."""
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        return certificate.public_key() == self._key.public_key()
