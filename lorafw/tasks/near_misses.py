"""Definitions that almost match a gateway, and by what they do not: the slips that a person overlooks. Pure."""

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
"""So many definitions that nearly match are shown."""

_DEFAULT: Final = Policy()
_BUILD_TIME: Final = re.compile(r"\s*\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}\s*$")

_CASE: Final = "upper and lower case differ"
_BLANK: Final = "a blank too many or too few"
_BUILD: Final = "only the build time differs"
_BUILD_NOT_PRESENTED: Final = f"{_BUILD}: the gateway presents none"
_BUILD_NOT_WANTED: Final = f"{_BUILD}: the definition gives none"
_TRIVIAL_KINDS: Final = frozenset((_CASE, _BLANK, _BUILD, _BUILD_NOT_PRESENTED, _BUILD_NOT_WANTED))


@dataclass(frozen=True, slots=True)
class VersionDifference:
    """One field in which a definition and a gateway differ, and how: ``kind`` is in words."""

    field: str
    wanted: str | None
    presented: str | None
    kind: str

    def __str__(self) -> str:
        wants = f"the definition wants {self.wanted!r}, the gateway presents {self.presented!r}"
        return f"{self.field}: {wants} ({self.kind})"


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A definition that almost matches."""

    definition: Definition
    differences: tuple[VersionDifference, ...]

    @property
    def is_slip(self) -> bool:
        """Nothing but case, blanks and build times: what a person overlooks."""
        return all(difference.kind in _TRIVIAL_KINDS for difference in self.differences)


def differences(
    wanted: GatewayVersion, presented: GatewayVersion, policy: Policy = _DEFAULT
) -> tuple[VersionDifference, ...]:
    """The fields that keep a definition from matching by itself, with what kind of difference it is."""
    found = []
    for field, name in AWS_NAMES.items():
        want, show = getattr(wanted, field), getattr(presented, field)
        if want is None:
            differ = policy.absent_field == "strict"
        else:
            differ = getattr(normalize_version(wanted, policy), field) != getattr(
                normalize_version(presented, policy), field
            )
        if differ:
            found.append(VersionDifference(name, want, show, _kind(want, show)))
    return tuple(found)


def near_misses(snapshot: Snapshot, policy: Policy = _DEFAULT) -> Iterator[NearMiss]:
    """Definitions that differ in one field only, or in nothing but case, blanks and build times: these come first."""
    if snapshot.request is None:
        return
    presented = snapshot.request.version
    misses = [
        NearMiss(definition, differences(definition.current_version, presented, policy))
        for definition in snapshot.definitions
        if definition.auto_create_tasks and definition.update is not None
    ]
    near = [miss for miss in misses if miss.differences and (len(miss.differences) == 1 or miss.is_slip)]
    yield from sorted(near, key=lambda miss: not miss.is_slip)[:NEAR_MISSES]


def _kind(wanted: str | None, presented: str | None) -> str:
    if wanted is None:
        return "the definition does not give this field, so it matches no gateway by itself"
    if presented is None:
        return "the gateway presents none"
    if "".join(wanted.split()) == "".join(presented.split()):
        return _BLANK
    if wanted.casefold() == presented.casefold():
        return _CASE
    if _BUILD_TIME.sub("", wanted) == _BUILD_TIME.sub("", presented):
        return _build_kind(wanted, presented)
    return "the values differ"


def _build_kind(wanted: str, presented: str) -> str:
    if not _BUILD_TIME.search(presented):
        return _BUILD_NOT_PRESENTED
    if not _BUILD_TIME.search(wanted):
        return _BUILD_NOT_WANTED
    return _BUILD
