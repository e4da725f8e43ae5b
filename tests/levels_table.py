"""Write the table of import levels in CONTRIBUTING.md from LEVELS in tests/test_house.py.

.venv/bin/python tests/levels_table.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

CONTRIBUTING = Path(__file__).parent.parent / "CONTRIBUTING.md"
MAY_USE = {
    5: "everything below",
    4: "levels 0 to 3",
    3: "levels 0 to 2, sockets, files, aiohttp, boto3, moto",
    2: "levels 0 and 1, NumPy, SciPy; no I/O",
    1: "level 0, cryptography",
    0: "the standard library",
}
_TABLE = re.compile(r"^\| level \|.*\n(?:\|.*\n)+", re.MULTILINE)


def levels_table(levels: Mapping[int, tuple[str, ...]]) -> str:
    """Return the table: the highest level first, the packages of a level in alphabetical order."""
    lines = ["| level | packages | may use |", "|---|---|---|"]
    for level in sorted(levels, reverse=True):
        packages = ", ".join(f"`{package}`" for package in sorted(levels[level]) if package != "__main__")
        lines.append(f"| {level} | {packages} | {MAY_USE[level]} |")
    return "\n".join(lines) + "\n"


def table_in(text: str) -> str:
    """Return the table that a text contains.

    Raises:
        LookupError: The text contains no table of levels.
    """
    found = _TABLE.search(text)
    if found is None:
        raise LookupError("there is no table of levels")
    return found[0]


def main() -> None:
    """Write the table into CONTRIBUTING.md."""
    from test_house import LEVELS

    text = CONTRIBUTING.read_text()
    CONTRIBUTING.write_text(text.replace(table_in(text), levels_table(LEVELS)))


if __name__ == "__main__":
    main()
