"""The update file ("fwstation"): built, unpacked, installed.

::

    #!/bin/sh
    # lorafw-fwstation 1 {"default_home":".","files":[{"mode":"755","name":"station",..}],..}    the manifest
    ...                                              the script (template.py), padded to header_blocks * 4096
    the files, one behind the other, in the order and of the sizes that the manifest gives
    version.txt: package_version and a line end      the last bytes of the file

Equal input gives equal bytes: files are sorted by name, and nothing of the machine or the moment goes in.
Reading is strict: what ``unpack_image`` returns would build to exactly the bytes that were read, script and
all, or it raises. So what it shows is what a gateway would do.

A name is one of letters, digits, blanks and ``_ . + = @ , -`` and begins with a letter, a digit or ``_``.
Refused are:

======================  ======================================================================
``version.txt``         written from package_version, and last
``cups.*``, ``tc.*``    URIs and credentials come in the CUPS reply, which the station can undo
``sig-*.key``           a wrong key locks the gateway against every later update
======================  ======================================================================

There is no restart unless a command is given. A station reads version.txt anew at every request, so only a
new binary or station.conf needs one. And a default such as ``killall station`` would hit whoever tries the
file on the machine that built it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
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
"""AWS's PackageVersion."""

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


@dataclass(frozen=True)
class FirmwareFile:
    """One file of an update. ``mode`` is 0o644 or 0o755."""

    name: str
    content: bytes = field(repr=False)
    mode: int = 0o644

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.mode not in _MODES.values():
            raise FirmwareError(f"file {self.name!r}: mode is {self.mode!r}: give 0o644 or 0o755")
        if not self.content and self.name in _NEVER_EMPTY:
            raise FirmwareError(f"file {self.name!r} is empty, and no station starts with that: give its content")

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def describe(self) -> Entry:
        return {"name": self.name, "mode": f"{self.mode:o}", "size": len(self.content), "sha256": self.sha256}


@dataclass(frozen=True)
class FirmwareImage:
    """What an update file holds. Its values are checked: one that exists can be built and installed."""

    package_version: str
    files: tuple[FirmwareFile, ...] = ()
    restart: str | None = None
    default_home: str = "."

    def __post_init__(self) -> None:
        _check_line("package_version", self.package_version, MAX_VERSION_CHARS)
        _check_line("default_home", self.default_home, MAX_HOME_CHARS)
        _check_restart(self.restart)
        names = [file.name for file in self.files]
        if len(names) > MAX_FILES:
            raise FirmwareError(f"files: {len(names)} are too many: give at most {MAX_FILES}")
        # Folded, because the disk of a virtual gateway may not tell cases apart.
        if len({name.casefold() for name in names}) < len(names):
            raise FirmwareError(f"files: a name occurs twice in {names}: keep one of them")

    @property
    def version_txt(self) -> bytes:
        """The content of version.txt."""
        return version_txt(self.package_version)

    def describe(self) -> Manifest:
        """A summary without the contents, in values that JSON has."""
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
    """The update file. ``station`` is made executable, and so are the files named in ``executable``.

    It installs into STATION_HOME, which a station started with -h sets, and else into ``default_home``: without
    -h a station lives in its working directory. ``restart`` is run by ``sh -c`` when all is in place.
    """
    if unknown := set(executable) - set(files):
        raise FirmwareError(f"executable: {sorted(unknown)} are not among the files: name files that are")
    _check_total(sum(_size(name, source) for name, source in files.items()), max_bytes)
    runnable = {"station", *executable}
    image = FirmwareImage(
        package_version,
        tuple(
            FirmwareFile(name, _content(name, files[name]), 0o755 if name in runnable else 0o644)
            for name in sorted(files)
        ),
        restart,
        default_home,
    )
    data = b"".join([render(image.describe()), *(file.content for file in image.files), image.version_txt])
    _check_total(len(data), max_bytes)
    return data


def read_update(path: Path, max_bytes: int = MAX_IMAGE_BYTES) -> bytes:
    """The bytes of an update file, whoever built it. Raises FirmwareError where no station could be sent it."""
    size = path.stat().st_size
    if not 0 < size <= max_bytes:
        raise FirmwareError(f"{path} has {size} bytes; an update that a station takes has 1 to {max_bytes}")
    return path.read_bytes()


def looks_like_image(data: bytes) -> bool:
    """Does this begin as an update file of lorafw does? A glance; ``unpack_image`` is the check."""
    return data[: len(MAGIC)] == MAGIC


def unpack_image(data: bytes) -> FirmwareImage:
    """What an update file holds, without running it. FirmwareError for whatever build_image did not make."""
    manifest, head_size = read_manifest(data)
    files, offset = [], head_size
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
    """Do to a home folder what the script does, in its order, but run nothing: no script, no restart."""
    contents = {file.name: file.content for file in image.files} | {"version.txt": image.version_txt}
    modes = {file.name: file.mode for file in image.files} | {"version.txt": 0o644}
    if folders := [name for name in contents if (home / name).is_dir()]:
        raise FirmwareError(f"{home / folders[0]} is a folder; nothing has changed")
    try:
        with _staging_folder(home) as stage:
            for name, content in contents.items():
                (stage / name).write_bytes(content)
                (stage / name).chmod(modes[name])
            for name in contents:
                (stage / name).replace(home / name)
    except OSError as error:
        raise FirmwareError(f"cannot install {image.package_version!r} into {home}: {error}") from error


@contextmanager
def _staging_folder(home: Path) -> Iterator[Path]:
    """Make the folder in which an update is staged, and remove it at the end.

    As in the script, the name ends with the process number. Folders of processes that were killed are removed first,
    since they would fill the gateway's flash for ever.
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
    """Return True if a process has this number, or if that cannot be asked."""
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
    if len(name) > MAX_NAME_CHARS or not _NAME.fullmatch(name):
        raise FirmwareError(f"file name {brief(name)}: give 1 to {MAX_NAME_CHARS} letters, digits, _ . + = @ , -")
    for pattern, reason in _RESERVED.items():
        if re.fullmatch(pattern, name.casefold()):
            raise FirmwareError(f"file name {name!r} has no place in an update file ({reason}): leave it out")


def _check_line(field_name: str, value: str, longest: int) -> None:
    if not 1 <= len(value) <= longest:
        raise FirmwareError(f"{field_name} {brief(value)} has {len(value)} characters: give 1 to {longest} of them")
    # A station trims trailing blanks, and would then present another version than the one written.
    if not value.isprintable() or value != value.strip():
        raise FirmwareError(f"{field_name} {brief(value)}: take out control characters, and blanks at either end")


def _check_restart(command: str | None) -> None:
    if command is None:
        return
    if not command.strip() or len(command) > MAX_RESTART_CHARS:
        raise FirmwareError(
            f"restart {brief(command)}: give 1 to {MAX_RESTART_CHARS} characters, or None for no restart"
        )
    if re.search("[\0\ud800-\udfff]", command):
        raise FirmwareError(f"restart {brief(command)}: take out NUL and surrogates, which no command can hold")


def _check_total(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise FirmwareError(f"files: the update would have {size} bytes, and a station takes {max_bytes}: give less")


def _size(name: str, source: bytes | Path) -> int:
    """The size before anything is read: what is too large for a station may be too large for this machine."""
    if not isinstance(source, Path):
        return len(source)
    try:
        return source.stat().st_size
    except (OSError, ValueError) as error:
        raise FirmwareError(f"file {name!r}: cannot read {source}: {error}") from error


def _content(name: str, source: bytes | Path) -> bytes:
    if not isinstance(source, Path):
        return bytes(source)
    try:
        return source.read_bytes()
    except OSError as error:
        raise FirmwareError(f"file {name!r}: cannot read {source}: {error}") from error
