"""Which set of files a station connects with, after successes and failures.

A station has up to three sets of files: cups.* is the regular one, cups-bak.* its copy, and cups-boot.* what the
gateway was delivered with (source: Basics Station 2.0.6, cups.c).
"""

from __future__ import annotations

from typing import Final

from lorafw.station.exchange import ExchangeOutcome

FILE_SETS: Final = ("cups", "cups-bak", "cups-boot")
"""The names of the sets of files, in the order in which a station tries them."""

_FAILURES_BEFORE_SWITCH: Final = 6
"""After this number of failures in a row, each further failure switches to the next set of files."""


class RetryState:
    """The retry state of a station. A station that starts has no failures and uses the regular set of files."""

    def __init__(self) -> None:
        self._file_set_index = 0
        self._failures = 0

    @property
    def file_set(self) -> str:
        """The set of files for the next exchange."""
        return FILE_SETS[self._file_set_index]

    @property
    def file_set_label(self) -> str:
        """The name of this set of files in the station's log, such as ``CUPS-bak``."""
        return self.file_set.replace("cups", "CUPS")

    @property
    def is_regular(self) -> bool:
        """Whether the next exchange uses the regular set of files."""
        return self._file_set_index == 0

    @property
    def attempt(self) -> int:
        """The number of the next exchange since the last success, from 1."""
        return self._failures + 1

    def reset(self) -> None:
        """Forget all failures, and return to the regular set of files."""
        self._file_set_index = 0
        self._failures = 0

    def record(self, outcome: ExchangeOutcome, *, was_rejected: bool) -> None:
        """Record how an exchange ended, and choose the set of files for the next one.

        Args:
            outcome: How the exchange ended.
            was_rejected: Whether the server answered with an error.
        """
        if outcome is not ExchangeOutcome.FAILED:
            self.reset()
        elif was_rejected:
            self.record_unusable_files()
        else:
            self.record_failure()

    def record_failure(self) -> None:
        """Count a failed exchange. After several of them in a row, switch to the next set of files."""
        if self._failures > _FAILURES_BEFORE_SWITCH:
            self._switch_file_set()
        self._failures += 1

    def record_unusable_files(self) -> None:
        """Count a failed exchange, and switch to the next set of files because this one cannot be used."""
        self._switch_file_set()
        self._failures += 1

    def _switch_file_set(self) -> None:
        """Use the next set of files from now on. The regular set follows the last one."""
        self._file_set_index = (self._file_set_index + 1) % len(FILE_SETS)
