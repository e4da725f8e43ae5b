"""AWS, a CUPS server and virtual gateways in one process, on a clock that the test moves.

::

    with Testbed(gateways=1) as bed:
        bed.define_update("1.0.1")
        bed.poll()                        # the gateway receives the update: IN_PROGRESS
        bed.advance(10)                   # its next poll shows the new version: COMPLETED
        bed.status()

boto3 works as usual: ``bed.client("iotwireless")`` returns a client of the testbed's AWS, and ``bed.api_over_http()``
serves it to the AWS CLI. Ids come from a seed: the same program gets the same ids each time.
"""

from lorafw.testbed.gateways import GatewayRef, TestbedGateway
from lorafw.testbed.testbed import LAB_SECRET, Testbed

__all__ = ["LAB_SECRET", "GatewayRef", "Testbed", "TestbedGateway"]
