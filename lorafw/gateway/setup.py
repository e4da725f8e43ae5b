"""Making a home folder, and registering its gateway with whatever AWS boto3 is set to."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorafw.cups.credentials import NO_CREDENTIALS, Credentials
from lorafw.errors import HomeError
from lorafw.eui import GatewayEui
from lorafw.firmware.signing import PublicKey
from lorafw.gateway.attempt import attempt
from lorafw.gateway.home import CREDENTIAL_FILES, Home, check_cups_uri
from lorafw.iotwireless.addresses import PLAIN_HEADER


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
    credentials: Credentials = NO_CREDENTIALS,
) -> Home:
    """Write the files of a gateway. Raises HomeError where the folder holds a gateway already.

    ``package`` None: no version.txt. ``interval_s`` None: the station's own interval.
    """
    check_cups_uri(cups_uri)
    check_new_home(path)
    path.mkdir(parents=True, exist_ok=True)
    home = Home(path)
    home.write("cups.uri", cups_uri)
    for part, ending in CREDENTIAL_FILES.items():
        if content := getattr(credentials, part):
            home.write(f"cups.{ending}", content, mode=0o600 if part == "key" else 0o644)
    if package is not None:
        home.write("version.txt", f"{package}\n")
    for index, key in enumerate(sig_keys):
        home.write(f"sig-{index}.key", key.sig_key)
    # Last, since it makes the folder a home: an attempt that breaks off can be made again.
    home.write("station.conf", station_conf(eui, interval_s=interval_s))
    return home


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A gateway with its own certificate, and the home folder that holds it."""

    registration: Registration
    certificate_id: str
    home: Home


def enrol(
    path: Path,
    clients: Callable[[str], Any],
    *,
    eui: GatewayEui,
    name: str | None,
    rf_region: str,
    package: str | None,
    sig_keys: Sequence[PublicKey] = (),
) -> Enrolment:
    """Register a gateway, make and bind its certificate, and write its home folder: all of it, or nothing.

    ``clients(name)`` makes boto3 clients, of the lab or of AWS. Raises HomeError, or what boto3 raises.
    """
    check_new_home(path)
    wireless, iot = clients("iotwireless"), clients("iot")
    endpoint = wireless.get_service_endpoint(ServiceType="CUPS")
    check_cups_uri(endpoint["ServiceEndpoint"])
    with attempt(path, clients, eui.hex) as under_way:
        known = register_gateway(wireless, eui, name, rf_region)
        certificate = iot.create_keys_and_certificate(setAsActive=True)
        certificate_id = certificate["certificateId"]
        under_way.made(certificate_id)
        wireless.associate_wireless_gateway_with_certificate(Id=known.id, IotCertificateId=certificate_id)
        home = write_home(
            path,
            eui=eui,
            cups_uri=endpoint["ServiceEndpoint"],
            package=package,
            sig_keys=sig_keys,
            credentials=Credentials(
                trust=endpoint["ServerTrust"].encode(),
                certificate=certificate["certificatePem"].encode(),
                key=certificate["keyPair"]["PrivateKey"].encode(),
            ),
        )
    return Enrolment(known, certificate_id, home)


def enrol_plain(
    path: Path,
    clients: Callable[[str], Any],
    *,
    eui: GatewayEui,
    name: str | None,
    rf_region: str,
    package: str | None,
    sig_keys: Sequence[PublicKey] = (),
    cups_uri: str | None = None,
) -> Registration:
    """Register a gateway and write a home folder without certificates, for the lab alone: all of it, or nothing.

    ``cups_uri`` None: the lab's plain address. Raises HomeError, or what boto3 raises.
    """
    check_new_home(path)
    wireless = clients("iotwireless")
    uri = cups_uri or plain_endpoint(wireless)
    check_cups_uri(uri)
    with attempt(path, clients, eui.hex):
        known = register_gateway(wireless, eui, name, rf_region)
        write_home(path, eui=eui, cups_uri=uri, package=package, sig_keys=sig_keys)
    return known


def check_new_home(path: Path) -> None:
    """Raise HomeError where the folder holds a gateway already."""
    if (path / "station.conf").exists():
        raise HomeError(f"{path} is the home of a gateway already; choose another folder, or remove it")


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


def plain_endpoint(client: Any) -> str:
    """The lab's CUPS without certificates: GetServiceEndpoint, asked with a header that only the lab knows."""
    event = "before-call.iot-wireless.GetServiceEndpoint"
    client.meta.events.register(event, lambda params, **_: params["headers"].update({PLAIN_HEADER: "1"}))
    endpoint: str = client.get_service_endpoint(ServiceType="CUPS")["ServiceEndpoint"]
    return endpoint
