"""The gateways of an AWS account as a fleet: ListWirelessGateways, and the version of each.

The two operations have no paginator in boto3, so pages are turned by NextToken. AWS allows ten requests a second
(documented); the calls are spaced evenly, on a clock that is handed in. What the account does not tell, how often a
gateway polls, over what it is connected, is taken from ``defaults``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from lorafw.errors import FleetError
from lorafw.fleet.conditions import Conditions
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.io.columns import TableRows, fleet_from_rows

REQUESTS_PER_S: Final = 10.0
MAX_RESULTS: Final = 250
"""MaxResults of ListWirelessGateways is at most this."""

UNKNOWN: Final = "unknown"
"""The version of a gateway that has never presented one."""

Progress = Callable[[int, int], None]


class RateLimiter:
    """Lets calls pass evenly spaced: never more than ``per_s`` a second."""

    def __init__(self, per_s: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._gap, self._clock, self._sleep = 1 / per_s, clock, sleep
        self._next = clock()

    def wait(self) -> None:
        early = self._next - self._clock()
        if early > 0:
            self._sleep(early)
        self._next = max(self._next, self._clock()) + self._gap


def account_client() -> Any:
    """The client of ``iotwireless`` that boto3 is set to. Raises FleetError where it is set to none."""
    import boto3  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    try:
        return boto3.client("iotwireless")
    except BotoCoreError as error:
        remedy = "set AWS_DEFAULT_REGION, or paste the lines that 'lorafw serve' prints"
        raise FleetError("account", str(error), f"the account cannot be read: {error} {remedy}") from error


def fleet_from_account(
    client: Any,
    *,
    seed: int = 0,
    conditions: Conditions | None = None,
    progress: Progress | None = None,
    requests_per_s: float = REQUESTS_PER_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Fleet:
    """The fleet behind a boto3 client of ``iotwireless``; it takes a second for ten gateways.

    ``names["number"]`` has the gateways' ids, ``names["version"]`` their version triples. ``progress(done, total)`` is
    called with numbers of gateways, and may raise to cancel. Raises FleetError.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    pace = RateLimiter(requests_per_s, clock, sleep)
    try:
        found = list(_gateways(client, pace))
        versions = []
        for done, gateway in enumerate(found, 1):
            versions.append(_version(client, pace, gateway["Id"]))
            if progress is not None:
                progress(done, len(found))
    except (BotoCoreError, ClientError) as error:
        raise FleetError("account", str(error), f"the account cannot be read: {error}") from error
    if not found:
        region = client.meta.region_name
        raise FleetError("account", 0, f"the account has no LoRaWAN gateway in {region}; is it the right Region?")
    columns: dict[str, Any] = {
        "gateway": [gateway["Id"] for gateway in found],
        "region": [gateway.get("LoRaWAN", {}).get("RfRegion") or UNKNOWN for gateway in found],
        **{name: [version[name] for version in versions] for name in ("station", "package", "model")},
    }
    rows = TableRows(
        columns, len(found), f"account, {client.meta.region_name}", lambda row: f"gateway {found[row]['Id']}"
    )
    return fleet_from_rows(rows, seed=seed, conditions=conditions)


def _gateways(client: Any, pace: RateLimiter) -> Iterator[dict[str, Any]]:
    """All gateways, page by page."""
    token: dict[str, str] = {}
    seen = set()
    while True:
        pace.wait()
        page = client.list_wireless_gateways(MaxResults=MAX_RESULTS, **token)
        yield from page.get("WirelessGatewayList", [])
        following = page.get("NextToken")
        if not following:
            return
        if following in seen:
            raise FleetError("NextToken", following, "ListWirelessGateways gave this NextToken before")
        seen.add(following)
        token = {"NextToken": following}


def _version(client: Any, pace: RateLimiter, gateway: str) -> dict[str, str]:
    """Station, package and model as the gateway last presented them; a gateway deleted meanwhile has none."""
    pace.wait()
    try:
        answer = client.get_wireless_gateway_firmware_information(Id=gateway)
    except client.exceptions.ResourceNotFoundException:
        answer = {}
    current = answer.get("LoRaWAN", {}).get("CurrentVersion", {})
    names = {"station": "Station", "package": "PackageVersion", "model": "Model"}
    return {ours: current.get(theirs) or UNKNOWN for ours, theirs in names.items()}
