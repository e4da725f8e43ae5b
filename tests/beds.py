"""Short helpers for what tests often do with a Testbed."""

from __future__ import annotations

import time

from lorafw.faults import Fault
from lorafw.station.exchange import ExchangeResult
from lorafw.tasks.lifecycle import Cause
from lorafw.testbed import Testbed, TestbedGateway

BROKEN_REPLY = [Fault.SLOW_LINK, Fault.LINK_DROP]
"""The faults that a server sees as a reply that was not wholly taken."""


def polls(bed: Testbed, count: int) -> list[ExchangeResult]:
    verdicts = []
    for _ in range(count):
        verdicts.append(bed.poll())
        bed.clock.advance(verdicts[-1].wait_s)
    return verdicts


def causes(bed: Testbed, gateway: TestbedGateway | None = None) -> list[Cause]:
    """What happened to the task of a gateway (the first, unless told otherwise) after its creation."""
    eui = (gateway or bed.gateways[0]).eui.hex
    return [row.cause for row in bed.log if row.gateway == eui and row.cause is not Cause.CREATED_AUTOMATICALLY]


def wait_until_sent(bed: Testbed, gateway: TestbedGateway) -> None:
    until = time.monotonic() + 30
    while bed.service.is_sending(bed.owner, gateway.id):
        assert time.monotonic() < until
        time.sleep(0.01)


def by_name(fault: Fault) -> str:
    return fault.value
