"""Small pages for big arrays, while fleets are made, simulated and summed up.

NumPy asks the system for huge pages for every array of 4 MB or more. A rollout's arrays are written once and read a few
times; there a huge page costs more to make ready than it saves (ten million gateways of the reference took 14 times as
long as one million with them, 9 times without, on Linux 6 with two cores). NumPy gives this switch no public name, so
where it is missing nothing changes but the speed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

_set_hugepage_advice: Any = getattr(
    getattr(getattr(np, "_core", None), "multiarray", None), "_set_madvise_hugepage", None
)


@contextmanager
def huge_pages_disabled() -> Iterator[None]:
    """Let NumPy ask for no huge pages for a while; a decorator too. The switch is one for the whole process.

    Calls can overlap, in this thread or in several: the last one that ends sets the switch back.
    """
    if _set_hugepage_advice is None:
        yield
        return
    _users.enter(_set_hugepage_advice)
    try:
        yield
    finally:
        _users.leave(_set_hugepage_advice)


class _Users:
    """Counts who needs the switch off, and remembers how it stood before the first of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._before = True

    def enter(self, switch: Any) -> None:
        with self._lock:
            if self._count == 0:
                self._before = switch(False)
            self._count += 1

    def leave(self, switch: Any) -> None:
        with self._lock:
            self._count -= 1
            if self._count == 0:
                switch(self._before)


_users = _Users()
