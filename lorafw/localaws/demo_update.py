"""The update file of `lorafw demo`, which can be made to fail on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from lorafw import example
from lorafw.firmware.signing import KeyPair, PublicKey, UpdateSignature, sign_update


class Defect(StrEnum):
    """What is wrong with an update that must fail. The values are those of ``--fail``."""

    WRONG_KEY = "wrong-key"
    """The update is signed with a key that the gateway does not trust."""
    TAMPERED = "tampered"
    """The file is changed after it was signed."""


@dataclass(frozen=True, slots=True)
class DemoUpdate:
    """A signed update file, and the key with which the gateway verifies the signature."""

    package: str
    """The PackageVersion of a gateway that has installed the update."""
    defect: Defect | None
    """What is wrong with the update. None if it is correct."""
    signed_file: bytes
    """The file that was signed."""
    published_file: bytes
    """The file for the bucket. It differs from ``signed_file`` only if the defect is TAMPERED."""
    signature: UpdateSignature
    """The signature of ``signed_file``. Another key than ``gateway_key`` made it if the defect is WRONG_KEY."""
    gateway_key: PublicKey
    """The key that the gateway trusts (its file sig-0.key)."""


def build_demo_update(package: str, defect: Defect | None = None) -> DemoUpdate:
    """Build and sign an update file, with new keys.

    Args:
        package: The PackageVersion that the update installs.
        defect: What is wrong with the update. None makes a correct one.

    Returns:
        The update. Nothing is uploaded yet.
    """
    trusted_keys = KeyPair.generate()
    signing_keys = trusted_keys
    if defect is Defect.WRONG_KEY:
        signing_keys = KeyPair.generate()
    signed_file = example.update_file(package)
    signature = sign_update(signing_keys, signed_file)
    published_file = signed_file
    if defect is Defect.TAMPERED:
        published_file = signed_file + b"\n"
    return DemoUpdate(package, defect, signed_file, published_file, signature, trusted_keys.public_key)


def describe_demo_update(update: DemoUpdate) -> Iterator[str]:
    """Yield the lines that tell a reader what the update brings, how it is signed and what is wrong with it."""
    yield f"{example.KEY}: {len(update.signed_file)} bytes, brings PackageVersion {update.package}"
    signature_bytes, key_crc = len(update.signature.signature), update.signature.key_crc
    yield f"signature: {signature_bytes} bytes, SigKeyCrc {key_crc} ({key_crc:08X})"
    if update.defect is Defect.WRONG_KEY:
        trusted_crc = update.gateway_key.crc
        yield f"(--fail wrong-key: the gateway's sig-0.key has the CRC {trusted_crc}, {trusted_crc:08X})"
    if update.defect is Defect.TAMPERED:
        yield "(--fail tampered: one byte is added to the file after it was signed)"


def explain_defect(defect: Defect | None) -> str:
    """Return a sentence that says why an update with this defect fails."""
    if defect is Defect.WRONG_KEY:
        return "The update was signed with another key than the one whose public half is on the gateway."
    if defect is Defect.TAMPERED:
        return "The file in the bucket is not the one that was signed."
    return "The update did not take effect."
