"""Long calculations of a panel, with a progress bar and a Cancel button.

In a notebook a calculation runs in a thread. An asyncio task draws its progress meanwhile, and clicks on Cancel are
handled. If no event loop runs, as in a test or a script, the calculation runs synchronously. A cancelled calculation
stops the next time it reports progress; its result is discarded, and the panel keeps showing the previous one.
"""

from __future__ import annotations

import asyncio
import threading
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import ipywidgets

from lorafw.errors import LorafwError
from lorafw.lab.panels.base import Panel, button, wide
from lorafw.lab.panels.html import SafeHtml, chip

T = TypeVar("T")
Progress = Callable[[int, int], None]

REFRESH_INTERVAL_S: Final = 0.05
"""Time between two updates of the progress bar."""


class Cancelled(Exception):
    """The job was cancelled. Raised by the progress callback; a job never lets it out."""


class Job(Generic[T]):
    """A calculation in the background, one at a time. A new one replaces one that still runs."""

    bar: ipywidgets.FloatProgress
    """Widget that shows the progress."""
    cancel: ipywidgets.Button
    """Widget that cancels the calculation. Enabled while one runs."""

    def __init__(self, on_done: Callable[[T], None], on_error: Callable[[Exception], None]) -> None:
        """Create the widgets. Nothing is calculated yet.

        Args:
            on_done: Called with the result of a calculation that was not cancelled.
            on_error: Called with the exception that a calculation raised.
        """
        self._on_done = on_done
        self._on_error = on_error
        self._stop_event = threading.Event()
        """Set when the current calculation is to stop. Each calculation has an event of its own."""
        self._fraction = 0.0
        self._task: asyncio.Task[None] | None = None
        self.bar = wide(ipywidgets.FloatProgress(description="Progress", max=1.0))
        self.cancel = button("Cancel", "Stop the calculation; what is shown stays")
        self.cancel.disabled = True
        self.cancel.on_click(lambda _: self.stop())

    @property
    def is_running(self) -> bool:
        """Whether a calculation runs."""
        return not self.cancel.disabled

    def start(self, work: Callable[[Progress], T]) -> None:
        """Start a calculation, and cancel the one that runs. Waits for the result if no event loop runs.

        Args:
            work: Returns the result. It is called with a function to report progress, ``progress(done, total)``,
                which raises Cancelled if the calculation is to stop.
        """
        self.stop()
        self._stop_event = threading.Event()
        self._fraction = 0.0
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._run_synchronously(work)
        else:
            self._task = loop.create_task(self._run_in_background(work, self._stop_event))

    def stop(self) -> None:
        """Cancel the calculation that runs. It stops the next time it reports progress."""
        self._stop_event.set()

    def _run_synchronously(self, work: Callable[[Progress], T]) -> None:
        """Run the calculation in this thread, and report its outcome."""
        self._mark_running()
        try:
            self._report(self._run_catching(work, self._stop_event))
        finally:
            self._mark_idle()

    async def _run_in_background(self, work: Callable[[Progress], T], stop_event: threading.Event) -> None:
        """Run the calculation in a thread, and update the progress bar until it has ended.

        Reports nothing if another calculation has been started meanwhile.
        """
        self._mark_running()
        try:
            future = asyncio.get_running_loop().run_in_executor(None, self._run_catching, work, stop_event)
            while not future.done():
                self.bar.value = self._fraction
                await asyncio.sleep(REFRESH_INTERVAL_S)
            if stop_event is self._stop_event:
                self._report(future.result())
        finally:
            if stop_event is self._stop_event:
                self._mark_idle()

    def _run_catching(self, work: Callable[[Progress], T], stop_event: threading.Event) -> T | Exception:
        """Run the calculation, and return its result or the exception that it raised."""

        def progress(done: int, total: int) -> None:
            if stop_event.is_set():
                raise Cancelled
            if stop_event is self._stop_event:
                self._fraction = done / total if total else 1.0

        try:
            return work(progress)
        except Exception as error:  # passed to on_error
            return error

    def _report(self, outcome: Any) -> None:
        """Call ``on_done`` or ``on_error``, or neither if the calculation was cancelled."""
        if isinstance(outcome, Cancelled):
            return
        if isinstance(outcome, Exception):
            self._on_error(outcome)
        elif not self._stop_event.is_set():
            self.bar.value = 1.0
            self._on_done(outcome)

    def _mark_running(self) -> None:
        self.bar.value = 0.0
        self.cancel.disabled = False

    def _mark_idle(self) -> None:
        self.cancel.disabled = True


class BackgroundPanel(Panel, Generic[T]):
    """A panel that shows the result of a long calculation."""

    def __init__(self, result: T) -> None:
        super().__init__()
        self.result = result
        """The result that is shown."""
        self.job: Job[T] = Job(self._show_result, self._show_error)
        """The calculation that runs, with its widgets."""

    @property
    @abstractmethod
    def is_stale(self) -> bool:
        """Whether the controls have changed since the result was calculated."""

    def calculate(self, work: Callable[[Progress], T]) -> None:
        """Calculate a new result in the background, and show it.

        Args:
            work: Returns the result; see ``Job.start``.
        """
        self.job.start(work)

    def stale_notice(self) -> SafeHtml:
        """Return a request to press Run if the controls have changed; otherwise nothing."""
        if not self.is_stale:
            return SafeHtml("")
        return chip("The controls have changed: press Run.", "warn")

    def _show_result(self, result: T) -> None:
        """Store a result and draw it."""
        with self._lock:
            self.result = result
            self.error = ""
            self.redraw()

    def _show_error(self, error: Exception) -> None:
        """Show an error of lorafw. Any other exception is a fault of the program, and is raised again."""
        if not isinstance(error, LorafwError):
            raise error
        with self._lock:
            self.error = str(error)
            self.redraw()
