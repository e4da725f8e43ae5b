"""Read files that are given on the command line, up to a maximum size.

The maximum also ends the reading of a device such as /dev/zero, which has no end.
"""

from __future__ import annotations

from typing import BinaryIO, Final

import click

MAX_RESPONSE_BYTES: Final = 64 << 20
"""Size of a response that 'gateway judge' reads. Update files have a few MB at most."""
MAX_HTTP_REQUEST_BYTES: Final = 64 << 10
"""Size of a request that 'cups decode-request' reads: eight times the buffer of a station."""
MAX_SIG_KEY_BYTES: Final = 64 << 10
"""Size of a sig-N.key that is read. A usable one has 64 bytes."""


def read_at_most(file: BinaryIO, max_bytes: int) -> bytes:
    """Return the content of a file.

    Raises:
        click.ClickException: The file has more than ``max_bytes`` bytes.
    """
    content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        name = getattr(file, "name", "the input")
        raise click.ClickException(f"{name} has more than {max_bytes} bytes: is it the right file?")
    return content
