"""What the service knows of one gateway at one moment: all that an explanation needs."""

from __future__ import annotations

from dataclasses import dataclass

from lorafw.cups.messages import UpdateInfoRequest
from lorafw.errors import LorafwError
from lorafw.tasks.lifecycle import LogRow
from lorafw.tasks.model import Definition, ExchangeRecord, Gateway, Task


@dataclass(frozen=True, slots=True)
class SourceInspection:
    """What came of looking at an update just now: its size in bytes, or what keeps it from being read.

    ``signers`` are the CRCs of the keys with which its signature verifies; None where it has none, or was not read.
    ``signature_fault`` says what the signer did wrong. It is None if nothing is wrong, or if that cannot be known.
    """

    size: int | None
    problem: LorafwError | None = None
    signers: frozenset[int] | None = None
    signature_fault: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the service knows of one gateway at one moment."""

    now_ms: int
    gateway: Gateway
    request: UpdateInfoRequest | None
    seen_ms: int | None
    task: Task | None
    problem: LorafwError | None
    definitions: tuple[Definition, ...]
    matching: tuple[Definition, ...]
    deadline_ms: int | None
    log: tuple[LogRow, ...]
    exchanges: tuple[ExchangeRecord, ...] = ()
    look: SourceInspection | None = None
