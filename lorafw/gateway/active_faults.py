"""The faults that are injected into a virtual gateway, and the parts of the gateway that they replace."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lorafw.faults import Fault
from lorafw.gateway.faults.injector import FaultInjector
from lorafw.gateway.home import Home
from lorafw.gateway.storage import OpenUpdateFile, RunUpdate
from lorafw.gateway.transport import Transport


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """The parts of a gateway that one poll uses. A fault can replace each of them."""

    home: Home
    """The home folder."""
    transport: Transport
    """Carries the request to the CUPS server."""
    disk: OpenUpdateFile
    """Opens the file for the update."""
    runner: RunUpdate
    """Runs the update."""

    def with_fault(self, injector: FaultInjector) -> GatewayParts:
        """Return the parts of a gateway that has a fault."""
        return GatewayParts(
            home=injector.wrap_home(self.home),
            transport=injector.wrap_transport(self.transport),
            disk=injector.wrap_disk(self.disk),
            runner=injector.wrap_runner(self.runner),
        )


@dataclass(frozen=True, slots=True)
class _ActiveFault:
    """A fault that was injected and not cleared yet."""

    injector: FaultInjector
    """Replaces parts of the gateway."""
    polls: int | None
    """The number of polls that the fault still affects, or None for all."""

    def after_one_poll(self) -> _ActiveFault | None:
        """Return the fault with one poll less to affect. None if that was the last poll that it affects."""
        if self.polls is None:
            return self
        if self.polls > 1:
            return replace(self, polls=self.polls - 1)
        return None


class ActiveFaults:
    """The faults that a gateway has now."""

    def __init__(self) -> None:
        self._faults: list[_ActiveFault] = []

    def inject(self, injector: FaultInjector, polls: int | None = None) -> None:
        """Add a fault.

        Args:
            injector: The fault.
            polls: The number of polls that it affects. None means all polls until ``clear`` is called.
        """
        self._faults.append(_ActiveFault(injector, polls))

    def clear(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    @property
    def names(self) -> tuple[Fault, ...]:
        """The faults that affect the next poll, in the order in which they were injected."""
        return tuple(active.injector.fault for active in self._faults)

    def apply_to(self, parts: GatewayParts) -> GatewayParts:
        """Return the parts of the gateway with all faults."""
        for active in self._faults:
            parts = parts.with_fault(active.injector)
        return parts

    def count_poll(self) -> None:
        """Count one poll for each fault, and remove the faults that do not affect the next poll."""
        remaining_faults = [active.after_one_poll() for active in self._faults]
        self._faults = [fault for fault in remaining_faults if fault is not None]
