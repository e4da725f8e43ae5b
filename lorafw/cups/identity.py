"""Which certificate may speak for which gateway.

A station's request says who it is (``router``), and nothing in the protocol ties that to its certificate. So the
server does: the certificate must be the one that is bound to the gateway, and be active, at the moment of the request.

TLS itself lets in whatever certificate was ever bound, since what a context trusts cannot be taken back; a certificate
that never was gets an alert. Whether it still is bound is asked at each request.
"""

from __future__ import annotations

import hashlib
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lorafw.errors import NotAllowed
from lorafw.eui import GatewayEui
from lorafw.tasks.model import Gateway, Owner


@dataclass(frozen=True, slots=True)
class BoundCertificate:
    """A certificate as IoT knows it."""

    certificate_id: str
    pem: str
    is_active: bool


class Certificates(Protocol):
    """Where certificates are kept."""

    def find(self, owner: Owner, certificate_id: str) -> BoundCertificate | None: ...


class Gatekeeper:
    """Trusts certificates as they are bound to gateways, and asks who speaks for whom."""

    def __init__(self, certificates: Certificates, find_gateway: Callable[[GatewayEui], Gateway | None]) -> None:
        self._certificates = certificates
        self._find_gateway = find_gateway
        self._lock = threading.Lock()
        self._contexts: list[ssl.SSLContext] = []
        self._trusted: dict[bytes, str] = {}

    def attach(self, context: ssl.SSLContext) -> None:
        """Let ``context`` trust every certificate that is bound, now and later."""
        with self._lock:
            self._contexts.append(context)
            for pem in self._trusted.values():
                context.load_verify_locations(cadata=pem)

    def trust(self, owner: Owner, certificate_id: str) -> None:
        """A certificate was bound to a gateway: from the next handshake on it is let in."""
        found = self._certificates.find(owner, certificate_id)
        if found is None:
            return
        with self._lock:
            digest = fingerprint(found.pem)
            if digest is None or digest in self._trusted:
                return
            self._trusted[digest] = found.pem
            for context in self._contexts:
                context.load_verify_locations(cadata=found.pem)

    def check(self, certificate: bytes, router: GatewayEui) -> None:
        """Return, or raise NotAllowed. ``certificate`` is the client's, in DER."""
        gateway = self._find_gateway(router)
        bound = gateway.certificate_id if gateway is not None else None
        if gateway is None or bound is None:
            raise NotAllowed(f"no certificate is bound to gateway {router.hex}")
        known = self._certificates.find(gateway.owner, bound)
        if known is None or fingerprint(known.pem) != hashlib.sha256(certificate).digest():
            raise NotAllowed(f"this certificate is not the one that is bound to gateway {router.hex}")
        if not known.is_active:
            raise NotAllowed(f"the certificate of gateway {router.hex} is not active")


def fingerprint(pem: str) -> bytes | None:
    """SHA-256 of the certificate in DER; None where the text is no certificate."""
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.strip())).digest()
    except ValueError:
        return None
