"""The capstone: twenty gateways, five causes, and no hints. The learner has the API and the gateways' logs.

The seed decides which gateway has which cause, how many have each, and how the versions differ. A report judges the
learner's answer: the cause of each gateway, and whether the gateways that an API call can repair run the new version.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lorafw.errors import LabError
from lorafw.faults import Fault

if TYPE_CHECKING:
    from lorafw.testbed import Testbed
    from lorafw.testbed.gateways import TestbedGateway

GATEWAYS: Final = 20
NEW_VERSION: Final = "1.0.1"
UPDATED: Final = "updated"
OTHER_VERSION: Final = "other-version"
CAUSES: Final = (OTHER_VERSION, "offline", "wrong-key", "tmp-full", "script-fails")
"""Why a gateway is not updated. ``other-version``: it reports another version than the definition names."""
_MAX_PER_CAUSE: Final = 3
_START: Final = "2021-03-24T08:00:00Z"
"""The day on which the capstone plays: after the lessons, and two days before the vulnerability is published."""
_INTERVAL_S: Final = 600
_ELAPSED_S: Final = 3 * _INTERVAL_S
"""Time from the definition to the learner's first look: four polls, after which a failing task has ended."""


@dataclass(frozen=True, slots=True)
class CapstoneReport:
    """How good an answer to the capstone is."""

    seed: int
    named_correctly: int
    """Number of gateways whose cause the answer names correctly."""
    gateways: int
    repaired: int
    """Number of gateways with another version that run the new one now."""
    repairable: int
    """Number of gateways that a call of the API can repair."""

    @property
    def passed(self) -> bool:
        """Whether every cause is right and every gateway that can be repaired is repaired."""
        return self.named_correctly == self.gateways and self.repaired == self.repairable

    def __str__(self) -> str:
        verdict = "☑ passed" if self.passed else "☒ not yet passed"
        lines = [
            f"Capstone, seed {self.seed}",
            f"causes that are right       {self.named_correctly} of {self.gateways}",
            f"gateways that you repaired  {self.repaired} of {self.repairable}",
            verdict,
        ]
        return "\n".join(lines)


class Capstone:
    """The last exercise of the course: twenty gateways were offered an update, and some of them have not run it.

    The learner finds out the cause for each gateway, and repairs those that an API call can repair.
    """

    def __init__(self, seed: int = 1) -> None:
        """Choose the gateways. Nothing is started.

        Args:
            seed: Decides which gateway has which cause. Equal seeds give equal gateways.

        Raises:
            LabError: The seed is not a whole number.
        """
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise LabError(f"seed {seed!r} is not a whole number: give one, for example 7")
        self.seed = seed
        self._causes: dict[str, str] = {}
        """By the id of each gateway: why it is not updated, or that it is."""
        self._bed: Testbed | None = None

    def start(self) -> Capstone:
        """Give each gateway its cause, offer the update, and let half an hour pass. Returns this capstone."""
        from lorafw.testbed import Testbed  # noqa: PLC0415 -- importing the testbed takes about a second

        rng = random.Random(self.seed)
        bed = Testbed(gateways=GATEWAYS, seed=self.seed, interval_s=_INTERVAL_S, start=_START).start()
        for gateway, cause in zip(bed.gateways, draw_causes(rng), strict=True):
            self._causes[gateway.id] = cause
            _apply_cause(cause, gateway, bed, rng)
        bed.define_update(NEW_VERSION)
        bed.advance(_ELAPSED_S)
        self._bed = bed
        return self

    def stop(self) -> None:
        """Close the testbed. Does nothing the second time."""
        if self._bed is not None:
            self._bed.stop()
            self._bed = None

    @property
    def _open_bed(self) -> Testbed:
        """The testbed. Raises LabError if the capstone was not started."""
        if self._bed is None:
            raise LabError("this capstone is not open: call its start() first")
        return self._bed

    def client(self, name: str) -> Any:
        """Return a boto3 client of the account that the gateways are registered in, for example ``iotwireless``."""
        return self._open_bed.client(name)

    @property
    def logs(self) -> dict[str, list[str]]:
        """The log lines of each gateway, by its id. The operator has copied them from the gateways."""
        return {gateway.id: list(gateway.log) for gateway in self._open_bed.gateways}

    def advance(self, seconds: float) -> None:
        """Let time pass, in which the gateways poll every ten minutes."""
        self._open_bed.advance(seconds)

    def report(self, answer: object = ...) -> CapstoneReport | None:
        """Judge an answer, print the report and return it.

        Args:
            answer: The cause of each gateway by its id: one of ``CAUSES``, or ``updated``. ``...`` means that there is
                none yet.

        Returns:
            The report. None if there is no answer yet, or the answer is not a dict.
        """
        if answer is ...:
            _say("☐ not done yet")
            return None
        if not isinstance(answer, Mapping):
            _say("☒ hand in a dict with the cause of each gateway, by the gateway's id")
            return None
        report = judge(answer, self._causes, self._open_bed.gateways, self.seed)
        _say(str(report))
        return report


def judge(
    answer: Mapping[Any, Any], causes: Mapping[str, str], gateways: Sequence[TestbedGateway], seed: int
) -> CapstoneReport:
    """Return how good an answer is, and how many gateways were repaired.

    Args:
        answer: The learner's cause of each gateway, by the id of the gateway.
        causes: The true causes, by the id of the gateway.
        gateways: The gateways as they are now.
        seed: The seed that decided about the causes, for the report.
    """
    # An API call can repair the gateways that report another version than the definition names.
    repairable = [gateway for gateway in gateways if causes[gateway.id] == OTHER_VERSION]
    repaired = [gateway for gateway in repairable if gateway.home.read_package_version() == NEW_VERSION]
    named_correctly = [gateway_id for gateway_id, cause in causes.items() if answer.get(gateway_id) == cause]
    return CapstoneReport(
        seed=seed,
        named_correctly=len(named_correctly),
        gateways=len(gateways),
        repaired=len(repaired),
        repairable=len(repairable),
    )


def draw_causes(rng: random.Random) -> list[str]:
    """Draw one to three gateways for each cause. The others are updated. The order is random."""
    causes = [cause for cause in CAUSES for _ in range(rng.randint(1, _MAX_PER_CAUSE))]
    causes += [UPDATED] * (GATEWAYS - len(causes))
    rng.shuffle(causes)
    return causes


def _apply_cause(cause: str, gateway: TestbedGateway, bed: Testbed, rng: random.Random) -> None:
    """Give a gateway its cause."""
    if cause == UPDATED:
        return
    if cause == OTHER_VERSION:
        _change_one_field(gateway, rng)
    else:
        bed.inject(Fault(cause), gateway)


def _change_one_field(gateway: TestbedGateway, rng: random.Random) -> None:
    """Let a gateway report another version, model or build time than the definition names."""
    field = rng.choice(("package", "model", "station"))
    if field == "package":
        gateway.home.write("version.txt", f"0.9.{rng.randint(1, 9)}\n")
    elif field == "model":
        gateway.virtual.model = "RPi"
    else:
        gateway.virtual.station = f"2.0.5(rpi/std) 2021-03-{rng.randint(10, 23)} 17:02:44"


def _say(text: str) -> None:
    print(text)  # noqa: T201 -- a notebook shows what is printed
