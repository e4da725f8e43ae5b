"""Split DER into its values.

A value is a tag (1 byte), a length, and contents of this length. A length of at most 0x7F is 1 byte. For a longer one,
the low 7 bits of this byte are the number of bytes that follow and hold the length, big-endian.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

SEQUENCE: Final = 0x30

_MAX_SHORT_LENGTH: Final = 0x7F
_MAX_HEADER_BYTES: Final = 6
"""The maximum size of a tag and a length."""
_MORE_FOLLOWS: Final = 0x80


def split_value(data: bytes) -> tuple[int, bytes, bytes]:
    """Split ``data`` after its first value. Return the tag and the contents of this value, and the rest.

    Raises:
        ValueError: ``data`` has no tag, or no length of at most 4 bytes.
    """
    if len(data) < 2:
        raise ValueError("no value")
    tag, length = data[:2]
    begin = 2
    if length > _MAX_SHORT_LENGTH:
        # 0x80 stands for an indefinite length, which DER does not have. The parser of the contents refuses it.
        begin += length & 0x7F
        length = int.from_bytes(data[2:begin], "big")
    if begin > _MAX_HEADER_BYTES:
        raise ValueError("a length of more than 4 bytes")
    end = begin + length
    return tag, data[begin:end], data[end:]


def iter_values(contents: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the tag and the contents of each value in the contents of a sequence or a set. Raises ValueError."""
    while contents:
        tag, value, contents = split_value(contents)
        yield tag, value


def first_sequence(data: bytes) -> bytes:
    """Return the sequence at the beginning of ``data``, without the bytes after it.

    Raises:
        ValueError: ``data`` does not begin with a sequence.
    """
    if data[:1] != bytes([SEQUENCE]):
        raise ValueError("no sequence")
    _, _, rest = split_value(data)
    return data[: len(data) - len(rest)]


def format_oid(contents: bytes) -> str:
    """Return an object identifier as numbers with dots, such as ``2.5.4.3``. A number has 7 bits in each byte."""
    numbers: list[int] = []
    number = 0
    for byte in contents:
        number = number << 7 | byte & ~_MORE_FOLLOWS
        if byte < _MORE_FOLLOWS:
            numbers.append(number)
            number = 0
    # The first two numbers share one: 40 times the first, which is at most 2, and the second.
    first = min(numbers[0] // 40, 2) if numbers else 0
    second = numbers[0] - 40 * first if numbers else 0
    return ".".join(str(each) for each in (first, second, *numbers[1:]))
