"""The event configurations of an account in a Region: which MQTT topics AWS would publish events to.

lorafw stores and returns them. It publishes nothing, because it has no MQTT broker.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final

from lorafw.errors import InvalidValue, NotFound
from lorafw.iotwireless.gateway_finder import find_gateway
from lorafw.iotwireless.operations import AccountOperations, Members
from lorafw.iotwireless.pagination import list_members, paginate
from lorafw.tasks.changes import ApiRecord
from lorafw.tasks.model import AccountRegion, Gateway

BY_TYPE: Final = "event-topics"
"""Kind of a saved value: the topics of all resource types. It has no key."""
BY_GATEWAY: Final = "gateway-event-topics"
"""Kind of a saved value: the topics of one gateway, by its id."""

_ENABLED: Final = "Enabled"
_DISABLED: Final = "Disabled"

_DEVICE_TOPIC: Final = {"WirelessDeviceEventTopic": _DISABLED}
_DEFAULT_TYPE_TOPICS: Final[Mapping[str, Any]] = {
    "DeviceRegistrationState": {"Sidewalk": _DEVICE_TOPIC},
    "Proximity": {"Sidewalk": _DEVICE_TOPIC},
    "Join": {"LoRaWAN": _DEVICE_TOPIC},
    "ConnectionStatus": {"LoRaWAN": {"WirelessGatewayEventTopic": _DISABLED}},
    "MessageDeliveryStatus": {"Sidewalk": _DEVICE_TOPIC},
}
"""The topics of all resource types until one is enabled (``event_topics_default`` in the policy)."""

_DEFAULT_GATEWAY_TOPICS: Final[Mapping[str, Any]] = {
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


class EventConfigurations(AccountOperations):
    """The operations about event configurations. Thread-safe.

    An event configuration has the topics to which AWS would publish each event of a resource. A topic is "Enabled" or
    "Disabled". At first all topics are disabled.
    """

    def __init__(self, owner: AccountRegion) -> None:
        super().__init__(owner)
        self._type_topics: Members = dict(_DEFAULT_TYPE_TOPICS)
        """The topics for all resources of a type, by event. The names of topics contain the type."""
        self._gateway_topics: dict[str, Members] = {}
        """The topics of single gateways, by the id of the gateway. A gateway that was never changed is not in it."""
        self._lock = threading.Lock()
        """Held while topics are changed."""

    def get_by_resource_types(self) -> Members:
        """Return the topics of all resource types."""
        return self._type_topics

    def update_by_resource_types(self, changes: Mapping[str, Any]) -> None:
        """Enable or disable topics of resource types. A topic that ``changes`` leaves out stays as it is."""
        with self._lock:
            self._type_topics = _apply_changes(self._type_topics, changes)
            self.save_value(BY_TYPE, "", self._type_topics)

    def get(self, identifier: str, identifier_type: str) -> Members:
        """Return the topics of one gateway.

        Raises:
            NotFound: There is no such gateway. lorafw has no other resources with events.
        """
        gateway = self._find_gateway(identifier, identifier_type)
        return self._topics_of_gateway(gateway.id)

    def update(self, identifier: str, identifier_type: str, changes: Mapping[str, Any]) -> None:
        """Enable or disable topics of one gateway. A topic that ``changes`` leaves out stays as it is.

        Args:
            identifier: Identifier of the gateway.
            identifier_type: Which identifier it is: ``WirelessGatewayId`` or ``GatewayEui``.
            changes: The new values of topics, by event. None if an event is left out.

        Raises:
            NotFound: There is no such gateway.
            InvalidValue: A gateway has no such event.
        """
        gateway = self._find_gateway(identifier, identifier_type)
        _check_gateway_events(changes)
        with self._lock:
            topics = _apply_changes(self._topics_of_gateway(gateway.id), changes)
            self._gateway_topics[gateway.id] = topics
            self.save_value(BY_GATEWAY, gateway.id, topics)

    def list_page(self, resource_type: str, max_results: int | None, next_token: str | None) -> Members:
        """Return a page of the resources that have an enabled topic, in the order of their registration.

        Args:
            resource_type: The type of the resources. Only gateways can have an enabled topic here.
            max_results: Maximum number of resources. None for the longest page.
            next_token: The token of the previous page. None for the first page.
        """
        gateways: list[Gateway] = []
        if resource_type == "WirelessGateway":
            gateways = self._gateways_with_enabled_topic()
        page = paginate(gateways, self.arns.gateway_prefix, max_results, next_token)
        listed = [self._describe_listed(gateway.id) for gateway in page.items]
        return list_members("EventConfigurationsList", listed, page.next_token)

    def _describe_listed(self, gateway_id: str) -> Members:
        """Return the event configuration of a gateway as a list shows it."""
        return {
            "Identifier": gateway_id,
            "IdentifierType": "WirelessGatewayId",
            "Events": self._topics_of_gateway(gateway_id),
        }

    def forget_gateway(self, gateway_id: str) -> None:
        """Delete the topics of a gateway that is deleted, if it has any."""
        with self._lock:
            if gateway_id in self._gateway_topics:
                del self._gateway_topics[gateway_id]
                self.delete_saved_value(BY_GATEWAY, gateway_id)

    def restore(self, record: ApiRecord, value: Members) -> None:
        """Take over a value that an earlier process has saved: of the kind BY_TYPE or BY_GATEWAY."""
        if record.kind == BY_TYPE:
            self._type_topics = value
        else:
            self._gateway_topics[record.key] = value

    def _find_gateway(self, identifier: str, identifier_type: str) -> Gateway:
        """Return the gateway with an identifier. Raises NotFound if there is none."""
        if identifier_type not in _GATEWAY_IDENTIFIERS:
            raise NotFound(_RESOURCE_TYPES[identifier_type], identifier)
        return find_gateway(self.owner, identifier, identifier_type)

    def _topics_of_gateway(self, gateway_id: str) -> Members:
        """Return the topics of a gateway, by event."""
        return self._gateway_topics.get(gateway_id) or dict(_DEFAULT_GATEWAY_TOPICS)

    def _gateways_with_enabled_topic(self) -> list[Gateway]:
        """Return the gateways that have an enabled topic, in the order of their registration."""
        gateways = self.service.gateways(self.owner)
        return [gateway for gateway in gateways if _has_enabled_topic(self._topics_of_gateway(gateway.id))]


def _has_enabled_topic(topics: Members) -> bool:
    """Return True if one of the topics of a gateway is enabled."""
    connection_status = topics["ConnectionStatus"]
    eui_topic = connection_status["LoRaWAN"]["GatewayEuiEventTopic"]
    id_topic = connection_status["WirelessGatewayIdEventTopic"]
    return _ENABLED in (eui_topic, id_topic)


def _check_gateway_events(changes: Mapping[str, Any]) -> None:
    """Raise InvalidValue if there are topics of an event that a gateway does not have."""
    for event, topics in changes.items():
        if topics is not None and event not in _DEFAULT_GATEWAY_TOPICS:
            reason = f"a gateway has no event {event}; it has {', '.join(_DEFAULT_GATEWAY_TOPICS)}"
            raise InvalidValue(event, topics, reason)


def _apply_changes(topics: Members, changes: Mapping[str, Any]) -> Members:
    """Return a copy of topics with the values of ``changes``, at all levels. None changes nothing."""
    changed = dict(topics)
    for name, value in changes.items():
        if isinstance(value, Mapping):
            changed[name] = _apply_changes(changed[name], value)
        elif value is not None:
            changed[name] = value
    return changed
