"""The JSON reader of a Basics Station.

It takes JSON with ``/* */`` comments and leading zeros of numbers, nested up to nine levels. A zero byte is the end of
the text. Texts are bytes and end at their first zero byte, because the station keeps them as C strings. Reading takes
time and memory in proportion to the text.
Source: Basics Station 2.0.6, uj.c.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MAX_LEVELS: Final = 9

_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_PLAIN: Final = re.compile(rb'[^"\\\0]*')
_DIGITS: Final = re.compile(rb"[0-9]*")
_HEX4: Final = re.compile(rb"[0-9A-Fa-f]{4}")
_ESCAPES: Final = {
    b'"': b'"', b"\\": b"\\", b"/": b"/", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t",
}  # fmt: skip
_LITERALS: Final = {b"t": (b"true", True), b"f": (b"false", False), b"n": (b"null", None)}
_U64: Final = (1 << 64) - 1
_MOST_DIGITS: Final = 400
"""A double has 308 digits before its point and 324 behind it. Further digits change nothing but the time it takes."""


class StationJsonError(ValueError):
    """The station does not read this text. The message is that of its log line."""


@dataclass(frozen=True, slots=True)
class Field:
    """One member of an object: its name, its value, and the text of the value as it stands in the file.

    An object or an array as a value is None here; ``text`` has it.
    """

    name: bytes
    value: bytes | int | float | bool | None
    text: bytes

    @property
    def is_container(self) -> bool:
        """Whether the value is an object or an array."""
        return self.text[:1] in (b"{", b"[")


def read_value(text: bytes) -> bytes | int | float | bool | None:
    """Return a value that is not an object or an array, and that nothing follows.

    Raises:
        StationJsonError: The text is something else.
    """
    reader = _Reader(text)
    value = reader.value()
    reader.expect_end()
    return value


def read_object(text: bytes, *, level: int = 0) -> list[Field]:
    """Return the members of an object that nothing follows, in their order. A name may come more than once.

    Raises:
        StationJsonError: The text is no object, or is nested too deeply.
    """
    reader = _Reader(text)
    if reader.next_byte() != b"{":
        raise StationJsonError("Expecting an object")
    fields = reader.members(level)
    reader.expect_end()
    return fields


class _Reader:
    """A position in a text. The text ends at its first zero byte outside of a string."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = 0

    def next_byte(self) -> bytes:
        """Take the next byte behind blanks and comments, or b"" at the end."""
        while True:
            self._skip(_SPACE)
            byte = self._take()
            if byte != b"/":
                return byte
            self._skip_comment()

    def expect_end(self) -> None:
        if self.next_byte():
            garbage = self._text[self._at - 1 : self._at + 19].partition(b"\0")[0]
            raise StationJsonError(f"Expecting EOF but found garbage: {garbage.decode('utf-8', 'backslashreplace')}")

    def members(self, level: int) -> list[Field]:
        """Read the members of an object whose brace was taken, and its closing brace."""
        fields: list[Field] = []
        while (byte := self.next_byte()) != b"}":
            if fields:
                if byte != b",":
                    raise StationJsonError("Expecting a comma")
                byte = self.next_byte()
            if byte != b'"':
                raise StationJsonError("Expecting a field")
            name = self._string()
            if self.next_byte() != b":":
                raise StationJsonError("Expecting a colon")
            fields.append(self._field(name, level))
        return fields

    def value(self, level: int = 0) -> bytes | int | float | bool | None:
        """Read one value. An object or an array is read over, and is None."""
        return self._value(self.next_byte(), level)

    def _field(self, name: bytes, level: int) -> Field:
        first = self.next_byte()
        start = self._at - len(first)
        value = self._value(first, level)
        return Field(name, value, self._text[start : self._at])

    def _value(self, first: bytes, level: int) -> bytes | int | float | bool | None:
        if not first:
            raise StationJsonError("Unexpected EOF")
        if first == b'"':
            return self._string()
        if first in _LITERALS:
            return self._literal(*_LITERALS[first])
        if first == b"-":
            return -self._number()
        if first.isdigit():
            self._at -= 1
            return self._number()
        if first in (b"{", b"["):
            self._skip_container(first, level + 1)
            return None
        raise StationJsonError("Syntax error")

    def _skip_container(self, first: bytes, level: int) -> None:
        if level == MAX_LEVELS:
            raise StationJsonError("JSON nested too deeply")
        if first == b"{":
            self.members(level)
            return
        byte = self.next_byte()
        while byte != b"]":
            self._value(byte, level)
            byte = self.next_byte()
            if byte == b"]":
                return
            if byte != b",":
                raise StationJsonError("Expecting a comma")
            byte = self.next_byte()
            if byte == b"]":
                raise StationJsonError("Syntax error")

    def _take(self) -> bytes:
        byte = self._text[self._at : self._at + 1]
        if byte in (b"", b"\0"):
            return b""
        self._at += 1
        return byte

    def _skip(self, pattern: re.Pattern[bytes]) -> bytes:
        match = pattern.match(self._text, self._at)
        assert match is not None
        self._at = match.end()
        return match[0]

    def _skip_comment(self) -> None:
        if self._take() != b"*":
            raise StationJsonError("Bad start of comment")
        end = self._text.find(b"*/", self._at)
        if end < 0 or self._text.find(b"\0", self._at, end) >= 0:
            raise StationJsonError("Unterminated /*.. comment")
        self._at = end + 2

    def _literal(self, text: bytes, value: bool | None) -> bool | None:
        if not self._text.startswith(text, self._at - 1):
            raise StationJsonError("Expecting literal (null,true,false)")
        self._at += len(text) - 1
        return value

    def _string(self) -> bytes:
        """Read a string whose quote was taken, up to its first zero byte."""
        parts = []
        while True:
            parts.append(self._skip(_PLAIN))
            byte = self._take()
            if not byte:
                raise StationJsonError("Malformed string - no closing quote")
            if byte == b'"':
                return b"".join(parts).partition(b"\0")[0]
            parts.append(self._escaped())

    def _escaped(self) -> bytes:
        letter = self._take()
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        if letter != b"u":
            raise StationJsonError("Illegally escaped character")
        code = _HEX4.match(self._text, self._at)
        if code is None:
            raise StationJsonError("Malformed \\u escape sequence")
        self._at = code.end()
        # The station writes each half of a surrogate pair by itself.
        return chr(int(code[0], 16)).encode("utf-8", "surrogatepass")

    def _number(self) -> int | float:
        whole = self._digits()
        fraction = b""
        if self._text[self._at : self._at + 1] == b".":
            self._at += 1
            fraction = self._digits()
        exponent = self._exponent()
        if not fraction and exponent is None:
            return _wrapped(whole)
        value = float(_wrapped(whole)) + _wrapped(fraction or b"0") * 10.0 ** -min(len(fraction), _MOST_DIGITS)
        return _scaled(value, exponent or 0)

    def _exponent(self) -> int | None:
        if self._text[self._at : self._at + 1] not in (b"e", b"E"):
            return None
        self._at += 1
        sign = self._text[self._at : self._at + 1]
        if sign in (b"-", b"+"):
            self._at += 1
        size = min(_wrapped(self._digits()), _MOST_DIGITS)
        return -size if sign == b"-" else size

    def _digits(self) -> bytes:
        digits = self._skip(_DIGITS)
        if not digits:
            raise StationJsonError("Expecting some decimal digits")
        return digits


def _wrapped(digits: bytes) -> int:
    """Return a number of decimal digits as 64 bits hold it."""
    value = 0
    for digit in digits:
        value = (value * 10 + digit - ord("0")) & _U64
    return value


def _scaled(value: float, exponent: int) -> float:
    for _ in range(abs(exponent)):
        value = value * 10 if exponent > 0 else value / 10
    return value
