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
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from lorafw.atomic import PUBLIC_MODE, sync_folder, write_atomic
from lorafw.errors import HomeError
from lorafw.eui import GatewayEui
from lorafw.gateway.enrolment_journal import (
    COMMIT_FILENAME,
    FOLDER_MODE,
    JOURNAL_FILENAME,
    EnrolmentJournal,
    JournalEntry,
    Target,
    check_is_same_run,
    lock_folder,
    replace_entry,
    sha256_of,
)
from lorafw.gateway.enrolment_rollback import (
    MARK_PREFIX,
    complete,
    find_bound_certificate,
    find_gateway,
    key_sha256,
    mark_of,
    roll_back,
)

ClientFactory = Callable[[str], Any]
"""Makes a boto3 client for the service with this name, of the lab or of AWS."""

RSA_BITS: Final = 2048
"""The size of the key. AWS's CreateKeysAndCertificate creates keys of the same size."""

_AWS_DOMAINS: Final = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn")


@dataclass(frozen=True, slots=True)
class Registration:
    """The registration of a gateway with AWS IoT Wireless."""

    id: str
    arn: str
    created: bool
    """Whether this run created it. If False, the account had the gateway already."""


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate of AWS IoT and its private key, both in PEM."""

    id: str
    pem: bytes
    key_pem: bytes


@dataclass(frozen=True, slots=True)
class HomeFile:
    """A file of a new home folder."""

    name: str
    content: bytes
    mode: int = PUBLIC_MODE


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
        self._folder = folder
        self._make_client = make_client
        self._eui = eui
        self._journal = EnrolmentJournal(folder)

    def begin(self) -> None:
        """Write the first entry of the journal."""
        self._record()

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
        parameters = gateway_parameters(self._eui, name, rf_region)
        parameters["Description"] = mark_of(self.entry.attempt_id)
        parameters["ClientRequestToken"] = self.entry.attempt_id
        try:
            created = wireless.create_wireless_gateway(**parameters)
        except wireless.exceptions.ConflictException:
            registered = find_gateway(wireless, self._eui.hex, "GatewayEui")
            if registered is None:
                raise  # another account has the gateway
            return self._use_registered(registered)
        self._record(created_gateway=True, gateway_id=created["Id"])
        return Registration(created["Id"], created["Arn"], created=True)

    def create_certificate(self) -> IssuedCertificate:
        """Create a private key, and request a certificate for it with CreateCertificateFromCsr.

        Returns:
            The certificate and its private key.

        Raises:
            HomeError: The server returned a certificate for another key.
        """
        key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._eui.hex)])
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, SHA256())
        self._record(key_sha256=key_sha256(key.public_key()))
        answer = self._make_client("iot").create_certificate_from_csr(
            certificateSigningRequest=request.public_bytes(Encoding.PEM).decode(), setAsActive=True
        )
        self._record(certificate_id=answer["certificateId"])
        certificate_pem = answer["certificatePem"].encode()
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        if certificate.public_key() != key.public_key():
            raise HomeError(
                "CreateCertificateFromCsr answered with a certificate for another key than the requested one, as moto "
                "does without lorafw; no gateway could use it"
            )
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        return IssuedCertificate(answer["certificateId"], certificate_pem, key_pem)

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
        previous = find_bound_certificate(wireless, gateway_id)
        self._record(is_associating=True, previous_certificate_id=previous)
        wireless.associate_wireless_gateway_with_certificate(Id=gateway_id, IotCertificateId=certificate_id)

    def write_files(self, files: Sequence[HomeFile]) -> None:
        """Write the files of the home folder. The last file must be station.conf, which commits the run.

        Raises:
            HomeError: Another certificate was bound to the gateway in the meantime.
        """
        self._record(file_sha256={file.name: sha256_of(file.content) for file in files})
        for file in files:
            if file.name == COMMIT_FILENAME:
                self._check_is_still_bound()
                sync_folder(self._folder)
            write_atomic(self._folder / file.name, file.content, mode=file.mode)
        sync_folder(self._folder)

    def is_committed(self) -> bool:
        """Return True if the run wrote all of its files."""
        return self._journal.is_committed(self.entry)

    def complete(self) -> None:
        """Remove the run's mark from the gateway at AWS, and then the journal. Call this after the commit."""
        complete(self.entry, self._make_client)
        self._journal.remove()

    def roll_back(self) -> None:
        """Undo all steps of the run, in the home folder and at AWS, and remove the journal."""
        self._journal.delete_files(self.entry)
        roll_back(self.entry, self._make_client)
        self._journal.remove()
        self._journal.delete_folder(self.entry)

    def _record(self, **changes: Any) -> None:
        """Change the journal entry, in memory and on the disk."""
        # In memory first: if the disk is full, this process still knows what to undo.
        self.entry = replace_entry(self.entry, **changes)
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
        self._record(created_gateway=False, gateway_id=gateway_id)
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
    """Start a run in a folder, and roll it back if the block raises before the run is committed.

    An interrupted run in the same folder is rolled back first.

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
        created_folder = _undo_interrupted_run(folder, make_client, eui, target) or is_new_folder
        check_new_home(folder)
        entry = JournalEntry(
            attempt_id=secrets.token_hex(16),
            started=datetime.now(UTC).isoformat(),
            eui=eui.hex,
            folder=str(folder.resolve()),
            target=target,
            created_folder=created_folder,
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


def find_target(make_client: ClientFactory) -> Target:
    """Return the account, Region and endpoint that the clients use. Asks STS for the account.

    Raises:
        HomeError: Some clients use AWS and others another server, so that the run would be split between the two.
    """
    wireless = make_client("iotwireless")
    sts = make_client("sts")
    endpoint = wireless.meta.endpoint_url
    for client in (make_client("iot"), sts):
        other = client.meta.endpoint_url
        if _place_of(other) != _place_of(endpoint):
            service = client.meta.service_model.service_name
            raise HomeError(
                f"boto3 finds iotwireless at {endpoint}, but {service} at {other}: set AWS_ENDPOINT_URL for all "
                "services, and none for a single one"
            )
    return Target(sts.get_caller_identity()["Account"], wireless.meta.region_name, endpoint)


def check_new_home(folder: Path) -> None:
    """Raise HomeError if the folder is a station's home, or contains files that a station would read."""
    if (folder / COMMIT_FILENAME).exists():
        raise HomeError(f"{folder} is the home of a gateway already; choose another folder, or remove it")
    if not folder.is_dir():
        return
    found = sorted(path.name for path in folder.iterdir() if _is_read_by_station(path.name))
    if (folder / "tmp" / "update.bin").exists():
        found.append("tmp/update.bin")
    if found:
        raise HomeError(
            f"{folder} holds files that the new gateway would read and trust: {', '.join(found)}; "
            "remove them, or choose another folder"
        )


def _is_read_by_station(name: str) -> bool:
    """Return True if a station reads a file with this name in its home folder."""
    if name in {COMMIT_FILENAME, "version.txt"}:
        return True
    if name.startswith("sig-"):
        return name.endswith(".key")
    prefix, _, suffix = name.partition(".")
    category = prefix.partition("-")[0]
    return category in {"cups", "tc"} and suffix in {"uri", "trust", "crt", "key", "done"}


def _place_of(url: str) -> tuple[str, int | None] | str:
    """Return "AWS" for all addresses of AWS, and the host and port of any other server."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host.endswith(_AWS_DOMAINS):
        return "AWS"
    return host, parts.port


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
    entry = EnrolmentJournal(folder).read()
    if entry is None:
        return False
    check_is_same_run(entry, eui.hex, folder, target)
    interrupted = EnrolmentTransaction(folder, make_client, eui, entry)
    if interrupted.is_committed():
        interrupted.complete()
        raise HomeError(
            f"{folder} is the home of gateway {eui.hex} already: the earlier 'gateway init' was interrupted when it "
            f"had written all files. It is complete now"
        )
    EnrolmentJournal(folder).delete_files(entry)
    roll_back(entry, make_client)
    (folder / JOURNAL_FILENAME).unlink()
    return entry.created_folder
