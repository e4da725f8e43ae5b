"""A rollout plan: when each gateway gets its task, and what stops the rollout.

The terms are those of AWS IoT Jobs and of hawkBit. AWS's gateway tasks have none of this: AutoCreateTasks takes every
matching gateway at once, and without it one task is created for each gateway by hand (documented). A plan with waves,
rates or gates is therefore carried out by a program that calls CreateWirelessGatewayTask. The plan says when each call
is made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, Literal

from lorafw.errors import FleetError
from lorafw.fleet._validation import check_gateways, check_number, check_share, shown

Never = Literal["never"]
NEVER_ENDS: Final[Never] = "never"
"""The ``silence_timeout_s`` of a plan in which silence never ends a task."""

DAY_S: Final = 86_400

_MIN_DURATION_S: Final = 0.001
"""The clock has whole milliseconds."""

_MAX_GATE_CHECKS: Final = 100_000
_MAX_INCREMENT_FACTOR: Final = 5
"""The limit of ``incrementFactor`` in AWS IoT Jobs."""
_SHARE_TOLERANCE: Final = 1e-9
"""The sum of shares may differ from 1 by this rounding error."""
_GATEWAY_TOLERANCE: Final = 1e-6
"""A sum of shares times the number of gateways may differ from the exact product by this rounding error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """The update that is rolled out.

    Raises:
        FleetError: A value is out of range.
    """

    size_bytes: int = 2_000_000
    """Size of the update file."""
    apply_s: float = 90.0
    """Time from the last byte of the download until the restarted station presents its new version."""
    fails: float = 0.0
    """Probability that the script fails before it writes version.txt.

    AWS's published script always fails there, because it calls ``prepare_versionp``, which does not exist.
    """
    version_given: bool = True
    """True if the task definition has an UpdateVersion.

    A gateway that presents a version which differs from it, if only by a blank, then counts as a failed attempt.
    Without an UpdateVersion any version other than the old one completes the task (assumed).
    """
    signed: bool = True
    """True if the update is signed. A station with a key refuses unsigned updates, one without a key signed ones."""
    current_version: str | None = None
    """The version that the task definition is for, by its name in the fleet. None if it is for every version.

    Gateways with another version never ask for the update.
    """

    def __post_init__(self) -> None:
        for name in ("version_given", "signed"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise FleetError(name, value, f"{name} {value!r} is not true or false")
        check_number("size_bytes", self.size_bytes, positive=True, most=2**31)
        check_number("apply_s", self.apply_s, most=30 * DAY_S)
        check_share("fails", self.fails)


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A gate that compares shares of a wave with two thresholds, as hawkBit does.

    It holds if neither threshold is reached.

    Raises:
        FleetError: A threshold is not a share.
    """

    success: float = 0.95
    """The rollout goes on if at least this share of the wave is COMPLETED."""
    error: float = 0.05
    """The rollout is aborted if at least this share of the wave is FAILED."""

    def __post_init__(self) -> None:
        check_share("success", self.success)
        check_share("error", self.error)


@dataclass(frozen=True, slots=True, kw_only=True)
class BetaBinomial:
    """A gate that estimates the failure rate of the update from a wave, with a Beta prior and posterior.

    It holds if neither probability is reached.

    Raises:
        FleetError: A value is out of range, or the gate could go on and abort at the same time.
    """

    acceptable: float = 0.05
    """The largest failure rate that is acceptable."""
    go: float = 0.9
    """The rollout goes on if P(failure rate <= ``acceptable``) is at least this."""
    abort: float = 0.9
    """The rollout is aborted if P(failure rate > ``acceptable``) is at least this."""
    prior_failed: float = 0.5
    """First parameter of the Beta prior: the weight of failed gateways. 0.5 and 0.5 are Jeffreys' prior."""
    prior_completed: float = 0.5
    """Second parameter of the Beta prior: the weight of completed gateways."""

    def __post_init__(self) -> None:
        for name in ("acceptable", "go", "abort"):
            check_share(name, getattr(self, name))
        for name in ("prior_failed", "prior_completed"):
            check_number(name, getattr(self, name), positive=True)
        if self.go + self.abort <= 1:
            raise FleetError("go", self.go, f"go {self.go} and abort {self.abort} can both hold: together more than 1")


@dataclass(frozen=True, slots=True)
class Manual:
    """A gate that waits until somebody promotes the rollout (``lorafw rollout promote``), without a time limit.

    The simulator assumes that this happens at the first check.
    """


Gate = Threshold | BetaBinomial | Manual


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """A part of the fleet that gets its tasks together, and the gate before the next wave.

    A gate is a check of the results so far. It lets the rollout go on, aborts it, or holds: then it is checked again
    later. Without a gate the next wave starts after ``bake_s``.

    Raises:
        FleetError: A value is out of range, or the wave does not have exactly one of ``share`` and ``size``.
    """

    share: float | None = None
    """The share of the fleet that belongs to the wave. None if ``size`` is given."""
    size: int | None = None
    """The number of gateways in the wave. None if ``share`` is given."""
    bake_s: float = 0.0
    """Seconds from the creation of the wave's last task until the first check of the gate."""
    gate: Gate | None = None
    """The gate after the wave. None if there is none."""
    again_s: float = 3600.0
    """Seconds until a gate that holds is checked again."""
    give_up_s: float = 7 * 86400.0
    """The rollout is aborted if the gate still holds after this many seconds. A ``Manual`` gate never gives up."""

    def __post_init__(self) -> None:
        self._check_size()
        check_number("bake_s", self.bake_s)
        check_number("again_s", self.again_s)
        if self.again_s < _MIN_DURATION_S:
            raise FleetError("again_s", self.again_s, f"again_s {self.again_s!r} is less than {_MIN_DURATION_S} s")
        check_number("give_up_s", self.give_up_s)
        if self.gate is not None and self.give_up_s / self.again_s > _MAX_GATE_CHECKS:
            message = f"the gate would look more than {_MAX_GATE_CHECKS:,} times; make again_s longer"
            raise FleetError("again_s", self.again_s, message)

    def _check_size(self) -> None:
        """Check that the wave has either a share or a size, and at least one gateway."""
        if (self.share is None) == (self.size is None):
            raise FleetError("wave", (self.share, self.size), "a wave needs exactly one of share and size")
        if self.share is not None:
            check_share("share", self.share)
            if self.share == 0:
                raise FleetError("share", 0, "a wave with share 0 has no gateways; leave it out")
        if self.size is None:
            return
        if isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            raise FleetError("size", self.size, f"a wave of {shown(self.size)} gateways: size is a whole number from 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How fast tasks are created.

    The rate is constant, or exponential as that of AWS IoT Jobs: it starts at ``base_per_minute`` and is multiplied by
    ``increment_factor`` after every ``notified`` tasks, up to ``maximum_per_minute``.

    Raises:
        FleetError: A value is out of range, or only one of ``base_per_minute`` and ``notified`` is given.
    """

    maximum_per_minute: int = 1000
    """The largest number of tasks created per minute (``maximumPerMinute``)."""
    base_per_minute: int | None = None
    """The first number of tasks per minute (``baseRatePerMinute``). None if the rate is constant."""
    increment_factor: float = 2.0
    """The factor by which an exponential rate grows (``incrementFactor``)."""
    notified: int | None = None
    """The number of tasks after which it grows (``numberOfNotifiedThings``). None if the rate is constant."""

    def __post_init__(self) -> None:
        check_number("maximum_per_minute", self.maximum_per_minute, positive=True, most=1e9)
        if (self.base_per_minute is None) != (self.notified is None):
            raise FleetError("rate", self.base_per_minute, "an exponential rate needs base_per_minute and notified")
        if self.base_per_minute is None or self.notified is None:
            return
        check_number("base_per_minute", self.base_per_minute, positive=True, most=self.maximum_per_minute)
        check_number("notified", self.notified, positive=True)
        check_number("increment_factor", self.increment_factor)
        if not 1 < self.increment_factor <= _MAX_INCREMENT_FACTOR:
            message = f"increment_factor is above 1, at most {_MAX_INCREMENT_FACTOR}"
            raise FleetError("increment_factor", self.increment_factor, message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Abort:
    """A criterion that stops the rollout, as in AWS IoT Jobs. It is checked whenever a task ends.

    It is met when failed / ended >= ``threshold`` and ended >= ``minimum_executed``. AWS's own pages disagree whether
    10 % of 50 is met at the fifth or at the sixth failure; here it is the fifth.

    After the stop no more tasks are created and PENDING tasks are deleted. A gateway that was already sent the update
    runs to its end.

    Raises:
        FleetError: A value is out of range.
    """

    threshold: float
    """The rollout stops if at least this share of the tasks that have ended FAILED (``thresholdPercentage``)."""
    minimum_executed: int = 1
    """It does not stop before this number of tasks has ended (``minNumberOfExecutedThings``)."""

    def __post_init__(self) -> None:
        check_share("threshold", self.threshold)
        if self.threshold == 0:
            raise FleetError("threshold", self.threshold, "a threshold of 0 aborts at the first gateway that ends")
        check_number("minimum_executed", self.minimum_executed, positive=True)

    def is_met(self, failed: Any, executed: Any) -> Any:
        """Return whether the criterion is met.

        Args:
            failed: Number of tasks that FAILED: an int, or an array.
            executed: Number of tasks that ended: an int, or an array that can be broadcast against ``failed``.
        """
        return (executed >= self.minimum_executed) & (failed / executed >= self.threshold)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How an update reaches a fleet.

    Without waves, rate and random delay, AutoCreateTasks creates each gateway's task at its first request.

    Raises:
        FleetError: A value is out of range, or the shares of the waves do not add up to 1.
    """

    name: str = "everything at once"
    """The name of the plan in reports and plots."""
    update: Update = field(default_factory=Update)
    """The update that is rolled out."""
    waves: tuple[Wave, ...] = ()
    """The waves, in order. Without waves the whole fleet is one wave without a gate."""
    rate: Rate | None = None
    """How fast tasks are created within a wave. None creates them all at once."""
    abort: Abort | None = None
    """The criterion that stops the rollout, or None."""
    random_delay_s: float = 0.0
    """Each task is created up to this many seconds later, uniformly distributed."""
    order: Literal["random", "number"] = "random"
    """How gateways are assigned to waves: "random", with a random stream of its own, or "number", in fleet order."""
    silence_timeout_s: float | Never = 48 * 3600.0
    """Seconds after which a silent gateway in SECOND_RETRY is FAILED: see ``Policy``. "never" if silence ends no task.

    The service takes 0 as "at once". Here 0 is refused.
    """
    horizon_s: float = 60 * 86400.0
    """The end of the simulation. Nothing later is recorded."""

    def __post_init__(self) -> None:
        check_number("random_delay_s", self.random_delay_s)
        _check_silence_timeout(self.silence_timeout_s)
        check_number("horizon_s", self.horizon_s, positive=True, most=3650 * DAY_S)
        if self.order not in ("random", "number"):
            raise FleetError("order", self.order, f"order {shown(self.order)} is not one of: random, number")
        _check_shares(self.waves)

    @property
    def silence_timeout_ms(self) -> int | None:
        """The silence timeout in whole milliseconds. None if silence never ends a task."""
        if isinstance(self.silence_timeout_s, str):
            return None
        return round(self.silence_timeout_s * 1000)

    @property
    def is_automatic(self) -> bool:
        """True if AutoCreateTasks creates each task at the gateway's first request.

        An abort then deletes the task definition.
        """
        return not self.waves and self.rate is None and self.random_delay_s == 0

    def wave_ends(self, gateways: int) -> list[int]:
        """Return for each wave the number of gateways in it and in the waves before it.

        Args:
            gateways: Number of gateways in the fleet.

        Raises:
            FleetError: The waves have more gateways than the fleet, or fewer, or a wave has none.
        """
        check_gateways(gateways)
        if not self.waves:
            return [gateways]
        ends = _divide_fleet(self.waves, gateways)
        _check_wave_ends(self.waves, ends, gateways)
        return ends


def _check_silence_timeout(timeout_s: float | str) -> None:
    """Raise FleetError unless a silence timeout is at least a millisecond, or "never"."""
    if timeout_s == NEVER_ENDS:
        return
    if isinstance(timeout_s, str):
        message = f"silence_timeout_s {shown(timeout_s)} is neither a number of seconds nor {NEVER_ENDS!r}"
        raise FleetError("silence_timeout_s", timeout_s, message)
    check_number("silence_timeout_s", timeout_s)
    if timeout_s < _MIN_DURATION_S:
        limit = f"less than {_MIN_DURATION_S} s; give {NEVER_ENDS!r} for no timeout"
        raise FleetError("silence_timeout_s", timeout_s, f"silence_timeout_s {timeout_s!r} is {limit}")


def _check_shares(waves: Sequence[Wave]) -> None:
    """Raise FleetError unless the shares of the waves add up to 1, or to less if there are waves with a size."""
    shares = [wave.share for wave in waves if wave.share is not None]
    total = sum(shares)
    if total > 1 + _SHARE_TOLERANCE:
        raise FleetError("share", shares, f"the shares of the waves add up to {total:g}, which is more than 1")
    only_shares = bool(waves) and len(shares) == len(waves)
    if only_shares and abs(total - 1) > _SHARE_TOLERANCE:
        raise FleetError("share", shares, f"the shares of the waves add up to {total:g}, not to 1")


def _divide_fleet(waves: Sequence[Wave], gateways: int) -> list[int]:
    """Return for each wave the number of gateways in it and in the waves before it.

    Args:
        waves: The waves, in order.
        gateways: Number of gateways in the fleet.
    """
    ends = []
    total_share, total_size = 0.0, 0
    for wave in waves:
        total_share += wave.share or 0.0
        total_size += wave.size or 0
        # The sum of the shares is rounded, not each share. So equal shares give waves that differ by at most one.
        ends.append(_round_half_up(total_share * gateways) + total_size)
    return ends


def _check_wave_ends(waves: Sequence[Wave], ends: Sequence[int], gateways: int) -> None:
    """Check that each gateway of a fleet is in a wave, and that no wave is empty.

    Args:
        waves: The waves, in order.
        ends: For each wave the number of gateways in it and in the waves before it.
        gateways: Number of gateways in the fleet.

    Raises:
        FleetError: The waves have more gateways than the fleet, or fewer, or a wave has none.
    """
    total = ends[-1]
    if total > gateways:
        raise FleetError("waves", total, f"the waves take {total} gateways; the fleet has {gateways}")
    if total < gateways:
        left_out = gateways - total
        raise FleetError("waves", total, f"the waves leave out {left_out} of {gateways} gateways; add a last wave")
    for index, (start, end) in enumerate(pairwise([0, *ends])):
        share = waves[index].share
        # Only the share of a wave can be too small for one gateway. A size is at least 1.
        if start == end and share is not None:
            number = index + 1
            remedy = f"make it at least 1/{gateways}, give the waves sizes instead of shares, or leave the wave out"
            problem = f"wave {number} has no gateway: its share, {share:g} of {gateways}, rounds to 0 gateways"
            raise FleetError(f"waves[{number}].share", share, f"{problem}; {remedy}")


def _round_half_up(gateways: float) -> int:
    """Return the nearest whole number of gateways. Halves are rounded up.

    ``round`` rounds both 1.5 and 2.5 to 2, so that a wave of exactly one gateway could be empty.
    """
    return math.floor(gateways + 0.5 + _GATEWAY_TOLERANCE)
