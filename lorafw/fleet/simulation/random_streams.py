"""Random numbers, one named stream for each decision, keyed by gateway.

A number is a pure function of (seed, replication, stream, gateway, step), as in counter-based generators. The order
in which numbers are asked for does not matter. Changing one thing (a plan, a failure probability, the size of the
fleet) leaves all other random numbers as they were, so two plans are compared with common random numbers. Any part of
a fleet can be simulated alone, on any worker, with equal results.

The function is SplitMix64 read at an arbitrary position of its sequence (Steele, Lea and Flood: Fast splittable
pseudorandom number generators, OOPSLA 2014). NumPy's generators must walk through their sequences, and of a fleet's
second and third attempts only about every tenth number is needed.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from lorafw.fleet.arrays import Floats, RngKeys

BLOCK: Final = 1 << 14
"""Numbers are computed in blocks of this size, which fit into the processor's cache."""

GAMMA: Final = 0x9E3779B97F4A7C15
_M1: Final = 0xBF58476D1CE4E5B9
_M2: Final = 0x94D049BB133111EB
_MASK: Final = (1 << 64) - 1


class Stream(IntEnum):
    """What a random number decides. Each decision has a stream of its own, so it does not influence the others.

    A value never changes, because another value would give other random numbers and so other results. Each group leaves
    some values free for more decisions.
    """

    # 1. The properties of a gateway, drawn once.
    PHASE = 1
    """The time of the first poll."""
    BACKHAUL = 2
    """The class of the backhaul, such as Ethernet."""
    GOODPUT = 3
    """The speed of the link."""
    REGION = 4
    ISP = 5
    KEY = 6
    """Whether the gateway has another key than the update needs."""
    GONE = 7
    """Whether the gateway is offline for good."""
    RESTART = 8
    """Whether the update restarts the station."""
    VERSION = 9
    """Whether the gateway presents another version than the expected one after the update."""
    RESAMPLE = 10
    """Which gateways are drawn when a fleet is made from the gateways of another one."""

    # 2. What happens in one exchange with the server.
    MISSED = 20
    """How many polls in a row are missed."""
    UNREACHED = 21
    """How many polls in a row do not reach the server."""
    STORAGE = 22
    """Whether the server cannot read the update from its storage."""
    DOWNLOAD = 23
    """The duration of the download."""
    DROP = 24
    """When the link drops."""
    INSTALL = 25
    """Whether the update script fails."""
    REPAIR = 26
    """How long a gateway is without power."""
    SERVER_ERROR = 27
    """How many polls in a row the server answers with an error."""
    STALL = 28
    """Whether and when the link stalls."""
    TRUNCATE = 29
    """Whether the reply is cut off."""
    TMP = 30
    """Whether the folder for temporary files is full."""
    POWER = 31
    """Whether the power is cut during the installation."""

    # 3. What happens once in a rollout.
    DELAY = 40
    """How much later than planned a task is created."""
    ORDER = 41
    """The order in which gateways get their tasks."""
    OUTAGE = 42
    """When the network of a group of gateways is down."""
    OUTAGE_LENGTH = 43
    """How long it is down."""
    GATE = 44
    """For tests of gates."""


def splitmix64(state: int) -> int:
    """Return the output of SplitMix64 for a state: 64 well-mixed bits."""
    z = state & _MASK
    z = ((z ^ (z >> 30)) * _M1) & _MASK
    z = ((z ^ (z >> 27)) * _M2) & _MASK
    return z ^ (z >> 31)


def replication_key(seed: int, replication: int = 0) -> int:
    """Return the key of one rollout, mixed from the seed and the number of the replication."""
    return splitmix64(splitmix64(seed + GAMMA) ^ splitmix64((replication + 1) * _M1))


def rng_keys(seed: int, replications: npt.ArrayLike, gateways: npt.ArrayLike) -> RngKeys:
    """Return the key of each gateway in each replication.

    Args:
        seed: The seed of the rollout.
        replications: Numbers of replications.
        gateways: Numbers of gateways. They are broadcast against ``replications``.
    """
    numbers = np.asarray(replications)
    if numbers.ndim == 0:
        keys = np.asarray(np.uint64(replication_key(seed, int(numbers))))
    else:
        distinct, inverse = np.unique(numbers, return_inverse=True)
        distinct_keys = np.array([replication_key(seed, int(replication)) for replication in distinct], dtype=np.uint64)
        keys = distinct_keys[inverse.reshape(numbers.shape)]
    result: RngKeys = np.asarray(gateways).astype(np.uint64, copy=False) * np.uint64(GAMMA) + keys
    return result


def stream_offset(stream: Stream, step: int = 0) -> np.uint64:
    """Return what is added to a key for one stream and one step of the engine."""
    return np.uint64(splitmix64(splitmix64(stream * _M2) + step * _M1))


def uniform(rng_key: RngKeys, stream: Stream, step: int = 0) -> Floats:
    """Return uniform numbers in the open interval (0, 1), one for each key."""
    if rng_key.ndim == 1 and len(rng_key) > BLOCK:
        # Blocks that fit into the processor's cache.
        result = np.empty(len(rng_key))
        for start in range(0, len(rng_key), BLOCK):
            result[start : start + BLOCK] = uniform(rng_key[start : start + BLOCK], stream, step)
        return result
    bits = rng_key + stream_offset(stream, step)
    _splitmix64_in_place(bits)
    # The upper 52 bits, plus a half, as a fraction: never 0 and never 1.
    bits >>= np.uint64(12)
    numbers: Floats = bits.astype(np.float64)
    numbers += 0.5
    numbers *= 2.0**-52
    return numbers


def _splitmix64_in_place(z: RngKeys) -> None:
    """Replace each number by ``splitmix64`` of it. Works in place, because memory traffic limits the speed."""
    shifted = z >> np.uint64(30)
    z ^= shifted
    z *= np.uint64(_M1)
    np.right_shift(z, np.uint64(27), out=shifted)
    z ^= shifted
    z *= np.uint64(_M2)
    np.right_shift(z, np.uint64(31), out=shifted)
    z ^= shifted


def uniform_scalar(seed: int, replication: int, gateway: int, stream: Stream, step: int = 0) -> float:
    """Return the number that ``uniform`` gives for one gateway, computed with plain integers: the definition."""
    rng_key = replication_key(seed, replication) + gateway * GAMMA
    return float((splitmix64(rng_key + int(stream_offset(stream, step))) >> 12) + 0.5) * 2.0**-52
