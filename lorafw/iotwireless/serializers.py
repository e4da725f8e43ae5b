"""Converts AWS's JSON structures to lorafw's values, and back."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, Final

from lorafw.clock import format_iso
from lorafw.errors import InvalidValue, SignatureError
from lorafw.eui import GatewayEui
from lorafw.firmware.der_signature import check_is_der
from lorafw.firmware.signing import decode_signature
from lorafw.iotwireless.validation import MAX_SHOWN_CHARS
from lorafw.tasks.model import Definition, Gateway, Task, UpdateSpec
from lorafw.tasks.policy import Policy
from lorafw.version import GatewayVersion

_WHITESPACE: Final = re.compile(r"\s", re.ASCII)
"""AWS's pattern of GatewayEui allows any white space between the bytes."""


def parse_gateway(lorawan: Mapping[str, Any]) -> tuple[GatewayEui, dict[str, Any]]:
    """Return the EUI, and the other members of LoRaWANGateway.

    Raises:
        InvalidValue: There is no EUI (assumed: it is optional in AWS's model, but it identifies the gateway), or it is
            malformed.
    """
    settings = {name: value for name, value in lorawan.items() if value is not None}
    eui = settings.pop("GatewayEui", None)
    if eui is None:
        raise InvalidValue("LoRaWAN.GatewayEui", None, "is missing; it names the gateway")
    return GatewayEui.parse(_WHITESPACE.sub(" ", eui)), settings


def gateway_to_aws(gateway: Gateway, arn: str) -> dict[str, Any]:
    """Return the members of GetWirelessGateway in the documented order, without those that are not set."""
    members = {
        "Name": gateway.name,
        "Id": gateway.id,
        "Description": gateway.description,
        "LoRaWAN": {"GatewayEui": gateway.eui.hex, **gateway.lorawan},
        "Arn": arn,
        "ThingName": gateway.thing_name,
        "ThingArn": gateway.thing_arn,
    }
    return _drop_none(members)


def read_update(members: Mapping[str, Any] | None, policy: Policy) -> UpdateSpec | None:
    """Parse the member Update of a task definition.

    Args:
        members: The members of UpdateWirelessGatewayTaskCreate. None if they are not given.
        policy: Decides whether an unusable signature is accepted.

    Returns:
        The update. None if ``members`` is None.

    Raises:
        InvalidValue: No station could accept the signature, and the policy ``unusable_signature`` is "reject".
    """
    if members is None:
        return None
    lorawan = members.get("LoRaWAN") or {}
    update_version_members = lorawan.get("UpdateVersion")
    update_version = GatewayVersion.from_aws(update_version_members) if update_version_members else None
    signature, unusable = _parse_signature(lorawan.get("UpdateSignature"), policy)
    return UpdateSpec(
        data_source=members.get("UpdateDataSource"),
        data_role=members.get("UpdateDataRole"),
        signature=signature,
        unusable_signature=unusable,
        sig_key_crc=lorawan.get("SigKeyCrc"),
        current_version=GatewayVersion.from_aws(lorawan.get("CurrentVersion") or {}),
        update_version=update_version,
    )


def update_members(update: UpdateSpec) -> dict[str, Any]:
    """Return the member Update of GetWirelessGatewayTaskDefinition, without members that are not set."""
    signature = update.unusable_signature or base64.b64encode(update.signature).decode()
    lorawan = _drop_none({"UpdateSignature": signature or None, "SigKeyCrc": update.sig_key_crc})
    lorawan.update(version_members(update))
    members = {
        "UpdateDataSource": update.data_source,
        "UpdateDataRole": update.data_role,
        "LoRaWAN": lorawan or None,
    }
    return _drop_none(members)


def version_members(update: UpdateSpec) -> dict[str, Any]:
    """Return CurrentVersion and UpdateVersion of a definition, without those that are not set."""
    members: dict[str, Any] = {"CurrentVersion": update.current_version.to_aws() or None}
    if update.update_version:
        members["UpdateVersion"] = update.update_version.to_aws()
    return _drop_none(members)


def definition_members(definition: Definition, arn: str) -> dict[str, Any]:
    """Return the members of GetWirelessGatewayTaskDefinition. In AWS's model, Id is not one of them."""
    update = None if definition.update is None else update_members(definition.update)
    return _drop_none(
        {
            "AutoCreateTasks": definition.auto_create_tasks,
            "Name": definition.name,
            "Update": update,
            "Arn": arn,
        }
    )


def task_members(gateway_id: str, task: Task, last_seen_ms: int | None) -> dict[str, Any]:
    """Return the members of GetWirelessGatewayTask in the documented order. ``last_seen_ms`` is None if unknown."""
    last_uplink = None if last_seen_ms is None else format_iso(last_seen_ms)
    return _drop_none(
        {
            "WirelessGatewayId": gateway_id,
            "WirelessGatewayTaskDefinitionId": task.definition.id,
            "LastUplinkReceivedAt": last_uplink,
            "TaskCreatedAt": format_iso(task.created_ms),
            "Status": str(task.status),
        }
    )


def _parse_signature(text: str | None, policy: Policy) -> tuple[bytes, str | None]:
    """Return the signature as bytes, and its text if it is unusable but accepted by the policy."""
    if text is None:
        return b"", None
    try:
        signature = decode_signature(text)
        check_is_der(signature)
        return signature, None
    except SignatureError as error:
        if policy.unusable_signature == "accept":
            return text.encode(), text
        shown = text if len(text) <= MAX_SHOWN_CHARS else text[:MAX_SHOWN_CHARS] + "..."
        raise InvalidValue("Update.LoRaWAN.UpdateSignature", text, f"{shown!r}: {error}") from error


def _drop_none(members: dict[str, Any]) -> dict[str, Any]:
    """Return the members that are not None."""
    return {name: value for name, value in members.items() if value is not None}
