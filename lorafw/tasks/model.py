"""The values of the update service: gateways, definitions, tasks and replies. All but ExchangeRecord are frozen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from typing import Any, Final, Protocol

from lorafw.cups.messages import EMPTY_RESPONSE, UpdateInfoRequest, UpdateInfoResponse
from lorafw.eui import GatewayEui
from lorafw.tasks.lifecycle import ATTEMPT_BY_STATUS, INITIAL, TERMINAL, TaskEvent, TaskStatus, next_status
from lorafw.version import GatewayVersion

GATEWAY_RESOURCE: Final = "WirelessGateway"
"""AWS's name of the resource type of a gateway. Errors and ARNs contain it."""

DEFINITION_RESOURCE: Final = "WirelessGatewayTaskDefinition"
"""AWS's name of the resource type of a task definition."""

TASK_RESOURCE: Final = "WirelessGatewayTask"
"""AWS's name of the resource type of a task."""


@dataclass(frozen=True, slots=True, eq=False)
class PendingUpdate:
    """An update that the service has decided to send, but has not read yet."""

    gateway: Gateway
    """The gateway that the update is for."""
    definition: Definition
    """The definition of the gateway's task. It has an UpdateDataSource."""
    request: UpdateInfoRequest
    """The request that the update answers."""
    exchange: ExchangeRecord
    """The service's record of this request. Its ``answer`` is updated while the reply is sent."""

    @property
    def update(self) -> UpdateSpec:
        """The update of the definition."""
        assert self.definition.update is not None
        return self.definition.update


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """The reply to a CUPS request."""

    response: UpdateInfoResponse = EMPTY_RESPONSE
    """The response without the update's bytes."""
    image: UpdateImage | None = None
    """The update file to send after the response. None if there is nothing to send."""
    pending: PendingUpdate | None = None
    """The update that this reply sends. None if there is nothing to send."""


class UpdateImage(Protocol):
    """An update file that was read completely and checked. Many replies share one copy."""

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        ...

    def read(self) -> bytes:
        """Return the whole file."""
        ...

    def chunks(self, size: int = ...) -> Iterator[bytes | memoryview]:
        """Iterate over the file in chunks of at most ``size`` bytes."""
        ...


class UpdateSource(Protocol):
    """Reads update files from the place that UpdateDataSource names, with the role UpdateDataRole."""

    def open(self, data_source: str, role: str | None, *, account: str, region: str) -> UpdateImage:
        """Read an update file completely.

        Args:
            data_source: The UpdateDataSource of the definition, an ``s3://`` URL.
            role: The UpdateDataRole of the definition. None if it has none.
            account: Account of the gateway.
            region: Region of the gateway.

        Returns:
            The update file.

        Raises:
            SourceError: The file cannot be read. The subclass says why.
        """
        ...


NO_VERSION: Final = GatewayVersion()
"""A version in which none of the three fields is given."""


@dataclass(frozen=True, slots=True, order=True)
class AccountRegion:
    """The AWS account and Region in which a resource lives."""

    account: str
    """The id of the account: 12 digits."""
    region: str
    """The name of the Region, such as ``eu-west-1``."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A wireless gateway, as it is registered with AWS IoT Wireless."""

    id: str
    """The id that AWS's API uses."""
    owner: AccountRegion
    """The account and Region of the gateway."""
    eui: GatewayEui
    """The EUI, by which the gateway identifies itself in its requests."""
    name: str | None = None
    """A name for people. None if there is none."""
    description: str | None = None
    """A text for people. None if there is none."""
    lorawan: Mapping[str, Any] = field(default_factory=dict)
    """The members of AWS's LoRaWANGateway structure other than GatewayEui."""
    certificate_id: str | None = None
    """Id of the associated certificate of AWS IoT. None if there is none."""
    thing_arn: str | None = None
    """ARN of the associated thing of AWS IoT. None if there is none."""
    sequence: int = 0
    """Orders gateways by the time of their registration."""

    @property
    def thing_name(self) -> str | None:
        """Name of the associated thing, the last part of its ARN. None if there is none."""
        if self.thing_arn is None:
            return None
        return self.thing_arn.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class UpdateSpec:
    """The update that a definition describes: AWS's UpdateWirelessGatewayTaskCreate structure."""

    data_source: str | None = None
    """UpdateDataSource: the URL of the update file."""
    data_role: str | None = None
    """UpdateDataRole: the ARN of the IAM role with which the file is read."""
    signature: bytes = b""
    """UpdateSignature in DER, decoded from base64. Empty if the update is not signed."""
    sig_key_crc: int | None = None
    """SigKeyCrc: CRC-32 of the public key that verifies the signature."""
    current_version: GatewayVersion = NO_VERSION
    """CurrentVersion: the version that a gateway must present to be sent the update."""
    update_version: GatewayVersion | None = None
    """UpdateVersion: the version that a gateway presents after the update."""
    unusable_signature: str | None = None
    """Text of an UpdateSignature that no station accepts. Such an update is never sent."""

    @property
    def response_header(self) -> UpdateInfoResponse:
        """The response to a CUPS request, without the bytes of the update."""
        if not self.signature:
            return EMPTY_RESPONSE
        return UpdateInfoResponse(signature=self.signature, key_crc=self.sig_key_crc or 0)


@dataclass(frozen=True, slots=True)
class Definition:
    """A task definition: which update is sent to which gateways."""

    id: str
    """The id that AWS's API uses."""
    owner: AccountRegion
    """The account and Region of the definition."""
    sequence: int
    """Orders definitions by the time of their creation."""
    auto_create_tasks: bool
    """AutoCreateTasks: True if each gateway whose version matches gets a task."""
    name: str | None = None
    """A name for people. None if there is none."""
    update: UpdateSpec | None = None
    """None if the definition was created without Update."""

    @property
    def has_data_source(self) -> bool:
        """True if the definition names an update file, so that it can send something."""
        return self.update is not None and self.update.data_source is not None

    @property
    def current_version(self) -> GatewayVersion:
        """CurrentVersion of the update. Its fields are None if they are not given."""
        return self.update.current_version if self.update else NO_VERSION


class ReplyState(StrEnum):
    """How a request was answered, and how far the reply has come."""

    EMPTY = "nothing to do"
    SENDING = "the update, not all of it yet"
    DELIVERED = "the update, all of it"
    BROKEN = "the update, broken off"
    UNREADABLE = "nothing, the update was unreadable"


@dataclass(slots=True)
class ExchangeRecord:
    """The service's record of one CUPS request and its answer."""

    time_ms: int
    """When the request was received, in milliseconds since 1970 UTC."""
    presented: GatewayVersion
    """The version that the gateway presented."""
    answer: ReplyState = ReplyState.EMPTY
    """Updated in place by the service, under its lock, until the reply has finished."""


class Delivery(Enum):
    """How far the send of the current attempt has come."""

    PENDING = "due"
    """The send has not started."""
    STARTED = "begun"
    """The send has started. It is not known whether all bytes were written."""
    DELIVERED = "whole"
    """All bytes were written."""


@dataclass(frozen=True, slots=True)
class Task:
    """A firmware update of one gateway. Its methods return changed copies."""

    definition: Definition
    """The definition that the task was created from. It may have been deleted since."""
    automatic: bool
    """True if the service created the task, False if a call of CreateWirelessGatewayTask did."""
    created_ms: int
    """When the task was created, in milliseconds since 1970 UTC."""
    status: TaskStatus = INITIAL
    """The status that AWS's API shows."""
    attempt: int = 0
    """Number of the current attempt. 0 before the first."""
    delivery: Delivery = Delivery.PENDING
    """How far the send of the current attempt has come."""
    offered_version: GatewayVersion | None = None
    """The version that the gateway presented when the update was first sent. None before that."""
    sent_ms: int | None = None
    """When the last delivered send ended, on the monotonic scale of the service's clock. None if there is none."""
    sends: int = 0
    """Number of sends that were delivered completely."""

    @property
    def is_ended(self) -> bool:
        """True if the task is COMPLETED or FAILED."""
        return self.status in TERMINAL

    def with_event(self, event: TaskEvent) -> Task:
        """Return this task after an event. The send of the next attempt is pending.

        Raises:
            IllegalTransition: The event cannot happen in this status.
        """
        status = next_status(self.status, event)
        attempt = ATTEMPT_BY_STATUS.get(status, self.attempt)
        return replace(self, status=status, attempt=attempt, delivery=Delivery.PENDING)

    def with_send_started(self, presented: GatewayVersion) -> Task:
        """Return this task after a send has started.

        Args:
            presented: The version that the gateway presented. The first one is kept as ``offered_version``.
        """
        return replace(self, delivery=Delivery.STARTED, offered_version=self.offered_version or presented)

    def with_send_delivered(self, now_ms: int) -> Task:
        """Return this task after a send was delivered completely at ``now_ms``, on the monotonic scale."""
        return replace(self, delivery=Delivery.DELIVERED, sent_ms=now_ms, sends=self.sends + 1)
