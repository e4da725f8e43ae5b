"""station.conf as a Basics Station reads it.

The station does not start if the file is not its JSON, or if one of its own fields has a wrong type or value. A
parameter with a value that cannot be read is different: the station logs an error, and goes on with the value that it
had. The same holds for parameters in environment variables, which station.conf overrides.
Source: Basics Station 2.0.6, sys_linux.c (``parseStationConf``), s2conf.c and rt.c (``rt_readSpan``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from lorafw.eui import GatewayEui, eui_from_mac
from lorafw.station.exchange import DEFAULT_TIMERS, Timers
from lorafw.station.json_reader import Field, StationJsonError, read_object, read_value
from lorafw.station.log import Level, LogLine
from lorafw.station.log_levels import LogLevels, parse_log_levels
from lorafw.text import decode_lossless, encode_lossless

DEFAULT_BUFFER_BYTES: Final = 8192
DEFAULT_EUI_PREFIX: Final = "::1"
MAX_SPAN_S: Final = 100 * 365 * 86_400.0
"""The longest interval here, a hundred years. A decision of lorafw: a station has 64 bits of microseconds."""

_MIN_BUFFER_BYTES: Final = 147
"""A station with less ends at an assertion (cups.c, ``cups_ini``)."""
_MAX_BUFFER_BYTES: Final = 1 << 30
_MAX_DIGITS: Final = 18
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
    """What the station logs about parameters that it could not read."""

    @property
    def log_level(self) -> Level:
        """The lowest level at which the station writes lines about CUPS to its log."""
        return self.log_levels.level_of("CUP")


@dataclass(slots=True)
class _Settings:
    """The fields of station.conf that were read so far."""

    proto_eui: str | None = None
    """The text of ``routerid``. None until one was read."""
    eui_prefix: str = DEFAULT_EUI_PREFIX
    """The text of ``euiprefix``."""
    log_levels: LogLevels = field(default_factory=LogLevels)
    """The levels in ``log_level``."""


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
    parameters = _Parameters()
    for name, text in parameter_variables(environment).items():
        parameters.set(name, "env", encode_lossless(text))
    settings = _Settings()
    try:
        for section in read_object(content):
            if section.name == b"station_conf":
                _read_section(section, settings, parameters, read_router_id)
    except StationJsonError as error:
        raise StationConfError(str(error)) from error
    if settings.proto_eui is None:
        settings.proto_eui = read_default_router_id()
    return _to_station_conf(settings, parameters)


def parameter_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that have the name of a parameter."""
    return {name: environment[name] for name in _PARAMETERS if name in environment}


def _read_section(
    section: Field, settings: _Settings, parameters: _Parameters, read_router_id: Callable[[str], str]
) -> None:
    """Read the members of ``station_conf``.

    Args:
        section: The object ``station_conf``.
        settings: Gets the EUI and the log levels.
        parameters: Gets the parameters, such as ``CUPS_OKSYNC_INTV``.
        read_router_id: Returns the text of the file that ``routerid`` names, or ``routerid`` itself.

    Raises:
        StationConfError: A station does not start with a member.
    """
    for member in read_object(section.text, level=1):
        name = member.name.decode("utf-8", "backslashreplace")
        if name == "routerid":
            settings.proto_eui = read_router_id(_get_text(member))
            _check_eui(settings.proto_eui, "routerid")
        elif name == "euiprefix":
            settings.eui_prefix = _get_text(member)
            _check_eui(settings.eui_prefix, "euiprefix")
        elif name == "log_level":
            settings.log_levels = _parse_log_levels(_get_text(member))
        elif name in _PARAMETERS:
            parameters.set(name, "station.conf", member.text)
        else:
            _check_unused_field(name, member)


def _check_unused_field(name: str, member: Field) -> None:
    """Raise StationConfError if a field that CUPS does not use prevents the station from starting."""
    if name in _TEXTS:
        _get_text(member)
    elif name in _FLAGS and not isinstance(member.value, bool):
        raise StationConfError(f"{name!r}: Expecting a bool value")
    elif name == "pps" and _get_text(member) not in _PPS_MODES:
        raise StationConfError(f"{name!r}: Illegal pps mode: {_get_text(member)}")
    elif name == "log_size":
        _to_number(member.value)
    elif name == "log_rotate":
        _to_integer(name, member.value)
    elif name == "web_port" and not 1 <= _to_integer(name, member.value) <= _MAX_PORT:
        raise StationConfError(f"{name!r}: Field value not in range [1..{_MAX_PORT}]: {member.value!r}")


def _to_integer(name: str, value: object) -> int:
    """Return the value of a member as an int. Raises StationConfError if it is not one."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise StationConfError(f"{name!r}: Expecting an integer value")
    return value


def _get_text(member: Field) -> str:
    """Return the value of a member as text. Raises StationConfError if it is not a string."""
    if not isinstance(member.value, bytes):
        raise StationConfError(f"{member.name.decode()!r}: Expecting a string value")
    return decode_lossless(member.value)


def _check_eui(text: str, name: str) -> None:
    """Raise StationConfError if the station cannot parse a ``routerid`` or an ``euiprefix``."""
    try:
        if name == "routerid":
            GatewayEui.from_station_conf(text)
        else:
            GatewayEui.from_station_conf("1", text)
    except ValueError as error:
        raise StationConfError(f"{name!r}: Illegal EUI: {error}") from error


def _parse_log_levels(text: str) -> LogLevels:
    """Return the levels in a ``log_level``. Raises StationConfError if the station cannot parse them."""
    try:
        return parse_log_levels(text)
    except ValueError as error:
        raise StationConfError(f"'log_level': Illegal log level: {error}") from error


def _derive_eui(settings: _Settings) -> GatewayEui:
    """Return the EUI that the station derives from its settings. Without a routerid, the MAC address is zero."""
    if not settings.proto_eui:
        return eui_from_mac(0, settings.eui_prefix)
    return GatewayEui.from_station_conf(settings.proto_eui, settings.eui_prefix)


def _to_station_conf(settings: _Settings, parameters: _Parameters) -> StationConf:
    """Return the result, with the station's defaults for parameters that were not set."""
    values = parameters.values
    timers = Timers(
        oksync_s=values.get("CUPS_OKSYNC_INTV", DEFAULT_TIMERS.oksync_s),
        resync_s=values.get("CUPS_RESYNC_INTV", DEFAULT_TIMERS.resync_s),
        conn_timeout_s=values.get("CUPS_CONN_TIMEOUT", DEFAULT_TIMERS.conn_timeout_s),
    )
    return StationConf(
        _derive_eui(settings),
        timers,
        settings.log_levels,
        buffer_bytes=int(values.get("CUPS_BUFSZ", DEFAULT_BUFFER_BYTES)),
        tls_sni=bool(values.get("TLS_SNI", True)),
        log=tuple(parameters.log),
    )


# --- parameters ----------------------------------------------------------------------------------------------------


class _Parameters:
    """The parameters that were set, and the lines that the station logs about those that it could not parse."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self.log: list[LogLine] = []

    def set(self, name: str, source: str, text: bytes) -> None:
        """Set a parameter from JSON text. If the station cannot parse the text, log that and keep the old value."""
        type_label, parse = _PARAMETERS[name]
        try:
            self.values[name] = parse(read_value(text))
        except StationJsonError as error:
            printable = text.decode("utf-8", "backslashreplace")
            failure = f"Parsing of config param '{name}' ({source}) as {type_label} failed: {printable}"
            self.log.append(LogLine("JSN", Level.ERROR, f": {error}"))
            self.log.append(LogLine("any", Level.ERROR, failure))


def _parse_flag_value(value: object) -> float:
    """Return a boolean as 0 or 1."""
    if not isinstance(value, bool):
        raise StationJsonError("Expecting a bool value")
    return float(value)


def _parse_span_value(value: object, *, unit_s: float) -> float:
    """Return a span of time in seconds, from a number of units or a text such as ``1m30s``, ``300ms`` or ``90``."""
    if isinstance(value, bytes):
        text = decode_lossless(value)
        span_s = parse_span_s(text, unit_s)
    else:
        span_s = _to_number(value) * unit_s
    if not 0 <= span_s <= MAX_SPAN_S:
        raise StationJsonError(f"{span_s:g} s is no interval: give 0 to {MAX_SPAN_S:.0f} s")
    return span_s


def _parse_size_value(value: object, *, unit_bytes: int) -> float:
    """Return a size in bytes, from a number of units or a text such as ``8KB``."""
    if isinstance(value, bytes):
        size = parse_size(decode_lossless(value), unit_bytes)
    else:
        size = _to_number(value) * unit_bytes
    if not _MIN_BUFFER_BYTES <= size <= _MAX_BUFFER_BYTES:
        raise StationJsonError(f"{size:g} bytes are no buffer: give {_MIN_BUFFER_BYTES} to {_MAX_BUFFER_BYTES}")
    return float(int(size))


def parse_span_s(text: str, unit_s: float) -> float:
    """Return a span of time in seconds from a text such as ``1m30s``. The unit of a bare number is ``unit_s``.

    Raises:
        StationJsonError: A station cannot read the text.
    """
    total_s = 0.0
    offset = 0
    while number := _NUMBER.match(text, offset):
        offset = number.end()
        unit = next((unit for unit in _SPAN_UNITS_S if text.startswith(unit, offset)), "")
        offset += len(unit)
        total_s += _parse_number(number) * _SPAN_UNITS_S.get(unit, unit_s)
    _check_end(text, offset)
    return total_s


def parse_size(text: str, unit_bytes: int) -> float:
    """Return a size in bytes: 8192 for ``8KB``, 8000 for ``8K``, and 8 times ``unit_bytes`` for ``8``.

    Raises:
        StationJsonError: A station cannot read the text.
    """
    total_bytes = 0
    offset = 0
    while number := _NUMBER.match(text, offset):
        offset = number.end()
        value = _parse_number(number)
        unit = _SIZE_UNIT.match(text, offset)
        if unit is None:
            total_bytes += value * unit_bytes
            continue
        base = 1024 if unit[2] else 1000
        total_bytes += value * base ** _SIZE_POWERS[unit[1].lower()]
        offset = unit.end()
    _check_end(text, offset)
    return float(total_bytes)


def _parse_number(number: re.Match[str]) -> int:
    """Return the value of a number. Raises StationJsonError for too many digits, with which a station overflows."""
    hexadecimal, decimal = number.groups()
    digits = (hexadecimal or decimal).lstrip("0") or "0"
    if len(digits) > _MAX_DIGITS:
        raise StationJsonError("Syntax error")
    base = 16 if hexadecimal else 10
    return int(digits, base)


def _check_end(text: str, offset: int) -> None:
    """Raise StationJsonError if parsing stopped before the end of the text, or did not parse anything."""
    if offset == 0 or offset < len(text):
        raise StationJsonError("Syntax error")


def _to_number(value: object) -> float:
    """Return a JSON value as a number. Raises StationJsonError if it is not one."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise StationJsonError("Expecting a number")
    return float(value)


_PARAMETERS: Final[Mapping[str, tuple[str, Callable[[object], float]]]] = {
    "CUPS_OKSYNC_INTV": ("'tspan'", partial(_parse_span_value, unit_s=3600.0)),
    "CUPS_RESYNC_INTV": ("'tspan'", partial(_parse_span_value, unit_s=60.0)),
    "CUPS_CONN_TIMEOUT": ("'tspan'", partial(_parse_span_value, unit_s=1.0)),
    "CUPS_BUFSZ": ("'size'", partial(_parse_size_value, unit_bytes=1024)),
    "TLS_SNI": ("bool", _parse_flag_value),
}
