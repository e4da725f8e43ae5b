"""The task board: the gateways of a testbed, the status of their tasks, and the logs of both sides.

The state of the panel is the testbed itself. Each button calls one of its methods. The clock advances only when the
user advances it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lorafw.clock import format_iso
from lorafw.errors import LabError, NotFound
from lorafw.faults import Fault
from lorafw.lab.panels.base import Panel, button, dropdown, text_input, wide
from lorafw.lab.panels.html import Mood, SafeHtml, chip, heading, preformatted, table, text_table
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
STATUS_MOODS: Final[dict[TaskStatus | None, Mood]] = {
    None: "idle",
    TaskStatus.PENDING: "idle",
    TaskStatus.IN_PROGRESS: "busy",
    TaskStatus.FIRST_RETRY: "warn",
    TaskStatus.SECOND_RETRY: "warn",
    TaskStatus.COMPLETED: "good",
    TaskStatus.FAILED: "bad",
}
"""What the chip of each status says."""
HEAD: Final = ("gateway", "PackageVersion", "task", "whole sends", "next poll in", "fault")
LOG_HEAD: Final = ("time (UTC)", "gateway", "attempt", "from", "to", "cause")
MAX_LOG_ROWS: Final = 7
"""Number of events that are shown, the latest ones."""
MAX_STATION_LOG_LINES: Final = 8
"""Number of lines of the gateway's log that are shown, the latest ones: two polls."""
FAULT_NAMES: Final = [fault.value for fault in Fault if fault is not Fault.NONE]

_LOOPBACK_PORT: Final = re.compile(r"(//127\.0\.0\.1):\d+")
"""A port in the log. It is not shown, because it is another one in each run."""


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """A row of the table of gateways."""

    eui: str
    package: str
    """The PackageVersion that the gateway presents."""
    status: TaskStatus | None
    """Status of its task. None means that it has no task."""
    sends: int
    """How often the whole update was sent."""
    next_poll: str
    """The time until its next poll, as text."""
    fault: str
    """The faults that are injected, as text."""

    @property
    def status_label(self) -> str:
        """The status as text."""
        return str(self.status or "no task")

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the row, one for each column of HEAD."""
        task = f"{STATUS_SYMBOLS[self.status]} {self.status_label}"
        return (self.eui, self.package, task, str(self.sends), self.next_poll, self.fault)


class TaskBoard(Panel):
    """The panel of the task board. Call ``redraw()`` after the testbed was changed by other code."""

    def __init__(self, bed: Testbed) -> None:
        """Create the controls, and draw the testbed.

        Args:
            bed: The testbed to show and to control.

        Raises:
            LabError: The testbed has no gateways.
        """
        super().__init__()
        if not bed.gateways:
            raise LabError("gateways: a task board shows those of a testbed, and this one has none; add one first")
        self.bed = bed
        self._update_count = 0
        self._create_clock_and_update_controls()
        self._create_gateway_controls()
        self.build(
            (wide(self.gateway), self.poll, self.delete, self.span, self.advance),
            (self.package, self.define, wide(self.fault), self.inject, self.heal),
        )

    def _create_clock_and_update_controls(self) -> None:
        """Create the controls that concern all gateways."""
        self.span = dropdown("Advance clock by", ADVANCE_STEPS_S)
        self.advance = self.connect(button("Advance", "Gateways poll whenever their own wait is over"), self._advance)
        self.package = text_input("New version", "1.0.1")
        self.define = self.connect(
            button("Define update", "Build, sign and upload an update, and define its task"), self._define
        )

    def _create_gateway_controls(self) -> None:
        """Create the control that chooses a gateway, and those that concern the chosen one."""
        self.gateway = self.connect(dropdown("Gateway", [gateway.eui.hex for gateway in self.bed.gateways]))
        self.poll = self.connect(button("Poll", "The chosen gateway asks CUPS now"), self._poll)
        self.fault = dropdown("Fault", FAULT_NAMES, value=Fault.WRONG_KEY.value)
        self.inject = self.connect(button("Inject", "Let this go wrong at the chosen gateway"), self._inject)
        self.heal = self.connect(button("Heal", "Take all faults of the chosen gateway away"), self._heal)
        self.delete = self.connect(
            button("Delete task", "DeleteWirelessGatewayTask of the chosen gateway"), self._delete
        )

    @property
    def statuses(self) -> list[str]:
        """The status of each gateway's task as the board shows it; "no task" if it has none."""
        return [row.status_label for row in self.rows()]

    @property
    def chosen(self) -> TestbedGateway:
        """The gateway that the controls act on."""
        return next(gateway for gateway in self.bed.gateways if gateway.eui.hex == self.gateway.value)

    def _run_action(self, action: Callable[[], object]) -> None:
        """Call the action. Sets ``error`` if it fails, or if the testbed was stopped."""
        if not self.bed.is_open:
            action = self._raise_ended
        super()._run_action(action)

    def _raise_ended(self) -> None:
        raise LabError("the testbed of this board was stopped: run the cell that starts it, and this one, once more")

    def _poll(self) -> None:
        self.bed.poll(self.chosen)

    def _advance(self) -> None:
        self.bed.advance(self.span.value)

    def _define(self) -> None:
        """Define an update to the version in the text field. Sets ``notice``."""
        self._update_count += 1
        package = self.package.value
        definition_id = self.bed.define_update(package)
        self.notice = (
            f"✔ Update {self._update_count} of this board is defined, to {package} (definition {definition_id})."
        )

    def _inject(self) -> None:
        self.bed.inject(self.fault.value, self.chosen)

    def _heal(self) -> None:
        self.bed.heal(self.chosen)

    def _delete(self) -> None:
        self.bed.service.delete_task(self.bed.owner, self.chosen.id)

    def rows(self) -> list[GatewayRow]:
        """Return the rows of the table of gateways."""
        return [self._gateway_row(gateway) for gateway in self.bed.gateways]

    def _gateway_row(self, gateway: TestbedGateway) -> GatewayRow:
        """Return the row of one gateway."""
        status, sends = self._task_status(gateway)
        faults = [fault.value for fault in gateway.virtual.faults]
        return GatewayRow(
            eui=gateway.eui.hex,
            package=gateway.home.read_package_version() or "(none)",
            status=status,
            sends=sends,
            next_poll=self._next_poll_text(gateway),
            fault=", ".join(faults) or "none",
        )

    def _task_status(self, gateway: TestbedGateway) -> tuple[TaskStatus | None, int]:
        """Return the status of the gateway's task and the number of sends; (None, 0) if it has no task."""
        try:
            task = self.bed.service.task(self.bed.owner, gateway.id)
        except NotFound:
            return None, 0
        return task.status, task.sends

    def _next_poll_text(self, gateway: TestbedGateway) -> str:
        """Return the time until the gateway's next poll; "never" if it does not poll any more."""
        if gateway.is_silent:
            return "never"
        wait_ms = gateway.next_poll_ms - self.bed.clock.now_ms()
        if wait_ms <= 0:
            return "now"
        return format_interval(wait_ms / 1000)

    def html(self) -> SafeHtml:
        """Return the gateways, the latest events, and the log of the chosen gateway."""
        gateways = table(HEAD, map(_html_cells, self.rows()), f"The clock stands at {self.bed.now()}")
        events = table(LOG_HEAD, self._event_rows(), "What has happened to tasks (the last events)")
        log_heading = heading(f"Log of gateway {self.chosen.eui.hex}")
        log = SafeHtml(log_heading + preformatted(self._station_log_text()))
        return SafeHtml(gateways + events + log)

    def _event_rows(self) -> list[tuple[str, ...]]:
        return [_log_cells(row) for row in self.bed.log[-MAX_LOG_ROWS:]]

    def _station_log_text(self) -> str:
        """Return the latest lines of the chosen gateway's log, without ports."""
        lines = [_LOOPBACK_PORT.sub(r"\1", line) for line in self.chosen.log[-MAX_STATION_LOG_LINES:]]
        return "\n".join(lines) or "(it has not polled yet)"

    def text(self) -> str:
        """Return the gateways and the latest events."""
        gateways = text_table(HEAD, [row.cells() for row in self.rows()])
        events = text_table(LOG_HEAD, self._event_rows())
        return f"The clock stands at {self.bed.now()}\n{gateways}\n{events}"


def _html_cells(row: GatewayRow) -> tuple[object, ...]:
    """Return the cells of a row with the task as a chip."""
    eui, package, task, *others = row.cells()
    return (eui, package, chip(task, STATUS_MOODS[row.status]), *others)


def _log_cells(row: LogRow) -> tuple[str, ...]:
    """Return the cells of an event, one for each column of LOG_HEAD."""
    from_status = str(row.from_status or "–")
    to_status = str(row.to_status or "–")
    return (format_iso(row.time)[11:-1], row.gateway, str(row.attempt), from_status, to_status, row.cause)
