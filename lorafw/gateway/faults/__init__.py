"""The faults of a virtual gateway, by name.

A poll passes through four parts: the home folder, the transport to the CUPS server, the disk that stores the update,
and the runner that installs it. A fault replaces one part and leaves the others unchanged, so the server sees the same
as with a real gateway that has this fault. Faults do not wait: a slow link breaks at once, at the point at which a
station would time out.

===================  ==========  =================================================================================
name                 place       what the service sees
===================  ==========  =================================================================================
storage-error        server      it cannot read the update: nothing is sent and no attempt is used up
server-error         transport   no request
offline              transport   no request
connection-refused   transport   no request
slow-link            transport   an incomplete delivery: no attempt is used up, the update is offered again
link-drop            transport   an incomplete delivery: no attempt is used up, the update is offered again
truncated-body       transport   a complete delivery, and soon the old version: an attempt is used up
wrong-key            home        ``keys`` without the update's key, a complete delivery, then the old version
no-key               home        no ``keys``, a complete delivery, then the old version
unsigned-with-key    transport   a complete delivery, then the old version
tmp-full             disk        a complete delivery, then the old version
script-fails         runner      a complete delivery, then the old version
update-stays         runner      the new version; a later start installs the same update again
power-cut            runner      a complete delivery, then, after the restart, the old version
version-mismatch     runner      a complete delivery, then a version that is neither the old nor the new one
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
    injector.fault: injector
    for injector in (
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


def injector_class(fault: Fault) -> type[FaultInjector]:
    """Return the class of a fault. Its docstring describes the fault."""
    if fault is _AT_THE_SERVER.fault:
        return _AT_THE_SERVER
    return _AT_THE_GATEWAY[fault]


def injection(fault: Fault | str, service: UpdateService | None = None) -> FaultInjector:
    """Return a fault with its default settings.

    Args:
        fault: The fault or its name.
        service: The service that answers the gateway. Only storage-error needs it, because it happens there.

    Raises:
        FaultError: There is no fault of this name, or storage-error has no service.
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
    for gateway_fault, injector in _AT_THE_GATEWAY.items():
        if gateway_fault.value == name:
            return injector()
    names = ", ".join(each.value for each in Fault if each is not Fault.NONE)
    raise FaultError(name, f"there is no fault {name!r}; the faults are {names}")
