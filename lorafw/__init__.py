"""Firmware updates of LoRaWAN gateways as AWS IoT Core for LoRaWAN does them, offline on one machine.

The names below are loaded at their first use, so ``import lorafw`` is fast::

    from lorafw import Testbed

    with Testbed() as bed:
        bed.define_update("1.0.1")
        bed.advance(20)
        print(bed.status())        # COMPLETED

    from lorafw import Plan, mixed_fleet, simulate

    print(simulate(mixed_fleet(40_000), Plan()).summary())
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorafw._lazy import attach

if TYPE_CHECKING:
    from lorafw.clock import HandClock as HandClock
    from lorafw.clock import ManualClock as ManualClock
    from lorafw.clock import format_iso as format_iso
    from lorafw.errors import LorafwError as LorafwError
    from lorafw.eui import GatewayEui as GatewayEui
    from lorafw.faults import Fault as Fault
    from lorafw.firmware.image import build_image as build_image
    from lorafw.firmware.image import unpack_image as unpack_image
    from lorafw.firmware.signing import KeyPair as KeyPair
    from lorafw.firmware.signing import PublicKey as PublicKey
    from lorafw.firmware.signing import sign_update as sign_update
    from lorafw.fleet import Fleet as Fleet
    from lorafw.fleet import Plan as Plan
    from lorafw.fleet import mixed_fleet as mixed_fleet
    from lorafw.fleet import simulate as simulate
    from lorafw.gateway.home import Home as Home
    from lorafw.gateway.virtual import VirtualGateway as VirtualGateway
    from lorafw.iotwireless import register as register
    from lorafw.localaws.cloud import Cloud as Cloud
    from lorafw.server.app import CupsServer as CupsServer
    from lorafw.tasks.explain import Explanation as Explanation
    from lorafw.tasks.lifecycle import TaskStatus as TaskStatus
    from lorafw.tasks.policy import Policy as Policy
    from lorafw.tasks.service import UpdateService as UpdateService
    from lorafw.testbed import Testbed as Testbed
    from lorafw.version import GatewayVersion as GatewayVersion

_MODULE_BY_NAME = {
    "Cloud": "localaws.cloud",
    "CupsServer": "server.app",
    "Explanation": "tasks.explain",
    "Fault": "faults",
    "Fleet": "fleet",
    "GatewayEui": "eui",
    "GatewayVersion": "version",
    "HandClock": "clock",
    "Home": "gateway.home",
    "KeyPair": "firmware.signing",
    "LorafwError": "errors",
    "ManualClock": "clock",
    "Plan": "fleet",
    "Policy": "tasks.policy",
    "PublicKey": "firmware.signing",
    "TaskStatus": "tasks.lifecycle",
    "Testbed": "testbed",
    "UpdateService": "tasks.service",
    "VirtualGateway": "gateway.virtual",
    "build_image": "firmware.image",
    "format_iso": "clock",
    "mixed_fleet": "fleet",
    "register": "iotwireless",
    "sign_update": "firmware.signing",
    "simulate": "fleet",
    "unpack_image": "firmware.image",
}

__all__ = [  # noqa: PLE0604 -- the table above is the only list of the public names
    *_MODULE_BY_NAME
]

__getattr__, __dir__ = attach(__name__, _MODULE_BY_NAME)
