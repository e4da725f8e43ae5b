"""The JSON reader of a Basics Station.

It accepts JSON with ``/* */`` comments and with leading zeros in numbers, nested up to nine levels. A zero byte ends
the text. Strings are bytes and end at their first zero byte, because the station keeps them as C strings. Time and
memory are proportional to the length of the text.

A station reads a text from its beginning to its end, and acts on each value as it comes. So does a caller of this
reader: it iterates over the members of an object, and reads the value of each one. The first error ends the reading.

Source: Basics Station 2.0.6, uj.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, TypeGuard

from lorafw.text import decode_lossless

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
_SIGN_BIT: Final = 1 << 63
_MAX_EXPONENT: Final = 400
"""Larger exponents are read as this one, which saves time and gives the same result. A double is less than 10^309, and
the smallest one above 0 is about 10^-323. So a number times 10^400 is infinite (or 0), and times 10^-400 it is 0."""
_EXCERPT_BYTES: Final = 20
"""The station's error messages show this number of bytes of a text."""
_NOTHING_READ: Final = -1
"""Stands in a path for the index of an item, as long as no item of the array was read."""

_Scalar = bytes | int | float | bool | None
"""A value as the station reads it. None stands for JSON null, and for an object or an array."""


class StationJsonError(ValueError):
    """The station cannot read a text. The message is the text of its log line: where it stopped, and why."""


class JsonReader:
    """Reads a text from its beginning to its end. The text ends at its first zero byte outside of a string.

    Each method raises StationJsonError if the station cannot read what comes next.

    Args:
        text: The text.
    """

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._position = 0
        self._path: list[bytes | int | None] = []
        """For each object and array around the position, the name or the index of the value that was read last. None
        if no name was read yet."""
        self._is_skipping = False
        """Whether a value is being skipped. The station then leaves names as they are in the text."""

    def members(self) -> Iterator[bytes]:
        """Read an object. Yield the name of each member; the caller must read its value before the next name."""
        self._enter(b"{", "Expecting an object")
        self._path.append(None)
        while (byte := self._next_byte()) != b"}":
            if self._path[-1] is not None:
                self._expect(byte, b",", "Expecting a comma")
                byte = self._next_byte()
            self._expect(byte, b'"', "Expecting a field")
            start = self._position
            name = self._finish_string()
            self._path[-1] = self._text[start : start + _EXCERPT_BYTES] if self._is_skipping else name
            self._expect(self._next_byte(), b":", "Expecting a colon")
            yield name
        self._path.pop()

    def starts_string(self) -> bool:
        """Return whether the next value is a string."""
        return self._peek() == b'"'

    def read_string(self) -> bytes:
        """Read a string. Return it up to its first zero byte."""
        value = self._read_scalar()
        if not isinstance(value, bytes):
            raise self.error("Expecting a string value")
        return to_c_string(value)

    def read_bool(self) -> bool:
        """Read and return ``true`` or ``false``."""
        value = self._read_scalar()
        if not isinstance(value, bool):
            raise self.error("Expecting a bool value")
        return value

    def read_int(self) -> int:
        """Read an integer. Return its lowest 64 bits, as a number with a sign."""
        value = self._read_scalar()
        if not _is_integer(value):
            raise self.error("Expecting an integer value")
        return _to_signed(value)

    def read_unsigned(self) -> int:
        """Read an integer without a minus sign. Return its lowest 64 bits."""
        has_sign = self._peek() == b"-"
        value = self._read_scalar()
        if has_sign or not _is_integer(value):
            raise self.error("Expecting a positive integer value")
        return value

    def read_number(self) -> float:
        """Read and return a number."""
        value = self._read_scalar()
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error("Expecting a number")
        return float(value)

    def skip_value(self) -> bytes:
        """Read any value, and return its text unchanged."""
        self._skip_space()
        start = self._position
        self._is_skipping = True
        self._skip()
        self._is_skipping = False
        return self._text[start : self._position]

    def expect_end(self) -> None:
        """Check that only white space and comments follow."""
        if self._next_byte():
            start = self._position - 1
            garbage = to_c_string(self._text[start : start + _EXCERPT_BYTES])
            raise self.error(f"Expecting EOF but found garbage: {decode_lossless(garbage)}")

    def error(self, why: str) -> StationJsonError:
        """Return an error with a reason, whose message also says where the reader is, such as ``@.station_conf``."""
        steps = "".join(_format_step(step) for step in self._path)
        where = f"@{steps}" if steps else ""
        return StationJsonError(f"{where}: {why}")

    # --- bytes ---

    def _read_byte(self) -> bytes:
        """Read and return one byte. At the end of the text, return b"" and do not move."""
        byte = self._text[self._position : self._position + 1]
        if byte in (b"", b"\0"):
            return b""
        self._position += 1
        return byte

    def _read_one_of(self, choices: tuple[bytes, ...]) -> bytes:
        """Read and return the next byte if it is one of the choices. Otherwise return b"" and do not move."""
        byte = self._text[self._position : self._position + 1]
        if byte not in choices:
            return b""
        self._position += 1
        return byte

    def _read_match(self, pattern: re.Pattern[bytes]) -> bytes:
        """Read and return the text that the pattern matches here, or b"" if it does not match."""
        match = pattern.match(self._text, self._position)
        if match is None:
            return b""
        self._position = match.end()
        return match[0]

    def _next_byte(self) -> bytes:
        """Skip white space and comments, then read and return one byte. Returns b"" at the end of the text."""
        self._skip_space()
        return self._read_byte()

    def _peek(self) -> bytes:
        """Skip white space and comments, then return the next byte without reading it."""
        self._skip_space()
        return self._text[self._position : self._position + 1]

    def _skip_space(self) -> None:
        """Skip white space and comments."""
        self._read_match(_SPACE)
        while self._read_one_of((b"/",)):
            self._finish_comment()
            self._read_match(_SPACE)

    def _finish_comment(self) -> None:
        """Move behind the end of a comment. Its slash has been read."""
        self._expect(self._read_byte(), b"*", "Bad start of comment")
        end = self._text.find(b"*/", self._position)
        has_zero_byte = self._text.find(b"\0", self._position, end) >= 0
        if end < 0 or has_zero_byte:
            raise self.error("Unterminated /*.. comment")
        self._position = end + len(b"*/")

    def _expect(self, byte: bytes, expected: bytes, why: str) -> None:
        """Raise StationJsonError with a reason if a byte that was read is not the expected one."""
        if byte != expected:
            raise self.error(why)

    # --- values ---

    def _enter(self, bracket: bytes, why: str) -> None:
        """Read the first bracket of an object or an array."""
        self._expect(self._next_byte(), bracket, why)
        if len(self._path) == MAX_LEVELS:
            raise self.error("JSON nested too deeply")

    def _skip(self) -> None:
        """Read any value."""
        byte = self._peek()
        if byte == b"{":
            for _ in self.members():
                self._skip()
        elif byte == b"[":
            self._skip_items()
        else:
            self._read_scalar()

    def _skip_items(self) -> None:
        """Read an array."""
        self._enter(b"[", "Expecting an array")
        index = _NOTHING_READ
        self._path.append(index)
        while self._peek() != b"]":
            if index != _NOTHING_READ:
                self._expect(self._next_byte(), b",", "Expecting a comma")
            index += 1
            self._path[-1] = index
            self._skip()
        self._next_byte()
        self._path.pop()

    def _read_scalar(self) -> _Scalar:
        """Read and return a value. Of an object or an array, only the first bracket is read, and the result is None."""
        first = self._next_byte()
        if not first:
            raise self.error("Unexpected EOF")
        if first == b'"':
            return self._finish_string()
        if first in _LITERALS:
            text, value = _LITERALS[first]
            self._finish_literal(text)
            return value
        if first == b"-":
            number = self._read_unsigned_number()
            return _to_signed(-number) if isinstance(number, int) else -number
        if first.isdigit():
            self._position -= 1
            return self._read_unsigned_number()
        if first in (b"{", b"["):
            return None
        raise self.error("Syntax error")

    def _finish_literal(self, text: bytes) -> None:
        """Read the rest of ``true``, ``false`` or ``null``. Its first byte has been read."""
        start = self._position - 1
        if not self._text.startswith(text, start):
            raise self.error("Expecting literal (null,true,false)")
        self._position = start + len(text)

    def _finish_string(self) -> bytes:
        """Read a string whose opening quote has been read. Return all of it, zero bytes included."""
        parts = []
        while True:
            parts.append(self._read_match(_UNESCAPED))
            byte = self._read_byte()
            if not byte:
                raise self.error("Malformed string - no closing quote")
            if byte == b'"':
                return b"".join(parts)
            parts.append(self._finish_escape())

    def _finish_escape(self) -> bytes:
        """Read the rest of an escape sequence, and return the bytes that it stands for. The backslash has been read."""
        letter = self._read_byte()
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        self._expect(letter, b"u", "Illegally escaped character")
        hex_digits = self._read_match(_HEX4)
        if not hex_digits:
            raise self.error("Malformed \\u escape sequence")
        character = chr(int(hex_digits, 16))
        # JSON writes a character above U+FFFF as two escapes, a surrogate pair. The station encodes each half by
        # itself, which Python does only with "surrogatepass".
        return character.encode("utf-8", "surrogatepass")

    # --- numbers ---

    def _read_unsigned_number(self) -> int | float:
        """Read a number without a sign: an int, or a float if it has a fraction or an exponent."""
        integer = _parse_u64(self._read_digits())
        has_fraction = self._read_one_of((b".",)) != b""
        fraction = self._finish_fraction() if has_fraction else 0.0
        has_exponent = self._read_one_of((b"e", b"E")) != b""
        if has_exponent:
            return _scale_by_power_of_ten(fraction + integer, self._finish_exponent())
        if has_fraction:
            return fraction + integer
        return integer

    def _finish_fraction(self) -> float:
        """Read the digits after the decimal point, and return the fraction: 0.25 for ``25``."""
        digits = self._read_digits()
        # The number is less than 2^64, and therefore less than 10^20. Divided by 10^400 or more it is 0 in a double.
        exponent = min(len(digits), _MAX_EXPONENT)
        return _scale_by_power_of_ten(float(_parse_u64(digits)), -exponent)

    def _finish_exponent(self) -> int:
        """Read the sign and the digits after an ``e``. Return the exponent, limited to ``_MAX_EXPONENT``."""
        sign = self._read_one_of((b"+", b"-"))
        exponent = min(_parse_u64(self._read_digits()), _MAX_EXPONENT)
        return -exponent if sign == b"-" else exponent

    def _read_digits(self) -> bytes:
        """Read and return all decimal digits up to the next other character. There must be at least one."""
        digits = self._read_match(_DIGITS)
        if not digits:
            raise self.error("Expecting some decimal digits")
        return digits


def to_c_string(data: bytes) -> bytes:
    """Return bytes up to the first zero byte."""
    text, _, _ = data.partition(b"\0")
    return text


def _format_step(step: bytes | int | None) -> str:
    """Return one step of a path as the station writes it: ``.name``, or ``[2]``."""
    if step is None:
        return ".(null)"
    if isinstance(step, int):
        return f"[{step}]"
    name = to_c_string(step)[:_EXCERPT_BYTES]
    return f".{decode_lossless(name)}"


def _is_integer(value: _Scalar) -> TypeGuard[int]:
    """Return whether a value is an integer. The station counts ``1.0`` and ``1e1`` as no integers."""
    return isinstance(value, int) and not isinstance(value, bool)


def _parse_u64(digits: bytes) -> int:
    """Return the value of decimal digits modulo 2^64, as the station's integer wraps around."""
    value = 0
    for digit in digits:
        value = (value * 10 + digit - ord("0")) & _MAX_U64
    return value


def _to_signed(value: int) -> int:
    """Return the lowest 64 bits of an integer as a number with a sign."""
    return ((value + _SIGN_BIT) & _MAX_U64) - _SIGN_BIT


def _scale_by_power_of_ten(value: float, exponent: int) -> float:
    """Return ``value`` times 10^``exponent``, multiplied step by step as the station does, with its rounding."""
    for _ in range(abs(exponent)):
        value = value * 10 if exponent > 0 else value / 10
    return value
