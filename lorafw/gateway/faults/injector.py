"""The base class of faults. A fault replaces one of the four parts that a poll passes through."""

from __future__ import annotations

from typing import ClassVar

from lorafw.faults import Fault
from lorafw.gateway.home import Home
from lorafw.gateway.storage import OpenUpdateFile, RunUpdate
from lorafw.gateway.transport import Transport
from lorafw.tasks.lifecycle import TaskStatus


class FaultInjector:
    """One fault. Each method receives a part of the gateway and returns the part that is used instead."""

    fault: ClassVar[Fault]
    """The name of the fault."""
    expected_status: ClassVar[TaskStatus | None]
    """The status of an automatic task under the default policy during the fault. None means that there is no task."""
    expected_status_if_version_given: ClassVar[TaskStatus | None] = None
    """The status if the definition has a full UpdateVersion. None means the same as ``expected_status``."""

    def wrap_home(self, inner: Home) -> Home:
        """Return the home folder that the poll uses in place of ``inner``."""
        return inner

    def wrap_transport(self, inner: Transport) -> Transport:
        """Return the transport that the poll uses in place of ``inner``."""
        return inner

    def wrap_disk(self, inner: OpenUpdateFile) -> OpenUpdateFile:
        """Return the function that opens the file of the update in place of ``inner``."""
        return inner

    def wrap_runner(self, inner: RunUpdate) -> RunUpdate:
        """Return the function that runs the update in place of ``inner``."""
        return inner
