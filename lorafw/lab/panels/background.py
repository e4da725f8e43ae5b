"""A long calculation with progress and Cancel.

In a notebook it runs in a thread beside an asyncio task, which draws its progress and lets a click on Cancel through;
without a running loop, as in a test or a script, it runs straight through. Cancel takes effect at the next report of
progress, and a result that was cancelled is thrown away: what was shown before stays.
"""

from __future__ import annotations

import asyncio
import threading
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import ipywidgets

from lorafw.errors import LorafwError
from lorafw.lab.panels.base import Panel
from lorafw.lab.panels.html import SafeHtml, heading

T = TypeVar("T")
Progress = Callable[[int, int], None]

REFRESH_INTERVAL_S: Final = 0.05
"""So often the progress is drawn."""


class Cancelled(Exception):
    """Someone pressed Cancel. Never leaves the job."""


class Job(Generic[T]):
    """``work(progress)`` gives a result; ``done(result)`` is called with it, ``failed(error)`` with what went wrong.

    ``bar`` and ``cancel`` are widgets. A job that is started while another runs takes its place.
    """

    def __init__(self, done: Callable[[T], None], failed: Callable[[Exception], None]) -> None:
        self._done, self._failed = done, failed
        self._stop = threading.Event()
        self._fraction = 0.0
        self._task: asyncio.Task[None] | None = None
        self.bar = ipywidgets.FloatProgress(
            description="Progress", max=1.0, style={"description_width": "120px"}, layout={"width": "320px"}
        )
        self.cancel = ipywidgets.Button(
            description="Cancel", tooltip="Stop the calculation; what is shown stays", layout={"width": "auto"}
        )
        self.cancel.disabled = True
        self.cancel.on_click(lambda _: self.stop())

    @property
    def is_running(self) -> bool:
        return not self.cancel.disabled

    def start(self, work: Callable[[Progress], T]) -> None:
        self.stop()
        self._stop, self._fraction = threading.Event(), 0.0
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._run_synchronously(work)
        else:
            self._task = loop.create_task(self._run_in_background(work, self._stop))

    def stop(self) -> None:
        """What runs ends at its next report of progress."""
        self._stop.set()

    def _run_synchronously(self, work: Callable[[Progress], T]) -> None:
        self._begin()
        try:
            self._end(self._outcome(work, self._stop))
        finally:
            self._mark_idle()

    async def _run_in_background(self, work: Callable[[Progress], T], stop: threading.Event) -> None:
        self._begin()
        try:
            future = asyncio.get_running_loop().run_in_executor(None, self._outcome, work, stop)
            while not future.done():
                self.bar.value = self._fraction
                await asyncio.sleep(REFRESH_INTERVAL_S)
            if stop is self._stop:
                self._end(future.result())
        finally:
            if stop is self._stop:
                self._mark_idle()

    def _outcome(self, work: Callable[[Progress], T], stop: threading.Event) -> T | Exception:
        def progress(done: int, total: int) -> None:
            if stop.is_set():
                raise Cancelled
            if stop is self._stop:
                self._fraction = done / total if total else 1.0

        try:
            return work(progress)
        except Exception as error:  # told to whoever started the job
            return error

    def _end(self, outcome: Any) -> None:
        if isinstance(outcome, Cancelled):
            return
        if isinstance(outcome, Exception):
            self._failed(outcome)
        elif not self._stop.is_set():
            self.bar.value = 1.0
            self._done(outcome)

    def _begin(self) -> None:
        self.bar.value, self.cancel.disabled = 0.0, False

    def _mark_idle(self) -> None:
        self.cancel.disabled = True


class BackgroundPanel(Panel, Generic[T]):
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

    def note(self) -> SafeHtml:
        """What to do about it, where the controls have changed."""
        return heading("The controls have changed: press Run.") if self.is_stale else SafeHtml("")

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
