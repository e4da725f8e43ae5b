"""The operations about wireless gateways, and about what the service knows of them."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Final

from lorafw.clock import format_iso
from lorafw.errors import InvalidValue, NotFound
from lorafw.iotwireless.gateway_finder import find_anywhere, find_gateway
from lorafw.iotwireless.idempotency import IdempotentCalls
from lorafw.iotwireless.operations import AccountOperations, Members
from lorafw.iotwireless.pagination import list_members, paginate
from lorafw.iotwireless.serializers import gateway_to_aws, parse_gateway
from lorafw.iotwireless.tags import TagOperations, check_first_tags
from lorafw.tasks.model import GATEWAY_RESOURCE, AccountRegion, Gateway

_CHANGEABLE_LORAWAN: Final = ("JoinEuiFilters", "NetIdFilters", "MaxEirp")
"""Members of LoRaWANGateway that UpdateWirelessGateway can change."""


class GatewayOperations(AccountOperations):
    """The operations that create, read and change gateways. ``IoTWirelessBackend`` has the one that deletes them.

    Args:
        owner: The account and Region.
        tags: The tags of the account's resources.
        idempotent_calls: Remembers the calls that created a resource.
    """

    def __init__(self, owner: AccountRegion, tags: TagOperations, idempotent_calls: IdempotentCalls) -> None:
        super().__init__(owner)
        self._tags = tags
        self._idempotent_calls = idempotent_calls
        self._lock = threading.Lock()
        """Held while the settings of a gateway are read and changed."""

    def create(self, parameters: Members) -> Members:
        """Register a gateway, once for each ClientRequestToken. Returns its Id and Arn."""
        return self._idempotent_calls.create_once(GATEWAY_RESOURCE, parameters, self._create)

    def _create(self, parameters: Members) -> Members:
        """Register a gateway. Returns its Id and Arn."""
        eui, settings = parse_gateway(parameters["LoRaWAN"])
        tags = parameters.get("Tags") or []
        check_first_tags(tags)
        gateway = self.service.create_gateway(
            self.owner,
            eui,
            name=parameters.get("Name"),
            description=parameters.get("Description"),
            lorawan=settings,
        )
        arn = self.arns.gateway(gateway.id)
        self._tags.set_for_new_resource(arn, tags)
        return {"Id": gateway.id, "Arn": arn}

    def get(self, identifier: str, identifier_type: str) -> Members:
        """Return a gateway, found by its id, its EUI or the name of its thing. See ``find_gateway``."""
        gateway = find_gateway(self.owner, identifier, identifier_type)
        return gateway_to_aws(gateway, self.arns.gateway(gateway.id))

    def list_page(self, max_results: int | None, next_token: str | None) -> Members:
        """Return a page of the gateways, in the order of their registration."""
        gateways = self.service.gateways(self.owner)
        page = paginate(gateways, self.arns.gateway_prefix, max_results, next_token)
        listed = []
        for gateway in page.items:
            with suppress(NotFound):  # A gateway may be deleted after the page was read. Then it is left out.
                listed.append(self._describe_listed(gateway))
        return list_members("WirelessGatewayList", listed, page.next_token)

    def _describe_listed(self, gateway: Gateway) -> Members:
        """Return a gateway as a list shows it: with the time of its last request.

        Raises:
            NotFound: The gateway was deleted.
        """
        members = gateway_to_aws(gateway, self.arns.gateway(gateway.id))
        last_seen_ms = self.service.last_seen_ms(self.owner, gateway.id)
        if last_seen_ms is not None:
            members["LastUplinkReceivedAt"] = format_iso(last_seen_ms)
        return members

    def update(self, gateway_id: str, parameters: Members) -> None:
        """Change the name, the description or settings of a gateway. What ``parameters`` leaves out stays.

        Raises:
            NotFound: There is no such gateway.
        """
        changes: Members = {}
        if parameters.get("Name") is not None:
            changes["name"] = parameters["Name"]
        if parameters.get("Description") is not None:
            changes["description"] = parameters["Description"]
        with self._lock:
            lorawan = dict(self.service.gateway(self.owner, gateway_id).lorawan)
            for member in _CHANGEABLE_LORAWAN:
                if parameters.get(member) is not None:
                    lorawan[member] = parameters[member]
            self.service.update_gateway(self.owner, gateway_id, lorawan=lorawan, **changes)


class GatewayStatusOperations(AccountOperations):
    """The operations that tell what the service has learnt from the CUPS requests of a gateway."""

    def firmware_information(self, gateway_id: str) -> Members:
        """Return the version that a gateway presented in its last request. Empty before the first request.

        Raises:
            NotFound: There is no such gateway.
        """
        version = self.service.presented_version(self.owner, gateway_id)
        if version is None:
            return {"LoRaWAN": {}}
        return {"LoRaWAN": {"CurrentVersion": version.to_aws()}}

    def statistics(self, gateway_id: str) -> Members:
        """Return when a gateway sent its last request. A gateway that sent one counts as connected.

        A gateway that never connected has no ConnectionStatus (documented). That a CUPS request counts as a connection
        is assumed, because there is no network server here.

        Raises:
            NotFound: There is no such gateway.
        """
        last_seen_ms = self.service.last_seen_ms(self.owner, gateway_id)
        if last_seen_ms is None:
            return {"WirelessGatewayId": gateway_id}
        return {
            "WirelessGatewayId": gateway_id,
            "LastUplinkReceivedAt": format_iso(last_seen_ms),
            "ConnectionStatus": "Connected",
        }

    def explain(self, id_or_eui: str) -> Members:
        """Explain why a gateway is updated, or why it is not. AWS has no such operation.

        Args:
            id_or_eui: Id or EUI of the gateway.

        Returns:
            The explanation as the members of a JSON object.

        Raises:
            NotFound: There is no such gateway.
            InvalidValue: The gateway is in another account or Region. The message says where.
        """
        gateway = find_anywhere(id_or_eui)
        _check_owner(gateway, self.owner)
        explanation = self.service.explain(self.owner, gateway.id)
        return {
            "gateway": explanation.gateway_eui,
            "id": gateway.id,
            "status": explanation.status,
            "lines": explanation.lines,
        }


def _check_owner(gateway: Gateway, owner: AccountRegion) -> None:
    """Raise InvalidValue if a gateway is not in this account and Region."""
    if gateway.owner == owner:
        return
    place = f"{gateway.owner.region}, account {gateway.owner.account}"
    reason = f"gateway {gateway.eui} is registered in {place}, and not in {owner.region}, account {owner.account}"
    raise InvalidValue("Region", owner.region, reason)
