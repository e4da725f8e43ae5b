"""Annotate the bytes of a message: which bytes belong to which field.

A response is split by its segments, a request by the members of its JSON object. The fields of a whole message follow
each other without a gap and together cover all its bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lorafw.cups.codec import decode_request
from lorafw.cups.parser import Segment
from lorafw.errors import MalformedRequest

_FIELD_NAMES: Final = {
    Segment.CUPS_URI: "cupsUri",
    Segment.TC_URI: "tcUri",
    Segment.CUPS_CRED: "cupsCred",
    Segment.TC_CRED: "tcCred",
    Segment.SIGNATURE: "sig",
    Segment.UPDATE: "upd",
}
_CRC_BYTES: Final = 4
_TRAILING_BYTES: Final = "rest"
_JSON_WHITESPACE: Final = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Part:
    """A range of bytes in a message, with a name and a readable value. Its ``len`` is the number of bytes."""

    name: str
    """Name of the field, as Basics Station calls it."""
    start: int
    """Offset of the first byte."""
    stop: int
    """Offset after the last byte."""
    value: str
    """The field's value as text for a person."""

    def __len__(self) -> int:
        return self.stop - self.start


def field_at(parts: list[Part], offset: int) -> Part:
    """Return the field that contains the byte at ``offset``.

    Raises:
        LookupError: No field contains this byte.
    """
    for part in parts:
        if part.start <= offset < part.stop:
            return part
    end = parts[-1].stop if parts else 0
    raise LookupError(f"byte {offset} is in no part: they end at {end}")


def annotate_response(body: bytes) -> list[Part]:
    """Return the fields of a response in wire order.

    The bytes after the last complete segment, of a body that is too short or too long, form a field named ``rest``.
    """
    return list(_response_fields(body))


def _response_fields(body: bytes) -> Iterator[Part]:
    """Yield the fields of a response.

    A response consists of six segments. Each is a little-endian length, and content of this length::

        offset    content_start             content_stop
        +---------+-------------------------+
        | length  | content                 | next segment ...
        +---------+-------------------------+
    """
    offset = 0
    for segment in Segment:
        content_start = offset + segment.length_bytes
        if content_start > len(body):
            break
        length = int.from_bytes(body[offset:content_start], "little")
        description = f"{length} bytes follow" if length else "0: absent"
        yield Part(f"{_FIELD_NAMES[segment]}Len", offset, content_start, description)
        offset = content_start
        content_stop = content_start + length
        if content_stop > len(body):
            break
        yield from _segment_fields(segment, body, content_start, content_stop)
        offset = content_stop
    if offset < len(body):
        remaining = len(body) - offset
        yield Part(_TRAILING_BYTES, offset, len(body), f"{remaining} bytes that belong to no whole segment")


def _segment_fields(segment: Segment, body: bytes, start: int, stop: int) -> Iterator[Part]:
    """Yield the fields inside one segment: none if it is empty, two for a signature with its CRC."""
    name = _FIELD_NAMES[segment]
    if segment is Segment.SIGNATURE and stop - start >= _CRC_BYTES:
        crc_stop = start + _CRC_BYTES
        crc = int.from_bytes(body[start:crc_stop], "little")
        yield Part("keyCRC", start, crc_stop, f"{crc} ({crc:08X})")
        start = crc_stop
    if start == stop:
        return
    if segment is Segment.UPDATE:
        name = "updData"
    value = f"{stop - start} bytes"
    if segment in (Segment.CUPS_URI, Segment.TC_URI):
        value = body[start:stop].decode("utf-8", "replace")
    yield Part(name, start, stop, value)


def annotate_request(body: bytes) -> list[Part]:
    """Return the members of a request's JSON object, in the order of the text.

    Each field extends to the start of the next member. The first includes the opening brace, the last the closing one.

    Raises:
        MalformedRequest: The body is not an update-info request.
    """
    decode_request(body)
    text = body.decode()
    members = list(_iter_members(text))
    if not members:
        raise MalformedRequest("the body is an empty JSON object")
    # The fields have no gap: each begins where the one before it ends, and the last one ends with the text.
    ends = [text_end for _, _, text_end in members[:-1]]
    ends.append(len(text))
    parts = []
    start = 0
    for (name, value, _), text_end in zip(members, ends, strict=True):
        # Offsets count bytes, but the JSON parser counts characters.
        stop = len(text[:text_end].encode())
        parts.append(Part(name, start, stop, json.dumps(value, ensure_ascii=False)))
        start = stop
    return parts


def _iter_members(text: str) -> Iterator[tuple[str, object, int]]:
    """Yield each member of a JSON object that is known to be valid.

    Args:
        text: The JSON object.

    Yields:
        The name, the value, and the character offset after the member and its comma.
    """
    decoder = json.JSONDecoder()
    after_brace = text.index("{") + 1
    offset = _skip(text, after_brace, _JSON_WHITESPACE)
    while text[offset] != "}":
        # raw_decode returns a value and the offset behind it. The name of a member is a value as well, a string.
        name, offset = decoder.raw_decode(text, offset)
        offset = _skip(text, offset, _JSON_WHITESPACE + ":")
        value, offset = decoder.raw_decode(text, offset)
        offset = _skip(text, offset, _JSON_WHITESPACE)
        if text[offset] == ",":
            offset += 1
        yield name, value, offset
        offset = _skip(text, offset, _JSON_WHITESPACE)


def _skip(text: str, offset: int, characters: str) -> int:
    """Return the offset of the first character, from ``offset`` on, that is not one of ``characters``."""
    while offset < len(text) and text[offset] in characters:
        offset += 1
    return offset
