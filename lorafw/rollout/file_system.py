"""What the journal needs of a file system: it must be local, and one ``apply`` at a time may use it."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lorafw.atomic import PRIVATE_MODE
from lorafw.errors import JournalError

_MOUNTS: Final = Path("/proc/self/mountinfo")
_NETWORK_TYPES: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "ncpfs"}
)

_TRIES: Final = 5
_PAUSE_S: Final = 0.02
"""``apply`` tries to get its lock this often, with these pauses."""


def check_is_local(path: Path) -> None:
    """Refuse a file on a network file system, where SQLite's write-ahead log does not work.

    Only Linux tells the type of a file system.

    Raises:
        JournalError: The file would be on a network file system.
    """
    kind = _file_system_type(path)
    if kind in _NETWORK_TYPES:
        raise JournalError(
            f"the journal {path} would be on a network file system ({kind}), where no rollout can be recorded safely; "
            "choose a local disk with --journal"
        )


def _file_system_type(path: Path) -> str | None:
    """Return the type of the file system that holds a path. None if it is not known."""
    try:
        lines = _MOUNTS.read_text().splitlines()
    except OSError:
        return None
    folder = follow_links(path).parent
    kind, longest = None, -1
    for line in lines:
        before, _, after = line.partition(" - ")
        mount_point = Path(before.split()[4].replace("\\040", " "))
        if folder.is_relative_to(mount_point) and len(mount_point.parts) >= longest:
            kind, longest = after.split()[0], len(mount_point.parts)
    return kind


@contextmanager
def lock_journal(path: Path) -> Iterator[None]:
    """Keep other runs of ``apply`` away from a journal until the end of the block.

    The operating system holds the lock and frees it at once when the process ends, however it ends.

    Args:
        path: The journal. The lock is on a file beside it.

    Raises:
        JournalError: Another ``apply`` has the lock, or its file cannot be created.
    """
    lock_path = _lock_path(path)
    try:
        descriptor = os.open(lock_path, os.O_CREAT | os.O_RDWR, PRIVATE_MODE)
    except OSError as error:
        raise JournalError(f"the lock {lock_path} cannot be created: {error.strerror}") from error
    try:
        if not _try_lock_for_a_moment(descriptor):
            raise JournalError(f"another 'lorafw rollout apply' is running with {path}; wait until it has ended")
        yield
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Return whether an ``apply`` is running with this journal. Writes nothing."""
    try:
        descriptor = os.open(_lock_path(path), os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _lock_path(journal: Path) -> Path:
    """Return the file whose lock an ``apply`` with this journal has. All symbolic links to a journal have one lock."""
    journal = follow_links(journal)
    return journal.with_name(f"{journal.name}.lock")


def follow_links(path: Path) -> Path:
    """Return the file that symbolic links lead to. A loop of links ends somewhere in the loop."""
    return Path(os.path.realpath(path))


def _try_lock_for_a_moment(descriptor: int) -> bool:
    """Lock an open file, as ``_try_lock`` does. ``is_locked`` of another process can have the lock for a moment."""
    for _ in range(_TRIES - 1):
        if _try_lock(descriptor):
            return True
        time.sleep(_PAUSE_S)
    return _try_lock(descriptor)


def _try_lock(descriptor: int) -> bool:
    """Lock an open file. Returns False if another process has the lock."""
    try:
        if os.name == "nt":
            import msvcrt  # noqa: PLC0415 -- only there on Windows

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl  # noqa: PLC0415 -- not there on Windows

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            return False
        raise
    return True
