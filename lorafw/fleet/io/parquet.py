"""Write the task log of a rollout as Parquet, and read it back. Needs pyarrow.

The metadata of the file says what the log came from: version, seed, plan and assumptions. A file is written as a whole
or not at all, and it is checked before it is read.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from lorafw.atomic import open_atomic
from lorafw.errors import FleetError
from lorafw.fleet._validation import shown
from lorafw.fleet.io.toml import shown_error
from lorafw.fleet.result import Result
from lorafw.fleet.simulation.codes import CAUSES, FAULTS, STATUSES
from lorafw.fleet.simulation.event_log import DTYPES, EventLog

METADATA: Final = b"lorafw"
"""The key of the file's metadata that says what the log came from, as JSON."""

_STATUS_LABELS: Final = [str(status) for status in STATUSES]
_CATEGORY_LABELS: Final = {
    "from_status": _STATUS_LABELS,
    "to_status": _STATUS_LABELS,
    "cause": [str(cause) for cause in CAUSES],
    "fault": [fault.value for fault in FAULTS],
}
"""The columns that hold codes, and the text of each code. In the file they are dictionary columns."""

_ARROW_ERRORS: Final = (ValueError, OSError, NotImplementedError, TypeError, KeyError, IndexError, RecursionError)
"""What pyarrow and json raise for a broken file. pyarrow.ArrowInvalid is a ValueError."""


def write_parquet(result: Result, path: Path | str, replication: int = 0) -> int:
    """Write the task log of one replication to a Parquet file. Replaces the file if it exists.

    Args:
        result: The result of a simulation.
        path: The file.
        replication: The number of the replication.

    Returns:
        The number of rows.

    Raises:
        FleetError: pyarrow is not installed.
        OSError: The file cannot be written.
    """
    parquet = load_pyarrow()
    metadata = {METADATA: json.dumps(provenance(result, replication))}
    table = _to_arrow_table(result.log(replication)).replace_schema_metadata(metadata)
    with open_atomic(Path(path)) as file:
        parquet.write_table(table, file)
    return len(table)


def read_parquet(path: Path | str) -> tuple[EventLog, dict[str, Any]]:
    """Read a task log that ``write_parquet`` wrote.

    Args:
        path: The file.

    Returns:
        The log, and what it came from: the mapping that ``provenance`` returned when the file was written.

    Raises:
        FleetError: The file is not such a log, or pyarrow is not installed.
        OSError: The file cannot be opened.
    """
    parquet = load_pyarrow()
    path = Path(path)
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        try:
            return _read_log(parquet, file, size_bytes)
        except FleetError as error:
            raise FleetError(error.field, error.value, f"{path}: {error}") from error
        except _ARROW_ERRORS as error:
            raise FleetError("parquet", str(path), f"{path}: {shown_error(error)}") from error


def _read_log(parquet: Any, file: BinaryIO, size_bytes: int) -> tuple[EventLog, dict[str, Any]]:
    """Check the metadata of a Parquet file, and read the log and what it came from."""
    parquet_file = parquet.ParquetFile(
        file, thrift_string_size_limit=size_bytes, thrift_container_size_limit=size_bytes
    )
    schema, row_count = parquet_file.schema_arrow, parquet_file.metadata.num_rows
    metadata = schema.metadata or {}
    if METADATA not in metadata or schema.names != list(DTYPES):
        raise FleetError("parquet", shown(schema.names), "this is no log that lorafw wrote")
    if not all(_has_written_type(name, schema.field(name).type) for name in DTYPES):
        raise FleetError("parquet", None, "its columns have other types than those that lorafw writes")
    # A real log takes more than a byte per row. A file that claims more rows than bytes would fill the memory.
    if row_count > size_bytes:
        raise FleetError("parquet", row_count, f"it claims {row_count} rows in {size_bytes} bytes")
    log_provenance = json.loads(metadata[METADATA])
    table = parquet_file.read()
    columns = {name: _decode_column(name, table[name].combine_chunks()) for name in DTYPES}
    return EventLog(**columns), log_provenance


def _has_written_type(name: str, arrow_type: Any) -> bool:
    """Return whether a column has the type that ``write_parquet`` gives it."""
    import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415

    if name in _CATEGORY_LABELS:
        return bool(pa.types.is_dictionary(arrow_type) and pa.types.is_string(arrow_type.value_type))
    return bool(arrow_type == pa.from_numpy_dtype(DTYPES[name]))


def provenance(result: Result, replication: int = 0) -> dict[str, Any]:
    """Return what a result came from, as plain values for JSON.

    Args:
        result: The result of a simulation.
        replication: The number of the replication.

    Returns:
        The version of lorafw, the seed, the replication, the number of gateways, the plan and the assumptions.
    """
    return {
        "version": result.version,
        "seed": result.seed,
        "replication": replication,
        "gateways": result.fleet.size,
        "plan": asdict(result.plan),
        "assumptions": [list(row) for row in result.assumptions()],
    }


def load_pyarrow() -> Any:
    """Import pyarrow.parquet and return it.

    Raises:
        FleetError: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError as error:
        raise FleetError("parquet", None, "Parquet needs pyarrow: pip install 'lorafw[lab]'") from error
    return pyarrow.parquet


def _to_arrow_table(log: EventLog) -> Any:
    """Return the log as a pyarrow Table. Columns of codes become dictionary columns, with null for "no task"."""
    import pyarrow as pa  # noqa: PLC0415

    columns = {}
    for name in DTYPES:
        values = getattr(log, name)
        labels = _CATEGORY_LABELS.get(name)
        if labels is None:
            columns[name] = pa.array(values)
        else:
            codes = pa.array(values, mask=values >= len(labels))
            columns[name] = pa.DictionaryArray.from_arrays(codes, pa.array(labels))
    return pa.table(columns)


def _decode_column(name: str, column: Any) -> Any:
    """Return a pyarrow column as the array that EventLog has."""
    if name in _CATEGORY_LABELS:
        return _decode_categories(name, column)
    if column.null_count:
        raise FleetError(name, None, f"column {name!r} has {column.null_count} rows without a value")
    return column.to_numpy(zero_copy_only=False).astype(DTYPES[name])


def _decode_categories(name: str, column: Any) -> Any:
    """Return the codes of a dictionary column. Null stands for "no task"."""
    file_labels, labels = column.dictionary.to_pylist(), _CATEGORY_LABELS[name]
    for label in file_labels:
        if label not in labels:
            raise FleetError(name, label, f"column {name!r} holds {shown(label)}; known: {', '.join(labels)}")
    # Another writer may have put the labels into another order, so each index of the file is translated to our code.
    no_task = len(labels)
    codes = np.array([*map(labels.index, file_labels), no_task], dtype=np.uint8)
    file_indices = column.indices.fill_null(len(file_labels)).to_numpy(zero_copy_only=False)
    return codes[file_indices]
