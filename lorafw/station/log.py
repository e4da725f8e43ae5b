"""Log lines of a Basics Station: the same words at the same levels.

A line in the file: ``2021-03-12 09:56:13.148 [CUP:INFO] ECDSA key#0 -> VERIFIED``. A station shows the lines at or
above ``log_level`` of its station.conf; without one, INFO.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final

from lorafw.cups.credentials import Layout

LINE_BYTES: Final = 511
"""Bytes of a line in the station's log, with time and level. The rest of a longer line is not shown."""

_TIME_BYTES: Final = len("2021-03-12 09:56:13.148 ")
_UNITS_US: Final = (
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1000),
    ("us", 1),
)


class Level(IntEnum):
    """The station's levels in its own order; the name in a line is the first four letters."""

    XDEBUG = 0
    DEBUG = 1
    VERBOSE = 2
    INFO = 3
    NOTICE = 4
    WARNING = 5
    ERROR = 6
    CRITICAL = 7

    @property
    def short(self) -> str:
        return "XDEB" if self is Level.XDEBUG else self.name[:4]


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line: ``module`` is CUP, SYS or AIO."""

    module: str
    level: Level
    text: str

    def __str__(self) -> str:
        """The line without its time. A text that ends with a line feed gets no second one, and a long one is cut."""
        head = f"[{self.module}:{self.level.short}] "
        text = self.text.encode("utf-8", "surrogateescape")[: LINE_BYTES - _TIME_BYTES - len(head)]
        return head + text.decode("utf-8", "surrogateescape").removesuffix("\n")

    def at(self, time_ms: int) -> str:
        """With the time in front, as in the station's log file."""
        moment = datetime.fromtimestamp(time_ms // 1000, UTC)
        return f"{moment:%Y-%m-%d %H:%M:%S}.{time_ms % 1000:03d} {self}"


def format_interval(seconds: float) -> str:
    """Return a span of time as a station prints it: ``1d``, ``1m30s``, ``300ms``.

    There are at most two units, the second being the next smaller one, and what is smaller still is left out: 3601
    seconds are ``1h0m``.
    """
    span_us = round(seconds * 1_000_000)
    if span_us == 0:
        return "0"
    first = next(index for index, (_, size) in enumerate(_UNITS_US) if span_us >= size)
    unit, size = _UNITS_US[first]
    count, rest = divmod(span_us, size)
    text = f"{count}{unit}"
    if rest and first + 1 < len(_UNITS_US):
        next_unit, next_size = _UNITS_US[first + 1]
        text += f"{rest // next_size}{next_unit}"
    return text


def credential_lines(segment: bytes, found: Layout) -> Iterable[str]:
    """What the station tells of the three parts: offset, length, and the bytes around the beginning.

    It looks beyond the end of a short segment; what it finds there counts as zero here.
    """

    def shown(start: int, groups: int) -> str:
        return "  ".join(
            " ".join(f"{segment[at] if 0 <= at < len(segment) else 0:02x}" for at in range(first, first + 4))
            for first in range(start, start + 4 * groups, 4)
        )

    trust_at, trust_length = found.trust
    yield f" credComplete - trust_off={trust_at:4d}, trust_len={trust_length:4d}               {shown(trust_at, 2)}"
    for at_name, length_name, (at, length) in (
        ("cert_off =", "cert_len =", found.certificate),
        ("key_off  =", "key_len  =", found.key),
    ):
        yield f" credComplete - {at_name}{at:4d}, {length_name}{length:4d}  {shown(at - 4, 3)}"
