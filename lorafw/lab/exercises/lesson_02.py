"""Lesson 02: how does a gateway know that the firmware is genuine?"""

from __future__ import annotations

from base64 import b64decode
from typing import Final

from lorafw.firmware.signing import KeyPair, UpdateSignature
from lorafw.lab.exercises.grading import Exercise, Grader, equals

MINE: Final = b"#!/bin/sh\necho signed by me\n"
"""The update file that the learner signs."""
SECRET: Final = 815
"""The number that the learner's key pair is made from."""


def _is_signature(answer: object) -> bool:
    """Return True if the signature verifies. Raises otherwise."""
    assert isinstance(answer, bytes)
    KeyPair.from_secret(SECRET).public_key.verify(MINE, answer)
    return True


def _feedback_form_of_signature(answer: object) -> str | None:
    """Return feedback on a signature that is not handed in as bytes."""
    if isinstance(answer, UpdateSignature):
        return "that is the whole result of sign_update; the answer is its .signature."
    if isinstance(answer, str) and b64decode(answer, validate=True)[:1] == b"0":
        return "that is base64, as AWS takes a signature; the answer is its bytes, .signature."
    return None


EXERCISES = {
    "02-crc": Exercise(
        "The log prints in hex what AWS writes in decimal. int(text, 16) reads hex.",
        equals(0x37316C36),
    ),
    "02-sign": Exercise(
        "sign_update takes the key pair of the number 815 and the bytes of the file; its result has a .signature.",
        Grader("a signature's bytes", _is_signature, _feedback_form_of_signature),
    ),
    "02-visits": Exercise(
        "A signature fits one file only. Which gateways hold the public key that belongs to a new private one?",
        equals(500),
    ),
}
