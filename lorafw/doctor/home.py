"""Read the facts about a gateway's home folder. Nothing is changed."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from lorafw.doctor.subject import HomeFacts
from lorafw.errors import HomeError
from lorafw.gateway.home import Home
from lorafw.station.exchange import to_waiting_s
from lorafw.station.http import StationCrash
from lorafw.station.uri import MalformedUri, parse_cups_uri

_PRIVATE_KEYS: Final = ("cups.key", "tc.key", "cups-bak.key")
_SUFFIXES: Final = frozenset({".uri", ".trust", ".crt", ".key", ".txt"})
_CREDENTIALS: Final = ("cups.trust", "cups.crt", "cups.key")


def read_home(path: Path) -> HomeFacts:
    """Read the facts about a home folder.

    Args:
        path: The folder.

    Returns:
        The facts. A file that is missing is None in them.

    Raises:
        HomeError: The folder does not exist, or a file in it cannot be read.
    """
    if not path.is_dir():
        raise HomeError(f"{path} is not a folder: give the home folder of a gateway, which has station.conf")
    _check_readable(path)
    home = Home(path)
    poll_interval_s, conf_problem = _read_conf(home)
    cups_uri = home.read_uri("cups")
    return HomeFacts(
        path=path,
        conf_problem=conf_problem,
        poll_interval_s=poll_interval_s,
        cups_uri=cups_uri,
        uri_problem=_uri_problem(cups_uri),
        package=home.read_package_version(),
        sig_keys=tuple(home.read_sig_keys()),
        file_modes=_file_modes(path),
        missing_credentials=_missing_credentials(path, cups_uri),
    )


def _check_readable(path: Path) -> None:
    """Raise HomeError if a file of the station exists and cannot be read.

    A station counts it as missing. But the user who runs the doctor may have other rights than the station has.
    """
    for file in path.iterdir():
        is_of_station = file.suffix in _SUFFIXES or file.name == "station.conf"
        if is_of_station and not (file.is_file() and os.access(file, os.R_OK)):
            raise HomeError(f"{file} cannot be read: it must be a file that this user may read")


def _read_conf(home: Home) -> tuple[float | None, str | None]:
    """Return the poll interval in seconds and None, or None and why a station would not start."""
    try:
        return to_waiting_s(home.read_conf().timers.oksync_s), None
    except HomeError as error:
        return None, str(error)


def _uri_problem(cups_uri: str | None) -> str | None:
    """Return why a station cannot use an address. None if it can, or if there is none."""
    if not cups_uri:
        return None
    try:
        parse_cups_uri(cups_uri)
    except MalformedUri as error:
        return " ".join(line.text for line in error.lines)
    except StationCrash as error:
        return error.why
    return None


def _file_modes(path: Path) -> dict[str, int]:
    """Return the permissions of the private key files that exist."""
    return {name: stat.S_IMODE((path / name).stat().st_mode) for name in _PRIVATE_KEYS if (path / name).exists()}


def _missing_credentials(path: Path, cups_uri: str | None) -> tuple[str, ...]:
    """Return the names of the files that HTTPS needs and that do not exist. Plain HTTP needs none."""
    if cups_uri is None or not cups_uri.lower().startswith("https:"):
        return ()
    return tuple(name for name in _CREDENTIALS if not (path / name).exists())
