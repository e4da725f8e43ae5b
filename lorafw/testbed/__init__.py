"""AWS, a CUPS server and virtual gateways in one process, on a clock that the test moves.

::

    with Testbed(gateways=1) as bed:
        bed.define_update("1.0.1")
        bed.poll()                        # the gateway receives the update: IN_PROGRESS
        bed.advance(10)                   # its next poll shows the new version: COMPLETED
        bed.status()

boto3 works as usual: ``bed.client("iotwireless")`` returns a client of the testbed's AWS, and ``bed.api_over_http()``
serves it to the AWS CLI. Ids come from a seed: the same program gets the same ids each time.

Each name is imported when it is first used, so that a tool can import ``lorafw.testbed.observers`` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorafw._lazy import attach

if TYPE_CHECKING:
    from lorafw.testbed.gateways import GatewayRef as GatewayRef
    from lorafw.testbed.gateways import TestbedGateway as TestbedGateway
    from lorafw.testbed.testbed import LAB_SECRET as LAB_SECRET
    from lorafw.testbed.testbed import Testbed as Testbed

_MODULE_BY_NAME = {
    "LAB_SECRET": "testbed",
    "GatewayRef": "gateways",
    "Testbed": "testbed",
    "TestbedGateway": "gateways",
}

__all__ = [  # noqa: PLE0604 -- the table above is the only list of the public names
    *_MODULE_BY_NAME
]

__getattr__, __dir__ = attach(__name__, _MODULE_BY_NAME)
