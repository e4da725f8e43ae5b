"""What can go wrong between a firmware update and a gateway, by name.

One vocabulary: the virtual gateway injects these (``gateway.faults``), the simulator draws them and writes them into
the column ``faults`` of its log. A server cannot know them; what it sees instead is ``tasks.lifecycle.Cause``.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class Fault(Enum):
    """The names, in the order of the way from the server to the running firmware."""

    NONE = ""
    STORAGE_ERROR = "storage-error"
    """Object storage does not give the update out."""
    SERVER_ERROR = "server-error"
    """The CUPS server, or what stands in front of it, answers with an error."""
    OFFLINE = "offline"
    """No network, or no power, at the time of the poll."""
    CONNECTION_REFUSED = "connection-refused"
    """There is a network, and nobody listens at the address."""
    SLOW_LINK = "slow-link"
    """8 KB take longer than the station waits for them."""
    LINK_DROP = "link-drop"
    """The connection breaks in the middle of the update."""
    TRUNCATED_BODY = "truncated-body"
    """The server has sent all of it, and not all of it arrives."""
    WRONG_KEY = "wrong-key"
    """The gateway has another key than the one that the update is signed for."""
    NO_KEY = "no-key"
    """The update is signed, and the gateway has no key."""
    UNSIGNED_WITH_KEY = "unsigned-with-key"
    """The update comes without a signature, and the gateway has a key."""
    TMP_FULL = "tmp-full"
    """There is no room for the update in /tmp."""
    SCRIPT_FAILS = "script-fails"
    """The update's script ends before it writes version.txt."""
    UPDATE_STAYS = "update-stays"
    """The update's script does not remove /tmp/update.bin, which then runs again at every start."""
    POWER_CUT = "power-cut"
    """The power goes while the update is being installed."""
    VERSION_MISMATCH = "version-mismatch"
    """The new firmware presents another text than the definition says: a blank, a build time."""


FAULTS: Final = tuple(Fault)
