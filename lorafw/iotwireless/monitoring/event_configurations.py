"""The event configurations of an account in a Region: which MQTT topics AWS would publish events to.

lorafw stores and returns them. It publishes nothing, because it has no MQTT broker.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from lorafw.errors import InvalidValue, NotFound
from lorafw.iotwireless.context import current_service
from lorafw.iotwireless.pagination import paginate
from lorafw.tasks.changes import ApiRecord
from lorafw.tasks.model import AccountRegion, Gateway

BY_TYPE: Final = "event-topics"
"""Kind of a saved value: the topics of all resource types. It has no key."""
BY_GATEWAY: Final = "gateway-event-topics"
"""Kind of a saved value: the topics of one gateway, by its id."""

_ENABLED: Final = "Enabled"
_DISABLED: Final = "Disabled"

_DEVICE_TOPIC: Final = {"WirelessDeviceEventTopic": _DISABLED}
_TOPICS_OF_TYPES: Final[Mapping[str, Any]] = {
    "DeviceRegistrationState": {"Sidewalk": _DEVICE_TOPIC},
    "Proximity": {"Sidewalk": _DEVICE_TOPIC},
    "Join": {"LoRaWAN": _DEVICE_TOPIC},
    "ConnectionStatus": {"LoRaWAN": {"WirelessGatewayEventTopic": _DISABLED}},
    "MessageDeliveryStatus": {"Sidewalk": _DEVICE_TOPIC},
}
"""The topics of all resource types until one is enabled (``event_topics_default`` in the policy)."""

_TOPICS_OF_GATEWAY: Final[Mapping[str, Any]] = {
    "ConnectionStatus": {"LoRaWAN": {"GatewayEuiEventTopic": _DISABLED}, "WirelessGatewayIdEventTopic": _DISABLED}
}
"""The topics of one gateway until one is enabled."""

_GATEWAY_IDENTIFIERS: Final = ("WirelessGatewayId", "GatewayEui")
_RESOURCE_TYPES: Final = {
    "DevEui": "WirelessDevice",
    "WirelessDeviceId": "WirelessDevice",
    "PartnerAccountId": "SidewalkAccount",
}
"""The resource types of the other identifiers."""

Members = dict[str, Any]
FindGateway = Callable[[str, str], Gateway]
"""Returns the gateway with an identifier of a type. Raises NotFound if there is none."""


class EventConfigurations:
    """The operations about event configurations. Thread-safe."""

    def __init__(self, owner: AccountRegion, list_id: str, find_gateway: FindGateway) -> None:
        """Disable all topics.

        Args:
            owner: The account and Region.
            list_id: Identifies the list of gateways in tokens of pages.
            find_gateway: Finds the gateways of the account in the Region.
        """
        self._owner = owner
        self._list_id = list_id
        self._find_gateway = find_gateway
        self._of_types: Members = dict(_TOPICS_OF_TYPES)
        self._by_gateway: dict[str, Members] = {}
        self._lock = threading.Lock()

    def get_event_configuration_by_resource_types(self) -> Members:
        """Return the topics of all resource types."""
        return self._of_types

    def update_event_configuration_by_resource_types(self, parameters: Mapping[str, Any]) -> None:
        """Enable or disable those topics of resource types that are given."""
        with self._lock:
            self._of_types = _merge(self._of_types, parameters)
            current_service().keep_api_record(ApiRecord(BY_TYPE, self._owner, ""), self._of_types)

    def get_resource_event_configuration(self, identifier: str, identifier_type: str) -> Members:
        """Return the topics of one gateway.

        Raises:
            NotFound: There is no such gateway. lorafw has no other resources with events.
        """
        return self._topics_of(self._find(identifier, identifier_type))

    def update_resource_event_configuration(
        self, identifier: str, identifier_type: str, events: Mapping[str, Any]
    ) -> None:
        """Enable or disable those topics of one gateway that are given.

        Args:
            identifier: Identifier of the gateway.
            identifier_type: Which identifier it is: ``WirelessGatewayId`` or ``GatewayEui``.
            events: The new values of topics, by event.

        Raises:
            NotFound: There is no such gateway.
            InvalidValue: A gateway has no such event.
        """
        gateway = self._find(identifier, identifier_type)
        given = {name: value for name, value in events.items() if value is not None}
        for name, value in given.items():
            if name not in _TOPICS_OF_GATEWAY:
                reason = f"a gateway has no event {name}; it has {', '.join(_TOPICS_OF_GATEWAY)}"
                raise InvalidValue(name, value, reason)
        with self._lock:
            topics = _merge(self._topics_of(gateway), given)
            self._by_gateway[gateway.id] = topics
            current_service().keep_api_record(self._gateway_record(gateway.id), topics)

    def list_event_configurations(self, resource_type: str, max_results: int | None, next_token: str | None) -> Members:
        """Return a page of the resources that have an enabled topic, in the order of their registration.

        Args:
            resource_type: The type of the resources. Only gateways can have an enabled topic here.
            max_results: Maximum number of resources. None for the longest page.
            next_token: The token of the previous page. None for the first page.
        """
        gateways = []
        if resource_type == "WirelessGateway":
            gateways = [item for item in current_service().gateways(self._owner) if self._has_enabled_topic(item)]
        page, token = paginate(gateways, self._list_id, max_results, next_token)
        items = [
            {"Identifier": item.id, "IdentifierType": "WirelessGatewayId", "Events": self._topics_of(item)}
            for item in page
        ]
        return {"EventConfigurationsList": items, **token}

    def forget_gateway(self, gateway_id: str) -> None:
        """Delete the topics of a gateway that is deleted, if it has any."""
        with self._lock:
            if self._by_gateway.pop(gateway_id, None) is not None:
                current_service().keep_api_record(self._gateway_record(gateway_id), None)

    def restore(self, record: ApiRecord, value: Members) -> None:
        """Take over a value that was saved: of the kind BY_TYPE or BY_GATEWAY."""
        if record.kind == BY_TYPE:
            self._of_types = value
        else:
            self._by_gateway[record.key] = value

    def _find(self, identifier: str, identifier_type: str) -> Gateway:
        """Return the gateway with an identifier. Raises NotFound if there is none."""
        if identifier_type not in _GATEWAY_IDENTIFIERS:
            raise NotFound(_RESOURCE_TYPES[identifier_type], identifier)
        return self._find_gateway(identifier, identifier_type)

    def _topics_of(self, gateway: Gateway) -> Members:
        """Return the topics of a gateway."""
        return self._by_gateway.get(gateway.id) or dict(_TOPICS_OF_GATEWAY)

    def _has_enabled_topic(self, gateway: Gateway) -> bool:
        """Return True if a topic of a gateway is enabled."""
        connection_status = self._topics_of(gateway)["ConnectionStatus"]
        by_eui, by_id = (
            connection_status["LoRaWAN"]["GatewayEuiEventTopic"],
            connection_status["WirelessGatewayIdEventTopic"],
        )
        return _ENABLED in (by_eui, by_id)

    def _gateway_record(self, gateway_id: str) -> ApiRecord:
        """Return the key under which the topics of a gateway are saved."""
        return ApiRecord(BY_GATEWAY, self._owner, gateway_id)


def _merge(topics: Members, changes: Mapping[str, Any]) -> Members:
    """Return a copy of topics with the values of ``changes``, at all levels. None changes nothing."""
    merged = dict(topics)
    for name, value in changes.items():
        if isinstance(value, Mapping):
            merged[name] = _merge(merged[name], value)
        elif value is not None:
            merged[name] = value
    return merged
