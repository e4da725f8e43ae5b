"""What the update service knows: gateways, definitions and tasks, as frozen values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from typing import Any, Final, Protocol

from lorafw.cups.messages import EMPTY_RESPONSE, UpdateInfoRequest, UpdateInfoResponse
from lorafw.eui import GatewayEui
from lorafw.tasks.lifecycle import ATTEMPT_BY_STATUS, INITIAL, TERMINAL, TaskEvent, TaskStatus, next_status
from lorafw.version import GatewayVersion


@dataclass(frozen=True, slots=True, eq=False)
class Due:
    """An update that is to be sent as soon as it has been read.

    ``exchange`` is the gateway's request as the service remembers it: it is told how its answer goes.
    """

    gateway: Gateway
    definition: Definition
    request: UpdateInfoRequest
    exchange: ExchangeRecord

    @property
    def update(self) -> UpdateSpec:
        assert self.definition.update is not None
        return self.definition.update


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """What goes back to the gateway: the response without its update, and the update, if any."""

    response: UpdateInfoResponse = EMPTY_RESPONSE
    image: UpdateImage | None = None
    due: Due | None = None


class UpdateImage(Protocol):
    """An update file that was read whole and checked; many replies share one copy."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def read(self) -> bytes:
        """All of it."""
        ...

    def chunks(self, size: int = ...) -> Iterator[bytes | memoryview]:
        """All of it, in pieces of at most ``size`` bytes."""
        ...


class UpdateSource(Protocol):
    """Reads the object at UpdateDataSource through UpdateDataRole."""

    def open(self, data_source: str, role: str | None, *, account: str, region: str) -> UpdateImage:
        """The object, whole. Raises a SourceError; which one says what is wrong."""
        ...


NO_VERSION: Final = GatewayVersion()
"""None of the three fields given."""


@dataclass(frozen=True, slots=True, order=True)
class AccountRegion:
    """The AWS account and Region in which a resource lives."""

    account: str
    region: str


@dataclass(frozen=True, slots=True)
class Gateway:
    """A wireless gateway. ``lorawan`` holds the members of AWS's LoRaWANGateway other than the EUI.

    ``sequence`` orders gateways by their registration.
    """

    id: str
    owner: AccountRegion
    eui: GatewayEui
    name: str | None = None
    description: str | None = None
    lorawan: Mapping[str, Any] = field(default_factory=dict)
    certificate_id: str | None = None
    thing_arn: str | None = None
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class UpdateSpec:
    """AWS's UpdateWirelessGatewayTaskCreate: what to send to whom. ``signature`` is DER, not base64.

    ``unusable_signature`` is the text of an UpdateSignature that no station could take: such an update is never sent.
    """

    data_source: str | None = None
    data_role: str | None = None
    signature: bytes = b""
    sig_key_crc: int | None = None
    current_version: GatewayVersion = NO_VERSION
    update_version: GatewayVersion | None = None
    unusable_signature: str | None = None


@dataclass(frozen=True, slots=True)
class Definition:
    """A task definition. ``sequence`` orders definitions by age; ``update`` is None where none was given."""

    id: str
    owner: AccountRegion
    sequence: int
    auto_create_tasks: bool
    name: str | None = None
    update: UpdateSpec | None = None

    @property
    def has_data_source(self) -> bool:
        return self.update is not None and self.update.data_source is not None

    @property
    def current_version(self) -> GatewayVersion:
        return self.update.current_version if self.update else NO_VERSION


class Answer(StrEnum):
    """How a request was answered."""

    NOTHING = "nothing to do"
    SENDING = "the update, not all of it yet"
    DELIVERED = "the update, all of it"
    BROKEN = "the update, broken off"
    UNREADABLE = "nothing, the update was unreadable"


@dataclass(slots=True)
class ExchangeRecord:
    """A request of a gateway and how it was answered. ``answer`` changes while a reply is under way."""

    time_ms: int
    presented: GatewayVersion
    answer: Answer = Answer.NOTHING


class Delivery(Enum):
    """How far the send of the present attempt has come."""

    PENDING = "due"
    """Not begun."""
    STARTED = "begun"
    """Begun, and not known to have gone out whole."""
    DELIVERED = "whole"
    """All bytes were written."""


@dataclass(frozen=True, slots=True)
class Task:
    """A firmware update of one gateway. ``definition`` is the one it was made from, even if that is deleted since.

    ``offered_version`` is what the gateway presented when the update was first offered; ``sent_ms`` when the last
    whole send ended, on the monotonic scale of the service's clock; ``sends`` how many ended whole.
    """

    definition: Definition
    automatic: bool
    created_ms: int
    status: TaskStatus = INITIAL
    attempt: int = 0
    delivery: Delivery = Delivery.PENDING
    offered_version: GatewayVersion | None = None
    sent_ms: int | None = None
    sends: int = 0

    @property
    def is_ended(self) -> bool:
        return self.status in TERMINAL

    def after(self, event: TaskEvent) -> Task:
        """This task after ``event``: the next attempt's send is due. Raises IllegalTransition."""
        status = next_status(self.status, event)
        return replace(
            self, status=status, attempt=ATTEMPT_BY_STATUS.get(status, self.attempt), delivery=Delivery.PENDING
        )

    def with_send_started(self, presented: GatewayVersion) -> Task:
        return replace(self, delivery=Delivery.STARTED, offered_version=self.offered_version or presented)

    def with_send_delivered(self, now_ms: int) -> Task:
        return replace(self, delivery=Delivery.DELIVERED, sent_ms=now_ms, sends=self.sends + 1)
