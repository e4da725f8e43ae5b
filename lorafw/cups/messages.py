"""The two messages of CUPS as immutable values.

The field names are those of Basics Station in snake case: ``cupsCredCrc`` is ``cups_cred_crc``. The module ``codec``
converts the messages to bytes and back.
"""

from __future__ import annotations

from dataclasses import dataclass

from lorafw.eui import GatewayEui
from lorafw.version import GatewayVersion

NO_CREDENTIALS_CRC = 2077607535
"""``cupsCredCrc`` and ``tcCredCrc`` of a station without credentials: the CRC-32 of twelve zero bytes."""


@dataclass(frozen=True, slots=True)
class UpdateInfoRequest:
    """The body of a POST /update-info. A field is None if the request does not have it."""

    router: GatewayEui
    """EUI of the gateway."""
    cups_uri: str | None = None
    tc_uri: str | None = None
    cups_cred_crc: int | None = None
    tc_cred_crc: int | None = None
    station: str | None = None
    model: str | None = None
    package: str | None = None
    keys: tuple[int, ...] = ()
    """CRC-32 of the files sig-0.key, sig-1.key, ... on the gateway, in this order."""

    @property
    def version(self) -> GatewayVersion:
        """The station, package and model that the gateway reports."""
        return GatewayVersion(station=self.station, package=self.package, model=self.model)


@dataclass(frozen=True, slots=True)
class UpdateInfoResponse:
    """The body of the response. An empty field means that the gateway keeps what it has."""

    cups_uri: str = ""
    tc_uri: str = ""
    cups_cred: bytes = b""
    tc_cred: bytes = b""
    key_crc: int = 0
    """CRC-32 of the key file that verifies the signature. Not sent without a signature."""
    signature: bytes = b""
    update: bytes = b""

    @property
    def is_empty(self) -> bool:
        """True if there is nothing for the gateway to do."""
        return self == EMPTY_RESPONSE


EMPTY_RESPONSE = UpdateInfoResponse()
"""The response if there is nothing to do. Encoded, it is fourteen zero bytes."""
