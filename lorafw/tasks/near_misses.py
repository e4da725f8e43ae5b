"""Definitions that almost match a gateway, and the differences that keep them from matching."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lorafw.tasks.evaluation import normalize_version
from lorafw.tasks.model import Definition
from lorafw.tasks.policy import Policy
from lorafw.tasks.snapshot import Snapshot
from lorafw.version import AWS_NAMES, GatewayVersion

NEAR_MISSES: Final = 3
"""Maximum number of near misses that are shown."""

_DEFAULT: Final = Policy()
_BUILD_TIME: Final = re.compile(r"\s*\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}\s*$")

_CASE: Final = "upper and lower case differ"
_BLANK: Final = "a space too many or too few"
_BUILD: Final = "only the build time differs"
_BUILD_NOT_PRESENTED: Final = f"{_BUILD}: the gateway presents none"
_BUILD_NOT_WANTED: Final = f"{_BUILD}: the definition gives none"
_TRIVIAL_KINDS: Final = frozenset((_CASE, _BLANK, _BUILD, _BUILD_NOT_PRESENTED, _BUILD_NOT_WANTED))


@dataclass(frozen=True, slots=True)
class VersionDifference:
    """A field of the version in which a definition and a gateway differ."""

    field: str
    """AWS's name of the field, such as "PackageVersion"."""
    wanted: str | None
    """The value in the definition. None if it does not give one."""
    presented: str | None
    """The value that the gateway presents. None if it presents none."""
    kind: str
    """How the values differ, in words."""

    def __str__(self) -> str:
        wants = f"the definition wants {self.wanted!r}, the gateway presents {self.presented!r}"
        return f"{self.field}: {wants} ({self.kind})"


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A definition that almost matches."""

    definition: Definition
    """The definition."""
    differences: tuple[VersionDifference, ...]
    """The fields of the version that keep it from matching."""

    @property
    def is_trivial(self) -> bool:
        """True if only case, blanks and build times differ, which a person easily overlooks."""
        return all(difference.kind in _TRIVIAL_KINDS for difference in self.differences)


def differences(
    wanted: GatewayVersion, presented: GatewayVersion, policy: Policy = _DEFAULT
) -> tuple[VersionDifference, ...]:
    """Return the fields that keep a definition from matching a gateway automatically.

    Args:
        wanted: CurrentVersion of the definition.
        presented: The version that the gateway presents.
        policy: The decisions about comparison.

    Returns:
        The differences, in AWS's order of the fields. Empty if the definition matches.
    """
    result = []
    for field, aws_name in AWS_NAMES.items():
        if _field_differs(field, wanted, presented, policy):
            wanted_text, presented_text = getattr(wanted, field), getattr(presented, field)
            kind = _describe_difference(wanted_text, presented_text)
            result.append(VersionDifference(aws_name, wanted_text, presented_text, kind))
    return tuple(result)


def _field_differs(field: str, wanted: GatewayVersion, presented: GatewayVersion, policy: Policy) -> bool:
    """Return True if this field keeps the definition from matching."""
    if getattr(wanted, field) is None:
        return policy.absent_field == "strict"
    wanted_text = getattr(normalize_version(wanted, policy), field)
    presented_text = getattr(normalize_version(presented, policy), field)
    return bool(wanted_text != presented_text)


def near_misses(snapshot: Snapshot, policy: Policy = _DEFAULT) -> Iterator[NearMiss]:
    """Iterate over the definitions that almost match the last request, at most NEAR_MISSES.

    A definition almost matches if it differs in one field only, or only in case, blanks and build times. The latter
    come first.
    """
    if snapshot.request is None:
        return
    presented = snapshot.request.version
    misses = [
        NearMiss(definition, differences(definition.current_version, presented, policy))
        for definition in snapshot.definitions
        if definition.auto_create_tasks and definition.update is not None
    ]
    near = [miss for miss in misses if len(miss.differences) == 1 or (miss.differences and miss.is_trivial)]
    yield from sorted(near, key=lambda miss: not miss.is_trivial)[:NEAR_MISSES]


def _describe_difference(wanted: str | None, presented: str | None) -> str:
    """Describe in words how two different values of a field differ."""
    if wanted is None:
        return "the definition does not give this field, so it matches no gateway by itself"
    if presented is None:
        return "the gateway presents none"
    if "".join(wanted.split()) == "".join(presented.split()):
        return _BLANK
    if wanted.casefold() == presented.casefold():
        return _CASE
    if _BUILD_TIME.sub("", wanted) == _BUILD_TIME.sub("", presented):
        return _describe_build_difference(wanted, presented)
    return "the values differ"


def _describe_build_difference(wanted: str, presented: str) -> str:
    """Describe the difference between two values that are equal except for their build times."""
    if not _BUILD_TIME.search(presented):
        return _BUILD_NOT_PRESENTED
    if not _BUILD_TIME.search(wanted):
        return _BUILD_NOT_WANTED
    return _BUILD
