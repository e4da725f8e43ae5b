"""Gateways and definitions: who is there, and what is to be done with them.

The part of the update service that speaks of no time. Every public method holds the lock from its first line to its
last, and after an error nothing has changed. Ids come from ``new_id``.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Final

from lorafw.clock import Moment
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.errors import Conflict, InvalidValue, LorafwError, NotFound
from lorafw.eui import GatewayEui
from lorafw.tasks.lifecycle import LogRow
from lorafw.tasks.matcher import Matcher
from lorafw.tasks.model import AccountRegion, Definition, Due, ExchangeRecord, Gateway, Task, UpdateSpec
from lorafw.tasks.policy import Policy
from lorafw.version import GatewayVersion

GATEWAY: Final = "WirelessGateway"
DEFINITION: Final = "WirelessGatewayTaskDefinition"
TASK: Final = "WirelessGatewayTask"

RECENT_ROWS: Final = 16
"""Rows of the task log that are kept beside a gateway."""

RECENT_EXCHANGES: Final = 3


@dataclass(slots=True)
class GatewayState:
    """What is remembered of one gateway from request to request. ``in_flight``: an update is on its way to it."""

    gateway: Gateway
    request: UpdateInfoRequest | None = None
    seen: Moment | None = None
    task: Task | None = None
    status_since: Moment | None = None
    in_flight: Due | None = None
    problem: LorafwError | None = None
    recent_log: deque[LogRow] = field(default_factory=lambda: deque(maxlen=RECENT_ROWS))
    exchanges: deque[ExchangeRecord] = field(default_factory=lambda: deque(maxlen=RECENT_EXCHANGES))


@dataclass(slots=True)
class Store:
    """All that is registered."""

    stations: dict[GatewayEui, GatewayState] = field(default_factory=dict)
    eui_by_id: dict[str, GatewayEui] = field(default_factory=dict)
    definitions: dict[str, Definition] = field(default_factory=dict)


class Registry:
    """Gateways and definitions of all accounts and Regions. Thread-safe."""

    def __init__(self, *, policy: Policy, new_id: Callable[[], str]) -> None:
        self.policy = policy
        self._new_id = new_id
        self._lock = threading.RLock()
        self._sequence = count(1)
        self._store = Store()
        self._matcher = Matcher(policy)

    # --- gateways ---

    def create_gateway(
        self, owner: AccountRegion, eui: GatewayEui, *, gateway_id: str | None = None, **attributes: Any
    ) -> Gateway:
        """Register a gateway. Raises Conflict where the EUI or the id is taken, in whatever account or Region."""
        with self._lock:
            if station := self._store.stations.get(eui):
                raise Conflict(
                    f"GatewayEui {eui.hex} is registered already; an EUI is unique over accounts and Regions",
                    GATEWAY,
                    station.gateway.id,
                )
            if gateway_id in self._store.eui_by_id:
                raise Conflict(f"the id {gateway_id} is taken", GATEWAY, gateway_id)
            gateway = Gateway(gateway_id or self._new_id(), owner, eui, sequence=next(self._sequence), **attributes)
            self._store.stations[eui] = GatewayState(gateway)
            self._store.eui_by_id[gateway.id] = eui
            return gateway

    def gateway(self, owner: AccountRegion, gateway_id: str) -> Gateway:
        with self._lock:
            return self._station(owner, gateway_id).gateway

    def gateways(self, owner: AccountRegion) -> list[Gateway]:
        """In the order of their registration."""
        with self._lock:
            return [s.gateway for s in self._store.stations.values() if s.gateway.owner == owner]

    def find_gateway(self, eui: GatewayEui) -> Gateway | None:
        """The gateway with this EUI, in whatever account or Region."""
        with self._lock:
            station = self._store.stations.get(eui)
            return station.gateway if station else None

    def update_gateway(self, owner: AccountRegion, gateway_id: str, **changes: Any) -> Gateway:
        """Change name, description, LoRaWAN settings, certificate or thing."""
        with self._lock:
            station = self._station(owner, gateway_id)
            station.gateway = replace(station.gateway, **changes)
            return station.gateway

    def delete_gateway(self, owner: AccountRegion, gateway_id: str) -> None:
        """Forget a gateway and its task."""
        with self._lock:
            station = self._station(owner, gateway_id)
            self._on_gateway_deleted(station)
            del self._store.stations[station.gateway.eui]
            del self._store.eui_by_id[gateway_id]

    def presented_version(self, owner: AccountRegion, gateway_id: str) -> GatewayVersion | None:
        """The three fields of the last request; None before the first."""
        with self._lock:
            request = self._station(owner, gateway_id).request
            return request.version if request else None

    def last_seen_ms(self, owner: AccountRegion, gateway_id: str) -> int | None:
        """The time of the last request; None before the first."""
        with self._lock:
            seen = self._station(owner, gateway_id).seen
            if seen is None or self.policy.last_uplink == "never":
                return None
            return seen.utc_ms

    # --- definitions ---

    def create_definition(
        self,
        owner: AccountRegion,
        *,
        auto_create_tasks: bool,
        name: str | None = None,
        update: UpdateSpec | None = None,
    ) -> Definition:
        with self._lock:
            definition = Definition(self._new_id(), owner, next(self._sequence), auto_create_tasks, name, update)
            if self.policy.without_source == "reject" and not definition.has_data_source:
                raise InvalidValue("Update.UpdateDataSource", None, "is missing, so there would be nothing to offer")
            self._store.definitions[definition.id] = definition
            self._matcher.add(definition)
            return definition

    def definition(self, owner: AccountRegion, definition_id: str) -> Definition:
        with self._lock:
            definition = self._store.definitions.get(definition_id)
            if definition is None or definition.owner != owner:
                raise NotFound(DEFINITION, definition_id)
            return definition

    def definitions(self, owner: AccountRegion) -> list[Definition]:
        """Oldest first."""
        with self._lock:
            return [d for d in self._store.definitions.values() if d.owner == owner]

    def delete_definition(self, owner: AccountRegion, definition_id: str) -> None:
        """Tasks that were made from it go on."""
        with self._lock:
            self._matcher.remove(self.definition(owner, definition_id))
            del self._store.definitions[definition_id]

    # --- the whole ---

    def forget(self, owner: AccountRegion) -> None:
        """Drop all that an account has in a Region."""
        with self._lock:
            for gateway in self.gateways(owner):
                self.delete_gateway(owner, gateway.id)
            for definition in self.definitions(owner):
                self.delete_definition(owner, definition.id)

    def owners(self) -> set[AccountRegion]:
        with self._lock:
            stations = self._store.stations.values()
            return {s.gateway.owner for s in stations} | {d.owner for d in self._store.definitions.values()}

    # --- inside, with the lock held ---

    def _station(self, owner: AccountRegion, gateway_id: str) -> GatewayState:
        eui = self._store.eui_by_id.get(gateway_id)
        station = self._store.stations[eui] if eui is not None else None
        if station is None or station.gateway.owner != owner:
            raise NotFound(GATEWAY, gateway_id)
        return station

    def _on_gateway_deleted(self, station: GatewayState) -> None:
        """A gateway is about to be forgotten."""
