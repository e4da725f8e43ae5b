"""The Regions that have AWS IoT Core for LoRaWAN.

The source is botocore's own table of endpoints, as for ``boto3.Session().get_available_regions("iotwireless")``.
"""

from __future__ import annotations

import functools

from lorafw.errors import LabError
from lorafw.isolation.sessions import available_regions


@functools.cache
def lorawan_regions() -> tuple[str, ...]:
    """Return the Regions in the order of the alphabet. The first call takes a tenth of a second."""
    return tuple(sorted(available_regions("iotwireless")))


def check_region(region: object) -> None:
    """Raise LabError unless ``region`` is the name of a Region with AWS IoT Core for LoRaWAN."""
    if region not in lorawan_regions():
        available = ", ".join(lorawan_regions())
        raise LabError(f"region: {region!r} has no AWS IoT Core for LoRaWAN; give one that has it: {available}")
