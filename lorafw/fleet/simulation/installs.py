"""Stage 5 of a step: gateways install the update. What goes wrong decides when they poll again.

The first fault on the way counts (``install_faults`` writes them from the last to the first). Each cause has its own
random stream, so that a better update script does not change which gateways lose power.

======================  =======================================  =====================
fault                   the gateway polls again                  and presents
======================  =======================================  =====================
truncated-body          after ``resync_s``: a failed exchange    the old version
wrong key or none       at the next regular poll                 the old version
tmp-full                at the next regular poll                 the old version
power-cut               when the power is back                   the old version
script-fails            at the next regular poll                 the old version
version-mismatch        as if the update had succeeded           another version
none                    after the installation if the station    the new version
                        restarts, otherwise at the next
                        regular poll after it
======================  =======================================  =====================
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from lorafw.fleet.arrays import Codes, Integers, Mask, RngKeys
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Update
from lorafw.fleet.simulation.active import ActiveGateways, PresentedVersion, as_column
from lorafw.fleet.simulation.codes import Fault, fault_code
from lorafw.fleet.simulation.downloads import Delivered
from lorafw.fleet.simulation.history_writer import HistoryWriter
from lorafw.fleet.simulation.inputs import SimulationParameters
from lorafw.fleet.simulation.random_streams import Stream, uniform
from lorafw.fleet.simulation.silence import exceeds_timeout, fail_silent
from lorafw.fleet.simulation.step import Step
from lorafw.tasks.lifecycle import Cause, TaskEvent

_CODE: Final = {fault: fault_code(fault) for fault in Fault}

_NO_FAULT: Final = _CODE[Fault.NONE]

_PRESENTED_AFTER: Final = np.full(len(Fault), PresentedVersion.OLD, dtype=np.uint8)
"""The version that a gateway presents after a fault, by the code of the fault."""
_PRESENTED_AFTER[_NO_FAULT] = PresentedVersion.NEW
_PRESENTED_AFTER[_CODE[Fault.VERSION_MISMATCH]] = PresentedVersion.OTHER


@dataclass(frozen=True, slots=True, eq=False)
class NextPoll:
    """The next poll of each gateway."""

    time_ms: Integers
    presented: Codes
    """The version that the gateway presents, a PresentedVersion."""
    poll_certain: Mask
    """True if the poll cannot be missed."""


def key_faults(fleet: Fleet, update: Update) -> npt.NDArray[np.uint8]:
    """Return for each gateway the code of the fault because of which its station refuses the update, or of NONE."""
    accepted = _NO_FAULT
    if update.signed:
        with_key = np.where(fleet.refuses, _CODE[Fault.WRONG_KEY], accepted)
        return np.where(fleet.keyless, _CODE[Fault.NO_KEY], with_key).astype(np.uint8)
    return np.where(fleet.keyless, accepted, _CODE[Fault.UNSIGNED_WITH_KEY]).astype(np.uint8)


def install(delivered: Delivered, step: Step, writer: HistoryWriter) -> ActiveGateways | None:
    """Install delivered updates.

    Args:
        delivered: The gateways that received the whole update.
        step: The inputs of this step: the plan, the conditions, the gateways and the outages.
        writer: Records what happens to the tasks.

    Returns:
        The gateways that poll again. None if there are none. A gateway that nothing can delay presents the new version
        at once, so its task is completed here.
    """
    gateways = delivered.gateways
    writer.downloads.add_delivered(gateways, delivered.delivered_ms)
    faults = install_faults(gateways, step)
    if not step.params.can_complete_immediately:
        return _schedule_return(delivered, faults, step, writer)
    restarts = step.columns.restarts[gateways.batch_index]
    immediate = (faults == _NO_FAULT) & restarts
    _complete(delivered.select(immediate), step.params, writer)
    # Positions select faster than a mask from the ten columns of the gateways.
    delayed = np.flatnonzero(~immediate)
    return _schedule_return(delivered.select(delayed), faults[delayed], step, writer)


def _complete(delivered: Delivered, params: SimulationParameters, writer: HistoryWriter) -> None:
    """Complete tasks at the restart of their stations, unless the silence timeout comes first."""
    gateways = delivered.gateways
    restarted_ms = delivered.delivered_ms + params.apply_ms
    timed_out = exceeds_timeout(gateways, restarted_ms - gateways.last_request_ms, params)
    if timed_out.any():
        silent = gateways.select(timed_out)
        fail_silent(silent, silent.last_fault, params, writer)
        gateways, restarted_ms = gateways.select(~timed_out), restarted_ms[~timed_out]
    no_fault = as_column(_NO_FAULT, len(gateways), np.uint8)
    writer.record_ends(gateways, restarted_ms, TaskEvent.TAKES_EFFECT, Cause.NEW_VERSION, no_fault)


def _schedule_return(delivered: Delivered, faults: Codes, step: Step, writer: HistoryWriter) -> ActiveGateways | None:
    """Schedule the next poll of gateways that do not complete at once.

    Args:
        delivered: The gateways. There may be none.
        faults: The code of what went wrong in each installation.
        step: The inputs of this step: the plan, the conditions, the gateways and the outages.
        writer: Records the faults.

    Returns:
        The gateways, or None if there are none.
    """
    gateways = delivered.gateways
    if not len(gateways):
        return None
    upcoming = next_polls(delivered, faults, step)
    last_fault = np.where(faults == _NO_FAULT, gateways.last_fault, faults)
    writer.set_last_fault(gateways, last_fault)
    return replace(gateways, last_fault=last_fault).scheduled(
        upcoming.time_ms,
        presented=upcoming.presented,
        poll_certain=upcoming.poll_certain,
        download_broken=False,
    )


def install_faults(gateways: ActiveGateways, step: Step) -> Codes:
    """Draw what goes wrong in each installation.

    Args:
        gateways: The gateways that received the whole update.
        step: The inputs of this step: the plan, the conditions, the gateways and the outages.

    Returns:
        The code of the fault of each installation, or that of ``Fault.NONE``. If several things go wrong, it is the
        first of them.
    """
    params, columns, conditions = step.params, step.columns, step.params.conditions
    fault = np.zeros(len(gateways), dtype=np.uint8)

    def set_with_probability(stream: Stream, probability: float, cause: Fault) -> None:
        """Set the fault of a random part of the gateways."""
        if probability:
            is_affected = step.random_numbers(gateways, stream) < probability
            fault[is_affected] = _CODE[cause]

    # The last thing that can go wrong is set first. Each earlier one replaces it.
    if params.any_version_differs:
        version_differs = columns.version_differs[gateways.batch_index]
        fault[version_differs] = _CODE[Fault.VERSION_MISMATCH]
    set_with_probability(Stream.INSTALL, params.install_failure_probability, Fault.SCRIPT_FAILS)
    set_with_probability(Stream.POWER, conditions.power_cut, Fault.POWER_CUT)
    set_with_probability(Stream.TMP, conditions.tmp_full, Fault.TMP_FULL)
    if params.any_key_fault:
        key_fault = columns.key_fault[gateways.batch_index]
        refused = key_fault != _NO_FAULT
        fault[refused] = key_fault[refused]
    set_with_probability(Stream.TRUNCATE, conditions.truncated_body, Fault.TRUNCATED_BODY)
    return fault


def next_polls(delivered: Delivered, faults: Codes, step: Step) -> NextPoll:
    """Return when gateways that received the whole update poll next, and with which version.

    Args:
        delivered: The gateways.
        faults: The code of what went wrong in each installation, from ``install_faults``.
        step: The inputs of this step: the plan, the conditions, the gateways and the outages.
    """
    params = step.params
    active, delivered_ms = delivered.gateways, delivered.delivered_ms
    # 1. The regular poll comes one period after the last one, or at the end of the download if that is later.
    regular_ms = np.maximum(active.next_event_ms + active.period_ms, delivered_ms)
    # 2. A station that restarts polls as soon as the update is installed. Any other station polls regularly, but not
    #    before the update is installed.
    installed_ms = delivered_ms + params.apply_ms
    succeeded = (faults == _NO_FAULT) | (faults == _CODE[Fault.VERSION_MISMATCH])
    restarted = succeeded & step.columns.restarts[active.batch_index]
    after_install_ms = np.maximum(regular_ms, installed_ms)
    next_ms = np.select([restarted, succeeded], [installed_ms, after_install_ms], regular_ms)
    poll_certain = restarted.copy()
    # 3. A truncated update is a failed exchange.
    truncated = np.flatnonzero(faults == _CODE[Fault.TRUNCATED_BODY])
    next_ms[truncated] = delivered_ms[truncated] + params.resync_ms
    poll_certain[truncated] = True
    # 4. A gateway without power polls when the power is back.
    power_cut = np.flatnonzero(faults == _CODE[Fault.POWER_CUT])
    if len(power_cut):
        next_ms[power_cut] = delivered_ms[power_cut] + _repair_ms(active.rng_key[power_cut], step)
        poll_certain[power_cut] = True
    return NextPoll(next_ms, _PRESENTED_AFTER[faults], poll_certain)


def _repair_ms(rng_key: RngKeys, step: Step) -> Integers:
    """Draw how long each gateway is without power, lognormal."""
    conditions = step.params.conditions
    spread = np.exp(ndtri(uniform(rng_key, Stream.REPAIR, step.number)) * conditions.repair_sigma)
    duration_ms: Integers = (spread * (conditions.repair_median_s * 1000.0)).astype(np.int64)
    return duration_ms
