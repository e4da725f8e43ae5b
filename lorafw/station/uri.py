"""Parse the address of a CUPS server in cups.uri as a Basics Station does.

The station checks little: the scheme in upper or lower case, a host, and a port, which can be any text of fewer than
16 bytes. Other mistakes show when the station looks up the host and the port. The parser reproduces two faults of the
station: an IPv6 literal loses its last character, and ``http://[]:1`` crashes the process.

Source: Basics Station 2.0.6, net.c (``uri_parse``, ``uri_checkHostPortUri``) and 20 recorded addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lorafw.station.http import StationCrash, TransportError
from lorafw.station.log import Level, LogLine
from lorafw.text import decode_lossless, encode_lossless

MAX_URI_BYTES: Final = 127
"""The maximum length of an address. The station ignores a file with more bytes."""

_SCHEME: Final = b"http"
_MAX_HOST_BYTES: Final = 128
_MAX_PORT_BYTES: Final = 16
_EMPTY_LITERAL: Final = b"[]"


@dataclass(frozen=True, slots=True)
class StationAddress:
    """The address that the station connects to."""

    is_tls: bool
    """Whether the scheme is ``https``."""
    host: bytes
    """The host name or address that the station looks up."""
    port: bytes
    """The port that the station looks up. It need not be a number."""
    host_port: str
    """The value of the Host header in requests."""


class MalformedUri(TransportError):
    """The station does not accept this text as an address. It does not start with such a cups.uri."""


def parse_cups_uri(uri: str) -> StationAddress:
    """Return the address that the station reads from a text such as ``https://cups.example:443``.

    Raises:
        MalformedUri: The station refuses the text. The error has the lines that the station logs.
        StationCrash: The station ends with a segmentation fault.
    """
    try:
        text = encode_lossless(uri)
    except UnicodeEncodeError:
        raise _malformed_uri("no file has half of a surrogate pair, found in", ascii(uri)) from None
    # 1. The scheme. An "s" behind the first four letters, in lower case only, means TLS.
    scheme, after_http = text[: len(_SCHEME)], text[len(_SCHEME) :]
    is_tls = after_http.startswith(b"s")
    after_scheme = after_http.removeprefix(b"s")
    if scheme.lower() != _SCHEME or not after_scheme.startswith(b":"):
        raise _malformed_uri("expecting http://.. or https://.. but found", uri)
    # 2. Two slashes, the host and the port. There is no path.
    slashes, host_port = after_scheme[1:3], after_scheme[3:]
    host, separator, port = _split_host_port(host_port)
    has_port = separator == b":" and port and b"/" not in port
    if slashes != b"//" or not host or not has_port:
        raise _malformed_uri("expecting http(s)://host:port (no path, port mandatory) but found", uri)
    # 3. The host and the port must fit into the station's buffers.
    if len(host) >= _MAX_HOST_BYTES or len(port) >= _MAX_PORT_BYTES:
        raise _malformed_uri(f"host/port too big (max {_MAX_HOST_BYTES}/{_MAX_PORT_BYTES})", uri)
    if host == _EMPTY_LITERAL:
        raise StationCrash(
            f"a Basics Station 2.0.6 crashes here (net.c, uri_checkHostPortUri): the host of {uri} is an empty IPv6 "
            "literal, to which it gives the length -1; it crashes again at every start with this cups.uri"
        )
    return StationAddress(is_tls, host, port, decode_lossless(host_port))


def _split_host_port(host_port: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the host, the byte after it, and the rest. The host is empty if an IPv6 literal has no closing bracket.

    The host of ``[]`` is ``[]``. Any other literal is returned without its brackets and without its last character.
    """
    if not host_port.startswith(b"["):
        separators = (host_port.find(b":"), host_port.find(b"/"), len(host_port))
        end = min(offset for offset in separators if offset >= 0)
        return host_port[:end], host_port[end : end + 1], host_port[end + 1 :]
    literal, bracket, rest = host_port[1:].partition(b"]")
    if not bracket:
        return b"", b"", b""
    host = literal[:-1] if literal else _EMPTY_LITERAL
    return host, rest[:1], rest[1:]


def _malformed_uri(why: str, uri: str) -> MalformedUri:
    """Return the error for an address, with the two lines that the station logs."""
    return MalformedUri(
        LogLine("AIO", Level.ERROR, f"Malformed URI - {why}: {uri}"),
        LogLine("CUP", Level.ERROR, f"Bad CUPS URI: {uri}"),
    )
