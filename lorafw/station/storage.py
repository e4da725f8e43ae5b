"""The files of a station that a response of the CUPS server can change, as an interface.

``gateway.storage`` implements it with a home folder, and ``station.evaluation`` in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from lorafw.cups.credentials import Credentials
from lorafw.station.log import LogLine


class Storage(Protocol):
    """The files of a station that a response can change.

    In all methods, ``category`` is the server that a file is about: ``cups`` for the CUPS server, ``tc`` for the TC
    server, which handles the LoRaWAN traffic.
    """

    def reset_config(self) -> None:
        """Remove the temporary files that an earlier exchange left behind."""

    def save_uri(self, category: str, uri: str) -> None:
        """Write a URI to a temporary file."""

    def save_credentials(self, category: str, credentials: Credentials) -> None:
        """Write the trust, certificate and key to temporary files."""

    def commit_config(self) -> None:
        """Rename the temporary files to the regular ones, so that the station uses them from now on."""

    def begin_update(self, length: int) -> Iterable[LogLine]:
        """Open the file for the update. Return the lines that a station logs if that fails."""
        ...

    def write_update(self, data: bytes) -> Iterable[LogLine]:
        """Write more of the update. Return the lines that a station logs when writing fails for the first time."""
        ...

    def commit_update(self) -> bool:
        """Rename the file to update.bin. Return False if the update could not be written."""
        ...

    def discard_update(self) -> None:
        """Remove update.bin."""

    def run_update(self) -> Iterable[LogLine]:
        """Start update.bin as a background process. Return the lines that a station logs."""
        ...
