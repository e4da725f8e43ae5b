"""station.conf as a Basics Station reads it.

The station does not start if the file is not its JSON, or if one of its own fields has a wrong type or value. A
parameter with a value that cannot be read is different: the station logs an error, and goes on with the value that it
had. The same holds for parameters in environment variables, which station.conf overrides.
Source: Basics Station 2.0.6, sys_linux.c (``parseStationConf``), s2conf.c and rt.c (``rt_readSpan``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from lorafw.eui import GatewayEui
from lorafw.station.exchange import DEFAULT_TIMERS, Timers
from lorafw.station.json_reader import Field, StationJsonError, read_object, read_value
from lorafw.station.log import Level, LogLine
from lorafw.station.log_levels import LogLevels, parse_log_levels

DEFAULT_BUFFER_BYTES: Final = 8192
DEFAULT_EUI_PREFIX: Final = "::1"
MAX_SPAN_S: Final = 100 * 365 * 86_400.0
"""The longest interval here, a hundred years. A decision of lorafw: a station has 64 bits of microseconds."""

_LEAST_BUFFER: Final = 147
"""A station with less ends at an assertion (cups.c, ``cups_ini``)."""
_MOST_BUFFER: Final = 1 << 30
_MOST_DIGITS: Final = 18
_NUMBER: Final = re.compile(r"0[xX]([0-9A-Fa-f]+)|([0-9]+)")
_SPAN_UNITS_S: Final = {"d": 86_400.0, "h": 3600.0, "ms": 0.001, "m": 60.0, "s": 1.0}
_SIZE_UNIT: Final = re.compile(r"([kKmMgG])([bB]?)")
_SIZE_POWERS: Final = {"k": 1, "m": 2, "g": 3}

_TEXTS: Final = frozenset({"log_file", "gps", "radio_init", "device", "web_dir"})
_FLAGS: Final = frozenset({"nocca", "nodc", "nodwell", "device_mode"})
_PPS_MODES: Final = frozenset({"gps", "fuzzy", "testpin"})
_MAX_PORT: Final = 65_535


class StationConfError(ValueError):
    """A station does not start with this station.conf. The message has the words of its log."""


@dataclass(frozen=True, slots=True)
class StationConf:
    """What station.conf says, as far as CUPS needs it."""

    eui: GatewayEui
    timers: Timers = DEFAULT_TIMERS
    log_levels: LogLevels = field(default_factory=LogLevels)
    tls_sni: bool = True
    """False: the name in the server's certificate is not looked at."""
    buffer_bytes: int = DEFAULT_BUFFER_BYTES
    """CUPS_BUFSZ: the station reads a reply in pieces of this size."""
    log: tuple[LogLine, ...] = ()
    """What the station logs about parameters that it could not read."""

    @property
    def log_level(self) -> Level:
        """The least level of CUPS lines that is written."""
        return self.log_levels.level_of("CUP")


@dataclass(slots=True)
class _Settings:
    """The fields of station.conf that were read so far."""

    proto_eui: str
    eui_prefix: str = DEFAULT_EUI_PREFIX
    log_levels: LogLevels = field(default_factory=LogLevels)


def parse_station_conf(
    content: bytes,
    *,
    read_router_id: Callable[[str], str],
    default_router_id: str,
    environment: Mapping[str, str],
) -> StationConf:
    """Read the content of station.conf.

    Args:
        content: The bytes of the file.
        read_router_id: Returns the text of the file that ``routerid`` names, or ``routerid`` itself.
        default_router_id: The MAC of this machine, which stands for a missing ``routerid``, or "" if there is none.
        environment: Environment variables. Those with the name of a parameter count.

    Returns:
        The settings, and the lines that the station logs while it reads them.

    Raises:
        StationConfError: A station does not start with this file.
        ValueError: ``read_router_id`` raised it.
    """
    parameters = _Parameters()
    for name in _PARAMETERS:
        if name in environment:
            parameters.set(name, "env", environment[name].encode("utf-8", "surrogateescape"))
    settings = _Settings(default_router_id)
    try:
        for section in read_object(content):
            if section.name == b"station_conf":
                _read_section(section, settings, parameters, read_router_id)
    except StationJsonError as error:
        raise StationConfError(str(error)) from error
    return _result(settings, parameters)


def _read_section(
    section: Field, settings: _Settings, parameters: _Parameters, read_router_id: Callable[[str], str]
) -> None:
    for member in read_object(section.text, level=1):
        name = member.name.decode("utf-8", "backslashreplace")
        if name == "routerid":
            settings.proto_eui = read_router_id(_text(member))
            _check_eui(settings.proto_eui, "routerid")
        elif name == "euiprefix":
            settings.eui_prefix = _text(member)
            _check_eui(settings.eui_prefix, "euiprefix")
        elif name == "log_level":
            settings.log_levels = _log_levels(_text(member))
        elif name in _PARAMETERS:
            parameters.set(name, "station.conf", member.text)
        else:
            _check_other(name, member)


def _check_other(name: str, member: Field) -> None:
    """Raise StationConfError if a field that has nothing to do with CUPS keeps the station from starting."""
    if name in _TEXTS:
        _text(member)
    elif name in _FLAGS and not isinstance(member.value, bool):
        raise StationConfError(f"{name!r}: Expecting a bool value")
    elif name == "pps" and _text(member) not in _PPS_MODES:
        raise StationConfError(f"{name!r}: Illegal pps mode: {_text(member)}")
    elif name == "log_size":
        _number(member.value)
    elif name == "log_rotate":
        _integer(name, member.value)
    elif name == "web_port" and not 1 <= _integer(name, member.value) <= _MAX_PORT:
        raise StationConfError(f"{name!r}: Field value not in range [1..{_MAX_PORT}]: {member.value!r}")


def _integer(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise StationConfError(f"{name!r}: Expecting an integer value")
    return value


def _text(member: Field) -> str:
    if not isinstance(member.value, bytes):
        raise StationConfError(f"{member.name.decode()!r}: Expecting a string value")
    return member.value.decode("utf-8", "surrogateescape")


def _check_eui(text: str, name: str) -> None:
    try:
        if name == "routerid":
            GatewayEui.from_station_conf(text)
        else:
            GatewayEui.from_station_conf("1", text)
    except ValueError as error:
        raise StationConfError(f"{name!r}: Illegal EUI: {error}") from error


def _log_levels(text: str) -> LogLevels:
    try:
        return parse_log_levels(text)
    except ValueError as error:
        raise StationConfError(f"'log_level': Illegal log level: {error}") from error


def _eui(settings: _Settings) -> GatewayEui:
    if not settings.proto_eui:
        return GatewayEui.from_mac(0, settings.eui_prefix)
    return GatewayEui.from_station_conf(settings.proto_eui, settings.eui_prefix)


def _result(settings: _Settings, parameters: _Parameters) -> StationConf:
    values = parameters.values
    timers = Timers(
        oksync_s=values.get("CUPS_OKSYNC_INTV", DEFAULT_TIMERS.oksync_s),
        resync_s=values.get("CUPS_RESYNC_INTV", DEFAULT_TIMERS.resync_s),
        conn_timeout_s=values.get("CUPS_CONN_TIMEOUT", DEFAULT_TIMERS.conn_timeout_s),
    )
    conf = StationConf(
        _eui(settings),
        timers,
        settings.log_levels,
        buffer_bytes=int(values.get("CUPS_BUFSZ", DEFAULT_BUFFER_BYTES)),
        log=tuple(parameters.log),
    )
    return replace(conf, tls_sni=bool(values.get("TLS_SNI", True)))


# --- parameters ----------------------------------------------------------------------------------------------------


class _Parameters:
    """Parameters that were set, and what the station logs about those that could not be."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.log: list[LogLine] = []

    def set(self, name: str, source: str, text: bytes) -> None:
        """Set a parameter from JSON text, or log why it keeps its value."""
        kind, read = _PARAMETERS[name]
        try:
            self.values[name] = read(read_value(text))
        except StationJsonError as error:
            shown = text.decode("utf-8", "backslashreplace")
            words = f"Parsing of config param '{name}' ({source}) as {kind} failed: {shown}"
            self.log += [LogLine("JSN", Level.ERROR, f": {error}"), LogLine("any", Level.ERROR, words)]


def _read_flag(value: object) -> float:
    if not isinstance(value, bool):
        raise StationJsonError("Expecting a bool value")
    return float(value)


def _read_span(value: object, *, unit_s: float) -> float:
    """Read a span of time: a number of units, or a text such as ``1m30s``, ``300ms`` or ``90``."""
    if isinstance(value, bytes):
        span_s = parse_span_s(value.decode("utf-8", "surrogateescape"), unit_s)
    else:
        span_s = _number(value) * unit_s
    if not 0 <= span_s <= MAX_SPAN_S:
        raise StationJsonError(f"{span_s:g} s is no interval: give 0 to {MAX_SPAN_S:.0f} s")
    return span_s


def _read_size(value: object, *, unit_bytes: int) -> float:
    if isinstance(value, bytes):
        size = parse_size(value.decode("utf-8", "surrogateescape"), unit_bytes)
    else:
        size = _number(value) * unit_bytes
    if not _LEAST_BUFFER <= size <= _MOST_BUFFER:
        raise StationJsonError(f"{size:g} bytes are no buffer: give {_LEAST_BUFFER} to {_MOST_BUFFER}")
    return float(int(size))


def parse_span_s(text: str, unit_s: float) -> float:
    """Return the seconds of a span in text. A number without a unit counts in ``unit_s``.

    Raises:
        StationJsonError: A station cannot read the text.
    """
    total_s, at = 0.0, 0
    while number := _NUMBER.match(text, at):
        value, at = _limited(number), number.end()
        unit = next((unit for unit in _SPAN_UNITS_S if text.startswith(unit, at)), "")
        at += len(unit)
        total_s += value * _SPAN_UNITS_S.get(unit, unit_s)
    _check_all_read(text, at)
    return total_s


def parse_size(text: str, unit_bytes: int) -> float:
    """Return the bytes of a size in text: ``8KB`` are 8192, ``8K`` are 8000, and ``8`` are 8 ``unit_bytes``.

    Raises:
        StationJsonError: A station cannot read the text.
    """
    total, at = 0, 0
    while number := _NUMBER.match(text, at):
        value, at = _limited(number), number.end()
        unit = _SIZE_UNIT.match(text, at)
        if unit is None:
            total += value * unit_bytes
            continue
        base = 1024 if unit[2] else 1000
        total += value * base ** _SIZE_POWERS[unit[1].lower()]
        at = unit.end()
    _check_all_read(text, at)
    return float(total)


def _limited(number: re.Match[str]) -> int:
    """Return the value of a number. One with too many digits is an error: a station's would overflow."""
    hexadecimal, decimal = number.groups()
    digits = (hexadecimal or decimal).lstrip("0") or "0"
    if len(digits) > _MOST_DIGITS:
        raise StationJsonError("Syntax error")
    base = 16 if hexadecimal else 10
    return int(digits, base)


def _check_all_read(text: str, at: int) -> None:
    if at == 0 or at < len(text):
        raise StationJsonError("Syntax error")


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise StationJsonError("Expecting a number")
    return float(value)


_PARAMETERS: Final[Mapping[str, tuple[str, Callable[[object], float]]]] = {
    "CUPS_OKSYNC_INTV": ("'tspan'", partial(_read_span, unit_s=3600.0)),
    "CUPS_RESYNC_INTV": ("'tspan'", partial(_read_span, unit_s=60.0)),
    "CUPS_CONN_TIMEOUT": ("'tspan'", partial(_read_span, unit_s=1.0)),
    "CUPS_BUFSZ": ("'size'", partial(_read_size, unit_bytes=1024)),
    "TLS_SNI": ("bool", _read_flag),
}
