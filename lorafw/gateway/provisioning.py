"""Making a home folder, and registering its gateway with whatever AWS boto3 is set to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorafw.cups.credentials import NO_CREDENTIALS, Credentials
from lorafw.eui import GatewayEui
from lorafw.firmware.signing import PublicKey
from lorafw.gateway.enrolment import (
    Clients,
    HomeFile,
    Registration,
    check_new_home,
    enrolment_transaction,
    gateway_parameters,
)
from lorafw.gateway.enrolment_journal import FOLDER_MODE, JOURNAL_FILENAME
from lorafw.gateway.home import CREDENTIAL_SUFFIXES, Home, check_cups_uri, file_mode
from lorafw.iotwireless.constants import PLAIN_HEADER


def station_conf(eui: GatewayEui, *, interval_s: float | None = None, log_level: str = "VERBOSE") -> str:
    """The text of station.conf. VERBOSE, since a station tells only there that its request was refused."""
    settings: dict[str, object] = {"routerid": eui.id6, "euiprefix": "::0", "log_level": log_level}
    if interval_s is not None:
        settings["CUPS_OKSYNC_INTV"] = f"{round(interval_s * 1000)}ms"
    return json.dumps({"radio_conf": {}, "station_conf": settings}, indent=4) + "\n"


def home_files(
    *,
    eui: GatewayEui,
    cups_uri: str,
    package: str | None,
    sig_keys: Sequence[PublicKey] = (),
    interval_s: float | None = None,
    credentials: Credentials = NO_CREDENTIALS,
) -> list[HomeFile]:
    """Return the files of a new home folder in the order in which they are written. station.conf is the last.

    Args:
        eui: The gateway.
        cups_uri: Where its CUPS server is.
        package: Text of version.txt. None: there is no version.txt.
        sig_keys: Public keys for sig-0.key, sig-1.key, ...
        interval_s: Time between polls. None: the station's own.
        credentials: Certificates and key for CUPS.

    Raises:
        HomeError: A station would not start with this ``cups_uri``.
    """
    check_cups_uri(cups_uri)
    files = [HomeFile("cups.uri", cups_uri.encode())]
    for part, suffix in CREDENTIAL_SUFFIXES.items():
        if content := getattr(credentials, part):
            files.append(HomeFile(f"cups.{suffix}", content, file_mode(suffix)))
    if package is not None:
        files.append(HomeFile("version.txt", f"{package}\n".encode()))
    for index, key in enumerate(sig_keys):
        files.append(HomeFile(f"sig-{index}.key", key.sig_key))
    files.append(HomeFile("station.conf", station_conf(eui, interval_s=interval_s).encode()))
    return files


def write_home(path: Path, *, eui: GatewayEui, cups_uri: str, package: str | None, **more: Any) -> Home:
    """Write the files of a gateway. The arguments are those of ``home_files``.

    Raises:
        HomeError: The folder holds files of a gateway already, or the ``cups_uri`` cannot be used.
    """
    files = home_files(eui=eui, cups_uri=cups_uri, package=package, **more)
    check_new_home(path)
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    home = Home(path)
    for file in files:
        home.write(file.name, file.content, mode=file.mode)
    return home


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A gateway with its own certificate, and the home folder that holds it."""

    registration: Registration
    certificate_id: str
    home: Home
    replaced_certificate_id: str | None = None
    """The certificate that was bound to the gateway before. It is still active, and not bound any more."""


def enrol(
    path: Path,
    clients: Clients,
    *,
    eui: GatewayEui,
    name: str | None,
    rf_region: str,
    package: str | None,
    sig_keys: Sequence[PublicKey] = (),
    replace_certificate: bool = False,
) -> Enrolment:
    """Register a gateway, bind a new certificate, and write its home folder: all of it, or nothing.

    Args:
        path: The new home folder.
        clients: Makes boto3 clients for ``iotwireless``, ``iot`` and ``sts``, of the lab or of AWS.
        eui: The gateway.
        name: Its name in AWS, or None.
        rf_region: Its RfRegion in AWS.
        package: Text of version.txt. None: there is no version.txt.
        sig_keys: Public keys for sig-0.key, sig-1.key, ...
        replace_certificate: Bind the new certificate even if another one is bound to the gateway.

    Raises:
        HomeError: The folder is in use, or the gateway is, or an earlier run cannot be undone from here.
        ClientError: From boto3, as are other errors of botocore.
    """
    _check_folder_is_free(path)
    with enrolment_transaction(path, clients, eui) as transaction:
        endpoint = clients("iotwireless").get_service_endpoint(ServiceType="CUPS")
        check_cups_uri(endpoint["ServiceEndpoint"])
        registration = transaction.register_gateway(name, rf_region)
        transaction.check_certificate_is_replaceable(registration.id, replace_certificate=replace_certificate)
        certificate = transaction.create_certificate()
        transaction.bind_certificate(registration.id, certificate.id, replace_certificate=replace_certificate)
        credentials = Credentials(
            trust=endpoint["ServerTrust"].encode(), certificate=certificate.pem, key=certificate.key_pem
        )
        files = home_files(
            eui=eui,
            cups_uri=endpoint["ServiceEndpoint"],
            package=package,
            sig_keys=sig_keys,
            credentials=credentials,
        )
        transaction.write_files(files)
    return Enrolment(registration, certificate.id, Home(path), transaction.entry.previous_certificate_id)


def enrol_without_tls(
    path: Path,
    clients: Clients,
    *,
    eui: GatewayEui,
    name: str | None,
    rf_region: str,
    package: str | None,
    sig_keys: Sequence[PublicKey] = (),
    cups_uri: str | None = None,
) -> Registration:
    """Register a gateway and write a home folder without certificates: all of it, or nothing. For the lab alone.

    Args:
        cups_uri: Where the CUPS server is. None: the lab's plain address.

    The other arguments and the errors are those of ``enrol``.
    """
    _check_folder_is_free(path)
    with enrolment_transaction(path, clients, eui) as transaction:
        uri = cups_uri or plain_cups_uri(clients("iotwireless"))
        files = home_files(eui=eui, cups_uri=uri, package=package, sig_keys=sig_keys)
        registration = transaction.register_gateway(name, rf_region)
        transaction.write_files(files)
    return registration


def register_gateway(client: Any, eui: GatewayEui, name: str | None, rf_region: str) -> Registration:
    """CreateWirelessGateway. A gateway that this account has already is used as it is."""
    try:
        created = client.create_wireless_gateway(**gateway_parameters(eui, name, rf_region))
    except client.exceptions.ConflictException:
        known = client.get_wireless_gateway(Identifier=eui.hex, IdentifierType="GatewayEui")
        return Registration(known["Id"], known["Arn"], was_new=False)
    return Registration(created["Id"], created["Arn"], was_new=True)


def plain_cups_uri(client: Any) -> str:
    """Ask GetServiceEndpoint for the lab's CUPS without certificates, with a header that only the lab knows."""
    event = "before-call.iot-wireless.GetServiceEndpoint"
    client.meta.events.register(event, _ask_for_plain_endpoint)
    try:
        endpoint: str = client.get_service_endpoint(ServiceType="CUPS")["ServiceEndpoint"]
    finally:
        client.meta.events.unregister(event, _ask_for_plain_endpoint)
    return endpoint


def _ask_for_plain_endpoint(params: dict[str, Any], **_: Any) -> None:
    params["headers"].update({PLAIN_HEADER: "1"})


def _check_folder_is_free(path: Path) -> None:
    """Raise HomeError before any request if the folder is in use and no interrupted run explains that."""
    if not (path / JOURNAL_FILENAME).exists():
        check_new_home(path)
