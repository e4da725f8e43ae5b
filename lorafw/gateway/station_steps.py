"""What the station of a virtual gateway does when it starts, and at the beginning and the end of a poll.

Source: Basics Station 2.0.6, cups.c and sys_linux.c.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lorafw.clock import Clock
from lorafw.errors import HomeError
from lorafw.gateway.config_files import Backup, complete_interrupted
from lorafw.gateway.home import Home, check_cups_uri
from lorafw.gateway.retry_state import FILE_SETS
from lorafw.gateway.storage import HomeStorage, RunUpdate, run_if_executable
from lorafw.station.conf import StationConf
from lorafw.station.exchange import (
    CupsExchange,
    ExchangeOutcome,
    ExchangeResult,
    Timers,
    UpdateAction,
    wait_before_next_poll_s,
)
from lorafw.station.log import ExchangeLog, Level, LogLine
from lorafw.station.log_levels import LogLevels

LogFunction = Callable[[LogLine], None]
"""Writes a line to the log of a gateway."""


@dataclass(frozen=True, slots=True)
class GatewayLog:
    """The log of a virtual gateway."""

    clock: Clock
    """The source of the times in the log."""
    write: Callable[[str], None] | None
    """Called with the text of each line. None if nobody reads the log."""

    def write_line(self, line: LogLine) -> None:
        """Write a line with the time, at any level."""
        if self.write is not None:
            self.write(line.with_timestamp(self.clock.now_ms()))

    def at_levels(self, levels: LogLevels) -> LogFunction:
        """Return a function that writes a line if the log levels of station.conf allow it."""

        def log_line(line: LogLine) -> None:
            if levels.shows(line):
                self.write_line(line)

        return log_line


def start_station(home: Home, backup: Backup, runner: RunUpdate, log: GatewayLog) -> None:
    """Do what a station does when the gateway is powered on.

    Args:
        home: The home folder.
        backup: The backup of cups.*, which is made again if a power cut has interrupted it.
        runner: Runs an update that was received and never run.
        log: The log of the gateway.

    Raises:
        HomeError: A station would not start: station.conf cannot be read, a cups.uri is not an address, or there is
            none.
        CrashAtStart: A station would crash. This is a kind of HomeError.
    """
    # 1. Read the settings.
    conf = home.read_conf()
    log_line = log.at_levels(conf.log_levels)
    for line in conf.log:
        log.write_line(line)
    # 2. Complete what a power cut has interrupted.
    complete_interrupted(home, backup, log_line)
    # 3. Check all addresses. A station does not start if it cannot use one of them, or if there is none.
    uris = [home.read_uri(file_set, log_line) for file_set in FILE_SETS]
    present_uris = [uri for uri in uris if uri is not None]
    for uri in present_uris:
        check_cups_uri(uri)
    if not present_uris:
        raise HomeError(
            f"{home.path} has no cups.uri, cups-bak.uri or cups-boot.uri that can be used; a station does not start "
            "without the address of a CUPS server"
        )
    # 4. Run an update that was received and never run. A station does not check its signature.
    run = run_if_executable(home, home.tmp / "update.bin", runner)
    for line in run.lines:
        log_line(line)


def start_exchange(home: Home, storage: HomeStorage, conf: StationConf, log_line: LogFunction) -> CupsExchange:
    """Return the exchange of one poll. Logs its first lines.

    Args:
        home: The home folder, whose signature keys are read.
        storage: Where the exchange writes files.
        conf: The settings of station.conf.
        log_line: Called with each log line as it is written.
    """
    log_line(LogLine("CUP", Level.INFO, "Starting a CUPS session in 0 seconds."))
    log_line(LogLine("CUP", Level.INFO, "Starting a CUPS session now."))
    return CupsExchange(
        storage,
        sig_keys=home.read_sig_keys(),
        timers=conf.timers,
        log_level=conf.log_levels.level_of("SYS"),
        on_line=log_line,
    )


def end_without_uri(log: ExchangeLog, file_set_label: str, timers: Timers) -> ExchangeResult:
    """Return the result of an exchange that ends at once, because the station has no address to connect to.

    Args:
        log: The log of the exchange. The reason is added to it.
        file_set_label: The name of the set of files that has no address, such as ``CUPS-bak``.
        timers: The intervals of station.conf.
    """
    log.write(Level.ERROR, f"No {file_set_label} URI configured")
    return ExchangeResult(
        exchange=ExchangeOutcome.FAILED,
        update=UpdateAction.NONE,
        key_results=(),
        log=tuple(log.lines),
        wait_s=wait_before_next_poll_s(ExchangeOutcome.FAILED, timers),
    )


def end_with_crash(storage: HomeStorage, why: str, timers: Timers, log_line: LogFunction) -> ExchangeResult:
    """Return the result of an exchange that never begins, because the station crashes at its start.

    Args:
        storage: Where an exchange writes files. Nothing is written.
        why: The reason, in words.
        timers: The intervals of station.conf.
        log_line: Called with each log line as it is written.
    """
    exchange = CupsExchange(storage, timers=timers, on_line=log_line)
    exchange.crash(why)
    return exchange.finish()
