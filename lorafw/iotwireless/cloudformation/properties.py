"""Converts the properties of a resource in a template to the parameters of the API's operation that creates it.

The properties are those of CloudFormation's own schema of the resource type. Limits and patterns are those of the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from moto.core.utils import get_service_model

from lorafw.errors import InvalidValue
from lorafw.iotwireless.validation import check_members

Properties = dict[str, Any]
PropertyTree = Mapping[str, Any]
"""The properties that are allowed in an object. The value is None, or the tree of the object inside."""

_VERSION: Final[PropertyTree] = {"PackageVersion": None, "Model": None, "Station": None}


@dataclass(frozen=True, slots=True)
class ResourceSchema:
    """A resource type: its properties, and the operation that creates such a resource."""

    type_name: str
    """Name of the type in templates."""
    operation: str
    """Name of the operation that creates a resource of this type."""
    properties: PropertyTree
    """The properties that a template may give."""
    required: frozenset[str]
    """Properties that must be given if the object is given that contains them, such as ``LoRaWAN.GatewayEui``."""
    without_effect: frozenset[str]
    """Properties that the operation does not have (``stack_properties`` in the policy)."""


GATEWAY_SCHEMA: Final = ResourceSchema(
    type_name="AWS::IoTWireless::WirelessGateway",
    operation="CreateWirelessGateway",
    properties={
        "Description": None,
        "LastUplinkReceivedAt": None,
        "LoRaWAN": {"GatewayEui": None, "RfRegion": None},
        "Name": None,
        "Tags": None,
        "ThingArn": None,
        "ThingName": None,
    },
    required=frozenset(("LoRaWAN", "LoRaWAN.GatewayEui", "LoRaWAN.RfRegion")),
    without_effect=frozenset(("LastUplinkReceivedAt", "ThingName")),
)
DEFINITION_SCHEMA: Final = ResourceSchema(
    type_name="AWS::IoTWireless::TaskDefinition",
    operation="CreateWirelessGatewayTaskDefinition",
    properties={
        "AutoCreateTasks": None,
        "LoRaWANUpdateGatewayTaskEntry": {"CurrentVersion": _VERSION, "UpdateVersion": _VERSION},
        "Name": None,
        "Tags": None,
        "TaskDefinitionType": None,
        "Update": {
            "UpdateDataRole": None,
            "UpdateDataSource": None,
            "LoRaWAN": {
                "CurrentVersion": _VERSION,
                "SigKeyCrc": None,
                "UpdateSignature": None,
                "UpdateVersion": _VERSION,
            },
        },
    },
    required=frozenset(("AutoCreateTasks",)),
    without_effect=frozenset(("LoRaWANUpdateGatewayTaskEntry", "TaskDefinitionType")),
)


def to_parameters(schema: ResourceSchema, properties: Properties) -> Properties:
    """Convert the properties of a resource to the parameters of the operation that creates it.

    Numbers, booleans and texts are converted to the types of the API, as CloudFormation does.

    Args:
        schema: The type of the resource.
        properties: The properties in the template. Functions such as Ref have been evaluated.

    Returns:
        The parameters, and the property ThingArn if it is given.

    Raises:
        InvalidValue: There is no such property, or a required one is missing.
        InvalidParameters: A value violates a constraint of the API.
    """
    _check_properties(schema, schema.properties, properties, "")
    not_parameters = {"ThingArn", *schema.without_effect}
    given = {name: value for name, value in properties.items() if name not in not_parameters}
    shape = get_service_model("iotwireless").operation_model(schema.operation).input_shape
    parameters: Properties = _converted(shape, given)
    check_members(shape, parameters)
    # ThingArn is a parameter of another operation, which comes after this one.
    if "ThingArn" in properties:
        parameters["ThingArn"] = properties["ThingArn"]
    return parameters


def _check_properties(schema: ResourceSchema, allowed: PropertyTree, properties: Any, path: str) -> None:
    """Check that an object in a template has all required properties and no unknown one.

    Args:
        schema: The type of the resource.
        allowed: The properties that the object may have.
        properties: The object.
        path: The names that lead to the object, with a point behind each. Empty for the resource itself.

    Raises:
        InvalidValue: A property is unknown or missing.
    """
    if not isinstance(properties, dict):
        raise InvalidValue(path.rstrip("."), properties, f"{properties!r} is not an object")
    for name in properties:
        if name not in allowed:
            known = ", ".join(allowed)
            raise InvalidValue(f"{path}{name}", None, f"there is no such property; there are {known}")
    for name, inner_properties in allowed.items():
        full_name = f"{path}{name}"
        if full_name in schema.required and name not in properties:
            raise InvalidValue(full_name, None, "the property is missing")
        if inner_properties is not None and name in properties:
            _check_properties(schema, inner_properties, properties[name], f"{full_name}.")


def _converted(shape: Any, value: Any) -> Any:
    """Return a value of a template with the types of a shape in botocore's service model, if that is possible."""
    if shape.type_name == "structure" and isinstance(value, dict):
        return {name: _converted_member(shape, name, item) for name, item in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [_converted(shape.member, item) for item in value]
    return _converted_scalar(shape.type_name, value)


def _converted_scalar(type_name: str, value: Any) -> Any:
    """Return a text, a number or a boolean as one of the others, if the type of the API asks for it."""
    match type_name:
        case "string" if isinstance(value, bool):
            return str(value).lower()
        case "string" if isinstance(value, int | float):
            return str(value)
        case "boolean" if value in ("true", "false"):
            return value == "true"
        case "integer" | "long" if isinstance(value, str) and value.isascii() and value.isdigit():
            return int(value)
    return value


def _converted_member(shape: Any, name: str, value: Any) -> Any:
    """Return the value of a member with the types of its shape. A member that the shape does not have stays."""
    if name not in shape.members:
        return value
    return _converted(shape.members[name], value)
