"""The JSON reader of a Basics Station.

It accepts JSON with ``/* */`` comments and with leading zeros in numbers, nested up to nine levels. A zero byte ends
the text. Strings are bytes and end at their first zero byte, because the station keeps them as C strings. Time and
memory are proportional to the length of the text.

Source: Basics Station 2.0.6, uj.c.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MAX_LEVELS: Final = 9

_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_UNESCAPED: Final = re.compile(rb'[^"\\\0]*')
_DIGITS: Final = re.compile(rb"[0-9]*")
_HEX4: Final = re.compile(rb"[0-9A-Fa-f]{4}")
_ESCAPES: Final = {
    b'"': b'"', b"\\": b"\\", b"/": b"/", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t",
}  # fmt: skip
_LITERALS: Final = {b"t": (b"true", True), b"f": (b"false", False), b"n": (b"null", None)}
_MAX_U64: Final = (1 << 64) - 1
_MAX_EXPONENT: Final = 400
"""Larger exponents are read as this one, which saves time and gives the same result. A double is less than 10^309, and
the smallest one above 0 is about 10^-323. So a number times 10^400 is infinite (or 0), and times 10^-400 it is 0."""
_GARBAGE_BYTES: Final = 20
"""The station's message about a text that goes on after its end shows this number of bytes."""

JsonValue = bytes | int | float | bool | None
"""A value as the station reads it. None stands for JSON null, and for an object or an array."""


class StationJsonError(ValueError):
    """The station cannot read this text. The message is the text of its log line."""


@dataclass(frozen=True, slots=True)
class Field:
    """One member of an object."""

    name: bytes
    """The name, without quotes."""
    value: JsonValue
    """Its value."""
    text: bytes
    """The text of the value, unchanged."""

    @property
    def is_container(self) -> bool:
        """Whether the value is an object or an array."""
        return self.text[:1] in (b"{", b"[")


def read_value(text: bytes) -> JsonValue:
    """Return the value of a text that has one JSON value. The result is None for an object or an array.

    Raises:
        StationJsonError: The station cannot read the text, or something follows the value.
    """
    cursor = _Cursor(text)
    value = _read_value(cursor, cursor.next_byte(), level=0)
    _expect_end(cursor)
    return value


def read_object(text: bytes, *, level: int = 0) -> list[Field]:
    """Return the members of a text that has one JSON object, in their order. A name can occur more than once.

    Args:
        text: The text.
        level: The number of objects and arrays that contain this object.

    Raises:
        StationJsonError: The text is not an object, is nested too deeply, or something follows the object.
    """
    cursor = _Cursor(text)
    if cursor.next_byte() != b"{":
        raise StationJsonError("Expecting an object")
    fields = _read_members(cursor, level)
    _expect_end(cursor)
    return fields


class _Cursor:
    """A position in a text. The text ends at its first zero byte outside of a string."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.position = 0

    def read_byte(self) -> bytes:
        """Read and return one byte. At the end of the text, return b"" and do not move."""
        byte = self.text[self.position : self.position + 1]
        if byte in (b"", b"\0"):
            return b""
        self.position += 1
        return byte

    def read_one_of(self, choices: tuple[bytes, ...]) -> bytes:
        """Read and return the next byte if it is one of the choices. Otherwise return b"" and do not move."""
        byte = self.text[self.position : self.position + 1]
        if byte not in choices:
            return b""
        self.position += 1
        return byte

    def read_match(self, pattern: re.Pattern[bytes]) -> bytes:
        """Read and return the text that the pattern matches here, or b"" if it does not match."""
        match = pattern.match(self.text, self.position)
        if match is None:
            return b""
        self.position = match.end()
        return match[0]

    def next_byte(self) -> bytes:
        """Skip white space and comments, then read and return one byte. Returns b"" at the end of the text."""
        while True:
            self.read_match(_SPACE)
            byte = self.read_byte()
            if byte != b"/":
                return byte
            self.skip_comment()

    def skip_comment(self) -> None:
        """Move behind the end of a comment. Its slash has been read."""
        if self.read_byte() != b"*":
            raise StationJsonError("Bad start of comment")
        end = self.text.find(b"*/", self.position)
        has_zero_byte = self.text.find(b"\0", self.position, end) >= 0
        if end < 0 or has_zero_byte:
            raise StationJsonError("Unterminated /*.. comment")
        self.position = end + len(b"*/")


# Each of the following functions reads one element of JSON, and leaves the cursor behind it. It raises
# StationJsonError if the station cannot read the element.


def _expect_end(cursor: _Cursor) -> None:
    """Check that only white space and comments follow."""
    if cursor.next_byte():
        start = cursor.position - 1
        garbage, _, _ = cursor.text[start : start + _GARBAGE_BYTES].partition(b"\0")
        raise StationJsonError(f"Expecting EOF but found garbage: {garbage.decode('utf-8', 'backslashreplace')}")


def _read_value(cursor: _Cursor, first: bytes, level: int) -> JsonValue:
    """Read the rest of a value, and return the value. An object or an array is skipped, and gives None.

    Args:
        cursor: The position behind the first byte of the value.
        first: The first byte of the value, or b"" at the end of the text.
        level: The number of objects and arrays that contain the value.

    Raises:
        StationJsonError: The station cannot read the value.
    """
    if not first:
        raise StationJsonError("Unexpected EOF")
    if first == b'"':
        return _read_string(cursor)
    if first in _LITERALS:
        text, value = _LITERALS[first]
        _expect_literal(cursor, text)
        return value
    if first == b"-":
        return -_read_number(cursor)
    if first.isdigit():
        cursor.position -= 1
        return _read_number(cursor)
    if first in (b"{", b"["):
        _skip_container(cursor, first, level + 1)
        return None
    raise StationJsonError("Syntax error")


def _skip_container(cursor: _Cursor, first: bytes, level: int) -> None:
    """Read an object or an array to its end. Its first bracket has been read."""
    if level == MAX_LEVELS:
        raise StationJsonError("JSON nested too deeply")
    if first == b"{":
        _read_members(cursor, level)
    else:
        _skip_items(cursor, level)


def _skip_items(cursor: _Cursor, level: int) -> None:
    """Read the items of an array and its closing bracket."""
    byte = cursor.next_byte()
    while byte != b"]":
        _read_value(cursor, byte, level)
        byte = cursor.next_byte()
        if byte == b"]":
            return
        if byte != b",":
            raise StationJsonError("Expecting a comma")
        byte = cursor.next_byte()
        if byte == b"]":
            raise StationJsonError("Syntax error")


def _read_members(cursor: _Cursor, level: int) -> list[Field]:
    """Read the members of an object and its closing brace, and return the members. The opening brace has been read."""
    fields: list[Field] = []
    while (byte := cursor.next_byte()) != b"}":
        if fields:
            if byte != b",":
                raise StationJsonError("Expecting a comma")
            byte = cursor.next_byte()
        if byte != b'"':
            raise StationJsonError("Expecting a field")
        fields.append(_read_member(cursor, level))
    return fields


def _read_member(cursor: _Cursor, level: int) -> Field:
    """Read the name, the colon and the value of a member. The opening quote of the name has been read."""
    name = _read_string(cursor)
    if cursor.next_byte() != b":":
        raise StationJsonError("Expecting a colon")
    first = cursor.next_byte()
    start = cursor.position - len(first)
    value = _read_value(cursor, first, level)
    return Field(name, value, cursor.text[start : cursor.position])


def _expect_literal(cursor: _Cursor, text: bytes) -> None:
    """Read the rest of ``true``, ``false`` or ``null``. Its first byte has been read."""
    start = cursor.position - 1
    if not cursor.text.startswith(text, start):
        raise StationJsonError("Expecting literal (null,true,false)")
    cursor.position = start + len(text)


def _read_string(cursor: _Cursor) -> bytes:
    """Read a string and return it up to its first zero byte. The opening quote has been read."""
    parts = []
    while True:
        parts.append(cursor.read_match(_UNESCAPED))
        byte = cursor.read_byte()
        if not byte:
            raise StationJsonError("Malformed string - no closing quote")
        if byte == b'"':
            break
        parts.append(_read_escape(cursor))
    text, _, _ = b"".join(parts).partition(b"\0")
    return text


def _read_escape(cursor: _Cursor) -> bytes:
    """Read the rest of an escape sequence, and return the bytes that it stands for. The backslash has been read."""
    letter = cursor.read_byte()
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if letter != b"u":
        raise StationJsonError("Illegally escaped character")
    hex_digits = cursor.read_match(_HEX4)
    if not hex_digits:
        raise StationJsonError("Malformed \\u escape sequence")
    character = chr(int(hex_digits, 16))
    # JSON writes a character above U+FFFF as two escapes, a surrogate pair. The station encodes each half by itself,
    # which Python does only with "surrogatepass".
    return character.encode("utf-8", "surrogatepass")


def _read_number(cursor: _Cursor) -> int | float:
    """Read a number without a sign: an int, or a float if it has a fraction or an exponent."""
    integer = _parse_u64(_read_digits(cursor))
    has_fraction = cursor.read_one_of((b".",)) != b""
    fraction = _read_fraction(cursor) if has_fraction else 0.0
    has_exponent = cursor.read_one_of((b"e", b"E")) != b""
    if has_exponent:
        exponent = _read_exponent(cursor)
        return _scale_by_power_of_ten(integer + fraction, exponent)
    if has_fraction:
        return integer + fraction
    return integer


def _read_fraction(cursor: _Cursor) -> float:
    """Read the digits after the decimal point, and return the fraction: 0.25 for ``25``."""
    digits = _read_digits(cursor)
    # The number is less than 2^64, and therefore less than 10^20. Divided by 10^400 or more it is 0 in a double.
    exponent = min(len(digits), _MAX_EXPONENT)
    return _parse_u64(digits) * 10.0**-exponent


def _read_exponent(cursor: _Cursor) -> int:
    """Read the sign and the digits after an ``e``. Return the exponent, limited to ``_MAX_EXPONENT``."""
    sign = cursor.read_one_of((b"+", b"-"))
    exponent = min(_parse_u64(_read_digits(cursor)), _MAX_EXPONENT)
    return -exponent if sign == b"-" else exponent


def _read_digits(cursor: _Cursor) -> bytes:
    """Read and return all decimal digits up to the next other character. There must be at least one."""
    digits = cursor.read_match(_DIGITS)
    if not digits:
        raise StationJsonError("Expecting some decimal digits")
    return digits


def _parse_u64(digits: bytes) -> int:
    """Return the value of decimal digits modulo 2^64, as the station's integer wraps around."""
    value = 0
    for digit in digits:
        value = (value * 10 + digit - ord("0")) & _MAX_U64
    return value


def _scale_by_power_of_ten(value: float, exponent: int) -> float:
    """Return ``value`` times 10^``exponent``, multiplied step by step as the station does, with its rounding."""
    for _ in range(abs(exponent)):
        value = value * 10 if exponent > 0 else value / 10
    return value
