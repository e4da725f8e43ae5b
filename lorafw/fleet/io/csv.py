"""Read a fleet from a CSV file.

Spreadsheets and asset systems write CSV in several encodings and with columns of their own. The encoding is not
guessed: a file that is not UTF-8 is refused with an error that names the line and the remedy. Lines are read one by
one and have a bounded length.
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
"""The largest number of bytes in a line. A gateway takes about a hundred."""

MOST_COLUMNS: Final = 500
"""The largest number of columns."""

_BYTE_ORDER_MARKS: Final = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x00\x00\xfe\xff": "UTF-32"}
_UTF8_MARK: Final = b"\xef\xbb\xbf"
_NUL_SEARCH_BYTES: Final = 64
"""Bytes at the beginning that are searched for NUL, which UTF-16 without a byte order mark contains."""
_OTHER_DELIMITERS: Final = ";\t|"
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
        path: The file. COLUMNS in ``fleet.io.columns`` lists the columns that it may have.
        seed: The seed of the random values for missing columns and cells.
        conditions: The faults and delays of this fleet. None for the typical conditions.
        ignore_unknown: Ignore columns that are not in COLUMNS. The export of an asset system has such columns.
        fill_empty: Give an empty cell the default of its column, instead of raising an error.

    Returns:
        The fleet.

    Raises:
        FleetError: The file is not such a table. The message names the line.
        OSError: The file cannot be opened.
    """
    path = Path(path)
    with path.open("rb") as file:
        columns, lines = _read_columns(path, file)

    def row_label(row: int) -> str:
        """Return the line of the file that a row comes from."""
        return f"line {lines[row]}"

    rows = TableRows(columns, len(lines), str(path), row_label, fill_empty)
    return fleet_from_rows(rows, seed=seed, conditions=conditions, ignore_unknown=ignore_unknown)


def _read_columns(path: Path, file: BinaryIO) -> tuple[dict[str, list[str]], array[int]]:
    """Read the table of a CSV file.

    Returns:
        The cells of each column, by the name of the column, and the line number of each row.

    Raises:
        FleetError: The file is not a table with a header.
    """
    reader = csv.reader(_text_lines(path, file), strict=True)
    # A file can have many millions of short lines. An array takes less memory for their numbers than a list.
    lines = array("q")
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(path, header)
        columns: list[list[str]] = [[] for _ in header]
        for row in reader:
            is_blank_line = not row
            if is_blank_line:
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
            line = line.removeprefix(_UTF8_MARK)  # noqa: PLW2901
        text = _decode_line(path, number, line)
        if "\r" in text:
            # In an old Macintosh file each line ends with a carriage return alone. csv needs them one by one.
            yield from io.StringIO(text, newline="")
        else:
            yield text


def _decode_line(path: Path, number: int, line: bytes) -> str:
    """Decode a line as UTF-8, or raise the error of its first wrong byte."""
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        _refuse(path, number, f"the byte 0x{byte:02x} is not UTF-8 (Latin-1 or Windows-1252?); {_REMEDY}")


def _check_encoding(path: Path, line: bytes) -> None:
    """Refuse a file whose first line is UTF-16 or UTF-32, or not text."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if line.startswith(mark):
            _refuse(path, 1, f"the file is {encoding}, not UTF-8; {_REMEDY}")
    if b"\x00" in line[:_NUL_SEARCH_BYTES]:
        _refuse(path, 1, f"there are NUL bytes, so the file is UTF-16 or no text at all; {_REMEDY}")


def _refuse(path: Path, line: int, problem: str) -> NoReturn:
    """Raise the error for a line."""
    raise FleetError("csv", line, f"{path}: line {line}: {problem}") from None


def _check_header(path: Path, header: list[str]) -> None:
    """Check the names of the columns: at least one, not too many, separated by commas, and none twice."""
    if not header:
        raise FleetError("csv", 0, f"{path}: the file is empty; its first line names the columns")
    if len(header) > MOST_COLUMNS:
        raise FleetError("column", len(header), f"{path}: there are {len(header)} columns; at most {MOST_COLUMNS}")
    delimiters = [delimiter for delimiter in _OTHER_DELIMITERS if delimiter in header[0]]
    if len(header) == 1 and delimiters:
        problem = f"the columns are divided by {delimiters[0]!r}; give a file with commas between them"
        raise FleetError("delimiter", delimiters[0], f"{path}: {problem}")
    duplicates = sorted(name for name, count in Counter(header).items() if count > 1)
    if duplicates:
        raise FleetError("column", duplicates, f"{path}: column {shown(duplicates[0])} is there twice")
