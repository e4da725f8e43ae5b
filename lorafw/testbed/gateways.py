"""The gateways of a testbed: how a caller names one, and when each of them polls.

A gateway with an unusable station.conf becomes silent. A real station exits with code 1 if the file is missing or is
not JSON, and without a routerid it uses the EUI of its network card; in both cases the server never hears from this
gateway (source: Basics Station 2.0.6, sys_linux.c). A real station reads the file only when it starts. Here a changed
file takes effect at the next poll (assumed: an update that writes the file restarts the station).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar, Final, NamedTuple

from lorafw.clock import ManualClock
from lorafw.errors import HomeError, LabError
from lorafw.eui import GatewayEui
from lorafw.gateway.home import Home
from lorafw.gateway.virtual import VirtualGateway
from lorafw.station.exchange import NOTE_MODULE, ExchangeResult
from lorafw.station.log import Level, LogLine
from lorafw.tasks.model import AccountRegion
from lorafw.tasks.service import UpdateService
from lorafw.version import GatewayVersion

_RETRY_AFTER_ERROR_MS: Final = 60_000
"""Wait after a poll that failed unexpectedly: CUPS_RESYNC_INTV of Basics Station."""


class PlannedPoll(NamedTuple):
    """The next poll of a gateway. An earlier poll is smaller."""

    time_ms: int
    """Time of the poll, in milliseconds since 1970-01-01 UTC."""
    number: int
    """Position of the gateway in the order in which the gateways were added. It decides between equal times."""
    gateway: TestbedGateway


class PollSchedule:
    """When each gateway of a testbed polls next.

    Finding the first poll and changing one take microseconds, however many gateways wait.
    """

    def __init__(self) -> None:
        self._poll_by_eui: dict[GatewayEui, PlannedPoll] = {}
        """The next poll of each gateway."""
        self._heap: list[PlannedPoll] = []
        """All polls that were planned, earliest first. A poll that was replaced stays until it is the first one."""

    def __contains__(self, eui: object) -> bool:
        """Return whether the schedule has a gateway with this EUI."""
        return eui in self._poll_by_eui

    def set_next_poll(self, gateway: TestbedGateway, time_ms: int) -> None:
        """Plan the next poll of a gateway, in place of the one that was planned before.

        Args:
            gateway: The gateway. It is added if it is new.
            time_ms: Time of the poll, in milliseconds since 1970-01-01 UTC.
        """
        replaced = self._poll_by_eui.get(gateway.eui)
        number = len(self._poll_by_eui) if replaced is None else replaced.number
        poll = PlannedPoll(time_ms, number, gateway)
        self._poll_by_eui[gateway.eui] = poll
        heapq.heappush(self._heap, poll)

    def next_poll_ms(self, gateway: TestbedGateway) -> int:
        """Return when a gateway polls next, in milliseconds since 1970-01-01 UTC."""
        return self._poll_by_eui[gateway.eui].time_ms

    def first(self) -> TestbedGateway | None:
        """Return the active gateway with the earliest next poll. Returns None if all gateways are silent.

        Of several gateways with the same time it is the one that was added first.
        """
        while self._heap:
            poll = self._heap[0]
            was_replaced = self._poll_by_eui[poll.gateway.eui] is not poll
            if not was_replaced and not poll.gateway.is_silent:
                return poll.gateway
            heapq.heappop(self._heap)
        return None


@dataclass(slots=True, eq=False)
class TestbedGateway:
    """A virtual gateway of a testbed, with its place in AWS and its next poll.

    It behaves as a gateway with Basics Station, the usual software of gateways. At each poll, it asks the CUPS server
    (Configuration and Update Server) for an update, and learns how long to wait before the next poll.
    """

    __test__: ClassVar[bool] = False  # The name starts with "Test", but this is not a test class for pytest to collect.

    id: str
    """The id that the API has assigned."""
    eui: GatewayEui
    """Its EUI, the 64-bit number that identifies the hardware."""
    home: Home
    """The folder with the files of its station."""
    virtual: VirtualGateway
    """The program that polls the CUPS server as a Basics Station does."""
    owner: AccountRegion
    """The AWS account and Region in which it is registered."""
    schedule: PollSchedule
    """The schedule of its testbed. ``next_poll_ms`` is kept there."""
    log: list[str] = field(default_factory=list)
    """Its log lines, as Basics Station writes them."""
    is_silent: bool = False
    """Whether it has stopped polling because its station would not start with the files in ``home``."""

    @property
    def next_poll_ms(self) -> int:
        """Time of its next regular poll, in milliseconds since 1970-01-01 UTC."""
        return self.schedule.next_poll_ms(self)

    @next_poll_ms.setter
    def next_poll_ms(self, time_ms: int) -> None:
        self.schedule.set_next_poll(self, time_ms)

    def poll(self, clock: ManualClock) -> ExchangeResult:
        """Poll the CUPS server once, now, and schedule the next poll.

        Args:
            clock: The testbed's clock. It is read, not moved.

        Returns:
            The outcome of the poll.

        Raises:
            HomeError: The station would not start. The gateway is silent until a later call succeeds.
            LabError: Something unexpected failed. The next poll is in one minute.
        """
        try:
            result = self.virtual.poll()
        except HomeError as error:
            self.is_silent = True
            self._log_problem(f"the station does not start: {error}", clock)
            raise
        except Exception as error:
            self.next_poll_ms = clock.now_ms() + _RETRY_AFTER_ERROR_MS
            problem = f"the exchange failed: {type(error).__name__}: {error}"
            self._log_problem(problem, clock)
            raise LabError(f"gateway {self.eui.hex}: {problem}") from error
        self.is_silent = False
        # An update may have written an interval of 0 into station.conf. Wait at least 1 ms, or the clock never moves.
        self.next_poll_ms = clock.now_ms() + max(1, round(result.wait_s * 1000))
        return result

    def _log_problem(self, problem: str, clock: ManualClock) -> None:
        """Append an error line to ``log``."""
        self.log.append(LogLine(NOTE_MODULE, Level.ERROR, problem).with_timestamp(clock.now_ms()))


GatewayRef = TestbedGateway | GatewayEui | str | int
"""A way to name a gateway: the object itself, its EUI, its id, or its index in ``bed.gateways``.

An EUI may also be given as text, in any form that ``GatewayEui.parse`` reads.
"""


def find_gateway(gateways: Sequence[TestbedGateway], reference: GatewayRef | None) -> TestbedGateway:
    """Return the gateway that ``reference`` names.

    Args:
        gateways: The gateways of the testbed.
        reference: Name of the gateway. None means the first one.

    Raises:
        LabError: No gateway matches. The message lists the testbed's gateways.
    """
    if not gateways:
        raise LabError("gateway: this testbed has none; open it with Testbed(gateways=1), or call bed.add_gateway(eui)")
    if reference is None:
        return gateways[0]
    if isinstance(reference, int) and not isinstance(reference, bool):
        if -len(gateways) <= reference < len(gateways):
            return gateways[reference]
        raise _no_such_gateway(gateways, reference)
    eui = _parse_eui(reference)
    for gateway in gateways:
        if gateway is reference or gateway.id == reference or gateway.eui == eui:
            return gateway
    raise _no_such_gateway(gateways, reference)


def _no_such_gateway(gateways: Sequence[TestbedGateway], reference: GatewayRef) -> LabError:
    """Return an error that lists the gateways which exist."""
    choices = ", ".join(f"{index}: {gateway.eui.hex} (id {gateway.id})" for index, gateway in enumerate(gateways))
    shown = repr(reference)
    if isinstance(reference, TestbedGateway):
        shown = f"the gateway {reference.eui.hex} of another testbed"
    return LabError(f"gateway: {shown} is none of this testbed's; give an index, an EUI or an id of these: {choices}")


def ensure_not_present(eui: GatewayEui, schedule: PollSchedule, service: UpdateService, owner: AccountRegion) -> None:
    """Check that a gateway can be added to a testbed.

    Args:
        eui: EUI of the new gateway.
        schedule: The schedule of the gateways that the testbed has.
        service: The testbed's update service.
        owner: Account and Region of the new gateway.

    Raises:
        LabError: The testbed has the gateway already, or it is registered in another account or region.
    """
    if eui in schedule:
        raise LabError(f"eui: the testbed has the gateway {eui.hex} already; give another EUI")
    registered = service.find_gateway(eui)
    if registered is not None and registered.owner != owner:
        raise LabError(
            f"eui: {eui.hex} is registered in {registered.owner.region}, account {registered.owner.account}, and not "
            f"in {owner.region}, account {owner.account}; give add_gateway the region and account where it is"
        )


def presented_version(gateways: Sequence[TestbedGateway], owner: AccountRegion) -> GatewayVersion | None:
    """Return the version that the first usable gateway of an account and Region would send now.

    Returns None if no gateway there is usable.
    """
    for gateway in [gateway for gateway in gateways if gateway.owner == owner]:
        # A station that does not start sends no version.
        with suppress(HomeError):
            return gateway.virtual.version
    return None


def run_until(end_ms: int, schedule: PollSchedule, clock: ManualClock) -> None:
    """Move the clock to ``end_ms``, and make each gateway poll when its waiting time is over.

    Args:
        end_ms: The time at which to stop, in milliseconds since 1970-01-01 UTC. Polls at this time are included.
        schedule: The schedule of the gateways. It changes.
        clock: The clock to move.

    Raises:
        LabError: A poll failed unexpectedly. The clock has moved to ``end_ms``, and all other polls were made.
    """
    first_error: LabError | None = None
    for gateway in _due_gateways(schedule, end_ms):
        clock.advance_to(gateway.next_poll_ms)
        error = _try_poll(gateway, clock)
        first_error = first_error or error
    clock.advance_to(end_ms)
    if first_error is not None:
        raise first_error


def run_late(schedule: PollSchedule, clock: ManualClock) -> None:
    """Make the polls that are overdue, because the clock was moved without them.

    Args:
        schedule: The schedule of the gateways. It changes as if each poll had been made in time.
        clock: The testbed's clock. It is read, not moved.

    Raises:
        LabError: A poll failed unexpectedly. All other polls were made.
    """
    now_ms = clock.now_ms()
    first_error: LabError | None = None
    for gateway in _due_gateways(schedule, now_ms):
        late_ms = now_ms - gateway.next_poll_ms
        error = _try_poll(gateway, clock)
        first_error = first_error or error
        if not gateway.is_silent:
            gateway.next_poll_ms -= late_ms
    if first_error is not None:
        raise first_error


def _due_gateways(schedule: PollSchedule, end_ms: int) -> Iterator[TestbedGateway]:
    """Yield the gateway with the earliest next poll, as long as this poll is not after ``end_ms``.

    The caller must make the gateway poll before it asks for the next one: a poll changes the schedule.
    """
    while True:
        gateway = schedule.first()
        if gateway is None or gateway.next_poll_ms > end_ms:
            return
        yield gateway


def _try_poll(gateway: TestbedGateway, clock: ManualClock) -> LabError | None:
    """Make a gateway poll. Return the error if the poll failed unexpectedly, and None otherwise.

    A gateway whose station does not start is silent afterwards, and its log says why. That is no unexpected error.
    """
    try:
        gateway.poll(clock)
    except HomeError:
        return None
    except LabError as error:
        return error
    return None


def read_eui(eui: GatewayEui | str) -> GatewayEui:
    """Return ``eui`` as a GatewayEui. Raises LabError if it is text that is not an EUI."""
    parsed = _parse_eui(eui)
    if parsed is None:
        raise LabError(
            f"eui: {eui!r} is not a gateway EUI; give sixteen hex digits ('5a11b0a85a11b0a8', or with '-' or ':' "
            "between the bytes) or ID6 ('5a11:b0a8:5a11:b0a8')"
        )
    return parsed


def _parse_eui(reference: object) -> GatewayEui | None:
    """Return the EUI that ``reference`` is or spells. Returns None if it is neither."""
    if isinstance(reference, GatewayEui):
        return reference
    if not isinstance(reference, str):
        return None
    try:
        return GatewayEui.parse(reference)
    except ValueError:
        return None
