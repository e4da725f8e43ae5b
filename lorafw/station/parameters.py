"""The parameters of a Basics Station, such as ``CUPS_OKSYNC_INTV``, which station.conf and the environment can set.

A value that the station cannot read is logged, and the parameter keeps the value that it had. CUPS uses five of the
parameters. The others are read too, because the station logs the same errors about them.

Source: Basics Station 2.0.6, s2conf.h (the table), s2conf.c (``parse_...``) and rt.c (``rt_readSpan``,
``rt_readSize``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from lorafw.station.json_reader import JsonReader, StationJsonError, to_c_string
from lorafw.station.log import Level, LogLine
from lorafw.text import decode_lossless

US_PER_S: Final = 1_000_000

_H_US: Final = 3600 * US_PER_S
_M_US: Final = 60 * US_PER_S
_MS_US: Final = 1000
_KB: Final = 1 << 10
_MB: Final = 1 << 20
_SPAN_UNITS_US: Final = {b"d": 24 * _H_US, b"h": _H_US, b"ms": _MS_US, b"m": _M_US, b"s": US_PER_S}
_SIZE_POWERS: Final = {b"k": 1, b"m": 2, b"g": 3}
_AMOUNT: Final = re.compile(rb"(?:0[xX](?P<hexadecimal>[0-9A-Fa-f]*)|(?P<decimal>[0-9]+))")
_SPAN_UNIT: Final = re.compile(rb"d|h|ms|m|s|")
_SIZE_UNIT: Final = re.compile(rb"(?:([kKmMgG])([bB]?))?")
_MAX_DIGITS: Final = 18
_MAX_I64: Final = (1 << 63) - 1
_MAX_U32: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class _Parameter:
    """How a station reads one parameter."""

    type_label: str
    """The type in the station's error message."""
    read: Callable[[JsonReader], int]
    """Reads the value."""
    is_set_at_once: bool = True
    """Whether a value that other text follows is used, although the station logs an error."""
    is_json_in_environment: bool = True
    """Whether an environment variable contains JSON. If not, its text is the value, without quotes."""


class Parameters:
    """The parameters that were set.

    Args:
        log_line: Called with each line that the station logs about a value that it cannot read.
    """

    def __init__(self, log_line: Callable[[LogLine], None]) -> None:
        self._values: dict[str, int] = {}
        self._log_line = log_line

    def get(self, name: str, default: int) -> int:
        """Return the value of a parameter: microseconds, bytes, or 1 for true. ``default`` if it was not set."""
        return self._values.get(name, default)

    def set_from_environment(self, variables: Mapping[str, bytes]) -> None:
        """Set the parameters that have an environment variable of their name."""
        for name, parameter in _PARAMETERS.items():
            if name in variables:
                value = variables[name]
                text = value if parameter.is_json_in_environment else b'"' + value + b'"'
                self.set(name, "env", text)

    def set(self, name: str, source: str, text: bytes) -> None:
        """Set a parameter from JSON text. If the station cannot read the text, log that and keep the old value.

        Args:
            name: The name of the parameter. It is in ``PARAMETER_NAMES``.
            source: Where the text is from, as the station's log names it.
            text: The text.
        """
        parameter = _PARAMETERS[name]
        reader = JsonReader(text)
        try:
            value = parameter.read(reader)
            if parameter.is_set_at_once:
                self._values[name] = value
            reader.expect_end()
        except StationJsonError as error:
            shown = decode_lossless(to_c_string(text))
            failure = f"Parsing of config param '{name}' ({source}) as {parameter.type_label} failed: {shown}"
            self._log_line(LogLine("JSN", Level.ERROR, str(error)))
            self._log_line(LogLine("any", Level.ERROR, failure))
            return
        self._values[name] = value


def parse_span_us(text: bytes, unit_us: int) -> int | None:
    """Return a span of time in microseconds from a text such as ``1m30s``, ``300ms`` or ``90``.

    Args:
        text: The text.
        unit_us: The unit of a number without a unit.

    Returns:
        The span. None if a station cannot read the text.
    """
    return _sum_amounts(text, _SPAN_UNIT, lambda unit: _SPAN_UNITS_US.get(unit[0], unit_us))


def parse_size(text: bytes, unit_bytes: int) -> int | None:
    """Return a size in bytes: 8192 for ``8KB``, 8000 for ``8K``, and 8 times ``unit_bytes`` for ``8``.

    Args:
        text: The text.
        unit_bytes: The unit of a number without a unit.

    Returns:
        The size. None if a station cannot read the text.
    """
    return _sum_amounts(text, _SIZE_UNIT, partial(_size_unit_bytes, default=unit_bytes))


def _size_unit_bytes(unit: re.Match[bytes], *, default: int) -> int:
    """Return the bytes in a unit such as ``KB`` or ``K``. An empty unit has ``default`` bytes."""
    letter, byte_sign = unit.groups()
    if letter is None:
        return default
    base = 1024 if byte_sign else 1000
    return int(base ** _SIZE_POWERS[letter.lower()])


def _sum_amounts(text: bytes, unit_pattern: re.Pattern[bytes], size_of: Callable[[re.Match[bytes]], int]) -> int | None:
    """Return the sum of amounts that follow each other, such as ``1h30m``.

    Args:
        text: The text. A ``0x`` without digits may follow the last amount.
        unit_pattern: Matches a unit, which may be empty.
        size_of: Returns the size of a unit.

    Returns:
        The sum. None if a station cannot read the text.
    """
    total: int | None = None
    offset = 0
    while amount := _AMOUNT.match(text, offset):
        offset = amount.end()
        if amount["hexadecimal"] == b"":
            break
        unit = unit_pattern.match(text, offset)
        number = _parse_number(amount)
        if unit is None or number is None:
            return None
        offset = unit.end()
        total = (total or 0) + number * size_of(unit)
    return total if offset == len(text) else None


def _parse_number(amount: re.Match[bytes]) -> int | None:
    """Return the number of an amount. None if it has too many digits, with which the station overflows."""
    hexadecimal, decimal = amount["hexadecimal"], amount["decimal"]
    digits = (hexadecimal or decimal).lstrip(b"0") or b"0"
    if len(digits) > _MAX_DIGITS:
        return None
    base = 16 if hexadecimal else 10
    return int(digits, base)


def _read_span_us(reader: JsonReader, *, unit_us: int) -> int:
    """Read a span of time, and return it in microseconds. It can be negative. A number is one of units."""
    if not reader.starts_string():
        return _to_i64(reader, reader.read_number() * unit_us)
    span_us = parse_span_us(reader.read_string(), unit_us)
    if span_us is None:
        raise reader.error("Syntax error")
    return _to_i64(reader, span_us)


def _read_size(reader: JsonReader, *, unit_bytes: int) -> int:
    """Read a size, and return the lowest 32 bits of its bytes. A number is one of units."""
    if not reader.starts_string():
        return _to_i64(reader, reader.read_number() * unit_bytes) & _MAX_U32
    size = parse_size(reader.read_string(), unit_bytes)
    if size is None:
        raise reader.error("Syntax error")
    return _to_i64(reader, size) & _MAX_U32


def _read_u32(reader: JsonReader) -> int:
    """Read an integer without a sign, and return its lowest 32 bits."""
    return reader.read_unsigned() & _MAX_U32


def _read_flag(reader: JsonReader) -> int:
    """Read a boolean as 0 or 1."""
    return int(reader.read_bool())


def _check_text(reader: JsonReader) -> int:
    """Read a string. Its value is not used."""
    reader.read_string()
    return 0


def _to_i64(reader: JsonReader, value: float) -> int:
    """Return a number without its fraction.

    What a station does with a number of more than 64 bits depends on its processor and its compiler. Here it cannot
    read such a number, which is a decision of lorafw.
    """
    if not -_MAX_I64 <= value <= _MAX_I64:
        raise reader.error(f"{value:g} does not fit into 64 bits")
    return int(value)


_SPAN_OF_H: Final = _Parameter("'tspan'", partial(_read_span_us, unit_us=_H_US), is_set_at_once=False)
_SPAN_OF_M: Final = _Parameter("'tspan'", partial(_read_span_us, unit_us=_M_US), is_set_at_once=False)
_SPAN_OF_S: Final = _Parameter("'tspan'", partial(_read_span_us, unit_us=US_PER_S), is_set_at_once=False)
_SPAN_OF_MS: Final = _Parameter("'tspan'", partial(_read_span_us, unit_us=_MS_US), is_set_at_once=False)
_SIZE_OF_KB: Final = _Parameter("'size'", partial(_read_size, unit_bytes=_KB), is_set_at_once=False)
_SIZE_OF_MB: Final = _Parameter("'size'", partial(_read_size, unit_bytes=_MB), is_set_at_once=False)
_U32: Final = _Parameter("u4", _read_u32)
_FLAG: Final = _Parameter("bool", _read_flag)
_TEXT: Final = _Parameter("'str'", _check_text, is_json_in_environment=False)

_PARAMETERS: Final[Mapping[str, _Parameter]] = {
    "RADIODEV": _TEXT,
    "LOGFILE_SIZE": _SIZE_OF_MB,
    "LOGFILE_ROTATE": _U32,
    "TCP_KEEPALIVE_EN": _U32,
    "TCP_KEEPALIVE_IDLE": _U32,
    "TCP_KEEPALIVE_INTVL": _U32,
    "TCP_KEEPALIVE_CNT": _U32,
    "MAX_JOINEUI_RANGES": _U32,
    "CUPS_CONN_TIMEOUT": _SPAN_OF_S,
    "CUPS_OKSYNC_INTV": _SPAN_OF_H,
    "CUPS_RESYNC_INTV": _SPAN_OF_M,
    "CUPS_BUFSZ": _SIZE_OF_KB,
    "GPS_REPORT_DELAY": _SPAN_OF_S,
    "GPS_REOPEN_TTY_INTV": _SPAN_OF_MS,
    "GPS_REOPEN_FIFO_INTV": _SPAN_OF_MS,
    "CMD_REOPEN_FIFO_INTV": _SPAN_OF_MS,
    "RX_POLL_INTV": _SPAN_OF_MS,
    "TC_TIMEOUT": _SPAN_OF_S,
    "CLASS_C_BACKOFF_BY": _SPAN_OF_S,
    "CLASS_C_BACKOFF_MAX": _U32,
    "RADIO_INIT_WAIT": _SPAN_OF_S,
    "PPS_VALID_INTV": _SPAN_OF_MS,
    "TIMESYNC_RADIO_INTV": _SPAN_OF_MS,
    "TIMESYNC_LNS_RETRY": _SPAN_OF_S,
    "TIMESYNC_LNS_PAUSE": _SPAN_OF_S,
    "TIMESYNC_LNS_BURST": _U32,
    "TIMESYNC_REPORTS": _SPAN_OF_S,
    "TX_MIN_GAP": _SPAN_OF_S,
    "TX_AIM_GAP": _SPAN_OF_S,
    "TX_MAX_AHEAD": _SPAN_OF_S,
    "TXCHECK_FUDGE": _SPAN_OF_S,
    "BEACON_INTVL": _SPAN_OF_S,
    "TLS_SNI": _FLAG,
}
"""The parameters, in the order in which the station reads their environment variables."""

PARAMETER_NAMES: Final = frozenset(_PARAMETERS)
"""The names of all parameters."""
