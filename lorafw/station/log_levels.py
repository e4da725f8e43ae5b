"""Parse ``log_level`` of station.conf, which decides which lines a Basics Station writes to its log.

The value is a list of items, separated by commas. An item is ``LEVEL`` for all modules, or ``MOD:LEVEL`` for one. A
later item replaces an earlier one. A level is a digit, or at least the first four letters of its name in upper or
lower case.

Source: Basics Station 2.0.6, log.c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from lorafw.station.log import Level, LogLine

_MODULES: Final = (
    "any", "RAL", "S2E", "WSS", "JSN", "AIO", "CUP", "SYS", "TCE", "HAL", "___", "SYN", "GPS", "SIM", "WEB",
)  # fmt: skip
_BY_MODULE: Final = {name.lower(): name for name in _MODULES}
_BY_NAME: Final = {level.abbreviation.lower(): level for level in Level}


@dataclass(frozen=True, slots=True)
class LogLevels:
    """The minimum level of the lines that a station writes."""

    default: Level = Level.INFO
    """The minimum level of modules without an own level."""
    modules: Mapping[str, Level] = field(default_factory=lambda: MappingProxyType({}))
    """The minimum level by module."""

    def level_of(self, module: str) -> Level:
        """Return the minimum level of one module."""
        return self.modules.get(module, self.default)

    def shows(self, line: LogLine) -> bool:
        """Whether the station writes this line."""
        return line.level >= self.level_of(line.module)


def parse_log_levels(text: str, before: LogLevels | None = None) -> LogLevels:
    """Return the levels that a station reads from a ``log_level``.

    Args:
        text: The text.
        before: The levels that held before, which stay for a module that the text does not mention. None means those
            with which a station starts.

    Raises:
        ValueError: The station does not start with this text.
    """
    before = before or LogLevels()
    default = before.default
    modules = dict(before.modules)
    for item in text.split(","):
        module, level = _parse_item(item)
        if module is None:
            default = level
            modules.clear()
        else:
            modules[module] = level
    return LogLevels(default, MappingProxyType(modules))


def _parse_item(item: str) -> tuple[str | None, Level]:
    """Return the module and the level of one item. The module is None if the item is for all modules."""
    if item[:1] in tuple("01234567"):
        return None, Level(int(item[0]))
    if item[3:4] != ":":
        return None, _parse_level_name(item)
    module = _BY_MODULE.get(item[:3].lower())
    if module is None:
        raise ValueError(f"{item!r} names no module of the log: give one of {', '.join(_MODULES)}")
    return module, _parse_level_name(item[4:])


def _parse_level_name(name: str) -> Level:
    """Return the level whose name begins with the same four letters. Raises ValueError if no name does."""
    level = _BY_NAME.get(name[:4].lower())
    if level is None:
        names = ", ".join(level.name for level in Level)
        raise ValueError(f"{name!r} is no log level: give one of {names}, or 0 to 7")
    return level
