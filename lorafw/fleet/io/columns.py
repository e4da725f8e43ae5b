"""Turn a table with one row for each gateway into a fleet.

An invalid cell raises an error that names its row and its column. Columns that a table does not have get values from
``lorafw.fleet.defaults``, some of them random: the time of the first poll is uniform over the period, and the goodput
is lognormal around the median of the backhaul.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from lorafw.errors import FleetError
from lorafw.fleet._validation import check_seed, require_known_name, shown
from lorafw.fleet.arrays import Floats, RngKeys
from lorafw.fleet.conditions import Conditions
from lorafw.fleet.defaults import default_value
from lorafw.fleet.fleet import MAX_PERIOD_MS, Fleet, make_fleet
from lorafw.fleet.presets import BACKHAULS, typical_conditions
from lorafw.fleet.simulation.numpy_memory import huge_pages_disabled
from lorafw.fleet.simulation.random_streams import Stream, rng_keys, uniform

Cells = Sequence[Any]
Array = npt.NDArray[Any]

DEFAULT_BACKHAUL: Final = "ethernet"
DEFAULT_NAME: Final = "unknown"
"""The text of an empty cell of region, ISP or version."""

VERSION_COLUMNS: Final = ("station", "package", "model")
"""The columns that make up a gateway's version."""

COLUMNS: Final = {
    "gateway": "its name; whole numbers are its number, which selects its random numbers (else: the row)",
    "poll_period_s": "time between polls, s (default 86400)",
    "first_poll_s": "time of the first poll, s (default: anywhere in the period)",
    "backhaul": f"one of {', '.join(BACKHAULS)} (default ethernet)",
    "goodput_Mbps": "Mb/s (default: about the median of its backhaul)",
    "region": "any name; gateways of one region and ISP share outages",
    "isp": "any name",
    "station": "Station: its version string",
    "package": "PackageVersion: the text of version.txt",
    "model": "Model, as the definition of the task names it",
    "gone": "true: it never polls (default false)",
    "has_key": "false: it does not have the key of the update and refuses it (default true)",
    "restarts": "false: the update does not restart the station (default true)",
    "version_differs": "true: it presents another version than the expected one after the update (default false)",
}
"""The columns that a table may have, and what they mean."""

_GATEWAY_SYNONYMS: Final = frozenset(("eui", "gateway_eui", "gatewayeui", "id", "gateway_id", "name"))
"""Names that asset systems give to the column ``gateway``."""

_BOOLEANS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

_MAX_PERIOD_S: Final = MAX_PERIOD_MS / 1000
_MIN_PERIOD_S: Final = 0.001
_MIN_GOODPUT_MBPS: Final = 1e-6
_MAX_GOODPUT_MBPS: Final = 1e6
_MAX_NUMBER_DIGITS: Final = 15
"""Names with more digits are not taken as numbers. Sixteen digits may be an EUI."""


@dataclass(frozen=True, slots=True)
class TableRows:
    """A table whose columns have equal length."""

    columns: Mapping[str, Cells]
    """The cells, by the name of the column."""
    size: int
    """Number of rows."""
    source: str
    """The origin of the table, such as the name of its file, for errors and reports."""
    row_label: Callable[[int], str]
    """Returns the name of a row in error messages, for example "line 2" for row 0."""
    fill_empty: bool = False
    """If True, an empty cell gets the default of its column. If False, an empty cell is an error."""

    def cell_error(self, column: str, row: int, problem: str) -> FleetError:
        """Return the error for a cell. The caller raises it."""
        cell = self.columns[column][row]
        return FleetError(column, cell, f"{self.source}: {self.row_label(row)}, column {column!r}: {problem}")


def fleet_from_table(
    table: Any,
    *,
    seed: int = 0,
    conditions: Conditions | None = None,
    ignore_unknown: bool = False,
    fill_empty: bool = False,
) -> Fleet:
    """Make a fleet from a table in memory.

    Args:
        table: A pandas DataFrame, or a mapping from the names of columns to their values. COLUMNS lists the possible
            columns. At least one is required.
        seed: The seed of the random values for missing columns and cells.
        conditions: The faults and delays of this fleet. None for the typical conditions.
        ignore_unknown: Ignore columns that are not in COLUMNS.
        fill_empty: Give an empty cell the default of its column, instead of raising an error.

    Returns:
        The fleet.

    Raises:
        FleetError: A column is not known, or a cell has a value that its column does not allow.
    """
    # 1. All columns must have the same length.
    columns = {str(name): table[name] for name in table}
    sizes = {len(column) for column in columns.values()}
    if len(sizes) > 1:
        raise FleetError("table", sorted(sizes), "the columns of the table have different lengths")
    size = max(sizes, default=0)
    # 2. A DataFrame names its rows. Otherwise they have the numbers 0, 1, 2, ...
    row_names: Sequence[Any] = range(size)
    is_dataframe = hasattr(table, "index")
    if is_dataframe:
        columns = {name: column.to_numpy() for name, column in columns.items()}
        row_names = table.index

    def row_label(row: int) -> str:
        """Return the label of the row in the DataFrame, or its position in a mapping."""
        return f"row {row_names[row]}"

    rows = TableRows(columns, size, "table", row_label, fill_empty)
    return fleet_from_rows(rows, seed=seed, conditions=conditions, ignore_unknown=ignore_unknown)


@huge_pages_disabled()
def fleet_from_rows(
    rows: TableRows, *, seed: int, conditions: Conditions | None, ignore_unknown: bool = False
) -> Fleet:
    """Make a fleet from the rows of a table.

    Args:
        rows: The table.
        seed: The seed of the random values for missing columns and cells.
        conditions: The faults and delays of this fleet. None for the typical conditions.
        ignore_unknown: Ignore columns that are not in COLUMNS.

    Returns:
        The fleet.

    Raises:
        FleetError: A column is not known, or a cell has a value that its column does not allow.
    """
    check_seed(seed)
    if ignore_unknown:
        rows = _select_known_columns(rows)
    _check_columns(rows)
    numbers, gateway_names = _read_gateways(rows)
    rng_key = rng_keys(seed, 0, numbers)
    period_ms = _read_ms(rows, "poll_period_s", default_value("poll_period_s") * 1000, minimum_s=_MIN_PERIOD_S)
    random_phase_ms = (uniform(rng_key, Stream.PHASE) * period_ms).astype(np.int64)
    backhaul, backhaul_names = _read_backhauls(rows)
    region, region_names = _encode_categories(rows, ("region",))
    isp, isp_names = _encode_categories(rows, ("isp",))
    version, version_names = _encode_categories(rows, VERSION_COLUMNS)
    return make_fleet(
        rows.size,
        number=numbers,
        period_ms=period_ms,
        phase_ms=_read_ms(rows, "first_poll_s", random_phase_ms),
        backhaul=backhaul,
        goodput_Bps=_read_goodput_Bps(rows, backhaul, backhaul_names, rng_key),
        region=region,
        isp=isp,
        version=version,
        gone=_read_booleans(rows, "gone", False),
        refuses=~_read_booleans(rows, "has_key", True),
        restarts=_read_booleans(rows, "restarts", True),
        version_differs=_read_booleans(rows, "version_differs", False),
        names={
            "number": gateway_names,
            "backhaul": backhaul_names,
            "region": region_names,
            "isp": isp_names,
            "version": version_names,
        },
        conditions=conditions or typical_conditions(),
        source=rows.source,
    )


def _select_known_columns(rows: TableRows) -> TableRows:
    """Return the table with only the columns in COLUMNS. Raises FleetError if it has none of them."""
    known_columns = {name: cells for name, cells in rows.columns.items() if name in COLUMNS}
    if not known_columns:
        raise FleetError("column", None, f"{rows.source}: no column is known; known: {', '.join(COLUMNS)}")
    return replace(rows, columns=known_columns)


def _check_columns(rows: TableRows) -> None:
    """Raise FleetError if a column is not in COLUMNS, or if the table has no row."""
    for name in rows.columns:
        if name.casefold() in _GATEWAY_SYNONYMS:
            problem = f"column {name!r} is not known; a gateway's name or EUI goes into the column 'gateway'"
            raise FleetError("column", name, f"{rows.source}: {problem}")
        try:
            require_known_name("column", name, COLUMNS)
        except FleetError as error:
            raise FleetError("column", name, f"{rows.source}: {error}") from error
    if rows.size == 0:
        raise FleetError("fleet", 0, f"{rows.source}: there is no gateway in it; a fleet needs at least one row")


def _is_missing(cell: Any) -> bool:
    """Return whether a cell has no value: None, a blank text, or NaN, NaT or NA."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return True
    # NaN and NaT do not equal themselves. A comparison with pandas' NA gives NA, whose truth value is a TypeError.
    try:
        return bool(cell != cell)  # noqa: PLR0124
    except TypeError:
        return True


def _read_cells(rows: TableRows, column: str) -> Cells:
    """Return the cells of a column. An empty cell becomes None if the table fills empty cells, else it is an error."""
    cells = rows.columns[column]
    if rows.fill_empty and column != "gateway":
        return [None if _is_missing(cell) else cell for cell in cells]
    for row, cell in enumerate(cells):
        if _is_missing(cell):
            raise rows.cell_error(column, row, "there is no value; fill it in, or leave the whole column out")
    return cells


def _read_gateways(rows: TableRows) -> tuple[Array, tuple[str, ...]]:
    """Return the numbers and the names of the gateways. The names are an empty tuple if they equal the numbers."""
    if "gateway" not in rows.columns:
        return np.arange(rows.size), ()
    names = [str(cell).strip() for cell in _read_cells(rows, "gateway")]
    first_rows: dict[str, int] = {}
    for row, name in enumerate(names):
        first_row = first_rows.setdefault(name, row)
        if first_row != row:
            raise rows.cell_error("gateway", row, f"{name!r} is also in {rows.row_label(first_row)}; each gateway once")
    if all(_is_gateway_number(name) for name in names):
        return np.array([int(name) for name in names], dtype=np.int64), ()
    return np.arange(rows.size), tuple(names)


def _is_gateway_number(name: str) -> bool:
    """Return whether a name is a number. A name with leading zeros is not: 07 and 7 are different names."""
    if not name.isascii() or not name.isdecimal() or len(name) > _MAX_NUMBER_DIGITS:
        return False
    return name == "0" or not name.startswith("0")


def _read_numbers(rows: TableRows, column: str, default: Any, minimum: float, maximum: float) -> Floats:
    """Return the numbers of a column.

    Args:
        rows: The table.
        column: The name of the column.
        default: The value of empty cells: a number, or an array with one for each row.
        minimum: The smallest number that is allowed.
        maximum: The largest number that is allowed.

    Raises:
        FleetError: A cell is not a number within these limits.
    """
    numbers = np.array(np.broadcast_to(default, (rows.size,)), dtype=np.float64)
    for row, cell in enumerate(_read_cells(rows, column)):
        if cell is None:
            continue
        number = _to_float(cell)
        if not minimum <= number <= maximum:
            raise rows.cell_error(column, row, f"{shown(cell)} is not a number from {minimum:g} to {maximum:g}")
        numbers[row] = number
    return numbers


def _to_float(cell: Any) -> float:
    """Return a cell as a number, or NaN if the cell is not a number. True and False are not numbers."""
    if isinstance(cell, bool):
        return math.nan
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _read_ms(rows: TableRows, column: str, default_ms: Any, minimum_s: float = 0.0) -> Any:
    """Return a column of durations in s as whole milliseconds, or the default if the table does not have it."""
    if column not in rows.columns:
        return default_ms
    default_s = np.asarray(default_ms) / 1000
    seconds = _read_numbers(rows, column, default_s, minimum_s, _MAX_PERIOD_S)
    return np.rint(seconds * 1000).astype(np.int64)


def _read_booleans(rows: TableRows, column: str, default: bool) -> Array:
    """Return a column of booleans.

    Empty cells are ``default``, and so are all rows if the table does not have the column.
    """
    if column not in rows.columns:
        return np.broadcast_to(np.bool_(default), (rows.size,))
    flags = np.full(rows.size, default)
    for row, cell in enumerate(_read_cells(rows, column)):
        if cell is None:
            continue
        flag = _BOOLEANS.get(str(cell).strip().lower())
        if flag is None:
            raise rows.cell_error(column, row, f"{shown(cell)} is not one of: true, false, yes, no, 1, 0")
        flags[row] = flag
    return flags


def _encode_categories(
    rows: TableRows, columns: tuple[str, ...], default: str = DEFAULT_NAME
) -> tuple[Array, tuple[str, ...]]:
    """Return the category of each row as a code, and the names of the categories by code.

    Args:
        rows: The table.
        columns: The columns whose texts, joined, are the name of a category. Columns that the table does not have are
            ignored. If it has none of them, all rows belong to one category.
        default: The text of an empty cell.

    Raises:
        FleetError: There are too many categories, or a cell is empty.
    """
    present_columns = [column for column in columns if column in rows.columns]
    if not present_columns:
        return np.zeros(rows.size, dtype=np.int16), ("all",)
    texts_by_column = [_read_texts(rows, column, default) for column in present_columns]
    names = [" / ".join(texts) for texts in zip(*texts_by_column, strict=True)]
    unique_names = tuple(dict.fromkeys(names))
    if len(unique_names) > np.iinfo(np.int16).max:
        column = present_columns[0]
        problem = f"column {column!r} has {len(unique_names)} different values"
        raise FleetError(column, len(unique_names), f"{rows.source}: {problem}")
    code_by_name = {name: code for code, name in enumerate(unique_names)}
    codes = np.array([code_by_name[name] for name in names], dtype=np.int16)
    return codes, unique_names


def _read_texts(rows: TableRows, column: str, default: str) -> list[str]:
    """Return the texts of a column, without leading and trailing white space."""
    return [default if cell is None else str(cell).strip() for cell in _read_cells(rows, column)]


def _read_backhauls(rows: TableRows) -> tuple[Array, tuple[str, ...]]:
    """Return the backhaul of each row as a code, and the names of the backhauls by code.

    Raises FleetError if a backhaul is not in BACKHAULS.
    """
    if "backhaul" not in rows.columns:
        return np.zeros(rows.size, dtype=np.int16), (DEFAULT_BACKHAUL,)
    codes, names = _encode_categories(rows, ("backhaul",), DEFAULT_BACKHAUL)
    for code, name in enumerate(names):
        try:
            require_known_name("backhaul", name, BACKHAULS)
        except FleetError as error:
            first_row = int(np.flatnonzero(codes == code)[0])
            raise rows.cell_error("backhaul", first_row, str(error)) from error
    return codes, names


def _read_goodput_Bps(  # noqa: N802 -- a unit
    rows: TableRows, backhaul: Array, backhaul_names: tuple[str, ...], rng_key: RngKeys
) -> Floats:
    """Return the goodput of each gateway in bytes per second.

    It is random around the median of the backhaul for each gateway without a value.
    """
    medians_Mbps = np.array([default_value(BACKHAULS[name]) for name in backhaul_names])  # noqa: N806
    spread = np.exp(ndtri(uniform(rng_key, Stream.GOODPUT)) * default_value("goodput_sigma"))
    goodput_Mbps = medians_Mbps[backhaul] * spread  # noqa: N806
    if "goodput_Mbps" in rows.columns:
        goodput_Mbps = _read_numbers(  # noqa: N806
            rows, "goodput_Mbps", goodput_Mbps, _MIN_GOODPUT_MBPS, _MAX_GOODPUT_MBPS
        )
    goodput_Bps: Floats = goodput_Mbps * 1e6 / 8  # noqa: N806
    return goodput_Bps
