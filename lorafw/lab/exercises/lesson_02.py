"""Lesson 02: how does a gateway know that the firmware is genuine?"""

from __future__ import annotations

from base64 import b64decode
from typing import Final, cast

from lorafw.cups.codec import encode_response
from lorafw.cups.messages import UpdateInfoResponse
from lorafw.firmware.image import unpack_image
from lorafw.firmware.signing import KeyPair, UpdateSignature
from lorafw.lab.exercises.grading import Exercise, Grader, equals
from lorafw.lab.exercises.question import Option, Question, right
from lorafw.station.evaluation import evaluate_reply

MINE: Final = b"#!/bin/sh\necho signed by me\n"
"""The update file that the learner signs."""
SECRET: Final = 815
"""The number that the learner's key pair is made from."""
OWNER_SECRET: Final = 4711
"""The number that the key pair of this lesson is made from."""


def _is_signature(answer: object) -> bool:
    """Return True if the signature verifies. Raises otherwise."""
    assert isinstance(answer, bytes)
    KeyPair.from_secret(SECRET).public_key.verify(MINE, answer)
    return True


def _feedback_form_of_signature(answer: object) -> str | None:
    """Return feedback on a signature that is not handed in as bytes."""
    if isinstance(answer, UpdateSignature):
        return "that is the whole result of sign_update; hand in its .signature."
    if isinstance(answer, str) and b64decode(answer, validate=True)[:1] == b"0":
        return "that is base64, as AWS takes a signature; hand in its bytes, .signature."
    return None


def _gateway_runs(update: bytes, signature: bytes) -> bool:
    """Return whether a gateway with the key of this lesson runs the update."""
    public_key = KeyPair.from_secret(OWNER_SECRET).public_key
    response = UpdateInfoResponse(update=update, signature=signature, key_crc=public_key.crc)
    return evaluate_reply(encode_response(response), sig_keys=[public_key.sig_key]).executed


def _installs_and_restarts(answer: object) -> bool:
    """Return whether the gateway runs the update, and the update installs a station and 1.0.2, and restarts."""
    update, signature = cast("tuple[bytes, bytes]", answer)
    image = unpack_image(update)
    names = [file.name for file in image.files]
    is_complete = image.package_version == "1.0.2" and "station" in names and bool(image.restart)
    return is_complete and _gateway_runs(update, signature)


def _feedback_on_contents(update: bytes) -> str | None:
    """Return what the update does not install or does not restart."""
    image = unpack_image(update)
    if image.package_version != "1.0.2":
        return f"after this update the gateway reports {image.package_version}."
    if "station" not in [file.name for file in image.files]:
        return "the update installs no file with the name station."
    if not image.restart:
        return "the old program keeps running, because the update does not restart anything."
    return None


def _feedback_on_update(answer: object) -> str | None:
    """Return what is missing in the update, or that the gateway refuses it."""
    if not isinstance(answer, tuple) or len(answer) != 2:
        return "hand in two values: the bytes of the update and the bytes of its signature."
    update, signature = answer
    form_of_signature = _feedback_form_of_signature(signature)
    if form_of_signature:
        return form_of_signature
    missing = _feedback_on_contents(update)
    if missing:
        return missing
    if not _gateway_runs(update, signature):
        return "a gateway with the key of this lesson refuses the update."
    return None


EXERCISES = {
    "02-crc": Exercise(
        hints=(
            "The log and input.json write the same kind of number with different digits. Which digits are these?",
            "keycrc is hexadecimal. Python's int has a second argument.",
        ),
        grader=equals(0x37316C36),
        solution='answer = int("37316C36", 16)',
        explanation="It is not 3434210794, so the server sent something other than the CRC. A station only prints this "
        "number, and tries all its keys (observed). The appendix shows what the number is.",
    ),
    "02-sign": Exercise(
        hints=(
            "The cell above signs a file in one line. Which two values does it need?",
            "KeyPair.from_secret makes the key pair of a number. The result of sign_update has several attributes.",
        ),
        grader=Grader("a signature's bytes", _is_signature, _feedback_form_of_signature),
        solution="answer = sign_update(KeyPair.from_secret(815), mine).signature",
        explanation="The same file and the same key give the same bytes here. On AWS they may differ each time.",
    ),
    "02-update": Exercise(
        hints=(
            "build_image in lorafw takes package_version, files (names and contents) and restart.",
            "Sign the bytes that build_image returns, all of them, with pair.",
        ),
        grader=Grader("two values", _installs_and_restarts, _feedback_on_update),
        solution="""\
from lorafw import build_image

update = build_image(
    package_version="1.0.2", files={"station": b"a program"}, restart="systemctl restart station"
)
answer = update, sign_update(pair, update).signature""",
        explanation="check has asked the model of a Basics Station: it verifies the signature and runs the update.",
        is_open_ended=True,
    ),
}

QUESTIONS = {
    "02-lost": Question(
        "All 500 gateways have one key, sig-0.key. The only copy of the private key is lost. How do you sign the "
        "next update?",
        (
            Option(
                "with a new private key; sig-0.key stays",
                "a signature of the new key does not verify with the old public key.",
            ),
            Option(
                "with the old signature, on the new file",
                "a signature is valid for the bytes that were signed, and no others.",
            ),
            Option(
                "AWS signs it with the role", "AWS passes your signature on. It has no key of yours and signs nothing."
            ),
            right(
                "not at all, until a new public key is on each gateway",
                "CUPS cannot bring it to them. You need another way to all 500 gateways, such as SSH or a visit. So "
                "keep a copy of the private key in a safe place.",
            ),
        ),
    ),
}
