"""Read fleets and plans from files and accounts, and write results.

Each reader reads a file whole and checks it before it builds anything. Each writer replaces its target only when the
new content is complete.
"""

from lorafw.fleet.io.columns import fleet_from_table
from lorafw.fleet.io.csv import read_csv
from lorafw.fleet.io.parquet import read_parquet, write_parquet
from lorafw.fleet.io.toml import read_document, read_fleet, read_plan
from lorafw.fleet.io.waves import write_waves

__all__ = [
    "fleet_from_table",
    "read_csv",
    "read_document",
    "read_fleet",
    "read_parquet",
    "read_plan",
    "write_parquet",
    "write_waves",
]
