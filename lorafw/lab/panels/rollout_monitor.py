"""The rollout monitor: follow a rollout, see where it leaves its prediction, and tell it to pause, go on or stop.

The state of the panel is the journal, which ``apply`` writes: in this notebook, in a terminal, or on a server whose
disk the notebook shares. The panel reads it again whenever it changes. The buttons write commands into it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from lorafw.errors import LabError, LorafwError
from lorafw.lab.panels.background import Job, Progress
from lorafw.lab.panels.base import Panel, button, dropdown, text_input, wide
from lorafw.lab.panels.html import (
    Mood,
    SafeHtml,
    chip,
    heading,
    key_figures,
    preformatted,
    quiet,
    side_by_side,
    table,
    text_table,
)
from lorafw.lab.panels.rollout_driver import RolloutDriver, make_driver
from lorafw.lab.panels.rollout_view import (
    CURRENT_WAVE,
    GATEWAY_HEAD,
    MAX_GATEWAYS,
    WAVE_HEAD,
    MonitorView,
    gateway_cells,
    gateway_html_cells,
)
from lorafw.rollout import Command, Connection, SavedPlan, StateName, command, read_plan, read_state
from lorafw.rollout.actor import local_actor
from lorafw.rollout.file_system import is_locked
from lorafw.rollout.journal import journal_path
from lorafw.rollout.state import RolloutState
from lorafw.rollout.status import can_be_promoted
from lorafw.tasks.lifecycle import TaskStatus
from lorafw.testbed import Testbed

STATE_CHIPS: Final[Mapping[str, tuple[str, Mood]]] = {
    StateName.PLANNED: ("○", "idle"),
    StateName.RUNNING: ("▶", "busy"),
    StateName.HOLDING: ("◆", "warn"),
    StateName.PAUSED: ("Ⅱ", "warn"),
    StateName.COMPLETED: ("✔", "good"),
    StateName.ABORTED: ("✖", "bad"),
    StateName.FAILED: ("✖", "bad"),
}
"""The sign of each state, and what its chip says."""
FOLLOW_INTERVAL_S: Final = 0.5
"""Shortest time between two looks at the journal's files."""
MAX_READING_SHARE: Final = 0.2
"""Largest share of the time in which the journal is read. That of 40,000 gateways takes many seconds."""
NO_GATEWAY: Final = "none"


class RolloutMonitor(Panel):
    """The panel of the rollout monitor."""

    def __init__(
        self,
        plan: SavedPlan | Path | str,
        journal: Path | str | None = None,
        target: Testbed | Connection | None = None,
    ) -> None:
        """Read the journal, and create the controls.

        Args:
            plan: The saved plan, or its file.
            journal: The file of the journal. None: the file beside the plan's that ends in ``.journal``.
            target: Where the panel carries the plan out when Apply is pressed: a testbed, whose clock it moves, or a
                connection. None if ``apply`` runs elsewhere.

        Raises:
            LabError: The plan was given without its file, and no journal was given.
            RolloutError: The file of the plan is none.
            JournalError: The journal cannot be read, or is that of another plan.
        """
        super().__init__()
        self.journal = _journal_of(plan, journal)
        self.plan = plan if isinstance(plan, SavedPlan) else read_plan(plan)
        self.view = MonitorView.read(self.plan, self.journal, CURRENT_WAVE)
        """What is shown."""
        self._driver: RolloutDriver | None = make_driver(target) if target is not None else None
        self._signature = _signature_of(self.journal)
        self._reading_number = 0
        """Counts the readings of the journal."""
        self._follower: asyncio.Task[None] | None = None
        self._create_views()
        self._create_commands()
        self.build(*self._rows(), beside=True)
        self._follow_if_possible()

    def _create_views(self) -> None:
        """Create the controls that choose what is shown."""
        waves = [(f"wave {number}", number - 1) for number in range(1, len(self.plan.waves) + 1)]
        self.wave = self.connect(wide(dropdown("Wave", [("the current one", CURRENT_WAVE), *waves])), self.reload)
        self.gateway = self.connect(wide(dropdown("Gateway to explain", [NO_GATEWAY])))
        self.update = self.connect(button("Refresh", "Read the journal again"), self.reload)

    def _create_commands(self) -> None:
        """Create the controls that tell the rollout something, and those that carry it out."""
        self.reason = wide(text_input("Reason", "", placeholder="why, for the record"))
        self.pause = self._command_button("Pause", "Create no more tasks until you resume", Command.PAUSE)
        self.resume = self._command_button("Resume", "Go on after a pause", Command.RESUME)
        self.promote = self._command_button("Promote", "Go on in spite of what it holds for", Command.PROMOTE)
        self.abort = self._command_button("Abort", "Stop for good, and delete PENDING tasks", Command.ABORT)
        self.job: Job[RolloutState] = Job(self._show_end, self._show_error)
        """The run of ``apply`` in this panel, with its widgets."""
        self.apply = self.connect(button("Apply", "Carry the plan out until it ends or holds"), self._apply)

    def _command_button(self, name: str, tooltip: str, chosen: Command) -> Any:
        """Return a button that writes a command into the journal."""
        return self.connect(button(name, tooltip), partial(self._command, chosen))

    def _rows(self) -> list[tuple[Any, ...]]:
        """Return the controls of each row. Without a target, nothing can be applied."""
        rows: list[tuple[Any, ...]] = [(self.reason,), (self.pause, self.resume), (self.promote, self.abort)]
        if self._driver is not None:
            rows = [(self.apply, self.job.cancel), (self.job.bar,), *rows]
        return [*rows, (self.wave,), (self.gateway,), (self.update,)]

    # --- actions ---

    def reload(self) -> None:
        """Read the journal again. The caller draws the panel."""
        self._reading_number += 1
        self._signature = _signature_of(self.journal)
        self.view = MonitorView.read(self.plan, self.journal, self.wave.value)

    def _command(self, chosen: Command) -> None:
        """Write a command into the journal. Sets ``notice``."""
        reason = self.reason.value.strip()
        if not reason:
            raise LabError(f"reason: say why, before you press {chosen.capitalize()}; it is recorded with your name")
        if chosen is Command.PROMOTE and not can_be_promoted(read_state(self.plan, self.journal)):
            raise LabError("there is nothing that a promotion would change; press Refresh")
        is_applied = self.journal.exists() and is_locked(self.journal)
        clock = self._driver.clock if self._driver is not None else None
        command(self.plan, self.journal, chosen, actor=local_actor(), reason=reason, clock=clock)
        self.reason.value = ""
        self.reload()
        effect = "apply reads it at its next step" if is_applied else "it takes effect when apply runs again"
        self.notice = f"✔ {chosen.capitalize()} is recorded; {effect}."

    def _apply(self) -> None:
        """Carry the plan out in the background."""
        if self._driver is None:
            raise LabError("target: this panel was made without a testbed and a connection; run apply elsewhere")
        self.job.start(partial(self._run, self._driver))
        self._follow_if_possible()

    def _run(self, driver: RolloutDriver, progress: Progress) -> RolloutState:
        """Carry the plan out. Called in a thread."""
        return driver.run(self.plan, self.journal, progress)

    def _show_end(self, _: RolloutState) -> None:
        """Draw the state in which ``apply`` has ended."""
        with self._lock:
            self._run_action(self.reload)
            self.redraw()

    def _show_error(self, error: Exception) -> None:
        """Show an error of lorafw. Any other exception is a fault of the program, and is raised again."""
        if not isinstance(error, LorafwError):
            raise error
        with self._lock:
            self._run_action(self.reload)
            self.error = str(error)
            self.redraw()

    # --- following ---

    def _follow_if_possible(self) -> None:
        """Read the journal again whenever it changes, as long as the event loop of a notebook runs."""
        if self._follower is not None and not self._follower.done():
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._follower = loop.create_task(self._follow())

    async def _follow(self) -> None:
        """Read the journal whenever it has changed, until the rollout has ended."""
        pause_s = FOLLOW_INTERVAL_S
        while self.view.state.finished is None:
            await asyncio.sleep(pause_s)
            signature = _signature_of(self.journal)
            if signature == self._signature:
                continue
            self._signature = signature
            started_s = time.monotonic()
            await self._reload_in_background()
            reading_s = time.monotonic() - started_s
            pause_s = max(FOLLOW_INTERVAL_S, reading_s / MAX_READING_SHARE)

    async def _reload_in_background(self) -> None:
        """Read the journal in a thread, and draw the panel.

        What was read is dropped if the journal was read again meanwhile, because then it is older than what is shown.
        """
        self._reading_number += 1
        number = self._reading_number
        try:
            view = await asyncio.to_thread(MonitorView.read, self.plan, self.journal, self.wave.value)
        except LorafwError as error:
            self.error = str(error)
        else:
            if number != self._reading_number:
                return
            self.view = view
        self.redraw()

    # --- what is shown ---

    def refresh(self) -> None:
        """Offer the gateways that need attention, and the commands that are possible now."""
        ids = [gateway["gateway"] for gateway in self.view.attention()] or [NO_GATEWAY]
        if list(self.gateway.options) != ids:
            self.gateway.options = ids
        state = self.view.document["state"]
        has_ended = state in (StateName.COMPLETED, StateName.ABORTED, StateName.FAILED)
        self.pause.disabled = has_ended or state == StateName.PAUSED
        self.resume.disabled = state != StateName.PAUSED
        self.promote.disabled = has_ended or not can_be_promoted(self.view.state)
        self.abort.disabled = has_ended
        self.apply.disabled = self.view.state.finished is not None

    def headline_html(self) -> SafeHtml:
        """Return the state with its reason, and how many gateways have each end."""
        document = self.view.document
        sign, mood = STATE_CHIPS[document["state"]]
        state = chip(f"{sign} {document['state']}", mood, large=True)
        return SafeHtml(f"<div>{state} {quiet(document['reason'])}</div>{key_figures(*self._figures())}")

    def _figures(self) -> list[tuple[str, str]]:
        """Return how many gateways have ended, and how many have not, as pairs of a name and a value."""
        document = self.view.document
        counts = document["counts"]
        figures = {
            "COMPLETED": counts[TaskStatus.COMPLETED],
            "FAILED": counts[TaskStatus.FAILED],
            "not ended": sum(wave["open"] for wave in document["waves"]),
            "gateways": document["gateways"],
        }
        return [(name, f"{count:,}") for name, count in figures.items()]

    def html(self) -> SafeHtml:
        """Return the picture of the chosen wave."""
        return self.view.figure_html

    def details_html(self) -> SafeHtml:
        """Return the waves with their gates, and the gateways that need attention."""
        waves = table(WAVE_HEAD, self.view.wave_rows(), self._rollout_summary())
        return side_by_side((waves, 480), (SafeHtml(self._attention_html() + self._explanation_html()), 400))

    def _attention_html(self) -> SafeHtml:
        """Return the first gateways that need attention."""
        attention = self.view.attention()
        if not attention:
            return quiet("No gateway needs attention.")
        rows = [gateway_html_cells(gateway) for gateway in attention[:MAX_GATEWAYS]]
        gateways = table(GATEWAY_HEAD, rows, f"Gateways that need attention: {len(attention)}")
        hidden = len(attention) - len(rows)
        if not hidden:
            return gateways
        return SafeHtml(gateways + quiet(f"and {hidden} more, which 'lorafw rollout report' lists"))

    def _rollout_summary(self) -> str:
        """Return one line with the rollout's name, its target, and when it looks at its gateways next."""
        document = self.view.document
        summary = f"{document['name']}, {document['target']}"
        if document["next_look"]:
            summary += f"; next look {document['next_look']}"
        return summary

    def _explanation_html(self) -> SafeHtml:
        """Return why the chosen gateway has its status, as HTML. Empty if there is no explanation."""
        lines = self._explain_gateway()
        if not lines:
            return SafeHtml("")
        return SafeHtml(heading(f"Gateway {self.gateway.value}") + preformatted("\n".join(lines), height_px=220))

    def _explain_gateway(self) -> list[str]:
        """Return why the chosen gateway has its status, as lines of text.

        Empty if no gateway is chosen, or if this panel has no testbed and no connection that could explain it.
        """
        if self._driver is None or self._driver.explain is None or self.gateway.value == NO_GATEWAY:
            return []
        try:
            return list(self._driver.explain(self.gateway.value))
        except LorafwError as error:
            return [str(error)]

    def text(self) -> str:
        """Return the state, the waves, the gateways that need attention, and the alternative text of the picture."""
        document = self.view.document
        lines = [f"{document['name']}: {document['state']}", document["reason"]]
        lines.append(text_table(WAVE_HEAD, self.view.wave_rows()))
        attention = self.view.attention()
        lines.append(f"Gateways that need attention: {len(attention)}")
        if attention:
            lines.append(text_table(GATEWAY_HEAD, [gateway_cells(gateway) for gateway in attention[:MAX_GATEWAYS]]))
        lines += self._explain_gateway()
        lines.append(self.view.figure.alt)
        return "\n".join(lines)


def _journal_of(plan: SavedPlan | Path | str, journal: Path | str | None) -> Path:
    """Return the file of the journal."""
    if journal is not None:
        return Path(journal)
    if isinstance(plan, SavedPlan):
        raise LabError("journal: name the file, because a plan that was not read from a file has none beside it")
    return journal_path(Path(plan))


def _signature_of(journal: Path) -> tuple[tuple[int, int], ...]:
    """Return the size and the time of change of the journal's files. It differs if something was written."""
    parts = []
    for path in (journal, journal.with_name(journal.name + "-wal")):
        if path.exists():
            status = path.stat()
            parts.append((status.st_size, status.st_mtime_ns))
    return tuple(parts)
