"""The log levels of an account in a Region.

A log level decides which lines about a gateway are written to CloudWatch Logs. It can be set for one gateway, for an
event of all gateways, for all gateways, and for everything. AWS's list of options has these levels by resource type.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from lorafw.errors import InvalidValue, NotFound
from lorafw.iotwireless.context import current_service
from lorafw.tasks.changes import ApiRecord
from lorafw.tasks.model import AccountRegion

OPTIONS: Final = "log-options"
"""Kind of a saved value: the default level and the options of all resource types. It has no key."""
OVERRIDE: Final = "log-level"
"""Kind of a saved value: the level of one gateway, by its id."""

MAX_OVERRIDES: Final = 200
"""How many gateways can have a level of their own (``log_level_overrides`` in the policy)."""

_GATEWAY_OPTIONS: Final = "WirelessGatewayLogOptions"
_OPTION_LISTS: Final = (_GATEWAY_OPTIONS, "WirelessDeviceLogOptions", "FuotaTaskLogOptions")
"""The members of the options that are lists, one for each resource type."""

_RESOURCE_TYPES: Final = ("WirelessGateway", "WirelessDevice", "FuotaTask")

Members = dict[str, Any]


class LogLevel(StrEnum):
    """Which lines are written."""

    INFO = "INFO"
    """Lines about errors and about requests that succeeded."""
    ERROR = "ERROR"
    DISABLED = "DISABLED"


DEFAULT_LEVEL: Final = LogLevel.ERROR
"""The level until another one is set (``log_level_default`` in the policy)."""


class GatewayEvent(StrEnum):
    """What a line about a gateway is about."""

    CUPS_REQUEST = "CUPS_Request"
    CERTIFICATE = "Certificate"


@dataclass(slots=True)
class _Levels:
    """All levels of an account in a Region. Mutable."""

    options: Members = field(default_factory=lambda: {"DefaultLogLevel": str(DEFAULT_LEVEL)})
    """The members of GetLogLevelsByResourceTypes."""
    by_event: dict[GatewayEvent, LogLevel] = field(default_factory=lambda: dict.fromkeys(GatewayEvent, DEFAULT_LEVEL))
    """The levels of gateways that have none of their own. They follow from the options."""
    by_gateway: dict[str, LogLevel] = field(default_factory=dict)
    """The levels of single gateways, by id."""


class LogLevels:
    """The operations about log levels, and the level that applies to an event of a gateway. Thread-safe."""

    def __init__(self, owner: AccountRegion) -> None:
        """Set the default level. ``owner`` is the account and Region."""
        self._owner = owner
        self._levels = _Levels()
        self._lock = threading.Lock()

    def level_of(self, gateway_id: str, event: GatewayEvent) -> LogLevel:
        """Return the level that applies to an event of a gateway."""
        return self._levels.by_gateway.get(gateway_id) or self._levels.by_event[event]

    def get_log_levels_by_resource_types(self) -> Members:
        """Return the default level and the options that were set."""
        return dict(self._levels.options)

    def update_log_levels_by_resource_types(self, parameters: Mapping[str, Any]) -> None:
        """Change those options that are given. An empty list removes the options of its resource type.

        Raises:
            InvalidValue: A list names a type or an event twice.
        """
        given = {name: value for name, value in parameters.items() if value is not None}
        for name in _OPTION_LISTS:
            _check_named_once(f"{name}[].Type", [option["Type"] for option in given.get(name, ())])
            for option in given.get(name, ()):
                _check_named_once(f"{name}[].Events[].Event", [event["Event"] for event in option.get("Events") or ()])
        with self._lock:
            options = {name: value for name, value in {**self._levels.options, **given}.items() if value != []}
            self._set_options(options)
            current_service().keep_api_record(ApiRecord(OPTIONS, self._owner, ""), options)

    def get_resource_log_level(self, resource_type: str, resource_id: str) -> Members:
        """Return the level of one gateway. It has no member if the gateway has no level of its own (documented).

        Raises:
            NotFound: There is no such gateway.
            InvalidValue: AWS has no such resource type.
        """
        self._check_resource(resource_type, resource_id)
        level = self._levels.by_gateway.get(resource_id)
        if level is None:
            return {}
        return {"LogLevel": str(level)}

    def put_resource_log_level(self, resource_type: str, resource_id: str, level: str) -> None:
        """Set the level of one gateway.

        Args:
            resource_type: Type of the resource: ``WirelessGateway``.
            resource_id: Id of the gateway.
            level: The level.

        Raises:
            NotFound: There is no such gateway.
            InvalidValue: AWS has no such resource type, or too many gateways have a level of their own.
        """
        self._check_resource(resource_type, resource_id)
        with self._lock:
            overrides = self._levels.by_gateway
            if resource_id not in overrides and len(overrides) >= MAX_OVERRIDES:
                reason = f"{MAX_OVERRIDES} resources have a log level of their own already; reset one of them first"
                raise InvalidValue("ResourceIdentifier", resource_id, reason)
            overrides[resource_id] = LogLevel(level)
            current_service().keep_api_record(self._override_record(resource_id), level)

    def reset_resource_log_level(self, resource_type: str, resource_id: str) -> None:
        """Remove the level of one gateway, if it has one.

        Raises:
            NotFound: There is no such gateway.
            InvalidValue: AWS has no such resource type.
        """
        self._check_resource(resource_type, resource_id)
        self.forget_gateway(resource_id)

    def reset_all_resource_log_levels(self) -> None:
        """Remove the levels of all single gateways. The options by resource type stay (documented)."""
        for gateway_id in list(self._levels.by_gateway):
            self.forget_gateway(gateway_id)

    def forget_gateway(self, gateway_id: str) -> None:
        """Remove the level of a gateway that is deleted, if it has one."""
        with self._lock:
            if self._levels.by_gateway.pop(gateway_id, None) is not None:
                current_service().keep_api_record(self._override_record(gateway_id), None)

    def restore(self, record: ApiRecord, value: Any) -> None:
        """Take over a value that was saved: of the kind OPTIONS or OVERRIDE."""
        if record.kind == OPTIONS:
            self._set_options(value)
        else:
            self._levels.by_gateway[record.key] = LogLevel(value)

    def _set_options(self, options: Members) -> None:
        """Replace the options, and determine the levels of events from them."""
        default = options["DefaultLogLevel"]
        levels = dict.fromkeys(GatewayEvent, LogLevel(default))
        for option in options.get(_GATEWAY_OPTIONS, ()):
            levels = dict.fromkeys(GatewayEvent, LogLevel(option["LogLevel"]))
            for event in option.get("Events") or ():
                levels[GatewayEvent(event["Event"])] = LogLevel(event["LogLevel"])
        self._levels.options = options
        self._levels.by_event = levels

    def _check_resource(self, resource_type: str, resource_id: str) -> None:
        """Raise an error if there is no such resource. lorafw has gateways only."""
        if resource_type not in _RESOURCE_TYPES:
            reason = f"{resource_type!r} has no log level; these have: {', '.join(_RESOURCE_TYPES)}"
            raise InvalidValue("ResourceType", resource_type, reason)
        if resource_type != "WirelessGateway":
            raise NotFound(resource_type, resource_id)
        current_service().gateway(self._owner, resource_id)

    def _override_record(self, gateway_id: str) -> ApiRecord:
        """Return the key under which the level of a gateway is saved."""
        return ApiRecord(OVERRIDE, self._owner, gateway_id)


def _check_named_once(field_name: str, names: Iterable[str]) -> None:
    """Raise InvalidValue if a name is there twice, because it would be unclear which level counts."""
    seen = set()
    for name in names:
        if name in seen:
            raise InvalidValue(field_name, name, f"{name} is listed twice; give it one log level")
        seen.add(name)
