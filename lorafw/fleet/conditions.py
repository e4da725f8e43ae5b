"""Conditions: the failure model of a fleet."""

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
"""Causes of trouble that a share switches on, and 0 off."""

_SHORTEST_S: Final = 1.0
"""A station that tries again at once would try for ever in no time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What the world does to gateways; every cause can be switched off with 0. Rates and shares are assumptions.

    ``missed_poll``: probability that a poll does not happen (gateway or backhaul off for a while); ``unreached``,
    ``server_error``: that a connection fails, or the server answers with an error, and it is tried again after
    ``resync_s``; ``storage_error``: that the service cannot read the update when a send is due.

    ``link_drops_per_h``: rate at which a running download breaks; ``slow_link``: probability that it stalls for longer
    than ``conn_timeout_s`` (no resume: both times it starts again after ``resync_s``); ``truncated_body``: that not all
    of what was sent arrives; ``tmp_full``: that there is no room for it.

    ``power_cut``: probability that power fails while an update is installed, with a lognormal time to repair;
    ``outages_per_day``: how often one (ISP, region) goes down whole, for a lognormal time.
    ``download``: "steady" takes size / goodput; "exponential" is exponential with that mean.
    """

    missed_poll: float = 0.0
    unreached: float = 0.0
    server_error: float = 0.0
    storage_error: float = 0.0
    link_drops_per_h: float = 0.0
    slow_link: float = 0.0
    truncated_body: float = 0.0
    tmp_full: float = 0.0
    power_cut: float = 0.0
    repair_median_s: float = 2 * 3600.0
    repair_sigma: float = 1.0
    outages_per_day: float = 0.0
    outage_median_s: float = 3600.0
    outage_sigma: float = 1.0
    download: str = "steady"
    resync_s: float = 60.0
    conn_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        for name in PROBABILITIES:
            check_share(name, getattr(self, name), below_one=True)
        for name in (
            "link_drops_per_h",
            "repair_median_s",
            "repair_sigma",
            "outages_per_day",
            "outage_median_s",
            "outage_sigma",
            "conn_timeout_s",
        ):
            check_number(name, getattr(self, name))
        if check_number("resync_s", self.resync_s) < _SHORTEST_S:
            raise FleetError("resync_s", self.resync_s, f"resync_s {self.resync_s!r} is less than {_SHORTEST_S} s")
        if self.download not in ("steady", "exponential"):
            raise FleetError("download", self.download, f"{shown(self.download)} is not one of: steady, exponential")

    @property
    def breaks(self) -> bool:
        """Can a download break off?"""
        return bool(self.link_drops_per_h or self.slow_link or self.outages_per_day)
