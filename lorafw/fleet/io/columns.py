"""A table becomes a fleet: one row for each gateway, or an error that names row and column, and no fleet.

What a table leaves out is drawn or assumed as ``defaults`` says: without ``first_poll_s`` the first poll is anywhere in
the period, without ``goodput_Mbps`` the goodput is spread about the median of its backhaul.
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
from lorafw.fleet.conditions import Conditions
from lorafw.fleet.defaults import default_value
from lorafw.fleet.fleet import MAX_PERIOD_MS, Fleet, make_fleet
from lorafw.fleet.presets import BACKHAULS, typical_conditions
from lorafw.fleet.simulation.numpy_memory import huge_pages_disabled
from lorafw.fleet.simulation.random_streams import Stream, rng_keys, uniform

Cells = Sequence[Any]
Array = npt.NDArray[Any]

_LONGEST_S: Final = MAX_PERIOD_MS / 1000
DEFAULT_BACKHAUL: Final = "ethernet"
VERSION_COLUMNS: Final = ("station", "package", "model")
"""The columns that make up a gateway's version."""

COLUMNS: Final = {
    "gateway": "its name; whole numbers are its number, which keys its luck (else numbered as they come)",
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
    "has_key": "false: it has not the key of the update and refuses it (default true)",
    "restarts": "false: the update does not restart the station (default true)",
    "version_differs": "true: it presents another version than the expected one after the update (default false)",
}
"""What a table may have, and what it means."""

_NAMES_OF_A_GATEWAY: Final = frozenset(("eui", "gateway_eui", "gatewayeui", "id", "gateway_id", "name"))


@dataclass(frozen=True, slots=True)
class TableRows:
    """Columns of equal length, and how a row is called: ("line", 2) says that the first one is line 2 of its file.

    ``fill_empty``: an empty cell gets what the whole column would have if it were left out; otherwise it is refused.
    """

    columns: Mapping[str, Cells]
    size: int
    source: str
    called: Callable[[int], str]
    fill_empty: bool = False

    def refuse(self, column: str, row: int, problem: str) -> FleetError:
        cell = self.columns[column][row]
        return FleetError(column, cell, f"{self.source}: {self.called(row)}, column {column!r}: {problem}")


def fleet_from_table(
    table: Any,
    *,
    seed: int = 0,
    conditions: Conditions | None = None,
    ignore_unknown: bool = False,
    fill_empty: bool = False,
) -> Fleet:
    """A fleet from a pandas DataFrame, or a mapping from names of columns to values. Raises FleetError.

    ``COLUMNS`` says which columns there are; all can be left out but one. ``ignore_unknown`` and ``fill_empty`` are
    those of ``read_csv``.
    """
    columns = {str(name): table[name] for name in table}
    index = getattr(table, "index", None)
    if index is not None:
        columns = {name: column.to_numpy() for name, column in columns.items()}
    sizes = {len(column) for column in columns.values()}
    if len(sizes) > 1:
        raise FleetError("table", sorted(sizes), "the columns of the table have different lengths")
    labels = range(max(sizes, default=0)) if index is None else index
    rows = TableRows(columns, max(sizes, default=0), "table", lambda row: f"row {labels[row]}", fill_empty)
    return fleet_from_rows(rows, seed=seed, conditions=conditions, ignore_unknown=ignore_unknown)


@huge_pages_disabled()
def fleet_from_rows(
    rows: TableRows, *, seed: int, conditions: Conditions | None, ignore_unknown: bool = False
) -> Fleet:
    """All rows are read before anything is made of them. Raises FleetError."""
    check_seed(seed)
    if ignore_unknown:
        rows = _known_columns(rows)
    for name in rows.columns:
        if name.casefold() in _NAMES_OF_A_GATEWAY:
            problem = f"column {name!r} is not known; a gateway's name or EUI goes into the column 'gateway'"
            raise FleetError("column", name, f"{rows.source}: {problem}")
        try:
            require_known_name("column", name, COLUMNS)
        except FleetError as error:
            raise FleetError("column", name, f"{rows.source}: {error}") from error
    if not rows.size:
        raise FleetError("fleet", 0, f"{rows.source}: there is no gateway in it; a fleet needs at least one row")
    names: dict[str, tuple[str, ...]] = {}
    numbers, names["number"] = _numbers(rows)
    position = rng_keys(seed, 0, numbers)
    period_ms = _milliseconds(rows, "poll_period_s", default_value("poll_period_s") * 1000, least=0.001)
    phase_share = uniform(position, Stream.PHASE)
    backhaul, names["backhaul"] = _backhauls(rows)
    groups = {name: _encode_categories(rows, (name,)) for name in ("region", "isp")} | {
        "version": _encode_categories(rows, VERSION_COLUMNS)
    }
    names |= {name: known for name, (_, known) in groups.items()}
    return make_fleet(
        rows.size,
        number=numbers,
        period_ms=period_ms,
        phase_ms=_milliseconds(rows, "first_poll_s", (phase_share * period_ms).astype(np.int64)),
        backhaul=backhaul,
        goodput_Bps=_goodput(rows, [names["backhaul"][index] for index in backhaul.tolist()], position),
        **{name: codes for name, (codes, _) in groups.items()},
        gone=_read_booleans(rows, "gone", False),
        refuses=~_read_booleans(rows, "has_key", True),
        restarts=_read_booleans(rows, "restarts", True),
        version_differs=_read_booleans(rows, "version_differs", False),
        names=names,
        conditions=conditions or typical_conditions(),
        source=rows.source,
    )


def _known_columns(rows: TableRows) -> TableRows:
    """The columns that lorafw knows. Raises FleetError if there is none."""
    known = {name: cells for name, cells in rows.columns.items() if name in COLUMNS}
    if not known:
        raise FleetError("column", None, f"{rows.source}: no column is known; known: {', '.join(COLUMNS)}")
    return replace(rows, columns=known)


def _is_missing(cell: Any) -> bool:
    # NaN, NaT and pandas' NA are the values that do not equal themselves; NA will not even say so.
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return True
    try:
        return bool(cell != cell)  # noqa: PLR0124
    except TypeError:
        return True


def _cells(rows: TableRows, column: str) -> Cells:
    """The cells of a column. A missing one is None where empty cells are filled, and refused otherwise."""
    cells = rows.columns[column]
    if rows.fill_empty and column != "gateway":
        return [None if _is_missing(cell) else cell for cell in cells]
    for row, cell in enumerate(cells):
        if _is_missing(cell):
            raise rows.refuse(column, row, "there is no value; fill it in, or leave the whole column out")
    return cells


def _numbers(rows: TableRows) -> tuple[Array, tuple[str, ...]]:
    """The gateways' numbers, and their names where these are no numbers."""
    if "gateway" not in rows.columns:
        return np.arange(rows.size), ()
    texts = [str(cell).strip() for cell in _cells(rows, "gateway")]
    first: dict[str, int] = {}
    for row, text in enumerate(texts):
        if first.setdefault(text, row) != row:
            raise rows.refuse("gateway", row, f"{text!r} is also in {rows.called(first[text])}; each gateway once")
    if all(_is_number(text) for text in texts):
        return np.array([int(text) for text in texts], dtype=np.int64), ()
    return np.arange(rows.size), tuple(texts)


def _is_number(text: str) -> bool:
    """Is this name a gateway's number? Sixteen digits may be an EUI, and 07 is another name than 7."""
    has_zeros_in_front = len(text) > 1 and text.startswith("0")
    return text.isascii() and text.isdecimal() and len(text) < 16 and not has_zeros_in_front


def _read_numbers(rows: TableRows, column: str, default: Any, least: float, most: float) -> npt.NDArray[np.float64]:
    """Numbers within bounds; the default in rows without one."""
    cells = _cells(rows, column)
    result = np.array(np.broadcast_to(default, (rows.size,)), dtype=np.float64)
    for row, cell in enumerate(cells):
        if cell is None:
            continue
        try:
            number = float(cell)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if isinstance(cell, bool) or not least <= number <= most:
            raise rows.refuse(column, row, f"{shown(cell)} is not a number from {least:g} to {most:g}")
        result[row] = number
    return result


def _milliseconds(rows: TableRows, column: str, default: Any, least: float = 0.0) -> Any:
    if column not in rows.columns:
        return default
    default_s = np.asarray(default) / 1000
    return np.rint(_read_numbers(rows, column, default_s, least, _LONGEST_S) * 1000).astype(np.int64)


_WORDS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _read_booleans(rows: TableRows, column: str, default: bool) -> Array:
    if column not in rows.columns:
        return np.broadcast_to(np.bool_(default), (rows.size,))
    result = np.full(rows.size, default)
    for row, cell in enumerate(_cells(rows, column)):
        if cell is None:
            continue
        flag = _WORDS.get(str(cell).strip().lower())
        if flag is None:
            raise rows.refuse(column, row, f"{shown(cell)} is not one of: true, false, yes, no, 1, 0")
        result[row] = flag
    return result


def _encode_categories(
    rows: TableRows, columns: tuple[str, ...], default: str = "unknown"
) -> tuple[Array, tuple[str, ...]]:
    """Which of the different texts each row has; several columns together make one text.

    ``default`` is the text of a cell without one.
    """
    given = [column for column in columns if column in rows.columns]
    if not given:
        return np.zeros(rows.size, dtype=np.int16), ("all",)
    parts = [[_text(cell, default) for cell in _cells(rows, column)] for column in given]
    texts = [" / ".join(row) for row in zip(*parts, strict=True)]
    known = {text: index for index, text in enumerate(dict.fromkeys(texts))}
    if len(known) > np.iinfo(np.int16).max:
        raise FleetError(given[0], len(known), f"{rows.source}: column {given[0]!r} has {len(known)} different values")
    return np.array([known[text] for text in texts], dtype=np.int16), tuple(known)


def _text(cell: Any, default: str) -> str:
    return default if cell is None else str(cell).strip()


def _backhauls(rows: TableRows) -> tuple[Array, tuple[str, ...]]:
    if "backhaul" not in rows.columns:
        return np.zeros(rows.size, dtype=np.int16), (DEFAULT_BACKHAUL,)
    codes, known = _encode_categories(rows, ("backhaul",), DEFAULT_BACKHAUL)
    for index, name in enumerate(known):
        try:
            require_known_name("backhaul", name, BACKHAULS)
        except FleetError as error:
            raise rows.refuse("backhaul", int(np.flatnonzero(codes == index)[0]), str(error)) from error
    return codes, known


def _goodput(rows: TableRows, backhauls: list[str], position: Any) -> npt.NDArray[np.float64]:
    """Bytes a second."""
    medians = np.array([default_value(BACKHAULS[name]) for name in backhauls])
    spread = np.exp(ndtri(uniform(position, Stream.GOODPUT)) * default_value("goodput_sigma"))
    drawn_Mbps = medians * spread  # noqa: N806 -- a unit
    if "goodput_Mbps" in rows.columns:
        return _read_numbers(rows, "goodput_Mbps", drawn_Mbps, 1e-6, 1e6) * 1e6 / 8
    result: npt.NDArray[np.float64] = drawn_Mbps * 1e6 / 8
    return result
