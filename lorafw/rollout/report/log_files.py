"""The task log of a rollout as CSV and as Parquet, with the columns of the simulator's log.

``time`` is in milliseconds since ``apply`` first started, and ``gateway`` is the gateway's id. The simulator also has
the column ``fault``, which nobody can know about a real gateway.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from lorafw.atomic import open_atomic, write_atomic
from lorafw.clock import format_iso
from lorafw.fleet.io.parquet import METADATA, load_pyarrow
from lorafw.rollout.report.report import Report

COLUMNS: Final = ("time", "gateway", "attempt", "from_status", "to_status", "cause")


def write_csv(report: Report, path: Path | str) -> int:
    """Write the task log to a CSV file, as a whole or not at all.

    Args:
        report: The report.
        path: The file. An existing one is replaced.

    Returns:
        The number of rows.

    Raises:
        OSError: The file cannot be written.
    """
    content = io.StringIO(newline="")
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(report))
    write_atomic(Path(path), content.getvalue())
    return len(report.log)


def write_parquet(report: Report, path: Path | str) -> int:
    """Write the task log to a Parquet file, as a whole or not at all.

    The metadata of the file say which plan it is about and when it started.

    Args:
        report: The report.
        path: The file. An existing one is replaced.

    Returns:
        The number of rows.

    Raises:
        FleetError: pyarrow is not installed.
        OSError: The file cannot be written.
    """
    parquet = load_pyarrow()
    metadata = {METADATA: json.dumps(_provenance(report))}
    table = _to_arrow_table(report).replace_schema_metadata(metadata)
    with open_atomic(Path(path)) as file:
        parquet.write_table(table, file)
    return len(table)


def _rows(report: Report) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of the log. A task that does not exist has no status."""
    started_ms = report.started_ms or 0
    for row in report.log:
        yield row.time_ms - started_ms, row.gateway, row.attempt, row.from_status, row.to_status, row.cause


def _to_arrow_table(report: Report) -> Any:
    """Return the log as a pyarrow Table. Statuses and causes are dictionary columns, as in the simulator's file."""
    import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415 -- takes a fifth of a second

    category = pa.dictionary(pa.int8(), pa.string())
    types = (pa.int64(), pa.string(), pa.uint8(), category, category, category)
    schema = pa.schema(list(zip(COLUMNS, types, strict=True)))
    return pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in _rows(report)], schema=schema)


def _provenance(report: Report) -> dict[str, Any]:
    """Return what the log came from, as plain values for JSON."""
    document = report.document
    names = ("name", "plan", "target", "gateways", "state")
    started = format_iso(report.started_ms) if report.started_ms is not None else None
    return {**{name: document[name] for name in names}, "started": started}
