"""Tell tools, such as the pytest plugin, when a testbed opens, makes gateways poll, and closes.

A tool can register an observer before the testbed is imported: this module imports almost nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lorafw.tasks.policy import Policy
    from lorafw.tasks.service import UpdateService


class TestbedObserver:
    """Base class of objects that a testbed calls when it opens, makes gateways poll, and closes.

    A subclass overrides the methods that it needs. The others change nothing.
    """

    __test__ = False  # The name starts with "Test", but this is not a test class for pytest to collect.

    def choose_policy(self, policy: Policy | None) -> Policy | None:
        """Return the policy with which a testbed opens.

        Args:
            policy: The policy that the user has given to the testbed. None means that the user has given none.
        """
        return policy

    def on_poll(self) -> None:
        """React before a gateway polls, and before the clock moves. An error that this raises reaches the user."""

    def on_close(self, service: UpdateService, error: BaseException | None) -> None:
        """React before a testbed closes.

        Args:
            service: The update service of the testbed. It can still read update files.
            error: The exception that ends the ``with`` block. None means that the block ends normally.
        """


_observers: list[TestbedObserver] = []


@contextlib.contextmanager
def observed_by(observer: TestbedObserver) -> Iterator[None]:
    """Call the observer for every testbed of this process, until the end of the block."""
    _observers.append(observer)
    try:
        yield
    finally:
        _observers.remove(observer)


def choose_policy(policy: Policy | None) -> Policy | None:
    """Return the policy that all observers together choose for a testbed that is about to open."""
    for observer in _observers:
        policy = observer.choose_policy(policy)
    return policy


def notify_poll() -> None:
    """Tell all observers that a gateway is about to poll, or that the clock is about to move."""
    for observer in _observers:
        observer.on_poll()


def notify_close(service: UpdateService, error: BaseException | None) -> None:
    """Tell all observers that the testbed with this service is about to close, and which exception ends its block."""
    for observer in _observers:
        observer.on_close(service, error)
