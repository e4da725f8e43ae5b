"""Roll back at AWS what an interrupted ``gateway init`` created, and nothing else.

The journal has the ids of what a run created. If a run was interrupted between a request and its answer, the journal
does not have the id yet. Two marks then show whether AWS carried out the request:

* The Description of a new gateway contains the random id of the run until the run is complete.
* The certificate contains the public key that the run created. The SHA-256 of this key is in the journal.

A gateway that was changed since then is not deleted: its Description must still be that of the run, and no other
certificate may be bound to it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lorafw.gateway.enrolment_journal import JournalEntry, sha256_of

logger: Final = logging.getLogger("lorafw.gateway.enrolment")

MARK_PREFIX: Final = "lorafw gateway init is under way: "
DESCRIPTION: Final = "Registered by lorafw gateway init"
"""The Description of a gateway once its run is complete."""

_CLOCK_SKEW: Final = timedelta(days=1)
"""Certificates that are older than the run by more than this are not examined."""


def mark_of(attempt_id: str) -> str:
    """Return the Description of a gateway that this run registers."""
    return MARK_PREFIX + attempt_id


def roll_back_at_aws(entry: JournalEntry, make_client: Callable[[str], Any]) -> None:
    """Undo at AWS what a run created. If boto3 raises an error, the same call can be made again later."""
    wireless = make_client("iotwireless")
    iot = make_client("iot")
    gateway = _find_gateway(entry, wireless)
    certificate_ids = _find_certificates(entry, iot)
    if gateway is not None and entry.is_associating:
        _unbind(entry, wireless, gateway["Id"], certificate_ids)
    for certificate_id in certificate_ids:
        _delete_certificate(iot, certificate_id)
    if gateway is not None and entry.created_gateway is not False:
        _delete_gateway(entry, wireless, gateway)


def remove_mark(entry: JournalEntry, make_client: Callable[[str], Any]) -> None:
    """Remove the mark from the gateway that a run registered. Call this when the run has written all of its files."""
    if not entry.created_gateway:
        return
    wireless = make_client("iotwireless")
    gateway = _find_gateway(entry, wireless)
    if gateway is not None and gateway.get("Description") == mark_of(entry.attempt_id):
        wireless.update_wireless_gateway(Id=gateway["Id"], Description=DESCRIPTION)


def find_gateway(wireless: Any, identifier: str, identifier_type: str) -> dict[str, Any] | None:
    """Return the answer of GetWirelessGateway, or None if there is no such gateway.

    Args:
        wireless: A boto3 client for ``iotwireless``.
        identifier: The id or the EUI of the gateway.
        identifier_type: ``WirelessGatewayId`` or ``GatewayEui``.
    """
    try:
        gateway: dict[str, Any] = wireless.get_wireless_gateway(Identifier=identifier, IdentifierType=identifier_type)
    except wireless.exceptions.ResourceNotFoundException:
        return None
    return gateway


def find_bound_certificate(wireless: Any, gateway_id: str) -> str | None:
    """Return the id of the certificate that is bound to a gateway, or None if there is none.

    Calls GetWirelessGatewayCertificate.
    """
    try:
        answer = wireless.get_wireless_gateway_certificate(Id=gateway_id)
    except wireless.exceptions.ResourceNotFoundException:
        return None
    certificate_id: str | None = answer.get("IotCertificateId")
    return certificate_id


def key_sha256(public_key: Any) -> str:
    """Return the SHA-256 of a public key as the journal stores it: of its DER, in hexadecimal."""
    return sha256_of(public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _find_gateway(entry: JournalEntry, wireless: Any) -> dict[str, Any] | None:
    """Return the gateway of the run, or None if the run registered none or the gateway was deleted since."""
    if entry.gateway_id is not None:
        return find_gateway(wireless, entry.gateway_id, "WirelessGatewayId")
    gateway = find_gateway(wireless, entry.eui, "GatewayEui")
    if gateway is None or gateway.get("Description") != mark_of(entry.attempt_id):
        return None
    return gateway


def _find_certificates(entry: JournalEntry, iot: Any) -> list[str]:
    """Return the ids of the certificates that AWS issued for the run."""
    if entry.certificate_id is not None:
        return [entry.certificate_id]
    if entry.key_sha256 is None:
        return []
    certificate_ids: list[str] = []
    for page in iot.get_paginator("list_certificates").paginate():
        for certificate in page["certificates"]:
            is_recent = certificate["creationDate"] >= entry.started_at - _CLOCK_SKEW
            if is_recent and _is_for_key(iot, certificate["certificateId"], entry.key_sha256):
                certificate_ids.append(certificate["certificateId"])
    return certificate_ids


def _is_for_key(iot: Any, certificate_id: str, expected: str) -> bool:
    """Return True if the certificate is for the public key with this SHA-256. Calls DescribeCertificate."""
    try:
        described = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
        certificate = x509.load_pem_x509_certificate(described["certificatePem"].encode())
        return key_sha256(certificate.public_key()) == expected
    except iot.exceptions.ResourceNotFoundException:
        return False  # the certificate was deleted in the meantime
    except ValueError:
        return False  # AWS did not issue a certificate that cannot be parsed


def _unbind(entry: JournalEntry, wireless: Any, gateway_id: str, certificate_ids: list[str]) -> None:
    """Undo the binding of the run: bind the certificate that was bound before, or none if there was none."""
    if find_bound_certificate(wireless, gateway_id) not in certificate_ids:
        return
    if entry.previous_certificate_id is not None:
        try:
            wireless.associate_wireless_gateway_with_certificate(
                Id=gateway_id, IotCertificateId=entry.previous_certificate_id
            )
        except wireless.exceptions.ResourceNotFoundException:
            logger.warning("certificate %s is gone and cannot be bound again", entry.previous_certificate_id)
        else:
            return
    wireless.disassociate_wireless_gateway_from_certificate(Id=gateway_id)


def _delete_certificate(iot: Any, certificate_id: str) -> None:
    """Deactivate and delete a certificate. Does nothing if it does not exist any more."""
    try:
        iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
        iot.delete_certificate(certificateId=certificate_id)
    except iot.exceptions.ResourceNotFoundException:
        return


def _delete_gateway(entry: JournalEntry, wireless: Any, gateway: dict[str, Any]) -> None:
    """Delete the gateway that the run registered, unless it was changed since."""
    if gateway.get("Description") != mark_of(entry.attempt_id):
        logger.warning("gateway %s stays: its Description was changed since", gateway["Id"])
        return
    certificate_id = find_bound_certificate(wireless, gateway["Id"])
    if certificate_id is not None:
        logger.warning("gateway %s stays: certificate %s was bound to it since", gateway["Id"], certificate_id)
        return
    try:
        wireless.delete_wireless_gateway(Id=gateway["Id"])
    except wireless.exceptions.ResourceNotFoundException:
        return
