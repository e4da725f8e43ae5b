"""The defaults of the simulator, each with its source. A default without a source says "assumption"."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from lorafw.fleet.conditions import PROBABILITIES
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Manual, Plan


@dataclass(frozen=True, slots=True)
class Default:
    """A default value."""

    name: str
    """The name of the quantity, which ends with its unit."""
    value: Any
    """The value."""
    source: str
    """Where it comes from."""


_ASSUMPTION: Final = "assumption"
_GIVEN: Final = "given"
_OFF: Final = "switched off"
_FLAGS: Final = ("gone", "refuses", "keyless", "restarts", "version_differs")
_TOLERANCE: Final = 1e-12

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
"""The defaults by name."""


def default_value(name: str) -> Any:
    """Return the value of a default."""
    return DEFAULTS[name].value


def assumptions(fleet: Fleet, plan: Plan) -> list[tuple[str, str, str]]:
    """Return all that a rollout rests on, as rows of quantity, value and source.

    A value that equals the default has the source of the default. Any other one is "given", or "switched off" if it is
    a cause of trouble with probability 0.
    """
    conditions = fleet.conditions
    rows = [("fleet", f"{fleet.size} gateways", fleet.source), *_poll_rows(fleet)]
    rows += [_row(field.name, getattr(plan.update, field.name)) for field in fields(plan.update)]
    rows.append(_row("silence_timeout_s", plan.silence_timeout_s))
    if any(isinstance(wave.gate, Manual) for wave in plan.waves):
        rows.append(("manual gates", "promoted at their first check", "assumption"))
    rows += [_row(field.name, getattr(conditions, field.name)) for field in fields(conditions)]
    rows += [_flag_row(fleet, name) for name in _FLAGS]
    return rows


def _poll_rows(fleet: Fleet) -> list[tuple[str, str, str]]:
    """Return the rows of the poll period and of the first polls."""
    periods_s, phases_s = _range_s(fleet.period_ms), _range_s(fleet.phase_ms)
    common_period_s = periods_s[0] if len(periods_s) == 1 else None
    phase_source = _GIVEN if len(phases_s) == 1 else DEFAULTS["phase"].source
    return [
        ("poll_period_s", _format_range(periods_s), _source("poll_period_s", common_period_s)),
        ("poll_phase_s", _format_range(phases_s), phase_source),
    ]


def _row(name: str, value: Any) -> tuple[str, str, str]:
    """Return the row of one value."""
    return name, _format_value(value), _source(name, value)


def _flag_row(fleet: Fleet, name: str) -> tuple[str, str, str]:
    """Return the row of a column of flags: the share of gateways for which it is True."""
    share = np.count_nonzero(getattr(fleet, name)) / fleet.size
    source = "as this fleet has it: an assumption where drawn" if share else _OFF
    return name, f"{share:g}", source


def _format_value(value: Any) -> str:
    """Return a value as text. None means that any value is accepted."""
    if value is None:
        return "any"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _source(name: str, value: Any) -> str:
    """Return where a value comes from."""
    default = DEFAULTS.get(name)
    if default is not None and _is_equal(default.value, value):
        return default.source
    if name in PROBABILITIES and not value:
        return _OFF
    return _GIVEN


def _range_s(times_ms: Any) -> list[float]:
    """Return the smallest and the largest of some times, in s: one number if they are equal."""
    return sorted({float(times_ms.min()) / 1000, float(times_ms.max()) / 1000})


def _format_range(values: list[float]) -> str:
    """Return a range as text, for example "0 to 86400"."""
    return " to ".join(f"{value:g}" for value in values)


def _is_equal(default: Any, value: Any) -> bool:
    """Return whether two numbers are equal but for rounding errors. Other values never are."""
    both_numbers = isinstance(value, int | float) and isinstance(default, int | float)
    return both_numbers and abs(default - value) < _TOLERANCE
