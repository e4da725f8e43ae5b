"""The backends of the API: one for each account and Region. All of them use the same UpdateService."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from moto.core.base_backend import BackendDict, BaseBackend

from lorafw.errors import InvalidValue
from lorafw.iotwireless.arns import ResourceArns
from lorafw.iotwireless.associations import CertificateOperations, ThingOperations
from lorafw.iotwireless.context import current_service, on_request_answered
from lorafw.iotwireless.definitions import DefinitionOperations, TaskOperations
from lorafw.iotwireless.gateways import GatewayOperations, GatewayStatusOperations
from lorafw.iotwireless.idempotency import ANSWER, IdempotentCalls
from lorafw.iotwireless.monitoring import event_configurations, log_levels
from lorafw.iotwireless.monitoring.event_configurations import (
    EventConfigurationOperations,
    GatewayTopics,
    ResourceTypeTopics,
)
from lorafw.iotwireless.monitoring.gateway_log import LOGGED_EVENT, GatewayLog
from lorafw.iotwireless.monitoring.log_levels import GatewayEvent, GatewayLogLevels, LogLevel, LogLevelOptions
from lorafw.iotwireless.tags import TagOperations
from lorafw.tasks.answers import AnsweredRequest
from lorafw.tasks.changes import ApiRecord
from lorafw.tasks.model import AccountRegion
from lorafw.tasks.service import UpdateService


class IoTWirelessBackend(BaseBackend):  # type: ignore[misc]  # moto is not typed for us
    """The API of one account in one Region. Each attribute has the operations about one subject.

    The operations raise the errors of lorafw. ``exceptions.to_aws`` turns them into AWS's errors.
    """

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.owner = AccountRegion(account_id, region_name)
        self.tags = TagOperations(self.owner)
        self._idempotent_calls = IdempotentCalls(self.owner)
        self.gateways = GatewayOperations(self.owner, self.tags, self._idempotent_calls)
        self.gateway_status = GatewayStatusOperations(self.owner)
        self.certificates = CertificateOperations(self.owner)
        self.things = ThingOperations(self.owner)
        self.definitions = DefinitionOperations(self.owner, self.tags, self._idempotent_calls)
        self.tasks = TaskOperations(self.owner)
        self.log_level_options = LogLevelOptions(self.owner)
        self.gateway_log_levels = GatewayLogLevels(self.owner)
        self.type_topics = ResourceTypeTopics(self.owner)
        self.gateway_topics = GatewayTopics(self.owner)
        self.event_configurations = EventConfigurationOperations(self.owner, self.gateway_topics)
        self.gateway_log = GatewayLog(self.owner)

    @property
    def service(self) -> UpdateService:
        """The update service behind the API."""
        return current_service()

    def delete_gateway(self, gateway_id: str) -> None:
        """Delete a gateway with all that belongs to it: task, tags, log level and event configuration.

        Raises:
            NotFound: There is no such gateway.
        """
        self.service.delete_gateway(self.owner, gateway_id)
        self.gateway_log_levels.remove(gateway_id)
        self.gateway_topics.remove(gateway_id)
        self.tags.forget_resource(ResourceArns(self.owner).gateway(gateway_id))

    def log_level_of(self, gateway_id: str, event: GatewayEvent) -> LogLevel:
        """Return the log level that applies to an event of a gateway."""
        return self.gateway_log_levels.find(gateway_id) or self.log_level_options.level_of(event)

    def reset(self) -> None:
        """Delete everything that this account has in this Region. moto calls this between tests."""
        self.service.forget(self.owner)
        super().reset()

    def restore(self, record: ApiRecord, value: Any) -> None:
        """Take over a value that an earlier process has saved."""
        if record.kind == log_levels.OPTIONS:
            self.log_level_options.restore(value)
        elif record.kind == log_levels.OVERRIDE:
            self.gateway_log_levels.restore(record.key, value)
        elif record.kind == event_configurations.BY_TYPE:
            self.type_topics.restore(value)
        elif record.kind == event_configurations.BY_GATEWAY:
            self.gateway_topics.restore(record.key, value)
        elif record.kind == ANSWER:
            self._idempotent_calls.restore(record, value)
        else:
            self.tags.restore(record.key, value)


iotwireless_backends = BackendDict(IoTWirelessBackend, "iotwireless")
"""The backends by account and Region. moto finds them by this name."""


def find_backend(account: str, region: str) -> IoTWirelessBackend:
    """Return the backend of an account in a Region.

    Raises:
        InvalidValue: The Region has no AWS IoT Wireless.
    """
    regions = iotwireless_backends[account]
    try:
        backend: IoTWirelessBackend = regions[region]
    except KeyError:
        available = ", ".join(regions.regions)
        reason = f"{region!r} has no AWS IoT Wireless; it is in {available}"
        raise InvalidValue("Region", region, reason) from None
    return backend


def restore_api_records(records: Mapping[ApiRecord, Any]) -> None:
    """Take over saved values of all accounts and Regions. The service must have been restored before."""
    for record, value in records.items():
        iotwireless_backends[record.owner.account][record.owner.region].restore(record, value)


@contextmanager
def new_backends() -> Iterator[None]:
    """Let all accounts be without tags, log levels and remembered calls at first, until the end of the block.

    What was there before is there again afterwards. moto itself empties nothing inside of another ``mock_aws``.
    """
    before = dict(iotwireless_backends.items())
    iotwireless_backends.clear()
    try:
        yield
    finally:
        iotwireless_backends.clear()
        iotwireless_backends.update(before)


def log_answer(answered: AnsweredRequest) -> None:
    """Write a line about a CUPS request to the log of the gateway's account and Region, if its log level says so."""
    owner = answered.gateway.owner
    backend = iotwireless_backends[owner.account][owner.region]
    level = backend.log_level_of(answered.gateway.id, LOGGED_EVENT)
    backend.gateway_log.log_answer(answered, level)


on_request_answered(log_answer)
