"""Read the facts about an account with boto3. Nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import KW_ONLY, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from lorafw.doctor.subject import (
    AccountFacts,
    DefinitionDocument,
    OtherDefinition,
    SampledGateway,
    UpdateFile,
)
from lorafw.doctor.update_source import read_update_source
from lorafw.isolation.sessions import available_regions
from lorafw.localaws.connection import Clients
from lorafw.version import GatewayVersion

DEFAULT_SAMPLE_SIZE: Final = 50
_PAGE_SIZE: Final = 250

Progress = Callable[[int, int], None]
"""Is called as ``progress(done, total)`` with numbers of gateways."""


@dataclass(frozen=True, slots=True)
class AccountReader:
    """Reads what the rules need to know about one account in one Region."""

    make_client: Clients
    """Returns a boto3 client for the name of a service."""
    _: KW_ONLY
    account: str
    """The account of the gateways, 12 digits."""
    region: str
    """The Region of the gateways."""
    now_ms: int
    """The time at which policies are evaluated, in milliseconds since 1970 UTC."""
    has_own_clock: bool = False
    """True if the account belongs to a lab, whose clock the user can move. The time since the last request of a gateway
    means nothing then, and is not read."""
    gateway_ids: Collection[str] | None = None
    """The gateways that the update is for. None means all gateways of the account."""
    sample_size: int = DEFAULT_SAMPLE_SIZE
    """The largest number of gateways to look at. Each costs two calls."""
    progress: Progress | None = None
    """Called after each gateway that was looked at. None if nobody follows the reading."""

    def read(self, definition: DefinitionDocument | None) -> tuple[AccountFacts, UpdateFile | None]:
        """Read the facts, and the object that a definition names.

        Args:
            definition: The definition. None means that only the gateways are read.

        Returns:
            The facts, and the object. The object is None if it could not be read.

        Raises:
            botocore.exceptions.ClientError: The gateways or the definitions cannot be read.
        """
        has_lorawan = self.region in available_regions("iotwireless")
        facts = AccountFacts(account=self.account, region=self.region, now_ms=self.now_ms, has_lorawan=has_lorawan)
        if not has_lorawan:
            return facts, None
        facts = self._add_gateways(facts)
        if definition is None or definition.data_source is None:
            return facts, None
        return read_update_source(facts, definition, self.make_client)

    def _add_gateways(self, facts: AccountFacts) -> AccountFacts:
        """Return the facts with a sample of the gateways, and with the definitions."""
        iotwireless = self.make_client("iotwireless")
        gateways = list(_pages(iotwireless.list_wireless_gateways, "WirelessGatewayList"))
        if self.gateway_ids is not None:
            selected_ids = frozenset(self.gateway_ids)
            gateways = [gateway for gateway in gateways if gateway["Id"] in selected_ids]
        now_ms = None if self.has_own_clock else self.now_ms
        chosen = _spread(gateways, self.sample_size)
        sample = []
        for gateway in chosen:
            sample.append(_read_gateway(iotwireless, gateway, now_ms))
            if self.progress is not None:
                self.progress(len(sample), len(chosen))
        definitions = tuple(_read_definitions(iotwireless))
        return replace(facts, gateway_count=len(gateways), sample=tuple(sample), definitions=definitions)


def _read_gateway(iotwireless: Any, gateway: dict[str, Any], now_ms: int | None) -> SampledGateway:
    """Read the version and the task of one gateway.

    Args:
        iotwireless: A boto3 client of iotwireless.
        gateway: The entry of ListWirelessGateways.
        now_ms: The current time, in milliseconds since 1970 UTC. None if it cannot be compared with the times of AWS.

    Returns:
        What AWS knows about the gateway.
    """
    gateway_id = gateway["Id"]
    version = _read_version(iotwireless, gateway_id)
    task = _get_or_empty(iotwireless, iotwireless.get_wireless_gateway_task, gateway_id)
    silent_s = None
    if now_ms is not None:
        silent_s = _seconds_between(gateway.get("LastUplinkReceivedAt"), now_ms)
    return SampledGateway(
        gateway_id,
        version=version,
        task_status=task.get("Status"),
        task_definition_id=task.get("WirelessGatewayTaskDefinitionId"),
        silent_s=silent_s,
    )


def _read_version(iotwireless: Any, gateway_id: str) -> GatewayVersion | None:
    """Return the version that a gateway presented last. None if it has not presented any."""
    firmware = _get_or_empty(iotwireless, iotwireless.get_wireless_gateway_firmware_information, gateway_id)
    members = firmware.get("LoRaWAN", {}).get("CurrentVersion")
    if not members:
        return None
    return GatewayVersion.from_aws(members)


def _seconds_between(start_text: str | None, end_ms: int) -> float | None:
    """Return the seconds between two moments. None if the start is not known.

    Args:
        start_text: The start in ISO 8601. It is in UTC if it names no time zone.
        end_ms: The end, in milliseconds since 1970 UTC.
    """
    if start_text is None:
        return None
    try:
        start = datetime.fromisoformat(start_text)
    except ValueError:
        return None
    if start.tzinfo is None:
        start = start.replace(tzinfo=UTC)
    return end_ms / 1000 - start.timestamp()


def _read_definitions(iotwireless: Any) -> Iterator[OtherDefinition]:
    """Yield the task definitions of the account."""
    for entry in _pages(iotwireless.list_wireless_gateway_task_definitions, "TaskDefinitions"):
        answer = _get_or_empty(iotwireless, iotwireless.get_wireless_gateway_task_definition, entry["Id"])
        definition = DefinitionDocument(answer)
        yield OtherDefinition(entry["Id"], definition.auto_create_tasks, definition.version("CurrentVersion"))


def _spread(gateways: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Return at most ``count`` gateways, spread evenly over the list."""
    if len(gateways) <= count:
        return gateways
    step = len(gateways) / count
    return [gateways[int(number * step)] for number in range(count)]


def _pages(operation: Callable[..., dict[str, Any]], member: str) -> Iterator[dict[str, Any]]:
    """Yield the entries of all pages of a list operation. boto3 has no paginators for the operations of iotwireless."""
    arguments: dict[str, Any] = {"MaxResults": _PAGE_SIZE}
    while True:
        page = operation(**arguments)
        yield from page.get(member, ())
        if not page.get("NextToken"):
            return
        arguments["NextToken"] = page["NextToken"]


def _get_or_empty(iotwireless: Any, operation: Callable[..., dict[str, Any]], resource_id: str) -> dict[str, Any]:
    """Call an operation for one resource, and return its answer. It is empty if there is no such resource."""
    try:
        return operation(Id=resource_id)
    except iotwireless.exceptions.ResourceNotFoundException:
        return {}
