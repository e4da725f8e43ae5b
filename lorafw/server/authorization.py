"""Authorization: which client certificate may be used for which gateway.

A request names its gateway (``router``), but the protocol does not tie this name to the client's certificate. So the
server checks, at each request, that the certificate is bound to this gateway, is active, and is within its validity.

The TLS handshake accepts every certificate that was ever bound, because an ``ssl.SSLContext`` cannot stop trusting one;
other certificates get an alert. The check at each request also covers a resumed session, in which TLS does not look
at the certificate.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from lorafw.errors import CertificateNotAllowed
from lorafw.eui import GatewayEui
from lorafw.tasks.model import AccountRegion, Gateway


@dataclass(frozen=True, slots=True)
class BoundCertificate:
    """A certificate as AWS IoT stores it."""

    certificate_id: str
    """Its ID in AWS IoT."""
    pem: str
    """The certificate in PEM, possibly followed by its issuers."""
    is_active: bool
    """True if its status is ACTIVE."""


class CertificateStore(Protocol):
    """Gives access to stored certificates."""

    def find(self, owner: AccountRegion, certificate_id: str) -> BoundCertificate | None:
        """Return a certificate of an account and region, or None if there is none with this ID."""
        ...


def _utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class CertificateAuthorizer:
    """Decides whether a client certificate may be used for a gateway. Thread-safe."""

    def __init__(
        self,
        certificates: CertificateStore,
        find_gateway: Callable[[GatewayEui], Gateway | None],
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        """Create an authorizer that trusts no certificate yet.

        Args:
            certificates: The stored certificates.
            find_gateway: Returns the gateway with an EUI, or None.
            now: Returns the current time, with a time zone.
        """
        self._certificates = certificates
        self._find_gateway = find_gateway
        self._now = now
        self._lock = threading.Lock()
        self._contexts: list[ssl.SSLContext] = []
        self._trusted: set[bytes] = set()

    def attach(self, context: ssl.SSLContext) -> None:
        """Make a TLS context accept every certificate that is trusted now or later. Changes ``context``."""
        with self._lock:
            self._contexts.append(context)
            for der in self._trusted:
                context.load_verify_locations(cadata=der)

    def trust(self, owner: AccountRegion, certificate_id: str) -> None:
        """Accept a certificate from the next TLS handshake on. Call this when it is bound to a gateway.

        Does nothing if the certificate does not exist or cannot be loaded.
        """
        stored = self._certificates.find(owner, certificate_id)
        if stored is None:
            return
        leaf = load_leaf(stored.pem)
        if leaf is None:
            return
        with self._lock:
            if leaf.der in self._trusted:
                return
            self._trusted.add(leaf.der)
            for context in self._contexts:
                context.load_verify_locations(cadata=leaf.der)

    def check(self, certificate: bytes, router: GatewayEui) -> None:
        """Check that a certificate may be used for a gateway.

        Args:
            certificate: The client's certificate in DER.
            router: EUI of the gateway that the request names.

        Raises:
            CertificateNotAllowed: The certificate is not the one bound to the gateway, is not active, or is not
                within its validity.
        """
        gateway = self._find_gateway(router)
        if gateway is None or gateway.certificate_id is None:
            raise CertificateNotAllowed(f"no certificate is bound to gateway {router.hex}")
        stored = self._certificates.find(gateway.owner, gateway.certificate_id)
        leaf = load_leaf(stored.pem) if stored is not None else None
        if stored is None or leaf is None or leaf.der != certificate:
            raise CertificateNotAllowed(f"this certificate is not the one that is bound to gateway {router.hex}")
        if not stored.is_active:
            raise CertificateNotAllowed(f"the certificate of gateway {router.hex} is not active")
        if not leaf.not_before <= self._now() <= leaf.not_after:
            raise CertificateNotAllowed(f"the certificate of gateway {router.hex} is not in its time")


@dataclass(frozen=True, slots=True)
class LeafCertificate:
    """A client's own certificate, without its issuers."""

    der: bytes
    """The certificate in DER."""
    not_before: datetime
    """Start of its validity."""
    not_after: datetime
    """End of its validity."""


@lru_cache(maxsize=4096)
def load_leaf(pem: str) -> LeafCertificate | None:
    """Return the first certificate of a PEM text, which is the client's own.

    Further certificates, the issuers, are ignored: a server that trusted them would accept all that they issued.

    Returns:
        The certificate. None if the text contains none, or if cryptography or OpenSSL cannot load it, for example
        because its X.509 version is 2.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        leaf = LeafCertificate(
            der=certificate.public_bytes(Encoding.DER),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )
        # Fails for a certificate that OpenSSL could not trust later.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=leaf.der)
    except (ValueError, x509.InvalidVersion, ssl.SSLError):
        return None
    return leaf
