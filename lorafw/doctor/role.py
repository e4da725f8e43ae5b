"""Read a role with its policies over the API of IAM. Nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from lorafw.errors import AccessDenied, RoleNotTrusted, SourceUnavailable
from lorafw.sources.access import RoleFacts
from lorafw.sources.iam.documents import MAX_INLINE, MAX_MANAGED, MAX_TRUST, NamedPolicy
from lorafw.sources.iam.requests import IamRole
from lorafw.sources.s3 import Role

_NOT_FOUND_CODES: Final = frozenset(("NoSuchEntity", "ValidationError"))
_DENIED_CODES: Final = frozenset(("AccessDenied", "403", "Forbidden"))


def read_role(iam: Any, role: Role) -> RoleFacts:
    """Return a role with its policies as IAM stores them now.

    Args:
        iam: A boto3 client of ``iam`` for the account of the role.
        role: The role in UpdateDataRole.

    Raises:
        SourceError: The role does not exist, or it cannot be read.
    """
    with _translate_errors(f"role {role.arn}", RoleNotTrusted):
        description = iam.get_role(RoleName=role.name)["Role"]
    if description["Arn"] != role.arn:
        raise RoleNotTrusted(f"role {role.arn} does not exist; there is {description['Arn']}")
    with _translate_errors(f"the policies of {role.arn}", AccessDenied):
        policies = tuple(_role_policies(iam, role.name))
        boundary = _read_boundary(iam, description)
    tags = {tag["Key"]: tag["Value"] for tag in description.get("Tags", ())}
    trust_document = _document(description["AssumeRolePolicyDocument"])
    trust = NamedPolicy(f"trust policy of {role.name}", trust_document, MAX_TRUST)
    iam_role = IamRole(role.arn, role.account, description["RoleId"], tags)
    return RoleFacts(iam_role, role.partition, trust, policies, boundary)


def _read_boundary(iam: Any, role: Any) -> NamedPolicy | None:
    """Return the permissions boundary of a role, or None."""
    boundary = role.get("PermissionsBoundary")
    if boundary is None:
        return None
    arn = boundary["PermissionsBoundaryArn"]
    return NamedPolicy(f"boundary {arn}", _managed_document(iam, arn), MAX_MANAGED)


def _role_policies(iam: Any, role_name: str) -> Iterator[NamedPolicy]:
    """Yield the inline policies of a role and then the attached ones."""
    for page in iam.get_paginator("list_role_policies").paginate(RoleName=role_name):
        for name in page["PolicyNames"]:
            inline = iam.get_role_policy(RoleName=role_name, PolicyName=name)
            yield NamedPolicy(name, _document(inline["PolicyDocument"]), MAX_INLINE)
    for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=role_name):
        for policy in page["AttachedPolicies"]:
            yield NamedPolicy(policy["PolicyName"], _managed_document(iam, policy["PolicyArn"]), MAX_MANAGED)


def _managed_document(iam: Any, arn: str) -> Any:
    """Return the document of the default version of a managed policy."""
    version_id = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    version = iam.get_policy_version(PolicyArn=arn, VersionId=version_id)["PolicyVersion"]
    return _document(version["Document"])


def _document(document: Any) -> Any:
    """Return a policy document as JSON text or as an object. boto3 may have parsed it to something else."""
    if isinstance(document, str | dict):
        return document
    return json.dumps(document)


@contextmanager
def _translate_errors(what: str, missing: Callable[[str], Exception]) -> Iterator[None]:
    """Raise a SourceError in place of each error of boto3.

    Args:
        what: The subject of the error message.
        missing: Makes the error for something that does not exist from its message.

    Raises:
        SourceError: boto3 raised an error in the block.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in _NOT_FOUND_CODES:
            raise missing(f"{what} does not exist ({code})") from error
        if code in _DENIED_CODES:
            raise AccessDenied(f"{what}: access is denied ({code})") from error
        raise SourceUnavailable(f"{what} cannot be read now: {error}") from error
    except (BotoCoreError, HTTPError, OSError) as error:
        raise SourceUnavailable(f"{what} cannot be read now: {error}") from error
    except (ValueError, RecursionError) as error:
        # boto3 parses policy documents, and moto also stores some that are not JSON.
        raise SourceUnavailable(f"{what} cannot be read: IAM holds a document that is not JSON ({error})") from error
