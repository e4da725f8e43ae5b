"""Read the gateways of an AWS account as a fleet: ListWirelessGateways, and the version of each gateway.

boto3 has no paginators for these operations, so the pages are followed by NextToken. AWS allows ten requests per
second (documented), so the requests are spaced evenly.

An account does not say how often a gateway polls or how it is connected. These values come from ``defaults``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from lorafw.errors import FleetError
from lorafw.fleet.conditions import Conditions
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.io.columns import VERSION_COLUMNS, TableRows, fleet_from_rows

REQUESTS_PER_S: Final = 10.0

MAX_RESULTS: Final = 250
"""The largest MaxResults of ListWirelessGateways."""

UNKNOWN: Final = "unknown"
"""The version or region of a gateway that has none in the account."""

_VERSION_FIELDS: Final = {"station": "Station", "package": "PackageVersion", "model": "Model"}
"""The fields of CurrentVersion, by the name of the column."""
assert tuple(_VERSION_FIELDS) == VERSION_COLUMNS

Progress = Callable[[int, int], None]


class RateLimiter:
    """Spaces calls evenly, so that there are never more than a number of them in a second.

    Args:
        per_s: Calls per second.
        clock: Returns the time in s.
        sleep: Sleeps for a number of seconds.
    """

    def __init__(self, per_s: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._interval_s = 1 / per_s
        self._clock = clock
        self._sleep = sleep
        self._next_call_s = clock()

    def set_rate(self, per_s: float) -> None:
        """Change the number of calls per second."""
        self._interval_s = 1 / per_s

    def wait(self) -> None:
        """Sleep until the next call is allowed."""
        remaining_s = self._next_call_s - self._clock()
        if remaining_s > 0:
            self._sleep(remaining_s)
        self._next_call_s = max(self._next_call_s, self._clock()) + self._interval_s


def account_client() -> Any:
    """Return a client of ``iotwireless`` with the settings of boto3.

    Raises:
        FleetError: boto3 has no Region, or its settings cannot be used.
    """
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
    """Read all gateways of an AWS account into a fleet.

    This sends one request for each gateway, ten of them in a second. Nothing in the account is changed.

    Args:
        client: A boto3 client of ``iotwireless``.
        seed: The seed of the random numbers for what an account does not know, such as the times of the first polls.
        conditions: The faults and delays of this fleet. None for the typical conditions.
        progress: Called as ``progress(done, total)`` with numbers of gateways. May raise to cancel.
        requests_per_s: The largest number of requests per second.
        clock: Returns the time in s. A test can replace it.
        sleep: Sleeps for a number of seconds. A test can replace it.

    Returns:
        The fleet. Its ``names`` hold the ids of the gateways (under "number") and their versions (under "version").

    Raises:
        FleetError: A request failed, or the account has no gateway in this Region.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    limiter = RateLimiter(requests_per_s, clock, sleep)
    try:
        gateways = list(_list_gateways(client, limiter))
        versions = _read_versions(client, limiter, gateways, progress)
    except (BotoCoreError, ClientError) as error:
        raise FleetError("account", str(error), f"the account cannot be read: {error}") from error
    region = client.meta.region_name
    if not gateways:
        raise FleetError("account", 0, f"the account has no LoRaWAN gateway in {region}; is it the right Region?")
    rows = _table_rows(gateways, versions, f"account, {region}")
    return fleet_from_rows(rows, seed=seed, conditions=conditions)


def _list_gateways(client: Any, limiter: RateLimiter) -> Iterator[dict[str, Any]]:
    """Yield all gateways, page by page."""
    token_argument: dict[str, str] = {}
    seen_tokens = set()
    while True:
        limiter.wait()
        page = client.list_wireless_gateways(MaxResults=MAX_RESULTS, **token_argument)
        yield from page.get("WirelessGatewayList", [])
        next_token = page.get("NextToken")
        if not next_token:
            return
        if next_token in seen_tokens:
            raise FleetError("NextToken", next_token, "ListWirelessGateways gave this NextToken before")
        seen_tokens.add(next_token)
        token_argument = {"NextToken": next_token}


def _read_versions(
    client: Any, limiter: RateLimiter, gateways: list[dict[str, Any]], progress: Progress | None
) -> list[dict[str, str]]:
    """Return the version of each gateway, and report progress."""
    versions = []
    for done, gateway in enumerate(gateways, 1):
        versions.append(_read_version(client, limiter, gateway["Id"]))
        if progress is not None:
            progress(done, len(gateways))
    return versions


def _read_version(client: Any, limiter: RateLimiter, gateway_id: str) -> dict[str, str]:
    """Return station, package and model as the gateway last presented them.

    They are UNKNOWN if it has never presented one, or if it was deleted after the list was read.
    """
    limiter.wait()
    try:
        answer = client.get_wireless_gateway_firmware_information(Id=gateway_id)
    except client.exceptions.ResourceNotFoundException:
        answer = {}
    current = answer.get("LoRaWAN", {}).get("CurrentVersion", {})
    return {column: current.get(name) or UNKNOWN for column, name in _VERSION_FIELDS.items()}


def _table_rows(gateways: list[dict[str, Any]], versions: list[dict[str, str]], source: str) -> TableRows:
    """Return the gateways as the rows of a table."""
    columns: dict[str, Any] = {
        "gateway": [gateway["Id"] for gateway in gateways],
        "region": [gateway.get("LoRaWAN", {}).get("RfRegion") or UNKNOWN for gateway in gateways],
    }
    for name in VERSION_COLUMNS:
        columns[name] = [version[name] for version in versions]

    def row_label(row: int) -> str:
        """Return the id of a gateway."""
        return f"gateway {gateways[row]['Id']}"

    return TableRows(columns, len(gateways), source, row_label)
