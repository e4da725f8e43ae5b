"""The table of all registered gateways."""

from __future__ import annotations

from collections.abc import Iterator

from lorafw.errors import Conflict, NotFound
from lorafw.eui import GatewayEui
from lorafw.tasks.gateway_state import GatewayState
from lorafw.tasks.model import GATEWAY_RESOURCE, AccountRegion


class GatewayTable:
    """The states of the gateways of all accounts and Regions. Not thread-safe: callers must hold a lock.

    A gateway is found by its EUI or by its id. An EUI is unique over all accounts and Regions. Iteration is in the
    order of registration. Call ``note_change`` when the state of a gateway changes, so that it is saved.
    """

    def __init__(self) -> None:
        self._state_by_eui: dict[GatewayEui, GatewayState] = {}
        self._state_by_id: dict[str, GatewayState] = {}
        self._changed_ids: set[str] = set()
        """The gateways that may have changed since the last call of ``take_changes``."""

    def __iter__(self) -> Iterator[GatewayState]:
        return iter(self._state_by_eui.values())

    def add(self, state: GatewayState) -> None:
        """Add a gateway. Check first with ``check_is_new`` that its EUI and its id are new."""
        self.note_change(state)
        self._state_by_eui[state.gateway.eui] = state
        self._state_by_id[state.gateway.id] = state

    def remove(self, state: GatewayState) -> None:
        """Remove a gateway."""
        self.note_change(state)
        del self._state_by_eui[state.gateway.eui]
        del self._state_by_id[state.gateway.id]

    def get(self, owner: AccountRegion, gateway_id: str) -> GatewayState:
        """Return the state of the gateway with this id.

        Raises:
            NotFound: There is no such gateway in this account and Region.
        """
        state = self._state_by_id.get(gateway_id)
        if state is None or state.gateway.owner != owner:
            raise NotFound(GATEWAY_RESOURCE, gateway_id)
        return state

    def find_by_eui(self, eui: GatewayEui) -> GatewayState | None:
        """Return the state of the gateway with this EUI, in any account and Region. None if there is none."""
        return self._state_by_eui.get(eui)

    def find_by_id(self, gateway_id: str) -> GatewayState | None:
        """Return the state of the gateway with this id, in any account and Region. None if there is none."""
        return self._state_by_id.get(gateway_id)

    def check_is_new(self, eui: GatewayEui, gateway_id: str | None) -> None:
        """Check that no gateway has this EUI or this id. The id is None if the gateway will get a new one.

        Raises:
            Conflict: A gateway has it, in any account and Region.
        """
        existing = self._state_by_eui.get(eui)
        if existing is not None:
            message = f"GatewayEui {eui.hex} is registered already; an EUI is unique over accounts and Regions"
            raise Conflict(message, GATEWAY_RESOURCE, existing.gateway.id)
        if gateway_id is not None and gateway_id in self._state_by_id:
            raise Conflict(f"the id {gateway_id} is taken", GATEWAY_RESOURCE, gateway_id)

    def note_change(self, state: GatewayState) -> None:
        """Note that a state has changed or is about to change."""
        self._changed_ids.add(state.gateway.id)

    def take_changes(self) -> dict[str, GatewayState | None]:
        """Return the changed states since the last call of this method, by id. None stands for a removed gateway."""
        changes = {changed_id: self._state_by_id.get(changed_id) for changed_id in self._changed_ids}
        self._changed_ids.clear()
        return changes
