"""Servers and calls on this machine: whether a port can be listened at, and a way past any proxy."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import urllib.request
from typing import Final

PAST_PROXIES: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens addresses of this machine: a proxy that is set would not know them."""


def check_port(host: str, port: int) -> None:
    """Raises OSError where no server can listen at this port; one that was just left counts as free."""
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine's own. Looks up no name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
