"""The gateways of a testbed: which of them is meant, and when each polls.

A gateway is named by itself, its index, its id or its EUI. One whose station.conf cannot be used falls silent. A real
station ends with exit code 1 where the file is missing or is not JSON, and without a routerid takes the EUI of its
network card, so that the server hears nothing of this gateway (source: Basics Station 2.0.6, sys_linux.c). It reads the
file at its start only; here the new file counts from the next poll on (assumed: an update that brings one restarts the
station).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

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

_AFTER_ERROR_MS: Final = 60_000
"""A gateway whose exchange failed unexpectedly polls again after a station's CUPS_RESYNC_INTV."""


@dataclass(slots=True, eq=False)
class TestbedGateway:
    """A virtual gateway of the testbed. ``log`` holds its log lines; ``next_poll_ms`` is when it polls by itself.

    ``is_silent``: it does not, since its station would not start with the files in its home folder.
    """

    id: str
    eui: GatewayEui
    home: Home
    virtual: VirtualGateway
    next_poll_ms: int
    log: list[str] = field(default_factory=list)
    is_silent: bool = False

    def poll(self, clock: ManualClock) -> ExchangeResult:
        """One exchange, now.

        Raises:
            HomeError: Its station would not start. The gateway is silent from now on, until a poll works.
            LabError: Something unexpected failed. The gateway polls again after a minute.
        """
        try:
            verdict = self.virtual.poll()
        except HomeError as error:
            self.is_silent = True
            self._remark(f"the station does not start: {error}", clock)
            raise
        except Exception as error:
            self.next_poll_ms = clock.now_ms() + _AFTER_ERROR_MS
            problem = f"the exchange failed: {type(error).__name__}: {error}"
            self._remark(problem, clock)
            raise LabError(f"gateway {self.eui.hex}: {problem}") from error
        self.is_silent = False
        # An update may have written an interval of 0 into station.conf; the clock must go on all the same.
        self.next_poll_ms = clock.now_ms() + max(1, round(verdict.wait_s * 1000))
        return verdict

    def _remark(self, problem: str, clock: ManualClock) -> None:
        self.log.append(LogLine(NOTE_MODULE, Level.ERROR, problem).at(clock.now_ms()))


GatewayRef = TestbedGateway | GatewayEui | str | int
"""A gateway: itself, its EUI (as text in any form that GatewayEui reads), its id, or its index in ``bed.gateways``."""


def choose(gateways: Sequence[TestbedGateway], which: GatewayRef | None) -> TestbedGateway:
    """The gateway that is meant; None is the first. Raises LabError, which lists what is there."""
    if not gateways:
        raise LabError("gateway: this testbed has none; open it with Testbed(gateways=1), or call bed.add_gateway(eui)")
    if isinstance(which, int) and not isinstance(which, bool):
        if -len(gateways) <= which < len(gateways):
            return gateways[which]
    else:
        eui = _eui(which)
        for gateway in gateways:
            if which is None or gateway is which or gateway.id == which or gateway.eui == eui:
                return gateway
    there = ", ".join(f"{index}: {gateway.eui.hex} (id {gateway.id})" for index, gateway in enumerate(gateways))
    shown = f"the gateway {which.eui.hex} of another testbed" if isinstance(which, TestbedGateway) else repr(which)
    raise LabError(f"gateway: {shown} is none of this testbed's; give an index, an EUI or an id of these: {there}")


def ensure_not_present(
    eui: GatewayEui, gateways: Sequence[TestbedGateway], service: UpdateService, owner: AccountRegion
) -> None:
    """Can a gateway with this EUI be added? Raises LabError."""
    if any(gateway.eui == eui for gateway in gateways):
        raise LabError(f"eui: the testbed has the gateway {eui.hex} already; give another EUI")
    known = service.find_gateway(eui)
    if known is not None and known.owner != owner:
        raise LabError(
            f"eui: {eui.hex} is registered in {known.owner.region}, account {known.owner.account}, and a testbed's "
            f"gateways are in {owner.region}, account {owner.account}; register it there"
        )


def presented(gateways: Sequence[TestbedGateway]) -> GatewayVersion | None:
    """What the first gateway that starts would present now; None where there is none."""
    for gateway in gateways:
        with suppress(HomeError):  # one that does not start presents nothing
            return gateway.virtual.version
    return None


def run_until(end_ms: int, gateways: Sequence[TestbedGateway], clock: ManualClock) -> None:
    """Turn the clock to ``end_ms``; each gateway polls whenever its own wait is over.

    Raises:
        LabError: A poll failed unexpectedly; the clock was turned all the same, and all other polls were made.
    """
    problems: list[LabError] = []
    while due := [gateway for gateway in gateways if not gateway.is_silent and gateway.next_poll_ms <= end_ms]:
        gateway = min(due, key=lambda candidate: candidate.next_poll_ms)
        clock.advance_to(gateway.next_poll_ms)
        with suppress(HomeError):  # it is silent from now on
            _poll_or_note(gateway, clock, problems)
    clock.advance_to(end_ms)
    if problems:
        raise problems[0]


def _poll_or_note(gateway: TestbedGateway, clock: ManualClock, problems: list[LabError]) -> None:
    try:
        gateway.poll(clock)
    except LabError as error:
        problems.append(error)


def read_eui(eui: GatewayEui | str) -> GatewayEui:
    """An EUI, as such or as text. Raises LabError."""
    found = _eui(eui)
    if found is None:
        raise LabError(
            f"eui: {eui!r} is not a gateway EUI; give sixteen hex digits ('5a11b0a85a11b0a8', or with '-' or ':' "
            "between the bytes) or ID6 ('5a11:b0a8:5a11:b0a8')"
        )
    return found


def _eui(which: object) -> GatewayEui | None:
    if isinstance(which, GatewayEui):
        return which
    try:
        return GatewayEui.parse(which) if isinstance(which, str) else None
    except ValueError:
        return None
