"""One run of a testbed, from its opening to its end. The next opening of the same testbed begins a new run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorafw.clock import ManualClock
from lorafw.failures.in_process import InProcessFailures
from lorafw.failures.registry import FailureRegistry
from lorafw.scratch import scratch_folder
from lorafw.tasks.model import AccountRegion
from lorafw.tasks.policy import Policy
from lorafw.tasks.service import UpdateService
from lorafw.testbed.gate import OpenGate
from lorafw.testbed.gateways import PollSchedule, TestbedGateway
from lorafw.testbed.opening import emulated_aws, update_service
from lorafw.testbed.own_calls import OwnClients
from lorafw.testbed.serving import CupsOnDemand
from lorafw.testbed.staging import Staging
from lorafw.testbed.waiting import ClockWait, waiting_on_clock


@dataclass(frozen=True, slots=True, kw_only=True)
class TestbedSettings:
    """What a user chooses when making a testbed. All values have been checked."""

    __test__ = False  # The name starts with "Test", but this is not a test class for pytest to collect.

    owner: AccountRegion
    """The AWS account and Region of gateways, clients and updates that name no others."""
    gateway_count: int
    """Number of gateways that the testbed adds when it opens."""
    package: str | None
    """Content of version.txt on a new gateway. None for no such file."""
    interval_s: float
    """Seconds between two regular polls of a gateway."""
    spread_polls: bool
    """Whether the first polls of the first gateways are spread evenly over an interval."""
    policy: Policy | None
    """Decisions of the update service. None for lorafw's own."""
    seed: int
    """Seed of the ids that the API assigns."""
    start: str
    """Time at which the clock starts, in ISO 8601."""
    staged: bool
    """Whether the documented bucket and role exist when the testbed opens."""
    allow_hosts: Sequence[str]
    """Hosts beside this machine that botocore may reach."""
    moto_config: Mapping[str, Any] | None
    """Configuration of moto. None for its default."""

    def first_poll_delays_ms(self) -> list[int]:
        """Return how long each of the first gateways waits before its first poll, in milliseconds."""
        if not self.spread_polls:
            return [0] * self.gateway_count
        interval_ms = self.interval_s * 1000
        return [round(interval_ms * index / self.gateway_count) for index in range(self.gateway_count)]


class TestbedRun:
    """What a testbed has at the beginning of a run: a clock at its start, no gateways and no planned failures."""

    __test__ = False  # The name starts with "Test", but this is not a test class for pytest to collect.

    def __init__(self, settings: TestbedSettings, own_clients: OwnClients) -> None:
        """Prepare a run. Nothing is opened yet.

        Args:
            settings: The settings of the testbed.
            own_clients: The boto3 clients with which the testbed itself calls AWS.
        """
        self.clock = ManualClock(settings.start)
        """The clock of all parts of the testbed."""
        self.gateways: list[TestbedGateway] = []
        """The gateways, in the order in which they were added."""
        self.schedule = PollSchedule()
        """When each of the gateways polls next."""
        self.clock_wait = ClockWait(self.clock, self.schedule)
        """Moves the clock while a call of boto3 waits."""
        self.failures = FailureRegistry(self.clock)
        """Decides which calls of AWS fail."""
        self.staging = Staging(settings.owner, own_clients.get)
        """Creates the buckets and roles for updates."""


@dataclass(frozen=True, slots=True)
class RunningParts:
    """The parts of a testbed that run while it is open."""

    service: UpdateService
    """The update service behind the API and the CUPS server."""
    cups: CupsOnDemand
    """The CUPS server, which starts when a gateway or the user needs it."""
    folder: Path
    """The folder with the home folders of the gateways."""


@contextlib.contextmanager
def run_parts(run: TestbedRun, settings: TestbedSettings, gate: OpenGate) -> Iterator[RunningParts]:
    """Run the parts of a testbed until the end of the block. If one cannot start, the others are stopped.

    Args:
        run: The clock, the gateways and the planned failures that the parts use.
        settings: The settings of the testbed.
        gate: Is opened once moto answers, and closed before moto ends, so that no client reaches the real AWS.

    Yields:
        The parts.
    """
    from lorafw.iotwireless.context import set_cups_endpoint  # noqa: PLC0415 -- imports moto

    with contextlib.ExitStack() as stack:
        # 1. Let moto answer in the place of AWS.
        failures = InProcessFailures(run.failures, run.clock_wait.wait)
        aws = emulated_aws(settings.owner, failures, allow_hosts=settings.allow_hosts, moto_config=settings.moto_config)
        stack.enter_context(aws)
        stack.enter_context(gate.opened())
        # 2. Start the update service.
        service = stack.enter_context(
            update_service(run.clock, policy=settings.policy, seed=settings.seed, before_read=gate.check)
        )
        # 3. Prepare the CUPS server. A request for its address starts it.
        cups = stack.enter_context(CupsOnDemand(service, run.gateways))
        stack.enter_context(set_cups_endpoint(cups.start_and_return_uri))
        # 4. Let boto3 wait on the testbed's clock instead of sleeping.
        stack.enter_context(waiting_on_clock(run.clock_wait, run.clock, settings.seed))
        # 5. Create the folder for the gateways.
        folder = stack.enter_context(scratch_folder("lorafw-bed-", in_memory=True))
        yield RunningParts(service, cups, folder)
