"""A virtual gateway: a home folder, the model of a station, and a transport.

``poll()`` makes one exchange with CUPS. The result says how long the gateway waits until the next one. The caller
decides when to call ``poll()`` again. After failures the gateway switches between three sets of files, as a station
does: cups.*, cups-bak.* and cups-boot.* (source: Basics Station 2.0.6, cups.c).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Final

from lorafw.clock import Clock, SystemClock
from lorafw.faults import Fault
from lorafw.gateway.active_faults import ActiveFaults, GatewayParts
from lorafw.gateway.config_files import Backup
from lorafw.gateway.faults.injector import FaultInjector
from lorafw.gateway.home import CrashAtStart, Home
from lorafw.gateway.requests import prepare_request, send_request
from lorafw.gateway.retry_state import RetryState
from lorafw.gateway.runner import install_only
from lorafw.gateway.station_steps import GatewayLog, end_with_crash, end_without_uri, start_exchange, start_station
from lorafw.gateway.storage import HomeStorage, RunUpdate, open_update
from lorafw.gateway.transport import Transport
from lorafw.station.conf import StationConf
from lorafw.station.exchange import ExchangeResult, to_waiting_s
from lorafw.version import GatewayVersion

STATION: Final = "2.0.5(rpi/std) 2021-03-09 03:45:09"
"""The station version of the gateway in AWS's documented example."""
MODEL: Final = "rpi"
"""The model of the gateway in AWS's documented example."""

FIRST_POLL_S: Final = 0.2
"""The time from the start of a station to its first poll (observed)."""


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
        self._log = GatewayLog(clock or SystemClock(), log)
        self._runner = runner
        self._interval_s = interval_s
        self._retries = RetryState()
        """Which set of files the next exchange uses."""
        self._backup = Backup(home, "cups")
        """The backup of the regular set of files."""
        self._faults = ActiveFaults()
        """The injected faults. They replace parts of the gateway in each poll."""
        self._restart_pending = False
        """Whether the next poll starts the station first: after an update that restarts it, or after a crash."""

    def start(self) -> None:
        """Start the station, as when the gateway is powered on. See ``start_station``.

        Raises:
            HomeError: A station would not start: station.conf cannot be read, a cups.uri is not an address, or there
                is none.
            CrashAtStart: A station would crash. This is a kind of HomeError.
        """
        self._retries.reset()
        self._restart_pending = False
        start_station(self.home, self._backup, self._parts_with_faults().runner, self._log)

    def inject(self, fault: FaultInjector, polls: int | None = None) -> None:
        """Inject a fault.

        Args:
            fault: The fault.
            polls: The number of polls that it affects. None means all polls until ``heal`` is called.
        """
        self._faults.inject(fault, polls)

    def heal(self) -> None:
        """Clear all faults."""
        self._faults.clear()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that affect the next poll."""
        return self._faults.names

    @property
    def version(self) -> GatewayVersion:
        """The version that the gateway would report now. Raises HomeError if the home folder cannot be used."""
        return self._parts_with_faults().home.build_request(self.station, self.model).version

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
        parts = self._parts_with_faults()
        self._faults.count_poll()
        with closing(HomeStorage(parts.home, parts.runner, parts.disk)) as storage:
            result = self._run_exchange(parts, storage)
        self._restart_pending = storage.restarts or result.crashed
        if storage.restarts:
            return replace(result, wait_s=FIRST_POLL_S)
        return result

    def _parts_with_faults(self) -> GatewayParts:
        """Return the parts that the next poll uses. The active faults have replaced some of them."""
        parts = GatewayParts(self.home, self.transport, open_update, self._runner)
        return self._faults.apply_to(parts)

    def _run_exchange(self, parts: GatewayParts, storage: HomeStorage) -> ExchangeResult:
        """Read the files, send the request, handle the response, and choose the files for the next exchange.

        Args:
            parts: The parts of the gateway, with the active faults.
            storage: Where the exchange writes files.

        Returns:
            What the station did.
        """
        # 1. Read all files, each of them once. They do not change in this short time.
        with self.home.reading_once():
            conf = self._read_conf()
            exchange = start_exchange(parts.home, storage, conf, self._log.at_levels(conf.log_levels))
            request = prepare_request(parts.home, self._retries, self.station, self.model, exchange.log)
        if request is None:
            result = end_without_uri(exchange.log, self._retries.file_set_label, conf.timers)
            self._retries.record_unusable_files()
            return result
        # 2. Send the request. A station backs up the regular set of files when a server answers at its address.
        on_answer: Callable[[], None] | None = None
        if self._retries.is_regular:
            on_answer = partial(self._backup.make, exchange.log.append)
        timeout_s = to_waiting_s(conf.timers.conn_timeout_s)
        was_rejected = send_request(request, parts.transport, exchange, timeout_s, on_answer)
        # 3. Choose the set of files for the next exchange.
        result = exchange.finish()
        self._retries.record(result.exchange, was_rejected=was_rejected)
        return result

    def _crash_at_start(self, why: str) -> ExchangeResult:
        """Return the result of a crash at the start. The next poll starts the station again."""
        self._restart_pending = True
        conf = self._read_conf()
        storage = HomeStorage(self.home, self._runner)
        return end_with_crash(storage, why, conf.timers, self._log.at_levels(conf.log_levels))

    def _read_conf(self) -> StationConf:
        """Read station.conf, with ``interval_s`` in place of its intervals if it is given."""
        conf = self.home.read_conf()
        if self._interval_s is None:
            return conf
        timers = replace(conf.timers, oksync_s=self._interval_s, resync_s=self._interval_s)
        return replace(conf, timers=timers)
