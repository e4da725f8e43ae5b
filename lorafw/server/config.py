"""How much of the server one gateway may take: bytes, time, and connections.

The times are a Basics Station's own: it gives up where an answer has not come within 60 s of connecting, or where less
than 8 KB of it come within 60 s (source: Basics Station 2.0.6). So whoever is slower than this is no station.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, bytes and counts. Tests and benchmarks hand in smaller ones."""

    request_timeout_s: float = 60.0
    """Handshake and request together, from the accept to the last byte of the body."""
    request_bytes: int = 16384
    """Header and body of a request together; a station's buffer for both has half of it."""
    min_rate_window_s: float = 60.0
    """In each span of so many seconds a gateway takes ``min_rate_bytes`` of a reply, or all that is left of it."""
    min_rate_bytes: int = 8192
    close_timeout_s: float = 10.0
    """How long a gateway that has its answer may keep the connection."""
    connections: int = 4096
    """Connections at once. One more takes the place of the oldest that idles, of the address that has most of them."""
    send_buffer_bytes: int = 256 * 1024
    """What the kernel may hold of a reply that the gateway has not taken yet."""


DEFAULT_LIMITS = Limits()
