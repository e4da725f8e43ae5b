"""The three fields by which AWS decides whether a gateway is to be updated.

===============  ==============  =========================================================================
lorafw           AWS             CUPS request
===============  ==============  =========================================================================
``station``      Station         ``station``: version and build time of the Basics Station software
``package``      PackageVersion  ``package``: text of version.txt, ``null`` without the file
``model``        Model           ``model``: the platform
===============  ==============  =========================================================================

A field that is None was not given. Comparison is exact and case-sensitive; nothing is trimmed (assumed).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

AWS_NAMES: Final = {"package": "PackageVersion", "model": "Model", "station": "Station"}
"""Field to AWS member, in the order in which AWS's documentation prints CurrentVersion."""


@dataclass(frozen=True, slots=True)
class GatewayVersion:
    """AWS's LoRaWANGatewayVersion: presented by a gateway, or asked for by a definition."""

    station: str | None = None
    package: str | None = None
    model: str | None = None

    @classmethod
    def from_aws(cls, members: Mapping[str, str]) -> GatewayVersion:
        return cls(**{field: members.get(name) for field, name in AWS_NAMES.items()})

    def to_aws(self) -> dict[str, str]:
        """Members in AWS's order; one that was not given is left out."""
        return {name: value for field, name in AWS_NAMES.items() if (value := getattr(self, field)) is not None}

    @property
    def is_complete(self) -> bool:
        return None not in (self.station, self.package, self.model)

    def accepts(self, presented: GatewayVersion) -> bool:
        """Does ``presented`` equal this in every field that this gives?"""
        return all(
            wanted is None or wanted == shown
            for wanted, shown in zip(self.as_tuple(), presented.as_tuple(), strict=True)
        )

    def as_tuple(self) -> tuple[str | None, str | None, str | None]:
        return (self.station, self.package, self.model)

    def __str__(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.to_aws().items()) or "no version"
