"""The resource types of iotwireless that CloudFormation can create, update and delete.

moto calls the class methods. An error becomes CloudFormation's ValidationError, which names type and resource, and
leaves the resource as it was. All updates happen in place (documented): Ref and ARN stay the same.

moto's CloudFormation is slow to import, and most users do not need it. Functions that need it import it themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

from moto.core.common_models import CloudFormationModel
from moto.core.exceptions import ServiceException

from lorafw.errors import InvalidValue, LorafwError, NotFound
from lorafw.iotwireless.cloudformation.properties import (
    DEFINITION_SCHEMA,
    GATEWAY_SCHEMA,
    Properties,
    ResourceSchema,
    to_parameters,
)
from lorafw.iotwireless.models import IoTWirelessBackend, find_backend
from lorafw.iotwireless.serializers import parse_gateway, read_update
from lorafw.iotwireless.tags import MAX_TAGS
from lorafw.iotwireless.validation import InvalidParameters

ATTRIBUTES = ("Arn", "Id")
"""What Fn::GetAtt can return."""


class StackResource:
    """A resource of a stack. It has the methods that moto's CloudFormation calls.

    The subclasses also derive from moto's CloudFormationModel.

    Args:
        created: The answer of the operation that created the resource: Id and Arn.
        parameters: The parameters of the operation.
        stack_tags: The tags of the stack, which are tags of the resource too (documented).
    """

    schema: ClassVar[ResourceSchema]

    def __init__(self, created: Properties, parameters: Properties, stack_tags: dict[str, str]) -> None:
        self.resource_id: str = created["Id"]
        self.arn: str = created["Arn"]
        self.parameters = parameters
        self.stack_tags = stack_tags

    @property
    def physical_resource_id(self) -> str:
        """What Ref returns: the id."""
        return self.resource_id

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        """Return True if Fn::GetAtt can return this attribute."""
        return attr in ATTRIBUTES

    def get_cfn_attribute(self, attribute_name: str) -> str:
        """Return what Fn::GetAtt returns."""
        if attribute_name == "Arn":
            return self.arn
        if attribute_name == "Id":
            return self.resource_id
        from moto.cloudformation.exceptions import UnformattedGetAttTemplateException  # noqa: PLC0415

        raise UnformattedGetAttTemplateException

    @staticmethod
    def cloudformation_name_type() -> str:
        """Return "": these resource types have no property for which CloudFormation generates a name."""
        return ""

    @classmethod
    def cloudformation_type(cls) -> str:
        """Return the name of the type in templates."""
        return cls.schema.type_name


class StackGateway(StackResource, CloudFormationModel):  # type: ignore[misc]  # moto is not typed for us
    """A gateway of a stack: ``AWS::IoTWireless::WirelessGateway``.

    moto calls the class methods when a stack is created, updated or deleted. It gives them more than they need.
    """

    schema = GATEWAY_SCHEMA

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Properties, account_id: str, region_name: str, **details: Any
    ) -> StackGateway:
        """Create a gateway, and associate it with its thing."""
        with _changing(cls.schema, details["LogicalId"], account_id, region_name) as backend:
            parameters = to_parameters(cls.schema, cloudformation_json["Properties"])
            stack_tags = _stack_tags(account_id, region_name, details["StackId"])
            created = backend.gateways.create(_with_stack_tags(parameters, stack_tags))
            if "ThingArn" in parameters:
                _associate_or_delete(backend, created["Id"], parameters["ThingArn"])
            return cls(created, parameters, stack_tags)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: StackGateway,
        new_resource_name: str,
        cloudformation_json: Properties,
        account_id: str,
        region_name: str,
    ) -> StackGateway:
        """Change name, description, thing and tags of a gateway. ``stack_update`` decides about its RfRegion."""
        gateway = original_resource
        with _changing(cls.schema, gateway.resource_id, account_id, region_name) as backend:
            parameters = to_parameters(cls.schema, cloudformation_json["Properties"])
            update_gateway(backend, gateway, parameters)
            gateway.parameters = parameters
            return gateway

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Properties, account_id: str, region_name: str
    ) -> None:
        """Delete a gateway. Does nothing if somebody else has deleted it."""
        with _changing(cls.schema, resource_name, account_id, region_name) as backend, suppress(NotFound):
            backend.delete_gateway(resource_name)


class StackTaskDefinition(StackResource, CloudFormationModel):  # type: ignore[misc]
    """A task definition of a stack: ``AWS::IoTWireless::TaskDefinition``.

    moto calls the class methods when a stack is created, updated or deleted. It gives them more than they need.
    """

    schema = DEFINITION_SCHEMA

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Properties, account_id: str, region_name: str, **details: Any
    ) -> StackTaskDefinition:
        """Create a task definition."""
        with _changing(cls.schema, details["LogicalId"], account_id, region_name) as backend:
            parameters = to_parameters(cls.schema, cloudformation_json["Properties"])
            stack_tags = _stack_tags(account_id, region_name, details["StackId"])
            created = backend.definitions.create(_with_stack_tags(parameters, stack_tags))
            return cls(created, parameters, stack_tags)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: StackTaskDefinition,
        new_resource_name: str,
        cloudformation_json: Properties,
        account_id: str,
        region_name: str,
    ) -> StackTaskDefinition:
        """Change the tags of a task definition. The policy ``stack_update`` decides about other changes."""
        definition = original_resource
        with _changing(cls.schema, definition.resource_id, account_id, region_name) as backend:
            parameters = to_parameters(cls.schema, cloudformation_json["Properties"])
            tags = _tags_to_set(parameters, definition.stack_tags)
            if _without_tags(parameters) != _without_tags(definition.parameters):
                change_definition(backend, definition.resource_id, parameters)
            update_tags(backend, definition.arn, tags)
            definition.parameters = parameters
            return definition

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Properties, account_id: str, region_name: str
    ) -> None:
        """Delete a task definition. Does nothing if somebody else has deleted it."""
        with _changing(cls.schema, resource_name, account_id, region_name) as backend, suppress(NotFound):
            backend.definitions.delete(resource_name)


def update_gateway(backend: IoTWirelessBackend, gateway: StackGateway, parameters: Properties) -> None:
    """Change a gateway as the new template says. If a property is invalid, nothing changes.

    Args:
        backend: The backend of the gateway's account and Region.
        gateway: The gateway before the update.
        parameters: The new parameters of CreateWirelessGateway, and ThingArn if the template has it.

    Raises:
        InvalidValue: A property cannot change, or there are too many tags.
    """
    # 1. Check the new properties.
    settings = changed_settings(backend, gateway, parameters["LoRaWAN"])
    tags = _tags_to_set(parameters, gateway.stack_tags)
    # 2. Change the gateway and what belongs to it.
    update_thing(backend, gateway, parameters.get("ThingArn"))
    backend.service.update_gateway(
        backend.owner,
        gateway.resource_id,
        name=parameters.get("Name"),
        description=parameters.get("Description"),
        lorawan=settings,
    )
    update_tags(backend, gateway.arn, tags)


def changed_settings(backend: IoTWirelessBackend, gateway: StackGateway, lorawan: Properties) -> Properties:
    """Return the LoRaWAN settings that a gateway has after an update of its stack.

    Args:
        backend: The backend of the gateway's account and Region.
        gateway: The gateway before the update.
        lorawan: The property LoRaWAN in the new template.

    Returns:
        The members of AWS's LoRaWANGateway structure other than GatewayEui.

    Raises:
        InvalidValue: The EUI is another one, or RfRegion is and the policy ``stack_update`` is "refused".
    """
    eui, settings = parse_gateway(lorawan)
    present_eui, present_settings = parse_gateway(gateway.parameters["LoRaWAN"])
    remedy = "of a gateway cannot change; give the resource another logical name"
    if eui != present_eui:
        raise InvalidValue("LoRaWAN", eui.hex, f"GatewayEui {remedy}")
    if settings != present_settings and backend.service.policy.stack_update == "refused":
        raise InvalidValue("LoRaWAN", settings, f"RfRegion {remedy}")
    # Settings that somebody has made with the API stay, unless the template sets them.
    changed = dict(backend.service.gateway(backend.owner, gateway.resource_id).lorawan)
    changed.update(settings)
    return changed


def update_tags(backend: IoTWirelessBackend, arn: str, wanted: dict[str, str]) -> None:
    """Give a resource these tags and no others. Tags that somebody added with the API are removed.

    Args:
        backend: The backend of the resource's account and Region.
        arn: The ARN of the resource.
        wanted: The tags: keys and values.
    """
    present = {tag["Key"] for tag in backend.tags.get(arn)["Tags"]}
    removed = sorted(present - wanted.keys())
    if removed:
        backend.tags.remove(arn, removed)
    if wanted:
        added = [{"Key": key, "Value": value} for key, value in wanted.items()]
        backend.tags.add(arn, added)


def update_thing(backend: IoTWirelessBackend, gateway: StackGateway, thing_arn: str | None) -> None:
    """Associate a gateway with the thing of AWS IoT that the new template names.

    Args:
        backend: The backend of the gateway's account and Region.
        gateway: The gateway before the update.
        thing_arn: ARN of the thing. None if the gateway is to have no thing.
    """
    if thing_arn == gateway.parameters.get("ThingArn"):
        return
    if thing_arn is not None:
        backend.things.associate(gateway.resource_id, thing_arn)
        return
    with suppress(NotFound):  # somebody else may have removed the association
        backend.things.disassociate(gateway.resource_id)


def change_definition(backend: IoTWirelessBackend, definition_id: str, parameters: Properties) -> None:
    """Change a task definition, which keeps its id. Its tasks go on with what they were created from.

    Args:
        backend: The backend of the definition's account and Region.
        definition_id: Id of the definition.
        parameters: The new parameters of CreateWirelessGatewayTaskDefinition.

    Raises:
        InvalidValue: The policy ``stack_update`` is "refused", or the new update is invalid.
    """
    service = backend.service
    if service.policy.stack_update == "refused":
        reason = (
            "AWS's API cannot change a task definition; give the resource another logical name, so that a new "
            "definition takes its place"
        )
        raise InvalidValue("Properties", None, reason)
    service.update_definition(
        backend.owner,
        definition_id,
        auto_create_tasks=parameters["AutoCreateTasks"],
        name=parameters.get("Name"),
        update=read_update(parameters.get("Update"), service.policy),
    )


@contextmanager
def _changing(schema: ResourceSchema, name: str, account_id: str, region_name: str) -> Iterator[IoTWirelessBackend]:
    """Yield the backend of an account and Region. The changes of the block are saved at once, if there is a store.

    Args:
        schema: The type of the resource that is changed.
        name: Names the resource in an error.
        account_id: The account of the stack.
        region_name: The Region of the stack.

    Raises:
        ValidationError: Any error in the block.
    """
    try:
        backend = find_backend(account_id, region_name)
        with backend.service.transaction():
            yield backend
    except (LorafwError, InvalidParameters, ServiceException) as error:
        from moto.cloudformation.exceptions import ValidationError  # noqa: PLC0415

        raise ValidationError(message=f"{schema.type_name} {name}: {error}") from error


def _associate_or_delete(backend: IoTWirelessBackend, gateway_id: str, thing_arn: str) -> None:
    """Associate a new gateway with a thing. If that fails, delete the gateway and raise the error."""
    try:
        backend.things.associate(gateway_id, thing_arn)
    except LorafwError:
        backend.delete_gateway(gateway_id)
        raise


def _stack_tags(account_id: str, region_name: str, stack_id: str) -> dict[str, str]:
    """Return the tags of a stack in moto."""
    from moto.backends import get_backend  # noqa: PLC0415

    stack = get_backend("cloudformation")[account_id][region_name].stacks.get(stack_id)
    return {} if stack is None else dict(stack.tags)


def _merged_tags(parameters: Properties, stack_tags: dict[str, str]) -> dict[str, str]:
    """Return the tags of a resource: its own, and those of the stack whose keys it does not have."""
    own_tags = {tag["Key"]: tag["Value"] for tag in parameters.get("Tags", ())}
    return stack_tags | own_tags


def _with_stack_tags(parameters: Properties, stack_tags: dict[str, str]) -> Properties:
    """Return the parameters that create a resource, with the tags of the stack."""
    tags = [{"Key": key, "Value": value} for key, value in _merged_tags(parameters, stack_tags).items()]
    return parameters | {"Tags": tags}


def _tags_to_set(parameters: Properties, stack_tags: dict[str, str]) -> dict[str, str]:
    """Return the tags that a resource has after an update. Raises InvalidValue if there are too many."""
    tags = _merged_tags(parameters, stack_tags)
    if len(tags) > MAX_TAGS:
        raise InvalidValue("Tags", None, f"{len(tags)} tags; a resource has at most {MAX_TAGS}")
    return tags


def _without_tags(parameters: Properties) -> Properties:
    """Return the parameters other than the tags."""
    return {name: value for name, value in parameters.items() if name != "Tags"}
