"""Small pages for big arrays, while fleets are made, simulated and summed up.

NumPy asks the system for huge pages for every array of 4 MB or more. A rollout's arrays are written once and read a few
times; there a huge page costs more to make ready than it saves (ten million gateways of the reference took 14 times as
long as one million with them, 9 times without, on Linux 6 with two cores). NumPy gives this switch no public name, so
where it is missing nothing changes but the speed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

_switch: Any = getattr(getattr(getattr(np, "_core", None), "multiarray", None), "_set_madvise_hugepage", None)


@contextmanager
def small_pages() -> Iterator[None]:
    """Let NumPy ask for no huge pages for a while; a decorator too. The switch is one for the whole process."""
    if _switch is None:
        yield
        return
    before = _switch(False)
    try:
        yield
    finally:
        _switch(before)
