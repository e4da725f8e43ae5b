# ruff: noqa: N803 -- the arguments are named as in boto3
"""An AWS in memory for tests of rollouts: the calls that ``apply`` makes, gateways that poll, and ways to fail.

It knows nothing of lorafw's service. Its tasks follow AWS's documented statuses in a few lines of their own. So the
engine is tested against something else, and 40,000 gateways take seconds.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from lorafw.clock import format_iso
from lorafw.fleet.plan import Plan
from lorafw.localaws.connection import Target
from lorafw.rollout.aws_api import AwsApi
from lorafw.rollout.engine import Engine, Until
from lorafw.rollout.events import Started
from lorafw.rollout.evolution import evolve
from lorafw.rollout.journal import Journal, open_journal
from lorafw.rollout.performing import Tools
from lorafw.rollout.rates import OperationRates
from lorafw.rollout.saved_plan import FleetSample, PlannedWave, RoleSnapshot, SavedPlan, UpdateObject
from lorafw.rollout.state import RolloutState, Settings, initial_state
from lorafw.rollout.timing import SimulatedTime

START_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
RETRIES = ("IN_PROGRESS", "FIRST_RETRY", "SECOND_RETRY", "FAILED")
OLD, NEW = {"PackageVersion": "1.0.0"}, {"PackageVersion": "1.0.1"}
OBJECT = UpdateObject("bucket", "fw", None, '"etag"', 1000, "00")
DEFINITION = {
    "AutoCreateTasks": False,
    "Update": {"UpdateDataSource": OBJECT.url, "LoRaWAN": {"CurrentVersion": OLD, "UpdateVersion": NEW}},
}


@dataclass
class MemoryTask:
    definition: str
    created_ms: int
    status: str = "PENDING"


@dataclass
class MemoryGateway:
    """A gateway that polls once in a period. Its first ``failing`` tries fail."""

    id: str
    phase_ms: int
    period_ms: int
    failing: int = 0
    version: dict[str, str] = field(default_factory=lambda: dict(OLD))
    task: MemoryTask | None = None
    uplink_ms: int | None = None
    next_poll_ms: int = 0
    tries: int = 0
    gone: bool = False
    hides_uplinks: bool = False
    listed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.listed = {"Id": self.id}

    def catch_up(self, now_ms: int) -> None:
        """Make the polls up to now."""
        while self.next_poll_ms <= now_ms and not self.gone:
            self._poll(self.next_poll_ms)
            self.next_poll_ms += self.period_ms

    def _poll(self, time_ms: int) -> None:
        if not self.hides_uplinks:
            self.uplink_ms = time_ms
            self.listed = {"Id": self.id, "LastUplinkReceivedAt": format_iso(time_ms)}
        task = self.task
        if task is None or task.status in ("COMPLETED", "FAILED"):
            return
        if task.status == "PENDING":
            if self.version == OLD:
                task.status = "IN_PROGRESS"
            return
        if self.tries < self.failing:
            self.tries += 1
            task.status = RETRIES[RETRIES.index(task.status) + 1]
            return
        self.version = dict(NEW)
        task.status = "COMPLETED"


class MemoryAws:
    """The account. ``before`` and ``after`` are called around the effect of each operation and may raise."""

    def __init__(self, gateways: Sequence[MemoryGateway]) -> None:
        self.now_ms = START_MS
        self.gateways = {gateway.id: gateway for gateway in gateways}
        self.definitions: dict[str, dict[str, Any]] = {}
        self.tags: dict[str, list[dict[str, str]]] = {}
        self.created: Counter[str] = Counter()
        """How many tasks each gateway has been given."""
        self.deleted: Counter[str] = Counter()
        self._listed_gateways: list[MemoryGateway] = []
        """The gateways of a list that is being read page by page."""
        self.conflicts = 0
        """How often a task was to be created for a gateway that has one."""
        self.calls: Counter[str] = Counter()
        self.before: Callable[[str], None] = lambda operation: None
        self.after: Callable[[str], None] = lambda operation: None
        self.head = {"VersionId": OBJECT.version_id, "ETag": OBJECT.etag, "ContentLength": OBJECT.size_bytes}

    def advance(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)
        assert self.now_ms < START_MS + 60 * 24 * HOUR_MS, "the rollout goes on for ever"

    def clock(self) -> SimulatedTime:
        return SimulatedTime(lambda: self.now_ms, self.advance)

    def client(self, service: str) -> MemoryAws:
        return self

    @contextmanager
    def _operation(self, name: str) -> Iterator[None]:
        self.calls[name] += 1
        self.before(name)
        yield
        self.after(name)

    def _gateway(self, id: str, operation: str) -> MemoryGateway:
        if id not in self.gateways:
            raise error("ResourceNotFoundException", operation)
        gateway = self.gateways[id]
        gateway.catch_up(self.now_ms)
        return gateway

    # --- the operations ---

    def list_wireless_gateways(self, MaxResults: int, NextToken: str = "0") -> dict[str, Any]:
        with self._operation("ListWirelessGateways"):
            start = int(NextToken)
            if start == 0:
                self._listed_gateways = list(self.gateways.values())
            page = []
            for gateway in self._listed_gateways[start : start + MaxResults]:
                gateway.catch_up(self.now_ms)
                page.append(gateway.listed)
            if start + MaxResults >= len(self._listed_gateways):
                return {"WirelessGatewayList": page}
            return {"WirelessGatewayList": page, "NextToken": str(start + MaxResults)}

    def get_wireless_gateway_task(self, Id: str) -> dict[str, Any]:
        with self._operation("GetWirelessGatewayTask"):
            gateway = self._gateway(Id, "GetWirelessGatewayTask")
            if gateway.task is None:
                raise error("ResourceNotFoundException", "GetWirelessGatewayTask")
            answer = {
                "WirelessGatewayTaskDefinitionId": gateway.task.definition,
                "Status": gateway.task.status,
                "TaskCreatedAt": format_iso(gateway.task.created_ms),
            }
            if gateway.uplink_ms is not None:
                answer["LastUplinkReceivedAt"] = format_iso(gateway.uplink_ms)
            return answer

    def get_wireless_gateway_firmware_information(self, Id: str) -> dict[str, Any]:
        with self._operation("GetWirelessGatewayFirmwareInformation"):
            gateway = self._gateway(Id, "GetWirelessGatewayFirmwareInformation")
            return {"LoRaWAN": {"CurrentVersion": gateway.version}}

    def create_wireless_gateway_task(self, Id: str, WirelessGatewayTaskDefinitionId: str) -> dict[str, Any]:
        with self._operation("CreateWirelessGatewayTask"):
            gateway = self._gateway(Id, "CreateWirelessGatewayTask")
            if gateway.task is not None:
                self.conflicts += 1
                raise error("ConflictException", "CreateWirelessGatewayTask")
            assert WirelessGatewayTaskDefinitionId in self.definitions
            gateway.task = MemoryTask(WirelessGatewayTaskDefinitionId, self.now_ms)
            self.created[Id] += 1
        return {"Status": "PENDING"}

    def delete_wireless_gateway_task(self, Id: str) -> dict[str, Any]:
        with self._operation("DeleteWirelessGatewayTask"):
            gateway = self._gateway(Id, "DeleteWirelessGatewayTask")
            if gateway.task is None:
                raise error("ResourceNotFoundException", "DeleteWirelessGatewayTask")
            gateway.task = None
            self.deleted[Id] += 1
        return {}

    def list_wireless_gateway_task_definitions(self, MaxResults: int) -> dict[str, Any]:
        with self._operation("ListWirelessGatewayTaskDefinitions"):
            listed = [
                {"Id": id, "Arn": id, "LoRaWAN": members["Update"]["LoRaWAN"]}
                for id, members in self.definitions.items()
            ]
            return {"TaskDefinitions": listed}

    def get_wireless_gateway_task_definition(self, Id: str) -> dict[str, Any]:
        with self._operation("GetWirelessGatewayTaskDefinition"):
            return self.definitions[Id]

    def list_tags_for_resource(self, ResourceArn: str) -> dict[str, Any]:
        with self._operation("ListTagsForResource"):
            return {"Tags": self.tags[ResourceArn]}

    def create_wireless_gateway_task_definition(
        self, ClientRequestToken: str, Tags: list[dict[str, str]], **members: Any
    ) -> dict[str, Any]:
        id = f"definition-{len(self.definitions) + 1}"
        with self._operation("CreateWirelessGatewayTaskDefinition"):
            self.definitions[id], self.tags[id] = members, Tags
        return {"Id": id}

    def delete_wireless_gateway_task_definition(self, Id: str) -> dict[str, Any]:
        with self._operation("DeleteWirelessGatewayTaskDefinition"):
            del self.definitions[Id]
        return {}

    def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        with self._operation("HeadObject"):
            return self.head


def error(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": f"told to answer {code}"}}, operation)


def make_gateways(count: int, *, period_ms: int = 24 * HOUR_MS, failing: Mapping[int, int] = {}) -> list[MemoryGateway]:
    """Gateways whose first polls are spread over a period. ``failing`` says how many tries fail, by the number."""
    gateways = []
    for number in range(count):
        phase_ms = START_MS + (number * 7919 * 1000) % period_ms
        gateway = MemoryGateway(f"gw-{number:05}", phase_ms, period_ms, failing.get(number, 0))
        gateway.next_poll_ms = phase_ms
        gateways.append(gateway)
    return gateways


def make_plan(plan: Plan, gateways: Sequence[str], *, period_ms: int = 24 * HOUR_MS, **changes: Any) -> SavedPlan:
    """A saved plan of gateways in the order in which they are given, without a prediction."""
    ends = plan.wave_ends(len(gateways))
    starts = [0, *ends[:-1]]
    waves = tuple(
        PlannedWave(tuple(gateways[start:end]), (0,) * (end - start)) for start, end in zip(starts, ends, strict=True)
    )
    members: dict[str, Any] = {
        "target": Target("lab", "123456789012", "us-east-1"),
        "definition": DEFINITION,
        "update_object": OBJECT,
        "role": RoleSnapshot("arn:aws:iam::123456789012:role/r", None),
        "plan": plan,
        "waves": waves,
        "seed": 0,
        "poll_period_ms": period_ms,
        "sample": FleetSample(0, {}, {}),
        "created_by": "arn:planner",
        "created_at": "2027-01-15T07:00:00.000Z",
    }
    return SavedPlan(**{**members, **changes})


def run_apply(
    aws: MemoryAws,
    plan: SavedPlan,
    path: Path,
    until: Until = Until.END,
    *,
    journal_type: Callable[[Journal], Journal] = lambda journal: journal,
    hook: Any = None,
    calls_per_s: float = 1e6,
    **settings: Any,
) -> RolloutState:
    """Carry out a plan as ``apply`` does, with a journal on the disk."""
    clock = aws.clock()
    with open_journal(path, plan) as opened:
        journal = journal_type(opened)
        chosen = Settings(**{"batch": 1000, "has_hook": hook is not None, **settings})
        state = evolve(initial_state(plan, chosen), journal.read())
        started = Started(at_ms=clock.now_ms(), actor="arn:test", version="test")
        state = evolve(state, journal.append([started]))
        rates = OperationRates(calls_per_s, clock.monotonic_s, clock.sleep)
        now_ms = clock.now_ms if chosen.compares_clock else None
        engine = Engine(state, Tools(plan, journal, AwsApi(aws.client, rates, now_ms), clock, hook))
        return engine.run(until)


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
