"""Receive the segments of a CUPS response as a Basics Station does.

A response has up to six segments: an address and credentials for each of the two servers of a station (the CUPS server
and the TC server, which handles the LoRaWAN traffic), the signature of an update, and the update itself. Each kind of
segment has a receiver, which logs the segment and saves its content.

Source: Basics Station 2.0.6, cups.c and sys.c.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import Final

from lorafw.cups.credentials import Layout, layout, parse_credentials
from lorafw.cups.parser import Segment, SegmentBegin, SegmentData, SegmentEnd
from lorafw.errors import MalformedResponse
from lorafw.station.http import StationCrash
from lorafw.station.log import ExchangeLog, Level, credential_lines
from lorafw.station.storage import Storage
from lorafw.text import decode_lossless

_BYTES_SHOWN_BEFORE_PART: Final = 4
"""The log line about a certificate shows this number of bytes before it."""


class SegmentReceiver(ABC):
    """Receives one segment of a response. Call ``begin``, then ``receive`` for each piece of data, then ``end``.

    Args:
        label: The name of the segment in the station's log.
        log: The log of the exchange.
    """

    def __init__(self, label: str, log: ExchangeLog) -> None:
        self.is_received = False
        """Whether the station counts the segment as received."""
        self._label = label
        self._log = log
        self._content = bytearray()
        """The data of the segment so far."""

    def begin(self, length: int) -> None:
        """Log the length of the segment in bytes."""
        self._log.write(Level.INFO, f"[Segment] {self._label} ({length} bytes)")

    def receive(self, data: bytes) -> None:
        """Keep a piece of the content."""
        self._content += data

    @abstractmethod
    def end(self, length: int) -> None:
        """Save the content, which is complete now. ``length`` is its length in bytes."""


class UriReceiver(SegmentReceiver):
    """Receives the address of a server, and saves it to a temporary file.

    Args:
        label: The name of the segment in the station's log.
        log: The log of the exchange.
        storage: Where the station keeps its files.
        category: The server: ``cups`` or ``tc``.
    """

    def __init__(self, label: str, log: ExchangeLog, storage: Storage, category: str) -> None:
        super().__init__(label, log)
        self._storage = storage
        self._category = category

    def begin(self, length: int) -> None:
        """Log nothing. The station logs an address when it is complete."""

    def end(self, length: int) -> None:
        """Save the address, and log it."""
        # The station treats the content as a C string and does not validate it.
        text, _, _ = bytes(self._content).partition(b"\0")
        uri = decode_lossless(text)
        self._storage.save_uri(self._category, uri)
        self._log.write(Level.INFO, f"[Segment] {self._label}: {uri}")
        self.is_received = True


class CredentialsReceiver(SegmentReceiver):
    """Receives the credentials for a server, and saves them to temporary files.

    Args:
        label: The name of the segment in the station's log.
        log: The log of the exchange.
        storage: Where the station keeps its files.
        category: The server: ``cups`` or ``tc``.
        log_level: The level of the station's log. The station can crash while it writes an INFO line.
    """

    def __init__(self, label: str, log: ExchangeLog, storage: Storage, category: str, log_level: Level) -> None:
        super().__init__(label, log)
        self._storage = storage
        self._category = category
        self._log_level = log_level

    def begin(self, length: int) -> None:
        """Log the length of the segment in bytes. The station counts it as received from now on."""
        self.is_received = True
        super().begin(length)

    def end(self, length: int) -> None:
        """Save the credentials, or log why they cannot be parsed.

        Raises:
            StationCrash: The station crashes while it logs the positions of the parts.
        """
        content = bytes(self._content)
        try:
            self._log_layout(content, layout(content))
            self._storage.save_credentials(self._category, parse_credentials(content))
        except MalformedResponse as error:
            # The station writes an exclamation mark before this message, and a colon before all others.
            mark = "!" if str(error).startswith("Lengths do not align") else ":"
            self._log.write(Level.ERROR, f"Failed to parse {self._category} credentials{mark} {error}", "SYS")
        self._log.write(Level.INFO, f"[Segment] {self._label} update completed ({length} bytes)")

    def _log_layout(self, content: bytes, positions: Layout) -> None:
        """Log where each part begins. Raises StationCrash if the station crashes instead."""
        trust_line, certificate_line, key_line = credential_lines(content, positions)
        self._log.write(Level.INFO, trust_line, "SYS")
        check_bytes_before_certificate(positions, self._log_level)
        self._log.write(Level.INFO, certificate_line, "SYS")
        self._log.write(Level.INFO, key_line, "SYS")


def check_bytes_before_certificate(positions: Layout, log_level: Level) -> None:
    """Check that a station survives its log line about the certificate.

    The line shows the 4 bytes before the certificate. If the trust part, which comes first, is shorter than that,
    these bytes lie before the beginning of the segment.

    Args:
        positions: The offset and the length of each part of the credentials.
        log_level: The level of the station's log. The line has the level INFO.

    Raises:
        StationCrash: The station crashes.
    """
    certificate_offset, _ = positions.certificate
    _, trust_bytes = positions.trust
    is_line_written = log_level <= Level.INFO
    if is_line_written and certificate_offset < _BYTES_SHOWN_BEFORE_PART:
        raise StationCrash(
            "a Basics Station 2.0.6 crashes here (sys.c, sys_credComplete): the trust part of the credentials has "
            f"{trust_bytes} bytes, and the log line about the certificate shows the 4 bytes before it"
        )


class SignatureReceiver(SegmentReceiver):
    """Receives the signature of an update, and keeps it in memory until the update is complete."""

    def end(self, length: int) -> None:
        """Count the segment as received."""
        self.is_received = True

    @property
    def content(self) -> bytes | None:
        """The content of the segment, or None if the response has no signature."""
        if not self.is_received:
            return None
        return bytes(self._content)


class UpdateReceiver(SegmentReceiver):
    """Receives an update, and writes each piece to its file at once.

    Args:
        label: The name of the segment in the station's log.
        log: The log of the exchange.
        storage: Where the station keeps its files.
    """

    def __init__(self, label: str, log: ExchangeLog, storage: Storage) -> None:
        super().__init__(label, log)
        self._storage = storage
        self._digest = hashlib.sha512()

    @property
    def digest(self) -> bytes:
        """The SHA-512 of the update, with which its signature is verified."""
        return self._digest.digest()

    def begin(self, length: int) -> None:
        """Put the new addresses and credentials into force, and open the file for the update."""
        self._storage.commit_config()
        self._log.extend(self._storage.begin_update(length))
        super().begin(length)

    def receive(self, data: bytes) -> None:
        """Write a piece of the update to its file."""
        self._digest.update(data)
        self._log.extend(self._storage.write_update(data))

    def end(self, length: int) -> None:
        """Rename the file to update.bin, or log that the update could not be written."""
        if not self._storage.commit_update():
            self._log.write(Level.ERROR, f"[Segment] Update received ({length} bytes) but failed to write (ignored)")
            return
        self._log.write(Level.INFO, f"[Segment] Update committed ({length} bytes)")
        self.is_received = True


class ResponseSegments:
    """The six segments of one response.

    Args:
        storage: Where the station keeps its files.
        log: The log of the exchange.
        log_level: The level of the station's log.
    """

    def __init__(self, storage: Storage, log: ExchangeLog, log_level: Level) -> None:
        self.signature = SignatureReceiver("FW Signature", log)
        self.update = UpdateReceiver("FW Update", log, storage)
        self._receivers: dict[Segment, SegmentReceiver] = {
            Segment.CUPS_URI: UriReceiver("CUPS URI", log, storage, "cups"),
            Segment.TC_URI: UriReceiver("TC URI", log, storage, "tc"),
            Segment.CUPS_CRED: CredentialsReceiver("CUPS Credentials", log, storage, "cups", log_level),
            Segment.TC_CRED: CredentialsReceiver("TC Credentials", log, storage, "tc", log_level),
            Segment.SIGNATURE: self.signature,
            Segment.UPDATE: self.update,
        }

    def process(self, event: SegmentBegin | SegmentData | SegmentEnd) -> None:
        """Pass an event to the receiver of its segment.

        Raises:
            StationCrash: The station crashes while it processes the segment.
        """
        receiver = self._receivers[event.segment]
        match event:
            case SegmentBegin():
                receiver.begin(event.length)
            case SegmentData():
                receiver.receive(event.data)
            case SegmentEnd():
                receiver.end(event.length)

    @property
    def is_empty(self) -> bool:
        """Whether the station has received none of the segments."""
        return not any(receiver.is_received for receiver in self._receivers.values())

    @property
    def changed_part_of_cups(self) -> str | None:
        """What the response changed for the CUPS server: ``uri``, ``credentials``, or None if it changed neither."""
        return self._changed_part(Segment.CUPS_URI, Segment.CUPS_CRED)

    @property
    def changed_part_of_tc(self) -> str | None:
        """What the response changed for the TC server: ``uri``, ``credentials``, or None if it changed neither."""
        return self._changed_part(Segment.TC_URI, Segment.TC_CRED)

    def _changed_part(self, uri: Segment, credentials: Segment) -> str | None:
        """Return the part that a station names in its log. That is ``uri`` if the response changed both."""
        if self._receivers[uri].is_received:
            return "uri"
        if self._receivers[credentials].is_received:
            return "credentials"
        return None
