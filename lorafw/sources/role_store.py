"""Look up IAM roles with their policies in moto, which runs in this process.

They are read from moto's internal state and not through its API. A lookup takes microseconds and a call of the API
takes milliseconds, so each request of a gateway reads what IAM holds at that moment. Nothing is kept that a later
change could make wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from lorafw.errors import AccessDenied
from lorafw.sources.access import RoleFacts
from lorafw.sources.iam.documents import MAX_INLINE, MAX_MANAGED, MAX_TRUST, NamedPolicy
from lorafw.sources.iam.requests import IamRole
from lorafw.sources.object_store import moto_backends


class RoleStore(Protocol):
    """Looks up IAM roles."""

    def find_role(self, name: str, *, account: str, partition: str) -> RoleFacts | None:
        """Return a role with its policies as they are now, or None if there is none.

        Args:
            name: The name of the role, without its path.
            account: The account that owns the role.
            partition: The part of ARNs after ``arn:``, such as ``aws``.

        Raises:
            SourceError: A policy of the role cannot be read.
        """
        ...


class MotoRoles:
    """Looks up IAM roles in moto, which runs in this process."""

    def find_role(self, name: str, *, account: str, partition: str) -> RoleFacts | None:
        """Return a role with its policies as they are now, or None if there is none.

        Args:
            name: The name of the role, without its path.
            account: The account that owns the role.
            partition: The part of ARNs after ``arn:``, such as ``aws``.

        Raises:
            AccessDenied: A managed policy of the role does not exist.
        """
        partitions = moto_backends("iam")[account]
        if partition not in partitions:
            return None
        backend = partitions[partition]
        role = next((role for role in backend.get_roles() if role.name == name), None)
        if role is None:
            return None
        tags = {tag["Key"]: tag["Value"] for tag in role.tags or ()}
        trust = NamedPolicy(f"trust policy of {name}", role.assume_role_policy_document, MAX_TRUST)
        return RoleFacts(
            IamRole(role.arn, account, role.id, tags),
            partition,
            trust,
            policies=(*_inline_policies(role), *_attached_policies(backend, role)),
            boundary=_boundary(backend, role),
        )


def _inline_policies(role: Any) -> Iterator[NamedPolicy]:
    """Yield the inline policies of a role."""
    for name, document in list(role.policies.items()):
        yield NamedPolicy(name, document, MAX_INLINE)


def _attached_policies(backend: Any, role: Any) -> Iterator[NamedPolicy]:
    """Yield the managed policies that are attached to a role, each in its default version."""
    for arn, policy in list(role.managed_policies.items()):
        yield NamedPolicy(policy.name, _managed_document(backend, arn, role), MAX_MANAGED)


def _boundary(backend: Any, role: Any) -> NamedPolicy | None:
    """Return the permissions boundary of a role, or None."""
    arn = role.permissions_boundary_arn
    if not arn:
        return None
    return NamedPolicy(f"boundary {arn}", _managed_document(backend, arn, role), MAX_MANAGED)


def _managed_document(backend: Any, arn: str, role: Any) -> str:
    """Return the document of the default version of a managed policy, or raise AccessDenied if there is none."""
    from moto.iam.exceptions import NotFoundException  # noqa: PLC0415 -- importing moto is slow

    try:
        version_id = backend.get_policy(arn).default_version_id
        document: str = backend.get_policy_version(arn, version_id).document
    except NotFoundException as error:
        raise AccessDenied(f"a policy of {role.arn} does not exist: {arn}") from error
    return document
