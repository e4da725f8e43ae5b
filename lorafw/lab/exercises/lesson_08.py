"""Lesson 08: what can an attacker do with my update?"""

from __future__ import annotations

from typing import Final

from lorafw.cups.codec import encode_response
from lorafw.cups.messages import UpdateInfoResponse
from lorafw.firmware.signing import KeyPair, PublicKey, sign_update
from lorafw.lab.exercises.grading import Exercise, Grader, equals
from lorafw.lab.exercises.question import Question
from lorafw.station.evaluation import evaluate_reply

UPDATE: Final = b"#!/bin/sh\necho an update\n"
NEW_SECRET: Final = 4712
VENDOR_SECRET: Final = 31337


def _runs_a_changed_update(answer: object) -> bool:
    """Return whether a byte of the update was changed, and the station runs the update all the same.

    Args:
        answer: The state of the workbench.
    """
    from lorafw.lab.panels.signature_workbench import WorkbenchState  # noqa: PLC0415
    from lorafw.station.exchange import UpdateAction  # noqa: PLC0415 -- the panels import ipywidgets

    assert isinstance(answer, WorkbenchState)
    result, _ = answer.evaluate()
    return result.update is UpdateAction.RUN and answer.is_changed


def _feedback_unchanged(answer: object) -> str | None:
    """Return feedback on something else than the state, or on an update that was not changed."""
    from lorafw.lab.panels.signature_workbench import WorkbenchState  # noqa: PLC0415 -- as above

    if not isinstance(answer, WorkbenchState):
        return "hand in workbench.bench, the state of the panel."
    if not answer.is_changed:
        return "the bytes are as they were built. A second press of Tamper restores the byte."
    return None


def _is_vendor_key(answer: object) -> bool:
    """Return whether the answer is the vendor's public key, as an object or as its bytes."""
    sig_key = getattr(answer, "sig_key", answer)
    return bool(sig_key == KeyPair.from_secret(VENDOR_SECRET).public_key.sig_key)


def _runs(sig_keys: list[bytes], signer: KeyPair | None) -> bool:
    """Return whether a gateway with these keys runs an update.

    Args:
        sig_keys: The public keys on the gateway.
        signer: The key that the update is signed with. None means that it is not signed.
    """
    response = UpdateInfoResponse(update=UPDATE)
    if signer is not None:
        signed = sign_update(signer, UPDATE)
        response = UpdateInfoResponse(update=UPDATE, signature=signed.signature, key_crc=signed.key_crc)
    return evaluate_reply(encode_response(response), sig_keys=sig_keys).executed


def _trusts_only_the_new_key(answer: object) -> bool:
    """Return whether a gateway with these keys runs updates that are signed with the new key, and no others."""
    from lorafw.testbed import LAB_SECRET  # noqa: PLC0415 -- importing the testbed takes about a second

    assert isinstance(answer, list)
    new_key = KeyPair.from_secret(NEW_SECRET)
    old_key = KeyPair.from_secret(LAB_SECRET)
    return _runs(answer, new_key) and not _runs(answer, old_key) and not _runs(answer, None)


def _feedback_keys(answer: object) -> str | None:
    """Return feedback on keys that are not handed in as bytes, or on what a gateway with these keys runs."""
    from lorafw.testbed import LAB_SECRET  # noqa: PLC0415 -- as above

    if not isinstance(answer, list):
        return None
    if any(isinstance(key, KeyPair | PublicKey) for key in answer):
        return "a gateway holds 64 bytes, a public key's .sig_key."
    if _runs(answer, None):
        return "a gateway with these keys runs an update that nobody signed."
    if _runs(answer, KeyPair.from_secret(LAB_SECRET)):
        return "a gateway with these keys still runs what the old key signed."
    return "a gateway with these keys refuses what new signed."


EXERCISES = {
    "08-bench": Exercise(
        hints=(
            "A signature is valid for the bytes that were signed. What must the owner do after the change?",
            "Which button makes a signature for the bytes as they are now? Or which gateway asks for no signature?",
        ),
        grader=Grader("workbench.bench", _runs_a_changed_update, _feedback_unchanged),
        solution="workbench.tamper.click()\nworkbench.sign.click()\nanswer = workbench.bench",
        explanation="For this you need the owner's private key, which an attacker does not have. The other way is a "
        'gateway without a key: set workbench.on_gateway.value = "no key at all" and remove the signature.',
    ),
    "08-unsigned": Exercise(
        hints=(
            "With which number does a station begin to look for keys, and where does it stop?",
            "A key file of a wrong length counts as present. Does such a gateway require a signature?",
        ),
        grader=equals({"B", "C"}),
        solution="""\
from itertools import count, takewhile

answer = set()
for name, files in homes.items():
    present = takewhile(files.__contains__, (f"sig-{number}.key" for number in count()))
    if evaluate_reply(make_reply(update), sig_keys=[files[file] for file in present]).executed:
        answer.add(name)""",
        explanation="B has no key, and C has a key that the station never looks for. D refuses everything: its "
        "sig-0.key exists, so it requires a signature, but with 65 bytes it cannot verify one.",
    ),
    "08-recover": Exercise(
        hints=(
            "The last cell of code calculates keys from a file and a signature. It may find more than one.",
            "Each candidate has a .crc and a .sig_key. Which of the vendor's three values have you not used yet?",
        ),
        grader=Grader("a public key", _is_vendor_key),
        solution="""\
candidates = recover_public_keys(vendors_file, vendors_signature)
answer = next(key.sig_key for key in candidates if key.crc == vendors_crc)""",
        explanation="Two keys fit, and the CRC says which one is right. But before you copy it to a gateway, ask "
        "yourself who could have changed the page with the three values.",
    ),
    "08-rotate": Exercise(
        hints=(
            "The station tries each key in the list, and the first one that verifies decides.",
            "Whose signatures must be worth nothing from now on? An empty list accepts unsigned updates.",
        ),
        grader=Grader("a list", _trusts_only_the_new_key, _feedback_keys),
        solution="answer = [new.public_key.sig_key]",
        explanation="check has offered three updates to a gateway with your keys. While the old key is still on the "
        "gateway, everything that it ever signed stays valid. During the change you need both keys for some days.",
        is_open_ended=True,
    ),
}

QUESTIONS: dict[str, Question] = {}
