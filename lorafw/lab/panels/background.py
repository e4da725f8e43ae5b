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
from typing import Final, Generic, TypeVar

import ipywidgets

from lorafw.errors import LorafwError
from lorafw.lab.panels.base import Panel, button, wide
from lorafw.lab.panels.html import SafeHtml, chip

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Reports progress, as ``progress(done, total)``. Raises Cancelled if the calculation is to stop."""
Work = Callable[[Progress], T]
"""Calculates a result. It reports its progress with the function that it is given."""

REFRESH_INTERVAL_S: Final = 0.05
"""Time between two updates of the progress bar."""


class Cancelled(Exception):
    """The calculation was cancelled."""


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs this code. None in a script or a test, which has none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Calculation(Generic[T]):
    """One calculation. One thread runs it, and another one reads its progress and may cancel it."""

    def __init__(self, work: Work[T]) -> None:
        """Prepare the calculation. Nothing is calculated yet.

        Args:
            work: Calculates the result, and reports its progress with the function that it is given.
        """
        self._work = work
        self._stop_event = threading.Event()
        self.fraction = 0.0
        """The part of the work that is done, from 0 to 1."""

    @property
    def is_cancelled(self) -> bool:
        """Whether the calculation is to stop, or has stopped, without a result."""
        return self._stop_event.is_set()

    def cancel(self) -> None:
        """Let the calculation stop the next time it reports progress."""
        self._stop_event.set()

    def run(self) -> T:
        """Calculate, and return the result.

        Raises:
            Cancelled: The calculation was cancelled.
        """
        return self._work(self._report_progress)

    def _report_progress(self, done: int, total: int) -> None:
        """Update ``fraction``. Raises Cancelled if the calculation is to stop."""
        if self.is_cancelled:
            raise Cancelled
        self.fraction = done / total if total else 1.0


class Job(Generic[T]):
    """Runs one calculation at a time in the background, and shows its progress. A new calculation replaces it."""

    def __init__(self, on_done: Callable[[T], None], on_error: Callable[[Exception], None]) -> None:
        """Create the widgets. Nothing is calculated yet.

        Args:
            on_done: Called with the result of a calculation that was not cancelled.
            on_error: Called with the exception that a calculation raised.
        """
        self._on_done = on_done
        self._on_error = on_error
        self._current: Calculation[T] | None = None
        """The calculation that was started last."""
        self._task: asyncio.Task[None] | None = None
        self.bar = wide(ipywidgets.FloatProgress(description="Progress", max=1.0))
        self.cancel = button("Cancel", "Stop the calculation; what is shown stays")
        self.cancel.disabled = True
        self.cancel.on_click(lambda _: self.stop())

    @property
    def is_running(self) -> bool:
        """Whether a calculation runs. The Cancel button is enabled meanwhile."""
        return not self.cancel.disabled

    def start(self, work: Work[T]) -> None:
        """Start a calculation, and cancel the one that runs. Waits for the result if no event loop runs.

        Args:
            work: Calculates the result. It is called in another thread if an event loop runs.
        """
        self.stop()
        calculation = Calculation(work)
        self._current = calculation
        self.bar.value = 0.0
        self.cancel.disabled = False
        loop = running_loop()
        if loop is None:
            self._report(calculation, calculation.run)
        else:
            self._task = loop.create_task(self._run_in_thread(calculation))

    def stop(self) -> None:
        """Cancel the calculation that runs. It stops the next time it reports progress."""
        if self._current is not None:
            self._current.cancel()

    async def _run_in_thread(self, calculation: Calculation[T]) -> None:
        """Run a calculation in a thread, and update the progress bar until it has ended."""
        future = asyncio.get_running_loop().run_in_executor(None, calculation.run)
        while not future.done():
            if calculation is self._current:
                self.bar.value = calculation.fraction
            await asyncio.sleep(REFRESH_INTERVAL_S)
        self._report(calculation, future.result)

    def _report(self, calculation: Calculation[T], get_result: Callable[[], T]) -> None:
        """Pass a result or an error on. Does nothing for a calculation that was cancelled or replaced."""
        try:
            result = get_result()
        except Cancelled:
            pass
        except Exception as error:
            if calculation is self._current:
                self._on_error(error)
        else:
            if not calculation.is_cancelled:
                self.bar.value = 1.0
                self._on_done(result)
        finally:
            if calculation is self._current:
                self.cancel.disabled = True


class BackgroundPanel(Panel, Generic[T]):
    """A panel that shows the result of a long calculation.

    A subclass calls ``calculate`` when the user presses Run. The panel keeps showing the previous result until the new
    one is there.
    """

    def __init__(self, result: T) -> None:
        """Begin with a result that is there already. The subclass creates the controls.

        Args:
            result: What is shown first.
        """
        super().__init__()
        self.result = result
        """The result that is shown."""
        self.job: Job[T] = Job(self._show_result, self._show_error)
        """The calculation that runs, with its progress bar and its Cancel button."""

    @property
    @abstractmethod
    def is_stale(self) -> bool:
        """Whether the controls have changed since the result was calculated."""

    def calculate(self, work: Work[T]) -> None:
        """Calculate a new result in the background, and show it when it is there."""
        self.job.start(work)

    def stale_notice(self) -> SafeHtml:
        """Return a request to press Run if the controls have changed; otherwise nothing."""
        if not self.is_stale:
            return SafeHtml("")
        return chip("The controls have changed: press Run.", "warn")

    def _show_result(self, result: T) -> None:
        """Store a result, and draw the panel."""
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
