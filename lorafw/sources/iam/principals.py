"""The caller of a request, and how the Principal element of a policy names it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from lorafw.sources.iam.conditions import list_texts
from lorafw.sources.iam.context import CannotEvaluate, shorten

_KINDS = frozenset(("AWS", "Service", "Federated", "CanonicalUser"))


class Match(IntEnum):
    """How a Principal element means the caller. It decides what else must allow a request in the same account."""

    ACCOUNT = 1
    """By its account: the account then decides by its own policies."""
    ROLE = 2
    """By the ARN of its role: a permissions boundary still limits it."""
    EVERYONE = 3
    """By ``*``: needs no other permission in the same account."""
    CALLER = 4
    """By the service's name or by the ARN of the session itself."""


@dataclass(frozen=True, slots=True)
class Naming:
    """One way to name a caller in a policy."""

    match: Match
    """What it means to be named in this way."""
    texts: tuple[str, ...]
    """The texts that name the caller in this way. The last one is the usual form."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of a request."""

    kind: str
    """The member of a Principal element that can name it: ``Service`` or ``AWS``."""
    namings: tuple[Naming, ...]
    """All ways to name it."""

    @classmethod
    def service(cls, name: str) -> Principal:
        """Return the principal of an AWS service, such as ``iotwireless.amazonaws.com``."""
        return cls("Service", (Naming(Match.CALLER, (name,)),))

    @classmethod
    def role(cls, arn: str, session: str = "") -> Principal:
        """Return the principal of a role's session. A policy can name the ARN of the session, the role or the account.

        Args:
            arn: The ARN of the role.
            session: The name of the session, or "" for the role without a session.
        """
        arn_parts = arn.split(":")
        partition = arn_parts[1]
        account = arn_parts[4]
        role_name = arn.rsplit("/", 1)[-1]
        by_account = Naming(Match.ACCOUNT, (account, f"arn:{partition}:iam::{account}:root"))
        by_role = Naming(Match.ROLE, (arn,))
        if not session:
            return cls("AWS", (by_account, by_role))
        by_session = Naming(Match.CALLER, (f"arn:{partition}:sts::{account}:assumed-role/{role_name}/{session}",))
        return cls("AWS", (by_account, by_role, by_session))

    def find(self, element: object) -> Match | None:
        """Return how a Principal element names this caller, or None if it does not.

        If it names the caller in several ways, the most direct one is returned.

        Args:
            element: The value of Principal or NotPrincipal.

        Raises:
            CannotEvaluate: The element is malformed, or names a principal that could be this caller or another one.
        """
        if element == "*":
            return Match.EVERYONE
        if not isinstance(element, Mapping):
            raise CannotEvaluate(f"its Principal is {shorten(element)}")
        listed = _list_names(element, self.kind)
        if self.kind == "AWS" and "*" in listed:
            return Match.EVERYONE
        matches = [naming.match for naming in self.namings if not listed.isdisjoint(naming.texts)]
        if matches:
            return max(matches)
        _check_names(element, listed, self.kind)
        return None

    def is_excepted(self, element: object) -> bool:
        """Return whether a NotPrincipal element excepts this caller.

        Documented: to except a session of a role, AWS wants the session, the role and the account to be named.

        Raises:
            CannotEvaluate: Only some of these are named, and AWS says that it then might deny.
        """
        if self.find(element) is None:
            return False
        if element == "*":
            return True
        listed = _list_names(element, self.kind) if isinstance(element, Mapping) else frozenset()
        missing = [naming.texts[-1] for naming in self.namings if listed.isdisjoint(naming.texts)]
        if missing and "*" not in listed:
            raise CannotEvaluate(f"its NotPrincipal does not name {' and '.join(missing)} as well (documented)")
        return True


def _list_names(element: Mapping[str, object], kind: str) -> frozenset[str]:
    """Return the callers of one kind that a Principal element lists, such as {"AWS": ["arn:...", "123456789012"]}."""
    return frozenset(list_texts(element.get(kind, []), "Principal"))


def _check_names(element: Mapping[str, object], listed: frozenset[str], kind: str) -> None:
    """Raise CannotEvaluate if AWS refuses the element, or if it names a principal that could be this caller."""
    for name in element:
        if name not in _KINDS:
            raise CannotEvaluate(f"its Principal names {shorten(name)}, which is not a kind of principal")
    if kind == "AWS" and "CanonicalUser" in element:
        raise CannotEvaluate("its Principal names a CanonicalUser, whose account is not known here")
    for text in listed:
        if "*" in text or "?" in text:
            raise CannotEvaluate(f"its Principal {shorten(text)} has a wildcard in a name, which AWS refuses")
