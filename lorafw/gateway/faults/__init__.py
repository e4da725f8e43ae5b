"""Faults by name, each a small object on the path that it disturbs.

A gateway's path has four places: its home folder, the transport to the CUPS server, the disk that takes the update,
and the runner that installs it. A fault takes what is there and gives back what is there instead; all else stays
as it is, so that the server sees what it would see of a real gateway in this trouble. Time is not spent: a link that is
too slow is cut at once, where a station would have given up.

===================  ==========  =================================================================================
name                 place       what the service sees
===================  ==========  =================================================================================
storage-error        server      it cannot read the update: nothing is sent, no attempt is used up
server-error         transport   no request
offline              transport   no request
connection-refused   transport   no request
slow-link            transport   a reply that was not wholly taken: no attempt is used up, offered again
link-drop            transport   a reply that was not wholly taken: no attempt is used up, offered again
truncated-body       transport   a whole send; then, soon, the old version: an attempt is used up
wrong-key            home        ``keys`` without the update's key; a whole send; then the old version
no-key               home        no ``keys``; a whole send; then the old version
unsigned-with-key    transport   a whole send; then the old version
tmp-full             disk        a whole send; then the old version
script-fails         runner      a whole send; then the old version
update-stays         runner      the new version; at a later start the same update once more
power-cut            runner      a whole send; then, after the restart, the old version
version-mismatch     runner      a whole send; then a version that is neither the old nor the new one
===================  ==========  =================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lorafw.errors import FaultError
from lorafw.faults import Fault
from lorafw.gateway.faults.injector import FaultInjector
from lorafw.gateway.faults.install import (
    NoKey,
    PowerCut,
    ScriptFails,
    TmpFull,
    UpdateStays,
    VersionMismatch,
    WrongKey,
)
from lorafw.gateway.faults.link import (
    ConnectionRefused,
    LinkDrop,
    Offline,
    ServerError,
    SlowLink,
    StorageError,
    TruncatedBody,
    UnsignedWithKey,
)
from lorafw.tasks.service import UpdateService

_AT_THE_SERVER: Final = StorageError
_AT_THE_GATEWAY: Final[Mapping[Fault, type[FaultInjector]]] = {
    made.fault: made
    for made in (
        ServerError,
        Offline,
        ConnectionRefused,
        SlowLink,
        LinkDrop,
        TruncatedBody,
        WrongKey,
        NoKey,
        UnsignedWithKey,
        TmpFull,
        ScriptFails,
        UpdateStays,
        PowerCut,
        VersionMismatch,
    )
}


def kind_of(fault: Fault) -> type[FaultInjector]:
    """What is told of a fault: its docstring, and what it leaves of a task."""
    return _AT_THE_SERVER if fault is _AT_THE_SERVER.fault else _AT_THE_GATEWAY[fault]


def injection(fault: Fault | str, service: UpdateService | None = None) -> FaultInjector:
    """The fault of this name, with its defaults. Raises FaultError.

    ``service`` is the one that answers the gateway: storage-error happens there, and nowhere else.
    """
    name = fault.value if isinstance(fault, Fault) else fault
    if name == _AT_THE_SERVER.fault.value:
        if service is None:
            raise FaultError(
                name,
                "storage-error happens at the server, not at a gateway: take the object away there ('aws s3 rm'), "
                "or inject it on a Testbed",
            )
        return _AT_THE_SERVER(service)
    for known, make in _AT_THE_GATEWAY.items():
        if known.value == name:
            return make()
    names = ", ".join(known.value for known in Fault if known is not Fault.NONE)
    raise FaultError(name, f"there is no fault {name!r}; the faults are {names}")
