"""Which certificate may speak for which gateway.

A station's request says who it is (``router``), and nothing in the protocol ties that to its certificate. So the
server does: the certificate must be the one that is bound to the gateway, and be active, at the moment of the request.

TLS itself lets in whatever certificate was ever bound, since what a context trusts cannot be taken back; a certificate
that never was gets an alert. Whether it still is bound, active and in its time is asked at each request, also of a
client that resumes an old session, in which TLS looks at no certificate.
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
    """A certificate as IoT knows it."""

    certificate_id: str
    pem: str
    is_active: bool


class CertificateStore(Protocol):
    """Where certificates are kept."""

    def find(self, owner: AccountRegion, certificate_id: str) -> BoundCertificate | None: ...


class CertificateAuthorizer:
    """Trusts certificates as they are bound to gateways, and asks who speaks for whom."""

    def __init__(
        self,
        certificates: CertificateStore,
        find_gateway: Callable[[GatewayEui], Gateway | None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._certificates = certificates
        self._find_gateway = find_gateway
        self._now = now
        self._lock = threading.Lock()
        self._contexts: list[ssl.SSLContext] = []
        self._trusted: set[bytes] = set()

    def attach(self, context: ssl.SSLContext) -> None:
        """Let ``context`` trust every certificate that is bound, now and later."""
        with self._lock:
            self._contexts.append(context)
            for der in self._trusted:
                context.load_verify_locations(cadata=der)

    def trust(self, owner: AccountRegion, certificate_id: str) -> None:
        """A certificate was bound to a gateway: from the next handshake on it is let in."""
        found = self._certificates.find(owner, certificate_id)
        leaf = load_leaf(found.pem) if found is not None else None
        if leaf is None:
            return
        with self._lock:
            if leaf.der in self._trusted:
                return
            self._trusted.add(leaf.der)
            for context in self._contexts:
                context.load_verify_locations(cadata=leaf.der)

    def check(self, certificate: bytes, router: GatewayEui) -> None:
        """Return, or raise NotAllowed. ``certificate`` is the client's, in DER."""
        gateway = self._find_gateway(router)
        bound = gateway.certificate_id if gateway is not None else None
        if gateway is None or bound is None:
            raise CertificateNotAllowed(f"no certificate is bound to gateway {router.hex}")
        known = self._certificates.find(gateway.owner, bound)
        leaf = load_leaf(known.pem) if known is not None else None
        if known is None or leaf is None or leaf.der != certificate:
            raise CertificateNotAllowed(f"this certificate is not the one that is bound to gateway {router.hex}")
        if not known.is_active:
            raise CertificateNotAllowed(f"the certificate of gateway {router.hex} is not active")
        if not leaf.not_before <= self._now() <= leaf.not_after:
            raise CertificateNotAllowed(f"the certificate of gateway {router.hex} is not in its time")


@dataclass(frozen=True, slots=True)
class LeafCertificate:
    """A client's own certificate, in DER, and its time."""

    der: bytes
    not_before: datetime
    not_after: datetime


@lru_cache(maxsize=4096)
def load_leaf(pem: str) -> LeafCertificate | None:
    """Return the first certificate of a text, which is the client's own, or None if no client can use it.

    None is for a text without a certificate, and for one that cryptography or OpenSSL does not take, such as one of
    X.509 version 2. Further certificates, its issuers, are ignored: trusting them would let in all that they issued.
    """
    try:
        found = x509.load_pem_x509_certificate(pem.encode())
        leaf = LeafCertificate(found.public_bytes(Encoding.DER), found.not_valid_before_utc, found.not_valid_after_utc)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=leaf.der)
    except (ValueError, x509.InvalidVersion, ssl.SSLError):
        return None
    return leaf
