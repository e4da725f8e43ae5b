"""What the service knows of one gateway at one moment. An explanation is made from it alone."""

from __future__ import annotations

from dataclasses import dataclass

from lorafw.cups.messages import UpdateInfoRequest
from lorafw.errors import LorafwError
from lorafw.tasks.lifecycle import LogRow
from lorafw.tasks.model import Definition, ExchangeRecord, Gateway, Task


@dataclass(frozen=True, slots=True)
class SourceInspection:
    """The result of reading an update file and checking its signature."""

    size: int | None
    """Size of the file in bytes. None if it cannot be read."""
    error: LorafwError | None = None
    """Why the file cannot be read. None if it can."""
    signers: frozenset[int] | None = None
    """CRCs of the public keys that verify the signature. None if there is no signature or the file was not read."""
    signature_fault: str | None = None
    """What the signer did wrong. None if nothing is wrong, or if the cause is unknown."""

    @classmethod
    def failed(cls, error: LorafwError) -> SourceInspection:
        """Return the result for an update file that cannot be read."""
        return cls(size=None, error=error)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the service knows of one gateway at one moment. Times are in milliseconds since 1970 UTC."""

    now_ms: int
    """The moment of the snapshot."""
    gateway: Gateway
    """The gateway."""
    request: UpdateInfoRequest | None
    """The last request. None before the first."""
    key_crcs: tuple[int, ...]
    """The CRCs of the signature keys that the gateway reported in the last request. Empty before the first."""
    last_seen_ms: int | None
    """When the last request was received. None before the first."""
    task: Task | None
    """The task of the gateway. None if it has none."""
    last_read_error: LorafwError | None
    """Why the update could not be read when it was last needed. None if it could."""
    definitions: tuple[Definition, ...]
    """All definitions of the gateway's account and Region, oldest first."""
    matching: tuple[Definition, ...]
    """The definitions that match the last request, oldest first."""
    deadline_ms: int | None
    """When silence ends the task. None if it does not."""
    log: tuple[LogRow, ...]
    """The latest rows of the task log about this gateway."""
    exchanges: tuple[ExchangeRecord, ...] = ()
    """The latest exchanges, oldest first."""
    source: SourceInspection | None = None
    """The update file of the definition in question, as it is now. None if there is nothing to inspect."""
