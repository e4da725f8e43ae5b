"""What the rollout monitor shows: a rollout as its journal describes it, as HTML and as plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lorafw.lab.panels.html import (
    Mood,
    SafeHtml,
    chip,
    heading,
    image,
    keep_on_one_line,
    key_figures,
    preformatted,
    quiet,
    side_by_side,
    table,
    text_table,
)
from lorafw.lab.panels.task_board import STATUS_MOODS, STATUS_SYMBOLS
from lorafw.lab.plots import wave_course
from lorafw.lab.plots.figure import AccessibleFigure
from lorafw.rollout import Command, Report, StateName
from lorafw.rollout.journal_reader import JournalReader
from lorafw.rollout.report.report import make_report
from lorafw.rollout.report.text import gateways_with_reason
from lorafw.rollout.state import Phase, RolloutState
from lorafw.rollout.status import can_be_promoted
from lorafw.tasks.lifecycle import TaskStatus

STATE_CHIPS: Final[Mapping[str, tuple[str, Mood]]] = {
    StateName.PLANNED: ("○", "idle"),
    StateName.RUNNING: ("▶", "busy"),
    StateName.HOLDING: ("◆", "warn"),
    StateName.PAUSED: ("Ⅱ", "warn"),
    StateName.COMPLETED: ("✔", "good"),
    StateName.ABORTED: ("✖", "bad"),
    StateName.FAILED: ("✖", "bad"),
}
"""The sign and the mood of the chip of each state."""
ENDED_STATES: Final = (StateName.COMPLETED, StateName.ABORTED, StateName.FAILED)
WAVE_HEAD: Final = ("wave", "gateways", "state", "COMPLETED", "FAILED", "not ended", "gate")
GATEWAY_HEAD: Final = ("gateway", "wave", "status", "reason")
NEEDS_ATTENTION: Final = (TaskStatus.FIRST_RETRY, TaskStatus.SECOND_RETRY, TaskStatus.FAILED, Phase.SKIPPED)
"""The statuses of gateways that need attention: a try has failed, or the gateway was left out."""
MAX_GATEWAYS: Final = 8
"""Number of gateways in the table. The report has them all."""
CURRENT_WAVE: Final = -1
"""The choice of the first wave whose gate has not let the rollout go on, whatever its number is."""


@dataclass(frozen=True, eq=False, slots=True)
class MonitorView:
    """A rollout at one moment, as its journal describes it, and the picture of one wave."""

    state: RolloutState
    report: Report
    """The same facts in the form of the report: a document with plain values."""
    figure: AccessibleFigure
    """The picture of the wave."""
    figure_html: SafeHtml
    """The picture as HTML."""

    @classmethod
    def read(cls, reader: JournalReader, wave: int) -> MonitorView:
        """Read what was added to the journal, and draw a wave.

        Args:
            reader: Reads the journal. If there is none, the rollout has not begun.
            wave: The index of the wave from 0, or CURRENT_WAVE.

        Returns:
            The rollout at this moment.

        Raises:
            JournalError: The journal cannot be read, or is that of another plan.
        """
        state, events = reader.read()
        report = make_report(state, events)
        if wave == CURRENT_WAVE:
            wave = state.current_wave
        figure = wave_course(report.courses[wave])
        return cls(state, report, figure, image(figure))

    @property
    def document(self) -> Mapping[str, Any]:
        """The facts of the report, by name."""
        return self.report.document

    @property
    def has_ended(self) -> bool:
        """Whether the rollout has ended, as far as the journal was read."""
        return self.state.finished is not None

    def possible_commands(self) -> set[Command]:
        """Return the commands that would change something now. The set is empty if the rollout has ended.

        A promotion lets a rollout go on although one of its rules has stopped it for a person to look.
        """
        name = self.document["state"]
        if name in ENDED_STATES:
            return set()
        commands = {Command.ABORT, Command.PAUSE}
        if name == StateName.PAUSED:
            commands = {Command.ABORT, Command.RESUME}
        if can_be_promoted(self.state):
            commands.add(Command.PROMOTE)
        return commands

    def gateways_needing_attention(self) -> list[Mapping[str, Any]]:
        """Return the gateways that a person should look at, as the report describes them."""
        return [gateway for gateway in gateways_with_reason(self.document) if self._needs_attention(gateway)]

    def _needs_attention(self, gateway: Mapping[str, Any]) -> bool:
        """Return whether a gateway that is not COMPLETED has a problem, has stalled, or has failed a try."""
        has_problem = gateway["gateway"] in self.state.problems
        return has_problem or gateway["has_stalled"] or gateway["status"] in NEEDS_ATTENTION


def wave_rows(document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the rows of the table of waves, with one cell for each column of WAVE_HEAD.

    Args:
        document: The facts of the report.
    """
    rows: list[tuple[str, ...]] = []
    gates = document["planned"]["gates"]
    for index, wave in enumerate(document["waves"]):
        row = (
            str(index + 1),
            f"{wave['size']:,}",
            wave["state"],
            str(wave["completed"]),
            str(wave["failed"]),
            str(wave["open"]),
            gates[index],
        )
        rows.append(row)
    return rows


def _gateway_row(gateway: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of a gateway as text, one for each column of GATEWAY_HEAD."""
    return (gateway["gateway"], str(gateway["wave"]), gateway["status"], gateway["reason"])


def _gateway_html_row(gateway: Mapping[str, Any]) -> tuple[object, ...]:
    """Return the cells of a gateway as HTML, with its status as a chip."""
    name, wave, status, reason = _gateway_row(gateway)
    # A gateway without a task has a phase of the rollout in the place of a status.
    task_status = TaskStatus(status) if status in list(TaskStatus) else None
    label = chip(f"{STATUS_SYMBOLS[task_status]} {status}", STATUS_MOODS[task_status])
    return (keep_on_one_line(name), wave, keep_on_one_line(label), reason)


def headline_html(document: Mapping[str, Any]) -> SafeHtml:
    """Return the state of a rollout with its reason, and the number of gateways that have ended in each way.

    Args:
        document: The facts of the report.
    """
    sign, mood = STATE_CHIPS[document["state"]]
    state = chip(f"{sign} {document['state']}", mood, large=True)
    reason = quiet(document["reason"])
    counts = document["counts"]
    not_ended = sum(wave["open"] for wave in document["waves"])
    figures = key_figures(
        ("COMPLETED", f"{counts[TaskStatus.COMPLETED]:,}"),
        ("FAILED", f"{counts[TaskStatus.FAILED]:,}"),
        ("not ended", f"{not_ended:,}"),
        ("gateways", f"{document['gateways']:,}"),
    )
    return SafeHtml(f"<div>{state} {reason}</div>{figures}")


def details_html(view: MonitorView, explanation: SafeHtml) -> SafeHtml:
    """Return the table of waves, and beside it the gateways that need attention.

    Args:
        view: The rollout.
        explanation: Why one of the gateways has its status. Shown below the gateways.
    """
    document = view.document
    caption = f"{document['name']}, {document['target']}"
    if document["next_look"]:
        caption += f"; next look {document['next_look']}"
    waves = table(WAVE_HEAD, wave_rows(document), caption)
    gateways = _attention_html(view.gateways_needing_attention())
    return side_by_side((waves, 480), (SafeHtml(gateways + explanation), 400))


def _attention_html(gateways: Sequence[Mapping[str, Any]]) -> SafeHtml:
    """Return a table of the first gateways that need attention, and the number of the others."""
    if not gateways:
        return quiet("No gateway needs attention.")
    rows = [_gateway_html_row(gateway) for gateway in gateways[:MAX_GATEWAYS]]
    attention = table(GATEWAY_HEAD, rows, f"Gateways that need attention: {len(gateways)}")
    hidden_count = len(gateways) - len(rows)
    if hidden_count == 0:
        return attention
    return SafeHtml(attention + quiet(f"and {hidden_count} more, which 'lorafw rollout report' lists"))


def explanation_html(gateway: str, lines: Sequence[str]) -> SafeHtml:
    """Return why a gateway has its status. Returns nothing if there are no lines.

    Args:
        gateway: The id of the gateway.
        lines: The explanation, line by line.
    """
    if not lines:
        return SafeHtml("")
    title = heading(f"Gateway {gateway}")
    return SafeHtml(title + preformatted("\n".join(lines), height_px=220))


def monitor_text(view: MonitorView, explanation_lines: Sequence[str]) -> str:
    """Return what the monitor shows as plain text.

    Args:
        view: The rollout.
        explanation_lines: Why one of the gateways has its status, line by line.
    """
    document = view.document
    gateways = view.gateways_needing_attention()
    lines = [f"{document['name']}: {document['state']}", document["reason"]]
    lines.append(text_table(WAVE_HEAD, wave_rows(document)))
    lines.append(f"Gateways that need attention: {len(gateways)}")
    if gateways:
        rows = [_gateway_row(gateway) for gateway in gateways[:MAX_GATEWAYS]]
        lines.append(text_table(GATEWAY_HEAD, rows))
    lines += explanation_lines
    lines.append(view.figure.alt)
    return "\n".join(lines)
