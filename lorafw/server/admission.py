"""Decide which HTTP requests a server on this machine admits, from three headers and without I/O.

A page on the web can make a browser on this machine send requests to a server on loopback. Two checks stop it:

* The ``Host`` must be a name of this machine. With DNS rebinding, the name of a web page resolves to 127.0.0.1, but
  the browser still sends that name. Names under ``localhost`` are admitted, because S3 puts the bucket in front of the
  name, and because no DNS server on the Internet is asked for them (RFC 6761).
* The ``Origin`` must be the server itself, and ``Sec-Fetch-Site`` must say so too. Programs such as boto3 send
  neither, and a Basics Station does not either.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

LOCALHOST: Final = "localhost"
_HOST: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_OWN_SITE: Final = ("same-origin", "none")
"""Values of Sec-Fetch-Site that a page of another server cannot cause. "none" is an address that a person typed."""


class Denial(StrEnum):
    """Why a request is not admitted. The texts are short: they go into error bodies and counts."""

    HOST = "unknown Host"
    ORIGIN = "foreign Origin"
    SITE = "cross-site request"
    BROWSER = "request of a browser"
    PATH = "path is not served"


@dataclass(frozen=True, slots=True)
class RequestSource:
    """The headers of a request that tell where it comes from. A missing header is None."""

    host: str | None
    """The ``Host`` header."""
    origin: str | None = None
    """The ``Origin`` header."""
    fetch_site: str | None = None
    """The ``Sec-Fetch-Site`` header."""

    @property
    def is_from_browser(self) -> bool:
        """True if the request has a header that only browsers send."""
        return self.origin is not None or self.fetch_site is not None


class HostNames:
    """The names under which a server is known. Immutable."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """Know these names and addresses, the names below them, and everything that means loopback.

        Args:
            names: Public names of this machine, or addresses that a server listens at. The address that stands for
                all interfaces (0.0.0.0 or ::) adds nothing.
        """
        self._names = frozenset(name.strip("[]").lower() for name in names)
        # Cached, because this is asked at each request and clients use few names.
        self._is_known = lru_cache(maxsize=64)(self._look_up)

    def __contains__(self, host: str) -> bool:
        """Return True if ``host``, a Host header with or without a port, names this machine."""
        return self._is_known(host)

    def _look_up(self, host: str) -> bool:
        """Return True if a Host header names this machine, without the cache."""
        name = read_host(host)
        if name is None:
            return False
        address = _read_address(name)
        if address is not None:
            return address.is_loopback or (name in self._names and not address.is_unspecified)
        return _is_below(name, LOCALHOST) or any(_is_below(name, own_name) for own_name in self._names)


def decide(source: RequestSource, names: HostNames) -> Denial | None:
    """Decide whether a server admits a request. Return None if it does, otherwise why it does not."""
    if source.host is None or source.host not in names:
        return Denial.HOST
    if source.origin is not None and not _is_same(source.origin, source.host):
        return Denial.ORIGIN
    if source.fetch_site is not None and source.fetch_site not in _OWN_SITE:
        return Denial.SITE
    return None


def decide_without_browsers(source: RequestSource, names: HostNames) -> Denial | None:
    """Decide like ``decide``, for a server that no web page needs: every request of a browser is denied."""
    if source.is_from_browser:
        return Denial.BROWSER
    return decide(source, names)


def read_host(header: str) -> str | None:
    """Return the name in a Host header, in small letters and without port and brackets. None if it is malformed."""
    match = _HOST.fullmatch(header)
    if match is None:
        return None
    return match["name"].strip("[]").rstrip(".").lower()


def _read_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return a name as an IP address, or None if it is not one."""
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _is_below(name: str, parent: str) -> bool:
    """Return True if a DNS name equals ``parent`` or is a subdomain of it."""
    return name == parent or name.endswith(f".{parent}")


def _is_same(origin: str, host: str) -> bool:
    """Return True if an Origin names the same server as a Host header, port included."""
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False
