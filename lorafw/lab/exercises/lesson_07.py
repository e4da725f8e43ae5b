"""Lesson 07: what do the gateway and the server say to each other?"""

from __future__ import annotations

from typing import cast

from lorafw.lab.exercises.grading import Exercise, Grader, equals


def _is_crc_in_hex(answer: object) -> bool:
    return bytes.fromhex(cast("str", answer)) == (3434210794).to_bytes(4, "little")


EXERCISES = {
    "07-nothing": Exercise(
        "Add up the sizes of the six length fields: two of one byte, two of two bytes, two of four.",
        equals(14),
    ),
    "07-siglen": Exercise(
        "The length counts the key's CRC, too. How many bytes does that take?",
        equals(74),
    ),
    "07-crc": Exercise(
        'to_bytes(4, "little") gives four bytes, the lowest first; .hex(" ") writes them.',
        Grader("a text", _is_crc_in_hex),
    ),
}
