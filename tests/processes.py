"""Processes that a test starts."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def killed_at_the_end(process: subprocess.Popen[Any]) -> Iterator[None]:
    """Kill a process when the block ends. A failed assertion would otherwise leave Popen waiting for it."""
    try:
        yield
    finally:
        process.kill()
