"""Stages 3 and 4 of a step: the update is read and sent, and its download is delivered whole or breaks off.

A Basics Station does not resume a download: it begins again from the first byte. A download can break off because the
link drops (at a constant rate), because an outage begins, or because the link stalls until the station has waited too
long for the next 8 KB. The earliest of these causes counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from lorafw.fleet.arrays import Codes, Floats, Indices, Integers, Mask
from lorafw.fleet.simulation.active import ActiveGateways, PresentedVersion, Selection, as_column, concatenate
from lorafw.fleet.simulation.codes import Fault, fault_code, status_code
from lorafw.fleet.simulation.history_writer import HistoryWriter
from lorafw.fleet.simulation.inputs import NEVER, SimulationParameters
from lorafw.fleet.simulation.random_streams import Stream
from lorafw.fleet.simulation.silence import exceeds_timeout, fail_silent
from lorafw.fleet.simulation.step import Step
from lorafw.tasks.lifecycle import INITIAL, Cause, TaskStatus

_HOUR_MS: Final = 3_600_000.0
_PENDING: Final = status_code(INITIAL)
_FAILED: Final = status_code(TaskStatus.FAILED)
_STORAGE_ERROR: Final = fault_code(Fault.STORAGE_ERROR)
_LINK_DROP: Final = fault_code(Fault.LINK_DROP)
_SLOW_LINK: Final = fault_code(Fault.SLOW_LINK)


@dataclass(frozen=True, slots=True, eq=False)
class Delivered:
    """Gateways that received the whole update."""

    gateways: ActiveGateways
    delivered_ms: Integers
    """When all of the update had arrived at each gateway."""

    def select(self, selection: Selection) -> Delivered:
        """Return some of the gateways, given by a mask or by positions."""
        return Delivered(self.gateways.select(selection), self.delivered_ms[selection])


@dataclass(frozen=True, slots=True, eq=False)
class Broken:
    """Gateways whose downloads break off. Each array has one element for each of them."""

    position: Indices
    """The position of the gateway among those that are sent the update in this step."""
    gateways: ActiveGateways
    after_ms: Integers
    """How long after its beginning the download breaks off."""
    fault: Codes
    """The code of the fault that breaks it off."""
    received_share: Floats
    """The share of the update that has arrived."""

    @property
    def broken_ms(self) -> Integers:
        """When each download breaks off."""
        return self.gateways.next_event_ms + self.after_ms

    def select(self, mask: Mask) -> Broken:
        """Return some of the gateways, given by a mask with one element for each of them."""
        return Broken(
            position=self.position[mask],
            gateways=self.gateways.select(mask),
            after_ms=self.after_ms[mask],
            fault=self.fault[mask],
            received_share=self.received_share[mask],
        )


def skip_unreadable(
    active: ActiveGateways, step: Step, writer: HistoryWriter
) -> tuple[ActiveGateways, ActiveGateways | None]:
    """Send nothing to the gateways whose update file the server cannot read now. This uses up no attempt.

    Args:
        active: The gateways that are to be sent the update.
        step: The inputs of this step: the plan, the conditions, the gateways and the outages.
        writer: Records the errors.

    Returns:
        The gateways whose update can be read, and the others, which poll again one period later.
    """
    probability = step.params.conditions.storage_error
    if not probability:
        return active, None
    unreadable = step.random_numbers(active, Stream.STORAGE) < probability
    waiting = active.select(unreadable)
    fault = as_column(_STORAGE_ERROR, len(waiting), np.uint8)
    writer.set_last_fault(waiting, fault)
    writer.record_unchanged(waiting, waiting.next_event_ms, Cause.SOURCE_UNREADABLE, fault)
    waiting = replace(
        waiting,
        next_event_ms=waiting.next_event_ms + waiting.period_ms,
        poll_certain=as_column(False, len(waiting), np.bool_),
    )
    return active.select(~unreadable), waiting


def send_update(active: ActiveGateways, step: Step, writer: HistoryWriter) -> tuple[Delivered, ActiveGateways | None]:
    """Send the update to gateways.

    Args:
        active: The gateways.
        step: The inputs of this step: the plan, the conditions, the gateways and the outages.
        writer: Records the offers, and the downloads that break off.

    Returns:
        The gateways that receive the whole update, and those that poll again because their download broke off.
    """
    # 1. Begin all downloads, and find those that break off.
    active = _record_offers(active, writer)
    duration_ms = _download_ms(active, step)
    broken = _find_broken(active, step, duration_ms)
    if broken is None:
        return Delivered(active, active.next_event_ms + duration_ms), None
    # 2. These gateways poll again.
    retrying = _break_off(broken, step.params, writer)
    # 3. All others receive the whole update.
    is_delivered = np.ones(len(active), dtype=np.bool_)
    is_delivered[broken.position] = False
    gateways = active.select(is_delivered)
    return Delivered(gateways, gateways.next_event_ms + duration_ms[is_delivered]), retrying


def _record_offers(active: ActiveGateways, writer: HistoryWriter) -> ActiveGateways:
    """Record that the update is sent: as a first offer, again after a broken download, or as a further attempt.

    Returns:
        The gateways with their new status. Their order changes.
    """
    is_first = active.status == _PENDING
    is_resumed = active.download_broken
    first = writer.record_first_offers(active.select(is_first))
    resumed = active.select(is_resumed)
    # A download that broke off uses up no attempt, so the status stays the same.
    writer.record_unchanged(resumed, resumed.next_event_ms, Cause.OFFERED_AGAIN, resumed.last_fault)
    retried = writer.record_failed_attempts(active.select(~(is_first | is_resumed)), Cause.OLD_VERSION)
    offered = concatenate([first, resumed, retried])
    if offered is None:
        return active
    return offered


def _break_off(broken: Broken, params: SimulationParameters, writer: HistoryWriter) -> ActiveGateways:
    """Record that downloads broke off. This uses up no attempt.

    A gateway that was silent for longer than the timeout while it waited for the rest is FAILED.

    Args:
        broken: The downloads.
        params: The plan and the conditions.
        writer: Records what happens to the tasks.

    Returns:
        The gateways that poll again soon, and begin again from the first byte.
    """
    # 1. Count the bytes that were sent for nothing.
    received_bytes = params.size_bytes * broken.received_share
    writer.downloads.add_broken(broken.gateways, received_bytes, broken.broken_ms)
    writer.set_last_fault(broken.gateways, broken.fault)
    # 2. End the tasks of gateways that were silent for too long.
    timed_out = exceeds_timeout(broken.gateways, broken.after_ms, params)
    if timed_out.any():
        _fail_broken(broken.select(timed_out), params, writer)
        broken = broken.select(~timed_out)
    # 3. The other stations still run. They poll after the time that station.conf sets for a failed exchange.
    writer.record_unchanged(broken.gateways, broken.broken_ms, Cause.REPLY_BROKEN, broken.fault)
    retry_ms = broken.broken_ms + params.resync_ms
    retrying = replace(broken.gateways, last_fault=broken.fault)
    return retrying.scheduled(retry_ms, presented=PresentedVersion.OLD, poll_certain=True, download_broken=True)


def _fail_broken(broken: Broken, params: SimulationParameters, writer: HistoryWriter) -> None:
    """End the tasks of gateways that waited for the rest of a download until the silence timeout.

    The task log gets two rows for each: the task is FAILED, and then the download breaks off.
    """
    fail_silent(broken.gateways, broken.fault, params, writer)
    failed = replace(broken.gateways, status=as_column(_FAILED, len(broken.gateways), np.uint8))
    writer.record_unchanged(failed, broken.broken_ms, Cause.REPLY_BROKEN, broken.fault)


def _download_ms(active: ActiveGateways, step: Step) -> Integers:
    """Return how long each whole download takes."""
    duration_ms = step.params.size_bytes * 1000.0 / step.columns.goodput_Bps[active.batch_index]
    if step.params.conditions.download == "exponential":
        duration_ms *= -np.log(step.random_numbers(active, Stream.DOWNLOAD))
    return duration_ms.astype(np.int64)


def _find_broken(active: ActiveGateways, step: Step, duration_ms: Integers) -> Broken | None:
    """Find the downloads that break off.

    Args:
        active: The gateways that are sent the update.
        step: The inputs of this step: the plan, the conditions, the gateways and the outages.
        duration_ms: How long each whole download would take.

    Returns:
        The downloads, or None if all are delivered whole.
    """
    conditions = step.params.conditions
    can_break = conditions.link_drops_per_h or conditions.slow_link or step.outages is not None
    if not can_break:
        return None
    # These arrays have one element for each gateway. Times count from the beginning of its download.
    interrupted_ms = np.minimum(_link_drop_ms(active, step), _outage_start_ms(active, step))
    stalled, stall_share = _stalls(active, step)
    # Without an interruption a download ends when it is complete, or after the wait for a link that stalled.
    end_ms = (duration_ms * stall_share).astype(np.int64) + stalled * step.params.conn_timeout_ms
    dropped = interrupted_ms < end_ms
    position = np.flatnonzero(dropped | stalled)
    if not len(position):
        return None
    # From here on the arrays have one element for each broken download.
    after_ms = np.minimum(interrupted_ms, end_ms)[position]
    fault = np.where(dropped[position], _LINK_DROP, _SLOW_LINK).astype(np.uint8)
    share_by_time = after_ms / np.maximum(duration_ms[position], 1)
    received_share = np.minimum(share_by_time, stall_share[position])
    return Broken(position, active.select(position), after_ms, fault, received_share)


def _link_drop_ms(active: ActiveGateways, step: Step) -> Integers:
    """Return how long after the beginning of the download each link drops. NEVER if links do not drop."""
    drops_per_h = step.params.conditions.link_drops_per_h
    if not drops_per_h:
        return np.full(len(active), NEVER, dtype=np.int64)
    numbers = step.random_numbers(active, Stream.DROP)
    return (np.log(numbers) * (-_HOUR_MS / drops_per_h)).astype(np.int64)


def _outage_start_ms(active: ActiveGateways, step: Step) -> Integers:
    """Return how long after the beginning of the download the next outage starts. NEVER if there are no outages."""
    outages, outage_group = step.outages, step.columns.outage_group
    if outages is None or outage_group is None:
        return np.full(len(active), NEVER, dtype=np.int64)
    return outages.next_start(outage_group[active.batch_index], active.next_event_ms) - active.next_event_ms


def _stalls(active: ActiveGateways, step: Step) -> tuple[Mask, Floats]:
    """Return which links stall, and the share of the update that arrives before that (1 if a link does not stall)."""
    probability = step.params.conditions.slow_link
    if not probability:
        return np.zeros(len(active), dtype=np.bool_), np.ones(len(active))
    # Given that a link stalls, its number divided by the probability is uniform in (0, 1): the point of the stall.
    scaled = step.random_numbers(active, Stream.STALL) / probability
    return scaled < 1, np.minimum(scaled, 1)
