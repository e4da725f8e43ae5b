"""Settings of the CUPS server: HTTPS, and limits on the time, bytes and connections that a client may use.

The default times are those of a Basics Station, which gives up if a response does not arrive within 60 s of connecting,
or if less than 8 KB of it arrive within 60 s (source: Basics Station 2.0.6). So a slower client is not a station.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from lorafw.server.authorization import CertificateAuthorizer


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a CUPS server. Immutable."""

    request_timeout_s: float = 60.0
    """Longest time from the accept to the last byte of the request, the TLS handshake included."""
    request_bytes: int = 16384
    """Largest request in bytes, header and body together. A station's buffer for both has half this size."""
    min_rate_window_s: float = 60.0
    """Length of the window in which a gateway must read ``min_rate_bytes`` of a response, or all that is left."""
    min_rate_bytes: int = 8192
    """Number of bytes that a gateway must read in each window."""
    close_timeout_s: float = 10.0
    """Longest time that a gateway may keep the connection after the response was written."""
    connections: int = 4096
    """Largest number of open connections. For one more, the oldest idle one of the busiest address is closed."""
    send_buffer_bytes: int = 256 * 1024
    """Size of the kernel's buffer for data that the gateway has not acknowledged."""


DEFAULT_LIMITS = Limits()
"""The limits of a server that is not given others."""


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """Settings for HTTPS with client certificates."""

    context: ssl.SSLContext
    """The server's TLS context. It must require client certificates."""
    gatekeeper: CertificateAuthorizer
    """Decides for which gateway a client certificate may be used."""
    name: str = "localhost"
    """Host name in cups.uri. The server's certificate must contain it."""
