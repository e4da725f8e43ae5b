"""The gateways of a testbed, and which of them is meant: by itself, its index, its id or its EUI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lorafw.errors import LabError
from lorafw.eui import GatewayEui
from lorafw.gateway.home import Home
from lorafw.gateway.virtual import VirtualGateway


@dataclass(slots=True, eq=False)
class BedGateway:
    """A virtual gateway of the testbed. ``log`` holds its log lines; ``next_poll_ms`` is when it polls by itself."""

    id: str
    eui: GatewayEui
    home: Home
    virtual: VirtualGateway
    next_poll_ms: int
    log: list[str] = field(default_factory=list)


Which = BedGateway | GatewayEui | str | int
"""A gateway: itself, its EUI (as text in any form that GatewayEui reads), its id, or its index in ``bed.gateways``."""


def choose(gateways: Sequence[BedGateway], which: Which | None) -> BedGateway:
    """The gateway that is meant; None is the first. Raises LabError, which lists what is there."""
    if not gateways:
        raise LabError("gateway: this testbed has none; open it with Testbed(gateways=1), or call bed.add_gateway(eui)")
    if isinstance(which, int) and not isinstance(which, bool):
        if -len(gateways) <= which < len(gateways):
            return gateways[which]
    else:
        eui = _eui(which)
        for gateway in gateways:
            if which is None or gateway is which or gateway.id == which or gateway.eui == eui:
                return gateway
    there = ", ".join(f"{index}: {gateway.eui.hex} (id {gateway.id})" for index, gateway in enumerate(gateways))
    shown = f"the gateway {which.eui.hex} of another testbed" if isinstance(which, BedGateway) else repr(which)
    raise LabError(f"gateway: {shown} is none of this testbed's; give an index, an EUI or an id of these: {there}")


def read_eui(eui: GatewayEui | str) -> GatewayEui:
    """An EUI, as such or as text. Raises LabError."""
    found = _eui(eui)
    if found is None:
        raise LabError(
            f"eui: {eui!r} is not a gateway EUI; give sixteen hex digits ('5a11b0a85a11b0a8', or with '-' or ':' "
            "between the bytes) or ID6 ('5a11:b0a8:5a11:b0a8')"
        )
    return found


def _eui(which: object) -> GatewayEui | None:
    if isinstance(which, GatewayEui):
        return which
    try:
        return GatewayEui.parse(which) if isinstance(which, str) else None
    except ValueError:
        return None
