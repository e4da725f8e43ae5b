"""The address of a CUPS server as a Basics Station reads it from cups.uri.

The station checks less than one would expect: the scheme in any case, a host, and a port that may be any text of fewer
than 16 bytes. Everything else is decided when the host and the port are looked up. Two faults of the station are part
of the reader: an IPv6 literal loses its last character, and ``http://[]:1`` ends the station's process.
Source: Basics Station 2.0.6, net.c (``uri_parse``, ``uri_checkHostPortUri``) and 20 recorded addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lorafw.station.http import StationCrash, TransportError
from lorafw.station.log import Level, LogLine

MAX_URI: Final = 127
"""Bytes of an address that the station uses. It ignores a file with more."""

_SCHEME: Final = b"http"
_MAX_HOST: Final = 128
_MAX_PORT: Final = 16
_NO_LITERAL: Final = b"[]"


@dataclass(frozen=True, slots=True)
class StationAddress:
    """Where the station connects to.

    ``host`` and ``port`` are what it looks up, as bytes. ``host_port`` is the text of the Host header.
    """

    is_tls: bool
    host: bytes
    port: bytes
    host_port: str


class MalformedUri(TransportError):
    """The station does not take this text for the address of a server. It does not start with such a cups.uri."""


def parse_cups_uri(uri: str) -> StationAddress:
    """Read an address as the station does.

    Raises:
        MalformedUri: The station refuses the address. The error has the lines that it logs.
        StationCrash: The station ends with a segmentation fault.
    """
    try:
        text = uri.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise _malformed("no file has half of a surrogate pair, found in", ascii(uri)) from None
    scheme_end = len(_SCHEME)
    is_tls = text[scheme_end : scheme_end + 1] == b"s"
    if is_tls:
        scheme_end += 1
    if text[: len(_SCHEME)].lower() != _SCHEME or text[scheme_end : scheme_end + 1] != b":":
        raise _malformed("expecting http://.. or https://.. but found", uri)
    slashes, host_port = text[scheme_end + 1 : scheme_end + 3], text[scheme_end + 3 :]
    host, separator, port = _split(host_port)
    has_port = separator == b":" and port and b"/" not in port
    if slashes != b"//" or not host or not has_port:
        raise _malformed("expecting http(s)://host:port (no path, port mandatory) but found", uri)
    if len(host) >= _MAX_HOST or len(port) >= _MAX_PORT:
        raise _malformed(f"host/port too big (max {_MAX_HOST}/{_MAX_PORT})", uri)
    if host == _NO_LITERAL:
        raise StationCrash(
            f"a Basics Station 2.0.6 crashes here (net.c, uri_checkHostPortUri): the host of {uri} is an empty IPv6 "
            "literal, to which it gives the length -1; it crashes again at every start with this cups.uri"
        )
    return StationAddress(is_tls, host, port, host_port.decode("utf-8", "surrogateescape"))


def _split(host_port: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the host, the byte behind it, and the rest. The host is empty if a literal has no end.

    The host of ``[]`` is ``[]``. Any other literal is without its brackets and its last character.
    """
    if not host_port.startswith(b"["):
        end = min(at for at in (host_port.find(b":"), host_port.find(b"/"), len(host_port)) if at >= 0)
        return host_port[:end], host_port[end : end + 1], host_port[end + 1 :]
    literal, bracket, rest = host_port[1:].partition(b"]")
    if not bracket:
        return b"", b"", b""
    host = literal[:-1] if literal else _NO_LITERAL
    return host, rest[:1], rest[1:]


def _malformed(why: str, uri: str) -> MalformedUri:
    return MalformedUri(
        LogLine("AIO", Level.ERROR, f"Malformed URI - {why}: {uri}"),
        LogLine("CUP", Level.ERROR, f"Bad CUPS URI: {uri}"),
    )
