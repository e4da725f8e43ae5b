"""CSV files of gateways: bounded lines of UTF-8 text become columns, or an error that names the line.

Spreadsheets and asset systems write CSV in several encodings and with columns of their own. What cannot be read is
refused with the line and the remedy; nothing is guessed.
"""

from __future__ import annotations

import csv
import io
from array import array
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

from lorafw.errors import FleetError
from lorafw.fleet._validation import shown
from lorafw.fleet.conditions import Conditions
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.io.columns import TableRows, fleet_from_rows

LONGEST_LINE: Final = 64 * 1024
"""Bytes of a line. A gateway takes a hundred."""

MOST_COLUMNS: Final = 500

_BYTE_ORDER_MARKS: Final = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x00\x00\xfe\xff": "UTF-32"}
_UTF8_MARK: Final = b"\xef\xbb\xbf"
_REMEDY: Final = "save it as 'CSV UTF-8', or convert it with iconv"


def read_csv(
    path: Path | str,
    *,
    seed: int = 0,
    conditions: Conditions | None = None,
    ignore_unknown: bool = False,
    fill_empty: bool = False,
) -> Fleet:
    """Read a fleet from a CSV file in UTF-8 with a header line.

    Args:
        path: The file. ``tables.COLUMNS`` says which columns it may have.
        seed: The luck that draws what the table leaves out.
        conditions: What goes wrong in this fleet; the typical conditions if None.
        ignore_unknown: Leave out columns that lorafw does not know, as an asset export has them.
        fill_empty: Give an empty cell what the whole column would have if it were left out.

    Raises:
        FleetError: The file is not such a table. The message names the line.
        OSError: The file cannot be opened.
    """
    path = Path(path)
    with path.open("rb") as file:
        columns, lines = _read_columns(path, file)
    rows = TableRows(columns, len(lines), str(path), lambda row: f"line {lines[row]}", fill_empty)
    return fleet_from_rows(rows, seed=seed, conditions=conditions, ignore_unknown=ignore_unknown)


def _read_columns(path: Path, file: BinaryIO) -> tuple[dict[str, list[str]], array[int]]:
    """Return the cells by column, and the line of each row."""
    reader = csv.reader(_text_lines(path, file), strict=True)
    lines = array("q")  # not a list: a file of short lines has many
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(path, header)
        columns: list[list[str]] = [[] for _ in header]
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                problem = f"line {reader.line_num} has {len(row)} values; the header has {len(header)}"
                raise FleetError("row", reader.line_num, f"{path}: {problem}")
            lines.append(reader.line_num)
            for cells, cell in zip(columns, row, strict=True):
                cells.append(cell)
    except csv.Error as error:
        _refuse(path, reader.line_num, str(error))
    return dict(zip(header, columns, strict=True)), lines


def _text_lines(path: Path, file: BinaryIO) -> Iterator[str]:
    """Yield the lines of a UTF-8 file, each of bounded length."""
    for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE + 1), b""), 1):
        if len(line) > LONGEST_LINE:
            _refuse(path, number, f"it is longer than {LONGEST_LINE} bytes; this is no table of gateways")
        if number == 1:
            _check_encoding(path, line)
        try:
            text = line.removeprefix(_UTF8_MARK).decode() if number == 1 else line.decode()
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            _refuse(path, number, f"the byte 0x{byte:02x} is not UTF-8 (Latin-1 or Windows-1252?); {_REMEDY}")
        if "\r" in text:
            # A line of an old Macintosh file ends with a carriage return alone; csv wants each as a line of its own.
            yield from io.StringIO(text, newline="")
        else:
            yield text


def _check_encoding(path: Path, line: bytes) -> None:
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if line.startswith(mark):
            _refuse(path, 1, f"the file is {encoding}, not UTF-8; {_REMEDY}")
    if b"\x00" in line[:64]:
        _refuse(path, 1, f"there are NUL bytes, so the file is UTF-16 or no text at all; {_REMEDY}")


def _refuse(path: Path, line: int, problem: str) -> NoReturn:
    raise FleetError("csv", line, f"{path}: line {line}: {problem}") from None


def _check_header(path: Path, header: list[str]) -> None:
    if not header:
        raise FleetError("csv", 0, f"{path}: the file is empty; its first line names the columns")
    if len(header) > MOST_COLUMNS:
        raise FleetError("column", len(header), f"{path}: there are {len(header)} columns; at most {MOST_COLUMNS}")
    if len(header) == 1 and (other := next((sign for sign in ";\t|" if sign in header[0]), None)):
        raise FleetError(
            "delimiter", other, f"{path}: the columns are divided by {other!r}; give a file with commas between them"
        )
    twice = sorted(name for name, count in Counter(header).items() if count > 1)
    if twice:
        raise FleetError("column", twice, f"{path}: column {shown(twice[0])} is there twice")
