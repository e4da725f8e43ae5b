"""How far the clock of this machine is ahead of the dates in the answers of AWS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from lorafw.rollout.observations import ClockCompared


class AnswerDates:
    """Compares the clock of this machine with the date of each answer of AWS, and keeps the last comparison.

    Args:
        now_ms: Returns the time of this machine, in milliseconds since 1970 UTC. None to compare nothing, because the
            clock is simulated.
    """

    def __init__(self, now_ms: Callable[[], int] | None = None) -> None:
        self._now_ms = now_ms
        self._last_comparison: ClockCompared | None = None

    def note(self, answer: Mapping[str, Any]) -> None:
        """Compare the clock with the date of an answer. An error of AWS is an answer too."""
        if self._now_ms is None:
            return
        date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if date is None:
            return
        date_ms = round(parsedate_to_datetime(date).timestamp() * 1000)
        self._last_comparison = ClockCompared(ahead_ms=self._now_ms() - date_ms)

    def take_comparison(self) -> ClockCompared | None:
        """Return the last comparison, and forget it. None if no answer with a date has come since the last call."""
        comparison = self._last_comparison
        self._last_comparison = None
        return comparison
