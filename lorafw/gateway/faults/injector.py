"""What a fault is: a thing with four places on a gateway's path, of which it changes one."""

from __future__ import annotations

from typing import ClassVar

from lorafw.faults import Fault
from lorafw.gateway.home import Home
from lorafw.gateway.storage import OpenUpdateFile, RunUpdate
from lorafw.gateway.transport import Transport
from lorafw.tasks.lifecycle import TaskStatus


class FaultInjector:
    """One fault. Each method takes what is at a place of the path and gives back what is there instead."""

    fault: ClassVar[Fault]
    expected_status: ClassVar[TaskStatus | None]
    """What becomes of an automatic task under the default policy, as long as the fault holds; None: there is none."""
    leaves_if_version_given: ClassVar[TaskStatus | None] = None
    """The same for a definition with a full UpdateVersion. None if that makes no difference."""

    def home(self, inner: Home) -> Home:
        return inner

    def transport(self, inner: Transport) -> Transport:
        return inner

    def disk(self, inner: OpenUpdateFile) -> OpenUpdateFile:
        return inner

    def runner(self, inner: RunUpdate) -> RunUpdate:
        return inner
