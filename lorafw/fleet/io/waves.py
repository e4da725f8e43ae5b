"""Write the waves of a plan to a CSV file, for people who create the tasks with a script of their own."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Final

from lorafw.atomic import write_atomic
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Plan
from lorafw.fleet.schedule import schedule_waves

WAVE_COLUMNS: Final = ("wave", "gateway", "offset_s")
"""The columns: the number of the wave from 1, the gateway, and when its task is created after the wave has started."""


def write_waves(fleet: Fleet, plan: Plan, path: Path | str, *, seed: int = 0) -> int:
    """Write one line for each gateway: its wave, its name, and when its task is created.

    Args:
        fleet: The gateways.
        plan: The plan.
        path: The CSV file.
        seed: The seed of the simulation whose order is written.

    Returns:
        The number of gateways.

    Raises:
        FleetError: The waves do not fit the fleet.
        OSError: The file cannot be written.
    """
    names = fleet.names.get("number") or [str(number) for number in fleet.number.tolist()]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(WAVE_COLUMNS)
    for wave, schedule in enumerate(schedule_waves(fleet, plan, seed=seed), 1):
        for index, offset_ms in zip(schedule.gateway_index.tolist(), schedule.offsets_ms.tolist(), strict=True):
            writer.writerow((wave, names[index], offset_ms / 1000))
    write_atomic(Path(path), text.getvalue())
    return fleet.size
