"""What the service knows of one gateway at one moment. An explanation is made from it alone."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

from lorafw.clock import Moment
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.errors import LorafwError
from lorafw.tasks.definition_table import DefinitionTable
from lorafw.tasks.gateway_state import GatewayState, Refusal
from lorafw.tasks.lifecycle import LogRow
from lorafw.tasks.model import Definition, ExchangeRecord, Gateway, Task
from lorafw.tasks.policy import Policy
from lorafw.tasks.silence import silence_deadline_ms


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
    refusal: Refusal | None = None
    """The last refused request, if it is later than the last request that was received. None otherwise."""
    matching_elsewhere: tuple[Definition, ...] = ()
    """The definitions that would match the last request, but are in other Regions of the account."""
    source: SourceInspection | None = None
    """The update file of the definition in question, as it is now. None if there is nothing to inspect."""


def take_snapshot(state: GatewayState, definitions: DefinitionTable, policy: Policy, now: Moment) -> Snapshot:
    """Return what the service knows of one gateway now. Its update file is not inspected yet.

    Args:
        state: What the service keeps about the gateway.
        definitions: The definitions of all accounts and Regions.
        policy: Contains the timeout after which a silent gateway's task fails.
        now: The current time.

    Returns:
        The snapshot. It does not change when the service continues.
    """
    owner = state.gateway.owner
    matching: list[Definition] = []
    matching_elsewhere: list[Definition] = []
    if state.request is not None:
        matching = definitions.find_matches(owner, state.request.version)
        matching_elsewhere = definitions.find_matches_elsewhere(owner, state.request.version)
    deadline_ms = silence_deadline_ms(state, policy)  # On the monotonic scale.
    if deadline_ms is not None:
        deadline_ms = now.at(deadline_ms).utc_ms
    return Snapshot(
        now_ms=now.utc_ms,
        gateway=state.gateway,
        request=state.request,
        key_crcs=state.key_crcs,
        last_seen_ms=state.last_seen_ms,
        task=state.task,
        last_read_error=state.last_read_error,
        definitions=tuple(definitions.of_owner(owner)),
        matching=tuple(matching),
        deadline_ms=deadline_ms,
        log=tuple(state.recent_log),
        # Copy the exchanges, because the service changes its own records while a reply is sent.
        exchanges=tuple(copy(exchange) for exchange in state.exchanges),
        refusal=state.last_refusal,
        matching_elsewhere=tuple(matching_elsewhere),
    )
