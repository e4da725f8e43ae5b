"""Lesson 07: what do the gateway and the server say to each other?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, cast

from lorafw.cups.codec import encode_response
from lorafw.cups.messages import UpdateInfoResponse
from lorafw.lab.exercises.grading import Exercise, Grader, equals, function
from lorafw.lab.exercises.question import Option, Question, right

_RESPONSES: Final = (
    UpdateInfoResponse(),
    UpdateInfoResponse(update=b"#!/bin/sh\necho " + b"x" * 70_000),
    UpdateInfoResponse(cups_uri="https://cups.example:443", tc_uri="wss://lns.example:443"),
    UpdateInfoResponse(update=b"#!/bin/sh\n", signature=b"\x30\x06\x02\x01\x01\x02\x01\x01", key_crc=3434210794),
)


def _is_crc_in_hex(answer: object) -> bool:
    return bytes.fromhex(cast("str", answer)) == (3434210794).to_bytes(4, "little")


def _expected_parts(response: UpdateInfoResponse) -> dict[str, bytes]:
    """Return the parts of a response that the learner's function must find."""
    signature = b""
    if response.signature:
        signature = (response.key_crc or 0).to_bytes(4, "little") + response.signature
    return {
        "cupsUri": (response.cups_uri or "").encode(),
        "signature": signature,
        "update": response.update or b"",
    }


def _has_right_parts(answer: object, response: UpdateInfoResponse) -> bool:
    take_apart = cast("Callable[[bytes], Mapping[str, bytes]]", answer)
    parts = take_apart(encode_response(response))
    return all(parts[name] == content for name, content in _expected_parts(response).items())


def _takes_every_response_apart(answer: object) -> bool:
    return all(_has_right_parts(answer, response) for response in _RESPONSES)


def _feedback_response(answer: object) -> str | None:
    for response in _RESPONSES:
        if not _has_right_parts(answer, response):
            return f"it is wrong for a response of {len(encode_response(response))} bytes."
    return None


EXERCISES = {
    "07-siglen": Exercise(
        hints=("What else is in the signature part, before the signature?", "How many bytes does a CRC-32 take?"),
        grader=equals(74),
        solution="answer = 4 + 70",
        explanation="The length counts the key's CRC and the signature.",
    ),
    "07-crc": Exercise(
        hints=(
            "An int has a method that returns its bytes, in the order that you name.",
            'Its name is to_bytes. The order is "little", and .hex(" ") writes the bytes.',
        ),
        grader=Grader("a string", _is_crc_in_hex),
        solution='answer = (3434210794).to_bytes(4, "little").hex(" ")',
        explanation="The lowest byte comes first, so the log prints the same four bytes in the other order: CCB1E5EA.",
    ),
    "07-parts": Exercise(
        hints=(
            "The cell that takes the response apart does it already. Put its lines into a function, without print.",
            "Begin at byte 0. For each name read its length, then that number of bytes, and move on.",
        ),
        grader=function(_takes_every_response_apart, _feedback_response),
        solution="""\
def take_apart(reply):
    at, parts = 0, {}
    for name, width in widths.items():
        length = int.from_bytes(reply[at : at + width], "little")
        parts[name] = reply[at + width : at + width + length]
        at += width + length
    return parts


answer = take_apart""",
        explanation="check has called your function with four responses, one of them with an update of 70 KB.",
        is_open_ended=True,
    ),
}

QUESTIONS = {
    "07-claim": Question(
        "Someone steals the certificate and the key of one gateway. What can they make AWS believe?",
        (
            Option(
                "anything about any gateway", "the certificate belongs to one gateway, and the server compares the two."
            ),
            right(
                "anything about that gateway, also that it was updated",
                "The version in a request is what the sender says. Nothing checks it.",
            ),
            Option(
                "nothing: the signature protects the request",
                "the signature belongs to the update. A request has none.",
            ),
        ),
    ),
}
