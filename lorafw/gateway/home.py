"""The home folder of a station: the files that configure it, and those that an exchange leaves behind.

===============================  ===========================================================================
file                             meaning
===============================  ===========================================================================
station.conf                     JSON, comments allowed; ``station_conf`` holds routerid, intervals, log_level
cups.uri, tc.uri                 ``http(s)://host:port``: scheme, host and port, no path
{cups,tc}.{trust,crt,key}        credentials
sig-0.key, sig-1.key, ...        64 bytes each; the list ends at the first that is missing
version.txt                      presented as ``package``; read anew at every request
cups-bak.*, cups-bak.done        copies of cups.*, made once, at the first good answer
``update.bi_``, ``update.bin``    in tmp/, a virtual gateway's own, so that many can live on one machine
===============================  ===========================================================================

Source: Basics Station 2.0.6. ``-temp`` files are an update of the configuration that was not committed.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lorafw.atomic import PRIVATE_MODE, PUBLIC_MODE, write_atomic
from lorafw.cups.credentials import Credentials
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.cups.station_http import CUPS_URI
from lorafw.errors import HomeError
from lorafw.eui import GatewayEui
from lorafw.gateway.station import DEFAULT_TIMERS, Timers
from lorafw.station_log import Level

MAX_URI: Final = 127
_CONF_BYTES: Final = 1 << 20
_TRIMMED: Final = " \t\r\n"
_COMMENT_OR_STRING: Final = re.compile(r'("(?:\\.|[^"\\])*")|/\*.*?\*/|//[^\n]*', re.DOTALL)
_SPAN: Final = re.compile(r"(\d+)(d|h|ms|m|s)")
_UNIT_S: Final = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

CREDENTIAL_FILES: Final = {"trust": "trust", "certificate": "crt", "key": "key"}
"""Part of the credentials to the ending of its file."""


@dataclass(frozen=True, slots=True)
class StationConf:
    """What station.conf says, as far as CUPS needs it."""

    eui: GatewayEui
    timers: Timers = DEFAULT_TIMERS
    log_level: Level = Level.INFO
    tls_sni: bool = True
    """False: the name in the server's certificate is not looked at."""


class Home:
    """A station's home folder. Everything is read anew at each call, as the station does."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @property
    def tmp(self) -> Path:
        """What a real station knows as /tmp."""
        return self.path / "tmp"

    def conf(self) -> StationConf:
        """station.conf. Raises HomeError."""
        path = self.path / "station.conf"
        settings = _settings(path)
        try:
            eui = GatewayEui.from_station_conf(str(settings["routerid"]), str(settings.get("euiprefix", "::1")))
            timers = Timers(
                oksync_s=_span_s(_setting(settings, "CUPS_OKSYNC_INTV", "24h"), 3600.0),
                resync_s=_span_s(_setting(settings, "CUPS_RESYNC_INTV", "1m"), 60.0),
                conn_timeout_s=_span_s(_setting(settings, "CUPS_CONN_TIMEOUT", "60s"), 1.0),
            )
            level = Level[str(settings.get("log_level", "INFO"))]
        except KeyError as error:
            raise HomeError(f"{path}: {error.args[0]!r} is missing from station_conf, or no log level") from error
        except ValueError as error:
            raise HomeError(f"{path}: {error}") from error
        return StationConf(eui, timers, level, tls_sni=_setting(settings, "TLS_SNI", True) is not False)

    def uri(self, category: str, suffix: str = "") -> str | None:
        """The text of ``cups.uri`` or ``tc.uri``; None where there is none, or it is too long to be used."""
        text = self._text(f"{category}{suffix}.uri")
        return text if text and len(text.encode("utf-8", "surrogateescape")) <= MAX_URI else None

    def credentials(self, category: str) -> Credentials:
        return Credentials(
            **{part: self._bytes(f"{category}.{ending}") or b"" for part, ending in CREDENTIAL_FILES.items()}
        )

    def package(self) -> str | None:
        """version.txt without what is blank at its end; None without the file."""
        return self._text("version.txt")

    def sig_keys(self) -> list[bytes]:
        """The contents of sig-0.key, sig-1.key, ... up to the first that is missing."""
        keys: list[bytes] = []
        while (key := self._bytes(f"sig-{len(keys)}.key")) is not None:
            keys.append(key)
        return keys

    def key_crcs(self) -> tuple[int, ...]:
        """What the station presents as ``keys``: the list ends at the first CRC that is 0, as that of an empty file."""
        crcs = [zlib.crc32(key) for key in self.sig_keys()]
        return tuple(crcs[: crcs.index(0)] if 0 in crcs else crcs)

    def request(self, station: str, model: str) -> UpdateInfoRequest:
        """What a station of this version presents from this folder."""
        return UpdateInfoRequest(
            router=self.conf().eui,
            cups_uri=self.uri("cups"),
            tc_uri=self.uri("tc"),
            cups_cred_crc=self.credentials("cups").crc,
            tc_cred_crc=self.credentials("tc").crc,
            station=station,
            model=model,
            package=self.package(),
            keys=self.key_crcs(),
        )

    def write(self, name: str, content: bytes | str, *, mode: int = PUBLIC_MODE) -> Path:
        """Write a file as a whole or not at all, and return its path."""
        path = self.path / name
        write_atomic(path, content, mode=mode)
        return path

    def back_up_cups(self) -> None:
        """Copy cups.* to cups-bak.*, once. Older cups-bak.* files are removed first."""
        done = self.path / "cups-bak.done"
        if done.exists():
            return
        endings = ("uri", *CREDENTIAL_FILES.values())
        for ending in endings:
            (self.path / f"cups-bak.{ending}").unlink(missing_ok=True)
        for ending in endings:
            content = self._bytes(f"cups.{ending}")
            if content is not None:
                self.write(f"cups-bak.{ending}", content, mode=file_mode(ending))
        done.touch(mode=PUBLIC_MODE)

    def _bytes(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HomeError(f"{self.path / name}: {error.strerror}") from error

    def _text(self, name: str) -> str | None:
        content = self._bytes(name)
        return None if content is None else content.decode("utf-8", "surrogateescape").rstrip(_TRIMMED)


def file_mode(suffix: str) -> int:
    """Return the permissions of a file of a home folder with this suffix. Keys are private."""
    if suffix == CREDENTIAL_FILES["key"]:
        return PRIVATE_MODE
    return PUBLIC_MODE


def check_cups_uri(uri: str) -> None:
    """Raise HomeError where a station would not start with this cups.uri."""
    if not CUPS_URI.fullmatch(uri) or len(uri.encode("utf-8", "surrogateescape")) > MAX_URI:
        raise HomeError(
            f"cups.uri is {uri!r}; a station takes http(s)://host:port with the port, without a path, "
            f"at most {MAX_URI} bytes"
        )


def _settings(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")[:_CONF_BYTES]
        content = json.loads(_COMMENT_OR_STRING.sub(lambda match: match[1] or " ", text))
    except FileNotFoundError:
        raise HomeError(f"{path} is missing; 'lorafw gateway init' writes a home folder") from None
    except (ValueError, OSError, RecursionError) as error:
        raise HomeError(f"{path} is not JSON: {error}") from error
    settings = content.get("station_conf") if isinstance(content, dict) else None
    if not isinstance(settings, dict):
        raise HomeError(f"{path} has no object 'station_conf'")
    return settings


def _setting(settings: dict[str, Any], name: str, default: str | bool) -> object:
    """From station.conf, else from an environment variable of this name, whose text is JSON: '"7s"'."""
    if name in settings:
        return settings[name]
    text = os.environ.get(name)
    try:
        return default if text is None else json.loads(text)
    except ValueError:
        raise ValueError(f"""the environment has {name}={text}; a station wants JSON there: {name}='"10s"'""") from None


def _span_s(value: object, unit_s: float) -> float:
    """``10s``, ``1m30s``, ``300ms``, or a number in the setting's own unit."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return value * unit_s
    text = str(value)
    parts = _SPAN.findall(text)
    if not parts or "".join(count + unit for count, unit in parts) != text:
        raise ValueError(f"{text!r} is not a span of time: write 10s, 1m30s, 24h or 300ms")
    return sum(int(count) * _UNIT_S[unit] for count, unit in parts)
