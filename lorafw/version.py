"""The firmware version of a gateway: the three fields by which AWS decides whether to update it.

===============  ==============  =========================================================================
lorafw           AWS             CUPS request
===============  ==============  =========================================================================
``station``      Station         ``station``: version and build time of the Basics Station software
``package``      PackageVersion  ``package``: text of version.txt, ``null`` without the file
``model``        Model           ``model``: the platform
===============  ==============  =========================================================================

A field is None if it was not given. Comparison is exact and case-sensitive, and nothing is trimmed (assumed).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

AWS_NAMES: Final = {"package": "PackageVersion", "model": "Model", "station": "Station"}
"""AWS's name of each field, in the order in which AWS's documentation prints CurrentVersion."""


@dataclass(frozen=True, slots=True)
class GatewayVersion:
    """AWS's LoRaWANGatewayVersion: the version that a gateway sends, or that a task definition asks for."""

    station: str | None = None
    package: str | None = None
    model: str | None = None

    @classmethod
    def from_aws(cls, members: Mapping[str, str]) -> GatewayVersion:
        """Return the version in a LoRaWANGatewayVersion of AWS's API. Fields that are missing become None."""
        return cls(**{field: members.get(name) for field, name in AWS_NAMES.items()})

    def to_aws(self) -> dict[str, str]:
        """Return the fields under AWS's names, in AWS's order. Fields that are None are left out."""
        values = {name: getattr(self, field) for field, name in AWS_NAMES.items()}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def is_complete(self) -> bool:
        """Whether all three fields are given."""
        return None not in (self.station, self.package, self.model)

    def accepts(self, presented: GatewayVersion) -> bool:
        """Return whether ``presented`` has the same value in every field that this version gives."""
        pairs = zip(self.as_tuple(), presented.as_tuple(), strict=True)
        return all(expected is None or expected == actual for expected, actual in pairs)

    def as_tuple(self) -> tuple[str | None, str | None, str | None]:
        """Return station, package and model."""
        return (self.station, self.package, self.model)

    def __str__(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.to_aws().items()) or "no version"
