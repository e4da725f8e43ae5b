"""LW1xx: rules about the members of a task definition.

Each rule is a generator. It yields one sentence for each problem, and nothing if there is none. The decorator ``rule``
registers it with its code, and with the title and the remedy that ``lorafw doctor`` prints.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from lorafw.doctor.findings import Severity, Violations, rule
from lorafw.doctor.subject import Subject
from lorafw.errors import InvalidSource, SignatureError
from lorafw.firmware.der_signature import check_is_der, is_raw_signature
from lorafw.iotwireless.validation import InvalidParameters, parse_parameters
from lorafw.isolation.sessions import service_model
from lorafw.sources.s3 import Role, S3Location
from lorafw.version import AWS_NAMES, GatewayVersion

_API: Final = "AWS IoT Wireless API Reference, CreateWirelessGatewayTaskDefinition"
_GUIDE: Final = "AWS IoT Wireless Developer Guide, Update gateway firmware using CUPS"
_STATION: Final = "Basics Station 2.0.6, cups.c and sys_linux.c"

_BUILD_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}")
_VERSION_MEMBERS: Final = ("CurrentVersion", "UpdateVersion")
_MAX_PACKAGE_CHARS: Final = 32


@rule(
    "LW101",
    Severity.ERROR,
    title="AWS refuses the task definition.",
    remedy="Correct the member.",
    source=_API,
)
def check_model(subject: Subject) -> Violations:
    """Check all members against the constraints of AWS's service model."""
    if subject.definition is None:
        return
    try:
        parse_parameters(_input_shape(), {}, "", json.dumps(subject.definition.members).encode())
    except InvalidParameters as error:
        yield f"{error}."
    yield from _unknown_members(_input_shape(), subject.definition.members, "")


@rule(
    "LW102",
    Severity.ERROR,
    title="The definition names no update file, so nothing is ever sent.",
    remedy="Give Update.UpdateDataSource the URL of the file, s3://bucket/key.",
    source=_GUIDE,
)
def check_has_data_source(subject: Subject) -> Violations:
    """Check that UpdateDataSource is present."""
    if subject.definition is not None and subject.definition.data_source is None:
        yield "Update.UpdateDataSource is missing."


@rule(
    "LW103",
    Severity.ERROR,
    title="UpdateDataSource is not the URL of an S3 object.",
    remedy="Write it as s3://bucket/key.",
    source=_GUIDE,
)
def check_data_source_form(subject: Subject) -> Violations:
    """Check the form of UpdateDataSource."""
    if subject.definition is None or subject.definition.data_source is None:
        return
    try:
        S3Location.parse(subject.definition.data_source)
    except InvalidSource as error:
        yield f"{error}."


@rule(
    "LW104",
    Severity.ERROR,
    title="AWS cannot read the update file without a role.",
    remedy="Give Update.UpdateDataRole the ARN of a role, arn:aws:iam::123456789012:role/Name.",
    source=_GUIDE,
)
def check_role_form(subject: Subject) -> Violations:
    """Check that UpdateDataRole is present and has the form of a role's ARN."""
    if subject.definition is None or subject.definition.data_source is None:
        return  # without an update file no role is needed, and LW102 reports the missing file
    if subject.definition.role_arn is None:
        yield "Update.UpdateDataRole is missing."
        return
    try:
        Role.parse(subject.definition.role_arn)
    except InvalidSource as error:
        yield f"{error}."


@rule(
    "LW105",
    Severity.WARNING,
    title="The update is not signed, and a gateway that has a key refuses it.",
    remedy="Sign the file with 'lorafw firmware sign', and give UpdateSignature and SigKeyCrc.",
    source=_STATION,
)
def check_is_signed(subject: Subject) -> Violations:
    """Check that UpdateSignature is present."""
    definition = subject.definition
    if definition is not None and definition.data_source is not None and definition.signature_text is None:
        yield "Update.LoRaWAN.UpdateSignature is missing."


@rule(
    "LW106",
    Severity.ERROR,
    title="The signature is raw (r and s), and a station reads DER only.",
    remedy="Encode r and s in DER, or sign with 'openssl dgst -sha512 -sign'.",
    source="Basics Station 2.0.6, cups.c; mbed TLS 2.28, ecdsa.c",
)
def check_signature_is_not_raw(subject: Subject) -> Violations:
    """Check that UpdateSignature is not a raw signature."""
    signature = _signature(subject)
    if signature is not None and is_raw_signature(signature):
        yield f"UpdateSignature has {len(signature)} bytes and is not DER."


@rule(
    "LW107",
    Severity.ERROR,
    title="No station can read the signature.",
    remedy="Give the signature in DER, encoded in base64 without line ends.",
    source="Basics Station 2.0.6, cups.c; mbed TLS 2.28, ecdsa.c",
)
def check_signature_is_der(subject: Subject) -> Violations:
    """Check that UpdateSignature is base64 of DER."""
    if subject.definition is None or subject.definition.signature_text is None:
        return
    signature = subject.definition.signature
    if signature is None:
        yield "UpdateSignature is not base64."
        return
    if is_raw_signature(signature):
        return  # LW106 reports it
    try:
        check_is_der(signature)
    except SignatureError as error:
        yield f"UpdateSignature: {error}."


@rule(
    "LW108",
    Severity.ERROR,
    title="The definition has a signature without SigKeyCrc, or SigKeyCrc without a signature.",
    remedy="Give both. 'lorafw firmware sign' prints them.",
    source=_GUIDE,
)
def check_signature_has_crc(subject: Subject) -> Violations:
    """Check that UpdateSignature and SigKeyCrc come together."""
    if subject.definition is None:
        return
    has_signature = subject.definition.signature_text is not None
    has_crc = subject.definition.sig_key_crc is not None
    if has_signature and not has_crc:
        yield "SigKeyCrc is missing."
    if has_crc and not has_signature:
        yield "UpdateSignature is missing."


@rule(
    "LW109",
    Severity.ERROR,
    title="A PackageVersion has 1 to 32 characters, so no definition can name this one.",
    remedy="Shorten the text in the gateway's version.txt and in the definition.",
    source="AWS IoT Wireless API Reference, LoRaWANGatewayVersion",
)
def check_package_length(subject: Subject) -> Violations:
    """Check the length of PackageVersion in both versions."""
    for name, version in _versions(subject):
        if version.package is not None and not 0 < len(version.package) <= _MAX_PACKAGE_CHARS:
            yield f"{name}.PackageVersion has {len(version.package)} characters."


@rule(
    "LW110",
    Severity.WARNING,
    title="CurrentVersion lacks a field, and then no task is created automatically.",
    remedy="Give Station, PackageVersion and Model as get-wireless-gateway-firmware-information prints them.",
    source=_GUIDE,
)
def check_current_version_is_complete(subject: Subject) -> Violations:
    """Check that CurrentVersion has all three fields."""
    if subject.definition is None or subject.definition.data_source is None:
        return
    current = subject.definition.version("CurrentVersion")
    if current is None:
        yield "Update.LoRaWAN.CurrentVersion is missing."
        return
    present = current.to_aws()
    missing = [aws_name for aws_name in AWS_NAMES.values() if aws_name not in present]
    if missing:
        yield f"CurrentVersion has no {' and no '.join(missing)}."


@rule(
    "LW111",
    Severity.WARNING,
    title="Station has no build date, and a real station always presents one.",
    remedy="Copy the text that the gateway presents, such as '2.0.6(linux/std) 2022-05-05 10:00:00'.",
    source=_STATION,
)
def check_station_has_build_date(subject: Subject) -> Violations:
    """Check that Station ends with date and time of the build."""
    for name, version in _versions(subject):
        if version.station is not None and not _BUILD_DATE.search(version.station):
            yield f"{name}.Station is {version.station!r}."


@rule(
    "LW112",
    Severity.WARNING,
    title="A version begins or ends with a space, and versions are compared exactly.",
    remedy="Remove the space.",
    source="lorafw, policy 'comparison' (assumed)",
)
def check_versions_are_trimmed(subject: Subject) -> Violations:
    """Check that no field of a version has white space at its ends."""
    for name, version in _versions(subject):
        for field, text in version.to_aws().items():
            if text != text.strip():
                yield f"{name}.{field} is {text!r}."


@rule(
    "LW113",
    Severity.ERROR,
    title="UpdateVersion equals CurrentVersion, so the update never counts as installed.",
    remedy="Give UpdateVersion the version that the gateway presents after the update.",
    source=_GUIDE,
)
def check_update_version_differs(subject: Subject) -> Violations:
    """Check that the two versions differ."""
    versions = dict(_versions(subject))
    current, target = versions.get("CurrentVersion"), versions.get("UpdateVersion")
    if current is not None and current == target:
        yield f"Both are {current}."


@rule(
    "LW114",
    Severity.NOTE,
    title="The definition has no UpdateVersion, so every other version counts as success.",
    remedy="Give UpdateVersion if AWS shall compare it.",
    source="lorafw, policy 'completion' (assumed)",
)
def check_has_update_version(subject: Subject) -> Violations:
    """Check that UpdateVersion is present."""
    definition = subject.definition
    if definition is not None and definition.data_source is not None and definition.version("UpdateVersion") is None:
        yield "Update.LoRaWAN.UpdateVersion is missing."


@rule(
    "LW115",
    Severity.ERROR,
    title="AutoCreateTasks creates tasks for all gateways at once, so the waves of the rollout mean nothing.",
    remedy="Set AutoCreateTasks to false. The rollout creates the tasks.",
    source=_GUIDE,
)
def check_waves_are_not_raced(subject: Subject) -> Violations:
    """Check that a definition of a rollout does not create tasks by itself."""
    if subject.definition is not None and subject.has_waves and subject.definition.auto_create_tasks:
        yield "AutoCreateTasks is true."


def _signature(subject: Subject) -> bytes | None:
    """Return the decoded signature of the definition, or None."""
    if subject.definition is None:
        return None
    return subject.definition.signature


def _versions(subject: Subject) -> Iterator[tuple[str, GatewayVersion]]:
    """Yield the name and the value of each version that the definition gives."""
    if subject.definition is None:
        return
    for name in _VERSION_MEMBERS:
        version = subject.definition.version(name)
        if version is not None:
            yield name, version


def _input_shape() -> Any:
    """Return the input of CreateWirelessGatewayTaskDefinition in botocore's service model."""
    return service_model("iotwireless").operation_model("CreateWirelessGatewayTaskDefinition").input_shape


def _unknown_members(shape: Any, value: Any, path: str) -> Iterator[str]:
    """Yield a sentence for each member that AWS's service model does not have. boto3 refuses such a member."""
    if not isinstance(value, dict):
        return
    for name, member in value.items():
        member_path = f"{path}.{name}" if path else name
        known = shape.members.get(name)
        if known is None:
            yield f"{member_path} is not a member of {shape.name}."
        elif known.type_name == "structure":
            yield from _unknown_members(known, member, member_path)
