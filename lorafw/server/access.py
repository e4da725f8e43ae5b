"""Decide which requests the CUPS server answers, and for which gateway a client may ask.

Over HTTPS the client's certificate decides. Plain HTTP does not identify the client, so a request there is only checked
for signs of a web browser (see ``admission``), and gateways that have a certificate can be refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from lorafw.errors import CertificateNotAllowed
from lorafw.eui import GatewayEui
from lorafw.server.admission import Denial, HostNames, RequestSource, decide_without_browsers
from lorafw.server.config import TlsConfig
from lorafw.tasks.model import Gateway


@dataclass(frozen=True, slots=True)
class AccessRules:
    """The rules of one CUPS server."""

    tls: TlsConfig | None
    """The settings for HTTPS, or None if the server uses plain HTTP."""
    host_names: HostNames
    """The names under which clients may address the server over plain HTTP."""
    refuse_bound: bool
    """Whether plain HTTP refuses gateways that a certificate is bound to."""
    find_gateway: Callable[[GatewayEui], Gateway | None]
    """Returns the gateway with an EUI, or None."""

    def find_denial(self, http: web.BaseRequest) -> Denial | None:
        """Return why the headers of a request are not admitted, or None if they are.

        Over HTTPS all headers are admitted: the client needs a certificate, and a web page has none.
        """
        if self.tls is not None:
            return None
        headers = http.headers
        source = RequestSource(headers.get("Host"), headers.get("Origin"), headers.get("Sec-Fetch-Site"))
        return decide_without_browsers(source, self.host_names)

    def check_identity(self, http: web.BaseRequest, eui: GatewayEui) -> None:
        """Check that a client may ask for a gateway.

        Args:
            http: The client's request.
            eui: The gateway that the request names.

        Raises:
            CertificateNotAllowed: The client may not ask for this gateway.
        """
        if self.tls is None:
            self._check_plain_http_is_enough(eui)
            return
        certificate = peer_certificate(http.transport)
        if certificate is None:
            raise CertificateNotAllowed("no client certificate")
        self.tls.gatekeeper.check(certificate, eui)

    def _check_plain_http_is_enough(self, eui: GatewayEui) -> None:
        """Raise CertificateNotAllowed if the gateway must use HTTPS.

        A certificate would protect nothing if anyone could ask for its gateway over plain HTTP.
        """
        if not self.refuse_bound:
            return
        gateway = self.find_gateway(eui)
        if gateway is not None and gateway.certificate_id is not None:
            raise CertificateNotAllowed(f"gateway {eui.hex} has a certificate: it must use HTTPS")


def peer_certificate(transport: asyncio.Transport | None) -> bytes | None:
    """Return the client's certificate in DER, or None without a connection, TLS or certificate."""
    if transport is None:
        return None
    tls_object = transport.get_extra_info("ssl_object")
    if tls_object is None:
        return None
    certificate: bytes | None = tls_object.getpeercert(binary_form=True)
    return certificate
