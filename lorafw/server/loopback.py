"""Addresses of servers on this machine: check a port, recognize loopback, and connect without a proxy."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import urllib.request
from typing import Final

DIRECT_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens URLs of this machine without the proxy from the environment, which could not reach them."""


def ensure_port_free(host: str, port: int) -> None:
    """Check that a server can listen at a port. A port in TIME_WAIT counts as free.

    Raises:
        OSError: The port is taken, or this machine does not have the address.
    """
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    with contextlib.closing(socket.socket(family, kind)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def loopback_or_default(host: str) -> str:
    """Return ``host`` if it is an address of loopback, otherwise 127.0.0.1."""
    if is_loopback(host):
        return host
    return "127.0.0.1"


def is_loopback(host: str) -> bool:
    """Return True if only this machine can reach a server that listens at ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def reachable(host: str) -> str:
    """Return an address at which a client on this machine reaches a server that listens at ``host``."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 -- nothing listens here


def as_url_host(host: str) -> str:
    """Return ``host`` as it stands in a URL: an IPv6 address in brackets."""
    if ":" in host:
        return f"[{host}]"
    return host
