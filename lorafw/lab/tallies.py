"""Pictures of a rollout that count gateways: how often they were sent the update, and what went wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from lorafw.fleet.codes import FAULTS, STATUSES, status_code
from lorafw.fleet.result import Result
from lorafw.lab.picture import EDGE, GREY, OFFSET, STATUS_STYLES, Picture, Style, blank, whose
from lorafw.tasks.lifecycle import ATTEMPT, TaskStatus

_COMPLETED: Final = status_code(TaskStatus.COMPLETED)
_FAILED: Final = status_code(TaskStatus.FAILED)


def retries(result: Result) -> Picture:
    """How often the update was sent whole to a gateway, and how its task stands."""
    histories = result.gateways
    sends = np.arange(max(ATTEMPT.values()) + 1)
    figure, axes = blank("Whole sends to a gateway", "whole sends", "gateways, %")
    total = histories.status.size
    below: Any = np.zeros(len(sends))
    told = []
    for name, codes in _ENDS.items():
        here = np.isin(histories.status, codes)
        share = np.bincount(histories.sends[here], minlength=len(sends))[: len(sends)] / total * 100
        axes.bar(sends, share, bottom=below, label=f"{name}  {share.sum():.2f} %", width=0.7, **_END_STYLES[name])
        below = below + share
        parts = ", ".join(f"{part:.2f} % at {send}" for send, part in enumerate(share) if part)
        told.append(f"{name} {parts or 'none'}")
    for send, share in zip(sends, below, strict=True):
        axes.annotate(f"{share:.2f} %", (send, share), ha="center", va="bottom", xytext=(0, 2), **OFFSET)
    axes.set_xticks(sends)
    axes.set_ylim(0, 108)
    axes.legend(frameon=False)
    mean = histories.sends.mean()
    words = f"Whole sends to a gateway, {whose(result)}: {mean:.4g} on average; {'; '.join(told)}."
    return Picture(figure, words)


_ENDS: Final[Mapping[str, list[int]]] = {
    "COMPLETED": [_COMPLETED],
    "FAILED": [_FAILED],
    "neither": [code for code in range(len(STATUSES) + 1) if code not in (_COMPLETED, _FAILED)],
}
_END_STYLES: Final[Mapping[str, Style]] = {
    "COMPLETED": STATUS_STYLES[TaskStatus.COMPLETED] | EDGE,
    "FAILED": STATUS_STYLES[TaskStatus.FAILED] | EDGE,
    "neither": STATUS_STYLES["none"] | {"edgecolor": GREY, "linewidth": 0.5},
}


def causes(result: Result) -> Picture:
    """What went wrong last at gateways, and whether they completed all the same."""
    histories = result.gateways
    gone = np.broadcast_to(result.fleet.gone, histories.status.shape)
    total = histories.status.size
    groups = {"never polls": gone} | {
        fault.value: histories.fault == code for code, fault in enumerate(FAULTS) if fault.value
    }
    found = {name: hit for name, hit in groups.items() if hit.any()}
    found = dict(sorted(found.items(), key=lambda item: -np.count_nonzero(item[1])))
    figure, axes = blank("What went wrong last", "gateways, %", "")
    lefts: Any = np.zeros(len(found))
    told = dict.fromkeys(found, "")
    for end, codes in _ENDS.items():
        stands = np.isin(histories.status, codes)
        share = np.array([np.count_nonzero(hit & stands) / total * 100 for hit in found.values()])
        axes.barh(range(len(found)), share, left=lefts, height=0.6, label=end, **_END_STYLES[end])
        lefts = lefts + share
        for name, part in zip(found, share, strict=True):
            told[name] += f", {part:.3g} % {end}" if part else ""
    for place, share in enumerate(lefts):
        axes.annotate(f"{share:.3g} %", (share, place), va="center", xytext=(4, 0), **OFFSET)
    axes.set_yticks(range(len(found)), list(found))
    axes.set_ylim(max(len(found), 1) - 0.5, -0.5)
    axes.set_xlim(0, max(lefts, default=1) * 1.15)
    if found:
        axes.legend(frameon=False, loc="lower right")
    words = "; ".join(f"{name}{parts}" for name, parts in told.items()) or "nothing went wrong"
    return Picture(figure, f"What went wrong last, {whose(result)}: {words}.")
