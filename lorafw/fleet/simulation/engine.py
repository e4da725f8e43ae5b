"""The simulation engine: what happens to many gateways at once, exchange by exchange.

Gateways do not influence each other, so a rollout is a function of the times at which their tasks are created. In
each step every active gateway makes one exchange with the server. Gateways whose task has not ended are carried into
the next step. Statuses change only by the transition table.

One step, in order (times in whole ms, fractions cut off):

1. The poll reaches the server, sooner or later (``polls``). A gateway in SECOND_RETRY that stays silent for the
   timeout is FAILED, at the deadline.
2. The gateway presents a version. The new one completes the task. Any other one after a delivered update is a failed
   attempt; the third failed attempt ends the task as FAILED.
3. A gateway with the old version is sent the update, unless the update cannot be read.
4. The download is delivered whole, or it breaks off (``downloads``).
5. What the gateway does with the update decides when it polls again, and with which version (``installs``). The next
   regular poll is one period after the last one, or at the end of the download if that is later.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from lorafw.fleet.simulation.active import ActiveGateways, PresentedVersion, concatenate
from lorafw.fleet.simulation.codes import U8, Fault, fault_code, status_code
from lorafw.fleet.simulation.downloads import BrokenDownloads, download_ms, find_broken_downloads
from lorafw.fleet.simulation.event_log import EventRecorder
from lorafw.fleet.simulation.histories import Histories, HistoryWriter
from lorafw.fleet.simulation.inputs import I64, NEVER, BatchColumns, Mask, SimulationParameters
from lorafw.fleet.simulation.installs import install_faults, next_polls
from lorafw.fleet.simulation.outages import Outages
from lorafw.fleet.simulation.polls import first_poll_ms, next_exchange_ms
from lorafw.fleet.simulation.random_streams import Stream, uniform
from lorafw.tasks.lifecycle import INITIAL, Cause, TaskEvent, TaskStatus

_PENDING: Final = status_code(INITIAL)
_SECOND_RETRY: Final = status_code(TaskStatus.SECOND_RETRY)
_FAILED: Final = status_code(TaskStatus.FAILED)
_NO_FAULT: Final = fault_code(Fault.NONE)


class BatchSimulator:
    """Simulates one batch of gateways to its end.

    Args:
        columns: The gateways.
        params: Plan and conditions.
        outages: The outages of their networks. None if there are none.
        recorder: Receives every row of the task log. None if no log is wanted.
    """

    def __init__(
        self,
        columns: BatchColumns,
        params: SimulationParameters,
        outages: Outages | None = None,
        recorder: EventRecorder | None = None,
    ) -> None:
        self._columns = columns
        self._params = params
        self._outages = outages
        self._writer = HistoryWriter(columns, params, recorder)
        self._step = 0
        self._rescheduled: list[ActiveGateways] = []

    def run(self) -> Histories:
        """Run all steps and return the history of each gateway."""
        active = self._start()
        while active is not None:
            self._rescheduled = []
            active = self._advance_to_exchange(active)
            active = self._evaluate_version(active)
            active = self._skip_unreadable(active)
            self._send_update(active)
            active = concatenate(self._rescheduled)
            self._step += 1
        return self._writer.histories

    # Each stage of a step takes the gateways that reach it and returns those that go on to the next stage. Gateways
    # that poll again later are added to `_rescheduled`.

    def _start(self) -> ActiveGateways | None:
        """Return all gateways that will ask for the update, at their first poll after their task is created."""
        columns = self._columns
        size = columns.size
        if columns.task_created_ms is not None:
            self._writer.record_manual_creation(columns.task_created_ms)
        first_ms = first_poll_ms(columns)
        active = ActiveGateways(
            batch_index=np.arange(size),
            rng_key=columns.rng_key,
            next_event_ms=first_ms,
            period_ms=columns.period_ms,
            last_request_ms=first_ms,
            status=np.full(size, _PENDING, dtype=np.uint8),
            presented=np.full(size, PresentedVersion.OLD, dtype=np.uint8),
            last_fault=np.full(size, _NO_FAULT, dtype=np.uint8),
            download_broken=np.zeros(size, dtype=np.bool_),
            poll_certain=np.zeros(size, dtype=np.bool_),
        )
        if columns.task_created_ms is not None:
            active = active.select(columns.task_created_ms <= self._params.horizon_ms)
        if columns.never_requests is not None:
            active = active.select(~columns.never_requests[active.batch_index])
        return concatenate([active])

    def _advance_to_exchange(self, active: ActiveGateways) -> ActiveGateways:
        """Advance each gateway to its next exchange. Mutates ``active``.

        Returns:
            The gateways that neither time out nor pass the horizon. Timed-out tasks are recorded as FAILED.
        """
        scheduled_ms = active.next_event_ms
        active.next_event_ms = next_exchange_ms(
            active, self._step, self._params, self._outages, self._columns.outage_group
        )
        active = self._fail_timed_out(active, scheduled_ms)
        return active.select(active.next_event_ms <= self._params.horizon_ms)

    def _fail_timed_out(self, active: ActiveGateways, scheduled_ms: I64) -> ActiveGateways:
        """End the tasks of gateways whose exchange comes after the silence timeout, and return the others.

        Args:
            active: The gateways. ``next_event_ms`` is the time of their next exchange.
            scheduled_ms: The time at which each gateway would have polled if nothing had delayed it.
        """
        silence_ms = active.next_event_ms - active.last_request_ms
        timed_out = self._exceeds_silence(active, silence_ms)
        if not timed_out.any():
            return active
        # The fault is OFFLINE if the poll was scheduled before the deadline. Otherwise it is the previous fault.
        scheduled_silence_ms = scheduled_ms - active.last_request_ms
        scheduled_in_time = scheduled_silence_ms < self._params.silence_timeout_ms
        fault = np.where(scheduled_in_time, fault_code(Fault.OFFLINE), active.last_fault)
        self._fail_silent(active.select(timed_out), fault[timed_out])
        return active.select(~timed_out)

    def _exceeds_silence(self, active: ActiveGateways, silence_ms: I64) -> Mask:
        """Return which gateways are in SECOND_RETRY and have been silent for the timeout."""
        if self._params.silence_timeout_ms == NEVER:
            return np.zeros(len(active), dtype=np.bool_)
        mask: Mask = (active.status == _SECOND_RETRY) & (silence_ms >= self._params.silence_timeout_ms)
        return mask

    def _fail_silent(self, active: ActiveGateways, fault: U8) -> None:
        """Record the tasks of silent gateways as FAILED, at the deadline."""
        deadline_ms = active.last_request_ms + self._params.silence_timeout_ms
        self._writer.record_ends(active, deadline_ms, TaskEvent.SILENCE, Cause.SILENCE, fault)

    def _evaluate_version(self, active: ActiveGateways) -> ActiveGateways:
        """Evaluate the presented version. Return the gateways that are to be sent the update."""
        active.last_request_ms = active.next_event_ms
        if self._step == 0:
            if self._columns.task_created_ms is None:
                self._writer.record_automatic_creation(active)
            return active
        active = self._complete_updated(active)
        if self._params.any_version_differs:
            active = self._fail_other_version(active)
        return self._fail_last_attempt(active)

    def _complete_updated(self, active: ActiveGateways) -> ActiveGateways:
        """Complete the tasks of gateways that present the new version, and return the others.

        If the definition has no UpdateVersion, any version other than the old one completes the task.
        """
        updated = active.presented != PresentedVersion.OLD
        if self._params.has_update_version:
            updated = active.presented == PresentedVersion.NEW
        if not updated.any():
            return active
        completed = active.select(updated)
        # An earlier fault does not explain a completed task, but a different version is a fault of this one.
        is_other = completed.presented == PresentedVersion.OTHER
        fault = np.where(is_other, completed.last_fault, _NO_FAULT)
        self._writer.record_ends(completed, completed.next_event_ms, TaskEvent.TAKES_EFFECT, Cause.NEW_VERSION, fault)
        return active.select(~updated)

    def _fail_other_version(self, active: ActiveGateways) -> ActiveGateways:
        """Count a failed attempt for gateways that present neither version. They are sent nothing."""
        other = active.presented == PresentedVersion.OTHER
        if not other.any():
            return active
        is_last = active.status == _SECOND_RETRY
        self._end_failed(active.select(other & is_last), Cause.OTHER_VERSION)
        retrying = active.select(other & ~is_last)
        self._writer.record_failed_attempts(retrying, Cause.OTHER_VERSION)
        next_poll_ms = retrying.next_event_ms + retrying.period_ms
        remaining = active.select(~other)
        retrying.schedule_next(
            next_poll_ms, presented=PresentedVersion.OTHER, poll_certain=False, download_broken=False
        )
        self._rescheduled.append(retrying)
        return remaining

    def _fail_last_attempt(self, active: ActiveGateways) -> ActiveGateways:
        """End the tasks whose third attempt failed, and return the others. A broken download is no failed attempt."""
        failed = (active.status == _SECOND_RETRY) & ~active.download_broken
        if not failed.any():
            return active
        self._end_failed(active.select(failed), Cause.OLD_VERSION)
        return active.select(~failed)

    def _end_failed(self, active: ActiveGateways, cause: Cause) -> None:
        """Record that the tasks are FAILED because their last attempt failed."""
        self._writer.record_ends(active, active.next_event_ms, TaskEvent.ATTEMPT_FAILED, cause, active.last_fault)

    def _skip_unreadable(self, active: ActiveGateways) -> ActiveGateways:
        """Reschedule the gateways whose update cannot be read now, and return the others. No attempt is used up."""
        probability = self._params.conditions.storage_error
        if not probability:
            return active
        unreadable = uniform(active.rng_key, Stream.STORAGE, self._step) < probability
        waiting = active.select(unreadable)
        fault = np.full(len(waiting), fault_code(Fault.STORAGE_ERROR), dtype=np.uint8)
        self._writer.record_notes(waiting, waiting.next_event_ms, Cause.SOURCE_UNREADABLE, fault)
        # Select these before `waiting` is mutated, which is `active` itself if nothing can be read.
        remaining = active.select(~unreadable)
        waiting.next_event_ms = waiting.next_event_ms + waiting.period_ms
        waiting.poll_certain = np.zeros(len(waiting), dtype=np.bool_)
        self._rescheduled.append(waiting)
        return remaining

    def _send_update(self, active: ActiveGateways) -> None:
        """Send the update: record the offers, then handle broken and delivered downloads."""
        active = self._start_replies(active)
        duration_ms = download_ms(active, self._step, self._params, self._columns)
        broken = find_broken_downloads(
            active, self._step, self._params, duration_ms, self._outages, self._columns.outage_group
        )
        if broken is None or not len(broken.index):
            self._install(active, duration_ms)
            return
        delivered = np.ones(len(active), dtype=np.bool_)
        delivered[broken.index] = False
        self._reschedule_broken(active.select(broken.index), broken)
        self._install(active.select(delivered), duration_ms[delivered])

    def _start_replies(self, active: ActiveGateways) -> ActiveGateways:
        """Record the replies that begin: first offers, repeated downloads, and further attempts."""
        is_first = active.status == _PENDING
        is_resumed = active.download_broken
        first, resumed = active.select(is_first), active.select(is_resumed)
        retried = active.select(~(is_first | is_resumed))
        self._writer.record_first_offers(first)
        self._writer.record_resumed_offers(resumed)
        self._writer.record_failed_attempts(retried, Cause.OLD_VERSION)
        started = concatenate([first, resumed, retried])
        return active if started is None else started

    def _reschedule_broken(self, active: ActiveGateways, broken: BrokenDownloads) -> None:
        """Let the gateways whose download broke off try again soon, from the first byte. No attempt is used up.

        A gateway that was silent for longer than the timeout while it waited for the rest is FAILED.
        """
        broken_ms = active.next_event_ms + broken.after_ms
        self._writer.add_broken_bytes(active, self._params.size_bytes * broken.received_share, broken_ms)
        timed_out = self._exceeds_silence(active, broken.after_ms)
        if timed_out.any():
            self._fail_broken(active.select(timed_out), broken_ms[timed_out], broken.fault[timed_out])
        in_time = ~timed_out
        self._retry_broken(active.select(in_time), broken_ms[in_time], broken.fault[in_time])

    def _fail_broken(self, active: ActiveGateways, broken_ms: I64, fault: U8) -> None:
        """End the tasks of gateways that waited for the rest of a download until the silence timeout.

        Two rows are recorded for each: the task is FAILED, and then the download breaks off. Mutates ``active``.
        """
        self._fail_silent(active, fault)
        active.status = np.full(len(active), _FAILED, dtype=np.uint8)
        self._writer.record_notes(active, broken_ms, Cause.REPLY_BROKEN, fault)

    def _retry_broken(self, active: ActiveGateways, broken_ms: I64, fault: U8) -> None:
        """Record that downloads broke off, and let the gateways poll again soon. Mutates ``active``."""
        self._writer.record_notes(active, broken_ms, Cause.REPLY_BROKEN, fault)
        retry_ms = broken_ms + self._params.resync_ms
        # The station still runs, so it polls after the time that station.conf sets for a failed exchange.
        active.schedule_next(retry_ms, presented=PresentedVersion.OLD, poll_certain=True, download_broken=True)
        active.last_fault = fault
        self._rescheduled.append(active)

    def _install(self, active: ActiveGateways, duration_ms: I64) -> None:
        """Install the delivered updates. Gateways that nothing can delay present the new version at once."""
        delivered_ms = active.next_event_ms + duration_ms
        self._writer.count_delivered(active, delivered_ms)
        faults = install_faults(active, self._step, self._params, self._columns)
        if not self._params.can_complete_immediately:
            self._schedule_return(active, delivered_ms, faults)
            return
        has_no_fault = faults == _NO_FAULT
        restarts = self._columns.restarts[active.batch_index]
        immediate = has_no_fault & restarts
        restarted_ms = delivered_ms[immediate] + self._params.apply_ms
        self._complete(active.select(immediate), restarted_ms)
        # Positions select faster than a mask from the ten columns of the gateways.
        delayed = np.flatnonzero(~immediate)
        self._schedule_return(active.select(delayed), delivered_ms[delayed], faults[delayed])

    def _complete(self, active: ActiveGateways, end_ms: I64) -> None:
        """Complete tasks at the restart of their stations, unless the silence timeout comes first."""
        timed_out = self._exceeds_silence(active, end_ms - active.last_request_ms)
        if timed_out.any():
            silent = active.select(timed_out)
            self._fail_silent(silent, silent.last_fault)
            active = active.select(~timed_out)
            end_ms = end_ms[~timed_out]
        self._writer.record_ends(active, end_ms, TaskEvent.TAKES_EFFECT, Cause.NEW_VERSION, _NO_FAULT)

    def _schedule_return(self, active: ActiveGateways, delivered_ms: I64, faults: U8) -> None:
        """Schedule the next poll of gateways that do not complete at once. Mutates ``active``.

        Args:
            active: The gateways. There may be none.
            delivered_ms: When the whole update had arrived at each gateway.
            faults: The code of what went wrong in each installation.
        """
        if not len(active):
            return
        upcoming = next_polls(active, self._step, self._params, self._columns, delivered_ms, faults)
        active.last_fault = np.where(faults == _NO_FAULT, active.last_fault, faults)
        self._writer.set_last_fault(active, active.last_fault)
        active.schedule_next(
            upcoming.time_ms,
            presented=upcoming.presented,
            poll_certain=upcoming.poll_certain,
            download_broken=False,
        )
        self._rescheduled.append(active)
