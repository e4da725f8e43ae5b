"""Read files that a command was given, up to a size. A device such as /dev/zero never ends."""

from __future__ import annotations

from typing import BinaryIO, Final

import click

MAX_RESPONSE: Final = 64 << 20
"""Bytes of a reply that 'gateway judge' reads. Update files are at most a few MB."""
MAX_HTTP_REQUEST: Final = 64 << 10
"""Bytes of a request that 'cups decode-request' reads: eight times the buffer of a station."""
MAX_SIG_KEY: Final = 64 << 10
"""Bytes of a sig-N.key. A usable one has 64."""


def read_at_most(file: BinaryIO, limit: int) -> bytes:
    """Return the content of a file. Raises ClickException if it has more than ``limit`` bytes."""
    content = file.read(limit + 1)
    if len(content) > limit:
        name = getattr(file, "name", "the input")
        raise click.ClickException(f"{name} has more than {limit} bytes: is it the right file?")
    return content
