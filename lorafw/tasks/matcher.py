"""An index that finds the task definitions which a gateway matches.

Definitions with AutoCreateTasks are indexed by owner and CurrentVersion, so the cost of a look-up does not grow with
the number of definitions. If the policy allows wildcards, at most eight keys are looked up: each of the three fields of
the version is either given or left out.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import product
from operator import attrgetter
from typing import Final

from lorafw.tasks.evaluation import normalize_version
from lorafw.tasks.model import AccountRegion, Definition
from lorafw.tasks.policy import Policy
from lorafw.version import GatewayVersion

_IndexKey = tuple[AccountRegion, GatewayVersion]
"""Owner and normalized CurrentVersion of a definition."""

_SEQUENCE: Final = attrgetter("sequence")
"""Returns the sequence number of a definition. An older definition has a lower number."""


class Matcher:
    """An index of the definitions with AutoCreateTasks. Not thread-safe: callers must hold a lock.

    Args:
        policy: The decisions about matching: ``comparison``, ``absent_field`` and ``several_matches``.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._groups: dict[_IndexKey, list[Definition]] = {}
        """The definitions with the same key, oldest first. No group is empty."""

    def add(self, definition: Definition) -> None:
        """Add a definition. Does nothing if the definition can never match a gateway."""
        if _can_match(definition, self._policy):
            group = self._groups.setdefault(self._key(definition), [])
            insort(group, definition, key=_SEQUENCE)

    def remove(self, definition: Definition) -> None:
        """Remove a definition. Does nothing if it is not in the index."""
        key = self._key(definition)
        group = self._groups.get(key, [])
        index = bisect_left(group, definition.sequence, key=_SEQUENCE)
        if index == len(group) or group[index].id != definition.id:
            return
        del group[index]
        if not group:
            del self._groups[key]

    def find_best(self, owner: AccountRegion, presented: GatewayVersion) -> Definition | None:
        """Return the match that wins: the oldest or the newest one, by the policy ``several_matches``.

        Args:
            owner: Account and Region of the gateway.
            presented: The version that the gateway presents.

        Returns:
            The definition. None if none matches.
        """
        groups = self._matching_groups(owner, presented)
        if self._policy.several_matches == "newest":
            return max((group[-1] for group in groups), key=_SEQUENCE, default=None)
        return min((group[0] for group in groups), key=_SEQUENCE, default=None)

    def find_all(self, owner: AccountRegion, presented: GatewayVersion) -> list[Definition]:
        """Return all definitions that match a presented version, oldest first."""
        matches: list[Definition] = []
        for group in self._matching_groups(owner, presented):
            matches += group
        return sorted(matches, key=_SEQUENCE)

    def _matching_groups(self, owner: AccountRegion, presented: GatewayVersion) -> Iterator[list[Definition]]:
        """Iterate over the groups of definitions that match a presented version."""
        for version in _matching_versions(presented, self._policy):
            group = self._groups.get((owner, version))
            if group is not None:
                yield group

    def _key(self, definition: Definition) -> _IndexKey:
        """Return the key under which a definition is found."""
        return definition.owner, normalize_version(definition.current_version, self._policy)


def _can_match(definition: Definition, policy: Policy) -> bool:
    """Return True if there can be a gateway that matches the definition."""
    if not definition.auto_create_tasks or definition.update is None:
        return False
    return definition.current_version.is_complete or policy.absent_field == "wildcard"


def _matching_versions(presented: GatewayVersion, policy: Policy) -> Iterator[GatewayVersion]:
    """Iterate over each CurrentVersion that matches a presented version, in the form that is used in comparisons."""
    normalized = normalize_version(presented, policy)
    if policy.absent_field == "wildcard":
        yield from _wildcard_versions(normalized)
    elif normalized.is_complete:
        yield normalized


def _wildcard_versions(version: GatewayVersion) -> Iterator[GatewayVersion]:
    """Iterate over all versions that equal this one, or that leave out some of its fields."""
    choices = [(None,) if text is None else (text, None) for text in version.as_tuple()]
    for station, package, model in product(*choices):
        yield GatewayVersion(station, package, model)
