"""Write a file as a whole or not at all.

The content is written to a temporary file in the same folder. The temporary file is created with its final mode, so
other users can never read a private key. It is flushed to the disk and then renamed to the final name in one step, so a
reader sees either the old file or the new one. If the disk is full or the process is interrupted, the old file is
unchanged.

Linux can create the temporary file without a name (``O_TMPFILE``). A process that is killed while it writes then leaves
no file behind.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

PRIVATE_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644

_MAX_NAME_CHARS: Final = 40
"""The number of characters of the final name in the temporary name. The file system limits the length of a name."""
_DESCRIPTORS: Final = Path("/proc/self/fd")
_NOT_SUPPORTED: Final = frozenset({errno.EOPNOTSUPP, errno.ENOTSUP, errno.EISDIR, errno.EINVAL, errno.ENOENT})
_NO_HARD_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})


def write_atomic(
    path: Path, content: bytes | str, *, mode: int = PUBLIC_MODE, overwrite: bool = True, is_durable: bool = True
) -> None:
    """Write ``content`` to a file, as a whole or not at all.

    Args:
        path: The file. If it is a symbolic link, the link is replaced and the file that it points to stays.
        content: Text is written as UTF-8.
        mode: Permissions of the new file. The umask of the process can remove some of them.
        overwrite: If False, an existing file is not replaced.
        is_durable: Whether the content is flushed to the disk, so that it survives a power failure. That takes
            milliseconds, and a temporary file does not need it.

    Raises:
        FileExistsError: The file exists and ``overwrite`` is False.
        OSError: The file cannot be written. The old file is unchanged.
    """
    data = content.encode() if isinstance(content, str) else content
    with open_atomic(path, mode=mode, overwrite=overwrite, is_durable=is_durable) as file:
        file.write(data)


@contextmanager
def open_atomic(
    path: Path, *, mode: int = PUBLIC_MODE, overwrite: bool = True, is_durable: bool = True
) -> Iterator[BinaryIO]:
    """Open a file that gets its name when the block ends. If the block raises, no file is written.

    Args:
        path: The file. If it is a symbolic link, the link is replaced and the file that it points to stays.
        mode: Permissions of the new file. The umask of the process can remove some of them.
        overwrite: If False, an existing file is not replaced.
        is_durable: Whether the content is flushed to the disk, so that it survives a power failure.

    Yields:
        The temporary file, open for writing.

    Raises:
        FileExistsError: The file exists and ``overwrite`` is False.
        OSError: The file cannot be written. The old file is unchanged.
    """
    _check_is_regular_file(path)
    # 1. Write the content to a temporary file in the same folder.
    temporary = path.with_name(f".{path.name[:_MAX_NAME_CHARS]}.{secrets.token_hex(8)}.tmp")
    try:
        descriptor, has_name = _create_temporary_file(path, temporary, mode, is_durable=is_durable)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if is_durable:
                os.fsync(descriptor)
            # 2. Give it a name, if the operating system could create it without one.
            if not has_name:
                # Python follows the symbolic link of /proc only if it is given a folder's descriptor, which it ignores.
                os.link(_DESCRIPTORS / str(descriptor), temporary, src_dir_fd=descriptor, follow_symlinks=True)
        # 3. Give it the name of the file. Readers see the old content or the new one, and nothing in between.
        if overwrite:
            temporary.replace(path)
        else:
            _rename_if_new(temporary, path, mode)
    finally:
        temporary.unlink(missing_ok=True)


def create_file(path: Path, content: bytes, *, mode: int = PUBLIC_MODE) -> None:
    """Create a file in a new folder that nobody else uses. The file has its mode from the beginning.

    This takes a third of the time of ``write_atomic``, but is not atomic and not flushed to the disk.

    Args:
        path: The file.
        content: The content.
        mode: Permissions of the file. The umask of the process can remove some of them.

    Raises:
        FileExistsError: The file exists.
        OSError: The file cannot be written.
    """
    with os.fdopen(_create_with_name(path, mode), "wb") as file:
        file.write(content)


def sync_folder(path: Path) -> None:
    """Flush the names in a folder to the disk, so that new and replaced files survive a power failure."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # Some network file systems do not support it.
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create_temporary_file(path: Path, temporary: Path, mode: int, *, is_durable: bool) -> tuple[int, bool]:
    """Create the temporary file, and return its descriptor and whether it has a name yet.

    An error names the file that the caller wants to write, not the temporary one.
    """
    try:
        if not is_durable:
            return _create_with_name(temporary, mode), True
        return _create_without_name(temporary, mode)
    except OSError as error:
        error.filename = str(path)
        raise


def _check_is_regular_file(path: Path) -> None:
    """Raise OSError if something exists at the path that is not a regular file, such as /dev/null or a folder."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "is not a regular file and is not replaced; give the name of a file", str(path))


def _create_without_name(temporary: Path, mode: int) -> tuple[int, bool]:
    """Create the temporary file without a name, or with its name if the system does not support that.

    Returns:
        The descriptor of the file, and whether it has a name.
    """
    o_tmpfile = getattr(os, "O_TMPFILE", 0)
    if o_tmpfile and _DESCRIPTORS.exists():
        try:
            return os.open(temporary.parent, os.O_WRONLY | o_tmpfile, mode), False
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                raise
    return _create_with_name(temporary, mode), True


def _create_with_name(temporary: Path, mode: int) -> int:
    """Create the temporary file under its name. Return its descriptor."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.open(temporary, flags, mode)


def _rename_if_new(temporary: Path, path: Path, mode: int) -> None:
    """Give the temporary file its final name. Raises FileExistsError if another file has that name."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # FAT and some network file systems have no hard links: an empty file reserves the name first.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
        temporary.replace(path)
