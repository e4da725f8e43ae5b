"""Refuse calls of AWS while a testbed is closed: without it, boto3 would speak to the real AWS."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from lorafw.errors import LabError


def not_open_error() -> LabError:
    """Return the error about a testbed that is used while it is not open."""
    return LabError(
        "this Testbed is not open, and without it boto3 would speak to the real AWS; open it: "
        "`with Testbed() as bed:`; a fixture must `yield bed` inside of the `with`, not `return` it"
    )


class OpenGate:
    """Lets calls pass while a testbed is open, and refuses them while it is closed. It is closed at first."""

    def __init__(self) -> None:
        self.is_open = False
        """Whether the testbed is open."""

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Let calls pass until the end of the block."""
        self.is_open = True
        try:
            yield
        finally:
            self.is_open = False

    def check(self, **_: object) -> None:
        """Raise LabError if the testbed is not open. botocore can call this too, and its arguments are ignored."""
        if not self.is_open:
            raise not_open_error()
