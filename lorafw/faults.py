"""Names for what can go wrong when a gateway is updated.

A virtual gateway can inject these faults (``gateway.faults``). The simulator draws them and writes them into the column
``faults`` of its log. A server cannot observe a fault; what it observes is a ``tasks.lifecycle.Cause``.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal


class Fault(Enum):
    """A fault. Members are in the order in which an update meets them, from the server to the running firmware."""

    NONE = ""
    STORAGE_ERROR = "storage-error"
    """Object storage does not deliver the update."""
    SERVER_ERROR = "server-error"
    """The CUPS server, or a proxy in front of it, responds with an error."""
    OFFLINE = "offline"
    """The gateway has no network or no power at the time of the poll."""
    CONNECTION_REFUSED = "connection-refused"
    """The network works, but no server listens at the address."""
    SLOW_LINK = "slow-link"
    """8 KB take longer than the station's timeout."""
    LINK_DROP = "link-drop"
    """The connection breaks in the middle of the update."""
    TRUNCATED_BODY = "truncated-body"
    """The server sends the whole response, but only a part of it arrives."""
    WRONG_KEY = "wrong-key"
    """The gateway's key is not the one with which the update is signed."""
    NO_KEY = "no-key"
    """The update is signed, but the gateway has no key."""
    UNSIGNED_WITH_KEY = "unsigned-with-key"
    """The update is unsigned, but the gateway has a key."""
    TMP_FULL = "tmp-full"
    """There is too little space for the update in /tmp."""
    SCRIPT_FAILS = "script-fails"
    """The update's script ends before it writes version.txt."""
    UPDATE_STAYS = "update-stays"
    """The update's script does not remove /tmp/update.bin, which then runs again at every start."""
    POWER_CUT = "power-cut"
    """The power fails during the installation."""
    VERSION_MISMATCH = "version-mismatch"
    """The new firmware reports a version text that differs from the definition, for example by a space."""


FaultName = Literal[
    "storage-error",
    "server-error",
    "offline",
    "connection-refused",
    "slow-link",
    "link-drop",
    "truncated-body",
    "wrong-key",
    "no-key",
    "unsigned-with-key",
    "tmp-full",
    "script-fails",
    "update-stays",
    "power-cut",
    "version-mismatch",
]
"""The value of a ``Fault`` that can be injected, for type checkers."""

FAULTS: Final = tuple(Fault)
