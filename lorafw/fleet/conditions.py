"""Conditions: what goes wrong in a fleet, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lorafw.errors import FleetError
from lorafw.fleet._validation import check_number, check_share, shown

PROBABILITIES: Final = (
    "missed_poll",
    "unreached",
    "server_error",
    "storage_error",
    "slow_link",
    "truncated_body",
    "tmp_full",
    "power_cut",
)
"""The conditions that are probabilities. 0 switches a condition off."""

_AMOUNTS: Final = (
    "link_drops_per_h",
    "repair_median_s",
    "repair_sigma",
    "outages_per_day",
    "outage_median_s",
    "outage_sigma",
    "conn_timeout_s",
)
"""The conditions that are rates, durations or widths of distributions."""

_DOWNLOAD_MODELS: Final = ("steady", "exponential")

_MIN_RESYNC_S: Final = 1.0
"""Without a pause, a station would repeat a failing exchange endlessly at one point in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The failure model of a fleet.

    Each cause can be switched off with 0. The rates and probabilities are assumptions.

    Raises:
        FleetError: A value is out of range.
    """

    missed_poll: float = 0.0
    """Probability that a poll does not happen, because the gateway or its backhaul is off."""
    unreached: float = 0.0
    """Probability that a connection fails. The gateway tries again after ``resync_s``."""
    server_error: float = 0.0
    """Probability that the server answers with an error. The gateway tries again after ``resync_s``."""
    storage_error: float = 0.0
    """Probability that the service cannot read the update when it would send it."""
    link_drops_per_h: float = 0.0
    """Rate at which a running download breaks off. It starts again from the first byte after ``resync_s``."""
    slow_link: float = 0.0
    """Probability that a download stalls for longer than ``conn_timeout_s``. It then starts again as well."""
    truncated_body: float = 0.0
    """Probability that a part of what was sent does not arrive."""
    tmp_full: float = 0.0
    """Probability that the gateway has no space for the update."""
    power_cut: float = 0.0
    """Probability that the power fails while an update is installed."""
    repair_median_s: float = 2 * 3600.0
    """Median time until the power is back. The time is lognormal."""
    repair_sigma: float = 1.0
    """Standard deviation of the logarithm of that time."""
    outages_per_day: float = 0.0
    """How often the network of one (ISP, region) is down for all of its gateways."""
    outage_median_s: float = 3600.0
    """Median duration of such an outage. The duration is lognormal."""
    outage_sigma: float = 1.0
    """Standard deviation of the logarithm of that duration."""
    download: str = "steady"
    """"steady": a download takes size / goodput. "exponential": its duration is exponential with that mean."""
    resync_s: float = 60.0
    """Pause of a Basics Station after a failed exchange."""
    conn_timeout_s: float = 60.0
    """How long a Basics Station waits for the next bytes of a download."""

    def __post_init__(self) -> None:
        for name in PROBABILITIES:
            check_share(name, getattr(self, name), below_one=True)
        for name in _AMOUNTS:
            check_number(name, getattr(self, name))
        if check_number("resync_s", self.resync_s) < _MIN_RESYNC_S:
            raise FleetError("resync_s", self.resync_s, f"resync_s {self.resync_s!r} is less than {_MIN_RESYNC_S} s")
        if self.download not in _DOWNLOAD_MODELS:
            models = ", ".join(_DOWNLOAD_MODELS)
            raise FleetError("download", self.download, f"{shown(self.download)} is not one of: {models}")

    @property
    def can_break_downloads(self) -> bool:
        """True if a download can break off."""
        return bool(self.link_drops_per_h or self.slow_link or self.outages_per_day)
