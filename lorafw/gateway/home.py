"""The home folder of a station, with its configuration and the files that an exchange writes.

===============================  ===========================================================================
file                             meaning
===============================  ===========================================================================
station.conf                     JSON with ``/* */`` comments; ``station_conf`` holds routerid, intervals, log_level
cups.uri, tc.uri                 ``http(s)://host:port``: scheme, host and port, no path
{cups,tc}.{trust,crt,key}        credentials
sig-0.key, sig-1.key, ...        64 bytes each; the list ends at the first missing file
version.txt                      presented as ``package``; read again for each request
cups-bak.*, cups-bak.done        copies of cups.*, made once, when a server answers 200
``update.bi_``, ``update.bin``    in tmp/ of each virtual gateway, so that one machine can have many
===============================  ===========================================================================

The texts are C strings: they end at their first zero byte, and white space at their end is ignored. An empty file is
not the same as a missing file. Files named ``-temp`` are an update of the configuration that was not committed.

Source: Basics Station 2.0.6, sys.c and sys_linux.c.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Final

from lorafw.atomic import PRIVATE_MODE, PUBLIC_MODE, write_atomic
from lorafw.cups.credentials import Credentials
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.errors import HomeError
from lorafw.station.conf import StationConf, parameter_variables, parse_station_conf
from lorafw.station.http import StationCrash
from lorafw.station.log import Level, LogLine
from lorafw.station.uri import MAX_URI_BYTES, MalformedUri, parse_cups_uri
from lorafw.text import decode_lossless, encode_lossless

MAX_FILE_BYTES: Final = 1 << 20
"""The maximum size of a home file. This is a decision of lorafw: a station reads up to 2 GB."""
MAX_CONF_BYTES: Final = 1 << 17
"""The maximum size of station.conf."""

_TRAILING_SPACE: Final = b" \t\r\n"
_MAX_EUI_TEXT: Final = 100
_URI_BUFFER_BYTES: Final = MAX_URI_BYTES + 1
"""The size of the station's buffer for an address, which a station names in its log. The last byte is a zero byte."""
_NETWORK_DEVICES: Final = Path("/sys/class/net")
_OPEN_FLAGS: Final = os.O_RDONLY | getattr(os, "O_BINARY", 0)
_READ_BYTES: Final = 1 << 16

CREDENTIAL_SUFFIXES: Final = {"trust": "trust", "certificate": "crt", "key": "key"}
"""The suffix of the file of each part of the credentials."""


class CrashAtStart(HomeError):
    """A station would crash while it starts. The message says why."""


def ignore_line(line: LogLine) -> None:
    """Log nothing."""


@dataclass(frozen=True, slots=True)
class _ParsedConf:
    """A station.conf that was parsed, with all that its meaning depends on."""

    content: bytes
    variables: Mapping[str, str]
    """The environment variables that have the name of a parameter."""
    router_ids: tuple[tuple[str, str], ...]
    """The texts of ``routerid``, each with what ``Home`` read for it."""
    conf: StationConf


@dataclass(slots=True)
class _ReadCache:
    """What was read from a home folder inside of ``Home.reading_once``."""

    contents: dict[str, bytes | None] = field(default_factory=dict)
    """The files by name. None means that there is no such file."""
    conf: StationConf | None = None


class Home:
    """The home folder of a station. Each method reads the files again, as the station does.

    Args:
        path: The folder.
        is_durable: Whether a file that was written survives a power failure of this machine. That takes milliseconds
            for each file.
    """

    def __init__(self, path: Path | str, *, is_durable: bool = True) -> None:
        self.path = Path(path)
        self.tmp = self.path / "tmp"
        """The folder that stands for /tmp of a real station."""
        self._is_durable = is_durable
        self._parsed: _ParsedConf | None = None
        self._cache: _ReadCache | None = None
        """The files that were read so far in a ``reading_once`` block. None outside of such a block."""

    @contextmanager
    def reading_once(self) -> Iterator[None]:
        """Read each file at most once until the end of the block, instead of anew in each method."""
        self._cache = _ReadCache()
        try:
            yield
        finally:
            self._cache = None

    def read_conf(self) -> StationConf:
        """Read station.conf and return its settings.

        Raises:
            HomeError: A station would not start with this file, or there is none.
        """
        cache = self._cache
        if cache is None:
            return self._read_changed_conf()
        if cache.conf is None:
            cache.conf = self._read_changed_conf()
        return cache.conf

    def _read_changed_conf(self) -> StationConf:
        """Read station.conf, and parse it only if it means something else than at the last time."""
        content = self._read_content("station.conf", MAX_CONF_BYTES)
        if content is None:
            raise HomeError(f"{self.path / 'station.conf'} is missing; 'lorafw gateway init' writes a home folder")
        variables = parameter_variables(os.environ)
        if self._parsed is None or not self._is_unchanged(self._parsed, content, variables):
            self._parsed = self._parse(content, variables)
        return self._parsed.conf

    def _is_unchanged(self, parsed: _ParsedConf, content: bytes, variables: Mapping[str, str]) -> bool:
        """Return whether parsing again would give the same result. A file that ``routerid`` names is read again."""
        if parsed.content != content or parsed.variables != variables or not parsed.router_ids:
            return False
        return all(self._resolve_router_id(text) == value for text, value in parsed.router_ids)

    def _parse(self, content: bytes, variables: Mapping[str, str]) -> _ParsedConf:
        """Parse station.conf. Raises HomeError if a station would not start with it."""
        router_ids: list[tuple[str, str]] = []

        def read_router_id(text: str) -> str:
            value = self._resolve_router_id(text)
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
            raise HomeError(f"{self.path / 'station.conf'}: a station does not start with it: {error}") from error
        return _ParsedConf(content, variables, tuple(router_ids), conf)

    def read_uri(self, file_set: str, on_log: Callable[[LogLine], None] = ignore_line) -> str | None:
        """Read an address, such as that in cups.uri. The text may be empty, and it may be no address.

        Args:
            file_set: The file name without ``.uri``: ``cups``, ``tc``, ``cups-bak``, ``cups-boot``, ...
            on_log: Called with the line that a station logs if the text is too long to be used.

        Returns:
            The text, or None if there is no file or its text is too long.
        """
        name = f"{file_set}.uri"
        text = self._read_text(name)
        if text is None or len(encode_lossless(text)) <= MAX_URI_BYTES:
            return text
        too_long = f"URI in '{self.path / name}' too long (max {_URI_BUFFER_BYTES}): {text}"
        on_log(LogLine("SYS", Level.ERROR, too_long))
        return None

    def read_credentials(self, file_set: str) -> Credentials:
        """Read the files of the credentials, such as cups.trust, cups.crt and cups.key.

        Args:
            file_set: The name of the three files without suffix: ``cups``, ``tc``, ``cups-bak``, ``cups-boot``, ...

        Returns:
            The contents of the files. A missing file counts as empty.
        """
        return Credentials(
            trust=self._read_content(f"{file_set}.{CREDENTIAL_SUFFIXES['trust']}") or b"",
            certificate=self._read_content(f"{file_set}.{CREDENTIAL_SUFFIXES['certificate']}") or b"",
            key=self._read_content(f"{file_set}.{CREDENTIAL_SUFFIXES['key']}") or b"",
        )

    def read_package_version(self) -> str | None:
        """Read version.txt. Return its text without trailing white space, or None if there is no file."""
        return self._read_text("version.txt")

    def read_sig_keys(self) -> list[bytes]:
        """Read the signature keys. Return the contents of sig-0.key, sig-1.key, ... up to the first missing file."""
        keys: list[bytes] = []
        while (key := self._read_content(f"sig-{len(keys)}.key")) is not None:
            keys.append(key)
        return keys

    def read_key_crcs(self) -> tuple[int, ...]:
        """Read the signature keys. Return the CRC-32 of each, which a station reports as ``keys``.

        The list ends before the first CRC that is 0. An empty file has the CRC 0.
        """
        crcs = (zlib.crc32(key) for key in self.read_sig_keys())
        return tuple(takewhile(bool, crcs))

    def build_request(
        self, station: str, model: str, on_log: Callable[[LogLine], None] = ignore_line
    ) -> UpdateInfoRequest:
        """Read the folder and return the request that a station with these files sends to CUPS.

        Args:
            station: The version of the station.
            model: The platform of the station.
            on_log: Called with each line that the station logs about the files.
        """
        return UpdateInfoRequest(
            router=self.read_conf().eui,
            cups_uri=self.read_uri("cups", on_log),
            tc_uri=self.read_uri("tc", on_log),
            cups_cred_crc=self.read_credentials("cups").crc,
            tc_cred_crc=self.read_credentials("tc").crc,
            station=station,
            model=model,
            package=self.read_package_version(),
            keys=self.read_key_crcs(),
        )

    def write(self, name: str, content: bytes | str, *, mode: int = PUBLIC_MODE) -> Path:
        """Write a file as a whole or not at all, and return its path."""
        path = self.path / name
        write_atomic(path, content, mode=mode, is_durable=self._is_durable)
        return path

    def back_up_cups(self) -> None:
        """Copy cups.* to cups-bak.*, once. Older cups-bak.* files are removed first.

        Two empty files show how far this has come: ``cups-temp.cpy`` exists while the copy is made, and
        ``cups-bak.done`` when it is complete. After a power cut during the copy it is made again.
        """
        folder = str(self.path)
        done_marker = f"{folder}/cups-bak.done"
        copying_marker = f"{folder}/cups-temp.cpy"
        # This runs at each poll, and a Path is slow.
        if os.path.exists(done_marker) and not os.path.exists(copying_marker):  # noqa: PTH110
            return
        Path(copying_marker).touch()
        Path(done_marker).unlink(missing_ok=True)
        suffixes = ("uri", *CREDENTIAL_SUFFIXES.values())
        for suffix in suffixes:
            Path(f"{folder}/cups-bak.{suffix}").unlink(missing_ok=True)
        for suffix in suffixes:
            content = self._read_content(f"cups.{suffix}")
            if content is not None:
                self.write(f"cups-bak.{suffix}", content, mode=file_mode(suffix))
        Path(done_marker).touch(mode=PUBLIC_MODE)
        Path(copying_marker).unlink()

    def _read_content(self, name: str, max_bytes: int = MAX_FILE_BYTES) -> bytes | None:
        """Return the content of a file, or None if there is no file. Reads it once in a ``reading_once`` block."""
        path = os.path.join(self.path, name)  # noqa: PTH118 -- five times as fast as a Path
        if self._cache is None:
            return _read_file(path, max_bytes)
        if name not in self._cache.contents:
            self._cache.contents[name] = _read_file(path, max_bytes)
        return self._cache.contents[name]

    def _read_text(self, name: str) -> str | None:
        """Return the text of a file, or None if there is no file."""
        content = self._read_content(name)
        if content is None:
            return None
        return _c_string(content)

    def _resolve_router_id(self, text: str) -> str:
        """Return the text of the file that ``routerid`` names, or ``routerid`` itself if it names none."""
        path = text.removeprefix("~/")
        if not text.startswith(("/", "./")):
            path = os.path.join(self.path, path)  # noqa: PTH118 -- called at each request, and a Path is slow
        # Path.is_file() raises for a name that is too long.
        if not text or not os.path.isfile(path):  # noqa: PTH113
            return text
        return _c_string(_read_file(path, MAX_CONF_BYTES) or b"")[:_MAX_EUI_TEXT]


def default_mac(devices: Path) -> str:
    """Return the MAC address that a station uses if station.conf has no ``routerid``, or "" if there is none.

    The station prefers Ethernet devices (``eth...``), then the first device by name. It ignores the loopback device.

    Args:
        devices: The folder in which Linux lists the network devices.
    """
    candidates: list[tuple[bool, str, str]] = []
    for path in sorted(devices.glob("*/address")):
        name = path.parent.name
        mac = _c_string(_read_file(path, MAX_CONF_BYTES) or b"")
        if name != "lo" and mac.strip("0:-"):
            is_ethernet = name.startswith("eth")
            candidates.append((not is_ethernet, name, mac))
    if not candidates:
        return ""
    _, _, first_mac = min(candidates)
    return first_mac


def _read_file(path: Path | str, max_bytes: int) -> bytes | None:
    """Return the content of a file, or None if there is none. Raises HomeError if it cannot be read."""
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
        try:
            content = _read_bytes(descriptor, max_bytes + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HomeError(f"{path}: {error.strerror}") from error
    if len(content) > max_bytes:
        raise HomeError(f"{path} has more than {max_bytes} bytes, so it is not a file of a gateway")
    return content


def _read_bytes(descriptor: int, max_bytes: int) -> bytes:
    """Return the first bytes of an open file, at most ``max_bytes``."""
    content = b""
    while len(content) < max_bytes:
        piece = os.read(descriptor, min(_READ_BYTES, max_bytes - len(content)))
        if not piece:
            break
        content += piece
    return content


def _c_string(content: bytes) -> str:
    """Return the text up to the first zero byte, without trailing white space."""
    text, _, _ = content.partition(b"\0")
    return decode_lossless(text.rstrip(_TRAILING_SPACE))


def file_mode(suffix: str) -> int:
    """Return the permissions of a file of a home folder with this suffix. Keys are private."""
    if suffix == CREDENTIAL_SUFFIXES["key"]:
        return PRIVATE_MODE
    return PUBLIC_MODE


def check_cups_uri(uri: str) -> None:
    """Check that a station would start with an address.

    Args:
        uri: The text of cups.uri.

    Raises:
        CrashAtStart: The station would crash.
        HomeError: The station would stop because this is not an address, or the address is too long.
    """
    try:
        parse_cups_uri(uri)
    except StationCrash as error:
        raise CrashAtStart(error.why) from error
    except MalformedUri as error:
        raise HomeError(
            f"cups.uri is {uri!r}; a station takes http(s)://host:port with the port, without a path: {error}"
        ) from error
    if len(encode_lossless(uri)) > MAX_URI_BYTES:
        raise HomeError(f"cups.uri is {uri!r}; a station takes http(s)://host:port with at most {MAX_URI_BYTES} bytes")
