"""Correct moto's decisions about S3 and IAM that differ from AWS and that an update depends on.

* A bucket policy: moto applies a Deny whatever its Condition and Principal say. Here only a Deny of everyone without a
  condition keeps the user's own requests out; what the update role may read is decided by ``lorafw.sources.access``.
* AWS-managed policies such as AmazonS3ReadOnlyAccess: moto loads all 1,500 at its start, or none. Here the one that is
  named is loaded when it is needed.
* SSE-C: moto accepts the upload and forgets the key. AWS refuses it by default since April 2026 (documented).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any, Final

from lorafw.sources.iam.evaluation import AccessRequest, NamedPolicy, Principal, evaluate

_AWS_MANAGED: Final = ":iam::aws:policy/"
_SSE_C_HEADER: Final = "x-amz-server-side-encryption-customer-algorithm"
_EVERYONE: Final = Principal("AWS", ())
"""An unknown caller. Only a principal of ``*`` in a policy matches it."""


@contextmanager
def corrected_moto() -> Iterator[None]:
    """Correct moto until the end of the block. Changes methods of moto's classes in this process."""
    from moto.iam.models import IAMBackend  # noqa: PLC0415 -- moto takes a while, and only some need it
    from moto.s3.models import FakeBucket  # noqa: PLC0415
    from moto.s3.responses import S3Response  # noqa: PLC0415

    with ExitStack() as changes:
        changes.enter_context(_replaced(FakeBucket, "get_permission", _with_lorafws_judgement))
        for name in ("attach_role_policy", "attach_group_policy", "attach_user_policy", "get_policy"):
            changes.enter_context(_replaced(IAMBackend, name, _with_managed_policy))
        for name in ("_key_response_put", "_key_response_post"):
            changes.enter_context(_replaced(S3Response, name, _without_sse_c))
        yield


@contextmanager
def _replaced(owner: type, name: str, change: Callable[[Any], Any]) -> Iterator[None]:
    """Replace a method by ``change(method)`` until the end of the block."""
    original = getattr(owner, name)
    setattr(owner, name, change(original))
    try:
        yield
    finally:
        setattr(owner, name, original)


def _with_lorafws_judgement(_: Any) -> Any:
    """Return FakeBucket.get_permission, judged by lorafw: DENIED, PERMITTED or NEUTRAL for a caller unknown to moto."""
    from moto.iam.access_control import PermissionResult  # noqa: PLC0415

    def get_permission(bucket: Any, action: str, resource: str) -> Any:
        if bucket.policy is None:
            return PermissionResult.NEUTRAL
        request = AccessRequest(action, resource, _EVERYONE)
        decision = evaluate([NamedPolicy("bucket", _unconditional(bucket.policy))], request)
        if decision.denied_by is not None:
            return PermissionResult.DENIED
        if decision.allowed:
            return PermissionResult.PERMITTED
        return PermissionResult.NEUTRAL

    return get_permission


def _unconditional(policy: bytes) -> dict[str, Any]:
    """Return the statements of a bucket policy that name everyone and have no condition."""
    try:
        statements = json.loads(policy)["Statement"]
    except (ValueError, RecursionError, KeyError, TypeError):
        statements = []
    if not isinstance(statements, list):
        statements = [statements]
    kept = []
    for statement in statements:
        names_everyone = isinstance(statement, dict) and statement.get("Principal") in ("*", {"AWS": "*"})
        if names_everyone and "Condition" not in statement:
            kept.append(statement)
    return {"Version": "2012-10-17", "Statement": kept}


def _with_managed_policy(original: Any) -> Any:
    """Return a method of IAMBackend that loads the AWS-managed policy that its first argument names."""

    def call(backend: Any, policy_arn: str, *arguments: Any, **named: Any) -> Any:
        if _AWS_MANAGED in policy_arn and policy_arn not in backend.managed_policies:
            _load(backend, policy_arn)
        return original(backend, policy_arn, *arguments, **named)

    return call


def _load(backend: Any, policy_arn: str) -> None:
    """Add an AWS-managed policy to a backend, if there is one with this ARN."""
    from moto.iam.models import AWSManagedPolicy  # noqa: PLC0415

    name = policy_arn.rsplit("/", 1)[-1]
    data = _managed_policies().get(name)
    if data is None:
        return
    policy = AWSManagedPolicy.from_data(name, backend.account_id, backend.region_name, data)
    if policy.arn == policy_arn:
        backend.managed_policies[policy.arn] = policy


@cache
def _managed_policies() -> dict[str, Any]:
    """Return all AWS-managed policies that moto ships, by name. Takes 0.2 s once."""
    from moto.iam.aws_managed_policies import aws_managed_policies_data  # noqa: PLC0415

    policies: dict[str, Any] = json.loads(aws_managed_policies_data)
    return policies


def _without_sse_c(original: Any) -> Any:
    """Return a method of S3Response that refuses an upload with a key of the customer's own."""
    from moto.s3.exceptions import S3AccessDeniedError  # noqa: PLC0415

    def respond(response: Any, *arguments: Any, **named: Any) -> Any:
        if response.headers.get(_SSE_C_HEADER) is not None:
            raise S3AccessDeniedError
        return original(response, *arguments, **named)

    return respond
