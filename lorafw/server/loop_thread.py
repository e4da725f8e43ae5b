"""Run an asyncio event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lorafw.clock import real_monotonic_s

ErrorHandler = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]
"""Called with the loop and the context of an error that no task handled: see ``loop.set_exception_handler``."""


class RealTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers also run while ``time.monotonic`` is frozen, for example by freezegun.

    It also has ``add_reader``, which the default event loop on Windows does not have.
    """

    def time(self) -> float:
        """Return the seconds of a monotonic clock that cannot be frozen."""
        return real_monotonic_s()


@contextmanager
def loop_in_thread(name: str, on_error: ErrorHandler) -> Iterator[asyncio.AbstractEventLoop]:
    """Run a new event loop in a thread until the block ends. Then cancel the tasks that are left.

    Args:
        name: The name of the thread.
        on_error: Called for each error that no task handled.

    Yields:
        The loop. Use ``asyncio.run_coroutine_threadsafe`` to run a coroutine in it.
    """
    loop = RealTimeLoop()
    loop.set_exception_handler(on_error)
    thread = threading.Thread(target=loop.run_forever, name=name, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(_cancel_other_tasks(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_other_tasks() -> None:
    """Cancel all other tasks of the running loop, and wait until they have ended."""
    other_tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in other_tasks:
        task.cancel()
    await asyncio.gather(*other_tasks, return_exceptions=True)
