"""Fleets and plans by name. Shares and rates are assumptions; ``defaults`` says which have a source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from lorafw.errors import FleetError
from lorafw.fleet._validation import check_gateways, check_number, check_seed, check_share, require_known_name
from lorafw.fleet.conditions import Conditions
from lorafw.fleet.defaults import default_value
from lorafw.fleet.fleet import Fleet, make_fleet
from lorafw.fleet.plan import NEVER_ENDS, BetaBinomial, Plan, Threshold, Update, Wave
from lorafw.fleet.simulation.numpy_memory import huge_pages_disabled
from lorafw.fleet.simulation.random_streams import BLOCK, U64, Stream, rng_keys, uniform

BACKHAULS: Final = {
    "ethernet": "goodput_ethernet_Mbps",
    "lte-cat4": "goodput_lte_cat4_Mbps",
    "lte-cat1": "goodput_lte_cat1_Mbps",
    "3g": "goodput_3g_Mbps",
    "cat-m1": "goodput_cat_m1_Mbps",
}
"""Classes of backhaul, and where their median goodput is told."""


@huge_pages_disabled()
def mixed_fleet(
    gateways: int,
    *,
    seed: int = 0,
    backhaul: Mapping[str, float] | None = None,
    regions: Mapping[str, float] | None = None,
    isps: Mapping[str, float] | None = None,
    period_s: float | None = None,
    gone: float | None = None,
    wrong_key: float = 0.0,
    no_restart: float = 0.0,
    version_differs: float = 0.0,
    conditions: Conditions | None = None,
) -> Fleet:
    """A fleet drawn from shares. Gateway k is the same in a fleet of any size. Raises FleetError.

    Mixes are shares by name that add up to 1; ``backhaul`` from the names of BACKHAULS.
    """
    check_gateways(gateways)
    check_seed(seed)
    backhaul = backhaul or {"ethernet": 0.3, "lte-cat4": 0.3, "lte-cat1": 0.25, "3g": 0.1, "cat-m1": 0.05}
    for name in backhaul:
        require_known_name("backhaul", name, BACKHAULS)
    regions = regions or {"us-east-1": 0.5, "eu-west-1": 0.3, "ap-northeast-1": 0.2}
    isps = isps or {"isp-a": 0.5, "isp-b": 0.3, "isp-c": 0.2}
    period_ms = round(check_number("period_s", default_value("poll_period_s") if period_s is None else period_s) * 1000)
    position = rng_keys(seed, 0, np.arange(gateways, dtype=np.uint64))

    def flag(stream: Stream, share: float, name: str) -> Any:
        check_share(name, share)
        return uniform(position, stream) < share if share else False

    groups = _groups("backhaul", backhaul, position, Stream.BACKHAUL)
    medians = np.array([default_value(BACKHAULS[name]) * 1e6 / 8 for name in backhaul])
    spread = np.exp(ndtri(uniform(position, Stream.GOODPUT)) * default_value("goodput_sigma"))
    return make_fleet(
        gateways,
        phase_ms=(uniform(position, Stream.PHASE) * period_ms).astype(np.int64),
        period_ms=period_ms,
        goodput_Bps=medians[groups] * spread,
        backhaul=groups,
        region=_groups("regions", regions, position, Stream.REGION),
        isp=_groups("isps", isps, position, Stream.ISP),
        gone=flag(Stream.GONE, default_value("gone") if gone is None else gone, "gone"),
        refuses=flag(Stream.KEY, wrong_key, "wrong_key"),
        restarts=~flag(Stream.RESTART, no_restart, "no_restart") if no_restart else True,
        version_differs=flag(Stream.VERSION, version_differs, "version_differs"),
        names={"backhaul": tuple(backhaul), "region": tuple(regions), "isp": tuple(isps), "version": ("all",)},
        conditions=conditions or typical_conditions(),
        source=f"drawn from shares, seed {seed}",
    )


def typical_conditions() -> Conditions:
    """The defaults: a world in which some things go wrong."""
    names = ("missed_poll", "link_drops_per_h", "power_cut", "repair_median_s", "outages_per_day", "outage_median_s")
    return Conditions(**{name: default_value(name) for name in names}, resync_s=default_value("resync_s"))


def _groups(name: str, shares: Mapping[str, float], position: U64, stream: Stream) -> npt.NDArray[np.int16]:
    for part, share in shares.items():
        check_share(f"{name}.{part}", share)
    total = sum(shares.values())
    if not shares or abs(total - 1) > 1e-9:
        raise FleetError(name, dict(shares), f"the shares of {name} add up to {total:g}, not to 1")
    edges = np.cumsum(list(shares.values()))[:-1]
    return np.searchsorted(edges, uniform(position, stream), side="right").astype(np.int16)


REFERENCE_SIZE: Final = 2_000_000


@huge_pages_disabled()
def reference_fleet(gateways: int, *, seed: int = 0, missed_poll: float = 0.02, download_s: float = 30.0) -> Fleet:
    """The reference model: phases uniform over 24 h, 2 % of polls missed, downloads exponential with mean 30 s."""
    check_gateways(gateways)
    check_seed(seed)
    check_number("download_s", download_s, positive=True)
    fleet = make_fleet(
        gateways,
        goodput_Bps=REFERENCE_SIZE / download_s,
        conditions=Conditions(missed_poll=missed_poll, download="exponential"),
        source=f"reference, seed {seed}",
    )
    return replace(fleet, phase_ms=_phases(gateways, seed, default_value("poll_period_s") * 1000))


def _phases(gateways: int, seed: int, period_ms: int) -> npt.NDArray[np.int64]:
    """First polls anywhere in the period; piece by piece, since most of the time goes into touching new memory."""
    result = np.empty(gateways, dtype=np.int64)
    for left in range(0, gateways, BLOCK):
        numbers = np.arange(left, min(left + BLOCK, gateways), dtype=np.uint64)
        result[left : left + BLOCK] = uniform(rng_keys(seed, 0, numbers), Stream.PHASE) * period_ms
    return result


def reference_plan(*, fails: float = 0.1, apply_s: float = 90.0) -> Plan:
    """Everything at once, 0.9 a try, applied and restarted in 90 s, FAILED at the poll after the third send."""
    update = Update(size_bytes=REFERENCE_SIZE, apply_s=apply_s, fails=fails)
    return Plan(name="reference", update=update, silence_timeout_s=NEVER_ENDS)


def typical_plan(*, fails: float = 0.02) -> Plan:
    return Plan(name="everything at once", update=Update(fails=fails))


def canary_plan(*, fails: float = 0.02) -> Plan:
    """1 %, then 10 %, then the rest; each gate waits for a belief, from four days on: FAILED takes three."""
    gate = BetaBinomial(acceptable=0.05)
    day = 86400.0
    return Plan(
        name="canary",
        update=Update(fails=fails),
        waves=(
            Wave(share=0.01, bake_s=4 * day, gate=gate),
            Wave(share=0.1, bake_s=4 * day, gate=gate),
            Wave(share=0.89),
        ),
    )


def waves_plan(*, fails: float = 0.02) -> Plan:
    """Four quarters, each after hawkBit's thresholds on the one before."""
    wave = Wave(share=0.25, bake_s=86400.0, gate=Threshold(success=0.9, error=0.1))
    return Plan(name="waves", update=Update(fails=fails), waves=(wave, wave, wave, Wave(share=0.25)))


FLEETS: Final[Mapping[str, Callable[..., Fleet]]] = {"reference": reference_fleet, "mixed": mixed_fleet}
PLANS: Final[Mapping[str, Callable[..., Plan]]] = {
    "reference": reference_plan,
    "at-once": typical_plan,
    "canary": canary_plan,
    "waves": waves_plan,
}
