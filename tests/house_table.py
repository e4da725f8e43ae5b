"""Write the table of levels in CONTRIBUTING.md from LEVELS of tests/test_house.py.

.venv/bin/python tests/house_table.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

CONTRIBUTING = Path(__file__).parent.parent / "CONTRIBUTING.md"
MAY_USE = {
    5: "everything below",
    4: "everything below",
    3: "sockets, files, aiohttp, boto3, moto",
    2: "decisions, no I/O",
    1: "values",
    0: "the standard library",
}
_TABLE = re.compile(r"^\| level \|.*\n(?:\|.*\n)+", re.MULTILINE)


def house_table(levels: Mapping[int, tuple[str, ...]]) -> str:
    """Return the table: the highest level first, its rooms in the order of the alphabet."""
    lines = ["| level | rooms | may use |", "|---|---|---|"]
    for level in sorted(levels, reverse=True):
        rooms = ", ".join(f"`{room}`" for room in sorted(levels[level]))
        lines.append(f"| {level} | {rooms} | {MAY_USE[level]} |")
    return "\n".join(lines) + "\n"


def table_in(text: str) -> str:
    """Return the table as a text has it. Raises LookupError if there is none."""
    found = _TABLE.search(text)
    if found is None:
        raise LookupError("there is no table of levels")
    return found[0]


def main() -> None:
    """Write the table into CONTRIBUTING.md."""
    from test_house import LEVELS

    text = CONTRIBUTING.read_text()
    CONTRIBUTING.write_text(text.replace(table_in(text), house_table(LEVELS)))


if __name__ == "__main__":
    main()
