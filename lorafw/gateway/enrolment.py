"""The transaction of ``gateway init``: register a gateway, request a certificate, bind it, write the home folder.

The run completes all steps or undoes them. After an error, Ctrl-C or a termination signal, it rolls back at once. If it
cannot, because the network is down or the process was killed, the journal stays in the folder and the next run rolls
back. Writing ``station.conf`` commits the run; after that, nothing is undone.

The private key is created on this machine and stays in the home folder. AWS receives a certificate signing request.

Two runs for the same gateway do not disturb each other. During a run, the Description of the gateway that it registers
names the run, and other runs refuse to use that gateway. A run replaces the certificate of a gateway only with
``replace_certificate``.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lorafw.atomic import PUBLIC_MODE, sync_folder, write_atomic
from lorafw.errors import HomeError
from lorafw.eui import GatewayEui
from lorafw.gateway.device_key import DeviceKey
from lorafw.gateway.enrolment_checks import check_new_home, find_target
from lorafw.gateway.enrolment_journal import (
    COMMIT_FILENAME,
    FOLDER_MODE,
    JOURNAL_FILENAME,
    EnrolmentJournal,
    JournalEntry,
    Target,
    check_is_same_run,
    lock_folder,
    sha256_of,
)
from lorafw.gateway.enrolment_rollback import (
    MARK_PREFIX,
    find_bound_certificate,
    find_gateway,
    mark_of,
    remove_mark,
    roll_back_at_aws,
)

ClientFactory = Callable[[str], Any]
"""Makes a boto3 client for the service with this name, of the lab or of AWS."""


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


class EnrolmentTransaction:
    """The steps of one run of ``gateway init``.

    Each step writes to the journal before its request to AWS and after the answer.

    Args:
        folder: The home folder. It must be locked.
        make_client: Makes boto3 clients.
        eui: The gateway.
        entry: The journal entry of the run.
    """

    def __init__(self, folder: Path, make_client: ClientFactory, eui: GatewayEui, entry: JournalEntry) -> None:
        self.entry = entry
        """What the run has done so far."""
        self._folder = folder
        self._make_client = make_client
        self._eui = eui
        self._journal = EnrolmentJournal(folder)

    def begin(self) -> None:
        """Write the first entry of the journal."""
        self._update_journal()

    def register_gateway(self, name: str | None, rf_region: str) -> Registration:
        """Register the gateway with CreateWirelessGateway. If the account has the gateway already, it is not changed.

        Args:
            name: The gateway's name in AWS, or None.
            rf_region: The gateway's RfRegion.

        Returns:
            The new registration, or the one that exists.

        Raises:
            HomeError: Another run of ``gateway init`` is registering the gateway.
        """
        wireless = self._make_client("iotwireless")
        try:
            # The Description marks the gateway as one of this run, so that a rollback recognizes it.
            created = wireless.create_wireless_gateway(
                Description=mark_of(self.entry.attempt_id),
                ClientRequestToken=self.entry.attempt_id,
                **gateway_parameters(self._eui, name, rf_region),
            )
        except wireless.exceptions.ConflictException:
            registered = find_gateway(wireless, self._eui.hex, "GatewayEui")
            if registered is None:
                raise  # another account has the gateway
            return self._use_registered(registered)
        self._update_journal(created_gateway=True, gateway_id=created["Id"])
        return Registration(created["Id"], created["Arn"], created=True)

    def create_certificate(self) -> IssuedCertificate:
        """Create a private key, and request a certificate for it with CreateCertificateFromCsr.

        Returns:
            The certificate and its private key.

        Raises:
            HomeError: The server returned a certificate for another key.
        """
        key = DeviceKey()
        # The key is in the journal before the request: a rollback finds the certificate by its key.
        self._update_journal(key_sha256=key.sha256)
        answer = self._make_client("iot").create_certificate_from_csr(
            certificateSigningRequest=key.signing_request_pem(self._eui), setAsActive=True
        )
        self._update_journal(certificate_id=answer["certificateId"])
        certificate_pem = answer["certificatePem"].encode()
        if not key.belongs_to(certificate_pem):
            raise HomeError(
                "CreateCertificateFromCsr answered with a certificate for another key than the requested one, as moto "
                "does without lorafw; no gateway could use it"
            )
        return IssuedCertificate(answer["certificateId"], certificate_pem, key.to_pem())

    def check_certificate_is_replaceable(self, gateway_id: str, *, replace_certificate: bool) -> None:
        """Raise HomeError if a certificate is bound to the gateway and ``replace_certificate`` is False."""
        bound = find_bound_certificate(self._make_client("iotwireless"), gateway_id)
        if bound is not None and not replace_certificate:
            raise HomeError(
                f"gateway {self._eui.hex} is registered already as {gateway_id}, and certificate {bound} is bound to "
                "it, which a gateway may be using. To lock that one out and bind a new one: --replace-certificate"
            )

    def bind_certificate(self, gateway_id: str, certificate_id: str, *, replace_certificate: bool) -> None:
        """Bind a certificate to the gateway with AssociateWirelessGatewayWithCertificate.

        Args:
            gateway_id: The gateway's id in AWS.
            certificate_id: The new certificate.
            replace_certificate: Whether the new certificate may replace another one.

        Raises:
            HomeError: Another certificate is bound to the gateway and may not be replaced.
        """
        wireless = self._make_client("iotwireless")
        self.check_certificate_is_replaceable(gateway_id, replace_certificate=replace_certificate)
        # The journal names the certificate that is replaced, so that a rollback can bind it again.
        previous = find_bound_certificate(wireless, gateway_id)
        self._update_journal(is_associating=True, previous_certificate_id=previous)
        wireless.associate_wireless_gateway_with_certificate(Id=gateway_id, IotCertificateId=certificate_id)

    def write_files(self, files: Sequence[HomeFile]) -> None:
        """Write the files of the home folder. The last file must be station.conf, which commits the run.

        Raises:
            HomeError: Another certificate was bound to the gateway in the meantime.
        """
        self._update_journal(file_sha256={file.name: sha256_of(file.content) for file in files})
        for file in files:
            if file.name == COMMIT_FILENAME:
                # All other files are on the disk before this one, which commits the run.
                self._check_is_still_bound()
                sync_folder(self._folder)
            write_atomic(self._folder / file.name, file.content, mode=file.mode)
        sync_folder(self._folder)

    def is_committed(self) -> bool:
        """Return True if the run wrote all of its files."""
        return self._journal.is_committed(self.entry)

    def complete(self) -> None:
        """Remove the run's mark from the gateway at AWS, and then the journal. Call this after the commit."""
        remove_mark(self.entry, self._make_client)
        self._journal.remove()

    def roll_back(self) -> None:
        """Undo all steps of the run, in the home folder and at AWS, and remove the journal."""
        self._journal.delete_files(self.entry)
        roll_back_at_aws(self.entry, self._make_client)
        self._journal.remove()
        self._journal.delete_folder(self.entry)

    def _update_journal(self, **changes: Any) -> None:
        """Change fields of the journal entry, in memory and on the disk."""
        # In memory first: if the disk is full, this process still knows what to undo.
        self.entry = replace(self.entry, **changes)
        self._journal.write(self.entry)

    def _use_registered(self, gateway: dict[str, Any]) -> Registration:
        """Return the registration of a gateway that the account has, unless another run is registering it."""
        gateway_id = gateway["Id"]
        if gateway.get("Description", "").startswith(MARK_PREFIX):
            raise HomeError(
                f"gateway {self._eui.hex} ({gateway_id}) is being registered by another 'gateway init', or one that "
                "was interrupted. Let that one end, or run it again in its folder. If its folder is gone: "
                f"aws iotwireless delete-wireless-gateway --id {gateway_id}"
            )
        self._update_journal(created_gateway=False, gateway_id=gateway_id)
        return Registration(gateway_id, gateway["Arn"], created=False)

    def _check_is_still_bound(self) -> None:
        """Raise HomeError if the run's certificate is no longer the one that is bound to the gateway."""
        entry = self.entry
        if entry.certificate_id is None or entry.gateway_id is None:
            return
        bound = find_bound_certificate(self._make_client("iotwireless"), entry.gateway_id)
        if bound != entry.certificate_id:
            raise HomeError(
                f"certificate {bound} was bound to gateway {self._eui.hex} while this 'gateway init' was under way; "
                "nothing is left of this one"
            )


@contextmanager
def enrolment_transaction(folder: Path, make_client: ClientFactory, eui: GatewayEui) -> Iterator[EnrolmentTransaction]:
    """Start a run in a folder, and roll it back if the block raises an error before the run is committed.

    An interrupted run in the same folder is rolled back first. The run is committed when its last file is written.

    Args:
        folder: The new home folder. It is locked until the block ends.
        make_client: Makes boto3 clients.
        eui: The gateway.

    Yields:
        The run, with one method for each step.

    Raises:
        HomeError: The folder is in use, or an interrupted run in it cannot be undone from here.
    """
    target = find_target(make_client)
    is_new_folder = not folder.exists()
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    with lock_folder(folder):
        did_earlier_run_create_folder = _undo_interrupted_run(folder, make_client, eui, target)
        check_new_home(folder)
        entry = JournalEntry(
            attempt_id=secrets.token_hex(16),
            started=datetime.now(UTC).isoformat(),
            eui=eui.hex,
            folder=str(folder.resolve()),
            target=target,
            created_folder=is_new_folder or did_earlier_run_create_folder,
        )
        transaction = EnrolmentTransaction(folder, make_client, eui, entry)
        try:
            transaction.begin()
            yield transaction
        except BaseException:
            if not transaction.is_committed():
                transaction.roll_back()
            raise
        transaction.complete()


def gateway_parameters(eui: GatewayEui, name: str | None, rf_region: str) -> dict[str, Any]:
    """Return the parameters of CreateWirelessGateway."""
    parameters: dict[str, Any] = {"LoRaWAN": {"GatewayEui": eui.hex, "RfRegion": rf_region}}
    if name is not None:
        parameters["Name"] = name
    return parameters


def _undo_interrupted_run(folder: Path, make_client: ClientFactory, eui: GatewayEui, target: Target) -> bool:
    """Roll back an interrupted run in this folder, if there is one.

    Args:
        folder: The home folder. It must be locked.
        make_client: Makes boto3 clients.
        eui: The gateway of the new run.
        target: The account, Region and endpoint of the new run.

    Returns:
        True if the interrupted run created the folder.

    Raises:
        HomeError: The interrupted run was for another gateway or another place, or it was committed.
    """
    journal = EnrolmentJournal(folder)
    entry = journal.read()
    if entry is None:
        return False
    check_is_same_run(entry, eui.hex, folder, target)
    if journal.is_committed(entry):
        remove_mark(entry, make_client)
        journal.remove()
        raise HomeError(
            f"{folder} is the home of gateway {eui.hex} already: the earlier 'gateway init' was interrupted when it "
            f"had written all files. It is complete now"
        )
    journal.delete_files(entry)
    roll_back_at_aws(entry, make_client)
    # The journal goes last: if AWS cannot be reached, the next run tries again.
    (folder / JOURNAL_FILENAME).unlink()
    return entry.created_folder
