"""Where a request may go while a testbed is open: to the testbed, to the network, or nowhere.

The decision depends only on the address. No name server is asked.

1. A host that the test allowed is on the network.
2. An address that a variable or a file names for AWS is a redirect of the user's daily work: it means the testbed.
3. An address of AWS means the testbed.
4. Loopback is on the network.
5. Everything else is refused. So is a URL in which two parsers find different hosts.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import SplitResult, urlsplit

from lorafw.errors import LabError

_PORTS: Final = {"http": 80, "https": 443}
_AWS_DOMAINS: Final = (
    "amazonaws.com",
    "api.aws",
    "amazonaws.com.cn",
    "api.amazonwebservices.com.cn",
    "amazonaws.eu",
    "on.aws",
    "c2s.ic.gov",
    "sc2s.sgov.gov",
)


class Place(Enum):
    """The destination of a request."""

    TESTBED = "testbed"
    """moto answers the request in this process."""
    NETWORK = "network"
    """The request is sent."""
    NOWHERE = "nowhere"
    """The request is refused."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The destinations that requests may have. It is immutable, so threads can share it."""

    allowed: frozenset[str] = frozenset()
    """Hosts as ``name`` or ``name:port``, in lower case."""
    redirects: tuple[SplitResult, ...] = ()
    """Addresses that variables and files name for AWS."""

    def place_of(self, url: str) -> Place:
        """Return the destination of a request to this URL."""
        host = urlsplit(url).hostname
        if not is_unambiguous(url):
            return Place.NOWHERE
        if self.allows(url):
            return Place.NETWORK
        if self.redirect_of(url) is not None or is_aws(host):
            return Place.TESTBED
        if is_loopback(host):
            return Place.NETWORK
        return Place.NOWHERE

    def allows(self, url: str) -> bool:
        """Return True if the test allowed the host of this URL."""
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        return host in self.allowed or f"{host}:{_port(parts)}" in self.allowed

    def permits_proxy(self, url: str) -> bool:
        """Return True if requests may go through the proxy at this URL: it is on this machine, or was allowed."""
        is_near = is_loopback(urlsplit(url).hostname) or self.allows(url)
        return is_near and is_unambiguous(url)

    def redirect_of(self, url: str) -> SplitResult | None:
        """Return the configured address that this URL belongs to. A bucket may stand before its host."""
        parts = urlsplit(url)
        for redirect in self.redirects:
            host = parts.hostname or ""
            redirect_host = redirect.hostname or ""
            is_same_host = host == redirect_host or host.endswith(f".{redirect_host}")
            if is_same_host and _port(parts) == _port(redirect):
                return redirect
        return None


def make_reach(allow_hosts: Sequence[str], configured: Iterable[str]) -> Reach:
    """Return what may be reached.

    Args:
        allow_hosts: Hosts that the test allows, such as "minio" or "minio:9000".
        configured: Addresses that variables and files name for AWS. One that is not a URL is left out.

    Raises:
        LabError: An allowed host is not written as one.
    """
    return Reach(check_hosts(allow_hosts), tuple(_urls(configured)))


def check_hosts(allow_hosts: Sequence[str]) -> frozenset[str]:
    """Return the allowed hosts in lower case. Raises LabError if one is not written as a host."""
    if isinstance(allow_hosts, str):
        raise LabError(f"allow_hosts: {allow_hosts!r} is one text; give a list, [{allow_hosts!r}]")
    return frozenset(_checked_host(host) for host in allow_hosts)


def is_unambiguous(url: str) -> bool:
    r"""Return whether urllib3, which connects for botocore, reads the same host and port in a URL as this module.

    For ``http://aws.example.com\@127.0.0.1/`` they differ: urllib3 connects to aws.example.com.
    """
    from urllib3.exceptions import LocationParseError  # noqa: PLC0415 -- botocore has imported it, if it is needed
    from urllib3.util import parse_url  # noqa: PLC0415

    parts = urlsplit(url)
    try:
        connected = parse_url(url)
    except LocationParseError:
        return False
    host = (connected.host or "").strip("[]").lower()
    return host == (parts.hostname or "") and connected.port == parts.port


def is_loopback(host: str | None) -> bool:
    """Return whether a host is this machine, by its name or address alone."""
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # Not "bucket.localhost": many machines ask a name server for that.
        return host.lower() == "localhost"


def is_aws(host: str | None) -> bool:
    """Return whether a host belongs to AWS."""
    name = (host or "").lower()
    return any(name.endswith(f".{domain}") for domain in _AWS_DOMAINS)


def _checked_host(host: object) -> str:
    """Return an allowed host in lower case, without the brackets of IPv6. Raises LabError if it is not a host."""
    if isinstance(host, str) and host and host == host.strip() and not set(host) & set("/@?#*"):
        name = host.lower()
        if name.startswith("["):
            return name.replace("[", "").replace("]", "")
        return name
    raise LabError(f"allow_hosts: {host!r} is not a host; give its name or address, such as 'minio' or 'minio:9000'")


def _urls(texts: Iterable[str]) -> Iterable[SplitResult]:
    """Yield the texts that are URLs with a host and a known port, split into their parts."""
    for text in texts:
        try:
            parts = urlsplit(text)
            is_url = parts.scheme in _PORTS and bool(parts.hostname) and _port(parts) is not None
        except ValueError:
            continue
        if is_url:
            yield parts


def _port(parts: SplitResult) -> int | None:
    """Return the port of a URL, or the default port of its scheme."""
    return parts.port or _PORTS.get(parts.scheme)
