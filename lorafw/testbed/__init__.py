"""Everything wired together in one process, on a clock that is turned by hand.

::

    with Testbed(gateways=1) as bed:
        bed.define_update("1.0.1")
        bed.poll()                        # the gateway is sent the update: IN_PROGRESS
        bed.advance(10)                   # its next poll shows the new version: COMPLETED
        bed.status()

boto3 works as usual in between (``bed.client("iotwireless")``), against the same AWS; ``bed.api_over_http()`` opens it
to the AWS CLI. Ids are seeded: the same program gives the same ids.
"""

from lorafw.testbed.gateways import GatewayRef, TestbedGateway
from lorafw.testbed.testbed import LAB_SECRET, Testbed

__all__ = ["LAB_SECRET", "GatewayRef", "Testbed", "TestbedGateway"]
