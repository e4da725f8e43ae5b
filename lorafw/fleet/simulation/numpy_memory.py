"""Memory pages for large NumPy arrays: a switch that turns huge pages off.

On Linux, NumPy asks for huge pages (madvise) for every array of 4 MB or more. The arrays of a rollout are written once
and read a few times. For them it costs more to prepare a huge page than the page saves: with huge pages ten million
gateways of the reference fleet took 14 times as long as one million, and without them 9 times (Linux 6, two cores).

NumPy has no public name for this switch. If the private one does not exist, only the speed changes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

_multiarray: Any = getattr(getattr(np, "_core", None), "multiarray", None)
_set_hugepage_advice: Any = getattr(_multiarray, "_set_madvise_hugepage", None)
"""NumPy's switch, or None. It takes the new setting and returns the previous one."""


@contextmanager
def huge_pages_disabled() -> Iterator[None]:
    """Turn huge pages off while a block runs. Can be used as a decorator.

    The switch is one for the whole process. Blocks can overlap, in one thread or in several: the last one that ends
    restores the previous setting.
    """
    if _set_hugepage_advice is None:
        yield
        return
    _open_blocks.enter(_set_hugepage_advice)
    try:
        yield
    finally:
        _open_blocks.leave(_set_hugepage_advice)


class _OpenBlocks:
    """Counts the blocks that need huge pages off, and keeps the setting from before the first of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._previous_setting = True

    def enter(self, switch: Callable[[bool], bool]) -> None:
        """Count a block. The first one turns huge pages off."""
        with self._lock:
            if self._count == 0:
                self._previous_setting = switch(False)
            self._count += 1

    def leave(self, switch: Callable[[bool], bool]) -> None:
        """Stop counting a block. The last one restores the previous setting."""
        with self._lock:
            self._count -= 1
            if self._count == 0:
                switch(self._previous_setting)


_open_blocks: Final = _OpenBlocks()
