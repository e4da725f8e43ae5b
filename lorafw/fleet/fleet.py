"""A fleet: gateways as arrays, one column for each thing that matters to a rollout.

Values only; where they come from is told in ``presets`` (distributions), ``io`` (files, accounts). A column that is
the same for all gateways is one number in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lorafw.errors import FleetError
from lorafw.fleet._validation import check_gateways
from lorafw.fleet.conditions import Conditions

Column = npt.NDArray[Any]
DAY_MS: Final = 86_400_000
MAX_PERIOD_MS: Final = 400 * DAY_MS
"""No period or phase is longer."""


_INTEGERS: Final = {"phase_ms": np.int64, "period_ms": np.int64}
_FLAGS: Final = ("gone", "refuses", "keyless", "restarts", "version_differs")
_GROUPS: Final = ("backhaul", "region", "isp", "version")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Fleet:
    """Gateways as columns of equal length; frozen, the arrays included.

    ``number``: the gateway's number, which keys its luck; ``phase_ms``: time of the first poll, 0 or later;
    ``period_ms``: between polls; ``goodput_Bps``: bytes a second; ``backhaul``, ``region``, ``isp``, ``version``: index
    into ``names`` of that column; ``gone``: never polls; ``refuses``: has a key, and not that of the update (a station
    refuses it); ``keyless``: has no key (a station refuses what is signed); ``restarts``: the update restarts the
    station, so success shows at once; ``version_differs``: after the update it presents a version that is not quite the
    expected one.
    """

    number: Column
    phase_ms: Column
    period_ms: Column
    goodput_Bps: Column  # noqa: N815 -- a unit
    backhaul: Column
    region: Column
    isp: Column
    version: Column
    gone: Column
    refuses: Column
    keyless: Column
    restarts: Column
    version_differs: Column
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    conditions: Conditions = field(default_factory=Conditions)
    source: str = "made by hand"

    def __repr__(self) -> str:
        return f"<Fleet of {self.size} gateways: {self.source}>"

    def __post_init__(self) -> None:
        if not self.size:
            raise FleetError("fleet", 0, "a fleet needs at least one gateway")
        for name in COLUMNS:
            column = getattr(self, name)
            if column.shape != (self.size,):
                raise FleetError(
                    name, column.shape, f"{name} has shape {column.shape}, the fleet has {self.size} gateways"
                )
            column.flags.writeable = False
        _check_range("phase_ms", self.phase_ms, 0, MAX_PERIOD_MS)
        _check_range("period_ms", self.period_ms, 1, MAX_PERIOD_MS)
        _check_range("goodput_Bps", self.goodput_Bps, 1e-3, 1e12)
        for name in _GROUPS:
            _check_range(name, getattr(self, name), 0, max(0, len(self.names.get(name, ("",))) - 1))

    @property
    def size(self) -> int:
        return len(self.number)

    def __len__(self) -> int:
        return self.size

    def part(self, gateways: slice | Column) -> Fleet:
        """Some of the gateways, with the luck that they have in the whole."""
        return replace(self, **{name: getattr(self, name)[gateways] for name in COLUMNS})

    def under(self, **conditions: Any) -> Fleet:
        """The same gateways under other conditions."""
        return replace(self, conditions=replace(self.conditions, **conditions))

    def index(self, column: str, name: str) -> int:
        """The code of a name in a grouping column. Raises FleetError."""
        if name not in self.names[column]:
            known = ", ".join(self.names[column][:10])
            raise FleetError(column, name, f"no gateway has the {column} {name!r}; there are: {known}")
        return self.names[column].index(name)

    def share(self, column: str) -> dict[str, float]:
        """How the fleet divides over a grouping column, by name."""
        counts = np.bincount(getattr(self, column), minlength=len(self.names[column]))
        return {name: float(count / self.size) for name, count in zip(self.names[column], counts, strict=True)}


COLUMNS: Final = tuple(f.name for f in fields(Fleet) if f.name not in ("names", "conditions", "source"))


def constant_column(value: Any, size: int, dtype: Any) -> Column:
    """A column that is the same for all."""
    return np.broadcast_to(np.asarray(value, dtype=dtype), (size,))


def make_fleet(
    size: int,
    *,
    names: Mapping[str, tuple[str, ...]] | None = None,
    conditions: Conditions | None = None,
    source: str = "made by hand",
    **columns: Any,
) -> Fleet:
    """A fleet from columns or single values; what is left out has a plain default. Raises FleetError.

    Defaults: polls every 24 h from 0, 1 MB/s, one group of each kind, and nothing wrong with any gateway.
    """
    check_gateways(size)
    given: dict[str, Any] = {**_DEFAULTS, **columns}
    if unknown := set(given) - set(COLUMNS):
        raise FleetError(
            "column", sorted(unknown)[0], f"unknown column {sorted(unknown)[0]!r}; known: {', '.join(COLUMNS)}"
        )
    arrays = {name: _column(name, value, size) for name, value in given.items()}
    arrays.setdefault("number", np.arange(size, dtype=np.int64))
    known = dict.fromkeys(_GROUPS, ("all",)) | dict(names or {})
    return Fleet(**arrays, names=known, conditions=conditions or Conditions(), source=source)


_DEFAULTS: Final[Mapping[str, Any]] = {
    "phase_ms": 0,
    "period_ms": DAY_MS,
    "goodput_Bps": 1e6,
    "backhaul": 0,
    "region": 0,
    "isp": 0,
    "version": 0,
    "gone": False,
    "refuses": False,
    "keyless": False,
    "restarts": True,
    "version_differs": False,
}


def _column(name: str, value: Any, size: int) -> Column:
    dtype: Any = np.int64 if name in ("number", *_INTEGERS) else np.float64 if name == "goodput_Bps" else np.int16
    if name in _FLAGS:
        dtype = np.bool_
    array = np.asarray(value)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise FleetError(name, "NaN", f"{name} holds a value that is no number")
    if array.ndim == 0:
        return constant_column(value, size, dtype)
    if array.shape != (size,):
        raise FleetError(name, array.shape, f"{name} has {array.shape} values for {size} gateways")
    return array.astype(dtype, copy=True)


def _check_range(name: str, column: Column, low: float, high: float) -> None:
    values = column[:1] if not column.strides[0] else column
    smallest, largest = values.min(), values.max()
    if not (smallest >= low and largest <= high):
        bad = smallest if not smallest >= low else largest
        raise FleetError(name, bad.item(), f"{name} holds {bad.item()!r}; allowed is {low:g} to {high:g}")
