"""The live task board: gateways of a testbed, the status of their tasks, what both sides log, when each polls next.

The state is the testbed itself: every button is one of its verbs, and the clock moves only when someone turns it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lorafw.clock import format_iso
from lorafw.errors import LabError, NotFound
from lorafw.faults import Fault
from lorafw.lab.panels.base import Panel, button, dropdown, hbox, text_input
from lorafw.lab.panels.html import SafeHtml, bold, heading, html, preformatted, side_by_side, table, text_table
from lorafw.station.log import format_interval
from lorafw.tasks.lifecycle import LogRow, TaskStatus
from lorafw.testbed import Testbed, TestbedGateway

ADVANCE_STEPS_S: Final = {"10 seconds": 10.0, "1 minute": 60.0, "1 hour": 3600.0, "24 hours": 86_400.0}
STATUS_SYMBOLS: Final = {
    None: "·",
    TaskStatus.PENDING: "○",
    TaskStatus.IN_PROGRESS: "▶",
    TaskStatus.FIRST_RETRY: "↻",
    TaskStatus.SECOND_RETRY: "↻↻",
    TaskStatus.COMPLETED: "✔",
    TaskStatus.FAILED: "✖",
}
HEAD: Final = ("gateway", "PackageVersion", "task", "whole sends", "next poll in", "fault")
LOG_HEAD: Final = ("time (UTC)", "gateway", "attempt", "from", "to", "cause")
MAX_LOG_ROWS: Final = 12
"""So many of the last events are shown."""
LOG_LINES: Final = 9
"""So many of the last lines of the gateway's log: three polls."""


_PORT: Final = re.compile(r"(//127\.0\.0\.1):\d+")
"""A port is another one each time, and says nothing."""
FAULT_NAMES: Final = [fault.value for fault in Fault if fault is not Fault.NONE]


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """A gateway as it stands; ``status`` is None where it has no task."""

    eui: str
    package: str
    status: TaskStatus | None
    sends: int
    next_poll: str
    fault: str

    @property
    def status_label(self) -> str:
        return str(self.status or "no task")

    def cells(self) -> tuple[str, ...]:
        task = f"{STATUS_SYMBOLS[self.status]} {self.status_label}"
        return (self.eui, self.package, task, str(self.sends), self.next_poll, self.fault)


class TaskBoard(Panel):
    """Buttons act on ``bed``; a testbed that the lesson turns itself is shown anew by ``redraw()``."""

    def __init__(self, bed: Testbed) -> None:
        super().__init__()
        if not bed.gateways:
            raise LabError("gateways: a task board shows those of a testbed, and this one has none; add one first")
        self.bed = bed
        self._defined = 0
        self.gateway = self.reacts(dropdown("Gateway", [gateway.eui.hex for gateway in bed.gateways]), lambda: None)
        self.poll = self.reacts(button("Poll", "The chosen gateway asks CUPS now"), lambda: bed.poll(self.chosen))
        self.span = dropdown("Turn clock by", ADVANCE_STEPS_S)
        self.advance = self.reacts(
            button("Advance", "Gateways poll whenever their own wait is over"), lambda: bed.advance(self.span.value)
        )
        self.package = text_input("New version", "1.0.1", "240px")
        self.define = self.reacts(
            button("Define update", "Build, sign and upload an update, and define its task"), self._define
        )
        self.fault = dropdown("Fault", FAULT_NAMES, words="60px", value=Fault.WRONG_KEY.value)
        self.inject = self.reacts(button("Inject", "Let this go wrong at the chosen gateway"), self._inject)
        self.heal = self.reacts(
            button("Heal", "Take all faults of the chosen gateway away"), lambda: bed.heal(self.chosen)
        )
        self.delete = self.reacts(
            button("Delete task", "DeleteWirelessGatewayTask of the chosen gateway"), self._delete
        )
        self.assemble(
            (hbox(self.package, self.define), hbox(self.span, self.advance)),
            (hbox(self.gateway, self.poll, self.delete), hbox(self.fault, self.inject, self.heal)),
        )

    @property
    def statuses(self) -> list[str]:
        """The statuses as the board shows them, gateway by gateway; "no task" where there is none."""
        return [row.status_label for row in self.rows()]

    @property
    def chosen(self) -> TestbedGateway:
        return next(gateway for gateway in self.bed.gateways if gateway.eui.hex == self.gateway.value)

    def _run_action(self, action: Callable[[], object]) -> None:
        super()._run_action(action if self.bed.is_open else self._raise_ended)

    def _raise_ended(self) -> None:
        raise LabError("the testbed of this board was stopped: run the cell that starts it, and this one, once more")

    def _define(self) -> None:
        self._defined += 1
        made = self.bed.define_update(self.package.value)
        self.told = f"✔ Update {self._defined} of this board is defined, to {self.package.value} (definition {made})."

    def _inject(self) -> None:
        self.bed.inject(self.fault.value, self.chosen)

    def _delete(self) -> None:
        self.bed.service.delete_task(self.bed.owner, self.chosen.id)

    def rows(self) -> list[GatewayRow]:
        return [self._gateway_row(gateway) for gateway in self.bed.gateways]

    def _gateway_row(self, gateway: TestbedGateway) -> GatewayRow:
        try:
            task = self.bed.service.task(self.bed.owner, gateway.id)
            status, sends = task.status, task.sends
        except NotFound:
            status, sends = None, 0
        wait_ms = gateway.next_poll_ms - self.bed.clock.now_ms()
        next_poll = format_interval(wait_ms / 1000) if wait_ms > 0 else "now"
        return GatewayRow(
            gateway.eui.hex,
            gateway.home.package() or "(none)",
            status,
            sends,
            "never" if gateway.is_silent else next_poll,
            ", ".join(fault.value for fault in gateway.virtual.faults) or "none",
        )

    def html(self) -> SafeHtml:
        rows = [(*map(html, row.cells()[:2]), bold(row.cells()[2]), *row.cells()[3:]) for row in self.rows()]
        events = table(
            LOG_HEAD, map(_log_cells, self.bed.log[-MAX_LOG_ROWS:]), "What has happened to tasks (the last events)"
        )
        lines = (_PORT.sub(r"\1", text) for text in self.chosen.log[-LOG_LINES:])
        log = "\n".join(lines) or "(it has not polled yet)"
        return SafeHtml(
            table(HEAD, rows, f"The clock stands at {self.bed.now()}")
            + side_by_side(
                (events, 730), (SafeHtml(heading(f"Log of gateway {self.chosen.eui.hex}") + preformatted(log)), 330)
            )
        )

    def text(self) -> str:
        return "\n".join(
            (
                f"The clock stands at {self.bed.now()}",
                text_table(HEAD, [row.cells() for row in self.rows()]),
                text_table(LOG_HEAD, map(_log_cells, self.bed.log[-MAX_LOG_ROWS:])),
            )
        )


def _log_cells(row: LogRow) -> tuple[str, ...]:
    source, target = str(row.from_status or "–"), str(row.to_status or "–")
    return (format_iso(row.time)[11:-1], row.gateway, str(row.attempt), source, target, row.cause)
