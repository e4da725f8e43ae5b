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


class StationJsonError(ValueError):
    """The station cannot read this text. The message is the text of its log line."""


@dataclass(frozen=True, slots=True)
class Field:
    """One member of an object."""

    name: bytes
    value: bytes | int | float | bool | None
    """None for JSON null, and for an object or an array."""
    text: bytes
    """The text of the value, unchanged."""

    @property
    def is_container(self) -> bool:
        """Whether the value is an object or an array."""
        return self.text[:1] in (b"{", b"[")


def read_value(text: bytes) -> bytes | int | float | bool | None:
    """Return the value of a text that has one JSON value. The result is None for an object or an array.

    Raises:
        StationJsonError: The station cannot read the text, or something follows the value.
    """
    reader = _Reader(text)
    value = reader.read_value()
    reader.expect_end()
    return value


def read_object(text: bytes, *, level: int = 0) -> list[Field]:
    """Return the members of a text that has one JSON object, in their order. A name can occur more than once.

    Args:
        text: The text.
        level: The number of objects and arrays that contain this object.

    Raises:
        StationJsonError: The text is not an object, is nested too deeply, or something follows the object.
    """
    reader = _Reader(text)
    if reader.next_byte() != b"{":
        raise StationJsonError("Expecting an object")
    fields = reader.read_members(level)
    reader.expect_end()
    return fields


class _Reader:
    """A position in a text. The text ends at its first zero byte outside of a string."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._position = 0

    def next_byte(self) -> bytes:
        """Read and return the next byte after white space and comments. Returns b"" at the end."""
        while True:
            self._consume(_SPACE)
            byte = self._read_byte()
            if byte != b"/":
                return byte
            self._skip_comment()

    def expect_end(self) -> None:
        """Raise StationJsonError if anything except white space and comments follows."""
        if self.next_byte():
            garbage = self._text[self._position - 1 : self._position + 19].partition(b"\0")[0]
            raise StationJsonError(f"Expecting EOF but found garbage: {garbage.decode('utf-8', 'backslashreplace')}")

    def read_members(self, level: int) -> list[Field]:
        """Read the members of an object and its closing brace. The opening brace has been read."""
        fields: list[Field] = []
        while (byte := self.next_byte()) != b"}":
            if fields:
                if byte != b",":
                    raise StationJsonError("Expecting a comma")
                byte = self.next_byte()
            if byte != b'"':
                raise StationJsonError("Expecting a field")
            name = self._read_string()
            if self.next_byte() != b":":
                raise StationJsonError("Expecting a colon")
            fields.append(self._read_field(name, level))
        return fields

    def read_value(self, level: int = 0) -> bytes | int | float | bool | None:
        """Read one value and return it. Skips an object or an array and returns None."""
        return self._finish_value(self.next_byte(), level)

    def _read_field(self, name: bytes, level: int) -> Field:
        """Read the value of a member. Its name and the colon have been read."""
        first = self.next_byte()
        start = self._position - len(first)
        value = self._finish_value(first, level)
        return Field(name, value, self._text[start : self._position])

    def _finish_value(self, first: bytes, level: int) -> bytes | int | float | bool | None:
        """Read the rest of a value whose first byte has been read, and return the value."""
        if not first:
            raise StationJsonError("Unexpected EOF")
        if first == b'"':
            return self._read_string()
        if first in _LITERALS:
            return self._read_literal(*_LITERALS[first])
        if first == b"-":
            return -self._read_number()
        if first.isdigit():
            self._position -= 1
            return self._read_number()
        if first in (b"{", b"["):
            self._skip_container(first, level + 1)
            return None
        raise StationJsonError("Syntax error")

    def _skip_container(self, first: bytes, level: int) -> None:
        """Read an object or an array to its end. Its first bracket has been read."""
        if level == MAX_LEVELS:
            raise StationJsonError("JSON nested too deeply")
        if first == b"{":
            self.read_members(level)
        else:
            self._skip_items(level)

    def _skip_items(self, level: int) -> None:
        """Read the items of an array and its closing bracket."""
        byte = self.next_byte()
        while byte != b"]":
            self._finish_value(byte, level)
            byte = self.next_byte()
            if byte == b"]":
                return
            if byte != b",":
                raise StationJsonError("Expecting a comma")
            byte = self.next_byte()
            if byte == b"]":
                raise StationJsonError("Syntax error")

    def _read_byte(self) -> bytes:
        """Read and return one byte. Returns b"" and stays there at the end of the text."""
        byte = self._text[self._position : self._position + 1]
        if byte in (b"", b"\0"):
            return b""
        self._position += 1
        return byte

    def _consume(self, pattern: re.Pattern[bytes]) -> bytes:
        """Read and return what the pattern matches here. The pattern must match an empty text."""
        match = pattern.match(self._text, self._position)
        assert match is not None
        self._position = match.end()
        return match[0]

    def _skip_comment(self) -> None:
        """Read a comment to its end. Its slash has been read."""
        if self._read_byte() != b"*":
            raise StationJsonError("Bad start of comment")
        end = self._text.find(b"*/", self._position)
        if end < 0 or self._text.find(b"\0", self._position, end) >= 0:
            raise StationJsonError("Unterminated /*.. comment")
        self._position = end + 2

    def _read_literal(self, text: bytes, value: bool | None) -> bool | None:
        """Read the rest of ``text``, whose first byte has been read, and return ``value``."""
        if not self._text.startswith(text, self._position - 1):
            raise StationJsonError("Expecting literal (null,true,false)")
        self._position += len(text) - 1
        return value

    def _read_string(self) -> bytes:
        """Read a string and return it up to its first zero byte. The opening quote has been read."""
        parts = []
        while True:
            parts.append(self._consume(_UNESCAPED))
            byte = self._read_byte()
            if not byte:
                raise StationJsonError("Malformed string - no closing quote")
            if byte == b'"':
                return b"".join(parts).partition(b"\0")[0]
            parts.append(self._read_escape())

    def _read_escape(self) -> bytes:
        """Read an escape sequence and return the bytes that it stands for. The backslash has been read."""
        letter = self._read_byte()
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        if letter != b"u":
            raise StationJsonError("Illegally escaped character")
        code = _HEX4.match(self._text, self._position)
        if code is None:
            raise StationJsonError("Malformed \\u escape sequence")
        self._position = code.end()
        # The station writes each half of a surrogate pair by itself.
        return chr(int(code[0], 16)).encode("utf-8", "surrogatepass")

    def _read_number(self) -> int | float:
        """Read a number without a sign: an int, or a float if it has a fraction or an exponent."""
        integer = _parse_u64(self._read_digits())
        has_fraction = self._read_one_of(b".") != b""
        fraction = self._read_fraction() if has_fraction else 0.0
        has_exponent = self._read_one_of(b"eE") != b""
        if has_exponent:
            return _scale_by_power_of_ten(integer + fraction, self._read_exponent())
        if has_fraction:
            return integer + fraction
        return integer

    def _read_fraction(self) -> float:
        """Read the digits after the point and return their value.

        The digits are read as a whole number, which is then divided by a power of ten. The whole number wraps around at
        2^64, so it stays below 10^20. The fraction is therefore 0 if it has ``_MAX_EXPONENT`` digits or more.
        """
        digits = self._read_digits()
        whole_number = _parse_u64(digits)
        exponent = min(len(digits), _MAX_EXPONENT)
        return whole_number * 10.0**-exponent

    def _read_exponent(self) -> int:
        """Read an exponent and return it, limited to ``_MAX_EXPONENT``. The "e" has been read."""
        sign = self._read_one_of(b"+-")
        exponent = min(_parse_u64(self._read_digits()), _MAX_EXPONENT)
        return -exponent if sign == b"-" else exponent

    def _read_one_of(self, characters: bytes) -> bytes:
        """Read the next byte if it is one of ``characters``, and return it. Otherwise stay there and return b""."""
        byte = self._text[self._position : self._position + 1]
        if not byte:
            # This is the end of the text. An empty text would count as contained in `characters` below.
            return b""
        if byte not in characters:
            return b""
        self._position += 1
        return byte

    def _read_digits(self) -> bytes:
        """Read all decimal digits up to the next other character, and return them. There must be at least one."""
        digits = self._consume(_DIGITS)
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
