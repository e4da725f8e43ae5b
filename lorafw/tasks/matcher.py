"""Which definition does a gateway match? Looked up, not searched for.

Definitions that create tasks automatically are indexed by owner and version triple, so the cost of a look-up does not
grow with the number of definitions. With wildcards there are at most eight triples to look up: each field given or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from lorafw.tasks.evaluation import normalize_version
from lorafw.tasks.model import AccountRegion, Definition
from lorafw.tasks.policy import Policy
from lorafw.version import GatewayVersion

_Key = tuple[AccountRegion, GatewayVersion]


class Matcher:
    """An index of the definitions with AutoCreateTasks. Not thread-safe: its owner holds the lock."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._by_version: dict[_Key, dict[str, Definition]] = {}

    def add(self, definition: Definition) -> None:
        """Definitions come in the order of their age."""
        if self._is_indexed(definition):
            self._by_version.setdefault(self._key(definition), {})[definition.id] = definition

    def remove(self, definition: Definition) -> None:
        key = self._key(definition)
        group = self._by_version.get(key, {})
        group.pop(definition.id, None)
        if not group:
            self._by_version.pop(key, None)

    def find(self, owner: AccountRegion, presented: GatewayVersion) -> Definition | None:
        """The definition that wins, or None."""
        newest = self._policy.several_matches == "newest"
        ends = (next(reversed(g.values()) if newest else iter(g.values())) for g in self._groups(owner, presented))
        choose = max if newest else min
        return choose(ends, key=lambda definition: definition.sequence, default=None)

    def find_all(self, owner: AccountRegion, presented: GatewayVersion) -> list[Definition]:
        """All that match, oldest first."""
        matches = (definition for group in self._groups(owner, presented) for definition in group.values())
        return sorted(matches, key=lambda definition: definition.sequence)

    def _groups(self, owner: AccountRegion, presented: GatewayVersion) -> Iterator[dict[str, Definition]]:
        shown = normalize_version(presented, self._policy)
        if self._policy.absent_field == "strict":
            triples = iter((shown,)) if shown.is_complete else iter(())
        else:
            triples = _wildcard_keys(shown)
        for triple in triples:
            if group := self._by_version.get((owner, triple)):
                yield group

    def _is_indexed(self, definition: Definition) -> bool:
        if not definition.auto_create_tasks or definition.update is None:
            return False
        return definition.current_version.is_complete or self._policy.absent_field == "wildcard"

    def _key(self, definition: Definition) -> _Key:
        return definition.owner, normalize_version(definition.current_version, self._policy)


def _wildcard_keys(version: GatewayVersion) -> Iterator[GatewayVersion]:
    """Each triple that this version satisfies; a field that was not presented satisfies only one left out."""
    choices = [(None,) if text is None else (text, None) for text in version.as_tuple()]
    for station, package, model in product(*choices):
        yield GatewayVersion(station, package, model)
