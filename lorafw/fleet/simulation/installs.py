"""What a gateway does with an update that has arrived whole: what goes wrong with it, and when it is heard of again.

The first trouble on the way counts (``install_faults`` writes them from the last to the first). Each cause
has a stream of its own: a better script does not change whose power fails.

======================  =======================================  =====================
trouble                 the gateway comes back                   and presents
======================  =======================================  =====================
truncated-body          after ``resync_s``: a failed exchange    the old version
wrong key or none       at the next regular poll                 the old version
tmp-full                at the next regular poll                 the old version
power-cut               when the power is back                   the old version
script-fails            at the next regular poll                 the old version
version-mismatch        as if all had gone well                  another version
none                    when it is installed, if that restarts   the new version
                        the station; else at the regular poll
                        after it
======================  =======================================  =====================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Update
from lorafw.fleet.simulation.active import ActiveGateways, PresentedVersion
from lorafw.fleet.simulation.codes import U8, Fault, fault_code
from lorafw.fleet.simulation.inputs import I64, BatchColumns, Mask, SimulationParameters
from lorafw.fleet.simulation.random_streams import Stream, draw

_CODE = {fault: fault_code(fault) for fault in Fault}


@dataclass(frozen=True, slots=True, eq=False)
class NextPoll:
    """When gateways come back, with which version, and whether that poll can be missed."""

    time: I64
    shows: U8
    poll_certain: Mask


def key_faults(fleet: Fleet, update: Update) -> npt.NDArray[np.uint8]:
    """For each gateway the fault because of which its station refuses this update, or none."""
    none = _CODE[Fault.NONE]
    if update.signed:
        with_key = np.where(fleet.refuses, _CODE[Fault.WRONG_KEY], none)
        return np.where(fleet.keyless, _CODE[Fault.NO_KEY], with_key).astype(np.uint8)
    return np.where(fleet.keyless, none, _CODE[Fault.UNSIGNED_WITH_KEY]).astype(np.uint8)


def install_faults(way: ActiveGateways, turn: int, rules: SimulationParameters, gateways: BatchColumns) -> U8:
    """What goes wrong with each gateway's update; NONE where nothing does."""
    conditions = rules.conditions
    fault = np.zeros(len(way), dtype=np.uint8)
    if rules.any_version_differs:
        fault[gateways.version_differs[way.who]] = _CODE[Fault.VERSION_MISMATCH]
    for stream, share, trouble in (
        (Stream.INSTALL, rules.fails, Fault.SCRIPT_FAILS),
        (Stream.POWER, conditions.power_cut, Fault.POWER_CUT),
        (Stream.TMP, conditions.tmp_full, Fault.TMP_FULL),
    ):
        if share:
            fault[draw(way.position, stream, turn) < share] = _CODE[trouble]
    if rules.any_key_fault:
        refusal = gateways.refusal[way.who]
        fault = np.where(refusal, refusal, fault)
    if conditions.truncated_body:
        fault[draw(way.position, Stream.TRUNCATE, turn) < conditions.truncated_body] = _CODE[Fault.TRUNCATED_BODY]
    return fault


def returns(
    way: ActiveGateways, turn: int, rules: SimulationParameters, gateways: BatchColumns, arrived: I64, fault: U8
) -> NextPoll:
    """When those come back whose update has arrived at ``arrived``, and met this fault."""
    regular = np.maximum(way.time + way.period, arrived)
    installed = arrived + rules.apply_ms
    runs = (fault == _CODE[Fault.NONE]) | (fault == _CODE[Fault.VERSION_MISMATCH])
    restarts = runs & gateways.restarts[way.who]
    time = np.where(restarts, installed, np.where(runs, np.maximum(regular, installed), regular))
    poll_certain = restarts
    for trouble, soon in ((Fault.TRUNCATED_BODY, _resync_delay_ms), (Fault.POWER_CUT, _repair_delay_ms)):
        where = np.flatnonzero(fault == _CODE[trouble])
        if len(where):
            time[where] = arrived[where] + soon(way.position[where], turn, rules)
            poll_certain[where] = True
    return NextPoll(time, _SHOWS[fault], poll_certain)


_SHOWS = np.full(len(Fault), PresentedVersion.OLD, dtype=np.uint8)
_SHOWS[_CODE[Fault.NONE]] = PresentedVersion.NEW
_SHOWS[_CODE[Fault.VERSION_MISMATCH]] = PresentedVersion.OTHER


def _resync_delay_ms(position: Any, turn: int, rules: SimulationParameters) -> Any:
    return rules.resync_ms


def _repair_delay_ms(position: Any, turn: int, rules: SimulationParameters) -> I64:
    """A lognormal time without power."""
    conditions = rules.conditions
    spread = np.exp(ndtri(draw(position, Stream.REPAIR, turn)) * conditions.repair_sigma)
    result: I64 = (spread * (conditions.repair_median_s * 1000.0)).astype(np.int64)
    return result
