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
not the same as a missing file. A file that cannot be read, such as a folder, counts as missing. Files named ``-temp``
are an update of the configuration that was not committed.

Source: Basics Station 2.0.6, sys.c and sys_linux.c.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, TypeVar

from lorafw.atomic import PUBLIC_MODE, write_atomic
from lorafw.cups.credentials import Credentials
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.errors import HomeError
from lorafw.gateway.conf_parser import ConfParser
from lorafw.gateway.home_files import CREDENTIAL_SUFFIXES, MAX_CONF_BYTES, MAX_FILE_BYTES, read_file, to_text
from lorafw.station.conf import StationConf
from lorafw.station.http import StationCrash
from lorafw.station.log import Level, LogLine
from lorafw.station.uri import MAX_URI_BYTES, MalformedUri, parse_cups_uri
from lorafw.text import encode_lossless

T = TypeVar("T")

_URI_BUFFER_BYTES: Final = MAX_URI_BYTES + 1
"""The size of the station's buffer for an address, which a station names in its log. The last byte is a zero byte."""


class CrashAtStart(HomeError):
    """A station would crash while it starts. The message says why."""


def ignore_line(line: LogLine) -> None:
    """Log nothing."""


class _Memo:
    """Remembers what was read from a home folder, inside of its ``remembering`` block only."""

    def __init__(self) -> None:
        self._values: dict[str, Any] | None = None
        """What was read, by its key. None outside of the block."""

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Remember each value until the end of the block."""
        self._values = {}
        try:
            yield
        finally:
            self._values = None

    def get(self, key: str, read: Callable[[], T]) -> T:
        """Return the remembered value, or read it if there is none.

        Args:
            key: The name of the value.
            read: Reads the value.
        """
        if self._values is None:
            return read()
        if key not in self._values:
            self._values[key] = read()
        value: T = self._values[key]
        return value


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
        self._conf_parser = ConfParser(self.path)
        self._memo = _Memo()

    def reading_once(self) -> AbstractContextManager[None]:
        """Return a context manager. Each file is read at most once in its block, instead of anew in each method."""
        return self._memo.remembering()

    def read(self, name: str, max_bytes: int = MAX_FILE_BYTES) -> bytes | None:
        """Return the content of a file, or None if there is no file or it cannot be read.

        Args:
            name: The file name.
            max_bytes: The maximum size.

        Raises:
            HomeError: The file is too large.
        """
        path = os.path.join(self.path, name)  # noqa: PTH118 -- five times as fast as a Path
        return self._memo.get(name, partial(read_file, path, max_bytes))

    def read_text(self, name: str) -> str | None:
        """Return the text of a file, or None if there is no file."""
        content = self.read(name)
        if content is None:
            return None
        return to_text(content)

    def write(self, name: str, content: bytes | str, *, mode: int = PUBLIC_MODE) -> Path:
        """Write a file as a whole or not at all, and return its path."""
        path = self.path / name
        write_atomic(path, content, mode=mode, is_durable=self._is_durable)
        return path

    def read_conf(self) -> StationConf:
        """Read station.conf and return its settings.

        Raises:
            HomeError: A station would not start with this file, or there is none.
        """
        return self._memo.get("settings of station.conf", self._parse_conf)

    def _parse_conf(self) -> StationConf:
        """Read station.conf and return its settings. See ``read_conf``."""
        content = self.read("station.conf", MAX_CONF_BYTES)
        if content is None:
            path = self.path / "station.conf"
            if path.exists():
                raise HomeError(f"{path} cannot be read")
            raise HomeError(f"{path} is missing; 'lorafw gateway init' writes a home folder")
        return self._conf_parser.parse(content)

    def read_uri(self, file_set: str, on_log: Callable[[LogLine], None] = ignore_line) -> str | None:
        """Read an address, such as that in cups.uri. The text may be empty, and it may be no address.

        Args:
            file_set: The file name without ``.uri``: ``cups``, ``tc``, ``cups-bak``, ``cups-boot``, ...
            on_log: Called with the line that a station logs if the text is too long to be used.

        Returns:
            The text, or None if there is no file or its text is too long.
        """
        name = f"{file_set}.uri"
        text = self.read_text(name)
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
            The contents of the files. A file that is missing or cannot be read counts as empty.
        """
        return Credentials(
            trust=self.read(f"{file_set}.trust") or b"",
            certificate=self.read(f"{file_set}.crt") or b"",
            key=self.read(f"{file_set}.key") or b"",
            file_set=file_set,
        )

    def check_credentials(self, file_set: str) -> None:
        """Check that the files of the credentials can be read, because TLS needs them.

        A station looks at the size of each file first. If it cannot read a file that is not empty, its memory is
        corrupt from then on (tls.c, ``_readCAs``), so what it does next is unknown.

        Args:
            file_set: The name of the three files without suffix.

        Raises:
            HomeError: A file is not empty and cannot be read.
        """
        for suffix in CREDENTIAL_SUFFIXES.values():
            path = self.path / f"{file_set}.{suffix}"
            if self.read(path.name) is None and path.exists() and path.stat().st_size > 0:
                raise HomeError(f"{path} cannot be read: it must be a file that this user may read")

    def read_package_version(self) -> str | None:
        """Read version.txt. Return its text without trailing white space, or None if there is no file."""
        return self.read_text("version.txt")

    def read_sig_keys(self) -> list[bytes]:
        """Read the signature keys. Return the contents of sig-0.key, sig-1.key, ... up to the first missing file."""
        keys: list[bytes] = []
        while (key := self.read(f"sig-{len(keys)}.key")) is not None:
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
