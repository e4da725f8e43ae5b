"""What a gateway does with an update that was delivered whole: what goes wrong, and when it polls again.

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

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from lorafw.fleet.conditions import Conditions
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Update
from lorafw.fleet.simulation.active import ActiveGateways, PresentedVersion
from lorafw.fleet.simulation.codes import U8, Fault, fault_code
from lorafw.fleet.simulation.inputs import I64, BatchColumns, Mask, SimulationParameters
from lorafw.fleet.simulation.random_streams import U64, Stream, uniform

_CODE: Final = {fault: fault_code(fault) for fault in Fault}

_PRESENTED_AFTER: Final = np.full(len(Fault), PresentedVersion.OLD, dtype=np.uint8)
"""The version that a gateway presents after a fault, by the code of the fault."""
_PRESENTED_AFTER[_CODE[Fault.NONE]] = PresentedVersion.NEW
_PRESENTED_AFTER[_CODE[Fault.VERSION_MISMATCH]] = PresentedVersion.OTHER


@dataclass(frozen=True, slots=True, eq=False)
class NextPoll:
    """The next poll of each gateway."""

    time_ms: I64
    presented: U8
    """The version that the gateway presents, a PresentedVersion."""
    poll_certain: Mask
    """True if the poll cannot be missed."""


def key_faults(fleet: Fleet, update: Update) -> npt.NDArray[np.uint8]:
    """Return for each gateway the code of the fault because of which its station refuses the update, or of NONE."""
    accepted = _CODE[Fault.NONE]
    if update.signed:
        with_key = np.where(fleet.refuses, _CODE[Fault.WRONG_KEY], accepted)
        return np.where(fleet.keyless, _CODE[Fault.NO_KEY], with_key).astype(np.uint8)
    return np.where(fleet.keyless, accepted, _CODE[Fault.UNSIGNED_WITH_KEY]).astype(np.uint8)


def install_faults(active: ActiveGateways, step: int, params: SimulationParameters, columns: BatchColumns) -> U8:
    """Return the code of the fault of each gateway's installation, or of NONE."""
    conditions = params.conditions
    fault = np.zeros(len(active), dtype=np.uint8)
    if params.any_version_differs:
        fault[columns.version_differs[active.batch_index]] = _CODE[Fault.VERSION_MISMATCH]
    for stream, probability, cause in (
        (Stream.INSTALL, params.install_failure_probability, Fault.SCRIPT_FAILS),
        (Stream.POWER, conditions.power_cut, Fault.POWER_CUT),
        (Stream.TMP, conditions.tmp_full, Fault.TMP_FULL),
    ):
        _set_with_probability(fault, active.rng_key, stream, step, probability, cause)
    if params.any_key_fault:
        key_fault = columns.key_fault[active.batch_index]
        fault = np.where(key_fault, key_fault, fault)
    _set_with_probability(fault, active.rng_key, Stream.TRUNCATE, step, conditions.truncated_body, Fault.TRUNCATED_BODY)
    return fault


def _set_with_probability(fault: U8, rng_key: U64, stream: Stream, step: int, probability: float, cause: Fault) -> None:
    """Set the fault of a random part of the gateways. Mutates ``fault``."""
    if probability:
        fault[uniform(rng_key, stream, step) < probability] = _CODE[cause]


def next_polls(
    active: ActiveGateways,
    step: int,
    params: SimulationParameters,
    columns: BatchColumns,
    delivered_ms: I64,
    fault: U8,
) -> NextPoll:
    """Return the next poll of gateways that received the whole update.

    Args:
        active: The gateways.
        step: The step of the engine, which selects the random numbers.
        params: Plan and conditions.
        columns: The columns of the batch.
        delivered_ms: When the update had arrived at each gateway.
        fault: What went wrong with each installation, from ``install_faults``.
    """
    regular_ms = np.maximum(active.next_event_ms + active.period_ms, delivered_ms)
    installed_ms = delivered_ms + params.apply_ms
    succeeded = (fault == _CODE[Fault.NONE]) | (fault == _CODE[Fault.VERSION_MISMATCH])
    restarted = succeeded & columns.restarts[active.batch_index]
    after_install_ms = np.maximum(regular_ms, installed_ms)
    next_ms = np.select([restarted, succeeded], [installed_ms, after_install_ms], regular_ms)
    poll_certain = restarted.copy()

    truncated = np.flatnonzero(fault == _CODE[Fault.TRUNCATED_BODY])
    next_ms[truncated] = delivered_ms[truncated] + params.resync_ms
    poll_certain[truncated] = True

    power_cut = np.flatnonzero(fault == _CODE[Fault.POWER_CUT])
    if len(power_cut):
        next_ms[power_cut] = delivered_ms[power_cut] + _repair_ms(active.rng_key[power_cut], step, params.conditions)
        poll_certain[power_cut] = True
    return NextPoll(next_ms, _PRESENTED_AFTER[fault], poll_certain)


def _repair_ms(rng_key: U64, step: int, conditions: Conditions) -> I64:
    """Draw how long each gateway is without power, lognormal."""
    spread = np.exp(ndtri(uniform(rng_key, Stream.REPAIR, step)) * conditions.repair_sigma)
    duration_ms: I64 = (spread * (conditions.repair_median_s * 1000.0)).astype(np.int64)
    return duration_ms
