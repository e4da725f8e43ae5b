"""The parts of a message on the wire: which bytes are what.

A response is walked by the codec's own ``Segment`` table, a request by the members of its JSON object as they stand.
The parts of a whole message follow each other without a gap: together they are the message.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lorafw.cups.codec import Segment, decode_request
from lorafw.errors import MalformedRequest

_NAME: Final = {
    Segment.CUPS_URI: "cupsUri",
    Segment.TC_URI: "tcUri",
    Segment.CUPS_CRED: "cupsCred",
    Segment.TC_CRED: "tcCred",
    Segment.SIGNATURE: "sig",
    Segment.UPDATE: "upd",
}
_CRC_BYTES: Final = 4
_TRAILING_BYTES: Final = "rest"


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes ``start`` up to ``stop`` are ``name``; ``value`` says what stands there, in words."""

    name: str
    start: int
    stop: int
    value: str

    def __len__(self) -> int:
        return self.stop - self.start


def field_at(parts: list[Part], offset: int) -> Part:
    """The part in which a byte lies. Raises LookupError where no part has it."""
    for part in parts:
        if part.start <= offset < part.stop:
            return part
    raise LookupError(f"byte {offset} is in no part: they end at {parts[-1].stop if parts else 0}")


def annotate_response(body: bytes) -> list[Part]:
    """The parts of a response. A body that ends too early ends in a part ``rest`` with what is there."""
    return list(_response_parts(body))


def _response_parts(body: bytes) -> Iterator[Part]:
    at = 0
    for segment in Segment:
        name, width = _NAME[segment], segment.length_bytes
        if at + width > len(body):
            break
        length = int.from_bytes(body[at : at + width], "little")
        yield Part(f"{name}Len", at, at + width, f"{length} bytes follow" if length else "0: absent")
        at += width
        if at + length > len(body):
            break
        yield from _content(segment, name, body, at, length)
        at += length
    if at < len(body):
        yield Part(_TRAILING_BYTES, at, len(body), f"{len(body) - at} bytes that belong to no whole segment")


def _content(segment: Segment, name: str, body: bytes, at: int, length: int) -> Iterator[Part]:
    if segment is Segment.SIGNATURE and length >= _CRC_BYTES:
        crc = int.from_bytes(body[at : at + _CRC_BYTES], "little")
        yield Part("keyCRC", at, at + _CRC_BYTES, f"{crc} ({crc:08X})")
        at, length = at + _CRC_BYTES, length - _CRC_BYTES
    if not length:
        return
    if segment in (Segment.CUPS_URI, Segment.TC_URI):
        value = body[at : at + length].decode("utf-8", "replace")
    else:
        value = f"{length} bytes"
    yield Part("updData" if segment is Segment.UPDATE else name, at, at + length, value)


def annotate_request(body: bytes) -> list[Part]:
    """The members of a request's JSON object, each with the bytes up to the next. Raises MalformedRequest."""
    decode_request(body)
    text = body.decode()
    ends = list(_member_ends(text))
    if not ends:
        raise MalformedRequest("the body is an empty JSON object")
    parts, start = [], 0
    for index, (name, value, end) in enumerate(ends):
        stop = len(body) if index == len(ends) - 1 else len(text[:end].encode())
        parts.append(Part(name, start, stop, json.dumps(value, ensure_ascii=False)))
        start = stop
    return parts


def _member_ends(text: str) -> Iterator[tuple[str, object, int]]:
    """(name, value, where the next member begins) of each member of the object that ``text`` is."""
    decoder = json.JSONDecoder()
    at = text.index("{") + 1
    while (at := _skip(text, at, " \t\r\n,")) < len(text) and text[at] != "}":
        name, at = decoder.raw_decode(text, at)
        value, at = decoder.raw_decode(text, _skip(text, at, " \t\r\n:"))
        end = _skip(text, at, " \t\r\n")
        at = end + 1 if end < len(text) and text[end] == "," else end
        yield name, value, at


def _skip(text: str, at: int, characters: str) -> int:
    while at < len(text) and text[at] in characters:
        at += 1
    return at
