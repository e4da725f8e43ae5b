"""``log_level`` of station.conf: which lines a Basics Station writes to its log.

The text is a list with commas. An item is ``LEVEL`` for all modules, or ``MOD:LEVEL`` for one; a later item wins. A
level is a digit, or at least the first four letters of its name in any case.
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
_BY_NAME: Final = {level.short.lower(): level for level in Level}


@dataclass(frozen=True, slots=True)
class LogLevels:
    """The least level that is written: ``default``, or that of the line's module."""

    default: Level = Level.INFO
    modules: Mapping[str, Level] = field(default_factory=lambda: MappingProxyType({}))

    def of(self, module: str) -> Level:
        """Return the least level of one module's lines that is written."""
        return self.modules.get(module, self.default)

    def shows(self, line: LogLine) -> bool:
        """Whether the station writes this line."""
        return line.level >= self.of(line.module)


def parse_log_levels(text: str) -> LogLevels:
    """Read a ``log_level`` as the station does.

    Raises:
        ValueError: The station does not start with this text.
    """
    default, modules = Level.INFO, dict[str, Level]()
    for item in text.split(","):
        module, level = _parse_item(item)
        if module is None:
            default, modules = level, {}
        else:
            modules[module] = level
    return LogLevels(default, MappingProxyType(modules))


def _parse_item(item: str) -> tuple[str | None, Level]:
    """Return the module, or None for all of them, and its level."""
    if item[:1] in tuple("01234567"):
        return None, Level(int(item[0]))
    module = None
    if item[3:4] == ":":
        module = _BY_MODULE.get(item[:3].lower())
        if module is None:
            raise ValueError(f"{item!r} names no module of the log: give one of {', '.join(_MODULES)}")
        item = item[4:]
    level = _BY_NAME.get(item[:4].lower())
    if level is None:
        names = ", ".join(level.name for level in Level)
        raise ValueError(f"{item!r} is no log level: give one of {names}, or 0 to 7")
    return module, level
