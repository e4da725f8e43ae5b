"""The types of NumPy arrays in this package, named after what their elements are, and one operation on them."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Integers: TypeAlias = npt.NDArray[np.int64]
"""Whole numbers. Most of them are times in milliseconds since the start of a rollout."""
Floats: TypeAlias = npt.NDArray[np.float64]
"""Numbers such as probabilities, shares and rates."""
Codes: TypeAlias = npt.NDArray[np.uint8]
"""Codes of statuses, causes, faults or versions (``fleet.simulation.codes``)."""
Mask: TypeAlias = npt.NDArray[np.bool_]
"""A yes or no for each element of another array."""
Indices: TypeAlias = npt.NDArray[np.intp]
"""Positions in another array."""
RngKeys: TypeAlias = npt.NDArray[np.uint64]
"""Keys of random numbers (``fleet.simulation.random_streams``)."""

_Number = TypeVar("_Number", int, Integers)


def divide_rounding_up(dividend: _Number, divisor: Any) -> _Number:
    """Return a quotient, rounded up to a whole number.

    Args:
        dividend: A whole number, or an array of whole numbers.
        divisor: A whole number, or an array of the same shape.
    """
    quotient: _Number = -(-dividend // divisor)
    return quotient
