"""CloudFormation stacks in moto with gateways and task definitions.

Stacks with another resource type ``AWS::IoTWireless::*`` are refused. moto would skip a type that it does not know, and
report CREATE_COMPLETE.

moto finds resource types among the direct subclasses of its CloudFormationModel. moto's CloudFormation takes seconds to
import and needs packages of the extra ``cloudformation``, so it is imported only when a test uses it.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any, Final, NoReturn

from lorafw.errors import MissingExtra

REFUSED_TYPES: Final = tuple(
    f"AWS::IoTWireless::{name}"
    for name in (
        "Destination",
        "DeviceProfile",
        "FuotaTask",
        "MulticastGroup",
        "NetworkAnalyzerConfiguration",
        "PartnerAccount",
        "ServiceProfile",
        "WirelessDevice",
        "WirelessDeviceImportTask",
    )
)
"""The types that CloudFormation documents and lorafw does not build."""

_refusing: list[type] = []
"""The classes of refused types, kept here because moto refers to them weakly."""


def register_resource_types() -> None:
    """Let moto's CloudFormation build gateways and task definitions, and refuse the other types of iotwireless.

    Calling it again changes nothing.
    """
    if _refusing:
        return
    from moto.core.common_models import CloudFormationModel  # noqa: PLC0415

    from lorafw.iotwireless.cloudformation import resources  # noqa: F401, PLC0415 -- defines the subclasses

    for resource_type in REFUSED_TYPES:
        _refusing.append(_class_that_refuses(CloudFormationModel, resource_type))
    parsing = sys.modules.get("moto.cloudformation.parsing")
    if parsing is not None:
        for cached in (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map):
            cached.cache_clear()


def check_requirements() -> None:
    """Raise MissingExtra if moto's CloudFormation cannot be imported, because a package of the extra is missing."""
    if find_spec("openapi_spec_validator") is None:
        raise MissingExtra("moto's CloudFormation needs openapi-spec-validator", "cloudformation")


def _class_that_refuses(base: type, resource_type: str) -> type:
    """Return a subclass of ``base`` whose methods refuse to create, update or delete the resource type."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        from moto.cloudformation.exceptions import ValidationError  # noqa: PLC0415

        raise ValidationError(message=f"{resource_type}: lorafw does not build it; it builds gateways and definitions")

    members = {
        "cloudformation_name_type": staticmethod(lambda: ""),
        "cloudformation_type": staticmethod(lambda: resource_type),
        "create_from_cloudformation_json": staticmethod(refuse),
        "update_from_cloudformation_json": staticmethod(refuse),
        "delete_from_cloudformation_json": staticmethod(refuse),
    }
    return type(resource_type.rsplit("::", maxsplit=1)[-1], (base,), members)
