"""Undo at AWS what an interrupted ``gateway init`` made, and nothing else.

What a run made is known by the ids in its journal. If a run was interrupted between a request and its answer, the
journal has no id yet, and two marks tell for certain whether the request was carried out:

* The Description of a new gateway holds the random id of the run until the run is complete.
* The certificate holds the public key that the run made, whose SHA-256 is in the journal.

A gateway that has changed hands since stays: it is deleted only while its Description is the one of the run and no
certificate of somebody else is bound to it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lorafw.gateway.enrolment_journal import JournalEntry, sha256_of

LOG: Final = logging.getLogger("lorafw.gateway.enrolment")

MARK_PREFIX: Final = "lorafw gateway init is under way: "
DESCRIPTION: Final = "Registered by lorafw gateway init"
"""The Description of a gateway once its run is complete."""

_CLOCK_SKEW: Final = timedelta(days=1)
"""Certificates that are this much older than the run are not looked at."""


def mark_of(attempt_id: str) -> str:
    """Return the Description of a gateway that this run registers."""
    return MARK_PREFIX + attempt_id


def roll_back(entry: JournalEntry, clients: Callable[[str], Any]) -> None:
    """Undo what a run made at AWS. Raises what boto3 raises; the same call can then be made again."""
    wireless, iot = clients("iotwireless"), clients("iot")
    gateway = _find_gateway(entry, wireless)
    certificate_ids = _find_certificates(entry, iot)
    if gateway is not None and entry.is_associating:
        _unbind(entry, wireless, gateway["Id"], certificate_ids)
    for certificate_id in certificate_ids:
        _delete_certificate(iot, certificate_id)
    if gateway is not None and entry.created_gateway is not False:
        _delete_gateway(entry, wireless, gateway)


def complete(entry: JournalEntry, clients: Callable[[str], Any]) -> None:
    """Take the mark off the gateway that a run registered, since the run wrote all of its files."""
    if not entry.created_gateway:
        return
    wireless = clients("iotwireless")
    gateway = _find_gateway(entry, wireless)
    if gateway is not None and gateway.get("Description") == mark_of(entry.attempt_id):
        wireless.update_wireless_gateway(Id=gateway["Id"], Description=DESCRIPTION)


def find_gateway(wireless: Any, identifier: str, identifier_type: str) -> dict[str, Any] | None:
    """GetWirelessGateway. Returns None if there is no such gateway."""
    try:
        gateway: dict[str, Any] = wireless.get_wireless_gateway(Identifier=identifier, IdentifierType=identifier_type)
    except wireless.exceptions.ResourceNotFoundException:
        return None
    return gateway


def find_bound_certificate(wireless: Any, gateway_id: str) -> str | None:
    """GetWirelessGatewayCertificate. Returns None if no certificate is bound to the gateway."""
    try:
        answer = wireless.get_wireless_gateway_certificate(Id=gateway_id)
    except wireless.exceptions.ResourceNotFoundException:
        return None
    certificate_id: str | None = answer.get("IotCertificateId")
    return certificate_id


def key_sha256(public_key: Any) -> str:
    """Return the SHA-256 of a public key, in the form that the journal holds."""
    return sha256_of(public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _find_gateway(entry: JournalEntry, wireless: Any) -> dict[str, Any] | None:
    """Return the gateway of the run. Returns None if the run registered none, or if it is gone."""
    if entry.gateway_id is not None:
        return find_gateway(wireless, entry.gateway_id, "WirelessGatewayId")
    found = find_gateway(wireless, entry.eui, "GatewayEui")
    if found is None or found.get("Description") != mark_of(entry.attempt_id):
        return None
    return found


def _find_certificates(entry: JournalEntry, iot: Any) -> list[str]:
    """Return the ids of the certificates that were made for the run."""
    if entry.certificate_id is not None:
        return [entry.certificate_id]
    if entry.key_sha256 is None:
        return []
    found = []
    for page in iot.get_paginator("list_certificates").paginate():
        for listed in page["certificates"]:
            is_recent = listed["creationDate"] >= entry.started_at - _CLOCK_SKEW
            if is_recent and _is_for_key(iot, listed["certificateId"], entry.key_sha256):
                found.append(listed["certificateId"])
    return found


def _is_for_key(iot: Any, certificate_id: str, expected: str) -> bool:
    try:
        described = iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
        certificate = x509.load_pem_x509_certificate(described["certificatePem"].encode())
        return key_sha256(certificate.public_key()) == expected
    except iot.exceptions.ResourceNotFoundException:
        return False  # it was deleted by somebody else in the meantime
    except ValueError:
        return False  # it cannot be read, so it is not one that AWS issued for the run


def _unbind(entry: JournalEntry, wireless: Any, gateway_id: str, certificate_ids: list[str]) -> None:
    """Bind the certificate that was bound before the run, or none."""
    if find_bound_certificate(wireless, gateway_id) not in certificate_ids:
        return
    if entry.previous_certificate_id is not None:
        try:
            wireless.associate_wireless_gateway_with_certificate(
                Id=gateway_id, IotCertificateId=entry.previous_certificate_id
            )
        except wireless.exceptions.ResourceNotFoundException:
            LOG.warning("certificate %s is gone and cannot be bound again", entry.previous_certificate_id)
        else:
            return
    wireless.disassociate_wireless_gateway_from_certificate(Id=gateway_id)


def _delete_certificate(iot: Any, certificate_id: str) -> None:
    try:
        iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
        iot.delete_certificate(certificateId=certificate_id)
    except iot.exceptions.ResourceNotFoundException:
        return


def _delete_gateway(entry: JournalEntry, wireless: Any, gateway: dict[str, Any]) -> None:
    """Delete the gateway that the run registered, if it is still as the run left it."""
    if gateway.get("Description") != mark_of(entry.attempt_id):
        LOG.warning("gateway %s stays: its Description was changed since", gateway["Id"])
        return
    certificate_id = find_bound_certificate(wireless, gateway["Id"])
    if certificate_id is not None:
        LOG.warning("gateway %s stays: certificate %s was bound to it since", gateway["Id"], certificate_id)
        return
    try:
        wireless.delete_wireless_gateway(Id=gateway["Id"])
    except wireless.exceptions.ResourceNotFoundException:
        return
