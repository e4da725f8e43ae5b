"""Addresses of servers on this machine: check a port, recognize loopback, and connect without a proxy."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import urllib.request
from typing import Final

DIRECT_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens URLs of this machine without the proxy from the environment, which could not reach them."""

_LOOPBACK_NAMES: Final = ("localhost", "ip6-localhost", "ip6-loopback")
"""Names that systems give to the addresses of loopback. The last two are Debian's, for ``::1``."""


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


def host_name_of(host: str) -> str:
    """Return a name or an address by which a client on this machine reaches a server that listens at ``host``.

    A name is preferred: a Basics Station cannot use an IPv6 address in a URI. The result is an address if no usual name
    of this machine leads to it.
    """
    address = reachable(host)
    for name in _LOOPBACK_NAMES:
        with contextlib.suppress(OSError):
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            addresses = {socket_address[0] for _, _, _, _, socket_address in found}
            if address == name or address in addresses:
                return name
    return address


def is_ipv6(host: str) -> bool:
    """Return True if ``host`` is an IPv6 address."""
    return ":" in host


def as_url_host(host: str) -> str:
    """Return ``host`` as it stands in a URL: an IPv6 address in brackets."""
    if is_ipv6(host):
        return f"[{host}]"
    return host
