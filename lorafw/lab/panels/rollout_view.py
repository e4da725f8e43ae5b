"""What the rollout monitor shows: the facts of a journal, the rows of its tables, and the picture of one wave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lorafw.lab.panels.html import SafeHtml, chip, image, keep_on_one_line
from lorafw.lab.panels.task_board import STATUS_MOODS, STATUS_SYMBOLS
from lorafw.lab.plots import wave_course
from lorafw.lab.plots.figure import AccessibleFigure
from lorafw.rollout import Report, SavedPlan
from lorafw.rollout.application import read_journal
from lorafw.rollout.report.report import make_report
from lorafw.rollout.report.text import gateways_with_reason
from lorafw.rollout.state import Phase, RolloutState
from lorafw.tasks.lifecycle import TaskStatus

WAVE_HEAD: Final = ("wave", "gateways", "state", "COMPLETED", "FAILED", "not ended", "gate")
GATEWAY_HEAD: Final = ("gateway", "wave", "status", "reason")
NEEDS_ATTENTION: Final = (TaskStatus.FIRST_RETRY, TaskStatus.SECOND_RETRY, TaskStatus.FAILED, Phase.SKIPPED)
"""What a gateway needs attention for, beside a problem and a stalled update: a try has failed, or it was left out."""
MAX_GATEWAYS: Final = 8
"""Number of gateways in the table. The report has them all."""
CURRENT_WAVE: Final = -1
"""The choice of the wave that has not been let go on yet, whatever its number."""


@dataclass(frozen=True, eq=False, slots=True)
class MonitorView:
    """What the journal says about a rollout, and the picture of one wave."""

    state: RolloutState
    report: Report
    figure: AccessibleFigure
    figure_html: SafeHtml
    """The figure as HTML."""

    @classmethod
    def read(cls, plan: SavedPlan, journal: Path, wave: int) -> MonitorView:
        """Read the journal, and draw a wave.

        Args:
            plan: The saved plan.
            journal: The file of the journal. Without it, the rollout is planned.
            wave: The index of the wave, or CURRENT_WAVE.

        Returns:
            What is shown.

        Raises:
            JournalError: The journal cannot be read, or is that of another plan.
        """
        state, events = read_journal(plan, journal)
        report = make_report(state, events)
        if wave == CURRENT_WAVE:
            wave = state.current_wave
        figure = wave_course(report.courses[wave])
        return cls(state, report, figure, image(figure))

    @property
    def document(self) -> Mapping[str, Any]:
        """The facts of the report."""
        return self.report.document

    def wave_rows(self) -> list[tuple[str, ...]]:
        """Return the rows of the table of waves."""
        waves = self.document["waves"]
        gates = self.document["planned"]["gates"]
        return [
            _wave_cells(number, wave, gate) for number, (wave, gate) in enumerate(zip(waves, gates, strict=True), 1)
        ]

    def attention(self) -> list[Mapping[str, Any]]:
        """Return the gateways that need attention, as the report describes them."""
        return [gateway for gateway in gateways_with_reason(self.document) if self._needs_attention(gateway)]

    def _needs_attention(self, gateway: Mapping[str, Any]) -> bool:
        """Return whether a person should look at a gateway that is not COMPLETED."""
        if gateway["has_stalled"] or gateway["gateway"] in self.state.problems:
            return True
        return gateway["status"] in NEEDS_ATTENTION


def _wave_cells(number: int, wave: Mapping[str, Any], gate: str) -> tuple[str, ...]:
    """Return the cells of a wave, one for each column of WAVE_HEAD."""
    return (
        str(number),
        f"{wave['size']:,}",
        wave["state"],
        str(wave["completed"]),
        str(wave["failed"]),
        str(wave["open"]),
        gate,
    )


def gateway_cells(gateway: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of a gateway, one for each column of GATEWAY_HEAD."""
    return (gateway["gateway"], str(gateway["wave"]), gateway["status"], gateway["reason"])


def gateway_html_cells(gateway: Mapping[str, Any]) -> tuple[object, ...]:
    """Return the cells of a gateway with its status as a chip."""
    name, wave, status, reason = gateway_cells(gateway)
    task_status = TaskStatus(status) if status in list(TaskStatus) else None
    label = chip(f"{STATUS_SYMBOLS[task_status]} {status}", STATUS_MOODS[task_status])
    return (keep_on_one_line(name), wave, keep_on_one_line(label), reason)
