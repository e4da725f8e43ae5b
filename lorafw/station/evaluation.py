"""What a Basics Station would do with these bytes: for whoever writes a CUPS server. Pure, nothing is executed.

The bytes are the body of a reply, or a whole HTTP response: what begins with ``HTTP/`` is one. The verdict has the
fields of the recorded ones (``data/station-responses.json``), and the log lines that the station shows at its level
INFO. Where a recording says 143 (stopped from outside, in good order), so does this; 139 is a crash.

Some replies make the station log parts of its own request, so there is always one: that of a station at
``localhost:34783``, unless the caller gives another.
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
)
from lorafw.station.launch import SCRIPT_HEAD_BYTES, exec_failure, launch_lines
from lorafw.station.log import Level, LogLine

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
"""The request that a reply answers, if the caller does not say. A station presents its keys in it."""


@dataclass(frozen=True, slots=True)
class ReplyEvaluation:
    """The verdict on one reply. ``remark`` says what a station's log does not."""

    exchange: ExchangeOutcome
    update: UpdateAction
    executed: bool
    key_results: tuple[tuple[int, str], ...]
    tc_uri: str | None
    cups_uri_changed: bool
    exit_code: int
    log: tuple[LogLine, ...]
    remark: str | None = None

    def to_json(self, level: Level = Level.INFO) -> dict[str, Any]:
        """The fields of a recorded verdict, in its order, in values that JSON has."""
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
    """Storage of one exchange that leaves nothing anywhere. Names are those of the files in a home folder."""

    temporary: dict[str, bytes] = field(default_factory=dict)
    in_force: dict[str, bytes] = field(default_factory=dict)
    update_head: bytes = b""
    executed: bool = False

    def reset_config(self) -> None:
        self.temporary.clear()

    def save_uri(self, category: str, uri: str) -> None:
        self.temporary[f"{category}.uri"] = uri.encode("utf-8", "surrogateescape")

    def save_credentials(self, category: str, credentials: Credentials) -> None:
        for ending, content in zip(
            ("trust", "crt", "key"), (credentials.trust, credentials.certificate, credentials.key), strict=True
        ):
            self.temporary[f"{category}.{ending}"] = content

    def commit_config(self) -> None:
        self.in_force |= self.temporary
        self.temporary.clear()

    def update_begin(self, length: int) -> Iterable[LogLine]:
        return ()

    def update_data(self, data: bytes) -> Iterable[LogLine]:
        self.update_head += data[: SCRIPT_HEAD_BYTES - len(self.update_head)]
        return ()

    def update_commit(self) -> bool:
        return True

    def update_abort(self) -> None:
        pass

    def update_run(self) -> Iterable[LogLine]:
        self.executed = True
        return launch_lines("N", exec_failure(self.update_head))


class _BytesStream:
    """Bytes that have come, and what comes behind them: nothing more, or an error."""

    def __init__(self, data: bytes, end: TransportError | None) -> None:
        self._data = io.BytesIO(data)
        self._end = end

    def read(self, size: int) -> bytes:
        data = self._data.read(size)
        if not data and self._end is not None:
            raise self._end
        return data

    def rearm(self) -> None:
        pass


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
    """Return the verdict of a station on a reply.

    Args:
        data: The body of the reply, or the whole HTTP response.
        sig_keys: The contents of sig-0.key, sig-1.key, ... on the station.
        timers: The intervals of its station.conf.
        closes: The server closes the connection behind these bytes. If False, it falls silent.
        resets: The server resets the connection behind these bytes.
        is_http: Whether ``data`` is a whole HTTP response. If None, it is one if it begins with ``HTTP/``.
        request: The request that the reply answers.
        log_level: The level of the station's log. The log of the verdict has all levels.
    """
    if request is None:
        request = replace(ASSUMED_REQUEST, keys=tuple(zlib.crc32(key) for key in sig_keys))
    storage = InMemoryStorage()
    exchange = CupsExchange(storage, sig_keys, timers, log_level)
    exchange.log(Level.INFO, f"Connecting to CUPS ... {SHOWN_URI} (try #1)")
    exchange.log(Level.VERBOSE, f"Retrieving update-info from CUPS {SHOWN_URI}...")
    if is_http is None:
        is_http = data.startswith(b"HTTP/")
    if not is_http:
        data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data
    wire = _BytesStream(data, _end(server_closes=server_closes, resets=resets))
    try:
        take_reply(exchange, _read_reply(wire, request))
    except TransportError as error:
        log_transport_error(exchange, error)
    return _judgement(exchange.verdict(), storage)


def _end(*, server_closes: bool, resets: bool) -> TransportError | None:
    """Return what receiving fails with behind the last byte, or None if the connection is closed."""
    if resets:
        return ReceiveError(RESET)
    return None if server_closes else TransportError(TIMED_OUT)


def _read_reply(wire: ByteStream, request: UpdateInfoRequest) -> HttpReply:
    host_port = (request.cups_uri or "").partition("://")[2]
    return read_reply(wire, host_port, request_bytes(host_port, encode_request(request)))


def _judgement(verdict: ExchangeResult, storage: InMemoryStorage) -> ReplyEvaluation:
    tc_uri = storage.in_force.get("tc.uri")
    remarks = [line.text for line in verdict.log if line.module == NOTE_MODULE]
    return ReplyEvaluation(
        exchange=verdict.exchange,
        update=verdict.update,
        executed=storage.executed,
        key_results=verdict.key_results,
        tc_uri=None if tc_uri is None else tc_uri.decode("utf-8", "replace"),
        cups_uri_changed="cups.uri" in storage.in_force,
        exit_code=SEGFAULT if verdict.crashed else STOPPED,
        log=tuple(line for line in verdict.log if line.module != NOTE_MODULE),
        remark=remarks[0] if remarks else None,
    )
