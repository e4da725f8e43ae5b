"""The task board: the gateways of a testbed, the status of their tasks, and the logs of both sides.

The state of the panel is the testbed itself. Each button calls one of its methods. The clock advances only when the
user advances it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from lorafw.clock import format_iso
from lorafw.errors import LabError, NotFound
from lorafw.faults import Fault
from lorafw.lab.panels.base import Panel, button, dropdown, text_input, wide
from lorafw.lab.panels.html import Mood, SafeHtml, chip, heading, preformatted, table, text_table
from lorafw.station.log import format_interval
from lorafw.tasks.lifecycle import LogRow, TaskStatus
from lorafw.tasks.model import Task
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

    @property
    def task(self) -> str:
        """The status with its symbol."""
        return f"{STATUS_SYMBOLS[self.status]} {self.status_label}"

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the row as text, one for each column of HEAD."""
        return (self.eui, self.package, self.task, str(self.sends), self.next_poll, self.fault)

    def html_cells(self) -> tuple[object, ...]:
        """Return the cells of the row with the task as a chip."""
        task = chip(self.task, STATUS_MOODS[self.status])
        return (self.eui, self.package, task, str(self.sends), self.next_poll, self.fault)


def gateway_row(bed: Testbed, gateway: TestbedGateway) -> GatewayRow:
    """Return the row of one gateway.

    Args:
        bed: The testbed.
        gateway: One of its gateways.
    """
    task = _find_task(bed, gateway)
    status = None if task is None else task.status
    sends = 0 if task is None else task.sends
    faults = [fault.value for fault in gateway.virtual.faults]
    return GatewayRow(
        eui=gateway.eui.hex,
        package=gateway.home.read_package_version() or "(none)",
        status=status,
        sends=sends,
        next_poll=_describe_next_poll(bed, gateway),
        fault=", ".join(faults) or "none",
    )


def _find_task(bed: Testbed, gateway: TestbedGateway) -> Task | None:
    """Return the update task of a gateway, or None if it has none."""
    try:
        return bed.service.task(bed.owner, gateway.id)
    except NotFound:
        return None


def _describe_next_poll(bed: Testbed, gateway: TestbedGateway) -> str:
    """Return the time until the gateway's next poll in words; "never" if it does not poll any more."""
    if gateway.is_silent:
        return "never"
    wait_ms = gateway.next_poll_ms - bed.clock.now_ms()
    if wait_ms <= 0:
        return "now"
    return format_interval(wait_ms / 1000)


def event_rows(events: Sequence[LogRow]) -> list[tuple[str, ...]]:
    """Return the rows of the latest events, with one cell for each column of LOG_HEAD.

    Args:
        events: All events of the tasks of a testbed, in the order of time.
    """
    rows: list[tuple[str, ...]] = []
    for event in events[-MAX_LOG_ROWS:]:
        time_of_day = format_iso(event.time)[11:-1]  # the part between "T" and "Z"
        from_status = str(event.from_status or "–")
        to_status = str(event.to_status or "–")
        rows.append((time_of_day, event.gateway, str(event.attempt), from_status, to_status, event.cause))
    return rows


def station_log_text(gateway: TestbedGateway) -> str:
    """Return the latest lines of a gateway's log, without ports.

    Args:
        gateway: The gateway.
    """
    lines = [_LOOPBACK_PORT.sub(r"\1", line) for line in gateway.log[-MAX_STATION_LOG_LINES:]]
    return "\n".join(lines) or "(it has not polled yet)"


def board_html(bed: Testbed, rows: Sequence[GatewayRow], chosen: TestbedGateway) -> SafeHtml:
    """Return the gateways, the latest events, and the log of one gateway.

    Args:
        bed: The testbed.
        rows: A row for each gateway.
        chosen: The gateway whose log is shown.
    """
    gateways = table(HEAD, [row.html_cells() for row in rows], f"The clock stands at {bed.now()}")
    events = table(LOG_HEAD, event_rows(bed.log), "What has happened to tasks (the last events)")
    log_title = heading(f"Log of gateway {chosen.eui.hex}")
    log = preformatted(station_log_text(chosen))
    return SafeHtml(gateways + events + log_title + log)


class TaskBoard(Panel):
    """A notebook widget with the gateways of a testbed and their update tasks, and buttons to act on them.

    Call ``redraw()`` after the testbed was changed by other code.
    """

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
        """Number of updates that were defined with this board."""
        self._create_clock_and_update_controls()
        self._create_gateway_controls()
        self.build(
            (wide(self.gateway), self.poll, self.delete, self.span, self.advance),
            (self.package, self.define, wide(self.fault), self.inject, self.heal),
        )

    def _create_clock_and_update_controls(self) -> None:
        """Create the controls that concern all gateways."""
        self.span = dropdown("Advance clock by", ADVANCE_STEPS_S)
        self.advance = button("Advance", "Gateways poll whenever their own wait is over")
        self.connect(self.advance, self._advance_clock)
        self.package = text_input("New version", "1.0.1")
        self.define = button("Define update", "Build, sign and upload an update, and define its task")
        self.connect(self.define, self._define_update)

    def _create_gateway_controls(self) -> None:
        """Create the control that chooses a gateway, and those that concern the chosen one."""
        self.gateway = dropdown("Gateway", [gateway.eui.hex for gateway in self.bed.gateways])
        self.connect(self.gateway)
        self.poll = button("Poll", "The chosen gateway asks CUPS now")
        self.connect(self.poll, self._poll_now)
        self.fault = dropdown("Fault", FAULT_NAMES, value=Fault.WRONG_KEY.value)
        self.inject = button("Inject", "Let this go wrong at the chosen gateway")
        self.connect(self.inject, self._inject_fault)
        self.heal = button("Heal", "Take all faults of the chosen gateway away")
        self.connect(self.heal, self._heal_faults)
        self.delete = button("Delete task", "DeleteWirelessGatewayTask of the chosen gateway")
        self.connect(self.delete, self._delete_task)

    @property
    def chosen(self) -> TestbedGateway:
        """The gateway that the controls act on."""
        return next(gateway for gateway in self.bed.gateways if gateway.eui.hex == self.gateway.value)

    # --- actions ---

    def _run_action(self, action: Callable[[], object]) -> None:
        """Call the action. Sets ``error`` if it fails, or if the testbed was stopped."""
        if not self.bed.is_open:
            action = _refuse_stopped_testbed
        super()._run_action(action)

    def _advance_clock(self) -> None:
        self.bed.advance(self.span.value)

    def _define_update(self) -> None:
        """Define an update to the version in the text field, and say so in ``notice``."""
        self._update_count += 1
        package = self.package.value
        definition_id = self.bed.define_update(package)
        self.notice = (
            f"✔ Update {self._update_count} of this board is defined, to {package} (definition {definition_id})."
        )

    def _poll_now(self) -> None:
        self.bed.poll(self.chosen)

    def _inject_fault(self) -> None:
        self.bed.inject(self.fault.value, self.chosen)

    def _heal_faults(self) -> None:
        self.bed.heal(self.chosen)

    def _delete_task(self) -> None:
        self.bed.service.delete_task(self.bed.owner, self.chosen.id)

    # --- what is shown ---

    def rows(self) -> list[GatewayRow]:
        """Return a row for each gateway."""
        return [gateway_row(self.bed, gateway) for gateway in self.bed.gateways]

    @property
    def statuses(self) -> list[str]:
        """The status of each gateway's task as the board shows it; "no task" if it has none."""
        return [row.status_label for row in self.rows()]

    def html(self) -> SafeHtml:
        """Return the gateways, the latest events, and the log of the chosen gateway."""
        return board_html(self.bed, self.rows(), self.chosen)

    def text(self) -> str:
        """Return the gateways and the latest events."""
        gateways = text_table(HEAD, [row.cells() for row in self.rows()])
        events = text_table(LOG_HEAD, event_rows(self.bed.log))
        return f"The clock stands at {self.bed.now()}\n{gateways}\n{events}"


def _refuse_stopped_testbed() -> None:
    """Raise LabError. The action of every control of a board whose testbed was stopped."""
    raise LabError("the testbed of this board was stopped: run the cell that starts it, and this one, once more")
