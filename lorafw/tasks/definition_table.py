"""The table of all task definitions."""

from __future__ import annotations

from collections.abc import Iterator

from lorafw.errors import NotFound
from lorafw.tasks.matcher import Matcher
from lorafw.tasks.model import DEFINITION_RESOURCE, AccountRegion, Definition
from lorafw.tasks.policy import Policy
from lorafw.version import GatewayVersion


class DefinitionTable:
    """The task definitions of all accounts and Regions. Not thread-safe: callers must hold a lock.

    Iteration is in the order of creation. A definition that was changed keeps its place.

    Args:
        policy: The decisions about which versions match, and which definition wins.
    """

    def __init__(self, policy: Policy) -> None:
        self._definition_by_id: dict[str, Definition] = {}
        self._changed_ids: set[str] = set()
        """The definitions that were added, replaced or removed since the last call of ``take_changes``."""
        self._matcher = Matcher(policy)
        """Finds definitions by the version of a gateway. It knows the same definitions as the table."""

    def __iter__(self) -> Iterator[Definition]:
        return iter(self._definition_by_id.values())

    def add(self, definition: Definition) -> None:
        """Add a definition."""
        self._changed_ids.add(definition.id)
        self._definition_by_id[definition.id] = definition
        self._matcher.add(definition)

    def replace(self, definition: Definition) -> None:
        """Replace the definition that has the same id."""
        self._matcher.remove(self._definition_by_id[definition.id])
        self.add(definition)

    def remove(self, definition: Definition) -> None:
        """Remove a definition."""
        self._changed_ids.add(definition.id)
        self._matcher.remove(definition)
        del self._definition_by_id[definition.id]

    def get(self, owner: AccountRegion, definition_id: str) -> Definition:
        """Return the definition with this id.

        Raises:
            NotFound: There is no such definition in this account and Region.
        """
        definition = self._definition_by_id.get(definition_id)
        if definition is None or definition.owner != owner:
            raise NotFound(DEFINITION_RESOURCE, definition_id)
        return definition

    def of_owner(self, owner: AccountRegion) -> list[Definition]:
        """Return the definitions of an account in a Region, oldest first."""
        return [definition for definition in self if definition.owner == owner]

    def find_best_match(self, owner: AccountRegion, presented: GatewayVersion) -> Definition | None:
        """Return the definition of an automatic task for a gateway that presents a version. None if none matches."""
        return self._matcher.find_best(owner, presented)

    def find_matches(self, owner: AccountRegion, presented: GatewayVersion) -> list[Definition]:
        """Return all definitions that match a presented version, oldest first."""
        return self._matcher.find_all(owner, presented)

    def find_matches_elsewhere(self, owner: AccountRegion, presented: GatewayVersion) -> list[Definition]:
        """Return the definitions in the other Regions of an account that match a presented version, by Region."""
        owners = {definition.owner for definition in self if definition.owner.account == owner.account}
        matches: list[Definition] = []
        for other in sorted(owners - {owner}):
            matches += self.find_matches(other, presented)
        return matches

    def take_changes(self) -> dict[str, Definition | None]:
        """Return what has changed since the last call of this method, by id. None stands for a removed definition."""
        changes = {changed_id: self._definition_by_id.get(changed_id) for changed_id in self._changed_ids}
        self._changed_ids.clear()
        return changes
