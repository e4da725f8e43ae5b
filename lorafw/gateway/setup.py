"""Making a home folder, and registering its gateway with whatever AWS boto3 is set to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorafw.errors import HomeError
from lorafw.eui import GatewayEui
from lorafw.firmware.signing import PublicKey
from lorafw.gateway.home import Home, check_cups_uri


@dataclass(frozen=True, slots=True)
class Registration:
    """A gateway as the API knows it."""

    id: str
    arn: str
    was_new: bool


def station_conf(eui: GatewayEui, *, interval_s: float | None = None, log_level: str = "VERBOSE") -> str:
    """The text of station.conf. VERBOSE, since a station tells only there that its request was refused."""
    settings: dict[str, object] = {"routerid": eui.id6, "euiprefix": "::0", "log_level": log_level}
    if interval_s is not None:
        settings["CUPS_OKSYNC_INTV"] = f"{round(interval_s * 1000)}ms"
    return json.dumps({"radio_conf": {}, "station_conf": settings}, indent=4) + "\n"


def write_home(
    path: Path,
    *,
    eui: GatewayEui,
    cups_uri: str,
    package: str | None,
    sig_keys: Sequence[PublicKey] = (),
    interval_s: float | None = None,
) -> Home:
    """Write the files of a plain gateway. Raises HomeError where the folder holds a gateway already.

    ``package`` None: no version.txt. ``interval_s`` None: the station's own interval.
    """
    check_cups_uri(cups_uri)
    if (path / "station.conf").exists():
        raise HomeError(f"{path} is the home of a gateway already; choose another folder, or remove it")
    path.mkdir(parents=True, exist_ok=True)
    home = Home(path)
    home.write("cups.uri", cups_uri)
    if package is not None:
        home.write("version.txt", f"{package}\n")
    for index, key in enumerate(sig_keys):
        home.write(f"sig-{index}.key", key.sig_key)
    # Last, since it makes the folder a home: an attempt that breaks off can be made again.
    home.write("station.conf", station_conf(eui, interval_s=interval_s))
    return home


def register_gateway(client: Any, eui: GatewayEui, name: str | None, rf_region: str) -> Registration:
    """CreateWirelessGateway; a gateway that this account has already is taken as it is."""
    parameters: dict[str, Any] = {"LoRaWAN": {"GatewayEui": eui.hex, "RfRegion": rf_region}}
    if name is not None:
        parameters["Name"] = name
    try:
        created = client.create_wireless_gateway(**parameters)
    except client.exceptions.ConflictException:
        known = client.get_wireless_gateway(Identifier=eui.hex, IdentifierType="GatewayEui")
        return Registration(known["Id"], known["Arn"], was_new=False)
    return Registration(created["Id"], created["Arn"], was_new=True)
