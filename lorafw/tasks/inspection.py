"""Reads the update file of a definition, and checks its signature."""

from __future__ import annotations

from collections.abc import Collection

from lorafw.errors import FirmwareError, InvalidValue, SourceError
from lorafw.firmware.recovery import recover_key_crcs
from lorafw.firmware.signature_fault import find_signature_fault
from lorafw.tasks.model import AccountRegion, UpdateImage, UpdateSource, UpdateSpec
from lorafw.tasks.snapshot import SourceInspection

READ_ERRORS = (SourceError, FirmwareError, InvalidValue)
"""The errors of an update that cannot be read, or that no station accepts."""


def open_update(source: UpdateSource, owner: AccountRegion, update: UpdateSpec) -> UpdateImage:
    """Read the update file of a definition.

    Args:
        source: Where update files are read from.
        owner: The account and Region of the definition.
        update: The update of the definition. It has a ``data_source``.

    Returns:
        The update file.

    Raises:
        InvalidValue: No station could accept the signature, so the file is not read.
        SourceError: The file cannot be read.
        FirmwareError: The file is not a valid update file.
    """
    assert update.data_source is not None
    if update.unusable_signature is not None:
        raise InvalidValue("UpdateSignature", update.unusable_signature, "no station could take it, so nothing is sent")
    return source.open(update.data_source, update.data_role, account=owner.account, region=owner.region)


def inspect_update(
    source: UpdateSource, owner: AccountRegion, update: UpdateSpec, gateway_key_crcs: Collection[int]
) -> SourceInspection:
    """Read the update file of a definition, and find out which keys verify its signature.

    Args:
        source: Where update files are read from.
        owner: The account and Region of the definition.
        update: The update of the definition.
        gateway_key_crcs: The CRCs of the signature keys on the gateway.

    Returns:
        What was found. If the update cannot be read, it contains the error.
    """
    try:
        image = open_update(source, owner, update)
        return inspect_signature(image, update, gateway_key_crcs)
    except READ_ERRORS as error:
        return SourceInspection.failed(error)


def inspect_signature(image: UpdateImage, update: UpdateSpec, gateway_key_crcs: Collection[int]) -> SourceInspection:
    """Find out which keys verify the signature of an update file.

    Args:
        image: The update file.
        update: The signature, and the CRC of the key that should verify it.
        gateway_key_crcs: The CRCs of the signature keys on the gateway.

    Returns:
        What was found. If no known key verifies the signature, it contains the reason, if that can be found out.
    """
    if not update.signature:
        return SourceInspection(size=image.size)
    signers = recover_key_crcs(image.chunks(), update.signature)
    known_crcs = set(gateway_key_crcs)
    if update.sig_key_crc is not None:
        known_crcs.add(update.sig_key_crc)
    fault = None
    if signers.isdisjoint(known_crcs):
        fault = find_signature_fault(image.chunks, update.signature, known_crcs)
    return SourceInspection(size=image.size, signers=signers, signature_fault=fault)
