"""What an update passes through on its way to a gateway: due, then in a reply."""

from __future__ import annotations

from dataclasses import dataclass

from lorafw.cups.messages import NOTHING, UpdateInfoRequest, UpdateInfoResponse
from lorafw.tasks.model import Definition, Exchange, Gateway, Update
from lorafw.tasks.ports import UpdateImage


@dataclass(frozen=True, slots=True, eq=False)
class Due:
    """An update that is to be sent as soon as it has been read.

    ``exchange`` is the gateway's request as the service remembers it: it is told how its answer goes.
    """

    gateway: Gateway
    definition: Definition
    request: UpdateInfoRequest
    exchange: Exchange

    @property
    def update(self) -> Update:
        assert self.definition.update is not None
        return self.definition.update


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """What goes back to the gateway: the response without its update, and the update, if any."""

    response: UpdateInfoResponse = NOTHING
    image: UpdateImage | None = None
    due: Due | None = None
