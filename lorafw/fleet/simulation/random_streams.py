"""Chance, one named stream per decision, keyed by gateway: what is asked in another order is the same luck.

A draw is a pure function of (seed, replication, stream, gateway, turn). Changing one thing, a plan, a rate of failure,
the size of the fleet, leaves everybody else's luck as it was (common random numbers), and any part of a fleet can be
simulated alone, on any worker, with equal results.

The function is SplitMix64 read at a position of its sequence (Steele, Lea and Flood: Fast splittable pseudorandom
number generators, OOPSLA 2014): NumPy's own generators are sequences that have to be walked, and of a fleet's second
and third attempts only every tenth number is wanted.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

U64: TypeAlias = npt.NDArray[np.uint64]
F64: TypeAlias = npt.NDArray[np.float64]

BLOCK: Final = 1 << 14
"""So many numbers are drawn at once: they stay in the processor's cache."""

GAMMA: Final = 0x9E3779B97F4A7C15
_M1: Final = 0xBF58476D1CE4E5B9
_M2: Final = 0x94D049BB133111EB
_MASK: Final = (1 << 64) - 1


class Stream(IntEnum):
    """What is decided. The numbers are part of the results: a new stream gets a new one."""

    PHASE = 1
    BACKHAUL = 2
    GOODPUT = 3
    REGION = 4
    ISP = 5
    KEY = 6
    GONE = 7
    RESTART = 8
    VERSION = 9
    MISSED = 20
    UNREACHED = 21
    STORAGE = 22
    DOWNLOAD = 23
    DROP = 24
    INSTALL = 25
    REPAIR = 26
    SERVER_ERROR = 27
    STALL = 28
    TRUNCATE = 29
    TMP = 30
    POWER = 31
    DELAY = 40
    ORDER = 41
    OUTAGE = 42
    OUTAGE_LENGTH = 43
    GATE = 44


def splitmix64(state: int) -> int:
    """The output of SplitMix64 for a state: 64 well-mixed bits."""
    z = state & _MASK
    z = ((z ^ (z >> 30)) * _M1) & _MASK
    z = ((z ^ (z >> 27)) * _M2) & _MASK
    return z ^ (z >> 31)


def replication_key(seed: int, replication: int = 0) -> int:
    """The key of one rollout: seed and number of the replication, mixed."""
    return splitmix64(splitmix64(seed + GAMMA) ^ splitmix64((replication + 1) * _M1))


def rng_keys(seed: int, replications: npt.ArrayLike, gateways: npt.ArrayLike) -> U64:
    """Where each gateway's draws of each replication begin; the arrays are broadcast against each other."""
    numbers = np.asarray(replications)
    if numbers.ndim == 0:
        keys = np.asarray(np.uint64(replication_key(seed, int(numbers))))
    else:
        found, where = np.unique(numbers, return_inverse=True)
        each = np.array([replication_key(seed, int(replication)) for replication in found], dtype=np.uint64)
        keys = each[where.reshape(numbers.shape)]
    result: U64 = np.asarray(gateways).astype(np.uint64, copy=False) * np.uint64(GAMMA) + keys
    return result


def stream_offset(stream: Stream, turn: int = 0) -> np.uint64:
    """What is added to a position for one stream and turn (an attempt, a poll)."""
    return np.uint64(splitmix64(splitmix64(stream * _M2) + turn * _M1))


def draw(position: U64, stream: Stream, turn: int = 0) -> F64:
    """Uniform numbers in the open interval (0, 1), one for each position."""
    if position.ndim == 1 and len(position) > BLOCK:
        result = np.empty(len(position))
        for left in range(0, len(position), BLOCK):
            result[left : left + BLOCK] = draw(position[left : left + BLOCK], stream, turn)
        return result
    z = position + stream_offset(stream, turn)
    work = z >> np.uint64(30)
    z ^= work
    z *= np.uint64(_M1)
    np.right_shift(z, np.uint64(27), out=work)
    z ^= work
    z *= np.uint64(_M2)
    np.right_shift(z, np.uint64(31), out=work)
    z ^= work
    z >>= np.uint64(12)
    uniform: F64 = z.astype(np.float64)
    uniform += 0.5
    uniform *= 2.0**-52
    return uniform


def uniform_scalar(seed: int, replication: int, gateway: int, stream: Stream, turn: int = 0) -> float:
    """The same number as ``draw``, for one gateway, in plain integers: the definition."""
    position = replication_key(seed, replication) + gateway * GAMMA
    return float((splitmix64(position + int(stream_offset(stream, turn))) >> 12) + 0.5) * 2.0**-52
