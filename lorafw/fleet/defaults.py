"""Every default of the simulator with where it comes from. What has no source says "assumption"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Plan


@dataclass(frozen=True, slots=True)
class Default:
    """A value, its unit in the name, and its source."""

    name: str
    value: Any
    source: str


_ASSUMPTION: Final = "assumption"

DEFAULTS: Final = {
    default.name: default
    for default in (
        Default("poll_period_s", 86_400, "Basics Station 2.0.6, CUPS_OKSYNC_INTV"),
        Default("resync_s", 60, "Basics Station 2.0.6, CUPS_RESYNC_INTV"),
        Default("phase", "uniform over the period", "first poll at start (Basics Station); uniform: assumption"),
        Default("size_bytes", 2_000_000, "station binary 1.0 MB stripped (measured); with its files 2 MB: assumption"),
        Default("goodput_ethernet_Mbps", 20.0, _ASSUMPTION),
        Default("goodput_lte_cat4_Mbps", 8.0, _ASSUMPTION),
        Default("goodput_lte_cat1_Mbps", 3.0, _ASSUMPTION),
        Default("goodput_3g_Mbps", 1.0, _ASSUMPTION),
        Default("goodput_cat_m1_Mbps", 0.3, "peak 1 Mb/s (RCR Wireless 2017); median: assumption"),
        Default("goodput_sigma", 0.6, "lognormal: assumption"),
        Default("apply_s", 90.0, "reboot, median (assumption); Kerlink says wait 5 min for a full image"),
        Default("gone", 0.02, "no public figure found: assumption"),
        Default("missed_poll", 0.05, "no public figure found: assumption"),
        Default(
            "repair_median_s", 7200.0, "power cuts 1.4 a year, about 5.6 h a year in all (US EIA 2022); 2 h: assumption"
        ),
        Default("power_cut", 0.00002, "1.4 a year (US EIA 2022), while an update is written: assumption"),
        Default("link_drops_per_h", 0.5, _ASSUMPTION),
        Default("outages_per_day", 0.02, "shared by (ISP, region): Helium study, IMC 2021; how often: assumption"),
        Default("outage_median_s", 3600.0, _ASSUMPTION),
        Default(
            "fails", 0.0, "no trustworthy figure for failing updates was found: sweep 0.5 to 10 %, never claim one"
        ),
        Default("silence_timeout_s", 48 * 3600.0, "AWS gives no time: assumption of the service's policy"),
    )
}


def value(name: str) -> Any:
    return DEFAULTS[name].value


def assumptions(fleet: Fleet, plan: Plan) -> list[tuple[str, str, str]]:
    """(quantity, value, source) of what a rollout rests on: what equals a default has its source, the rest is given."""
    conditions, update = fleet.conditions, plan.update
    stated = {
        "poll_period_s": sorted({round(float(p) / 1000, 3) for p in (fleet.period_ms.min(), fleet.period_ms.max())}),
        "size_bytes": update.size_bytes,
        "apply_s": update.apply_s,
        "fails": update.fails,
        "silence_timeout_s": plan.silence_timeout_s,
        "resync_s": conditions.resync_s,
        "missed_poll": conditions.missed_poll,
        "link_drops_per_h": conditions.link_drops_per_h,
        "power_cut": conditions.power_cut,
        "repair_median_s": conditions.repair_median_s,
        "outages_per_day": conditions.outages_per_day,
        "outage_median_s": conditions.outage_median_s,
    }
    rows = [("fleet", f"{fleet.size} gateways", fleet.source)]
    for name, given in stated.items():
        shown = given[0] if isinstance(given, list) and len(given) == 1 else given
        default = DEFAULTS.get(name)
        source = default.source if default is not None and _equal(default.value, shown) else "given"
        rows.append((name, " to ".join(map(str, shown)) if isinstance(shown, list) else f"{shown:g}", source))
    rows.append(
        ("gone", f"{np.count_nonzero(fleet.gone) / fleet.size:g}", "as this fleet has it: an assumption where drawn")
    )
    rows.append(("download", conditions.download, "given" if conditions.download != "steady" else _ASSUMPTION))
    return rows


def _equal(default: Any, given: Any) -> bool:
    return isinstance(given, int | float) and isinstance(default, int | float) and abs(default - given) < 1e-12
