"""Write a gateway's home folder, and register the gateway with the lab or with AWS, whichever boto3 is set to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorafw.atomic import create_file
from lorafw.cups.credentials import NO_CREDENTIALS, Credentials
from lorafw.eui import GatewayEui
from lorafw.firmware.signing import PublicKey
from lorafw.gateway.enrolment import ClientFactory, enrolment_transaction
from lorafw.gateway.enrolment_checks import check_new_home
from lorafw.gateway.enrolment_journal import FOLDER_MODE, JOURNAL_FILENAME
from lorafw.gateway.enrolment_steps import (
    HomeFile,
    Registration,
    bind_certificate,
    check_no_certificate_is_bound,
    create_certificate,
    gateway_parameters,
    register_marked_gateway,
    write_files,
)
from lorafw.gateway.home import Home, check_cups_uri
from lorafw.gateway.home_files import CREDENTIAL_SUFFIXES, file_mode
from lorafw.iotwireless.constants import PLAIN_HEADER


def station_conf(eui: GatewayEui, *, interval_s: float | None = None, log_level: str = "VERBOSE") -> str:
    """Return the content of station.conf.

    Args:
        eui: The gateway.
        interval_s: The time between polls. None means the station's default.
        log_level: The station's log level. A station logs only at VERBOSE that its request was rejected.
    """
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
        cups_uri: The address of its CUPS server.
        package: The text of version.txt. None means that there is no version.txt.
        sig_keys: Public keys for sig-0.key, sig-1.key, ...
        interval_s: The time between polls. None means the station's default.
        credentials: Certificates and key for CUPS.

    Raises:
        HomeError: A station would not start with this ``cups_uri``.
    """
    check_cups_uri(cups_uri)
    files = [HomeFile("cups.uri", cups_uri.encode())]
    for part, suffix in CREDENTIAL_SUFFIXES.items():
        content = getattr(credentials, part)
        if content:
            files.append(HomeFile(f"cups.{suffix}", content, file_mode(suffix)))
    if package is not None:
        files.append(HomeFile("version.txt", f"{package}\n".encode()))
    for index, key in enumerate(sig_keys):
        files.append(HomeFile(f"sig-{index}.key", key.sig_key))
    files.append(HomeFile("station.conf", station_conf(eui, interval_s=interval_s).encode()))
    return files


def write_home(
    path: Path, *, eui: GatewayEui, cups_uri: str, package: str | None, is_durable: bool = True, **options: Any
) -> Home:
    """Write the files of a new home folder.

    Args:
        path: The folder. It is created if it does not exist.
        eui: The gateway.
        cups_uri: The address of its CUPS server.
        package: The text of version.txt. None means that there is no version.txt.
        is_durable: Whether the files survive a power failure of this machine, now and when the gateway changes them.
        **options: Further arguments of ``home_files``.

    Returns:
        The home folder.

    Raises:
        HomeError: The folder contains files of a gateway already, or the ``cups_uri`` cannot be used.
    """
    files = home_files(eui=eui, cups_uri=cups_uri, package=package, **options)
    check_new_home(path)
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    home = Home(path, is_durable=is_durable)
    for file in files:
        if is_durable:
            home.write(file.name, file.content, mode=file.mode)
        else:
            create_file(path / file.name, file.content, mode=file.mode)
    return home


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A registered gateway with its own certificate."""

    registration: Registration
    """The registration with AWS IoT Wireless."""
    certificate_id: str
    """The certificate that was bound to the gateway."""
    home: Home
    """The home folder with the certificate and its key."""
    replaced_certificate_id: str | None = None
    """The certificate that was bound to the gateway before. It is still active, but no longer bound."""


def enrol(
    path: Path,
    make_client: ClientFactory,
    *,
    eui: GatewayEui,
    name: str | None,
    rf_region: str,
    package: str | None,
    sig_keys: Sequence[PublicKey] = (),
    replace_certificate: bool = False,
) -> Enrolment:
    """Register a gateway, bind a new certificate to it, and write its home folder.

    If one step fails, the steps before it are undone.

    Args:
        path: The new home folder.
        make_client: Makes boto3 clients for ``iotwireless``, ``iot`` and ``sts``, of the lab or of AWS.
        eui: The gateway.
        name: Its name in AWS, or None.
        rf_region: Its RfRegion in AWS.
        package: The text of version.txt. None means that there is no version.txt.
        sig_keys: Public keys for sig-0.key, sig-1.key, ...
        replace_certificate: Bind the new certificate even if another one is bound to the gateway.

    Returns:
        The gateway's registration, certificate and home folder.

    Raises:
        HomeError: The folder or the gateway is in use, or an earlier run cannot be undone from here.
        ClientError: A request to AWS failed. Other errors of botocore are raised unchanged as well.
    """
    _check_folder_is_free(path)
    with enrolment_transaction(path, make_client, eui) as transaction:
        wireless = make_client("iotwireless")
        endpoint = wireless.get_service_endpoint(ServiceType="CUPS")
        check_cups_uri(endpoint["ServiceEndpoint"])
        registration = register_marked_gateway(transaction, eui, name, rf_region)
        if not replace_certificate:
            # Ask before the certificate is created. bind_certificate asks again, because that takes a moment.
            check_no_certificate_is_bound(wireless, registration.id, eui)
        certificate = create_certificate(transaction, eui)
        bind_certificate(transaction, registration, certificate, eui, replace_certificate=replace_certificate)
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
        write_files(transaction, files)
    return Enrolment(registration, certificate.id, Home(path), transaction.entry.previous_certificate_id)


def enrol_without_tls(
    path: Path,
    make_client: ClientFactory,
    *,
    eui: GatewayEui,
    name: str | None,
    rf_region: str,
    package: str | None,
    sig_keys: Sequence[PublicKey] = (),
    cups_uri: str | None = None,
) -> Registration:
    """Register a gateway and write a home folder without certificates. Only the lab accepts such a gateway.

    If one step fails, the steps before it are undone.

    Args:
        path: The new home folder.
        make_client: Makes boto3 clients for ``iotwireless``, ``iot`` and ``sts`` of the lab.
        eui: The gateway.
        name: Its name in the lab, or None.
        rf_region: Its RfRegion.
        package: The text of version.txt. None means that there is no version.txt.
        sig_keys: Public keys for sig-0.key, sig-1.key, ...
        cups_uri: The address of the CUPS server. None means the lab's address for connections without TLS.

    Returns:
        The gateway's registration.

    Raises:
        HomeError: The folder or the gateway is in use, or an earlier run cannot be undone from here.
        ClientError: A request to the lab failed. Other errors of botocore are raised unchanged as well.
    """
    _check_folder_is_free(path)
    with enrolment_transaction(path, make_client, eui) as transaction:
        if not cups_uri:
            cups_uri = plain_cups_uri(make_client("iotwireless"))
        files = home_files(eui=eui, cups_uri=cups_uri, package=package, sig_keys=sig_keys)
        registration = register_marked_gateway(transaction, eui, name, rf_region)
        write_files(transaction, files)
    return registration


def register_gateway(client: Any, eui: GatewayEui, name: str | None, rf_region: str) -> Registration:
    """Register a gateway with CreateWirelessGateway. If the account has the gateway already, nothing is changed.

    Args:
        client: A boto3 client for ``iotwireless``.
        eui: The gateway.
        name: Its name in AWS, or None.
        rf_region: Its RfRegion in AWS.

    Returns:
        The new registration, or the one that exists.
    """
    try:
        created = client.create_wireless_gateway(**gateway_parameters(eui, name, rf_region))
    except client.exceptions.ConflictException:
        registered = client.get_wireless_gateway(Identifier=eui.hex, IdentifierType="GatewayEui")
        return Registration(registered["Id"], registered["Arn"], created=False)
    return Registration(created["Id"], created["Arn"], created=True)


def plain_cups_uri(client: Any) -> str:
    """Return the address of the lab's CUPS server for connections without TLS.

    Calls GetServiceEndpoint with a header that only the lab knows.
    """
    event = "before-call.iot-wireless.GetServiceEndpoint"
    client.meta.events.register(event, _ask_for_plain_endpoint)
    try:
        endpoint: str = client.get_service_endpoint(ServiceType="CUPS")["ServiceEndpoint"]
    finally:
        client.meta.events.unregister(event, _ask_for_plain_endpoint)
    return endpoint


def _ask_for_plain_endpoint(params: dict[str, Any], **_: Any) -> None:
    """Add the lab's header to a request. boto3 calls this before it sends the request."""
    params["headers"].update({PLAIN_HEADER: "1"})


def _check_folder_is_free(path: Path) -> None:
    """Raise HomeError if the folder is in use. A folder with the journal of an interrupted run is not in use."""
    if not (path / JOURNAL_FILENAME).exists():
        check_new_home(path)
