"""The steps of ``gateway init``: register the gateway, request a certificate, bind it, and write the home folder.

Each step belongs to an ``EnrolmentTransaction``, whose journal says what to undo if the run does not reach its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lorafw.atomic import PUBLIC_MODE, sync_folder, write_atomic
from lorafw.errors import HomeError
from lorafw.eui import GatewayEui
from lorafw.gateway.device_key import DeviceKey
from lorafw.gateway.enrolment import EnrolmentTransaction
from lorafw.gateway.enrolment_journal import COMMIT_FILENAME, sha256_of
from lorafw.gateway.enrolment_rollback import MARK_PREFIX, find_bound_certificate, find_gateway, mark_of


@dataclass(frozen=True, slots=True)
class Registration:
    """The registration of a gateway with AWS IoT Wireless."""

    id: str
    """The id that AWS gave the gateway."""
    arn: str
    """The Amazon Resource Name of the gateway."""
    created: bool
    """Whether this run created it. If False, the account had the gateway already."""


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate of AWS IoT and its private key, both in PEM."""

    id: str
    """The id of the certificate in AWS IoT."""
    pem: bytes
    """The certificate in PEM."""
    key_pem: bytes
    """Its private key in PEM, without a password."""


@dataclass(frozen=True, slots=True)
class HomeFile:
    """A file of a new home folder."""

    name: str
    """The file name."""
    content: bytes
    """The content of the file."""
    mode: int = PUBLIC_MODE
    """The permissions of the file."""


def register_marked_gateway(
    transaction: EnrolmentTransaction, eui: GatewayEui, name: str | None, rf_region: str
) -> Registration:
    """Register the gateway with CreateWirelessGateway, and mark it as one of this run.

    If the account has the gateway already, it is not changed.

    Args:
        transaction: The run. It records the id of the gateway, and whether the run created it.
        eui: The gateway.
        name: The gateway's name in AWS, or None.
        rf_region: The gateway's RfRegion.

    Returns:
        The new registration, or the one that exists.

    Raises:
        HomeError: Another run of ``gateway init`` is registering the gateway.
    """
    wireless = transaction.make_client("iotwireless")
    attempt_id = transaction.entry.attempt_id
    try:
        # The mark is the Description, by which a rollback recognizes the gateway.
        created = wireless.create_wireless_gateway(
            Description=mark_of(attempt_id),
            ClientRequestToken=attempt_id,
            **gateway_parameters(eui, name, rf_region),
        )
    except wireless.exceptions.ConflictException:
        registered = find_gateway(wireless, eui.hex, "GatewayEui")
        if registered is None:
            raise  # another account has the gateway
        _check_is_registered(registered, eui)
        transaction.record(created_gateway=False, gateway_id=registered["Id"])
        return Registration(registered["Id"], registered["Arn"], created=False)
    transaction.record(created_gateway=True, gateway_id=created["Id"])
    return Registration(created["Id"], created["Arn"], created=True)


def gateway_parameters(eui: GatewayEui, name: str | None, rf_region: str) -> dict[str, Any]:
    """Return the parameters of CreateWirelessGateway."""
    parameters: dict[str, Any] = {"LoRaWAN": {"GatewayEui": eui.hex, "RfRegion": rf_region}}
    if name is not None:
        parameters["Name"] = name
    return parameters


def _check_is_registered(gateway: dict[str, Any], eui: GatewayEui) -> None:
    """Check that no other run is still registering a gateway.

    Args:
        gateway: The answer of GetWirelessGateway.
        eui: The EUI of the gateway.

    Raises:
        HomeError: Another run is registering it.
    """
    is_under_way = gateway.get("Description", "").startswith(MARK_PREFIX)
    if is_under_way:
        raise HomeError(
            f"gateway {eui.hex} ({gateway['Id']}) is being registered by another 'gateway init', or one that "
            "was interrupted. Let that one end, or run it again in its folder. If its folder is gone: "
            f"aws iotwireless delete-wireless-gateway --id {gateway['Id']}"
        )


def create_certificate(transaction: EnrolmentTransaction, eui: GatewayEui) -> IssuedCertificate:
    """Create a private key, and request a certificate for it with CreateCertificateFromCsr.

    Args:
        transaction: The run. It records the key before the request, and the certificate's id after the answer.
        eui: The gateway.

    Returns:
        The certificate and its private key.

    Raises:
        HomeError: The server returned a certificate for another key.
    """
    key = DeviceKey()
    # The key is in the journal before the request: a rollback finds the certificate by its key.
    transaction.record(key_sha256=key.sha256)
    answer = transaction.make_client("iot").create_certificate_from_csr(
        certificateSigningRequest=key.signing_request_pem(eui), setAsActive=True
    )
    transaction.record(certificate_id=answer["certificateId"])
    certificate_pem = answer["certificatePem"].encode()
    if not key.belongs_to(certificate_pem):
        raise HomeError(
            "CreateCertificateFromCsr answered with a certificate for another key than the requested one, as moto "
            "does without lorafw; no gateway could use it"
        )
    return IssuedCertificate(answer["certificateId"], certificate_pem, key.to_pem())


def check_no_certificate_is_bound(wireless: Any, gateway_id: str, eui: GatewayEui) -> None:
    """Check that a certificate can be bound to a gateway without replacing another one.

    Args:
        wireless: A boto3 client for ``iotwireless``.
        gateway_id: The gateway's id in AWS.
        eui: The EUI of the gateway.

    Raises:
        HomeError: A certificate is bound to the gateway.
    """
    bound = find_bound_certificate(wireless, gateway_id)
    if bound is not None:
        raise HomeError(
            f"gateway {eui.hex} is registered already as {gateway_id}, and certificate {bound} is bound to "
            "it, which a gateway may be using. To lock that one out and bind a new one: --replace-certificate"
        )


def bind_certificate(
    transaction: EnrolmentTransaction,
    registration: Registration,
    certificate: IssuedCertificate,
    eui: GatewayEui,
    *,
    replace_certificate: bool,
) -> None:
    """Bind a certificate to the gateway with AssociateWirelessGatewayWithCertificate.

    Args:
        transaction: The run. It records the certificate that is replaced before the request.
        registration: The gateway in AWS.
        certificate: The new certificate.
        eui: The gateway.
        replace_certificate: Whether the new certificate may replace another one.

    Raises:
        HomeError: Another certificate is bound to the gateway and may not be replaced.
    """
    wireless = transaction.make_client("iotwireless")
    if not replace_certificate:
        check_no_certificate_is_bound(wireless, registration.id, eui)
    # The journal names the certificate that is replaced, so that a rollback can bind it again.
    previous = find_bound_certificate(wireless, registration.id)
    transaction.record(is_associating=True, previous_certificate_id=previous)
    wireless.associate_wireless_gateway_with_certificate(Id=registration.id, IotCertificateId=certificate.id)


def write_files(transaction: EnrolmentTransaction, files: Sequence[HomeFile]) -> None:
    """Write the files of the home folder. The last file must be station.conf, which commits the run.

    Args:
        transaction: The run. It records the SHA-256 of each file before it writes the first one.
        files: The files.

    Raises:
        HomeError: Another certificate was bound to the gateway in the meantime.
    """
    folder = transaction.folder
    transaction.record(file_sha256={file.name: sha256_of(file.content) for file in files})
    for file in files:
        if file.name == COMMIT_FILENAME:
            # All other files are on the disk before this one, which commits the run.
            check_is_still_bound(transaction)
            sync_folder(folder)
        write_atomic(folder / file.name, file.content, mode=file.mode)
    sync_folder(folder)


def check_is_still_bound(transaction: EnrolmentTransaction) -> None:
    """Check that the run's certificate is still the one that is bound to the gateway.

    Raises:
        HomeError: Another run has bound another certificate in the meantime.
    """
    entry = transaction.entry
    if entry.certificate_id is None or entry.gateway_id is None:
        return
    bound = find_bound_certificate(transaction.make_client("iotwireless"), entry.gateway_id)
    if bound != entry.certificate_id:
        raise HomeError(
            f"certificate {bound} was bound to gateway {entry.eui} while this 'gateway init' was under way; "
            "nothing is left of this one"
        )
