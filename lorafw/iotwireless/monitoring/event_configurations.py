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


class ResourceTypeTopics(AccountOperations):
    """The topics for all resources of a type, in one account and Region. Thread-safe.

    A topic is a name under which AWS would publish events of a resource. It is "Enabled" or "Disabled". At first all
    topics are disabled.
    """

    def __init__(self, owner: AccountRegion) -> None:
        super().__init__(owner)
        self._topics: Members = dict(_DEFAULT_TYPE_TOPICS)
        """The topics by event. The names of topics contain the resource type."""
        self._lock = threading.Lock()
        """Held while topics are changed."""

    def get(self) -> Members:
        """Return the topics of all resource types."""
        return self._topics

    def update(self, changes: Mapping[str, Any]) -> None:
        """Enable or disable topics of resource types. A topic that ``changes`` leaves out stays as it is."""
        with self._lock:
            self._topics = _apply_changes(self._topics, changes)
            self.save_value(BY_TYPE, "", self._topics)

    def restore(self, topics: Members) -> None:
        """Take over topics that an earlier process has saved."""
        self._topics = topics


class GatewayTopics(AccountOperations):
    """The topics of single gateways, in one account and Region. Thread-safe.

    A topic is a name under which AWS would publish events of a gateway. It is "Enabled" or "Disabled". At first all
    topics are disabled.
    """

    def __init__(self, owner: AccountRegion) -> None:
        super().__init__(owner)
        self._topics_by_gateway: dict[str, Members] = {}
        """The topics by the id of the gateway. A gateway that was never changed is not in it."""
        self._lock = threading.Lock()
        """Held while topics are changed."""

    def get(self, gateway_id: str) -> Members:
        """Return the topics of a gateway, by event."""
        return self._topics_by_gateway.get(gateway_id) or dict(_DEFAULT_GATEWAY_TOPICS)

    def update(self, gateway_id: str, changes: Mapping[str, Any]) -> None:
        """Enable or disable topics of a gateway. A topic that ``changes`` leaves out stays as it is.

        Args:
            gateway_id: Id of the gateway.
            changes: The new values of topics, by event. None if an event is left out.

        Raises:
            InvalidValue: A gateway has no such event.
        """
        _check_gateway_events(changes)
        with self._lock:
            topics = _apply_changes(self.get(gateway_id), changes)
            self._topics_by_gateway[gateway_id] = topics
            self.save_value(BY_GATEWAY, gateway_id, topics)

    def remove(self, gateway_id: str) -> None:
        """Delete the topics of a gateway that is deleted, if it has any."""
        with self._lock:
            if gateway_id in self._topics_by_gateway:
                del self._topics_by_gateway[gateway_id]
                self.delete_saved_value(BY_GATEWAY, gateway_id)

    def restore(self, gateway_id: str, topics: Members) -> None:
        """Take over topics that an earlier process has saved."""
        self._topics_by_gateway[gateway_id] = topics


class EventConfigurationOperations(AccountOperations):
    """The operations about the event configurations of single gateways.

    An event configuration has the topics of a gateway, by event.

    Args:
        owner: The account and Region.
        topics: The topics of the gateways.
    """

    def __init__(self, owner: AccountRegion, topics: GatewayTopics) -> None:
        super().__init__(owner)
        self._topics = topics

    def get(self, identifier: str, identifier_type: str) -> Members:
        """Return the topics of one gateway.

        Raises:
            NotFound: There is no such gateway.
        """
        return self._topics.get(self._find_gateway(identifier, identifier_type).id)

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
        self._topics.update(self._find_gateway(identifier, identifier_type).id, changes)

    def list_page(self, resource_type: str, max_results: int | None, next_token: str | None) -> Members:
        """Return a page of the resources that have an enabled topic, in the order of their registration.

        Args:
            resource_type: The type of the resources. Only gateways can have an enabled topic here.
            max_results: Maximum number of resources. None for the longest page.
            next_token: The token of the previous page. None for the first page.
        """
        gateways: list[Gateway] = []
        if resource_type == "WirelessGateway":
            all_gateways = self.service.gateways(self.owner)
            gateways = [gateway for gateway in all_gateways if _has_enabled_topic(self._topics.get(gateway.id))]
        list_id = f"{self.arns.gateway_prefix}{resource_type}/events/"
        page = paginate(gateways, list_id, max_results, next_token)
        listed = [describe_configuration(gateway.id, self._topics.get(gateway.id)) for gateway in page.items]
        return list_members("EventConfigurationsList", listed, page.next_token)

    def _find_gateway(self, identifier: str, identifier_type: str) -> Gateway:
        """Return the gateway with an identifier. Raises NotFound if there is none. lorafw has no other resources."""
        if identifier_type not in _GATEWAY_IDENTIFIERS:
            raise NotFound(_RESOURCE_TYPES[identifier_type], identifier)
        return find_gateway(self.owner, identifier, identifier_type)


def describe_configuration(gateway_id: str, topics: Members) -> Members:
    """Return the event configuration of a gateway as a list shows it."""
    return {"Identifier": gateway_id, "IdentifierType": "WirelessGatewayId", "Events": topics}


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
