"""The calls of AWS that a rollout makes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from lorafw.clock import parse_iso
from lorafw.rollout.aws_api import AwsApi, NotFoundError, list_items
from lorafw.rollout.observations import (
    ClockCompared,
    DefinitionsRead,
    GatewayRead,
    GatewaysListed,
    ObjectRead,
    TaskSeen,
)
from lorafw.rollout.saved_plan import DEFINITION_TAG, SavedPlan, UpdateObject
from lorafw.tasks.lifecycle import TaskStatus
from lorafw.version import GatewayVersion

# --- gateways and their tasks ---


def list_gateways(api: AwsApi) -> GatewaysListed:
    """List all gateways of the account with the times of their last uplinks."""
    gateways = list_items(api, "ListWirelessGateways", "WirelessGatewayList")
    return GatewaysListed({gateway["Id"]: _uplink_ms(gateway.get("LastUplinkReceivedAt")) for gateway in gateways})


def read_gateway(api: AwsApi, gateway: str, *, with_version: bool) -> GatewayRead:
    """Read the task of a gateway.

    Args:
        api: The API of the account.
        gateway: The id of the gateway.
        with_version: True to read the version of the gateway as well. If it has no task, the version is read in any
            case, because this shows whether the gateway is registered.

    Returns:
        What was read.

    Raises:
        CallError: A call failed.
    """
    task = _read_task(api, gateway)
    if task is not None and not with_version:
        return GatewayRead(gateway, task)
    try:
        answer = api.call("GetWirelessGatewayFirmwareInformation", Id=gateway)
    except NotFoundError:
        return GatewayRead(gateway, None, is_registered=False)
    members = answer.get("LoRaWAN", {}).get("CurrentVersion")
    version = GatewayVersion.from_aws(members) if members else None
    return GatewayRead(gateway, task, version=version)


def _read_task(api: AwsApi, gateway: str) -> TaskSeen | None:
    """Return the task of a gateway. None if it has none, or if there is no such gateway."""
    try:
        answer = api.call("GetWirelessGatewayTask", Id=gateway)
    except NotFoundError:
        return None
    created = answer.get("TaskCreatedAt")
    created_ms = parse_iso(created) if created else None
    return TaskSeen(
        definition_id=answer["WirelessGatewayTaskDefinitionId"],
        status=TaskStatus(answer["Status"]),
        created_ms=created_ms,
        uplink_ms=_uplink_ms(answer.get("LastUplinkReceivedAt")),
    )


def create_task(api: AwsApi, gateway: str, definition_id: str) -> None:
    """Create the task of a gateway."""
    api.call("CreateWirelessGatewayTask", Id=gateway, WirelessGatewayTaskDefinitionId=definition_id)


def delete_task(api: AwsApi, gateway: str) -> None:
    """Delete the task of a gateway. A task that is gone already is no error."""
    try:
        api.call("DeleteWirelessGatewayTask", Id=gateway)
    except NotFoundError:
        return


# --- the task definition ---


def read_definitions(api: AwsApi, plan: SavedPlan) -> DefinitionsRead:
    """Look for the task definition of a plan, and for definitions that race it.

    A definition races the plan if AWS creates tasks from it by itself (AutoCreateTasks) for gateways of the plan.

    Args:
        api: The API of the account.
        plan: The plan.

    Returns:
        The ids of the definitions that were found.

    Raises:
        CallError: A call failed.
    """
    tagged_ids = []
    racing_ids = []
    for listed in list_items(api, "ListWirelessGatewayTaskDefinitions", "TaskDefinitions"):
        if not _can_match_same_gateway(listed, plan):
            continue
        if _has_tag_of_plan(api, listed["Arn"], plan):
            tagged_ids.append(listed["Id"])
        elif _creates_tasks(api, listed["Id"]):
            racing_ids.append(listed["Id"])
    return DefinitionsRead(tuple(tagged_ids), tuple(racing_ids))


def _can_match_same_gateway(listed: dict[str, Any], plan: SavedPlan) -> bool:
    """Return True if one gateway can present the CurrentVersion of a listed definition and that of the plan.

    A CurrentVersion can leave out fields. It accepts a version if all fields that it has are equal.
    """
    members = listed.get("LoRaWAN", {}).get("CurrentVersion") or {}
    listed_version = GatewayVersion.from_aws(members)
    planned_version = plan.current_version
    return listed_version.accepts(planned_version) or planned_version.accepts(listed_version)


def _has_tag_of_plan(api: AwsApi, arn: str, plan: SavedPlan) -> bool:
    """Return True if a definition has the tag ``DEFINITION_TAG`` with the hash of the plan.

    The name of the definition cannot tell this, because several definitions can have one name.
    """
    try:
        answer = api.call("ListTagsForResource", ResourceArn=arn)
    except NotFoundError:
        return False
    return any(tag["Key"] == DEFINITION_TAG and tag["Value"] == plan.sha256 for tag in answer.get("Tags", []))


def _creates_tasks(api: AwsApi, definition_id: str) -> bool:
    """Return True if AWS creates tasks from a definition by itself. False if the definition was deleted."""
    try:
        definition = api.call("GetWirelessGatewayTaskDefinition", Id=definition_id)
    except NotFoundError:
        return False
    return bool(definition.get("AutoCreateTasks"))


def create_definition(api: AwsApi, plan: SavedPlan) -> str:
    """Create the task definition of a plan, and return its id."""
    answer = api.call(
        "CreateWirelessGatewayTaskDefinition",
        **plan.definition,
        ClientRequestToken=plan.sha256,
        Tags=[{"Key": DEFINITION_TAG, "Value": plan.sha256}],
    )
    definition_id: str = answer["Id"]
    return definition_id


# --- the update file ---


def read_object(api: AwsApi, planned: UpdateObject) -> ObjectRead:
    """Compare the update file in S3 with the plan, without reading its content.

    Args:
        api: The API of the account.
        planned: The update file, as it was when the plan was made.

    Returns:
        What differs from the plan, in words.

    Raises:
        CallError: The call failed.
    """
    try:
        head = api.call("HeadObject", service="s3", Bucket=planned.bucket, Key=planned.key)
    except NotFoundError:
        return ObjectRead(difference=f"the update file {planned.url} is gone")
    found = _describe_object(head.get("VersionId"), head["ETag"], head["ContentLength"])
    expected = _describe_object(planned.version_id, planned.etag, planned.size_bytes)
    if found == expected:
        return ObjectRead(difference=None)
    return ObjectRead(difference=f"the update file {planned.url} was replaced: {found}; the plan has {expected}")


def _describe_object(version_id: str | None, etag: str, size_bytes: int) -> str:
    """Return what identifies the content of an object. Equal texts mean equal content."""
    return f"version {version_id}, ETag {etag}, {size_bytes} bytes"


# --- the clock ---


def compare_clock(api: AwsApi) -> ClockCompared:
    """Compare the clock of this machine with that of AWS, with a call that returns one gateway."""
    api.answer_dates.take_comparison()  # forget the comparison of an earlier call
    api.call("ListWirelessGateways", MaxResults=1)
    return api.answer_dates.take_comparison() or ClockCompared(ahead_ms=None)


# The cache pays because most gateways were not heard between two lists, so the same times come again.
@lru_cache(maxsize=1 << 17)
def _uplink_ms(last_uplink: str | None) -> int | None:
    """Return LastUplinkReceivedAt in milliseconds since 1970 UTC. None if it is not given."""
    if not last_uplink:
        return None
    return parse_iso(last_uplink)
