"""Where fleets meet files and accounts: CSV and TOML in, Parquet out and in, gateways of an AWS account.

Everything is read whole and checked before anything is made of it; a file that cannot be read leaves nothing behind,
and one that is written appears whole or not at all.
"""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from lorafw.atomic import open_atomic
from lorafw.errors import FleetError
from lorafw.fleet.codes import CAUSES, FAULTS, STATUSES
from lorafw.fleet.documents import check_tables, fleet_of, plan_of
from lorafw.fleet.fleet import Conditions, Fleet
from lorafw.fleet.plan import Plan
from lorafw.fleet.result import Result
from lorafw.fleet.rows import DTYPES, Events
from lorafw.fleet.tables import Rows, fleet_from_rows

T = TypeVar("T")

LARGEST_DOCUMENT: Final = 1 << 20
"""Bytes of a TOML file: a plan is a page of text."""


def read_csv(path: Path | str, *, seed: int = 0, conditions: Conditions | None = None) -> Fleet:
    """A fleet from a CSV file with a header line; ``tables.COLUMNS`` says which columns. Raises FleetError, OSError."""
    path = Path(path)
    lines: list[int] = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header)
            cells: list[list[str]] = []
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    problem = f"line {reader.line_num} has {len(row)} values; the header has {len(header)}"
                    raise FleetError("row", reader.line_num, f"{path}: {problem}")
                lines.append(reader.line_num)
                cells.append(row)
        except (csv.Error, UnicodeDecodeError) as error:
            raise FleetError("csv", reader.line_num + 1, f"{path}: line {reader.line_num + 1}: {error}") from error
    columns = {name: [row[place] for row in cells] for place, name in enumerate(header)}
    rows = Rows(columns, len(cells), str(path), lambda row: f"line {lines[row]}")
    return fleet_from_rows(rows, seed=seed, conditions=conditions)


def _check_header(path: Path, header: list[str]) -> None:
    if not header:
        raise FleetError("csv", 0, f"{path}: the file is empty; its first line names the columns")
    if len(header) == 1 and (other := next((sign for sign in ";\t|" if sign in header[0]), None)):
        raise FleetError(
            "delimiter", other, f"{path}: the columns are divided by {other!r}; give a file with commas between them"
        )
    twice = {name for name in header if header.count(name) > 1}
    if twice:
        raise FleetError("column", sorted(twice), f"{path}: column {sorted(twice)[0]!r} is there twice")


def read_document(path: Path | str) -> dict[str, Any]:
    """The tables of a TOML file, ``fleet`` or ``plan`` or both. Raises FleetError, OSError."""
    path = Path(path)
    with path.open("rb") as file:
        content = file.read(LARGEST_DOCUMENT + 1)
    if len(content) > LARGEST_DOCUMENT:
        raise FleetError("toml", len(content), f"{path}: more than {LARGEST_DOCUMENT} bytes are no plan")
    try:
        document = tomllib.loads(content.decode())
        check_tables(document)
        return document
    except FleetError as error:
        raise FleetError(error.field, error.value, f"{path}: {error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FleetError("toml", str(path), f"{path}: not TOML: {error}") from error


def read_plan(path: Path | str) -> Plan:
    """The plan of a TOML file. Raises FleetError, OSError."""
    return _of_file(path, plan_of)


def read_fleet(path: Path | str, *, gateways: int | None = None) -> Fleet:
    """The fleet of a TOML file; ``gateways`` replaces the number there. Raises FleetError, OSError."""
    return _of_file(path, lambda document: fleet_of(document, gateways=gateways))


def _of_file(path: Path | str, make: Callable[[Mapping[str, Any]], T]) -> T:
    document = read_document(path)
    try:
        return make(document)
    except FleetError as error:
        raise FleetError(error.field, error.value, f"{path}: {error}") from error


METADATA: Final = b"lorafw"
_WORDS: Final = {
    "from_status": [str(status) for status in STATUSES],
    "to_status": [str(status) for status in STATUSES],
    "cause": [str(cause) for cause in CAUSES],
    "fault": [fault.value for fault in FAULTS],
}


def write_parquet(result: Result, path: Path | str, replication: int = 0) -> int:
    """The log of one replication as Parquet: words as dictionaries, and what it came from in the file's metadata.

    Gives the number of rows. Needs pyarrow. Raises FleetError, OSError.
    """
    parquet = load_pyarrow()
    path = Path(path)
    table = _arrow(result.log(replication)).replace_schema_metadata({METADATA: json.dumps(origin(result, replication))})
    with open_atomic(path) as file:
        parquet.write_table(table, file)
    return len(table)


def read_parquet(path: Path | str) -> tuple[Events, dict[str, Any]]:
    """The log that ``write_parquet`` wrote, and what it came from. Raises FleetError, OSError."""
    parquet = load_pyarrow()
    try:
        table = parquet.read_table(path)
    except ValueError as error:  # pyarrow.ArrowInvalid is one
        raise FleetError("parquet", str(path), f"{path}: {error}") from error
    metadata = table.schema.metadata or {}
    if METADATA not in metadata or table.column_names != list(DTYPES):
        raise FleetError("parquet", table.column_names, f"{path}: this is no log that lorafw wrote")
    columns = {name: _codes(name, table[name].combine_chunks()) for name in DTYPES}
    return Events(**columns), json.loads(metadata[METADATA])


def origin(result: Result, replication: int = 0) -> dict[str, Any]:
    """What a result came from, as plain values: version, seed, plan, assumptions."""
    return {
        "version": result.version,
        "seed": result.seed,
        "replication": replication,
        "gateways": result.fleet.size,
        "plan": asdict(result.plan),
        "assumptions": [list(row) for row in result.assumptions()],
    }


def load_pyarrow() -> Any:
    """pyarrow.parquet. Raises FleetError where it is not installed."""
    try:
        import pyarrow.parquet  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError as error:
        raise FleetError("parquet", None, "Parquet needs pyarrow: pip install 'lorafw[lab]'") from error
    return pyarrow.parquet


def _arrow(log: Events) -> Any:
    """The log as a pyarrow Table."""
    import pyarrow as pa  # noqa: PLC0415

    columns = {}
    for name in DTYPES:
        values = getattr(log, name)
        if name in _WORDS:
            words = _WORDS[name]
            indices = pa.array(values, mask=values >= len(words))
            columns[name] = pa.DictionaryArray.from_arrays(indices, pa.array(words))
        else:
            columns[name] = pa.array(values)
    return pa.table(columns)


def _codes(name: str, column: Any) -> Any:
    if name not in _WORDS:
        return column.to_numpy(zero_copy_only=False).astype(DTYPES[name])
    # A writer may have put the words into another order: they are looked up, and null is "no task".
    words, known = column.dictionary.to_pylist(), _WORDS[name]
    codes = np.array([*map(known.index, words), len(known)], dtype=np.uint8)
    indices = column.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
    return codes[indices]
