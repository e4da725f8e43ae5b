"""Predict what a Basics Station does with a response of a CUPS server.

This is a tool for people who write a CUPS server. It executes nothing and writes no file. The evaluation has the same
fields as the recordings of a real station in ``data/station-responses.json``. Its exit code is 143 if the station keeps
running until it is stopped from outside, and 139 if it crashes.

Some responses make the station log parts of its own request. An evaluation therefore always has a request: by default
that of a station whose server is ``localhost:34783``.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from lorafw.cups.codec import encode_request
from lorafw.cups.credentials import Credentials
from lorafw.cups.messages import NO_CREDENTIALS_CRC, UpdateInfoRequest
from lorafw.eui import GatewayEui
from lorafw.station.exchange import (
    DEFAULT_TIMERS,
    NOTE_MODULE,
    CupsExchange,
    ExchangeOutcome,
    ExchangeResult,
    Timers,
    UpdateAction,
    log_transport_error,
    take_reply,
)
from lorafw.station.http import (
    RESET,
    TIMED_OUT,
    ByteStream,
    HttpReply,
    ReceiveError,
    TransportError,
    read_reply,
    request_bytes,
    request_line,
)
from lorafw.station.launch import SCRIPT_HEAD_BYTES, exec_failure, launch_lines
from lorafw.station.log import Level, LogLine
from lorafw.text import encode_lossless

STOPPED: Final = 143
SEGFAULT: Final = 139
HOST_PORT: Final = "localhost:PORT"
SHOWN_URI: Final = f"http://{HOST_PORT}"
ASSUMED_REQUEST: Final = UpdateInfoRequest(
    GatewayEui(0x0011223344556677),
    cups_uri="http://localhost:34783",
    cups_cred_crc=NO_CREDENTIALS_CRC,
    tc_cred_crc=NO_CREDENTIALS_CRC,
    station="2.0.6(linux/std) 2021-03-12 09:03:20",
    model="linux",
    package="1.0.0",
)
"""The default request. ``evaluate_reply`` adds the CRCs of the station's keys to it."""


@dataclass(frozen=True, slots=True)
class ReplyEvaluation:
    """What a station does with one response."""

    exchange: ExchangeOutcome
    """How the exchange ends."""
    update: UpdateAction
    """What the station does with the update."""
    executed: bool
    """Whether the station starts the update."""
    key_results: tuple[tuple[int, str], ...]
    """For each key that was tried, its index and ``VERIFIED`` or ``NOT verified``."""
    tc_uri: str | None
    """The new tc.uri, or None if the response does not change it."""
    cups_uri_changed: bool
    """Whether the response changes cups.uri."""
    exit_code: int
    """``STOPPED``, or ``SEGFAULT`` if the station crashes."""
    log: tuple[LogLine, ...]
    """The station's log lines, at all levels."""
    remark: str | None = None
    """An explanation that the station does not log itself, such as the reason for a crash."""

    def to_json(self, level: Level = Level.INFO) -> dict[str, Any]:
        """Return the fields of a recording as JSON values, in the order of the recordings.

        Args:
            level: The lowest level of the log lines that are included.
        """
        return {
            "exchange": self.exchange.value,
            "update": self.update.value,
            "executed": self.executed,
            "key_results": [list(result) for result in self.key_results],
            "tc_uri": self.tc_uri,
            "cups_uri_changed": self.cups_uri_changed,
            "exit_code": self.exit_code,
            "log": [str(line) for line in self.log if line.level >= level],
        }


@dataclass(slots=True)
class InMemoryStorage:
    """A ``Storage`` that keeps the files of one exchange in memory, under their names in a home folder."""

    temporary: dict[str, bytes] = field(default_factory=dict)
    """Files that were received and not committed yet."""
    in_force: dict[str, bytes] = field(default_factory=dict)
    """Files that were committed."""
    update_head: bytes = b""
    """The first bytes of the update, which name the interpreter of a script."""
    executed: bool = False
    """Whether ``run_update`` was called."""

    def reset_config(self) -> None:
        """Remove the temporary files."""
        self.temporary.clear()

    def save_uri(self, category: str, uri: str) -> None:
        """Store a URI as a temporary file."""
        self.temporary[f"{category}.uri"] = encode_lossless(uri)

    def save_credentials(self, category: str, credentials: Credentials) -> None:
        """Store credentials as temporary files."""
        self.temporary[f"{category}.trust"] = credentials.trust
        self.temporary[f"{category}.crt"] = credentials.certificate
        self.temporary[f"{category}.key"] = credentials.key

    def commit_config(self) -> None:
        """Put the temporary files into force."""
        self.in_force |= self.temporary
        self.temporary.clear()

    def begin_update(self, length: int) -> Iterable[LogLine]:
        """Accept an update of any length."""
        return ()

    def write_update(self, data: bytes) -> Iterable[LogLine]:
        """Keep the first bytes of the update and drop the rest."""
        self.update_head += data[: SCRIPT_HEAD_BYTES - len(self.update_head)]
        return ()

    def commit_update(self) -> bool:
        """Return True: memory is never full."""
        return True

    def discard_update(self) -> None:
        """Do nothing, because the update was not stored."""

    def run_update(self) -> Iterable[LogLine]:
        """Record that the update would run. Return the lines that a station logs."""
        self.executed = True
        return launch_lines("N", exec_failure(self.update_head))


class _BytesStream:
    """A ``ByteStream`` over bytes in memory.

    After the last byte, ``read`` raises ``end``. If ``end`` is None, it returns b"", as if the server had closed.
    """

    def __init__(self, data: bytes, end: TransportError | None) -> None:
        self._data = io.BytesIO(data)
        self._end = end

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes. After the last byte, raise ``end`` or return b""."""
        data = self._data.read(size)
        if not data and self._end is not None:
            raise self._end
        return data

    def reset_timeout(self) -> None:
        """Do nothing. Bytes in memory need no time."""


def evaluate_reply(
    data: bytes,
    *,
    sig_keys: Sequence[bytes] = (),
    timers: Timers = DEFAULT_TIMERS,
    server_closes: bool = True,
    resets: bool = False,
    is_http: bool | None = None,
    request: UpdateInfoRequest | None = None,
    log_level: Level = Level.INFO,
) -> ReplyEvaluation:
    """Return what a station does with a response.

    Args:
        data: The body of the response, or a whole HTTP response.
        sig_keys: The contents of sig-0.key, sig-1.key, ... on the station.
        timers: The intervals of its station.conf.
        server_closes: Whether the server closes the connection after these bytes. If False, it keeps the connection
            open and sends nothing more.
        resets: Whether the server resets the connection after these bytes.
        is_http: Whether ``data`` is a whole HTTP response. If None, it is one if it starts with ``HTTP/``.
        request: The request that the response answers, or None for ``ASSUMED_REQUEST``.
        log_level: The level of the station's log, which decides about one of its crashes. The evaluation has the lines
            of all levels.
    """
    if request is None:
        request = replace(ASSUMED_REQUEST, keys=tuple(zlib.crc32(key) for key in sig_keys))
    storage = InMemoryStorage()
    exchange = CupsExchange(storage, sig_keys, timers, log_level)
    exchange.log.write(Level.INFO, f"Connecting to CUPS ... {SHOWN_URI} (try #1)")
    exchange.log.write(Level.VERBOSE, f"Retrieving update-info from CUPS {SHOWN_URI}...")
    exchange.log.append(request_line(encode_request(request)))
    if is_http is None:
        is_http = data.startswith(b"HTTP/")
    response = data if is_http else _with_header(data)
    end = _stream_end(server_closes=server_closes, resets=resets)
    try:
        reply = _read_reply(_BytesStream(response, end), request)
        take_reply(exchange, reply)
    except TransportError as error:
        log_transport_error(exchange, error)
    return _to_evaluation(exchange.finish(), storage)


def _with_header(body: bytes) -> bytes:
    """Return an HTTP response with a body. The header has the length of the one with which bodies were recorded."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head + body


def _stream_end(*, server_closes: bool, resets: bool) -> TransportError | None:
    """Return the error of a read after the last byte, or None if the server closes the connection."""
    if resets:
        return ReceiveError(RESET)
    if server_closes:
        return None
    return TransportError(TIMED_OUT)


def _read_reply(stream: ByteStream, request: UpdateInfoRequest) -> HttpReply:
    """Read a response to a request, with the station's buffer."""
    host_port = (request.cups_uri or "").partition("://")[2]
    return read_reply(stream, host_port, request_bytes(host_port, encode_request(request)))


def _to_evaluation(result: ExchangeResult, storage: InMemoryStorage) -> ReplyEvaluation:
    """Return the evaluation of a finished exchange."""
    tc_uri: str | None = None
    if "tc.uri" in storage.in_force:
        tc_uri = storage.in_force["tc.uri"].decode("utf-8", "replace")
    exit_code = SEGFAULT if result.crashed else STOPPED
    remarks = (line.text for line in result.log if line.module == NOTE_MODULE)
    return ReplyEvaluation(
        exchange=result.exchange,
        update=result.update,
        executed=storage.executed,
        key_results=result.key_results,
        tc_uri=tc_uri,
        cups_uri_changed="cups.uri" in storage.in_force,
        exit_code=exit_code,
        log=tuple(line for line in result.log if line.module != NOTE_MODULE),
        remark=next(remarks, None),
    )
