"""What the two sides of CUPS say to each other, as frozen values.

Names are Basics Station's own, in Python's case: ``cupsCredCrc`` is ``cups_cred_crc``. How they become bytes
is told in ``codec`` and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

from lorafw.eui import GatewayEui
from lorafw.version import GatewayVersion

NO_CREDENTIALS_CRC = 2077607535
"""``cupsCredCrc`` and ``tcCredCrc`` of a station without credentials: the CRC-32 of twelve zero bytes."""


@dataclass(frozen=True, slots=True)
class UpdateInfoRequest:
    """One POST /update-info. ``keys`` are the CRC-32 of sig-0.key, sig-1.key, ... as they lie on the gateway."""

    router: GatewayEui
    cups_uri: str | None = None
    tc_uri: str | None = None
    cups_cred_crc: int | None = None
    tc_cred_crc: int | None = None
    station: str | None = None
    model: str | None = None
    package: str | None = None
    keys: tuple[int, ...] = ()

    @property
    def version(self) -> GatewayVersion:
        return GatewayVersion(station=self.station, package=self.package, model=self.model)


@dataclass(frozen=True, slots=True)
class UpdateInfoResponse:
    """The answer. Empty everywhere means that there is nothing to do."""

    cups_uri: str = ""
    tc_uri: str = ""
    cups_cred: bytes = b""
    tc_cred: bytes = b""
    key_crc: int = 0
    signature: bytes = b""
    update: bytes = b""

    @property
    def is_empty(self) -> bool:
        return self == EMPTY_RESPONSE


EMPTY_RESPONSE = UpdateInfoResponse()
"""Nothing to do: fourteen zero bytes on the wire."""
