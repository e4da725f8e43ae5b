"""A state folder: who may use it, and the lock that lets only one process use it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from lorafw.errors import StateError

LOCK_NAME: Final = "lock"
"""Name of the file that is locked. It contains the number of the process that holds the lock."""

NETWORK_FILE_SYSTEMS: Final = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "glusterfs", "lustre", "beegfs", "fuse.sshfs")
)
"""Types of file systems, as Linux names them, on which SQLite cannot promise that a saved change stays saved."""

_MOUNTS: Final = Path("/proc/self/mounts")


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Create a state folder if necessary, and lock it until the end of the block.

    The operating system releases the lock when the process ends, however it ends.

    Args:
        folder: The folder. It gets mode 0700.

    Raises:
        StateError: Another process or another user has the folder, or it is not fit for a database.
    """
    prepare_folder(folder)
    with _open_lock_file(folder / LOCK_NAME) as file:
        _lock(file, folder)
        _write_process_id(file)
        yield


def prepare_folder(folder: Path) -> None:
    """Create a folder with mode 0700, or check one that exists.

    Raises:
        StateError: The folder belongs to another user, is open to others, is on a network file system, or cannot be
            created.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_owner(folder)
        _close_to_others(folder)
    except OSError as error:
        raise StateError(f"{folder} cannot be used: {error.strerror or error}; give another --state-dir") from error
    file_system = file_system_of(folder)
    if file_system in NETWORK_FILE_SYSTEMS:
        raise StateError(
            f"{folder} is on a network file system ({file_system}), where a saved change can be lost; "
            "give a --state-dir on a local disk"
        )


def file_system_of(folder: Path, mounts: Path = _MOUNTS) -> str | None:
    """Return the type of the file system of a folder. None if the operating system does not say it.

    Args:
        folder: The folder. It must exist.
        mounts: A file in the format of /proc/self/mounts.
    """
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return None
    resolved = folder.resolve()
    file_system = None
    longest = -1
    for line in lines:
        # Each line has the device, the mount point and the type of its file system. A blank is written as \040.
        fields = line.split(" ")
        mount_point = Path(fields[1].replace(r"\040", " "))
        # The deepest mount point counts. Of two mounts at one place, the later one hides the earlier one.
        if resolved.is_relative_to(mount_point) and len(mount_point.parts) >= longest:
            longest = len(mount_point.parts)
            file_system = fields[2]
    return file_system


def _check_owner(folder: Path) -> None:
    """Refuse a folder of another user. Root is refused too, because the owner could not read what root writes."""
    if os.name != "posix":
        return
    owner = folder.stat().st_uid
    if owner != os.geteuid():
        raise StateError(
            f"{folder} belongs to user {owner}, and this process is user {os.geteuid()}; "
            "run it as the owner, or give another --state-dir"
        )


def _close_to_others(folder: Path) -> None:
    """Take the permissions of other users away from an empty folder. Refuse one that has content."""
    if os.name != "posix" or not folder.stat().st_mode & 0o077:
        return
    if any(folder.iterdir()):
        raise StateError(f"{folder} is open to other users; run 'chmod 700 {folder}', or give another --state-dir")
    folder.chmod(0o700)


def _open_lock_file(path: Path) -> IO[str]:
    """Open the lock file, which is created with mode 0600."""
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
    except OSError as error:
        raise StateError(f"{path} cannot be opened: {error.strerror}; give another --state-dir") from error


def _lock(file: IO[str], folder: Path) -> None:
    """Lock a file without waiting. Raises StateError if another process has locked it."""
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 -- exists on Windows only

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # noqa: PLC0415 -- does not exist on Windows

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = ""
        with suppress(OSError):
            holder = file.read(20).strip()
        raise StateError(
            f"{folder} is in use by another process ({holder or 'unknown'}); stop it, or give another --state-dir"
        ) from error


def _write_process_id(file: IO[str]) -> None:
    """Write the number of this process to the lock file, for the error message of another process."""
    with suppress(OSError):  # the disk may be full; the lock holds all the same
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
