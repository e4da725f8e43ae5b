"""The registered gateways and task definitions.

This is the part of the update service that does not depend on time. Every public method holds the lock from its first
line to its last. If it raises an error, nothing has changed. When the lock is released, the changes are saved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Final

from lorafw.errors import Conflict, InvalidValue, NotFound
from lorafw.eui import GatewayEui
from lorafw.tasks.changes import PendingChanges, SavingLock
from lorafw.tasks.gateway_state import GatewayState
from lorafw.tasks.matcher import Matcher
from lorafw.tasks.model import AccountRegion, Definition, Gateway, UpdateSpec
from lorafw.tasks.policy import Policy
from lorafw.version import GatewayVersion

GATEWAY: Final = "WirelessGateway"
DEFINITION: Final = "WirelessGatewayTaskDefinition"
TASK: Final = "WirelessGatewayTask"


@dataclass(slots=True)
class RegistryRecords:
    """All registered gateways and definitions, in memory."""

    gateways: dict[GatewayEui, GatewayState] = field(default_factory=dict)
    """The states of the gateways by EUI, in the order of their registration."""
    eui_by_id: dict[str, GatewayEui] = field(default_factory=dict)
    """The EUIs of the gateways by the ids that AWS's API uses."""
    definitions: dict[str, Definition] = field(default_factory=dict)
    """Definitions by id, oldest first."""


class Registry:
    """The gateways and definitions of all accounts and Regions. Thread-safe.

    Args:
        policy: The decisions about behaviour that AWS does not document.
        new_id: Returns a new id for a gateway or a definition.
    """

    def __init__(self, *, policy: Policy, new_id: Callable[[], str]) -> None:
        self.policy = policy
        self._new_id = new_id
        self._lock = SavingLock(self._save_changes)
        self._pending_changes = PendingChanges()
        """What the current call has changed so far. It is saved when the call releases the lock."""
        self._sequence = count(1)
        self._records = RegistryRecords()
        self._matcher = Matcher(policy)
        """Finds the definitions that match a version. It knows the same definitions as ``_records``."""

    # --- gateways ---

    def create_gateway(
        self, owner: AccountRegion, eui: GatewayEui, *, gateway_id: str | None = None, **attributes: Any
    ) -> Gateway:
        """Register a gateway.

        Args:
            owner: Account and Region of the gateway.
            eui: EUI of the gateway.
            gateway_id: Id of the gateway. None for a new id.
            **attributes: Other fields of Gateway.

        Returns:
            The new gateway.

        Raises:
            Conflict: The EUI or the id is already registered, in any account and Region.
        """
        with self._lock:
            existing = self._records.gateways.get(eui)
            if existing is not None:
                raise Conflict(
                    f"GatewayEui {eui.hex} is registered already; an EUI is unique over accounts and Regions",
                    GATEWAY,
                    existing.gateway.id,
                )
            if gateway_id in self._records.eui_by_id:
                raise Conflict(f"the id {gateway_id} is taken", GATEWAY, gateway_id)
            gateway = Gateway(gateway_id or self._new_id(), owner, eui, sequence=next(self._sequence), **attributes)
            self._records.gateways[eui] = GatewayState(gateway)
            self._records.eui_by_id[gateway.id] = eui
            self._pending_changes.gateway_ids.add(gateway.id)
            return gateway

    def gateway(self, owner: AccountRegion, gateway_id: str) -> Gateway:
        """Return the gateway with this id.

        Raises:
            NotFound: There is no such gateway in this account and Region.
        """
        with self._lock:
            return self._gateway_state(owner, gateway_id).gateway

    def gateways(self, owner: AccountRegion) -> list[Gateway]:
        """Return the gateways of an account in a Region, in the order of their registration."""
        with self._lock:
            return [state.gateway for state in self._records.gateways.values() if state.gateway.owner == owner]

    def find_gateway(self, eui: GatewayEui) -> Gateway | None:
        """Return the gateway with this EUI, in any account and Region. None if there is none."""
        with self._lock:
            state = self._records.gateways.get(eui)
            return None if state is None else state.gateway

    def update_gateway(self, owner: AccountRegion, gateway_id: str, **changes: Any) -> Gateway:
        """Change fields of a gateway: name, description, LoRaWAN settings, certificate or thing.

        Args:
            owner: Account and Region of the gateway.
            gateway_id: Id of the gateway.
            **changes: The new values of fields of Gateway.

        Returns:
            The changed gateway.

        Raises:
            NotFound: There is no such gateway in this account and Region.
        """
        with self._lock:
            state = self._gateway_state(owner, gateway_id)
            state.gateway = replace(state.gateway, **changes)
            return state.gateway

    def delete_gateway(self, owner: AccountRegion, gateway_id: str) -> None:
        """Delete a gateway and its task.

        Raises:
            NotFound: There is no such gateway in this account and Region.
        """
        with self._lock:
            state = self._gateway_state(owner, gateway_id)
            self._on_gateway_deleted(state)
            del self._records.gateways[state.gateway.eui]
            del self._records.eui_by_id[gateway_id]

    def associated_certificates(self) -> list[tuple[AccountRegion, str]]:
        """Return the certificates that are associated with gateways: account and Region, and the id."""
        with self._lock:
            gateways = [state.gateway for state in self._records.gateways.values()]
            return [(item.owner, item.certificate_id) for item in gateways if item.certificate_id is not None]

    def presented_version(self, owner: AccountRegion, gateway_id: str) -> GatewayVersion | None:
        """Return the version that a gateway presented in its last request. None before the first.

        Raises:
            NotFound: There is no such gateway in this account and Region.
        """
        with self._lock:
            request = self._gateway_state(owner, gateway_id).request
            return request.version if request else None

    def last_seen_ms(self, owner: AccountRegion, gateway_id: str) -> int | None:
        """Return the time of the last request, in milliseconds since 1970 UTC.

        Returns:
            None before the first request, or if the policy ``last_uplink`` is "never".

        Raises:
            NotFound: There is no such gateway in this account and Region.
        """
        with self._lock:
            last_request_at = self._gateway_state(owner, gateway_id).last_request_at
            if last_request_at is None or self.policy.last_uplink == "never":
                return None
            return last_request_at.utc_ms

    # --- definitions ---

    def create_definition(
        self,
        owner: AccountRegion,
        *,
        auto_create_tasks: bool,
        name: str | None = None,
        update: UpdateSpec | None = None,
    ) -> Definition:
        """Create a task definition.

        Args:
            owner: Account and Region of the definition.
            auto_create_tasks: Create a task for each gateway that matches the definition at a request.
            name: Name of the definition.
            update: What to send. None if nothing is given; then the definition never sends anything.

        Returns:
            The new definition.

        Raises:
            InvalidValue: No UpdateDataSource is given, and the policy ``without_source`` is "reject".
        """
        with self._lock:
            definition = Definition(self._new_id(), owner, next(self._sequence), auto_create_tasks, name, update)
            self._check_source(definition)
            self._records.definitions[definition.id] = definition
            self._matcher.add(definition)
            self._pending_changes.definition_ids.add(definition.id)
            return definition

    def update_definition(self, owner: AccountRegion, definition_id: str, **changes: Any) -> Definition:
        """Change a definition. It keeps its id and its age. Tasks keep the definition that they were created from.

        Args:
            owner: Account and Region of the definition.
            definition_id: Id of the definition.
            **changes: The new values of fields of Definition: auto_create_tasks, name or update.

        Returns:
            The changed definition.

        Raises:
            NotFound: There is no such definition in this account and Region.
            InvalidValue: No UpdateDataSource is given, and the policy ``without_source`` is "reject".
        """
        with self._lock:
            present = self.definition(owner, definition_id)
            changed = replace(present, **changes)
            self._check_source(changed)
            self._matcher.remove(present)
            self._matcher.add(changed)
            self._records.definitions[definition_id] = changed
            self._pending_changes.definition_ids.add(definition_id)
            return changed

    def definition(self, owner: AccountRegion, definition_id: str) -> Definition:
        """Return the definition with this id.

        Raises:
            NotFound: There is no such definition in this account and Region.
        """
        with self._lock:
            definition = self._records.definitions.get(definition_id)
            if definition is None or definition.owner != owner:
                raise NotFound(DEFINITION, definition_id)
            return definition

    def definitions(self, owner: AccountRegion) -> list[Definition]:
        """Return the definitions of an account in a Region, oldest first."""
        with self._lock:
            return [definition for definition in self._records.definitions.values() if definition.owner == owner]

    def delete_definition(self, owner: AccountRegion, definition_id: str) -> None:
        """Delete a definition. Tasks that were created from it continue.

        Raises:
            NotFound: There is no such definition in this account and Region.
        """
        with self._lock:
            self._matcher.remove(self.definition(owner, definition_id))
            del self._records.definitions[definition_id]
            self._pending_changes.definition_ids.add(definition_id)

    # --- whole accounts ---

    def forget(self, owner: AccountRegion) -> None:
        """Delete all gateways, tasks and definitions of an account in a Region."""
        with self._lock:
            for gateway in self.gateways(owner):
                self.delete_gateway(owner, gateway.id)
            for definition in self.definitions(owner):
                self.delete_definition(owner, definition.id)

    def owners(self) -> set[AccountRegion]:
        """Return the accounts and Regions that have a gateway or a definition."""
        with self._lock:
            gateway_owners = {state.gateway.owner for state in self._records.gateways.values()}
            definition_owners = {definition.owner for definition in self._records.definitions.values()}
            return gateway_owners | definition_owners

    # --- helpers: the lock is held ---

    def _gateway_state(self, owner: AccountRegion, gateway_id: str) -> GatewayState:
        """Return the state of a gateway, which the caller may change.

        Raises NotFound if there is no such gateway in this account and Region.
        """
        eui = self._records.eui_by_id.get(gateway_id)
        if eui is None or self._records.gateways[eui].gateway.owner != owner:
            raise NotFound(GATEWAY, gateway_id)
        self._pending_changes.gateway_ids.add(gateway_id)
        return self._records.gateways[eui]

    def _check_source(self, definition: Definition) -> None:
        """Raise InvalidValue if a definition lacks UpdateDataSource, and the policy ``without_source`` is "reject"."""
        if self.policy.without_source == "reject" and not definition.has_data_source:
            raise InvalidValue("Update.UpdateDataSource", None, "is missing, so there would be nothing to offer")

    def _state_of_eui(self, eui: GatewayEui) -> GatewayState | None:
        """Return the state of the gateway with this EUI, which the caller may change. None if there is none."""
        state = self._records.gateways.get(eui)
        if state is not None:
            self._pending_changes.gateway_ids.add(state.gateway.id)
        return state

    def _save_changes(self) -> None:
        """Save what the call has changed. The lock calls this when it is released. Subclasses override this method."""

    def _on_gateway_deleted(self, state: GatewayState) -> None:
        """Do what is needed before a gateway is deleted. Subclasses override this method."""
