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
    """Address of the CUPS server, as the gateway has it in cups.uri."""
    tc_uri: str | None = None
    """Address of the TC server, which handles the LoRaWAN traffic."""
    cups_cred_crc: int | None = None
    """CRC-32 of the credentials for the CUPS server."""
    tc_cred_crc: int | None = None
    """CRC-32 of the credentials for the TC server."""
    station: str | None = None
    """Version of the station, such as ``2.0.5(rpi/std) 2021-03-09 03:45:09``."""
    model: str | None = None
    """Platform for which the station was built, such as ``rpi``."""
    package: str | None = None
    """Content of version.txt: the version of the gateway's firmware."""
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
    """New address of the CUPS server."""
    tc_uri: str = ""
    """New address of the TC server."""
    cups_cred: bytes = b""
    """New credentials for the CUPS server: see ``Credentials.to_segment``."""
    tc_cred: bytes = b""
    """New credentials for the TC server."""
    key_crc: int = 0
    """CRC-32 of the key file that verifies the signature. Not sent without a signature."""
    signature: bytes = b""
    """Signature of the update, in DER."""
    update: bytes = b""
    """The update file."""

    @property
    def is_empty(self) -> bool:
        """True if there is nothing for the gateway to do."""
        return self == EMPTY_RESPONSE


EMPTY_RESPONSE = UpdateInfoResponse()
"""The response if there is nothing to do. Encoded, it is fourteen zero bytes."""
