"""Calls of AWS that a testbed makes by itself: shared boto3 clients, and gateways that are registered without one.

Making a client takes about 20 ms and a call of it takes milliseconds, so a fleet of thousands would take minutes.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lorafw import example
from lorafw.errors import Conflict
from lorafw.eui import GatewayEui
from lorafw.failures.requests import mark_own_call
from lorafw.gateway.enrolment_steps import gateway_parameters
from lorafw.isolation.guard import send_through_guards_only
from lorafw.isolation.sessions import make_client
from lorafw.tasks.model import AccountRegion
from lorafw.testbed.gate import OpenGate, not_open_error


@functools.cache
def own_client(service: str, region: str, account: str) -> Any:
    """Return a boto3 client that all testbeds of this process share. It must only be used while one is open.

    Its calls do not fail as planned, and no rate counts them.

    Args:
        service: The name of the service, such as "s3".
        region: The Region.
        account: The account.
    """
    client = make_client(service, region=region, account=account)
    client.meta.events.register_first("before-call", mark_own_call)
    send_through_guards_only(client, not_open_error)
    return client


class OwnClients:
    """The boto3 clients with which a testbed itself calls AWS.

    Their calls do not fail as the user has planned, and no rate limits them. All testbeds of the process share the
    clients, so a user must not get one: it would reach the real AWS once the testbed is closed.
    """

    def __init__(self, gate: OpenGate) -> None:
        """Prepare to give out clients.

        Args:
            gate: Says whether the testbed is open.
        """
        self._gate = gate

    def get(self, service: str, owner: AccountRegion) -> Any:
        """Return the client of a service, such as "s3", in an account and Region.

        Args:
            service: Name of the service.
            owner: The account and Region.

        Raises:
            LabError: The testbed is not open.
        """
        self._gate.check()
        return own_client(service, owner.region, owner.account)


@dataclass(frozen=True, slots=True)
class GatewayDescription:
    """How a gateway is described in AWS."""

    name: str
    rf_region: str
    """Its RfRegion, such as "EU868"."""
    tags: Mapping[str, str]

    def is_default(self) -> bool:
        """Return whether it is the description of the documented example, without tags."""
        return (self.name, self.rf_region) == (example.GATEWAY_NAME, example.RF_REGION) and not self.tags

    def parameters(self, eui: GatewayEui) -> dict[str, Any]:
        """Return the parameters of CreateWirelessGateway for a gateway with this EUI."""
        parameters = gateway_parameters(eui, self.name, self.rf_region)
        if self.tags:
            parameters["Tags"] = [{"Key": key, "Value": value} for key, value in self.tags.items()]
        return parameters


def ensure_registered(owner: AccountRegion, eui: GatewayEui, description: GatewayDescription) -> str:
    """Register a gateway, unless the account has it already. Then it keeps its description.

    Args:
        owner: Account and Region of the gateway.
        eui: EUI of the gateway.
        description: How the gateway is described in AWS.

    Returns:
        The id of the gateway.

    Raises:
        botocore.exceptions.ClientError: The API rejects the name, the RfRegion or a tag.
    """
    # The default is known to be valid. It is registered without a request, which takes much longer.
    if description.is_default():
        return register_gateway(owner, eui, description)
    return register_described_gateway(owner, eui, description)


def register_described_gateway(owner: AccountRegion, eui: GatewayEui, description: GatewayDescription) -> str:
    """Register a gateway by a request, which validates what the caller has chosen.

    Args:
        owner: Account and Region of the gateway.
        eui: EUI of the gateway.
        description: How the gateway is described in AWS.

    Returns:
        The id of the gateway. A gateway that the account has already is used as it is.

    Raises:
        botocore.exceptions.ClientError: The API rejects the name, the RfRegion or a tag.
    """
    client = own_client("iotwireless", owner.region, owner.account)
    try:
        gateway_id: str = client.create_wireless_gateway(**description.parameters(eui))["Id"]
    except client.exceptions.ConflictException:
        gateway_id = client.get_wireless_gateway(Identifier=eui.hex, IdentifierType="GatewayEui")["Id"]
    return gateway_id


def register_gateway(owner: AccountRegion, eui: GatewayEui, description: GatewayDescription) -> str:
    """Register a gateway without a request. A gateway that the account has already is used as it is.

    This is fast, but the description is not validated as that in a request is.

    Args:
        owner: Account and Region of the gateway.
        eui: EUI of the gateway.
        description: How the gateway is described in AWS.

    Returns:
        The id of the gateway.
    """
    # Importing moto takes about a second.
    from moto.utilities.aws_headers import gen_amzn_requestid_long  # noqa: PLC0415

    from lorafw.iotwireless.models import iotwireless_backends  # noqa: PLC0415

    backend = iotwireless_backends[owner.account][owner.region]
    try:
        gateway_id: str = backend.gateways.create(gateway_parameters(eui, description.name, description.rf_region))[
            "Id"
        ]
    except Conflict:
        gateway_id = backend.gateways.get(eui.hex, "GatewayEui")["Id"]
    # A request draws its own id from the seeded generator too. Draw it, so that later ids are those of a program that
    # registers its gateways with boto3.
    gen_amzn_requestid_long({})
    return gateway_id
