"""The task log of a rollout as tables: the number of gateways in each status over time, and a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lorafw.errors import FleetError
from lorafw.fleet.simulation.codes import CAUSES, FAULTS, NO_TASK, STATUSES
from lorafw.fleet.simulation.event_log import EventLog

if TYPE_CHECKING:
    import pandas as pd


def count_statuses(log: EventLog, gateways: int, times_ms: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.int64]]:
    """Count the gateways in each status at certain times.

    Args:
        log: The log of one replication.
        gateways: The number of gateways in the fleet.
        times_ms: Times in milliseconds since the start of the rollout.

    Returns:
        For each status an array with one count for each time. The key "none" counts gateways without a task.
    """
    counts = {}
    is_transition = log.from_status != log.to_status
    for code, name in enumerate([*map(str, STATUSES), "none"]):
        entered_ms = np.sort(log.time[is_transition & (log.to_status == code)])
        left_ms = np.sort(log.time[is_transition & (log.from_status == code)])
        # At first no gateway has a task.
        initial_count = gateways if code == NO_TASK else 0
        entered_count = np.searchsorted(entered_ms, times_ms, "right")
        left_count = np.searchsorted(left_ms, times_ms, "right")
        counts[name] = initial_count + entered_count - left_count
    return counts


def to_dataframe(log: EventLog) -> pd.DataFrame:
    """Return a log as a pandas DataFrame, with categories for statuses, causes and faults.

    Args:
        log: The log.

    Raises:
        FleetError: pandas is not installed.
    """
    try:
        import pandas as pd  # noqa: PLC0415 -- not everybody has it
    except ImportError as error:
        raise FleetError("pandas", None, "to_dataframe needs pandas: pip install 'lorafw[lab]'") from error

    def as_categories(codes: npt.NDArray[Any], names: Sequence[str]) -> pd.Categorical:
        """Return codes as names. A code without a name becomes a missing value."""
        has_name = codes < len(names)
        codes_or_missing = np.where(has_name, codes.astype(np.int16), -1)
        return pd.Categorical.from_codes(codes_or_missing, categories=names)

    statuses = [str(status) for status in STATUSES]
    causes = [str(cause) for cause in CAUSES]
    faults = [fault.value for fault in FAULTS]
    return pd.DataFrame(
        {
            "time": log.time,
            "gateway": log.gateway,
            "attempt": log.attempt,
            "from_status": as_categories(log.from_status, statuses),
            "to_status": as_categories(log.to_status, statuses),
            "cause": as_categories(log.cause, causes),
            "fault": as_categories(log.fault, faults),
        }
    )
