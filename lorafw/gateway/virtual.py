"""A virtual gateway: a home folder, the model of a station, and a transport.

``poll()`` makes one exchange with CUPS. The result says how long the gateway waits until the next one. The caller
decides when to call ``poll()`` again. After failures the gateway switches between three sets of files, as a station
does: cups.*, cups-bak.* and cups-boot.* (source: Basics Station 2.0.6, cups.c).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from lorafw.clock import Clock, SystemClock
from lorafw.cups.codec import encode_request
from lorafw.errors import HomeError
from lorafw.faults import Fault
from lorafw.gateway.faults.injector import FaultInjector
from lorafw.gateway.home import Home, check_cups_uri
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
from lorafw.station.http import StationCrash, TransportError
from lorafw.station.log import Level, LogLine
from lorafw.station.log_levels import LogLevels
from lorafw.version import GatewayVersion

STATION: Final = "2.0.5(rpi/std) 2021-03-09 03:45:09"
MODEL: Final = "rpi"
"""Version and platform of the documented example's gateway."""

FIRST_POLL_S: Final = 0.2
"""The time from the start of a station to its first poll (observed)."""

_URI_SET_SUFFIXES: Final = ("", "-bak", "-boot")
_FAILURES_BEFORE_SWITCH: Final = 6
"""After this number of failures in a row, each further failure switches to the next set of files."""


@dataclass(frozen=True, slots=True)
class _RequestPipeline:
    """The parts that a request and its response pass through. A fault can replace each of them."""

    home: Home
    transport: Transport
    disk: OpenUpdateFile
    runner: RunUpdate

    def with_injector(self, fault: FaultInjector) -> _RequestPipeline:
        """Return a pipeline whose parts are wrapped by a fault."""
        return _RequestPipeline(
            fault.home(self.home), fault.transport(self.transport), fault.disk(self.disk), fault.runner(self.runner)
        )


@dataclass(frozen=True, slots=True)
class _ActiveFault:
    """A fault that was injected and not cleared yet."""

    injection: FaultInjector
    polls: int | None
    """The number of polls that it still affects, or None for all."""

    def consume_poll(self) -> _ActiveFault | None:
        """Return the fault as it is after one poll, or None if that was the last poll that it affects."""
        if self.polls is None:
            return self
        if self.polls > 1:
            return replace(self, polls=self.polls - 1)
        return None


class VirtualGateway:
    """The gateway's side of CUPS, without a real station.

    Args:
        home: The home folder.
        transport: Carries requests to the CUPS server.
        station: The version that the gateway reports as ``station``.
        model: The platform that the gateway reports as ``model``.
        clock: The source of the times in the log. None: the system clock.
        log: Called with the text of each line that the ``log_level`` of station.conf lets through.
        runner: Runs an accepted update.
        interval_s: Replaces both intervals of station.conf. None: use those of the file.
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
        self._uri_set = 0
        self._failures = 0
        self._faults: list[_ActiveFault] = []
        self._restart_pending = False

    def start(self) -> None:
        """Power the gateway on.

        Completes an interrupted change of the configuration, and runs an update.bin that is left from before. As on a
        station, the signature of that file is not checked.

        Raises:
            HomeError: A station would not start: station.conf cannot be read, or a cups.uri is not an address.
        """
        self._uri_set = self._failures = 0
        self._restart_pending = False
        conf = self.home.conf()
        for line in conf.log:
            self._log_line(line, conf.log_levels)
        complete_interrupted(self.home)
        for suffix in _URI_SET_SUFFIXES:
            uri = self.home.uri("cups", suffix, lambda line: self._log_line(line, conf.log_levels))
            if uri is not None:
                check_cups_uri(uri)
        leftover = self.home.tmp / "update.bin"
        if leftover.exists():
            for line in self._path().runner(self.home, leftover).lines:
                self._log_line(line, conf.log_levels)

    def inject(self, fault: FaultInjector, polls: int | None = None) -> None:
        """Inject a fault.

        Args:
            fault: The fault.
            polls: The number of polls that it affects. None: all polls until ``heal`` is called.
        """
        self._faults.append(_ActiveFault(fault, polls))

    def heal(self) -> None:
        """Clear all faults."""
        self._faults.clear()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that affect the next poll."""
        return tuple(active.injection.fault for active in self._faults)

    @property
    def version(self) -> GatewayVersion:
        """The version that the gateway would report now.

        Raises:
            HomeError: The home folder cannot be used.
        """
        return self._path().home.request(self.station, self.model).version

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
            except HomeError as error:
                if not isinstance(error.__cause__, StationCrash):
                    raise
                return self._crash_at_start(error.__cause__)
        path = self._path()
        self._faults = [left for active in self._faults if (left := active.consume_poll()) is not None]
        conf = self._conf()
        for text in ("Starting a CUPS session in 0 seconds.", "Starting a CUPS session now."):
            self._log_line(LogLine("CUP", Level.INFO, text), conf.log_levels)
        storage = HomeStorage(path.home, path.runner, path.disk)
        exchange = CupsExchange(
            storage,
            path.home.sig_keys(),
            conf.timers,
            conf.log_levels.level_of("SYS"),
            emit=lambda line: self._log_line(line, conf.log_levels),
        )
        suffix = _URI_SET_SUFFIXES[self._uri_set]
        uri = path.home.uri("cups", suffix, exchange.log_line)
        if uri is None:
            return self._fail_without_uri(exchange, suffix, conf)
        try:
            rejected = self._exchange(exchange, path, uri, suffix, conf)
        finally:
            storage.close()
        verdict = exchange.verdict()
        self._update_retry_state(verdict, rejected=rejected)
        self._restart_pending = verdict.crashed
        if verdict.update is UpdateAction.RUN and storage.restarts:
            self._restart_pending = True
            return replace(verdict, wait_s=FIRST_POLL_S)
        return verdict

    def _path(self) -> _RequestPipeline:
        """Return the pipeline of the next poll, with all active faults."""
        path = _RequestPipeline(self.home, self.transport, open_update, self._runner)
        for active in self._faults:
            path = path.with_injector(active.injection)
        return path

    def _conf(self) -> StationConf:
        """Read station.conf, with ``interval_s`` in place of its intervals if it is given."""
        conf = self.home.conf()
        if self._interval_s is None:
            return conf
        return replace(conf, timers=replace(conf.timers, oksync_s=self._interval_s, resync_s=self._interval_s))

    def _exchange(
        self, exchange: CupsExchange, path: _RequestPipeline, uri: str, suffix: str, conf: StationConf
    ) -> bool:
        """Send the request and process the response. Return True if the server rejected the request."""
        exchange.log(Level.INFO, f"Connecting to CUPS{suffix} ... {uri} (try #{self._failures + 1})")
        about_files: list[LogLine] = []
        body = encode_request(path.home.request(self.station, self.model, about_files.append))
        credentials = path.home.credentials(f"cups{suffix}")
        if uri.startswith("https:"):
            for text in tls_setup_lines(credentials, f"cups{suffix}", str(path.home.path)):
                exchange.log(Level.INFO, text, "AIO")
        back_up = self.home.back_up_cups if self._uri_set == 0 else None

        def on_connected() -> None:
            exchange.log(Level.VERBOSE, f"Retrieving update-info from CUPS{suffix} {uri}...")
            for line in about_files:
                exchange.log_line(line)

        try:
            timeout_s = conf.timers.conn_timeout_s
            with path.transport.post(uri, body, timeout_s, credentials, on_connected) as reply:
                return take_reply(exchange, reply, back_up)
        except TransportError as error:
            log_transport_error(exchange, error)
        return False

    def _fail_without_uri(self, exchange: CupsExchange, suffix: str, conf: StationConf) -> ExchangeResult:
        exchange.log(Level.ERROR, f"No CUPS{suffix} URI configured")
        self._switch_uri_set()
        return ExchangeResult(
            ExchangeOutcome.FAILED, UpdateAction.NONE, (), tuple(exchange.lines), conf.timers.resync_s
        )

    def _update_retry_state(self, verdict: ExchangeResult, *, rejected: bool) -> None:
        """Count a failure or forget earlier ones, and choose the set of files for the next poll."""
        if verdict.exchange is not ExchangeOutcome.FAILED:
            self._uri_set = self._failures = 0
        elif rejected or self._failures > _FAILURES_BEFORE_SWITCH:
            self._switch_uri_set()
        else:
            self._failures += 1

    def _switch_uri_set(self) -> None:
        self._uri_set = (self._uri_set + 1) % len(_URI_SET_SUFFIXES)
        self._failures += 1

    def _crash_at_start(self, crash: StationCrash) -> ExchangeResult:
        """Return the result of a crash at the start. The next poll starts the station again."""
        self._restart_pending = True
        conf = self._conf()
        exchange = CupsExchange(
            HomeStorage(self.home, self._runner),
            timers=conf.timers,
            emit=lambda line: self._log_line(line, conf.log_levels),
        )
        exchange.crash(crash.why)
        return exchange.verdict()

    def _log_line(self, line: LogLine, levels: LogLevels) -> None:
        if self._log is not None and levels.shows(line):
            self._log(line.at(self._clock.now_ms()))
