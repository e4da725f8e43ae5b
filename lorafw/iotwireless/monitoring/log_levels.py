"""The log levels of an account in a Region.

A log level decides which lines about a gateway are written to CloudWatch Logs. It can be set for one gateway, for an
event of all gateways, for all gateways, and for everything. AWS's list of options has these levels by resource type.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from lorafw.errors import InvalidValue, NotFound
from lorafw.iotwireless.operations import AccountOperations, Members
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


class LogLevelOptions(AccountOperations):
    """The log levels of all gateways of an account in a Region. Thread-safe.

    AWS calls these levels log options by resource type: a default level, a level for all gateways, and a level for each
    event of gateways.
    """

    def __init__(self, owner: AccountRegion) -> None:
        super().__init__(owner)
        self._options: Members = {"DefaultLogLevel": str(DEFAULT_LEVEL)}
        """The members of GetLogLevelsByResourceTypes."""
        self._level_by_event = event_levels(self._options)
        """The levels that follow from the options."""
        self._lock = threading.Lock()
        """Held while the options are changed."""

    def level_of(self, event: GatewayEvent) -> LogLevel:
        """Return the level of an event, for gateways that have no level of their own."""
        return self._level_by_event[event]

    def get(self) -> Members:
        """Return the default level and the options that were set."""
        return dict(self._options)

    def update(self, changes: Members) -> None:
        """Change the options that are given. An empty list removes the options of its resource type.

        Raises:
            InvalidValue: A list names a type or an event twice.
        """
        check_options(changes)
        with self._lock:
            self.restore(_apply_changes(self._options, changes))
            self.save_value(OPTIONS, "", self._options)

    def restore(self, options: Members) -> None:
        """Replace all options, and the levels that follow from them. They are not saved."""
        self._options = options
        self._level_by_event = event_levels(options)


class GatewayLogLevels(AccountOperations):
    """The log levels of single gateways, in one account and Region. Thread-safe.

    The level of a single gateway takes precedence over the levels of all gateways (see ``LogLevelOptions``).
    """

    def __init__(self, owner: AccountRegion) -> None:
        super().__init__(owner)
        self._level_by_gateway: dict[str, LogLevel] = {}
        """The levels of gateways that have one of their own, by the id of the gateway."""
        self._lock = threading.Lock()
        """Held while levels are changed."""

    def find(self, gateway_id: str) -> LogLevel | None:
        """Return the level of a gateway. None if it has no level of its own."""
        return self._level_by_gateway.get(gateway_id)

    def check_exists(self, resource_type: str, resource_id: str) -> None:
        """Check that there is a gateway that can have a level.

        Raises:
            NotFound: There is no such gateway. lorafw has no other resources with log levels.
            InvalidValue: AWS has no such resource type.
        """
        if resource_type not in _RESOURCE_TYPES:
            reason = f"{resource_type!r} has no log level; these have: {', '.join(_RESOURCE_TYPES)}"
            raise InvalidValue("ResourceType", resource_type, reason)
        if resource_type != "WirelessGateway":
            raise NotFound(resource_type, resource_id)
        self.service.gateway(self.owner, resource_id)

    def put(self, gateway_id: str, level: LogLevel) -> None:
        """Set the level of a gateway. Call ``check_exists`` first.

        Raises:
            InvalidValue: Too many gateways have a level of their own.
        """
        with self._lock:
            is_new = gateway_id not in self._level_by_gateway
            if is_new and len(self._level_by_gateway) >= MAX_OVERRIDES:
                reason = f"{MAX_OVERRIDES} resources have a log level of their own already; reset one of them first"
                raise InvalidValue("ResourceIdentifier", gateway_id, reason)
            self._level_by_gateway[gateway_id] = level
            self.save_value(OVERRIDE, gateway_id, str(level))

    def remove(self, gateway_id: str) -> None:
        """Remove the level of a gateway, if it has one."""
        with self._lock:
            if gateway_id in self._level_by_gateway:
                del self._level_by_gateway[gateway_id]
                self.delete_saved_value(OVERRIDE, gateway_id)

    def remove_all(self) -> None:
        """Remove the levels of all single gateways. The levels of all gateways stay (documented)."""
        for gateway_id in list(self._level_by_gateway):
            self.remove(gateway_id)

    def restore(self, gateway_id: str, level: str) -> None:
        """Take over a level that an earlier process has saved."""
        self._level_by_gateway[gateway_id] = LogLevel(level)


def describe_level(level: LogLevel | None) -> Members:
    """Return the answer of GetResourceLogLevel. It has no member if the resource has no level (documented)."""
    if level is None:
        return {}
    return {"LogLevel": str(level)}


def event_levels(options: Members) -> dict[GatewayEvent, LogLevel]:
    """Return the level of each event of gateways that have no level of their own.

    Args:
        options: The members of GetLogLevelsByResourceTypes. The level of an event takes precedence over the level of
            all gateways, and that one over the default level.
    """
    default_level = LogLevel(options["DefaultLogLevel"])
    levels = dict.fromkeys(GatewayEvent, default_level)
    for gateway_option in options.get(_GATEWAY_OPTIONS, ()):
        gateway_level = LogLevel(gateway_option["LogLevel"])
        levels = dict.fromkeys(GatewayEvent, gateway_level)
        for event_option in gateway_option.get("Events") or ():
            event = GatewayEvent(event_option["Event"])
            levels[event] = LogLevel(event_option["LogLevel"])
    return levels


def check_options(options: Members) -> None:
    """Check that each list of options has only one level for each type and each event.

    Raises:
        InvalidValue: A list names a type or an event twice.
    """
    for list_name in _OPTION_LISTS:
        type_options = options.get(list_name) or ()
        _check_named_once(f"{list_name}[].Type", [option["Type"] for option in type_options])
        for option in type_options:
            event_options = option.get("Events") or ()
            _check_named_once(f"{list_name}[].Events[].Event", [event["Event"] for event in event_options])


def _apply_changes(options: Members, changes: Mapping[str, Any]) -> Members:
    """Return the options after a change. None changes nothing. An empty list removes the options of its type."""
    changed = dict(options)
    for name, value in changes.items():
        if value == []:
            changed.pop(name, None)
        elif value is not None:
            changed[name] = value
    return changed


def _check_named_once(field_name: str, names: Iterable[str]) -> None:
    """Raise InvalidValue if a name is there twice, because it would be unclear which level counts."""
    seen = set()
    for name in names:
        if name in seen:
            raise InvalidValue(field_name, name, f"{name} is listed twice; give it one log level")
        seen.add(name)
