"""One run of ``gateway init``: register a gateway, have a certificate issued, bind it, write the home folder.

Either all of it is done or nothing. An error, Ctrl-C or a termination signal undoes at once what was made. If that is
not possible, because there is no network or the process was killed, the journal stays in the folder and the next run
undoes it. The run is committed when ``station.conf`` is written: from then on nothing is undone.

The private key is made here and stays in the home folder. AWS gets a certificate signing request.

Two runs for the same gateway do not harm each other. While a run is under way, the Description of the gateway that it
registers says so, and other runs refuse to use that gateway. A run also refuses to replace the certificate of a gateway
unless it is told to.
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

Clients = Callable[[str], Any]
"""Makes a boto3 client for a service, of the lab or of AWS."""

RSA_BITS: Final = 2048
"""As in CreateKeysAndCertificate."""

_AWS_DOMAINS: Final = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn")


@dataclass(frozen=True, slots=True)
class Registration:
    """A gateway as the API knows it."""

    id: str
    arn: str
    was_new: bool


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
    """The steps of one run. Each writes to the journal before and after its request."""

    def __init__(self, folder: Path, clients: Clients, eui: GatewayEui, entry: JournalEntry) -> None:
        self.entry = entry
        self._folder = folder
        self._clients = clients
        self._eui = eui
        self._journal = EnrolmentJournal(folder)

    def begin(self) -> None:
        """Write the first entry of the journal."""
        self._record()

    def register_gateway(self, name: str | None, rf_region: str) -> Registration:
        """CreateWirelessGateway. A gateway that this account has already is used as it is.

        Raises:
            HomeError: Another run of ``gateway init`` is registering the gateway.
        """
        wireless = self._clients("iotwireless")
        parameters = gateway_parameters(self._eui, name, rf_region)
        parameters["Description"] = mark_of(self.entry.attempt_id)
        parameters["ClientRequestToken"] = self.entry.attempt_id
        try:
            created = wireless.create_wireless_gateway(**parameters)
        except wireless.exceptions.ConflictException:
            known = find_gateway(wireless, self._eui.hex, "GatewayEui")
            if known is None:
                raise  # another account has it
            return self._use_registered(known)
        self._record(created_gateway=True, gateway_id=created["Id"])
        return Registration(created["Id"], created["Arn"], was_new=True)

    def create_certificate(self) -> IssuedCertificate:
        """Make a private key, and have a certificate issued for it."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._eui.hex)])
        request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, SHA256())
        self._record(key_sha256=key_sha256(key.public_key()))
        answer = self._clients("iot").create_certificate_from_csr(
            certificateSigningRequest=request.public_bytes(Encoding.PEM).decode(), setAsActive=True
        )
        self._record(certificate_id=answer["certificateId"])
        certificate = x509.load_pem_x509_certificate(answer["certificatePem"].encode())
        if certificate.public_key() != key.public_key():
            raise HomeError(
                "CreateCertificateFromCsr answered with a certificate for another key than the requested one, as moto "
                "does without lorafw; no gateway could use it"
            )
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        return IssuedCertificate(answer["certificateId"], answer["certificatePem"].encode(), key_pem)

    def check_certificate_is_replaceable(self, gateway_id: str, *, replace_certificate: bool) -> None:
        """Raises HomeError if a certificate is bound to the gateway and it may not be replaced."""
        bound = find_bound_certificate(self._clients("iotwireless"), gateway_id)
        if bound is not None and not replace_certificate:
            raise HomeError(
                f"gateway {self._eui.hex} is registered already as {gateway_id}, and certificate {bound} is bound to "
                "it, which a gateway may be using. To lock that one out and bind a new one: --replace-certificate"
            )

    def bind_certificate(self, gateway_id: str, certificate_id: str, *, replace_certificate: bool) -> None:
        """AssociateWirelessGatewayWithCertificate."""
        wireless = self._clients("iotwireless")
        self.check_certificate_is_replaceable(gateway_id, replace_certificate=replace_certificate)
        previous = find_bound_certificate(wireless, gateway_id)
        self._record(is_associating=True, previous_certificate_id=previous)
        wireless.associate_wireless_gateway_with_certificate(Id=gateway_id, IotCertificateId=certificate_id)

    def write_files(self, files: Sequence[HomeFile]) -> None:
        """Write the files of the home folder. The last one is station.conf, and commits the run."""
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
        """Tidy up after the commit."""
        complete(self.entry, self._clients)
        self._journal.remove()

    def roll_back(self) -> None:
        """Undo everything, here and at AWS."""
        self._journal.delete_files(self.entry)
        roll_back(self.entry, self._clients)
        self._journal.remove()
        self._journal.delete_folder(self.entry)

    def _record(self, **changes: Any) -> None:
        # In memory first: if the disk is full, this process still knows what to undo.
        self.entry = replace_entry(self.entry, **changes)
        self._journal.write(self.entry)

    def _use_registered(self, known: dict[str, Any]) -> Registration:
        if known.get("Description", "").startswith(MARK_PREFIX):
            raise HomeError(
                f"gateway {self._eui.hex} ({known['Id']}) is being registered by another 'gateway init', or one that "
                "was interrupted. Let that one end, or run it again in its folder. If its folder is gone: "
                f"aws iotwireless delete-wireless-gateway --id {known['Id']}"
            )
        self._record(created_gateway=False, gateway_id=known["Id"])
        return Registration(known["Id"], known["Arn"], was_new=False)

    def _check_is_still_bound(self) -> None:
        entry = self.entry
        if entry.certificate_id is None or entry.gateway_id is None:
            return
        bound = find_bound_certificate(self._clients("iotwireless"), entry.gateway_id)
        if bound != entry.certificate_id:
            raise HomeError(
                f"certificate {bound} was bound to gateway {self._eui.hex} while this 'gateway init' was under way; "
                "nothing is left of this one"
            )


@contextmanager
def enrolment_transaction(folder: Path, clients: Clients, eui: GatewayEui) -> Iterator[EnrolmentTransaction]:
    """Do everything in the block, or nothing. An interrupted run in this folder is undone first.

    Args:
        folder: The new home folder. It is locked until the block ends.
        clients: Makes boto3 clients.
        eui: The gateway.

    Raises:
        HomeError: The folder is in use, or an interrupted run in it cannot be undone from here.
    """
    target = find_target(clients)
    is_new_folder = not folder.exists()
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    with lock_folder(folder):
        created_folder = _undo_interrupted_run(folder, clients, eui, target) or is_new_folder
        check_new_home(folder)
        entry = JournalEntry(
            attempt_id=secrets.token_hex(16),
            started=datetime.now(UTC).isoformat(),
            eui=eui.hex,
            folder=str(folder.resolve()),
            target=target,
            created_folder=created_folder,
        )
        transaction = EnrolmentTransaction(folder, clients, eui, entry)
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


def find_target(clients: Clients) -> Target:
    """Ask STS for the account that the clients lead to.

    Raises:
        HomeError: Some clients lead to AWS and others do not, so that one run would be split between the two.
    """
    wireless, sts = clients("iotwireless"), clients("sts")
    endpoint = wireless.meta.endpoint_url
    for client in (clients("iot"), sts):
        other = client.meta.endpoint_url
        if _place_of(other) != _place_of(endpoint):
            service = client.meta.service_model.service_name
            raise HomeError(
                f"boto3 finds iotwireless at {endpoint}, but {service} at {other}: set AWS_ENDPOINT_URL for all "
                "services, and none for a single one"
            )
    return Target(sts.get_caller_identity()["Account"], wireless.meta.region_name, endpoint)


def check_new_home(folder: Path) -> None:
    """Raise HomeError if the folder is a station's home, or holds files that a station would read."""
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
    if name in {COMMIT_FILENAME, "version.txt"}:
        return True
    if name.startswith("sig-"):
        return name.endswith(".key")
    prefix, _, suffix = name.partition(".")
    category = prefix.partition("-")[0]
    return category in {"cups", "tc"} and suffix in {"uri", "trust", "crt", "key", "done"}


def _place_of(url: str) -> tuple[str, int | None] | str:
    """Return one value for all of AWS, and one for each other server."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host.endswith(_AWS_DOMAINS):
        return "AWS"
    return host, parts.port


def _undo_interrupted_run(folder: Path, clients: Clients, eui: GatewayEui, target: Target) -> bool:
    """Undo what an interrupted run in this folder made. Return True if that run made the folder.

    Raises:
        HomeError: The run was for something else, or it was complete.
    """
    entry = EnrolmentJournal(folder).read()
    if entry is None:
        return False
    check_is_same_run(entry, eui.hex, folder, target)
    interrupted = EnrolmentTransaction(folder, clients, eui, entry)
    if interrupted.is_committed():
        interrupted.complete()
        raise HomeError(
            f"{folder} is the home of gateway {eui.hex} already: the earlier 'gateway init' was interrupted when it "
            f"had written all files. It is complete now"
        )
    EnrolmentJournal(folder).delete_files(entry)
    roll_back(entry, clients)
    (folder / JOURNAL_FILENAME).unlink()
    return entry.created_folder
