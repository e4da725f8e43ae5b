"""Where fleets meet files and accounts: CSV and TOML in, Parquet out and in, gateways of an AWS account.

Everything is read whole and checked before anything is made of it; a file that cannot be read leaves nothing behind,
and one that is written appears whole or not at all.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

import numpy as np

from lorafw.atomic import open_atomic
from lorafw.errors import FleetError
from lorafw.fleet._validation import shown
from lorafw.fleet.io.csv import read_csv as read_csv  # noqa: PLC0414 -- exported here as well
from lorafw.fleet.io.toml import shown_error
from lorafw.fleet.result import Result
from lorafw.fleet.simulation.codes import CAUSES, FAULTS, STATUSES
from lorafw.fleet.simulation.event_log import DTYPES, EventLog

T = TypeVar("T")


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


def read_parquet(path: Path | str) -> tuple[EventLog, dict[str, Any]]:
    """The log that ``write_parquet`` wrote, and what it came from. Raises FleetError, OSError."""
    parquet = load_pyarrow()
    path = Path(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        try:
            return _read_log(parquet, file, size)
        except FleetError as error:
            raise FleetError(error.field, error.value, f"{path}: {error}") from error
        except _ARROW_ERRORS as error:
            raise FleetError("parquet", str(path), f"{path}: {shown_error(error)}") from error


_ARROW_ERRORS: Final = (ValueError, OSError, NotImplementedError, TypeError, KeyError, IndexError, RecursionError)
"""What pyarrow and json raise for a broken file; pyarrow.ArrowInvalid is a ValueError."""


def _read_log(parquet: Any, file: BinaryIO, size: int) -> tuple[EventLog, dict[str, Any]]:
    """Read the log from a file of ``size`` bytes, after its head has been checked."""
    found = parquet.ParquetFile(file, thrift_string_size_limit=size, thrift_container_size_limit=size)
    schema, rows = found.schema_arrow, found.metadata.num_rows
    metadata = schema.metadata or {}
    if METADATA not in metadata or schema.names != list(DTYPES):
        raise FleetError("parquet", shown(schema.names), "this is no log that lorafw wrote")
    if not all(_is_as_written(name, schema.field(name).type) for name in DTYPES):
        raise FleetError("parquet", None, "its columns have other types than those that lorafw writes")
    # Names and times of a real log take more than a byte a row; a file that claims more rows would fill the memory.
    if rows > size:
        raise FleetError("parquet", rows, f"it claims {rows} rows in {size} bytes")
    origin_of_log = json.loads(metadata[METADATA])
    table = found.read()
    columns = {name: _decode_categories(name, table[name].combine_chunks()) for name in DTYPES}
    return EventLog(**columns), origin_of_log


def _is_as_written(name: str, found: Any) -> bool:
    import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415

    if name in _WORDS:
        return bool(pa.types.is_dictionary(found) and pa.types.is_string(found.value_type))
    return bool(found == pa.from_numpy_dtype(DTYPES[name]))


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


def _arrow(log: EventLog) -> Any:
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


def _decode_categories(name: str, column: Any) -> Any:
    if name not in _WORDS:
        if column.null_count:
            raise FleetError(name, None, f"column {name!r} has {column.null_count} rows without a value")
        return column.to_numpy(zero_copy_only=False).astype(DTYPES[name])
    # A writer may have put the words into another order: they are looked up, and null is "no task".
    words, known = column.dictionary.to_pylist(), _WORDS[name]
    for word in words:
        if word not in known:
            raise FleetError(name, word, f"column {name!r} holds {shown(word)}; known: {', '.join(known)}")
    codes = np.array([*map(known.index, words), len(known)], dtype=np.uint8)
    indices = column.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
    return codes[indices]
