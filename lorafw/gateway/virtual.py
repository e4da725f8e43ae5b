"""A virtual gateway: a home folder, the model of a station, and a transport.

``poll()`` makes one exchange with CUPS. The result says how long the gateway waits until the next one. The caller
decides when to call ``poll()`` again. After failures the gateway switches between three sets of files, as a station
does: cups.*, cups-bak.* and cups-boot.* (source: Basics Station 2.0.6, cups.c).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final

from lorafw.clock import Clock, SystemClock
from lorafw.cups.codec import encode_request
from lorafw.cups.credentials import Credentials
from lorafw.faults import Fault
from lorafw.gateway.faults.injector import FaultInjector
from lorafw.gateway.home import CrashAtStart, Home, check_cups_uri
from lorafw.gateway.retry_state import FILE_SETS, RetryState
from lorafw.gateway.runner import install_only
from lorafw.gateway.storage import HomeStorage, OpenUpdateFile, RunUpdate, complete_interrupted, open_update
from lorafw.gateway.transport import Transport
from lorafw.station.certificate_log import tls_setup_lines
from lorafw.station.conf import StationConf
from lorafw.station.exchange import (
    CupsExchange,
    ExchangeOutcome,
    ExchangeResult,
    UpdateAction,
    log_transport_error,
    take_reply,
)
from lorafw.station.http import TransportError
from lorafw.station.log import Level, LogLine
from lorafw.station.log_levels import LogLevels
from lorafw.version import GatewayVersion

STATION: Final = "2.0.5(rpi/std) 2021-03-09 03:45:09"
"""The station version of the gateway in AWS's documented example."""
MODEL: Final = "rpi"
"""The model of the gateway in AWS's documented example."""

FIRST_POLL_S: Final = 0.2
"""The time from the start of a station to its first poll (observed)."""


@dataclass(frozen=True, slots=True)
class _RequestPipeline:
    """The parts that a request and its response pass through. A fault can replace each of them."""

    home: Home
    transport: Transport
    disk: OpenUpdateFile
    """Opens the file for the update."""
    runner: RunUpdate
    """Runs the update."""

    def with_injector(self, fault: FaultInjector) -> _RequestPipeline:
        """Return a pipeline in which a fault wraps each part."""
        return _RequestPipeline(
            home=fault.wrap_home(self.home),
            transport=fault.wrap_transport(self.transport),
            disk=fault.wrap_disk(self.disk),
            runner=fault.wrap_runner(self.runner),
        )


@dataclass(frozen=True, slots=True)
class _ActiveFault:
    """A fault that was injected and not cleared yet."""

    injector: FaultInjector
    polls: int | None
    """The number of polls that it still affects, or None for all."""

    def after_one_poll(self) -> _ActiveFault | None:
        """Return the fault with one poll less to affect. None if that was the last poll that it affects."""
        if self.polls is None:
            return self
        if self.polls > 1:
            return replace(self, polls=self.polls - 1)
        return None


@dataclass(frozen=True, slots=True)
class _PreparedRequest:
    """A request that is ready to be sent."""

    uri: str
    body: bytes
    credentials: Credentials
    file_lines: tuple[LogLine, ...]
    """What the station logs about its files once it is connected."""


class VirtualGateway:
    """The gateway's side of CUPS, without a real station.

    Args:
        home: The home folder.
        transport: Carries requests to the CUPS server.
        station: The version that the gateway reports as ``station``.
        model: The platform that the gateway reports as ``model``.
        clock: The source of the times in the log. None means the system clock.
        log: Called with the text of each line that the ``log_level`` of station.conf lets through.
        runner: Runs an accepted update.
        interval_s: Replaces both intervals of station.conf. None means that those of the file are used.
    """

    def __init__(
        self,
        home: Home,
        transport: Transport,
        *,
        station: str = STATION,
        model: str = MODEL,
        clock: Clock | None = None,
        log: Callable[[str], None] | None = None,
        runner: RunUpdate = install_only,
        interval_s: float | None = None,
    ) -> None:
        self.home = home
        self.transport = transport
        self.station = station
        self.model = model
        self._clock = clock or SystemClock()
        self._log = log
        self._runner = runner
        self._interval_s = interval_s
        self._retries = RetryState()
        self._faults: list[_ActiveFault] = []
        self._restart_pending = False
        """Whether the next poll starts the station first: after an update that restarts it, or after a crash."""

    def start(self) -> None:
        """Start the station, as when the gateway is powered on.

        Completes an interrupted change of the configuration, and runs an update.bin that an earlier run left behind. A
        station does not check the signature of that file.

        Raises:
            HomeError: A station would not start: station.conf cannot be read, or a cups.uri is not an address. It is
                a ``CrashAtStart`` if the station would crash.
        """
        self._retries.reset()
        self._restart_pending = False
        conf = self.home.read_conf()
        log_line = self._line_logger(conf.log_levels)
        for line in conf.log:
            log_line(line)
        complete_interrupted(self.home)
        for file_set in FILE_SETS:
            uri = self.home.read_uri(file_set, log_line)
            if uri is not None:
                check_cups_uri(uri)
        leftover = self.home.tmp / "update.bin"
        if leftover.exists():
            for line in self._pipeline().runner(self.home, leftover).lines:
                log_line(line)

    def inject(self, fault: FaultInjector, polls: int | None = None) -> None:
        """Inject a fault.

        Args:
            fault: The fault.
            polls: The number of polls that it affects. None means all polls until ``heal`` is called.
        """
        self._faults.append(_ActiveFault(fault, polls))

    def heal(self) -> None:
        """Clear all faults."""
        self._faults.clear()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that affect the next poll."""
        return tuple(active.injector.fault for active in self._faults)

    @property
    def version(self) -> GatewayVersion:
        """The version that the gateway would report now. Raises HomeError if the home folder cannot be used."""
        return self._pipeline().home.build_request(self.station, self.model).version

    def poll(self) -> ExchangeResult:
        """Make one exchange with CUPS, after a restart if the last exchange caused one.

        Returns:
            The result, with the log lines at all levels from "Connecting to CUPS" on.

        Raises:
            HomeError: The home folder cannot be used.
        """
        if self._restart_pending:
            try:
                self.start()
            except CrashAtStart as crash:
                return self._crash_at_start(str(crash))
        pipeline = self._pipeline()
        self._remove_expired_faults()
        storage = HomeStorage(pipeline.home, pipeline.runner, pipeline.disk)
        with closing(storage):
            result = self._run_exchange(pipeline, storage)
        self._restart_pending = storage.restarts or result.crashed
        if storage.restarts:
            return replace(result, wait_s=FIRST_POLL_S)
        return result

    def _run_exchange(self, pipeline: _RequestPipeline, storage: HomeStorage) -> ExchangeResult:
        """Read the files, send the request, handle the response, and update the retry state."""
        # A station reads its files before it connects. They do not change in this short time.
        with self.home.reading_once():
            conf = self._read_conf()
            exchange = self._start_exchange(pipeline, storage, conf)
            request = self._prepare_request(exchange, pipeline.home)
        if request is None:
            return self._fail_without_uri(exchange, conf)
        was_rejected = self._send_request(exchange, pipeline, request, conf)
        result = exchange.finish()
        self._update_retry_state(result.exchange, was_rejected=was_rejected)
        return result

    def _update_retry_state(self, outcome: ExchangeOutcome, *, was_rejected: bool) -> None:
        """Record how an exchange ended, which decides the set of files for the next one.

        Args:
            outcome: How the exchange ended.
            was_rejected: Whether the server answered with an error, so that this set of files is of no use.
        """
        if outcome is not ExchangeOutcome.FAILED:
            self._retries.reset()
        elif was_rejected:
            self._retries.record_unusable_files()
        else:
            self._retries.record_failure()

    def _remove_expired_faults(self) -> None:
        """Count the current poll for each active fault, and remove those that do not affect the next poll."""
        faults_of_next_poll = []
        for fault in self._faults:
            remaining_fault = fault.after_one_poll()
            if remaining_fault is not None:
                faults_of_next_poll.append(remaining_fault)
        self._faults = faults_of_next_poll

    def _pipeline(self) -> _RequestPipeline:
        """Return the pipeline of the next poll, with all active faults."""
        pipeline = _RequestPipeline(self.home, self.transport, open_update, self._runner)
        for active in self._faults:
            pipeline = pipeline.with_injector(active.injector)
        return pipeline

    def _read_conf(self) -> StationConf:
        """Read station.conf, with ``interval_s`` in place of its intervals if it is given."""
        conf = self.home.read_conf()
        if self._interval_s is None:
            return conf
        return replace(conf, timers=replace(conf.timers, oksync_s=self._interval_s, resync_s=self._interval_s))

    def _start_exchange(self, pipeline: _RequestPipeline, storage: HomeStorage, conf: StationConf) -> CupsExchange:
        """Return the exchange of one poll. Logs its first lines."""
        log_line = self._line_logger(conf.log_levels)
        for text in ("Starting a CUPS session in 0 seconds.", "Starting a CUPS session now."):
            log_line(LogLine("CUP", Level.INFO, text))
        return CupsExchange(
            storage,
            sig_keys=pipeline.home.read_sig_keys(),
            timers=conf.timers,
            log_level=conf.log_levels.level_of("SYS"),
            on_line=log_line,
        )

    def _prepare_request(self, exchange: CupsExchange, home: Home) -> _PreparedRequest | None:
        """Read the home folder, and return the request. Logs what a station logs before it connects.

        The result is None if the set of files has no address.
        """
        file_set = self._retries.file_set
        uri = home.read_uri(file_set, exchange.log_line)
        if uri is None:
            return None
        exchange.log(Level.INFO, f"Connecting to {_log_name(file_set)} ... {uri} (try #{self._retries.attempt})")
        file_lines: list[LogLine] = []
        body = encode_request(home.build_request(self.station, self.model, file_lines.append))
        credentials = home.read_credentials(file_set)
        if uri.startswith("https:"):
            for text in tls_setup_lines(credentials, file_set, str(home.path)):
                exchange.log(Level.INFO, text, "AIO")
        return _PreparedRequest(uri, body, credentials, tuple(file_lines))

    def _send_request(
        self, exchange: CupsExchange, pipeline: _RequestPipeline, request: _PreparedRequest, conf: StationConf
    ) -> bool:
        """Send the request and feed the response to the exchange. Return True if the server rejected the request."""
        cups = _log_name(self._retries.file_set)
        # A station backs up the regular set of files when a server answers at its address.
        on_answer = self.home.back_up_cups if self._retries.is_regular else None

        def on_connected() -> None:
            exchange.log(Level.VERBOSE, f"Retrieving update-info from {cups} {request.uri}...")
            for line in request.file_lines:
                exchange.log_line(line)

        try:
            timeout_s = conf.timers.conn_timeout_s
            transport = pipeline.transport
            with transport.post(request.uri, request.body, timeout_s, request.credentials, on_connected) as reply:
                return take_reply(exchange, reply, on_answer)
        except TransportError as error:
            log_transport_error(exchange, error)
        return False

    def _fail_without_uri(self, exchange: CupsExchange, conf: StationConf) -> ExchangeResult:
        """Return the result of an exchange without a cups.uri, and switch to the next set of files."""
        exchange.log(Level.ERROR, f"No {_log_name(self._retries.file_set)} URI configured")
        self._retries.record_unusable_files()
        return ExchangeResult(
            exchange=ExchangeOutcome.FAILED,
            update=UpdateAction.NONE,
            key_results=(),
            log=tuple(exchange.lines),
            wait_s=conf.timers.resync_s,
        )

    def _crash_at_start(self, why: str) -> ExchangeResult:
        """Return the result of a crash at the start. The next poll starts the station again."""
        self._restart_pending = True
        conf = self._read_conf()
        exchange = CupsExchange(
            HomeStorage(self.home, self._runner),
            timers=conf.timers,
            on_line=self._line_logger(conf.log_levels),
        )
        exchange.crash(why)
        return exchange.finish()

    def _line_logger(self, levels: LogLevels) -> Callable[[LogLine], None]:
        """Return a function that writes a line to the gateway's log if the log levels allow it."""

        def log_line(line: LogLine) -> None:
            if self._log is not None and levels.shows(line):
                self._log(line.with_timestamp(self._clock.now_ms()))

        return log_line


def _log_name(file_set: str) -> str:
    """Return the name of a set of files in the station's log, such as ``CUPS-bak``."""
    return file_set.replace("cups", "CUPS")
