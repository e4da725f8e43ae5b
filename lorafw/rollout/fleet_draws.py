"""Other fleets of the same kind: what the fleet of a rollout may turn out to be.

The model of a fleet is one draw: it has a certain number of gateways that never poll, and each polls at a certain time
of the day. The real fleet is another draw. A prediction that knows one draw only would be too sure of itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Plan
from lorafw.fleet.simulation.random_streams import Stream, rng_keys, uniform

FleetMaker = Callable[[int], Fleet]
"""Returns the model of a fleet with this number of gateways.

It is also asked for a larger fleet, whose further gateways are used as other draws of the same model.
"""

_LARGEST_POOL: Final = 1_000_000
"""Number of gateways that are drawn at once, which take about 50 MB."""


def draw_fleets(fleet: Fleet, plan: Plan, make_fleet: FleetMaker | None, count: int, *, seed: int) -> Iterator[Fleet]:
    """Yield fleets of the same kind and size. The first is the fleet itself.

    Args:
        fleet: The model of the fleet.
        plan: The plan, which says whether the waves follow the order of the fleet.
        make_fleet: Draws a fleet of another size from the same model. None if the fleet was not drawn.
        count: Number of fleets. There are fewer if the fleet is large, because large fleets are alike.
        seed: The seed of the random numbers.
    """
    count = min(count, max(2, _LARGEST_POOL // fleet.size))
    yield fleet

    # If the model can draw, draw all fleets at once and split them. A model with listed gateways keeps its size.
    if make_fleet is not None:
        pool = make_fleet(fleet.size * count)
        if pool.size == fleet.size * count:
            yield from _split(pool, fleet.size, count)
            return

    # Otherwise draw from the gateways of the fleet again.
    part_ends = [fleet.size]
    if plan.order == "number":
        part_ends = plan.wave_ends(fleet.size)
    for number in range(1, count):
        yield _resample(fleet, part_ends, seed, number)


def _split(pool: Fleet, size: int, count: int) -> Iterator[Fleet]:
    """Yield the parts of a large fleet, without the first, which is the fleet of the plan."""
    for number in range(1, count):
        yield pool.select(slice(number * size, (number + 1) * size))


def _resample(fleet: Fleet, part_ends: list[int], seed: int, number: int) -> Fleet:
    """Draw the gateways of a fleet from another fleet, with replacement (a bootstrap).

    It is done twice. The first draw stands for what is not known about the kind of fleet, and the second draw for the
    fleet that is drawn from this kind.

    Args:
        fleet: The fleet to draw from.
        part_ends: The fleet is drawn part by part, because a wave may be one Region. Each number is the index after the
            last gateway of a part.
        seed: The seed of the random numbers.
        number: The number of the fleet to draw. Each number gives another fleet.

    Returns:
        A fleet of the same size.
    """
    rng_key = rng_keys(seed, number, np.arange(fleet.size))
    first = uniform(rng_key, Stream.RESAMPLE, 0)  # shape (gateways,), from 0 to 1
    second = uniform(rng_key, Stream.RESAMPLE, 1)
    start = 0
    parts: list[npt.NDArray[np.int64]] = []
    for end in part_ends:
        size = end - start
        first_draw = start + (first[start:end] * size).astype(np.int64)  # indices of gateways in this part
        second_draw = (second[start:end] * size).astype(np.int64)  # positions in first_draw
        parts.append(first_draw[second_draw])
        start = end
    drawn = fleet.select(np.concatenate(parts))
    return replace(drawn, number=fleet.number.copy())
