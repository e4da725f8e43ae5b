"""LW2xx: rules about the update file, its signature and the keys of the gateways."""

from __future__ import annotations

import hashlib
from typing import Final

from lorafw.doctor.findings import Severity, Violations, rule
from lorafw.doctor.subject import Subject
from lorafw.errors import BadSignature, FirmwareError, SignatureError
from lorafw.firmware.image import MAX_IMAGE_BYTES, unpack_image
from lorafw.firmware.recovery import recover_key_crcs
from lorafw.firmware.signature_fault import find_signature_fault
from lorafw.firmware.signing import PublicKey

_STATION: Final = "Basics Station 2.0.6, cups.c"
_UPDATE_RUNNER: Final = "Basics Station 2.0.6, sys_linux.c (sys_runUpdate)"
_EXECUTABLE_BEGINNINGS: Final = (b"#!", b"\x7fELF")


@rule(
    "LW201",
    Severity.ERROR,
    title="The update file is empty.",
    remedy="Upload the file again.",
    source=_STATION,
)
def check_file_is_not_empty(subject: Subject) -> Violations:
    """Check that the update file has content."""
    if subject.update_file is not None and subject.update_file.size == 0:
        yield f"{subject.update_file.name} has 0 bytes."


@rule(
    "LW202",
    Severity.ERROR,
    title="The update file is over 2 GB, and a station refuses it.",
    remedy="Split the update into several smaller ones.",
    source=_STATION,
)
def check_file_size(subject: Subject) -> Violations:
    """Check that the update file is not larger than a station accepts."""
    if subject.update_file is not None and subject.update_file.size > MAX_IMAGE_BYTES:
        yield f"{subject.update_file.name} has {subject.update_file.size} bytes; the maximum is {MAX_IMAGE_BYTES}."


@rule(
    "LW203",
    Severity.WARNING,
    title="The update file is neither a script nor a program, and a station runs it as one.",
    remedy="Build the file with 'lorafw firmware build', or begin a script with '#!/bin/sh'.",
    source=_UPDATE_RUNNER,
)
def check_file_is_executable(subject: Subject) -> Violations:
    """Check that the update file begins as a script or as an ELF program."""
    content = _content(subject)
    if content and not content.startswith(_EXECUTABLE_BEGINNINGS):
        yield f"{_name(subject)} begins with {content[:8]!r}."


@rule(
    "LW204",
    Severity.ERROR,
    title="The signature was made with the wrong hash or encoding.",
    remedy="Sign the file with 'lorafw firmware sign' or 'openssl dgst -sha512 -sign'.",
    source=_STATION,
)
def check_signature_form(subject: Subject) -> Violations:
    """Check that no other hash than SHA-512 and no raw encoding was used."""
    fault = _signature_fault(subject)
    if fault is not None:
        yield fault


@rule(
    "LW205",
    Severity.WARNING,
    title="Signature, SigKeyCrc and file do not belong together.",
    remedy="Sign this file, and give each update an S3 key of its own. Check the keys of the gateways with --sig-key.",
    source=_STATION,
)
def check_signature_belongs_to_file(subject: Subject) -> Violations:
    """Check that the key with the CRC SigKeyCrc verifies the signature for the file."""
    content, signature = _content(subject), _signature(subject)
    crc = _sig_key_crc(subject)
    if content is None or signature is None or crc is None or subject.public_keys:
        return  # If the keys of the gateways are known, LW206 and LW207 say more.
    if crc not in recover_key_crcs([content], signature) and _signature_fault(subject) is None:
        yield (
            f"No key with the CRC {crc} verifies the signature for {_name(subject)}: either the file was replaced, or "
            "SigKeyCrc is that of another key."
        )


@rule(
    "LW206",
    Severity.WARNING,
    title="SigKeyCrc is the CRC of another key than the one that made the signature.",
    remedy="Give SigKeyCrc the CRC of the signing key. 'lorafw firmware sign' prints it.",
    source="AWS IoT Wireless Developer Guide, Generate the firmware update file and signature",
)
def check_crc_belongs_to_signature(subject: Subject) -> Violations:
    """Check that SigKeyCrc is the CRC of the key that verifies the signature."""
    key = _verifying_key(subject)
    crc = _sig_key_crc(subject)
    if key is not None and crc is not None and key.crc != crc:
        yield f"SigKeyCrc is {crc}; the signature was made with the key {key.crc}."


@rule(
    "LW207",
    Severity.ERROR,
    title="None of the gateway's keys verifies the signature, so the gateway refuses the update.",
    remedy="Sign with the key that belongs to a sig-N.key file of the gateway, or bring the new key to the gateway.",
    source=_STATION,
)
def check_gateway_has_key(subject: Subject) -> Violations:
    """Check that one of the given keys verifies the signature."""
    is_known = subject.public_keys and _content(subject) is not None and _signature(subject) is not None
    if is_known and _verifying_key(subject) is None and _signature_fault(subject) is None:
        crcs = ", ".join(str(key.crc) for key in subject.public_keys)
        yield f"The gateway has the keys {crcs}."


@rule(
    "LW208",
    Severity.ERROR,
    title="The update installs another version than the definition announces.",
    remedy="Correct UpdateVersion.PackageVersion, or build the file with that version.",
    source="lorafw, update files of 'lorafw firmware build'",
)
def check_file_installs_update_version(subject: Subject) -> Violations:
    """Check that a file of ``lorafw firmware build`` installs UpdateVersion's package."""
    content = _content(subject)
    if content is None or subject.definition is None:
        return
    target = subject.definition.version("UpdateVersion")
    installed = _installed_package(content)
    if target is None or target.package is None or installed is None:
        return
    if installed != target.package:
        yield f"{_name(subject)} writes {installed!r} to version.txt; UpdateVersion has {target.package!r}."


@rule(
    "LW209",
    Severity.ERROR,
    title="The update installs the version that it replaces, so it would be sent again and again.",
    remedy="Build the file with a new version.",
    source="lorafw, update files of 'lorafw firmware build'",
)
def check_file_changes_version(subject: Subject) -> Violations:
    """Check that a file of ``lorafw firmware build`` does not install CurrentVersion's package."""
    content = _content(subject)
    if content is None or subject.definition is None:
        return
    current = subject.definition.version("CurrentVersion")
    if current is not None and current.package is not None and current.package == _installed_package(content):
        yield f"{_name(subject)} writes {current.package!r} to version.txt, and CurrentVersion has the same."


def _name(subject: Subject) -> str:
    """Return the name of the update file for messages."""
    return subject.update_file.name if subject.update_file else "the update file"


def _content(subject: Subject) -> bytes | None:
    """Return the content of the update file, or None if it is not known."""
    if subject.update_file is None:
        return None
    return subject.update_file.content


def _signature(subject: Subject) -> bytes | None:
    """Return the decoded signature of the definition, or None."""
    if subject.definition is None:
        return None
    return subject.definition.signature


def _sig_key_crc(subject: Subject) -> int | None:
    """Return SigKeyCrc of the definition, or None."""
    if subject.definition is None:
        return None
    return subject.definition.sig_key_crc


def _verifying_key(subject: Subject) -> PublicKey | None:
    """Return the given key that verifies the signature for the file, or None."""
    content, signature = _content(subject), _signature(subject)
    if content is None or signature is None:
        return None
    digest = hashlib.sha512(content).digest()
    for key in subject.public_keys:
        try:
            key.verify_digest(digest, signature)
        except (BadSignature, SignatureError):
            continue
        return key
    return None


def _signature_fault(subject: Subject) -> str | None:
    """Return what the signer did wrong, or None if nothing of the kind is known."""
    content, signature = _content(subject), _signature(subject)
    crc = _sig_key_crc(subject)
    if content is None or signature is None or _verifying_key(subject) is not None:
        return None
    crcs = {key.crc for key in subject.public_keys}
    if crc is not None:
        crcs.add(crc)
    if not crcs.isdisjoint(recover_key_crcs([content], signature)):
        return None
    return find_signature_fault(lambda: [content], signature, crcs)


def _installed_package(content: bytes) -> str | None:
    """Return the version that an update file of lorafw installs. None for other files."""
    try:
        return unpack_image(content).package_version
    except FirmwareError:
        return None
