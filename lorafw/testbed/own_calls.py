"""Calls of AWS that a testbed makes by itself: shared boto3 clients, and gateways that are registered without one.

Making a client takes about 20 ms and a call of it takes milliseconds, so a fleet of thousands would take minutes.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from lorafw.errors import Conflict
from lorafw.eui import GatewayEui
from lorafw.failures.requests import mark_own_call
from lorafw.gateway.enrolment_steps import gateway_parameters
from lorafw.isolation.sessions import make_client
from lorafw.tasks.model import AccountRegion


@functools.cache
def own_client(service: str, region: str, account: str) -> Any:
    """Return a boto3 client that all testbeds of this process share. It must only be used while one is open.

    Its calls do not fail as planned, and no rate counts them.

    Without moto, it would send requests to AWS.

    Args:
        service: The name of the service, such as "s3".
        region: The Region.
        account: The account.
    """
    client = make_client(service, region=region, account=account)
    client.meta.events.register_first("before-call", mark_own_call)
    return client


def register_described_gateway(
    owner: AccountRegion, eui: GatewayEui, name: str, rf_region: str, tags: Mapping[str, str]
) -> str:
    """Register a gateway by a request, which validates what the caller has chosen.

    Args:
        owner: Account and Region of the gateway.
        eui: EUI of the gateway.
        name: Name of the gateway.
        rf_region: RfRegion of the gateway.
        tags: Tags of the gateway.

    Returns:
        The id of the gateway. A gateway that the account has already is used as it is.

    Raises:
        botocore.exceptions.ClientError: The API rejects the name, the RfRegion or a tag.
    """
    client = own_client("iotwireless", owner.region, owner.account)
    parameters = gateway_parameters(eui, name, rf_region)
    if tags:
        parameters["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
    try:
        gateway_id: str = client.create_wireless_gateway(**parameters)["Id"]
    except client.exceptions.ConflictException:
        gateway_id = client.get_wireless_gateway(Identifier=eui.hex, IdentifierType="GatewayEui")["Id"]
    return gateway_id


def register_gateway(owner: AccountRegion, eui: GatewayEui, name: str, rf_region: str) -> str:
    """Register a gateway in the API's backend. A gateway that the account has already is used as it is.

    The parameters are not validated as those of a request are.

    Args:
        owner: Account and Region of the gateway.
        eui: EUI of the gateway.
        name: Name of the gateway.
        rf_region: RfRegion of the gateway.

    Returns:
        The id of the gateway.
    """
    # Importing moto takes about a second.
    from moto.utilities.aws_headers import gen_amzn_requestid_long  # noqa: PLC0415

    from lorafw.iotwireless.models import iotwireless_backends  # noqa: PLC0415

    backend = iotwireless_backends[owner.account][owner.region]
    try:
        gateway_id: str = backend.gateways.create(gateway_parameters(eui, name, rf_region))["Id"]
    except Conflict:
        gateway_id = backend.gateways.get(eui.hex, "GatewayEui")["Id"]
    # A request draws its own id from the seeded generator too. Draw it, so that later ids are those of a program that
    # registers its gateways with boto3.
    gen_amzn_requestid_long({})
    return gateway_id
