"""Read single files of a home folder as a station does, and the names and permissions of these files.

Source: Basics Station 2.0.6, sys.c and sys_linux.c.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from lorafw.atomic import PRIVATE_MODE, PUBLIC_MODE
from lorafw.errors import HomeError
from lorafw.text import decode_lossless

MAX_FILE_BYTES: Final = 1 << 20
"""The maximum size of a home file. This is a decision of lorafw: a station reads up to 2 GB."""
MAX_CONF_BYTES: Final = 1 << 17
"""The maximum size of station.conf."""
CREDENTIAL_SUFFIXES: Final = {"trust": "trust", "certificate": "crt", "key": "key"}
"""The suffix of the file of each part of the credentials."""

_TRAILING_SPACE: Final = b" \t\r\n"
_OPEN_FLAGS: Final = os.O_RDONLY | getattr(os, "O_BINARY", 0)
_UNREADABLE: Final = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EACCES,
        errno.EPERM,
        errno.ELOOP,
        errno.ENAMETOOLONG,
    }
)
"""The errors that concern this file alone. Others, such as EMFILE, concern the whole process."""


def read_file(path: Path | str, max_bytes: int = MAX_FILE_BYTES) -> bytes | None:
    """Return the content of a file, or None if there is no file or it cannot be read.

    A station treats a file that it cannot read, such as a folder, as a missing one. It reads as many bytes as the size
    of the file says, so /dev/zero is an empty file.

    Args:
        path: The file.
        max_bytes: The maximum size.

    Raises:
        HomeError: The file is too large, or this process can read no file at all.
    """
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
        try:
            size_bytes = os.fstat(descriptor).st_size
            content = os.read(descriptor, min(size_bytes, max_bytes + 1))
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in _UNREADABLE:
            return None
        raise HomeError(f"{path}: {error.strerror}") from error
    if len(content) > max_bytes:
        raise HomeError(f"{path} has more than {max_bytes} bytes, so it is not a file of a gateway")
    return content


def to_text(content: bytes) -> str:
    """Return the text of a file: a C string, which ends at its first zero byte, without white space at its end."""
    text, _, _ = content.partition(b"\0")
    return decode_lossless(text.rstrip(_TRAILING_SPACE))


def file_mode(suffix: str) -> int:
    """Return the permissions of a file of a home folder with this suffix. Keys are private."""
    if suffix == CREDENTIAL_SUFFIXES["key"]:
        return PRIVATE_MODE
    return PUBLIC_MODE
