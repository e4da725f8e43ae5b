"""What the update service needs from the world outside: somebody who reads update files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class UpdateImage(Protocol):
    """An update file that was read whole and checked; many replies share one copy."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def read(self) -> bytes:
        """All of it."""
        ...

    def chunks(self, size: int = ...) -> Iterator[bytes | memoryview]:
        """All of it, in pieces of at most ``size`` bytes."""
        ...


class UpdateSource(Protocol):
    """Reads the object at UpdateDataSource through UpdateDataRole."""

    def open(self, data_source: str, role: str | None, *, account: str, region: str) -> UpdateImage:
        """The object, whole. Raises a SourceError; which one says what is wrong."""
        ...
