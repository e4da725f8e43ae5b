"""A rollout plan: who is asked when, what stops it. The words are those of AWS IoT Jobs and of hawkBit.

AWS's gateway tasks have none of this: AutoCreateTasks takes every matching gateway at once, otherwise one task is made
per gateway by hand (documented). A plan with waves, rates or gates is therefore carried out by whoever calls
CreateWirelessGatewayTask, and a plan says when each call is made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final, Literal, cast

from lorafw.errors import FleetError
from lorafw.fleet._validation import check_number, check_share, shown

Never = Literal["never"]
NEVER_ENDS: Final[Never] = "never"
"""A ``silence_timeout_s`` with this value: silence never ends a task."""

_SHORTEST_S: Final = 0.001
"""The clock has whole milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What is rolled out.

    ``size_bytes``; ``apply_s``: from the last byte until the restarted station presents its new version; ``fails``:
    probability that the script fails before it writes version.txt (AWS's published one does so always, through its
    ``prepare_versionp`` typo); ``version_given``: the definition names UpdateVersion, so a version that differs by a
    blank counts as a failed attempt; without it any other version completes the task (assumed); ``signed``: a station
    with a key refuses an update that is not, one without a key refuses one that is; ``current_version``: the version
    that the definition is for, by its name in the fleet (None: every version); the others never ask for the update.
    """

    size_bytes: int = 2_000_000
    apply_s: float = 90.0
    fails: float = 0.0
    version_given: bool = True
    signed: bool = True
    current_version: str | None = None

    def __post_init__(self) -> None:
        for name in ("version_given", "signed"):
            if not isinstance(getattr(self, name), bool):
                raise FleetError(name, getattr(self, name), f"{name} {getattr(self, name)!r} is not true or false")
        check_number("size_bytes", self.size_bytes, positive=True, most=2**31)
        check_number("apply_s", self.apply_s, most=30 * 86400)
        check_share("fails", self.fails)


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A gate by two shares of a wave: go at ``success`` COMPLETED, abort at ``error`` FAILED, else hold."""

    success: float = 0.95
    error: float = 0.05

    def __post_init__(self) -> None:
        check_share("success", self.success)
        check_share("error", self.error)


@dataclass(frozen=True, slots=True, kw_only=True)
class BetaBinomial:
    """A gate by belief: the failure rate has a Beta posterior from prior and wave.

    Go when P(rate <= ``acceptable``) >= ``go``; abort when P(rate > ``acceptable``) >= ``abort``; else hold.
    """

    acceptable: float = 0.05
    go: float = 0.9
    abort: float = 0.9
    prior_failed: float = 0.5
    prior_completed: float = 0.5

    def __post_init__(self) -> None:
        for name in ("acceptable", "go", "abort"):
            check_share(name, getattr(self, name))
        for name in ("prior_failed", "prior_completed"):
            check_number(name, getattr(self, name), positive=True)
        if self.go + self.abort <= 1:
            raise FleetError("go", self.go, f"go {self.go} and abort {self.abort} can both hold: together more than 1")


Gate = Threshold | BetaBinomial


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """A part of the fleet, and what is asked before the next: exactly one of ``share`` (of the fleet) and ``size``.

    The gate looks ``bake_s`` after the wave's last task was created, and again every ``again_s``; where it still holds
    after ``give_up_s``, the rollout is aborted. Without a gate the next wave starts after ``bake_s``.
    """

    share: float | None = None
    size: int | None = None
    bake_s: float = 0.0
    gate: Gate | None = None
    again_s: float = 3600.0
    give_up_s: float = 7 * 86400.0

    def __post_init__(self) -> None:
        if (self.share is None) == (self.size is None):
            raise FleetError("wave", (self.share, self.size), "a wave needs exactly one of share and size")
        if self.share is not None and check_share("share", self.share) == 0:
            raise FleetError("share", 0, "a wave with share 0 has no gateways; leave it out")
        if self.size is not None and (isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1):
            raise FleetError("size", self.size, f"a wave of {shown(self.size)} gateways: size is a whole number from 1")
        check_number("bake_s", self.bake_s)
        if check_number("again_s", self.again_s) < _SHORTEST_S:
            raise FleetError("again_s", self.again_s, f"again_s {self.again_s!r} is less than {_SHORTEST_S} s")
        check_number("give_up_s", self.give_up_s)
        if self.gate is not None and self.give_up_s / self.again_s > 100_000:
            raise FleetError(
                "again_s", self.again_s, "the gate would look more than 100,000 times; make again_s longer"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How fast tasks are created, per minute: AWS IoT Jobs' ``maximumPerMinute``, or its exponential rate.

    ``base_per_minute`` is multiplied by ``increment_factor`` after every ``notified`` tasks created, up to
    ``maximum_per_minute``.
    """

    maximum_per_minute: int = 1000
    base_per_minute: int | None = None
    increment_factor: float = 2.0
    notified: int | None = None

    def __post_init__(self) -> None:
        check_number("maximum_per_minute", self.maximum_per_minute, positive=True, most=1e9)
        if (self.base_per_minute is None) != (self.notified is None):
            raise FleetError("rate", self.base_per_minute, "an exponential rate needs base_per_minute and notified")
        if self.base_per_minute is not None and self.notified is not None:
            check_number("base_per_minute", self.base_per_minute, positive=True, most=self.maximum_per_minute)
            check_number("notified", self.notified, positive=True)
            if not 1 < check_number("increment_factor", self.increment_factor) <= 5:
                raise FleetError("increment_factor", self.increment_factor, "increment_factor is above 1, at most 5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Abort:
    """Stop when at least ``minimum_executed`` gateways have ended and at least ``threshold`` of them FAILED.

    AWS IoT Jobs' ``thresholdPercentage`` and ``minNumberOfExecutedThings``. Judged at every task that ends. After it no
    task is created and PENDING ones are deleted; an update that was sent runs to its end.
    """

    threshold: float
    minimum_executed: int = 1

    def __post_init__(self) -> None:
        if check_share("threshold", self.threshold) == 0:
            raise FleetError("threshold", self.threshold, "a threshold of 0 aborts at the first gateway that ends")
        check_number("minimum_executed", self.minimum_executed, positive=True)

    def is_met(self, failed: Any, executed: Any) -> Any:
        """Does the criterion hold where so many have ended, and so many of them FAILED? Numbers or arrays."""
        return (executed >= self.minimum_executed) & (failed / executed >= self.threshold)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How an update reaches a fleet.

    Without waves, rate and abort every gateway gets its task from AutoCreateTasks at its first request. ``order``: in
    which order waves take gateways: "random" (a stream of its own) or "number". ``random_delay_s``: each task waits
    up to so long more, uniformly. ``silence_timeout_s``: see Policy; "never" if silence ends no task (0, which the
    service takes as "at once", is refused here). ``horizon_s``: nothing is looked at after it.
    """

    name: str = "everything at once"
    update: Update = field(default_factory=Update)
    waves: tuple[Wave, ...] = ()
    rate: Rate | None = None
    abort: Abort | None = None
    random_delay_s: float = 0.0
    order: Literal["random", "number"] = "random"
    silence_timeout_s: float | Never = 48 * 3600.0
    horizon_s: float = 60 * 86400.0

    def __post_init__(self) -> None:
        check_number("random_delay_s", self.random_delay_s)
        self._check_silence()
        check_number("horizon_s", self.horizon_s, positive=True, most=3650 * 86400)
        if self.order not in ("random", "number"):
            raise FleetError("order", self.order, f"order {shown(self.order)} is not one of: random, number")
        shares = [wave.share for wave in self.waves if wave.share is not None]
        if sum(shares) > 1 + 1e-9:
            raise FleetError(
                "share", shares, f"the shares of the waves add up to {sum(shares):g}, which is more than 1"
            )
        if self.waves and len(shares) == len(self.waves) and abs(sum(shares) - 1) > 1e-9:
            raise FleetError("share", shares, f"the shares of the waves add up to {sum(shares):g}, not to 1")

    def _check_silence(self) -> None:
        timeout_s: object = self.silence_timeout_s
        if timeout_s == NEVER_ENDS:
            return
        if isinstance(timeout_s, str):
            problem = f"silence_timeout_s {shown(timeout_s)} is neither a number of seconds nor {NEVER_ENDS!r}"
            raise FleetError("silence_timeout_s", timeout_s, problem)
        if check_number("silence_timeout_s", cast("float", timeout_s)) < _SHORTEST_S:
            problem = (
                f"silence_timeout_s {timeout_s!r} is less than {_SHORTEST_S} s; give {NEVER_ENDS!r} for no timeout"
            )
            raise FleetError("silence_timeout_s", timeout_s, problem)

    @property
    def silence_timeout_ms(self) -> int | None:
        """Whole milliseconds of silence that end a task in SECOND_RETRY. None if silence never ends one."""
        if isinstance(self.silence_timeout_s, str):
            return None
        return round(self.silence_timeout_s * 1000)

    @property
    def is_automatic(self) -> bool:
        """AutoCreateTasks: each gateway's task is created at its first request (an abort deletes the definition)."""
        return not self.waves and self.rate is None and self.random_delay_s == 0

    def wave_ends(self, gateways: int) -> list[int]:
        """Where each wave ends in the order of the fleet. Raises FleetError where the waves are larger than it."""
        if not self.waves:
            return [gateways]
        shares = list(accumulate(wave.share or 0.0 for wave in self.waves))
        sizes = list(accumulate(wave.size or 0 for wave in self.waves))
        ends = [round(share * gateways) + size for share, size in zip(shares, sizes, strict=True)]
        if ends[-1] > gateways:
            raise FleetError("waves", ends[-1], f"the waves take {ends[-1]} gateways; the fleet has {gateways}")
        if ends[-1] < gateways:
            left = gateways - ends[-1]
            raise FleetError("waves", ends[-1], f"the waves leave out {left} of {gateways} gateways; add a last wave")
        return ends
