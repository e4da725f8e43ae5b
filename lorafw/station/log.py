"""The log lines of a Basics Station.

A line in the log file looks like this: ``2021-03-12 09:56:13.148 [CUP:INFO] ECDSA key#0 -> VERIFIED``. A station writes
the lines at or above the ``log_level`` of its station.conf. The default is INFO.
Source: recorded from Basics Station 2.0.6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from functools import lru_cache
from typing import Final

from lorafw.cups.credentials import Layout
from lorafw.text import decode_lossless, encode_lossless

LINE_BYTES: Final = 511
"""The maximum length of a line with its time and level. The station cuts longer lines off."""

_TIME_BYTES: Final = len("2021-03-12 09:56:13.148 ")
_WORD_BYTES: Final = 4
_UNITS_US: Final = (
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1000),
    ("us", 1),
)


class Level(IntEnum):
    """The log levels of the station, from the least to the most severe."""

    XDEBUG = 0
    DEBUG = 1
    VERBOSE = 2
    INFO = 3
    NOTICE = 4
    WARNING = 5
    ERROR = 6
    CRITICAL = 7

    @property
    def abbreviation(self) -> str:
        """The name of the level in a log line: its first four letters."""
        return self.name[:4]


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the log, without its time."""

    module: str
    """The part of the station that writes the line, such as CUP, SYS or AIO."""
    level: Level
    """How severe the line is."""
    text: str
    """The text behind the module and the level."""

    def __str__(self) -> str:
        """Return the line without its time. A long text is cut off, and a line feed at its end is removed."""
        head = f"[{self.module}:{self.level.abbreviation}] "
        text = encode_lossless(self.text)[: LINE_BYTES - _TIME_BYTES - len(head)]
        return head + decode_lossless(text).removesuffix("\n")

    def with_timestamp(self, time_ms: int) -> str:
        """Return the line with its time, as it is in the log file.

        Args:
            time_ms: Milliseconds since the Unix epoch.
        """
        return f"{_format_time(time_ms)} {self}"


class ExchangeLog:
    """The log lines of one exchange with the CUPS server, in the order in which the station writes them.

    Args:
        on_line: Called with each line that is added.
    """

    def __init__(self, on_line: Callable[[LogLine], None] | None = None) -> None:
        self.lines: list[LogLine] = []
        """All lines so far, at all levels."""
        self._on_line = on_line

    def write(self, level: Level, text: str, module: str = "CUP") -> None:
        """Add a line.

        Args:
            level: How severe the line is.
            text: The text of the line.
            module: The part of the station that writes the line. ``CUP`` is its CUPS client.
        """
        self.append(LogLine(module, level, text))

    def append(self, line: LogLine) -> None:
        """Add a line that another part of the station made."""
        self.lines.append(line)
        if self._on_line is not None:
            self._on_line(line)

    def extend(self, lines: Iterable[LogLine]) -> None:
        """Add several lines."""
        for line in lines:
            self.append(line)


@lru_cache(maxsize=64)
def _format_time(time_ms: int) -> str:
    """Return a time as in the log file. The lines of one exchange often have the same time."""
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{time_ms % 1000:03d}"


def format_interval(seconds: float) -> str:
    """Return a time interval as a station prints it, such as ``1d``, ``1m30s`` or ``300ms``.

    The text has at most two units, of which the second is the next smaller one. The rest is dropped: 3601 seconds are
    ``1h0m``. A negative interval has a minus sign.
    """
    if seconds < 0:
        return f"-{format_interval(-seconds)}"
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


def credential_lines(segment: bytes, credential_layout: Layout) -> Iterable[str]:
    """Yield the texts that a station logs about a credential segment: one for each of its three parts.

    A text has the offset and the length of the part, and a hex dump of the bytes around its beginning. The station
    reads beyond the end of a short segment. Its memory there is unknown, so lorafw prints zeros.

    Args:
        segment: The credential segment.
        credential_layout: The offset and the length of each part.
    """
    offset, length = credential_layout.trust
    dump = _hex_dump(segment, offset, words=2)
    yield f" credComplete - trust_off={offset:4d}, trust_len={length:4d}               {dump}"
    offset, length = credential_layout.certificate
    dump = _hex_dump(segment, offset - _WORD_BYTES, words=3)
    yield f" credComplete - cert_off ={offset:4d}, cert_len ={length:4d}  {dump}"
    offset, length = credential_layout.key
    dump = _hex_dump(segment, offset - _WORD_BYTES, words=3)
    yield f" credComplete - key_off  ={offset:4d}, key_len  ={length:4d}  {dump}"


def _hex_dump(data: bytes, start: int, *, words: int) -> str:
    """Return words of four bytes in hexadecimal. Bytes outside of ``data`` are printed as zero."""
    offsets = range(start, start + words * _WORD_BYTES, _WORD_BYTES)
    return "  ".join(_hex_word(data, offset) for offset in offsets)


def _hex_word(data: bytes, start: int) -> str:
    """Return four bytes in hexadecimal. ``start`` can be negative."""
    zeros_before = bytes(max(-start, 0))
    inside = data[max(start, 0) : max(start + _WORD_BYTES, 0)]
    word = (zeros_before + inside)[:_WORD_BYTES].ljust(_WORD_BYTES, b"\0")
    return word.hex(" ")
