"""Parse the station.conf of a home folder, and remember the result.

The settings of a station depend on more than the text of station.conf: environment variables replace parameters, and
``routerid`` can name a file that contains the EUI, or be absent. Then the EUI is the MAC address of a network device.

Source: Basics Station 2.0.6, sys_linux.c.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from lorafw.errors import HomeError
from lorafw.eui import GatewayEui
from lorafw.gateway.home_files import MAX_CONF_BYTES, read_file
from lorafw.station.conf import StationConf, parameter_variables, parse_station_conf
from lorafw.text import decode_lossless

_MAX_EUI_CHARACTERS: Final = 100
_EUI_FILE_END: Final = b" \t\r\n\0"
_NETWORK_DEVICES: Final = Path("/sys/class/net")


@dataclass(frozen=True, slots=True)
class _ParsedConf:
    """The settings of a station, and all that they were made from."""

    content: bytes
    """The content of station.conf."""
    variables: Mapping[str, str]
    """The environment variables that have the name of a parameter."""
    router_ids: tuple[tuple[str, str], ...]
    """The texts of ``routerid``, each with what it stands for: itself, or the text of the file that it names."""
    conf: StationConf
    """The settings."""


class ConfParser:
    """Parses the station.conf of one home folder. Parses it again only if the result can differ.

    Args:
        folder: The home folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last: _ParsedConf | None = None
        """The last result."""

    def parse(self, content: bytes) -> StationConf:
        """Return the settings of a station with this station.conf.

        Raises:
            HomeError: A station would not start with this file.
        """
        variables = parameter_variables(os.environ)
        if self._last is None or not self._is_still_valid(self._last, content, variables):
            self._last = self._parse(content, variables)
        return self._last.conf

    def _is_still_valid(self, last: _ParsedConf, content: bytes, variables: Mapping[str, str]) -> bool:
        """Return whether parsing again would give the same result. Reads the file that ``routerid`` names again."""
        if last.content != content or last.variables != variables:
            return False
        if not last.router_ids:
            return False  # the EUI is that of a network device, which may have changed
        return all(resolve_router_id(self._folder, text) == value for text, value in last.router_ids)

    def _parse(self, content: bytes, variables: Mapping[str, str]) -> _ParsedConf:
        """Parse station.conf. Raises HomeError if a station would not start with it."""
        router_ids: list[tuple[str, str]] = []

        def read_router_id(text: str) -> str:
            value = resolve_router_id(self._folder, text)
            router_ids.append((text, value))
            return value

        try:
            conf = parse_station_conf(
                content,
                read_router_id=read_router_id,
                read_default_router_id=partial(default_mac, _NETWORK_DEVICES),
                environment=variables,
            )
        except ValueError as error:
            raise HomeError(f"{self._folder / 'station.conf'}: a station does not start with it: {error}") from error
        return _ParsedConf(content, variables, tuple(router_ids), conf)


def resolve_router_id(folder: Path, text: str) -> str:
    """Return what a ``routerid`` stands for: the text of the file that it names, or itself if it names no file.

    Args:
        folder: The home folder, in which the station was started. A relative path starts there, and ``./`` in the
            working directory of this process. ``~/`` has no meaning, because the station tests the path as it stands.
        text: The ``routerid`` of station.conf.
    """
    path = text
    if not text.startswith(("/", "./")):
        path = os.path.join(folder, text)  # noqa: PTH118 -- called at each request, and a Path is slow
    # Path.is_file() raises for a name that is too long.
    if not text or text.startswith("~/") or not os.path.isfile(path):  # noqa: PTH113
        return text
    content = read_file(path, MAX_CONF_BYTES)
    if content is None:
        return text
    return _eui_text(content)


def _eui_text(content: bytes) -> str:
    """Return the text of a file with an EUI, without white space and zero bytes at its end.

    It is no C string: a zero byte within the text makes it invalid.
    """
    return decode_lossless(content.rstrip(_EUI_FILE_END))[:_MAX_EUI_CHARACTERS]


def default_mac(devices: Path) -> str:
    """Return the MAC address that a station uses if station.conf has no ``routerid``, or "" if there is none.

    The station prefers Ethernet devices (``eth...``), then the first device by name. It ignores the loopback device,
    and devices whose address it cannot read, such as InfiniBand devices and tunnels.

    Args:
        devices: The folder in which Linux lists the network devices.
    """
    macs: dict[str, str] = {}
    for path in devices.glob("*/address"):
        device = path.parent.name
        mac = _eui_text(read_file(path, MAX_CONF_BYTES) or b"")
        if device != "lo" and _is_eui(mac):
            macs[device] = mac
    ethernet_devices = [device for device in macs if device.startswith("eth")]
    candidates = ethernet_devices or list(macs)
    if not candidates:
        return ""
    return macs[min(candidates)]


def _is_eui(text: str) -> bool:
    """Return whether a station can read a text as an EUI or a MAC address."""
    try:
        GatewayEui.from_station_conf(text)
    except ValueError:
        return False
    return True
