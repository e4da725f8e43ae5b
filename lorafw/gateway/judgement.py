"""What a Basics Station would do with these bytes: for whoever writes a CUPS server. Pure, nothing is executed.

The bytes are the body of a reply, or a whole HTTP response: what begins with ``HTTP/`` is one. The verdict has the
fields of the recorded ones (``data/station-responses.json``), and the log lines that the station shows at its level
INFO. Where a recording says 143 (stopped from outside, in good order), so does this; 139 is a crash.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lorafw.cups.credentials import Credentials
from lorafw.cups.station_http import TIMED_OUT, HttpReply, TransportError, read_reply
from lorafw.gateway.intake import break_off, take_reply
from lorafw.gateway.station import DEFAULT_TIMERS, REMARK, Action, Exchange, Outcome, Timers, Verdict
from lorafw.station_log import Level, LogLine

STOPPED: Final = 143
SEGFAULT: Final = 139
HOST_PORT: Final = "localhost:PORT"
_AS_LONG_AS: Final = "localhost:34783"
"""The length of host:port takes its part of the station's buffer."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on one reply. ``remark`` says what a station's log does not."""

    exchange: Outcome
    update: Action
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
class MemoryStorage:
    """Storage of one exchange that leaves nothing anywhere. Names are those of the files in a home folder."""

    temporary: dict[str, bytes] = field(default_factory=dict)
    in_force: dict[str, bytes] = field(default_factory=dict)
    executed: bool = False

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
        return ()

    def update_commit(self) -> bool:
        return True

    def update_abort(self) -> None:
        pass

    def update_run(self) -> Iterable[LogLine]:
        self.executed = True
        return (
            LogLine("SYS", Level.VERBOSE, "/tmp/update.bin: Forked, waiting..."),  # noqa: S108 -- a station's words
            LogLine("SYS", Level.INFO, "Process /tmp/update.bin (pid=N) completed"),
        )


class _FileWire:
    """Bytes that have come, behind which the other side closes, or says no more."""

    def __init__(self, data: bytes, *, closes: bool) -> None:
        self._data = io.BytesIO(data)
        self._closes = closes

    def read(self, size: int) -> bytes:
        data = self._data.read(size)
        if not data and not self._closes:
            raise TransportError(TIMED_OUT)
        return data

    def rearm(self) -> None:
        pass


def judge_reply(
    data: bytes, *, sig_keys: Sequence[bytes] = (), timers: Timers = DEFAULT_TIMERS, closes: bool = True
) -> Judgement:
    """The verdict of a station that has these keys (the contents of sig-0.key, sig-1.key, ...) on a reply.

    ``closes``: the server closes the connection behind these bytes; otherwise it falls silent.
    """
    storage = MemoryStorage()
    exchange = Exchange(storage, sig_keys, timers)
    exchange.log(Level.INFO, f"Connecting to CUPS ... http://{HOST_PORT} (try #1)")
    exchange.log(Level.VERBOSE, f"Retrieving update-info from CUPS http://{HOST_PORT}...")
    try:
        take_reply(exchange, _reply(data, closes=closes))
    except TransportError as error:
        break_off(exchange, error)
    return _judgement(exchange.verdict(), storage)


def _reply(data: bytes, *, closes: bool) -> HttpReply:
    """Bytes of a whole response, or of a body in a response with nothing wrong about it."""
    if not data.startswith(b"HTTP/"):
        data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data
    return read_reply(_FileWire(data, closes=closes), _AS_LONG_AS)


def _judgement(verdict: Verdict, storage: MemoryStorage) -> Judgement:
    tc_uri = storage.in_force.get("tc.uri")
    remarks = [line.text for line in verdict.log if line.module == REMARK]
    return Judgement(
        exchange=verdict.exchange,
        update=verdict.update,
        executed=storage.executed,
        key_results=verdict.key_results,
        tc_uri=None if tc_uri is None else tc_uri.decode("utf-8", "replace"),
        cups_uri_changed="cups.uri" in storage.in_force,
        exit_code=SEGFAULT if verdict.crashed else STOPPED,
        log=tuple(line for line in verdict.log if line.module != REMARK),
        remark=remarks[0] if remarks else None,
    )
