"""station.conf as a Basics Station reads it.

The station does not start if the file is not its JSON, or if one of its own fields has a wrong type or value. A
parameter with a value that cannot be read is different: the station logs an error, and goes on with the value that it
had. The same holds for parameters in environment variables, which station.conf overrides. A field that the station does
not know is logged and ignored.

Source: Basics Station 2.0.6, sys_linux.c (``parseStationConf``) and cups.c (``cups_ini``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from lorafw.eui import GatewayEui, eui_from_mac
from lorafw.station.exchange import DEFAULT_TIMERS, Timers
from lorafw.station.json_reader import JsonReader, StationJsonError, to_c_string
from lorafw.station.log import Level, LogLine
from lorafw.station.log_levels import LogLevels, parse_log_levels
from lorafw.station.parameters import PARAMETER_NAMES, US_PER_S, Parameters
from lorafw.text import decode_lossless, encode_lossless, visible

DEFAULT_BUFFER_BYTES: Final = 8192
DEFAULT_EUI_PREFIX: Final = "::1"

_MIN_BUFFER_BYTES: Final = 147
"""A station with less ends at an assertion (cups.c, ``cups_ini``)."""
_MAX_BUFFER_BYTES: Final = 1 << 30
"""A decision of lorafw: with more, no gateway has the memory."""

_TEXTS: Final = frozenset({b"radio_init", b"device", b"web_dir"})
_PATHS: Final = frozenset({b"log_file", b"gps"})
_FLAGS: Final = frozenset({b"nocca", b"nodc", b"nodwell", b"device_mode"})
_PPS_MODES: Final = frozenset({b"gps", b"fuzzy", b"testpin"})
_MAX_PATH_BYTES: Final = 255
_MAX_PORT: Final = 65_535


class StationConfError(ValueError):
    """A station does not start with this station.conf. The message has the words of its log."""


@dataclass(frozen=True, slots=True)
class StationConf:
    """What station.conf says, as far as CUPS needs it."""

    eui: GatewayEui
    """The identity of the gateway, with which it asks for updates."""
    timers: Timers = DEFAULT_TIMERS
    """The time between two polls, and the time limit of a connection."""
    log_levels: LogLevels = field(default_factory=LogLevels)
    """For each module of the station, which lines it writes to its log."""
    tls_sni: bool = True
    """Whether the station checks that the server's certificate is for the host in cups.uri."""
    buffer_bytes: int = DEFAULT_BUFFER_BYTES
    """Size of the buffer for a request and its response, in bytes (the parameter ``CUPS_BUFSZ``)."""
    log: tuple[LogLine, ...] = ()
    """What the station writes to its log about parameters that it cannot read and fields that it does not know."""

    @property
    def log_level(self) -> Level:
        """The lowest level at which the station writes lines about CUPS to its log."""
        return self.log_levels.level_of("CUP")


def parse_station_conf(
    content: bytes,
    *,
    read_router_id: Callable[[str], str],
    read_default_router_id: Callable[[], str],
    environment: Mapping[str, str],
) -> StationConf:
    """Read the content of station.conf.

    Args:
        content: The bytes of the file.
        read_router_id: Returns the text of the file that ``routerid`` names, or ``routerid`` itself.
        read_default_router_id: Returns the MAC of this machine, which stands for a missing ``routerid``, or "" if there
            is none. Called only if it is needed.
        environment: Environment variables. Those with the name of a parameter count.

    Returns:
        The settings, and the lines that the station logs while it reads them.

    Raises:
        StationConfError: A station does not start with this file.
        ValueError: ``read_router_id`` raised it.
    """
    variables = parameter_variables(environment)
    reading = _Reading(content, read_router_id)
    reading.parameters.set_from_environment({name: encode_lossless(text) for name, text in variables.items()})
    try:
        reading.read_file()
    except StationJsonError as error:
        raise StationConfError(visible(str(error)).removeprefix(": ")) from error
    return reading.to_station_conf(read_default_router_id)


def parameter_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that have the name of a parameter."""
    return {name: environment[name] for name in environment if name in PARAMETER_NAMES}


class _Reading:
    """Reads one station.conf from its beginning to its end, and collects what it says.

    Args:
        content: The bytes of the file.
        read_router_id: Returns the text of the file that ``routerid`` names, or ``routerid`` itself.
    """

    def __init__(self, content: bytes, read_router_id: Callable[[str], str]) -> None:
        self._reader = JsonReader(content)
        self._read_router_id = read_router_id
        self._proto_eui: str | None = None
        """The text of ``routerid``. None until one was read."""
        self._eui_prefix = DEFAULT_EUI_PREFIX
        self._log_levels = LogLevels()
        self._log: list[LogLine] = []
        self.parameters = Parameters(self._write_log)

    def read_file(self) -> None:
        """Read the whole file. Raises StationJsonError if a station does not start with it."""
        for name in self._reader.members():
            if name == b"station_conf":
                self._read_section()
            else:
                self._reader.skip_value()
        self._reader.expect_end()

    def to_station_conf(self, read_default_router_id: Callable[[], str]) -> StationConf:
        """Return the result, with the station's defaults for what was not set.

        Args:
            read_default_router_id: Returns the MAC of this machine, or "" if there is none.

        Raises:
            StationConfError: A station would end soon after its start.
        """
        if self._proto_eui is None:
            self._proto_eui = read_default_router_id()
        return StationConf(
            self._derive_eui(self._proto_eui),
            self._to_timers(),
            self._log_levels,
            buffer_bytes=self._get_buffer_bytes(),
            tls_sni=self.parameters.get("TLS_SNI", default=1) == 1,
            log=tuple(self._log),
        )

    def _write_log(self, line: LogLine) -> None:
        """Write a line to the log if the levels that were read so far allow it."""
        if self._log_levels.shows(line):
            self._log.append(line)

    def _read_section(self) -> None:
        """Read the object ``station_conf``."""
        reader = self._reader
        for name in reader.members():
            if name == b"routerid":
                self._proto_eui = self._read_router_id(self._read_text())
                self._check_eui(self._proto_eui, DEFAULT_EUI_PREFIX)
            elif name == b"euiprefix":
                self._eui_prefix = self._read_text()
                self._check_eui("1", self._eui_prefix)
            elif name == b"log_level":
                self._log_levels = self._read_log_levels()
            elif not self._check_unused_field(name):
                self._read_parameter(decode_lossless(to_c_string(name)))

    def _read_parameter(self, name: str) -> None:
        """Read the value of a parameter, or of a field that the station does not know."""
        text = self._reader.skip_value()
        if name in PARAMETER_NAMES:
            self.parameters.set(name, "station.conf", text)
        else:
            self._write_log(LogLine("SYS", Level.WARNING, f"Ignoring field: {name}"))

    def _check_unused_field(self, name: bytes) -> bool:
        """Read a field of the station that CUPS does not use. Return False if ``name`` is not the name of one.

        Raises:
            StationJsonError: A station does not start with this value.
        """
        reader = self._reader
        if name in _TEXTS:
            reader.read_string()
        elif name in _PATHS:
            self._check_path(name, reader.read_string())
        elif name in _FLAGS:
            reader.read_bool()
        elif name == b"pps":
            self._check_pps_mode(reader.read_string())
        elif name == b"log_size":
            reader.read_number()
        elif name == b"log_rotate":
            reader.read_int()
        elif name == b"web_port":
            self._check_port(reader.read_int())
        else:
            return False
        return True

    def _check_path(self, name: bytes, path: bytes) -> None:
        """Raise StationJsonError if a station ends because of a path."""
        if name == b"log_file" and b"," in path:
            raise self._reader.error(
                "A station crashes if log_file contains a comma; log_size and log_rotate are fields of their own"
            )
        if len(path) > _MAX_PATH_BYTES:
            raise self._reader.error(f"File path too big: {decode_lossless(path)}")

    def _check_pps_mode(self, mode: bytes) -> None:
        """Raise StationJsonError if a station does not know a ``pps``."""
        if mode not in _PPS_MODES:
            raise self._reader.error(f"Illegal pps mode: {decode_lossless(mode)}")

    def _check_port(self, port: int) -> None:
        """Raise StationJsonError if a ``web_port`` is not a port."""
        if not 1 <= port <= _MAX_PORT:
            raise self._reader.error(f"Field value not in range [1..{_MAX_PORT}]: {port}")

    def _read_text(self) -> str:
        """Read and return a string."""
        return decode_lossless(self._reader.read_string())

    def _check_eui(self, router_id: str, eui_prefix: str) -> None:
        """Raise StationJsonError if the station cannot parse one of the texts."""
        try:
            GatewayEui.from_station_conf(router_id, eui_prefix)
        except ValueError as error:
            raise self._reader.error(f"Illegal EUI: {error}") from error

    def _read_log_levels(self) -> LogLevels:
        """Read a ``log_level``, and return the levels that hold from here on."""
        text = self._read_text()
        try:
            return parse_log_levels(text, self._log_levels)
        except ValueError as error:
            raise self._reader.error(f"Illegal log level: {error}") from error

    def _derive_eui(self, proto_eui: str) -> GatewayEui:
        """Return the EUI that the station derives from its settings. Without a routerid, the MAC address is zero."""
        if not proto_eui:
            return eui_from_mac(0, self._eui_prefix)
        return GatewayEui.from_station_conf(proto_eui, self._eui_prefix)

    def _to_timers(self) -> Timers:
        """Return the intervals."""
        return Timers(
            oksync_s=self._get_interval_s("CUPS_OKSYNC_INTV", DEFAULT_TIMERS.oksync_s),
            resync_s=self._get_interval_s("CUPS_RESYNC_INTV", DEFAULT_TIMERS.resync_s),
            conn_timeout_s=self._get_interval_s("CUPS_CONN_TIMEOUT", DEFAULT_TIMERS.conn_timeout_s),
        )

    def _get_interval_s(self, name: str, default_s: float) -> float:
        """Return an interval in seconds."""
        default_us = round(default_s * US_PER_S)
        return self.parameters.get(name, default_us) / US_PER_S

    def _get_buffer_bytes(self) -> int:
        """Return the size of the buffer. Raises StationConfError if a station ends when it makes the buffer."""
        size = self.parameters.get("CUPS_BUFSZ", DEFAULT_BUFFER_BYTES)
        if not _MIN_BUFFER_BYTES <= size <= _MAX_BUFFER_BYTES:
            raise StationConfError(
                f"CUPS_BUFSZ: {size} bytes are no buffer; a station ends when it makes it. "
                f"Give {_MIN_BUFFER_BYTES} to {_MAX_BUFFER_BYTES} bytes"
            )
        return size
