"""Read the header of an HTTP reply as a Basics Station does: with string functions of C on its buffer.

``memory`` is the station's buffer from the beginning of the reply on. Bytes behind the reply are what the buffer held
before: the request. The station does not check where the reply ends, so some replies make it read there.
Source: Basics Station 2.0.6, net.c (``http_statusCode``, ``http_statusText``, ``http_findHeader``) and rt.c
(``rt_readDec``).
"""

from __future__ import annotations

import re
from typing import Final

HEADER_END: Final = b"\r\n\r\n"
NO_HTTP: Final = 65535
"""The status of a reply whose first line has no status: -1 in 16 bits."""

_NUMBER: Final = re.compile(rb"0[xX]([0-9A-Fa-f]*)|([0-9]*)")
_CONTENT_LENGTH: Final = re.compile(rb"\ncontent-length:(?:[ \t]|\r\n[ \t])*", re.IGNORECASE)
_U32: Final = 0xFFFFFFFF
_NEGATIVE: Final = 0x80000000


def status_code(memory: bytes) -> int:
    """Return the number behind ``HTTP/1.x`` and one blank, modulo 2^16, or NO_HTTP.

    The four bytes before the slash and the minor version may be anything.
    """
    if memory[4:7] != b"/1." or memory[8:9] != b" ":
        return NO_HTTP
    number = _number(memory, 9)
    return NO_HTTP if number is None else number & 0xFFFF


def status_text(memory: bytes) -> bytes:
    """Return the text between the second blank and the first CR, or b"" if one of them is missing.

    Both are looked for up to the first zero byte, wherever that is. If the CR comes before the blank, the text has a
    negative length, which prints everything up to the zero byte.
    """
    text = memory.partition(b"\0")[0]
    first_blank = text.find(b" ")
    second_blank = text.find(b" ", first_blank + 1)
    line_end = text.find(b"\r")
    if second_blank < 0 or line_end < 0:
        return b""
    if line_end < second_blank:
        return text[second_blank + 1 :]
    return text[second_blank + 1 : line_end]


def content_length(memory: bytes) -> int | None:
    """Return the value of the first Content-Length, or None if it is missing, negative, or no number.

    The field may follow any LF. Its value is decimal or hexadecimal, and is kept as a signed number of 32 bits.
    ``memory`` must hold the end of the header.
    """
    header = memory[: memory.index(HEADER_END) + len(HEADER_END)]
    field = _CONTENT_LENGTH.search(header)
    if field is None:
        return None
    number = _number(header, field.end())
    if number is None or number & _NEGATIVE:
        return None
    return number


def _number(memory: bytes, at: int) -> int | None:
    """Return the decimal or 0x number at this place, modulo 2^32, or None if there is no digit."""
    digits = _NUMBER.match(memory, at)
    hexadecimal, decimal = digits.groups() if digits else (None, None)
    if hexadecimal:
        return int(hexadecimal, 16) & _U32
    if not decimal:
        return None
    value = 0
    for digit in decimal:
        value = (value * 10 + digit - ord("0")) & _U32
    return value
