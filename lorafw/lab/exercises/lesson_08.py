"""Lesson 08: what can an attacker do with my update?"""

from __future__ import annotations

from typing import Final

from lorafw.cups.codec import encode_response
from lorafw.cups.messages import UpdateInfoResponse
from lorafw.firmware.signing import KeyPair, PublicKey, sign_update
from lorafw.lab.exercises.grading import Exercise, Grader, equals
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
        return "the bytes are as they were built. To change a byte twice turns it back: press Tamper once."
    return None


def _is_vendor_key(answer: object) -> bool:
    """Return whether the answer is the vendor's public key, as an object or as its bytes."""
    sig_key = getattr(answer, "sig_key", answer)
    return bool(sig_key == KeyPair.from_secret(VENDOR_SECRET).public_key.sig_key)


def _runs(sig_keys: list[bytes], signer: KeyPair | None) -> bool:
    """Return whether a gateway with these keys runs an update.

    Args:
        sig_keys: The public keys on the gateway.
        signer: The key that the update is signed with. None: it is not signed.
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


def _feedback_form_of_keys(answer: object) -> str | None:
    """Return feedback on keys that are not handed in as bytes."""
    if isinstance(answer, list) and any(isinstance(key, KeyPair | PublicKey) for key in answer):
        return "a gateway holds 64 bytes, a public key's .sig_key."
    return None


EXERCISES = {
    "08-bench": Exercise(
        "A signature fits the bytes that were signed. Which button makes one for the bytes as they are now? Or: which "
        "gateway asks for none?",
        Grader("workbench.bench", _runs_a_changed_update, _feedback_unchanged),
    ),
    "08-unsigned": Exercise(
        "Only a file named sig-0.key makes a gateway ask for a signature, be it a good key or not.",
        equals({"B", "C"}),
    ),
    "08-recover": Exercise(
        "recover_public_keys gives the candidates; each has a .crc and a .sig_key.",
        Grader("a public key", _is_vendor_key),
    ),
    "08-rotate": Exercise(
        "Each key in the list is tried, and the first that verifies decides. Whose signatures shall be worth nothing?",
        Grader("a list", _trusts_only_the_new_key, _feedback_form_of_keys),
    ),
}
