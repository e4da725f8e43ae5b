"""Refuse CloudFormation stacks that have a resource of type ``AWS::IoTWireless::*``, which lorafw does not build.

moto skips a resource type that it does not know, and reports CREATE_COMPLETE. moto finds the types that it knows among
the subclasses of CloudFormationModel, so each type gets a class here.
"""

from __future__ import annotations

import sys
from typing import Any, Final, NoReturn

RESOURCE_TYPES: Final = tuple(
    f"AWS::IoTWireless::{name}"
    for name in (
        "Destination",
        "DeviceProfile",
        "FuotaTask",
        "MulticastGroup",
        "NetworkAnalyzerConfiguration",
        "PartnerAccount",
        "ServiceProfile",
        "TaskDefinition",
        "WirelessDevice",
        "WirelessDeviceImportTask",
        "WirelessGateway",
    )
)
"""The types that CloudFormation documents."""

_refusing: list[type] = []
"""The classes, kept here because moto refers to them weakly."""


def refuse_in_stacks() -> None:
    """Let moto refuse each stack with a resource of iotwireless. Calling it again changes nothing."""
    if _refusing:
        return
    from moto.core.common_models import CloudFormationModel  # noqa: PLC0415

    for resource_type in RESOURCE_TYPES:
        _refusing.append(_class_that_refuses(CloudFormationModel, resource_type))
    parsing = sys.modules.get("moto.cloudformation.parsing")
    if parsing is not None:
        for cached in (parsing.get_model_list, parsing.get_model_map):
            cached.cache_clear()


def _class_that_refuses(base: type, resource_type: str) -> type:
    """Return a subclass of ``base`` whose methods refuse to create, update or delete the resource type."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        from moto.cloudformation.exceptions import ValidationError  # noqa: PLC0415

        raise ValidationError(message=f"{resource_type}: lorafw does not build it; create it with the iotwireless API")

    members = {
        "cloudformation_name_type": staticmethod(lambda: ""),
        "cloudformation_type": staticmethod(lambda: resource_type),
        "create_from_cloudformation_json": staticmethod(refuse),
        "update_from_cloudformation_json": staticmethod(refuse),
        "delete_from_cloudformation_json": staticmethod(refuse),
    }
    return type(resource_type.rsplit("::", maxsplit=1)[-1], (base,), members)
