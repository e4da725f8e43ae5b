"""The place for the open testbed of this process. moto has one state for the whole process, so there is one place."""

from __future__ import annotations

import atexit
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from lorafw.errors import LabError

T = TypeVar("T")
"""The class of testbeds."""


@dataclass(frozen=True, slots=True)
class Occupant(Generic[T]):
    """A testbed that is open."""

    testbed: T
    may_be_replaced: bool
    """Whether the next call of ``Testbed.start`` may close it."""


class ProcessSlot(Generic[T]):
    """A place for one open testbed. It is empty at first."""

    def __init__(self) -> None:
        self.occupant: Occupant[T] | None = None
        """The testbed that is open now, or None."""

    @contextlib.contextmanager
    def occupied_by(self, testbed: T, *, may_be_replaced: bool) -> Iterator[None]:
        """Give the place to a testbed until the end of the block.

        Args:
            testbed: The testbed that is about to open.
            may_be_replaced: Whether the next call of ``Testbed.start`` may close it.

        Raises:
            LabError: Another testbed is open.
        """
        if self.occupant is not None:
            raise LabError("a Testbed is open in this process, and moto's state is one for all: end that one first")
        self.occupant = Occupant(testbed, may_be_replaced)
        try:
            yield
        finally:
            self.occupant = None


@contextlib.contextmanager
def called_at_exit(close: Callable[[], None]) -> Iterator[None]:
    """Call a function when the process ends, unless the block has ended before.

    Without it, a script that leaves its testbed open would close it while Python removes modules, which fails.
    """
    atexit.register(close)
    try:
        yield
    finally:
        atexit.unregister(close)
