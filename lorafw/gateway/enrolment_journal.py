"""The journal of ``gateway init``, which records what a run creates so that an interrupted run can be rolled back.

The journal is the file ``init.json`` in the new home folder. It is on the disk before each request that creates
something at AWS, and is completed from the answer. If the process is killed, the file stays, and the next
``gateway init`` in the folder reads from it what to undo. The journal also names the account, the Region, the endpoint,
the EUI and the folder of the run.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from lorafw.atomic import PRIVATE_MODE, sync_folder, write_atomic
from lorafw.errors import HomeError

JOURNAL_FILENAME: Final = "init.json"
COMMIT_FILENAME: Final = "station.conf"
"""The last file that is written. It makes the folder a station's home."""

FOLDER_MODE: Final = 0o755
"""Permissions of a new home folder. Only its owner may put a file there, whatever the umask is."""

_TEMPORARY: Final = re.compile(r"\.(.+)\.[0-9a-f]{16}\.tmp")


@dataclass(frozen=True, slots=True)
class Target:
    """The account, Region and endpoint at which a gateway is registered."""

    account: str
    """The number of the AWS account."""
    region: str
    """The name of the AWS Region."""
    endpoint: str
    """The URL at which boto3 finds ``iotwireless``."""

    def __str__(self) -> str:
        """Return the target in words, for error messages."""
        return f"account {self.account}, Region {self.region}, endpoint {self.endpoint}"


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """The state of one run of ``gateway init``."""

    attempt_id: str
    """A random id of the run. Until the run is complete, the Description of a gateway that it registers contains it."""
    started: str
    """The time at which the run started, in ISO 8601."""
    eui: str
    """The EUI of the gateway, in hexadecimal."""
    folder: str
    """Absolute path of the home folder."""
    target: Target
    """Where the gateway is registered."""
    created_folder: bool
    """Whether the run created the home folder."""
    created_gateway: bool | None = None
    """Whether CreateWirelessGateway created the gateway. None means that there is no answer yet."""
    gateway_id: str | None = None
    """The id of the gateway in AWS. None means that there is no answer yet."""
    key_sha256: str | None = None
    """SHA-256 of the public key for which a certificate is requested."""
    certificate_id: str | None = None
    """The id of the certificate in AWS IoT. None means that there is no answer yet."""
    is_associating: bool = False
    """Whether the request to bind the certificate was made or is about to be made."""
    previous_certificate_id: str | None = None
    """The certificate that was bound to the gateway before."""
    file_sha256: Mapping[str, str] = field(default_factory=dict)
    """The SHA-256 of each file that the run writes, by file name."""

    @property
    def started_at(self) -> datetime:
        """The time at which the run started."""
        return datetime.fromisoformat(self.started)


class EnrolmentJournal:
    """The journal in a home folder. The folder must be locked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / JOURNAL_FILENAME

    def read(self) -> JournalEntry | None:
        """Return the entry of an interrupted run. Returns None if there is none.

        Raises:
            HomeError: The file is not a journal.
        """
        try:
            members = json.loads(self._path.read_text("utf-8"))
            return _parse_entry(members)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, AttributeError) as error:
            raise HomeError(
                f"{self._path} is not the journal of a 'gateway init' of this version ({error}); "
                "look at what it names, and then remove it"
            ) from error

    def write(self, entry: JournalEntry) -> None:
        """Write the entry, and wait until it is on the disk."""
        content = json.dumps(asdict(entry), indent=1) + "\n"
        write_atomic(self._path, content, mode=PRIVATE_MODE)
        sync_folder(self._folder)

    def remove(self) -> None:
        """Delete the journal, and wait until that is on the disk."""
        self._path.unlink(missing_ok=True)
        sync_folder(self._folder)

    def is_committed(self, entry: JournalEntry) -> bool:
        """Return True if the run wrote all of its files."""
        return _has_sha256(self._folder / COMMIT_FILENAME, entry.file_sha256.get(COMMIT_FILENAME))

    def delete_files(self, entry: JournalEntry) -> None:
        """Delete the files that the run wrote, unless they were changed since. The journal is not deleted."""
        # station.conf first, because without it the folder is not a home.
        other_names = [name for name in entry.file_sha256 if name != COMMIT_FILENAME]
        for name in (COMMIT_FILENAME, *other_names):
            if _has_sha256(self._folder / name, entry.file_sha256.get(name)):
                (self._folder / name).unlink()
        self._delete_temporary_files(entry)

    def _delete_temporary_files(self, entry: JournalEntry) -> None:
        """Delete the temporary files of writes that were interrupted: see ``write_atomic``."""
        for path in self._folder.iterdir():
            match = _TEMPORARY.fullmatch(path.name)
            if match is None:
                continue
            name_of_target = match[1]
            if name_of_target in entry.file_sha256 or name_of_target == JOURNAL_FILENAME:
                path.unlink(missing_ok=True)

    def delete_folder(self, entry: JournalEntry) -> None:
        """Delete the home folder if the run made it and it is empty."""
        if entry.created_folder:
            with suppress(OSError):
                self._folder.rmdir()


def check_is_same_run(entry: JournalEntry, eui: str, folder: Path, target: Target) -> None:
    """Raise an error unless an interrupted run was for the same gateway, folder and target as the new run.

    Args:
        entry: The entry of the interrupted run.
        eui: The EUI of the new run.
        folder: The home folder of the new run.
        target: The account, Region and endpoint of the new run.

    Raises:
        HomeError: One of them differs. The message names both values.
    """
    journal = folder / JOURNAL_FILENAME
    remedy = f"Nothing was changed. If that place is gone for good, remove {journal}."
    if entry.folder != str(folder.resolve()):
        raise HomeError(
            f"{journal} is about the folder {entry.folder}, and this folder is {folder.resolve()}. "
            f"Run 'gateway init' again for that folder. {remedy}"
        )
    if entry.target != target:
        raise HomeError(
            f"An earlier 'gateway init' in {folder} was interrupted. It was at {entry.target}. boto3 is set to "
            f"{target} now. Run it again with the earlier settings. {remedy}"
        )
    if entry.eui != eui:
        raise HomeError(
            f"An earlier 'gateway init' in {folder} was interrupted. It was for the gateway {entry.eui}, and this one "
            f"is for {eui}. Run it again with --eui {entry.eui}, or choose another folder. {remedy}"
        )


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a folder against other runs of ``gateway init``. The lock ends with the block, or with the process.

    Note:
        The lock is on the folder itself, so it needs no file. On Windows there is no lock.

    Raises:
        HomeError: Another run has the lock.
    """
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not _try_to_lock(descriptor) or not _is_same_folder(folder, descriptor):
            raise HomeError(f"another 'gateway init' is at work in {folder}; wait until it has ended")
        yield
    finally:
        os.close(descriptor)


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of the content in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _try_to_lock(descriptor: int) -> bool:
    """Lock an open folder. Return False if another process has the lock."""
    import fcntl  # noqa: PLC0415 -- Windows does not have it

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            return False
        raise
    return True


def _is_same_folder(folder: Path, descriptor: int) -> bool:
    """Return False if the folder was removed or replaced between opening and locking it."""
    try:
        status = folder.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(status, os.fstat(descriptor))


def _parse_entry(members: dict[str, Any]) -> JournalEntry:
    """Return the entry of a journal file. Raises ValueError or TypeError if the file is not a valid journal."""
    field_names = {item.name for item in fields(JournalEntry)}
    unknown_names = sorted(members.keys() - field_names)
    if unknown_names:
        raise ValueError(f"unknown member {unknown_names[0]!r}")
    target = Target(**members.get("target", {}))
    entry = JournalEntry(**{**members, "target": target})
    # A name with a folder in it would let the journal delete files elsewhere.
    if not isinstance(entry.file_sha256, dict) or any(Path(name).name != name for name in entry.file_sha256):
        raise ValueError("file_sha256 is not about files of this folder")
    entry.started_at  # noqa: B018 -- raises ValueError if it is not a time
    return entry


def _has_sha256(path: Path, expected: str | None) -> bool:
    """Return True if the file exists with this SHA-256. A symbolic link never does."""
    if expected is None or path.is_symlink():
        return False
    try:
        return sha256_of(path.read_bytes()) == expected
    except OSError:
        return False
