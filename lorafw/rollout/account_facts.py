"""What a plan remembers of the account: the update file, the role, and a sample of the gateways."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from lorafw.errors import InvalidSource, RolloutError
from lorafw.localaws.connection import Clients
from lorafw.rollout.aws_api import AwsApi
from lorafw.rollout.calls import list_gateways, read_gateway, read_object
from lorafw.rollout.saved_plan import FleetSample, RoleSnapshot, SavedPlan, UpdateObject
from lorafw.sources.s3 import Role, S3Location

MAX_UPDATE_BYTES: Final = 2 << 30
"""The largest update file (documented: 2 GB)."""

_CHUNK_BYTES: Final = 1 << 20
_MAX_NAMED: Final = 10
"""Gateways that a message names."""


def read_update_object(definition: Mapping[str, Any], clients: Clients) -> UpdateObject:
    """Read the update file of a definition, and return its key, version, size and hash.

    Args:
        definition: The arguments of CreateWirelessGatewayTaskDefinition.
        clients: Returns a boto3 client for the name of a service.

    Raises:
        RolloutError: The definition names no object, or the object is too large or cannot be read.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 -- botocore takes a tenth of a second

    source = definition.get("Update", {}).get("UpdateDataSource", "")
    try:
        location = S3Location.parse(source)
    except InvalidSource as error:
        raise RolloutError(f"the definition has no usable UpdateDataSource: {error}") from error
    digest = hashlib.sha512()
    try:
        answer = clients("s3").get_object(Bucket=location.bucket, Key=location.key)
        if answer["ContentLength"] > MAX_UPDATE_BYTES:
            raise RolloutError(f"{source} has {answer['ContentLength']} bytes; AWS takes at most {MAX_UPDATE_BYTES}")
        for chunk in answer["Body"].iter_chunks(_CHUNK_BYTES):
            digest.update(chunk)
    except (BotoCoreError, ClientError) as error:
        raise RolloutError(f"the update file {source} cannot be read: {error}") from error
    return UpdateObject(
        bucket=location.bucket,
        key=location.key,
        version_id=answer.get("VersionId"),
        etag=answer["ETag"],
        size_bytes=answer["ContentLength"],
        sha512=digest.hexdigest(),
    )


def read_role(definition: Mapping[str, Any], clients: Clients) -> RoleSnapshot:
    """Return the update role of a definition, with a hash of its policies if the caller may read them.

    Args:
        definition: The arguments of CreateWirelessGatewayTaskDefinition.
        clients: Returns a boto3 client for the name of a service.

    Raises:
        RolloutError: The definition names no role, or the role does not exist.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    arn = definition.get("Update", {}).get("UpdateDataRole", "")
    try:
        name = Role.parse(arn).name
    except InvalidSource as error:
        raise RolloutError(f"the definition has no usable UpdateDataRole: {error}") from error
    try:
        documents = list(_role_documents(clients("iam"), name))
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchEntity":
            raise RolloutError(f"the role {arn} does not exist") from error
        return RoleSnapshot(arn, sha256=None)
    except BotoCoreError:
        return RoleSnapshot(arn, sha256=None)
    canonical = json.dumps(documents, sort_keys=True, default=str)
    return RoleSnapshot(arn, hashlib.sha256(canonical.encode()).hexdigest())


def _role_documents(iam: Any, name: str) -> Iterator[Any]:
    """Yield the trust policy of a role, its inline policies, and the ARNs of its managed policies."""
    yield iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        yield policy, iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
    for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        yield policy["PolicyArn"]


def read_sample(api: AwsApi, gateways: Sequence[str], size: int, seed: int) -> FleetSample:
    """Read the versions and the tasks of some gateways, which are chosen at random.

    Args:
        api: The API of the account.
        gateways: The ids of all gateways of the plan.
        size: The number of gateways to read.
        seed: The seed of the choice.

    Returns:
        How many of the gateways have each version, and how many have a task with each status.
    """
    chosen = random.Random(seed).sample(list(gateways), min(size, len(gateways)))
    versions: Counter[str] = Counter()
    tasks: Counter[str] = Counter()
    for gateway in chosen:
        read = read_gateway(api, gateway, with_version=True)
        versions[str(read.version or "no version")] += 1
        if read.task is not None:
            tasks[str(read.task.status)] += 1
    return FleetSample(len(chosen), dict(versions), dict(tasks))


def find_changes(plan: SavedPlan, api: AwsApi, clients: Clients) -> list[str]:
    """Return what has changed in the account since the plan was made, one line for each change.

    Args:
        plan: The saved plan.
        api: The API of the account.
        clients: Returns a boto3 client for the name of a service.
    """
    changes = []
    difference = read_object(api, plan.update_object).difference
    if difference is not None:
        changes.append(difference)
    changes += _role_changes(plan, clients)
    changes += _missing_gateways(plan, api)
    return changes


def _missing_gateways(plan: SavedPlan, api: AwsApi) -> list[str]:
    """Return a line if gateways of the plan are not registered any more."""
    registered = list_gateways(api).uplinks_ms
    missing = [gateway for gateway in plan.gateway_ids if gateway not in registered]
    if not missing:
        return []
    names = ", ".join(missing[:_MAX_NAMED])
    if len(missing) > _MAX_NAMED:
        names += f" and {len(missing) - _MAX_NAMED} more"
    return [f"{len(missing)} gateways are gone: {names}"]


def _role_changes(plan: SavedPlan, clients: Clients) -> list[str]:
    """Return a line if the update role was deleted or changed."""
    try:
        now = read_role(plan.definition, clients)
    except RolloutError as error:
        return [str(error)]
    is_known = now.sha256 is not None and plan.role.sha256 is not None
    if is_known and now != plan.role:
        return [f"the policies of the role {plan.role.arn} were changed"]
    return []
