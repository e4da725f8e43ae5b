"""AWS's JSON shapes and lorafw's values, in both directions."""

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

GATEWAY_RESOURCE = "WirelessGateway"
DEFINITION_RESOURCE = "WirelessGatewayTaskDefinition"

_BLANK: Final = re.compile(r"\s", re.ASCII)
"""AWS's pattern of GatewayEui takes any white space between the bytes."""


def parse_gateway(lorawan: Mapping[str, Any]) -> tuple[GatewayEui, dict[str, Any]]:
    """The EUI, and the other members of LoRaWANGateway. Raises Invalid without an EUI (assumed: AWS's model has it
    optional, but a gateway cannot be known without)."""
    settings = {name: value for name, value in lorawan.items() if value is not None}
    eui = settings.pop("GatewayEui", None)
    if eui is None:
        raise InvalidValue("LoRaWAN.GatewayEui", None, "is missing; it names the gateway")
    return GatewayEui.parse(_BLANK.sub(" ", eui)), settings


def gateway_to_aws(gateway: Gateway, arn: str) -> dict[str, Any]:
    """Members of GetWirelessGateway, in the documented order; what is not known is left out."""
    members = {
        "Name": gateway.name,
        "Id": gateway.id,
        "Description": gateway.description,
        "LoRaWAN": {"GatewayEui": gateway.eui.hex, **gateway.lorawan},
        "Arn": arn,
        "ThingName": gateway.thing_arn.rsplit("/", 1)[-1] if gateway.thing_arn else None,
        "ThingArn": gateway.thing_arn,
    }
    return _given(members)


def read_update(members: Mapping[str, Any] | None, policy: Policy) -> UpdateSpec | None:
    """Raises Invalid where a station could never take the signature, unless the policy is to accept it."""
    if members is None:
        return None
    lorawan = members.get("LoRaWAN") or {}
    target = lorawan.get("UpdateVersion")
    signature, unusable = _signature(lorawan.get("UpdateSignature"), policy)
    return UpdateSpec(
        data_source=members.get("UpdateDataSource"),
        data_role=members.get("UpdateDataRole"),
        signature=signature,
        unusable_signature=unusable,
        sig_key_crc=lorawan.get("SigKeyCrc"),
        current_version=GatewayVersion.from_aws(lorawan.get("CurrentVersion") or {}),
        update_version=GatewayVersion.from_aws(target) if target else None,
    )


def update_members(update: UpdateSpec) -> dict[str, Any]:
    return _given(
        {
            "UpdateDataSource": update.data_source,
            "UpdateDataRole": update.data_role,
            "LoRaWAN": {
                **_given(
                    {
                        "UpdateSignature": update.unusable_signature
                        or base64.b64encode(update.signature).decode()
                        or None,
                        "SigKeyCrc": update.sig_key_crc,
                    }
                ),
                **version_members(update),
            }
            or None,
        }
    )


def version_members(update: UpdateSpec) -> dict[str, Any]:
    """CurrentVersion and UpdateVersion of a definition, as far as they are given."""
    return _given(
        {
            "CurrentVersion": update.current_version.to_aws() or None,
            "UpdateVersion": update.update_version.to_aws() if update.update_version else None,
        }
    )


def definition_members(definition: Definition, arn: str) -> dict[str, Any]:
    """Members of GetWirelessGatewayTaskDefinition; there is no Id among them."""
    return _given(
        {
            "AutoCreateTasks": definition.auto_create_tasks,
            "Name": definition.name,
            "Update": update_members(definition.update) if definition.update is not None else None,
            "Arn": arn,
        }
    )


def task_members(gateway_id: str, task: Task, last_seen_ms: int | None) -> dict[str, Any]:
    """Members of GetWirelessGatewayTask, in the documented order."""
    return _given(
        {
            "WirelessGatewayId": gateway_id,
            "WirelessGatewayTaskDefinitionId": task.definition.id,
            "LastUplinkReceivedAt": format_iso(last_seen_ms) if last_seen_ms is not None else None,
            "TaskCreatedAt": format_iso(task.created_ms),
            "Status": str(task.status),
        }
    )


def _signature(text: str | None, policy: Policy) -> tuple[bytes, str | None]:
    """The signature in DER, and the text of one that is none."""
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


def _given(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
