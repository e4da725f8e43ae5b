"""The registered gateways and task definitions.

This is the part of the update service that does not depend on time. Every public method holds the lock from its first
line to its last. If it raises an error, nothing has changed. When the lock is released, the changes are saved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from typing import Any

from lorafw.clock import Clock
from lorafw.errors import InvalidValue
from lorafw.eui import GatewayEui
from lorafw.tasks.change_recorder import ChangeRecorder
from lorafw.tasks.changes import SavingLock
from lorafw.tasks.definition_table import DefinitionTable
from lorafw.tasks.gateway_state import GatewayState
from lorafw.tasks.gateway_table import GatewayTable
from lorafw.tasks.model import AccountRegion, Definition, Gateway, UpdateSpec
from lorafw.tasks.policy import Policy
from lorafw.tasks.task_log import TaskLog
from lorafw.version import GatewayVersion


class Registry:
    """The gateways and definitions of all accounts and Regions. Thread-safe.

    Args:
        clock: The clock of the service.
        policy: The decisions about behaviour that AWS does not document.
        new_id: Returns a new id for a gateway or a definition.
    """

    def __init__(self, *, clock: Clock, policy: Policy, new_id: Callable[[], str]) -> None:
        self.clock = clock
        self.policy = policy
        self._new_id = new_id
        self._sequence_numbers = count(1)
        """The numbers that order gateways and definitions by the time of their creation."""
        self._gateways = GatewayTable()
        self._definitions = DefinitionTable(policy)
        self._log = TaskLog()
        self._changes = ChangeRecorder(self._gateways, self._definitions, self._log)
        self._lock = SavingLock(self._save_changes)

    # --- gateways ---

    def create_gateway(
        self,
        owner: AccountRegion,
        eui: GatewayEui,
        *,
        gateway_id: str | None = None,
        name: str | None = None,
        description: str | None = None,
        lorawan: Mapping[str, Any] | None = None,
        certificate_id: str | None = None,
    ) -> Gateway:
        """Register a gateway.

        Args:
            owner: Account and Region of the gateway.
            eui: EUI of the gateway.
            gateway_id: Id of the gateway. None for a new id.
            name: A name for people.
            description: A text for people.
            lorawan: The members of AWS's LoRaWANGateway structure other than GatewayEui.
            certificate_id: Id of the associated certificate of AWS IoT.

        Returns:
            The new gateway.

        Raises:
            Conflict: The EUI or the id is already registered, in any account and Region.
        """
        with self._lock:
            self._gateways.check_is_new(eui, gateway_id)
            gateway = Gateway(
                id=gateway_id or self._new_id(),
                owner=owner,
                eui=eui,
                name=name,
                description=description,
                lorawan=lorawan or {},
                certificate_id=certificate_id,
                sequence=next(self._sequence_numbers),
            )
            self._gateways.add(GatewayState(gateway))
            self._changes.note_gateway(gateway.id)
            return gateway

    def gateway(self, owner: AccountRegion, gateway_id: str) -> Gateway:
        """Return the gateway with this id.

        Raises:
            NotFound: There is no such gateway in this account and Region.
        """
        with self._lock:
            return self._gateways.get(owner, gateway_id).gateway

    def gateways(self, owner: AccountRegion) -> list[Gateway]:
        """Return the gateways of an account in a Region, in the order of their registration."""
        with self._lock:
            return [state.gateway for state in self._gateways if state.gateway.owner == owner]

    def find_gateway(self, eui: GatewayEui) -> Gateway | None:
        """Return the gateway with this EUI, in any account and Region. None if there is none."""
        with self._lock:
            state = self._gateways.find_by_eui(eui)
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
            state = self._state_to_change(owner, gateway_id)
            state.gateway = replace(state.gateway, **changes)
            return state.gateway

    def associated_certificates(self) -> list[tuple[AccountRegion, str]]:
        """Return the certificates that are associated with gateways: account and Region, and the id."""
        with self._lock:
            gateways = [state.gateway for state in self._gateways]
            return [(each.owner, each.certificate_id) for each in gateways if each.certificate_id is not None]

    def presented_version(self, owner: AccountRegion, gateway_id: str) -> GatewayVersion | None:
        """Return the version that a gateway presented in its last request. None before the first.

        Raises:
            NotFound: There is no such gateway in this account and Region.
        """
        with self._lock:
            request = self._gateways.get(owner, gateway_id).request
            return None if request is None else request.version

    def last_seen_ms(self, owner: AccountRegion, gateway_id: str) -> int | None:
        """Return the time of the last request, in milliseconds since 1970 UTC.

        Returns:
            None before the first request, or if the policy ``last_uplink`` is "never".

        Raises:
            NotFound: There is no such gateway in this account and Region.
        """
        with self._lock:
            state = self._gateways.get(owner, gateway_id)
            if self.policy.last_uplink == "never":
                return None
            return state.last_seen_ms

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
            definition = Definition(
                id=self._new_id(),
                owner=owner,
                sequence=next(self._sequence_numbers),
                auto_create_tasks=auto_create_tasks,
                name=name,
                update=update,
            )
            _check_data_source(definition, self.policy)
            self._definitions.add(definition)
            self._changes.note_definition(definition.id)
            return definition

    def update_definition(
        self,
        owner: AccountRegion,
        definition_id: str,
        *,
        auto_create_tasks: bool,
        name: str | None,
        update: UpdateSpec | None,
    ) -> Definition:
        """Change a definition. It keeps its id and its age. Tasks keep the definition that they were created from.

        Args:
            owner: Account and Region of the definition.
            definition_id: Id of the definition.
            auto_create_tasks: Create a task for each gateway that matches the definition at a request.
            name: Name of the definition. None for no name.
            update: What to send. None if the definition is to send nothing.

        Returns:
            The changed definition.

        Raises:
            NotFound: There is no such definition in this account and Region.
            InvalidValue: No UpdateDataSource is given, and the policy ``without_source`` is "reject".
        """
        with self._lock:
            present = self._definitions.get(owner, definition_id)
            changed = replace(present, auto_create_tasks=auto_create_tasks, name=name, update=update)
            _check_data_source(changed, self.policy)
            self._definitions.replace(changed)
            self._changes.note_definition(definition_id)
            return changed

    def definition(self, owner: AccountRegion, definition_id: str) -> Definition:
        """Return the definition with this id.

        Raises:
            NotFound: There is no such definition in this account and Region.
        """
        with self._lock:
            return self._definitions.get(owner, definition_id)

    def definitions(self, owner: AccountRegion) -> list[Definition]:
        """Return the definitions of an account in a Region, oldest first."""
        with self._lock:
            return [definition for definition in self._definitions if definition.owner == owner]

    def delete_definition(self, owner: AccountRegion, definition_id: str) -> None:
        """Delete a definition. Tasks that were created from it continue.

        Raises:
            NotFound: There is no such definition in this account and Region.
        """
        with self._lock:
            definition = self._definitions.get(owner, definition_id)
            self._definitions.remove(definition)
            self._changes.note_definition(definition_id)

    def owners(self) -> set[AccountRegion]:
        """Return the accounts and Regions that have a gateway or a definition."""
        with self._lock:
            gateway_owners = {state.gateway.owner for state in self._gateways}
            definition_owners = {definition.owner for definition in self._definitions}
            return gateway_owners | definition_owners

    # --- helpers: the lock is held ---

    def _state_to_change(self, owner: AccountRegion, gateway_id: str) -> GatewayState:
        """Return the state of a gateway, and note that the current call may change it.

        Raises:
            NotFound: There is no such gateway in this account and Region.
        """
        state = self._gateways.get(owner, gateway_id)
        self._changes.note_gateway(gateway_id)
        return state

    def _save_changes(self) -> None:
        """Save what the current call has changed. The lock calls this just before it is released."""
        self._changes.save(self.clock)


def _check_data_source(definition: Definition, policy: Policy) -> None:
    """Raise InvalidValue if a definition lacks UpdateDataSource, and the policy ``without_source`` is "reject"."""
    if policy.without_source == "reject" and not definition.has_data_source:
        raise InvalidValue("Update.UpdateDataSource", None, "is missing, so there would be nothing to offer")
