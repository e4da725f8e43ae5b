"""A panel whose content is calculated, perhaps for long: what is shown stays until there is something new."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from lorafw.errors import LorafwError
from lorafw.lab.job import Job, Progress
from lorafw.lab.markup import Html, heading
from lorafw.lab.panel import Panel

T = TypeVar("T")


class CalculatedPanel(Panel, Generic[T]):
    """``shown`` is what was calculated last, ``job`` what calculates."""

    def __init__(self, shown: T) -> None:
        super().__init__()
        self.shown = shown
        self.job: Job[T] = Job(self._show, self._fail)

    @property
    @abstractmethod
    def is_stale(self) -> bool:
        """Do the controls say something else than what is shown?"""

    def calculate(self, work: Callable[[Progress], T]) -> None:
        self.job.start(work)

    def note(self) -> Html:
        """What to do about it, where the controls have changed."""
        return heading("The controls have changed: press Run.") if self.is_stale else Html("")

    def _show(self, shown: T) -> None:
        with self._lock:
            self.shown, self.problem = shown, ""
            self.redraw()

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, LorafwError):
            raise error
        with self._lock:
            self.problem = str(error)
            self.redraw()
