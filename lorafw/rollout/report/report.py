"""A report, read from the files of a rollout, with everything that its pictures and tables are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lorafw.rollout.application import read_journal
from lorafw.rollout.curves import WaveCourse, wave_courses
from lorafw.rollout.events import Event, StatusChanged
from lorafw.rollout.report.document import Explain, report_document
from lorafw.rollout.saved_plan import SavedPlan
from lorafw.rollout.state import RolloutState


class Picture(Protocol):
    """A picture with an alternative text, such as those of ``lorafw.lab.plots``."""

    @property
    def alt(self) -> str:
        """What the picture shows, with its numbers."""
        ...

    def png(self) -> bytes:
        """Return the picture as a PNG image."""
        ...

    def svg(self) -> bytes:
        """Return the picture as an SVG image."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What there is to tell about a rollout."""

    document: Mapping[str, Any]
    """The facts, as ``report_document`` returns them."""
    courses: tuple[WaveCourse, ...]
    """How each wave went. The pictures of the report show it."""
    log: tuple[StatusChanged, ...]
    """The rows of the task log, in the order of time."""
    started_ms: int | None
    """When ``apply`` first started. None if it has not."""


def read_report(plan: SavedPlan, journal: Path, explain: Explain | None = None) -> Report:
    """Return the report on a rollout, while ``apply`` runs or afterwards.

    Args:
        plan: The saved plan.
        journal: The file of the journal. Without it, the rollout is planned.
        explain: Explains a gateway that has or had a task and is not COMPLETED. None if nobody is asked.

    Raises:
        JournalError: The journal cannot be read, or is that of another plan.
    """
    return make_report(*read_journal(plan, journal), explain)


def make_report(state: RolloutState, events: Sequence[Event], explain: Explain | None = None) -> Report:
    """Return the report on a rollout whose journal was read.

    Args:
        state: The state of the rollout.
        events: All events of its journal.
        explain: Explains a gateway that has or had a task and is not COMPLETED. None if nobody is asked.
    """
    rows = [event for event in events if isinstance(event, StatusChanged)]
    rows.sort(key=_time_of)
    document = report_document(state, events, explain)
    return Report(document, wave_courses(state.plan, events), tuple(rows), state.started_ms)


def _time_of(row: StatusChanged) -> int:
    """Return when a row happened."""
    return row.time_ms
