"""Build, unpack and install update files (AWS calls one "fwstation").

An update file has this layout::

    #!/bin/sh
    # lorafw-fwstation 1 {"default_home":".","files":[{"mode":"755","name":"station",..}],..}    the manifest
    ...                                              the script (template.py), padded to header_blocks * 4096
    the contents of the files, in the order and of the sizes that the manifest gives
    version.txt: package_version and a newline       the last bytes of the file

Equal input gives equal bytes: files are sorted by name, and the result depends on neither machine nor time.
``unpack_image`` is strict. It raises an error unless its result would build to exactly the bytes that were read,
script included. So the result describes what a gateway would do.

A file name has letters, digits, blanks and ``_ . + = @ , -``, and begins with a letter, a digit or ``_``.
These names are refused:

======================  ======================================================================
``version.txt``         it is written from package_version, as the last file
``cups.*``, ``tc.*``    URIs and credentials come in the CUPS reply, which the station can undo
``sig-*.key``           a wrong key locks the gateway against every later update
======================  ======================================================================

Nothing is restarted unless a command is given. A station reads version.txt again for every request, so only a new
binary or a new station.conf needs a restart. A default such as ``killall station`` would also stop the stations of
a developer who tries the file on the machine that built it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from reprlib import repr as brief
from typing import Final

from lorafw.errors import FirmwareError
from lorafw.firmware.template import MAGIC, Entry, Manifest, read_manifest, render, version_txt

MAX_IMAGE_BYTES: Final = 2**31 - 1
"""A station refuses an update segment of 2**31 bytes or more."""

MAX_VERSION_CHARS: Final = 32
"""The longest PackageVersion that AWS accepts."""

MAX_FILES: Final = 64
MAX_NAME_CHARS: Final = 100
MAX_HOME_CHARS: Final = 1024
MAX_RESTART_CHARS: Final = 4096

_MODES: Final = {"644": 0o644, "755": 0o755}
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=@, -]*")
_RESERVED: Final = {
    r"version\.txt": "it is written from package_version",
    r"(cups|tc)[.-].*": "URIs and credentials come in the CUPS reply",
    r"sig-.*\.key": "a wrong key locks the gateway against every later update",
}
_NEVER_EMPTY: Final = ("station", "station.conf")
_VERSION_FILE: Final = "version.txt"


@dataclass(frozen=True)
class FirmwareFile:
    """One file of an update. The values are checked when it is created, which raises FirmwareError."""

    name: str
    content: bytes = field(repr=False)
    mode: int = 0o644
    """Permissions of the installed file, 0o644 or 0o755."""

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.mode not in _MODES.values():
            raise FirmwareError(f"file {self.name!r}: mode is {self.mode!r}: give 0o644 or 0o755")
        if not self.content and self.name in _NEVER_EMPTY:
            raise FirmwareError(f"file {self.name!r} is empty, and no station starts with that: give its content")

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the content in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    def describe(self) -> Entry:
        """Return the entry of this file in the manifest."""
        return {"name": self.name, "mode": f"{self.mode:o}", "size": len(self.content), "sha256": self.sha256}


@dataclass(frozen=True)
class FirmwareImage:
    """The content of an update file.

    The values are checked when it is created, which raises FirmwareError. So every image can be built and installed.
    """

    package_version: str
    """The version that the station reports after the update."""
    files: tuple[FirmwareFile, ...] = ()
    restart: str | None = None
    """The shell command that runs after the installation, or None."""
    default_home: str = "."
    """The home folder of the station if STATION_HOME is not set."""

    def __post_init__(self) -> None:
        _check_line("package_version", self.package_version, MAX_VERSION_CHARS)
        _check_line("default_home", self.default_home, MAX_HOME_CHARS)
        _check_restart(self.restart)
        names = [file.name for file in self.files]
        if len(names) > MAX_FILES:
            raise FirmwareError(f"files: {len(names)} are too many: give at most {MAX_FILES}")
        # Compared without case, because the file system of a virtual gateway may ignore case.
        if len({name.casefold() for name in names}) < len(names):
            raise FirmwareError(f"files: a name occurs twice in {names}: keep one of them")

    @property
    def version_txt(self) -> bytes:
        """The content of version.txt."""
        return version_txt(self.package_version)

    def describe(self) -> Manifest:
        """Return the manifest: a summary without the contents, which can be written as JSON."""
        return {
            "package_version": self.package_version,
            "files": [file.describe() for file in self.files],
            "restart": self.restart,
            "default_home": self.default_home,
        }


def build_image(
    *,
    package_version: str,
    files: Mapping[str, bytes | Path] = {},
    executable: Collection[str] = (),
    restart: str | None = None,
    default_home: str = ".",
    max_bytes: int = MAX_IMAGE_BYTES,
) -> bytes:
    """Build an update file and return its bytes.

    The update file installs into the folder STATION_HOME, which a station sets if it was started with ``-h``. A
    station without ``-h`` uses its working directory as home folder, and the update installs into ``default_home``.

    Args:
        package_version: The version that the station reports after the update.
        files: For each file name, the content or the path of a file to read it from.
        executable: Names of the files that get mode 755. The file ``station`` always gets it.
        restart: A command that ``sh -c`` runs when all files are installed; None for no restart.
        default_home: The home folder if STATION_HOME is not set.
        max_bytes: The largest update file to build.

    Raises:
        FirmwareError: A value is not valid, a file cannot be read, or the update would be too large.
    """
    unknown = set(executable) - set(files)
    if unknown:
        raise FirmwareError(f"executable: {sorted(unknown)} are not among the files: name files that are")
    content_bytes = sum(_size(name, source) for name, source in files.items())
    _check_total(content_bytes, max_bytes)
    firmware_files = tuple(_read_files(files, {"station", *executable}))
    image = FirmwareImage(package_version, firmware_files, restart, default_home)
    contents = [file.content for file in image.files]
    data = b"".join([render(image.describe()), *contents, image.version_txt])
    _check_total(len(data), max_bytes)
    return data


def _read_files(files: Mapping[str, bytes | Path], executable: Collection[str]) -> Iterator[FirmwareFile]:
    """Yield the files of an update, sorted by name."""
    for name in sorted(files):
        mode = 0o755 if name in executable else 0o644
        yield FirmwareFile(name, _content(name, files[name]), mode)


def check_is_regular_file(path: Path) -> None:
    """Check that a path leads to a regular file. The size of a pipe or a device is not known before it is read.

    Raises:
        FirmwareError: It does not.
        OSError: There is nothing at the path.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise FirmwareError(f"{path} is not a regular file: write the update into a file first")


def read_update(path: Path, max_bytes: int = MAX_IMAGE_BYTES) -> bytes:
    """Return the bytes of an update file, which lorafw or any other tool may have built.

    Args:
        path: The update file.
        max_bytes: The largest size to accept.

    Raises:
        FirmwareError: The file is empty or too large for a station, or is a pipe or a device.
        OSError: The file cannot be read.
    """
    check_is_regular_file(path)
    size = path.stat().st_size
    if not 0 < size <= max_bytes:
        raise FirmwareError(f"{path} has {size} bytes; an update that a station takes has 1 to {max_bytes}")
    return path.read_bytes()


def looks_like_image(data: bytes) -> bool:
    """Return whether data begins like an update file of lorafw. Only ``unpack_image`` checks all of it."""
    return data[: len(MAGIC)] == MAGIC


def unpack_image(data: bytes) -> FirmwareImage:
    """Return the content of an update file. Nothing of it is run.

    Args:
        data: The bytes of the update file.

    Raises:
        FirmwareError: These are not exactly the bytes that ``build_image`` makes.
    """
    manifest, head_size = read_manifest(data)
    files = []
    offset = head_size
    for entry in manifest["files"]:
        files.append(_unpack_file(entry, data, offset))
        offset += entry["size"]
    image = FirmwareImage(manifest["package_version"], tuple(files), manifest["restart"], manifest["default_home"])
    if data[:head_size] != render(image.describe()):
        raise FirmwareError(f"bytes 0 to {head_size}: the script is not the one that belongs to the manifest")
    if data[offset:] != image.version_txt:
        raise FirmwareError(f"bytes {offset} to {len(data)}: not version.txt with {image.package_version!r}")
    return image


def install_image(image: FirmwareImage, home: Path) -> None:
    """Install an update into the home folder of a virtual gateway, in the same way as the script of the update file.

    All files are first written to a staging folder and then moved into place, version.txt last. Neither the script nor
    the restart command is run.

    Args:
        image: The content of the update file.
        home: The home folder, which must exist.

    Raises:
        FirmwareError: A file has the name of a folder, or a file cannot be written.
    """
    names = [*(file.name for file in image.files), _VERSION_FILE]
    for name in names:
        if (home / name).is_dir():
            raise FirmwareError(f"{home / name} is a folder; nothing has changed")
    try:
        with _staging_folder(home) as stage:
            for file in image.files:
                _write_file(stage / file.name, file.content, file.mode)
            _write_file(stage / _VERSION_FILE, image.version_txt, 0o644)
            for name in names:
                (stage / name).replace(home / name)
    except OSError as error:
        raise FirmwareError(f"cannot install {image.package_version!r} into {home}: {error}") from error


def _write_file(path: Path, content: bytes, mode: int) -> None:
    """Write a file with these permissions."""
    path.write_bytes(content)
    path.chmod(mode)


@contextmanager
def _staging_folder(home: Path) -> Iterator[Path]:
    """Create a staging folder in the home folder, and remove it at the end.

    As in the script, the name ends with the process number. Staging folders of processes that no longer run are
    removed first, since nothing else would free their space in the gateway's flash.
    """
    for old in home.glob(".fwstation-*"):
        if not _is_running(old.name.rpartition("-")[2]):
            shutil.rmtree(old, ignore_errors=True)
    stage = home / f".fwstation-{os.getpid()}"
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(mode=0o700)
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _is_running(process_number: str) -> bool:
    """Return whether a process has this number. Return True if the system cannot tell."""
    if not process_number.isdecimal():
        return False
    if os.name != "posix":
        return True
    try:
        os.kill(int(process_number), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _unpack_file(entry: Entry, data: bytes, start: int) -> FirmwareFile:
    """Return the file whose content begins at byte ``start``, checked against its entry in the manifest."""
    if not 0 <= entry["size"] <= len(data) - start:
        raise FirmwareError(
            f"file {brief(entry['name'])}: {brief(entry['size'])} bytes from byte {start} on are not there"
        )
    end = start + entry["size"]
    if entry["mode"] not in _MODES:
        raise FirmwareError(f"file {brief(entry['name'])}: mode is {brief(entry['mode'])}, not 644 or 755")
    file = FirmwareFile(entry["name"], data[start:end], _MODES[entry["mode"]])
    if file.sha256 != entry["sha256"]:
        raise FirmwareError(f"file {file.name!r}: bytes {start} to {end} do not have the SHA-256 of the manifest")
    return file


def _check_name(name: str) -> None:
    """Refuse a file name that is not valid or is reserved."""
    if len(name) > MAX_NAME_CHARS or not _NAME.fullmatch(name):
        raise FirmwareError(f"file name {brief(name)}: give 1 to {MAX_NAME_CHARS} letters, digits, _ . + = @ , -")
    for pattern, reason in _RESERVED.items():
        if re.fullmatch(pattern, name.casefold()):
            raise FirmwareError(f"file name {name!r} has no place in an update file ({reason}): leave it out")


def _check_line(field_name: str, value: str, longest: int) -> None:
    """Refuse a value that is empty, too long, or not one line of printable text without blanks at its ends."""
    if not 1 <= len(value) <= longest:
        raise FirmwareError(f"{field_name} {brief(value)} has {len(value)} characters: give 1 to {longest} of them")
    # A station removes trailing blanks, so it would report another version than the one in the file.
    if not value.isprintable() or value != value.strip():
        raise FirmwareError(f"{field_name} {brief(value)}: take out control characters, and blanks at either end")


def _check_restart(command: str | None) -> None:
    """Refuse a restart command that is blank, too long, or holds characters that no command can have."""
    if command is None:
        return
    if not command.strip() or len(command) > MAX_RESTART_CHARS:
        raise FirmwareError(
            f"restart {brief(command)}: give 1 to {MAX_RESTART_CHARS} characters, or None for no restart"
        )
    if re.search("[\0\ud800-\udfff]", command):
        raise FirmwareError(f"restart {brief(command)}: take out NUL and surrogates, which no command can hold")


def _check_total(size: int, max_bytes: int) -> None:
    """Refuse an update that is larger than a station accepts."""
    if size > max_bytes:
        raise FirmwareError(f"files: the update would have {size} bytes, and a station takes {max_bytes}: give less")


def _size(name: str, source: bytes | Path) -> int:
    """Return the number of bytes of a file without reading it, since it may be too large for the memory here."""
    if not isinstance(source, Path):
        return len(source)
    try:
        return source.stat().st_size
    except (OSError, ValueError) as error:
        raise FirmwareError(f"file {name!r}: cannot read {source}: {error}") from error


def _content(name: str, source: bytes | Path) -> bytes:
    """Return the content of a file."""
    if not isinstance(source, Path):
        return bytes(source)
    try:
        return source.read_bytes()
    except OSError as error:
        raise FirmwareError(f"file {name!r}: cannot read {source}: {error}") from error
