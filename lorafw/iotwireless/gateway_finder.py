"""Finds a gateway by one of the identifiers that the API accepts."""

from __future__ import annotations

from lorafw.errors import InvalidValue, NotFound
from lorafw.eui import GatewayEui
from lorafw.iotwireless.context import current_service
from lorafw.tasks.model import GATEWAY_RESOURCE, AccountRegion, Gateway


def find_gateway(owner: AccountRegion, identifier: str, identifier_type: str) -> Gateway:
    """Return a gateway of an account in a Region.

    Args:
        owner: The account and Region.
        identifier: The id or the EUI of the gateway, or the name of its thing.
        identifier_type: What ``identifier`` is: ``WirelessGatewayId``, ``GatewayEui`` or ``ThingName``.

    Returns:
        The gateway.

    Raises:
        NotFound: There is no such gateway.
        InvalidValue: The identifier should be an EUI, but is none.
    """
    if identifier_type == "WirelessGatewayId":
        return current_service().gateway(owner, identifier)
    if identifier_type == "GatewayEui":
        gateway = _find_by_eui(owner, identifier)
    else:
        gateway = _find_by_thing_name(owner, identifier)
    if gateway is None:
        raise NotFound(GATEWAY_RESOURCE, identifier)
    return gateway


def find_anywhere(id_or_eui: str) -> Gateway:
    """Return the gateway with an id or an EUI, in any account and Region.

    Raises:
        NotFound: There is no such gateway.
    """
    service = current_service()
    try:
        gateway = service.find_gateway(GatewayEui.parse(id_or_eui))
    except ValueError:
        gateway = service.find_gateway_by_id(id_or_eui)
    if gateway is None:
        raise NotFound(GATEWAY_RESOURCE, id_or_eui)
    return gateway


def _find_by_eui(owner: AccountRegion, text: str) -> Gateway | None:
    """Return the gateway with an EUI. None if this account has no such gateway in this Region."""
    try:
        eui = GatewayEui.parse(text)
    except ValueError as error:
        raise InvalidValue("Identifier", text, str(error)) from error
    gateway = current_service().find_gateway(eui)
    if gateway is None or gateway.owner != owner:
        return None
    return gateway


def _find_by_thing_name(owner: AccountRegion, name: str) -> Gateway | None:
    """Return the gateway that is associated with a thing. None if there is none."""
    for gateway in current_service().gateways(owner):
        if gateway.thing_name == name:
            return gateway
    return None
