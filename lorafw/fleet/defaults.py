"""Every default of the simulator with where it comes from. What has no source says "assumption"."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from lorafw.fleet.conditions import PROBABILITIES
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Plan


@dataclass(frozen=True, slots=True)
class Default:
    """A value, its unit in the name, and its source."""

    name: str
    value: Any
    source: str


_ASSUMPTION: Final = "assumption"
_GIVEN: Final = "given"
_OFF: Final = "switched off"

DEFAULTS: Final = {
    default.name: default
    for default in (
        Default("poll_period_s", 86_400, "Basics Station 2.0.6, CUPS_OKSYNC_INTV"),
        Default("resync_s", 60, "Basics Station 2.0.6, CUPS_RESYNC_INTV; 24 h while its LNS connection is up"),
        Default("conn_timeout_s", 60, "Basics Station 2.0.6, CUPS_CONN_TIMEOUT, for each 8 KB"),
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
        Default("repair_sigma", 1.0, "lognormal repair (Schroeder and Gibson); its width: assumption"),
        Default("power_cut", 0.00002, "1.4 a year (US EIA 2022), while an update is written: assumption"),
        Default("link_drops_per_h", 0.5, _ASSUMPTION),
        Default("outages_per_day", 0.02, "shared by (ISP, region): Helium study, IMC 2021; how often: assumption"),
        Default("outage_median_s", 3600.0, _ASSUMPTION),
        Default("outage_sigma", 1.0, "lognormal: assumption"),
        Default(
            "fails", 0.0, "no trustworthy figure for failing updates was found: sweep 0.5 to 10 %, never claim one"
        ),
        Default("silence_timeout_s", 48 * 3600.0, "AWS gives no time: assumption of the service's policy"),
    )
}


def default_value(name: str) -> Any:
    return DEFAULTS[name].value


def assumptions(fleet: Fleet, plan: Plan) -> list[tuple[str, str, str]]:
    """(quantity, value, source) of all that a rollout rests on: what equals a default has its source.

    The rest is "given"; a cause of trouble that is not is "switched off".
    """
    size, conditions = fleet.size, fleet.conditions
    periods = sorted({float(period) / 1000 for period in (fleet.period_ms.min(), fleet.period_ms.max())})
    phases = sorted({float(phase) / 1000 for phase in (fleet.phase_ms.min(), fleet.phase_ms.max())})
    rows = [
        ("fleet", f"{size} gateways", fleet.source),
        ("poll_period_s", _span(periods), _source("poll_period_s", periods[0] if len(periods) == 1 else None)),
        ("poll_phase_s", _span(phases), DEFAULTS["phase"].source if len(phases) > 1 else _GIVEN),
    ]
    rows += [_row(f.name, getattr(plan.update, f.name)) for f in fields(plan.update)]
    rows.append(_row("silence_timeout_s", plan.silence_timeout_s))
    rows += [_row(f.name, getattr(conditions, f.name)) for f in fields(conditions)]
    for name in ("gone", "refuses", "keyless", "restarts", "version_differs"):
        share = np.count_nonzero(getattr(fleet, name)) / size
        rows.append((name, f"{share:g}", "as this fleet has it: an assumption where drawn" if share else _OFF))
    return rows


def _row(name: str, given: Any) -> tuple[str, str, str]:
    shown = f"{given:g}" if isinstance(given, float) else "any" if given is None else str(given)
    return name, shown, _source(name, given)


def _source(name: str, given: Any) -> str:
    default = DEFAULTS.get(name)
    if default is not None and _equal(default.value, given):
        return default.source
    return _OFF if name in PROBABILITIES and not given else _GIVEN


def _span(values: list[float]) -> str:
    return " to ".join(f"{default_value:g}" for default_value in values)


def _equal(default: Any, given: Any) -> bool:
    return isinstance(given, int | float) and isinstance(default, int | float) and abs(default - given) < 1e-12
