"""The phases of a client connection.

``Limits`` bounds each phase::

    READING       TLS handshake, header and body   at most request_timeout_s and request_bytes in total
    PROCESSING    the update service decides       no limit
    SENDING       an update is sent                at least min_rate_bytes in each min_rate_window_s
    CLOSING       the response is written          at most close_timeout_s
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class Phase(Enum):
    """The phase of a connection."""

    READING = auto()
    """The client sends its request. The TLS handshake is part of it."""
    PROCESSING = auto()
    """The update service decides what to answer."""
    SENDING = auto()
    """An update is sent."""
    CLOSING = auto()
    """The response is written, and the connection ends."""


IDLE_PHASES: Final = (Phase.READING, Phase.CLOSING)
"""The phases in which a connection may be closed to make room for another one."""
