"""A fleet: its gateways as arrays, one column for each property that matters to a rollout.

``presets`` draws fleets from distributions, ``io`` reads them from files and accounts. A column that is the same for
all gateways takes the memory of one number.
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
"""The longest period and the longest phase that are allowed."""

_MIN_GOODPUT_BPS: Final = 1e-3
_MAX_GOODPUT_BPS: Final = 1e12
_CATEGORY_COLUMNS: Final = ("backhaul", "region", "isp", "version")
_MAX_LISTED_NAMES: Final = 10
"""Names that an error message lists."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Fleet:
    """Gateways as columns of equal length. The object and its arrays are read-only.

    Raises:
        FleetError: The fleet is empty, a column has another length, or a value is out of range.
    """

    number: Column
    """The number of each gateway, which selects its random numbers."""
    phase_ms: Column
    """The time of the first poll, 0 or later."""
    period_ms: Column
    """The time between two polls."""
    goodput_Bps: Column  # noqa: N815 -- a unit
    """The goodput of the backhaul, in bytes per second."""
    backhaul: Column
    """The class of the backhaul: an index into ``names["backhaul"]``."""
    region: Column
    """The region: an index into ``names["region"]``."""
    isp: Column
    """The internet service provider: an index into ``names["isp"]``."""
    version: Column
    """The version that the gateway presents before the update: an index into ``names["version"]``."""
    gone: Column
    """True if the gateway never polls."""
    refuses: Column
    """True if the station has a key that is not that of the update. It refuses signed updates."""
    keyless: Column
    """True if the station has no key. It refuses signed updates."""
    restarts: Column
    """True if the update restarts the station, which then presents its new version at once."""
    version_differs: Column
    """True if the gateway presents another version than the expected one after the update."""
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The names of the categories, by column. ``names["number"]`` holds the gateways' names, if they have any."""
    conditions: Conditions = field(default_factory=Conditions)
    """The faults and delays of this fleet."""
    source: str = "made by hand"
    """Where the fleet comes from, for reports."""

    def __repr__(self) -> str:
        return f"<Fleet of {self.size} gateways: {self.source}>"

    def __post_init__(self) -> None:
        if not self.size:
            raise FleetError("fleet", 0, "a fleet needs at least one gateway")
        for name in COLUMNS:
            self._freeze_column(name)
        _check_range("phase_ms", self.phase_ms, 0, MAX_PERIOD_MS)
        _check_range("period_ms", self.period_ms, 1, MAX_PERIOD_MS)
        _check_range("goodput_Bps", self.goodput_Bps, _MIN_GOODPUT_BPS, _MAX_GOODPUT_BPS)
        for name, column in self._category_columns().items():
            _check_range(name, column, 0, self._largest_category(name))

    def _category_columns(self) -> dict[str, Column]:
        """Return the columns whose values are indices into ``names``."""
        return {"backhaul": self.backhaul, "region": self.region, "isp": self.isp, "version": self.version}

    def _largest_category(self, column: str) -> int:
        """Return the largest index that a column may hold. It is 0 if its categories have no names."""
        if not self.names.get(column):
            return 0
        return len(self.names[column]) - 1

    def _freeze_column(self, name: str) -> None:
        """Check the length of a column, and make its array read-only."""
        column = getattr(self, name)
        if column.shape != (self.size,):
            problem = f"{name} has shape {column.shape}, the fleet has {self.size} gateways"
            raise FleetError(name, column.shape, problem)
        column.flags.writeable = False

    @property
    def size(self) -> int:
        """Number of gateways."""
        return len(self.number)

    def __len__(self) -> int:
        return self.size

    def select(self, gateways: slice | Column) -> Fleet:
        """Return a fleet of some of the gateways. They keep their numbers, and so their random numbers.

        Args:
            gateways: A slice, a mask, or an array of indices.
        """
        columns = {name: getattr(self, name)[gateways] for name in COLUMNS}
        return replace(self, **columns)

    def with_conditions(self, **conditions: Any) -> Fleet:
        """Return a fleet of the same gateways under other conditions.

        Args:
            **conditions: The fields of Conditions to change.

        Raises:
            FleetError: A value is out of range.
        """
        return replace(self, conditions=replace(self.conditions, **conditions))

    def code_of(self, column: str, name: str) -> int:
        """Return the number that stands for a name in a column of categories.

        Args:
            column: The column: "backhaul", "region", "isp" or "version".
            name: The name of the category.

        Raises:
            FleetError: The column has no such name.
        """
        names = self.names[column]
        if name not in names:
            known = ", ".join(names[:_MAX_LISTED_NAMES])
            raise FleetError(column, name, f"no gateway has the {column} {name!r}; there are: {known}")
        return names.index(name)

    def share(self, column: str) -> dict[str, float]:
        """Return the share of each category in the fleet, by name.

        Args:
            column: The column: "backhaul", "region", "isp" or "version".
        """
        names = self.names[column]
        counts = np.bincount(self._category_columns()[column], minlength=len(names))
        return {name: float(count / self.size) for name, count in zip(names, counts, strict=True)}


COLUMNS: Final = tuple(f.name for f in fields(Fleet) if f.name not in ("names", "conditions", "source"))
"""The names of the columns of a fleet."""

_COLUMN_TYPES: Final[Mapping[str, Any]] = {
    "number": np.int64,
    "phase_ms": np.int64,
    "period_ms": np.int64,
    "goodput_Bps": np.float64,
    "backhaul": np.int16,
    "region": np.int16,
    "isp": np.int16,
    "version": np.int16,
    "gone": np.bool_,
    "refuses": np.bool_,
    "keyless": np.bool_,
    "restarts": np.bool_,
    "version_differs": np.bool_,
}

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


def constant_column(value: Any, size: int, dtype: Any) -> Column:
    """Return a read-only column that holds one value for all gateways, in the memory of that value."""
    return np.broadcast_to(np.asarray(value, dtype=dtype), (size,))


def make_fleet(
    size: int,
    *,
    names: Mapping[str, tuple[str, ...]] | None = None,
    conditions: Conditions | None = None,
    source: str = "made by hand",
    **columns: Any,
) -> Fleet:
    """Make a fleet from columns.

    Without any columns, the gateways poll every 24 h from time 0, download 1 MB/s and have no fault.

    Args:
        size: Number of gateways.
        names: The names of the backhauls, regions, ISPs and versions, by column. Without names all gateways belong to
            one category "all".
        conditions: The faults and delays of this fleet. None if nothing goes wrong.
        source: Where the fleet comes from, for reports.
        **columns: Columns of ``Fleet``, each as an array or as one value for all gateways. The other columns have
            defaults.

    Returns:
        The fleet, with copies of the arrays.

    Raises:
        FleetError: A column is not known, has another length, or holds a value that is out of range.
    """
    check_gateways(size)
    for name in sorted(columns):
        if name not in COLUMNS:
            raise FleetError("column", name, f"unknown column {name!r}; known: {', '.join(COLUMNS)}")
    arrays = {"number": np.arange(size, dtype=np.int64)}
    for name, default in _DEFAULTS.items():
        arrays[name] = _to_column(name, default, size)
    for name, value in columns.items():
        arrays[name] = _to_column(name, value, size)
    category_names: dict[str, tuple[str, ...]] = dict.fromkeys(_CATEGORY_COLUMNS, ("all",))
    category_names.update(names or {})
    return Fleet(**arrays, names=category_names, conditions=conditions or Conditions(), source=source)


def _to_column(name: str, value: Any, size: int) -> Column:
    """Return a value, or a copy of an array, as a column of the right type."""
    dtype = _COLUMN_TYPES[name]
    array = np.asarray(value)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise FleetError(name, "NaN", f"{name} holds a value that is not a number")
    if array.ndim == 0:
        return constant_column(value, size, dtype)
    if array.shape != (size,):
        raise FleetError(name, array.shape, f"{name} has {array.shape} values for {size} gateways")
    return array.astype(dtype, copy=True)


def _check_range(name: str, column: Column, low: float, high: float) -> None:
    """Check that all values of a column are from ``low`` to ``high``."""
    is_constant = column.strides[0] == 0
    values = column[:1] if is_constant else column
    for extreme in (values.min(), values.max()):
        if not low <= extreme <= high:
            raise FleetError(name, extreme.item(), f"{name} holds {extreme.item()!r}; allowed is {low:g} to {high:g}")
