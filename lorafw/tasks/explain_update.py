"""Explains whether a station accepts an update: its keys, the update file and the signature."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lorafw.errors import LorafwError
from lorafw.tasks.decision import Evidence
from lorafw.tasks.explained_update import definition_to_send, update_in_question
from lorafw.tasks.explanation_text import evidence_of, join_limited
from lorafw.tasks.model import UpdateSpec
from lorafw.tasks.policy import Policy
from lorafw.tasks.snapshot import Snapshot


def key_lines(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    """Compare the keys on the gateway with the key of the update."""
    update = update_in_question(snapshot, policy)
    if update is None or snapshot.request is None:
        return
    keys = snapshot.request.keys
    if not update.signature:
        yield _unsigned_line(keys)
    elif update.sig_key_crc in keys:
        yield f"The update is signed with {_format_sig_key(update)}, and the gateway has this key."
    else:
        yield _key_mismatch_line(update, keys, policy)
        yield from _other_key_lines(snapshot, keys)


def _key_mismatch_line(update: UpdateSpec, keys: Sequence[int], policy: Policy) -> str:
    """Say that the gateway does not have the key of the update, and whether the service sends the update anyway."""
    present = f"the keys {_format_keys(keys)}" if keys else "no key"
    consequence = "is offered all the same" if policy.key_mismatch == "offer" else "is withheld"
    evidence = evidence_of(policy, "key_mismatch")
    sig_key = _format_sig_key(update)
    return f"The update is signed with {sig_key}; the gateway has {present}. It {consequence} ({evidence})."


def _unsigned_line(keys: Sequence[int]) -> str:
    """Say what a station with these keys does with an update that is not signed."""
    if keys:
        refused = f"a station refuses it ({Evidence.OBSERVED})"
        return f"The update is not signed, and the gateway has keys ({_format_keys(keys)}): {refused}."
    return f"The update is not signed, and the gateway has no key: a station runs it ({Evidence.OBSERVED})."


def _other_key_lines(snapshot: Snapshot, keys: Sequence[int]) -> Iterator[str]:
    """Say what a station does with a signed update whose SigKeyCrc is none of its keys. It tries all of them."""
    observed = Evidence.OBSERVED
    signers = snapshot.source.signers if snapshot.source is not None else None
    if not keys:
        yield f"  A station without a key refuses a signed update ({observed}): put sig-0.key into its home folder."
    elif signers is not None and not signers.isdisjoint(keys):
        yield f"  One of these keys verifies the signature, so a station runs the update ({observed})."


def _format_key(crc: int) -> str:
    """Return a key's CRC in decimal, as in SigKeyCrc, and in hex, as in a station's log."""
    return f"{crc} ({crc:08X})"


def _format_sig_key(update: UpdateSpec) -> str:
    """Return the SigKeyCrc of an update as text."""
    if update.sig_key_crc is None:
        return "no SigKeyCrc"
    return f"SigKeyCrc {_format_key(update.sig_key_crc)}"


def _format_keys(crcs: Sequence[int]) -> str:
    """Return the CRCs of keys as a list that is truncated if it is long."""
    return join_limited(_format_key(crc) for crc in crcs)


def source_lines(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    """Say whether the update file can be read now, or could be read at the last request that needed it."""
    source = snapshot.source if definition_to_send(snapshot, policy) is not None else None
    if source is not None and source.error is not None:
        yield f"The update cannot be read {_format_error(source.error)}"
    elif snapshot.last_read_error is not None:
        error = _format_error(snapshot.last_read_error)
        yield f"At the last request that needed it the update could not be read {error}"
    if source is not None and source.size is not None:
        yield f"Object and role can be read: the update has {source.size} bytes."


def signature_lines(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    """Explain why no station accepts the signature, if that is so. Most often the update file was overwritten."""
    update, source = update_in_question(snapshot, policy), snapshot.source
    if update is None or update.sig_key_crc is None:
        return  # The update is not signed.
    if source is None or source.signers is None:
        return  # The update could not be read, so its signature was not checked.
    # A station tries all of its keys, whatever SigKeyCrc says (observed).
    tried_keys = {update.sig_key_crc, *snapshot.key_crcs}
    if source.signers.isdisjoint(tried_keys):
        yield from _bad_signature_lines(update.sig_key_crc, source.signature_fault)


def _bad_signature_lines(sig_key_crc: int, fault: str | None) -> Iterator[str]:
    """Describe a signature that no key verifies. ``fault`` is what the signer did wrong, or None if it is unknown."""
    if fault is None:
        problem = "does not belong to the object that is there now"
        hint = "Was the object overwritten? Sign what is there now, or give each update a key of its own in the bucket."
    else:
        problem = "cannot be verified"
        hint = fault
    key = _format_key(sig_key_crc)
    refusal = f"no key with SigKeyCrc {key} verifies it, so a station refuses it ({Evidence.OBSERVED})"
    yield f"Its signature {problem}: {refusal}."
    yield f"  {hint}"


def _format_error(error: LorafwError) -> str:
    """Return the class and the message of an error on one line."""
    message = " ".join(str(error).split())
    return f"({type(error).__name__}): {message}"
