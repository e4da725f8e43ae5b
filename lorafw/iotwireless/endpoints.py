"""The operation GetServiceEndpoint: where gateways find the CUPS server, and the certificate to trust."""

from __future__ import annotations

from lorafw.errors import InvalidValue
from lorafw.iotwireless.context import cups_endpoint
from lorafw.iotwireless.operations import Members


def get_service_endpoint(region: str, service_type: str | None, *, plain: bool = False) -> Members:
    """Return the endpoint of a service, and the certificate to trust.

    Args:
        region: The Region of the caller. It is part of an address in AWS's form.
        service_type: "CUPS" or "LNS". None for CUPS (documented).
        plain: Return the CUPS endpoint without TLS, if there is one.

    Returns:
        The members of the answer. If no such server runs in this process, the endpoint is an address in AWS's form.

    Raises:
        InvalidValue: The endpoint without TLS is asked for, but is not served.
    """
    service = service_type or "CUPS"
    if service == "CUPS":
        uri, ca_pem = cups_endpoint(plain=plain)
    else:
        # No LNS runs in this process. The same CA signs the certificates of both servers (assumed).
        uri = None
        _, ca_pem = cups_endpoint()
    # The endpoint without TLS has no certificate to trust.
    if plain and ca_pem is not None:
        reason = "plain CUPS is not served (--no-plain); use HTTPS, without --plain"
        raise InvalidValue("ServiceType", service, reason)
    endpoint = {"ServiceType": service, "ServiceEndpoint": uri or _endpoint_in_aws(service, region)}
    if ca_pem:
        endpoint["ServerTrust"] = ca_pem
    return endpoint


def _endpoint_in_aws(service: str, region: str) -> str:
    """Return an address in the form that AWS uses for its CUPS and LNS servers. Nothing listens there."""
    scheme = "https" if service == "CUPS" else "wss"
    return f"{scheme}://lorafw.{service.lower()}.lorawan.{region}.amazonaws.com:443"
