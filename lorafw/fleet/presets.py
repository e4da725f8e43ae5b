"""Ready-made fleets and plans. Shares and rates are assumptions; ``defaults`` says which of them have a source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from lorafw.errors import FleetError
from lorafw.fleet._validation import check_gateways, check_number, check_seed, check_share, require_known_name
from lorafw.fleet.arrays import Integers, RngKeys
from lorafw.fleet.conditions import Conditions
from lorafw.fleet.defaults import default_value
from lorafw.fleet.fleet import Fleet, make_fleet
from lorafw.fleet.plan import NEVER_ENDS, BetaBinomial, Plan, Threshold, Update, Wave
from lorafw.fleet.simulation.numpy_memory import huge_pages_disabled
from lorafw.fleet.simulation.random_streams import BLOCK, Stream, rng_keys, uniform

BACKHAULS: Final = {
    "ethernet": "goodput_ethernet_Mbps",
    "lte-cat4": "goodput_lte_cat4_Mbps",
    "lte-cat1": "goodput_lte_cat1_Mbps",
    "3g": "goodput_3g_Mbps",
    "cat-m1": "goodput_cat_m1_Mbps",
}
"""The classes of backhaul, and the name of the default that holds the median goodput of each."""

_BACKHAUL_MIX: Final = {"ethernet": 0.3, "lte-cat4": 0.3, "lte-cat1": 0.25, "3g": 0.1, "cat-m1": 0.05}
_REGION_MIX: Final = {"us-east-1": 0.5, "eu-west-1": 0.3, "ap-northeast-1": 0.2}
_ISP_MIX: Final = {"isp-a": 0.5, "isp-b": 0.3, "isp-c": 0.2}
_SHARE_TOLERANCE: Final = 1e-9
"""The sum of shares may differ from 1 by this rounding error."""

REFERENCE_SIZE: Final = 2_000_000
"""Bytes of the update of the reference plan."""

_DAY_S: Final = 86_400.0


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
    """Draw a fleet of gateways at random.

    Gateway k is the same in a fleet of any size with the same seed and shares.

    Args:
        gateways: Number of gateways.
        seed: The seed of the random numbers.
        backhaul: The share of each class of backhaul, by its name in BACKHAULS. The shares add up to 1.
        regions: The share of each region, by name. The shares add up to 1.
        isps: The share of each internet service provider, by name. The shares add up to 1.
        period_s: The time between two polls, in seconds. None for the default of Basics Station.
        gone: The share of gateways that never poll. None for the default.
        wrong_key: The share of gateways that do not have the key of the update.
        no_restart: The share of gateways whose station the update does not restart.
        version_differs: The share of gateways that present another version than the expected one after the update.
        conditions: The faults and delays of this fleet. None for the typical conditions.

    Returns:
        The fleet.

    Raises:
        FleetError: An argument is out of range, a backhaul is not known, or shares do not add up to 1.
    """
    # 1. Check the arguments, and fill in the defaults.
    check_gateways(gateways)
    check_seed(seed)
    backhaul, regions, isps = backhaul or _BACKHAUL_MIX, regions or _REGION_MIX, isps or _ISP_MIX
    for name in backhaul:
        require_known_name("backhaul", name, BACKHAULS)
    period_s = default_value("poll_period_s") if period_s is None else period_s
    period_ms = round(check_number("period_s", period_s) * 1000)
    gone_share = default_value("gone") if gone is None else gone
    # 2. Draw the speed of each gateway's backhaul: lognormal, around the median of its class.
    rng_key = rng_keys(seed, 0, np.arange(gateways, dtype=np.uint64))
    backhaul_codes = _draw_categories("backhaul", backhaul, rng_key, Stream.BACKHAUL)
    medians_Bps = np.array([default_value(BACKHAULS[name]) * 1e6 / 8 for name in backhaul])  # noqa: N806 -- a unit
    spread = np.exp(ndtri(uniform(rng_key, Stream.GOODPUT)) * default_value("goodput_sigma"))
    # 3. Draw everything else. Each property has random numbers of its own (``Stream``).
    return make_fleet(
        gateways,
        phase_ms=(uniform(rng_key, Stream.PHASE) * period_ms).astype(np.int64),
        period_ms=period_ms,
        goodput_Bps=medians_Bps[backhaul_codes] * spread,
        backhaul=backhaul_codes,
        region=_draw_categories("regions", regions, rng_key, Stream.REGION),
        isp=_draw_categories("isps", isps, rng_key, Stream.ISP),
        gone=_draw_flags("gone", gone_share, rng_key, Stream.GONE),
        refuses=_draw_flags("wrong_key", wrong_key, rng_key, Stream.KEY),
        restarts=np.logical_not(_draw_flags("no_restart", no_restart, rng_key, Stream.RESTART)),
        version_differs=_draw_flags("version_differs", version_differs, rng_key, Stream.VERSION),
        names={"backhaul": tuple(backhaul), "region": tuple(regions), "isp": tuple(isps), "version": ("all",)},
        conditions=conditions or typical_conditions(),
        source=f"drawn from shares, seed {seed}",
    )


def typical_conditions() -> Conditions:
    """Return the default conditions: some polls are missed, some links drop, and so on."""
    # All other conditions keep the defaults of `Conditions`, under which nothing goes wrong.
    names = (
        "missed_poll",
        "link_drops_per_h",
        "power_cut",
        "repair_median_s",
        "outages_per_day",
        "outage_median_s",
        "resync_s",
    )
    return Conditions(**{name: default_value(name) for name in names})


def _draw_flags(name: str, share: float, rng_key: RngKeys, stream: Stream) -> Any:
    """Draw which gateways have a property. Returns the plain value False if none has."""
    if not check_share(name, share):
        return False
    return uniform(rng_key, stream) < share


def _draw_categories(name: str, shares: Mapping[str, float], rng_key: RngKeys, stream: Stream) -> npt.NDArray[np.int16]:
    """Draw the category of each gateway: an index into the keys of ``shares``."""
    for category, share in shares.items():
        check_share(f"{name}.{category}", share)
    total = sum(shares.values())
    if not shares or abs(total - 1) > _SHARE_TOLERANCE:
        raise FleetError(name, dict(shares), f"the shares of {name} add up to {total:g}, not to 1")
    edges = np.cumsum(list(shares.values()))[:-1]
    return np.searchsorted(edges, uniform(rng_key, stream), side="right").astype(np.int16)


@huge_pages_disabled()
def reference_fleet(gateways: int, *, seed: int = 0, missed_poll: float = 0.02, download_s: float = 30.0) -> Fleet:
    """Return the fleet of the reference model: a simple fleet whose rollout can be calculated without a simulation.

    First polls are uniform over 24 h, and the durations of downloads are exponential. The tests compare the simulator
    with the exact results for this fleet (``fleet.statistics.closed_forms``).

    Args:
        gateways: Number of gateways.
        seed: The seed of the random numbers.
        missed_poll: Probability that a poll is missed.
        download_s: Mean duration, in seconds, of a download of the reference plan's update.

    Returns:
        The fleet.

    Raises:
        FleetError: An argument is out of range.
    """
    check_gateways(gateways)
    check_seed(seed)
    check_number("download_s", download_s, positive=True)
    bytes_per_s = REFERENCE_SIZE / download_s
    fleet = make_fleet(
        gateways,
        goodput_Bps=bytes_per_s,
        conditions=Conditions(missed_poll=missed_poll, download="exponential"),
        source=f"reference, seed {seed}",
    )
    period_ms = default_value("poll_period_s") * 1000
    # `make_fleet` would copy this array, which is large.
    first_polls_ms = _draw_phases_ms(gateways, seed, period_ms)
    return replace(fleet, phase_ms=first_polls_ms)


def _draw_phases_ms(gateways: int, seed: int, period_ms: int) -> Integers:
    """Draw the time of each gateway's first poll, uniform over the period.

    Works block by block: most of the time would otherwise go into touching new memory for intermediate results.
    """
    phases_ms = np.empty(gateways, dtype=np.int64)
    for start in range(0, gateways, BLOCK):
        numbers = np.arange(start, min(start + BLOCK, gateways), dtype=np.uint64)
        phases_ms[start : start + BLOCK] = uniform(rng_keys(seed, 0, numbers), Stream.PHASE) * period_ms
    return phases_ms


def reference_plan(*, fails: float = 0.1, apply_s: float = 90.0) -> Plan:
    """Return the plan of the reference model: everything at once, and silence ends no task.

    Args:
        fails: Probability that an installation fails.
        apply_s: Time until the restarted station presents its new version.

    Raises:
        FleetError: An argument is out of range.
    """
    update = Update(size_bytes=REFERENCE_SIZE, apply_s=apply_s, fails=fails)
    return Plan(name="reference", update=update, silence_timeout_s=NEVER_ENDS)


def typical_plan(*, fails: float = 0.02) -> Plan:
    """Return the plan that updates all gateways at once, as AutoCreateTasks does.

    Args:
        fails: Probability that an installation fails.

    Raises:
        FleetError: ``fails`` is not a probability.
    """
    return Plan(name="everything at once", update=Update(fails=fails))


def canary_plan(*, fails: float = 0.02) -> Plan:
    """Return a plan of three waves: 1 % of the fleet, then 10 %, then the rest, with Beta-Binomial gates.

    Each gate is first checked after four days. A task becomes FAILED after three days at the earliest, at the poll
    after the third send.

    Args:
        fails: Probability that an installation fails.

    Raises:
        FleetError: ``fails`` is not a probability.
    """
    gate = BetaBinomial(acceptable=0.05)
    bake_s = 4 * _DAY_S
    return Plan(
        name="canary",
        update=Update(fails=fails),
        waves=(
            Wave(share=0.01, bake_s=bake_s, gate=gate),
            Wave(share=0.1, bake_s=bake_s, gate=gate),
            Wave(share=0.89),
        ),
    )


def waves_plan(*, fails: float = 0.02) -> Plan:
    """Return a plan of four equal waves, with a gate of two thresholds between them, as in hawkBit.

    Args:
        fails: Probability that an installation fails.

    Raises:
        FleetError: ``fails`` is not a probability.
    """
    wave = Wave(share=0.25, bake_s=_DAY_S, gate=Threshold(success=0.9, error=0.1))
    return Plan(name="waves", update=Update(fails=fails), waves=(wave, wave, wave, Wave(share=0.25)))


FLEETS: Final[Mapping[str, Callable[..., Fleet]]] = {"reference": reference_fleet, "mixed": mixed_fleet}
"""The fleets by the name of their preset."""

PLANS: Final[Mapping[str, Callable[..., Plan]]] = {
    "reference": reference_plan,
    "at-once": typical_plan,
    "canary": canary_plan,
    "waves": waves_plan,
}
"""The plans by the name of their preset."""
