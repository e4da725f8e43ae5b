"""An index that finds the task definitions which a gateway matches.

Definitions with AutoCreateTasks are indexed by owner and CurrentVersion, so the cost of a look-up does not grow with
the number of definitions. If the policy allows wildcards, at most eight keys are looked up: each of the three fields of
the version is either given or left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from operator import attrgetter

from lorafw.tasks.evaluation import normalize_version
from lorafw.tasks.model import AccountRegion, Definition
from lorafw.tasks.policy import Policy
from lorafw.version import GatewayVersion

_Key = tuple[AccountRegion, GatewayVersion]
_BY_AGE = attrgetter("sequence")


class Matcher:
    """An index of the definitions with AutoCreateTasks. Not thread-safe: callers must hold a lock.

    Args:
        policy: The decisions about matching: ``comparison``, ``absent_field`` and ``several_matches``.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._by_version: dict[_Key, dict[str, Definition]] = {}
        """Definitions with the same key, by id, oldest first."""

    def add(self, definition: Definition) -> None:
        """Add a definition."""
        if not self._is_indexed(definition):
            return
        group = self._by_version.setdefault(self._key(definition), {})
        is_newest = not group or _newest(group).sequence < definition.sequence
        group[definition.id] = definition
        if not is_newest:  # an older definition was changed
            by_age = sorted(group.values(), key=_BY_AGE)
            self._by_version[self._key(definition)] = {each.id: each for each in by_age}

    def remove(self, definition: Definition) -> None:
        """Remove a definition. Does nothing if it is not in the index."""
        key = self._key(definition)
        group = self._by_version.get(key, {})
        group.pop(definition.id, None)
        if not group:
            self._by_version.pop(key, None)

    def find_best(self, owner: AccountRegion, presented: GatewayVersion) -> Definition | None:
        """Return the definition that wins: the oldest or the newest match, by the policy ``several_matches``.

        Args:
            owner: Account and Region of the gateway.
            presented: The version that the gateway presents.

        Returns:
            The definition. None if none matches.
        """
        groups = self._matching_groups(owner, presented)
        if self._policy.several_matches == "newest":
            return max(map(_newest, groups), key=_BY_AGE, default=None)
        return min(map(_oldest, groups), key=_BY_AGE, default=None)

    def find_all(self, owner: AccountRegion, presented: GatewayVersion) -> list[Definition]:
        """Return all definitions that match, oldest first.

        Args:
            owner: Account and Region of the gateway.
            presented: The version that the gateway presents.
        """
        matches: list[Definition] = []
        for group in self._matching_groups(owner, presented):
            matches.extend(group.values())
        return sorted(matches, key=_BY_AGE)

    def _matching_groups(self, owner: AccountRegion, presented: GatewayVersion) -> Iterator[dict[str, Definition]]:
        """Iterate over the groups of definitions whose key the presented version satisfies."""
        for version in self._candidate_versions(normalize_version(presented, self._policy)):
            group = self._by_version.get((owner, version))
            if group:
                yield group

    def _candidate_versions(self, presented: GatewayVersion) -> Iterator[GatewayVersion]:
        """Iterate over the CurrentVersions that match a presented version."""
        if self._policy.absent_field == "wildcard":
            yield from _wildcard_versions(presented)
        elif presented.is_complete:
            yield presented

    def _is_indexed(self, definition: Definition) -> bool:
        """Return True if the definition can match a gateway."""
        if not definition.auto_create_tasks or definition.update is None:
            return False
        return definition.current_version.is_complete or self._policy.absent_field == "wildcard"

    def _key(self, definition: Definition) -> _Key:
        return definition.owner, normalize_version(definition.current_version, self._policy)


def _oldest(group: dict[str, Definition]) -> Definition:
    return next(iter(group.values()))


def _newest(group: dict[str, Definition]) -> Definition:
    return next(reversed(group.values()))


def _wildcard_versions(version: GatewayVersion) -> Iterator[GatewayVersion]:
    """Iterate over all versions that equal this one, or that leave out some of its fields."""
    choices = [(None,) if text is None else (text, None) for text in version.as_tuple()]
    for station, package, model in product(*choices):
        yield GatewayVersion(station, package, model)
