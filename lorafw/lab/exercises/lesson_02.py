"""Lesson 02: how does a gateway know that the firmware is genuine?"""

from __future__ import annotations

from typing import Final

from lorafw.firmware.signing import KeyPair
from lorafw.lab.exercises.answers import Exercise, equals, number

MINE: Final = b"#!/bin/sh\necho signed by me\n"
SECRET: Final = 815


def _is_signature(answer: object) -> bool:
    assert isinstance(answer, bytes)
    KeyPair.from_secret(SECRET).public_key.verify(MINE, answer)
    return True


EXERCISES = {
    "02-crc": Exercise(
        "The log prints in hex what AWS writes in decimal. int(text, 16) reads hex.",
        equals(0x37316C36),
    ),
    "02-sign": Exercise(
        "sign_update takes the key pair of the number 815 and the bytes of the file; its result has a .signature.",
        _is_signature,
    ),
    "02-visits": Exercise(
        "A signature fits one file only. Which gateways hold the public key that belongs to a new private one?",
        number(500),
    ),
}
