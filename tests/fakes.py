"""Helpers for the tests of ``lorafw.tasks``: a service with a manual clock, and an update source in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from lorafw.clock import ManualClock
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.eui import GatewayEui
from lorafw.tasks.lifecycle import TaskStatus
from lorafw.tasks.model import AccountRegion, Definition, Gateway, PendingUpdate, Reply, Task, UpdateSpec
from lorafw.tasks.policy import Policy
from lorafw.tasks.service import UpdateService
from lorafw.version import GatewayVersion

HOUR_S = 3600
DAY_S = 24 * HOUR_S

OWNER = AccountRegion("123456789012", "us-east-1")
STRANGER = AccountRegion("999999999999", "eu-west-1")

STATION = "2.0.4(linux/std) 2021-03-12 09:03:20"
OLD = GatewayVersion(station=STATION, package="1.0.0", model="linux")
NEW = replace(OLD, package="1.0.1")
OTHER = replace(OLD, package="0.9.9")

FIRMWARE = "s3://firmware/1.0.1"


@dataclass(frozen=True)
class FakeImage:
    """An update file in memory."""

    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self) -> bytes:
        return self.content

    def chunks(self, size: int = 65536) -> Iterator[bytes]:
        for start in range(0, self.size, size):
            yield self.content[start : start + size]


class FakeSource:
    """Objects in memory. Put an exception into ``trouble`` and every reading raises it."""

    def __init__(self) -> None:
        self.trouble: BaseException | None = None
        self.opened: list[tuple[str, str | None, str, str]] = []

    def open(self, data_source: str, role: str | None, *, account: str, region: str) -> FakeImage:
        self.opened.append((data_source, role, account, region))
        if self.trouble is not None:
            raise self.trouble
        return FakeImage(data_source.encode())


class World:
    """An UpdateService with everything it needs, and short words for what a test does most. Ids are 1, 2, 3, ..."""

    def __init__(self, **policy: Any) -> None:
        self.clock = ManualClock()
        self.source = FakeSource()
        self.ids = count(1)
        self.service = UpdateService(
            source=self.source, clock=self.clock, policy=Policy(**policy), new_id=lambda: str(next(self.ids))
        )

    def gateway(self, eui: int = 0xA, owner: AccountRegion = OWNER, **attributes: Any) -> Gateway:
        return self.service.create_gateway(owner, GatewayEui(eui), **attributes)

    def definition(
        self,
        current: GatewayVersion = OLD,
        *,
        owner: AccountRegion = OWNER,
        auto: bool = True,
        name: str | None = None,
        source: str | None = FIRMWARE,
        update_version: GatewayVersion | None = None,
        **update: Any,
    ) -> Definition:
        content = UpdateSpec(data_source=source, current_version=current, update_version=update_version, **update)
        return self.service.create_definition(owner, auto_create_tasks=auto, name=name, update=content)

    def request(self, gateway: Gateway, version: GatewayVersion = OLD, keys: tuple[int, ...] = ()) -> UpdateInfoRequest:
        return UpdateInfoRequest(
            gateway.eui, station=version.station, model=version.model, package=version.package, keys=keys
        )

    def receive(self, gateway: Gateway, version: GatewayVersion = OLD) -> PendingUpdate:
        """A request for which a send is due."""
        due = self.service.receive_request(self.request(gateway, version))
        assert due is not None
        return due

    def answer(self, gateway: Gateway, version: GatewayVersion = OLD, keys: tuple[int, ...] = ()) -> Reply:
        return self.service.answer(self.request(gateway, version, keys))

    def poll(
        self, gateway: Gateway, version: GatewayVersion = OLD, *, whole: bool = True, keys: tuple[int, ...] = ()
    ) -> bool:
        """One request and the whole of its reply, or a broken one. Was the update in it?"""
        reply = self.answer(gateway, version, keys)
        self.service.finish_reply(reply, delivered=whole)
        return reply.image is not None

    def task(self, gateway: Gateway) -> Task:
        return self.service.task(gateway.owner, gateway.id)

    def status(self, gateway: Gateway) -> TaskStatus:
        return self.task(gateway).status

    def has_task(self, gateway: Gateway) -> bool:
        """Asked through the log, which tells of every creation and deletion."""
        rows = [row for row in self.service.log if row.gateway == gateway.eui.hex]
        return bool(rows) and rows[-1].to_status is not None

    def explain(self, gateway: Gateway) -> str:
        return str(self.service.explain(gateway.owner, gateway.id))

    def in_status(self, status: TaskStatus, **definition: Any) -> Gateway:
        """A new gateway whose automatic task has come to this status by polling once an hour."""
        gateway = self.gateway()
        self.definition(**definition)
        steps = {
            TaskStatus.IN_PROGRESS: [OLD],
            TaskStatus.FIRST_RETRY: [OLD] * 2,
            TaskStatus.SECOND_RETRY: [OLD] * 3,
            TaskStatus.COMPLETED: [OLD, NEW],
            TaskStatus.FAILED: [OLD] * 4,
        }
        for version in steps[status]:
            self.poll(gateway, version)
            self.clock.advance(HOUR_S)
        assert self.status(gateway) is status
        return gateway


def snapshot(world: World) -> object:
    """All that can be seen of a service from outside."""
    service = world.service
    log = service.log
    owners = sorted(service.owners())
    seen: list[object] = [log, owners]
    for owner in owners:
        seen.append(service.definitions(owner))
        for gateway in service.gateways(owner):
            has_task = world.has_task(gateway)
            seen.append(
                (
                    gateway,
                    service.presented_version(owner, gateway.id),
                    service.last_seen_ms(owner, gateway.id),
                    service.task(owner, gateway.id) if has_task else None,
                    str(service.explain(owner, gateway.id)),
                )
            )
    return seen
