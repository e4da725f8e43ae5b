"""Who gives a command to a rollout from this machine."""

from __future__ import annotations

import getpass
import socket


def local_actor() -> str:
    """Return the name of the user and of this machine, such as "ada@laptop", for the journal."""
    return f"{getpass.getuser()}@{socket.gethostname()}"
