"""A virtual gateway: a home folder, the decisions of a station, and a transport. ``poll()`` is one exchange with CUPS.

When it polls next is in the verdict; who turns the clock is up to the caller. Three sets of files take turns after
failures, as in a station: cups.*, cups-bak.*, cups-boot.* (source: Basics Station 2.0.6, cups.c).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from lorafw.clock import Clock, SystemClock
from lorafw.cups.client import HttpReply, Transport, TransportError
from lorafw.cups.codec import ResponseDecoder, encode_request
from lorafw.gateway.home import Home, StationConf
from lorafw.gateway.log import Level, LogLine
from lorafw.gateway.runner import install_only
from lorafw.gateway.station import Action, Exchange, Outcome, Verdict
from lorafw.gateway.storage import HomeStorage, Runner

STATION: Final = "2.0.5(rpi/std) 2021-03-09 03:45:09"
MODEL: Final = "rpi"
"""Version and platform of the documented example's gateway."""

FIRST_POLL_S: Final = 0.2
"""A station polls so soon after it has started (observed)."""

_SETS: Final = ("", "-bak", "-boot")
_PATIENCE: Final = 6
"""After so many failures in a row, every further one turns to the next set of files."""


class VirtualGateway:
    """A station's side of CUPS, without the station.

    ``log`` gets each line, as text with its time, that station.conf lets through; all lines are in the verdicts.
    ``interval_s`` stands for both intervals of station.conf.
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
        runner: Runner = install_only,
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
        self._set = 0
        self._failures = 0

    def start(self) -> None:
        """Power on: a left-over update.bin is run again, and nobody checks its signature."""
        self._set = self._failures = 0
        leftover = self.home.tmp / "update.bin"
        if leftover.exists():
            level = self.home.conf().log_level
            for line in self._runner(self.home, leftover).lines:
                self._emit(line, level)

    def poll(self) -> Verdict:
        """One exchange. Raises HomeError where the home folder cannot be used."""
        conf = self._conf()
        storage = HomeStorage(self.home, self._runner)
        exchange = Exchange(
            storage, self.home.sig_keys(), conf.timers, emit=lambda line: self._emit(line, conf.log_level)
        )
        suffix = _SETS[self._set]
        uri = self.home.uri("cups", suffix)
        if uri is None:
            return self._without_uri(exchange, suffix, conf)
        try:
            rejected = self._exchange(exchange, uri, suffix, conf)
        finally:
            storage.close()
        verdict = exchange.verdict()
        self._remember(verdict, rejected=rejected)
        if verdict.update is Action.RUN and storage.restarts:
            self._set = self._failures = 0
            return replace(verdict, wait_s=FIRST_POLL_S)
        return verdict

    def _conf(self) -> StationConf:
        conf = self.home.conf()
        if self._interval_s is None:
            return conf
        return replace(conf, timers=replace(conf.timers, oksync_s=self._interval_s, resync_s=self._interval_s))

    def _exchange(self, exchange: Exchange, uri: str, suffix: str, conf: StationConf) -> bool:
        """True where the server rejected the request."""
        exchange.log(Level.INFO, f"Connecting to CUPS{suffix} ... {uri} (try #{self._failures + 1})")
        body = encode_request(self.home.request(self.station, self.model))
        credentials = self.home.credentials(f"cups{suffix}")
        try:
            with self.transport.post(uri, body, conf.timers.conn_timeout_s, credentials) as reply:
                exchange.log(Level.VERBOSE, f"Retrieving update-info from CUPS{suffix} {uri}...")
                return self._take(exchange, reply)
        except TransportError as error:
            for module, text in error.lines:
                exchange.log(Level.ERROR, text, module)
        return False

    def _take(self, exchange: Exchange, reply: HttpReply) -> bool:
        if reply.status != 200:
            exchange.log(Level.VERBOSE, f"Failed to retrieve TCURI from CUPS: ({reply.status}) {reply.reason}")
            return True
        if self._set == 0:
            self.home.back_up_cups()
        decoder = ResponseDecoder(reply.content_length)
        for piece in reply.body:
            exchange.feed(decoder.feed(piece))
            if decoder.ended:
                break
        exchange.feed(decoder.finish())
        return False

    def _without_uri(self, exchange: Exchange, suffix: str, conf: StationConf) -> Verdict:
        exchange.log(Level.ERROR, f"No CUPS{suffix} URI configured")
        self._next_set()
        return Verdict(Outcome.FAILED, Action.NONE, (), tuple(exchange.lines), conf.timers.resync_s)

    def _remember(self, verdict: Verdict, *, rejected: bool) -> None:
        if verdict.exchange is not Outcome.FAILED:
            self._set = self._failures = 0
        elif rejected or self._failures > _PATIENCE:
            self._next_set()
        else:
            self._failures += 1

    def _next_set(self) -> None:
        self._set = (self._set + 1) % len(_SETS)
        self._failures += 1

    def _emit(self, line: LogLine, level: Level) -> None:
        if self._log is not None and line.level >= level:
            self._log(line.at(self._clock.now_ms()))
