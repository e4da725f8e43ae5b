"""Read the header of an HTTP response as a Basics Station does: with string functions of C on its buffer.

In all functions, ``memory`` is the station's buffer from the first byte of the response on. The bytes after the
response are left over from the request, which was in the same buffer. The station does not check where the response
ends, so it reads those bytes as well if the response is malformed.

Source: Basics Station 2.0.6, net.c (``http_statusCode``, ``http_statusText``, ``http_findHeader``) and rt.c
(``rt_readDec``).
"""

from __future__ import annotations

import re
from typing import Final

HEADER_END: Final = b"\r\n\r\n"
STATUS_NOT_HTTP: Final = 65535
"""The status of a response whose first line has none: -1 in 16 bits."""

_NUMBER: Final = re.compile(rb"0[xX]([0-9A-Fa-f]*)|([0-9]*)")
_CONTENT_LENGTH: Final = re.compile(rb"\ncontent-length:(?:[ \t]|\r\n[ \t])*", re.IGNORECASE)
_U32: Final = 0xFFFFFFFF
_NEGATIVE: Final = 0x80000000


def status_code(memory: bytes) -> int:
    """Return the status code modulo 2^16, or STATUS_NOT_HTTP if the first line has none.

    The number must follow ``HTTP/1.x`` and one space. The station accepts any four bytes in place of ``HTTP``, and any
    byte as the minor version.
    """
    if memory[4:7] != b"/1." or memory[8:9] != b" ":
        return STATUS_NOT_HTTP
    number = _parse_number(memory, 9)
    if number is None:
        return STATUS_NOT_HTTP
    return number & 0xFFFF


def status_text(memory: bytes) -> bytes:
    """Return the text between the second space and the first CR, or b"" if one of them is missing.

    The station searches up to the first zero byte. If the CR comes before the second space, the length of the text is
    negative, and ``printf`` then prints everything up to the zero byte.
    """
    text = memory.partition(b"\0")[0]
    first_space = text.find(b" ")
    second_space = text.find(b" ", first_space + 1)
    line_end = text.find(b"\r")
    if second_space < 0 or line_end < 0:
        return b""
    if line_end < second_space:
        return text[second_space + 1 :]
    return text[second_space + 1 : line_end]


def content_length(memory: bytes) -> int | None:
    """Return the value of the first Content-Length field. Returns None if it is missing, negative or not a number.

    The field can follow any LF. Its value is decimal or hexadecimal, and the station stores it as a signed number of
    32 bits. ``memory`` must contain the end of the header.
    """
    header = memory[: memory.index(HEADER_END) + len(HEADER_END)]
    field = _CONTENT_LENGTH.search(header)
    if field is None:
        return None
    number = _parse_number(header, field.end())
    if number is None or number & _NEGATIVE:
        return None
    return number


def _parse_number(memory: bytes, offset: int) -> int | None:
    """Return the decimal or 0x number at an offset modulo 2^32, or None if no digit is there."""
    digits = _NUMBER.match(memory, offset)
    hexadecimal, decimal = digits.groups() if digits else (None, None)
    if hexadecimal:
        return int(hexadecimal, 16) & _U32
    if not decimal:
        return None
    value = 0
    for digit in decimal:
        value = (value * 10 + digit - ord("0")) & _U32
    return value
