"""The facts that the rules look at. They are frozen, and a missing part is None."""

from __future__ import annotations

import base64
import binascii
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lorafw.firmware.signing import PublicKey
from lorafw.sources.access import BucketFacts, KeyFacts, RoleFacts
from lorafw.sources.object_store import StoredObject
from lorafw.version import GatewayVersion


@dataclass(frozen=True, slots=True)
class DefinitionDocument:
    """The parameters of CreateWirelessGatewayTaskDefinition, as in AWS's ``input.json``.

    The properties return None for a member that is missing or has the wrong JSON type.
    """

    members: Mapping[str, Any]
    """The parsed JSON object."""

    @property
    def update(self) -> Mapping[str, Any]:
        """The member Update. Empty if it is missing."""
        return _object(self.members.get("Update"))

    @property
    def lorawan(self) -> Mapping[str, Any]:
        """The member Update.LoRaWAN. Empty if it is missing."""
        return _object(self.update.get("LoRaWAN"))

    @property
    def data_source(self) -> str | None:
        """UpdateDataSource: the URL of the update file."""
        return _string(self.update.get("UpdateDataSource"))

    @property
    def role_arn(self) -> str | None:
        """UpdateDataRole: the ARN of the role with which AWS reads the update file."""
        return _string(self.update.get("UpdateDataRole"))

    @property
    def signature_text(self) -> str | None:
        """UpdateSignature in base64."""
        return _string(self.lorawan.get("UpdateSignature"))

    @property
    def signature(self) -> bytes | None:
        """UpdateSignature decoded. None if it is missing or is not base64."""
        try:
            return base64.b64decode(self.signature_text or "", validate=True) or None
        except (binascii.Error, ValueError):
            return None

    @property
    def sig_key_crc(self) -> int | None:
        """SigKeyCrc: the CRC-32 of the public key."""
        crc = self.lorawan.get("SigKeyCrc")
        if isinstance(crc, int) and not isinstance(crc, bool):
            return crc
        return None

    @property
    def auto_create_tasks(self) -> bool:
        """AutoCreateTasks: AWS creates a task for every gateway that presents the CurrentVersion."""
        return self.members.get("AutoCreateTasks") is True

    def version(self, member: str) -> GatewayVersion | None:
        """Return ``CurrentVersion`` or ``UpdateVersion``, or None if the member is missing."""
        value = self.lorawan.get(member)
        if not isinstance(value, Mapping):
            return None
        return GatewayVersion.from_aws({name: text for name, text in value.items() if isinstance(text, str)})


@dataclass(frozen=True, slots=True)
class UpdateFile:
    """The update file: a local file, or the object in S3."""

    name: str
    """The path or the ``s3://`` URL, for messages."""
    size: int
    """Size in bytes."""
    content: bytes | None = field(default=None, repr=False)
    """The content. None if the file is too large to be read."""


@dataclass(frozen=True, slots=True)
class SampledGateway:
    """One gateway of an account, with its version and its task."""

    id: str
    version: GatewayVersion | None = None
    """The version that it presented last. None if it has not presented any."""
    task_status: str | None = None
    """Status of its task. None if it has no task."""
    task_definition_id: str | None = None
    """The definition of its task. None if it has no task."""
    silent_s: float | None = None
    """Seconds since its last contact. None if AWS knows of no contact."""


@dataclass(frozen=True, slots=True)
class OtherDefinition:
    """A task definition that already exists in the account."""

    id: str
    auto_create_tasks: bool
    current_version: GatewayVersion | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFacts:
    """What an account holds at one moment, as far as the rules need it."""

    account: str
    """The account of the gateways, 12 digits."""
    region: str
    """The Region of the gateways."""
    now_ms: int
    """The time at which policies are evaluated, in milliseconds since 1970 UTC."""
    has_lorawan: bool = True
    """True if the Region offers AWS IoT Core for LoRaWAN."""
    role: RoleFacts | None = None
    """The role at UpdateDataRole. None if it could not be read."""
    role_problem: str | None = None
    """Why the role could not be read. None if it could, or if the definition names none."""
    bucket: BucketFacts | None = None
    """The bucket of the object. None if it could not be read."""
    bucket_problem: str | None = None
    """Why the bucket could not be read. None if it could, or if the definition names none."""
    stored: StoredObject | None = None
    """The object at UpdateDataSource. None if it could not be read."""
    object_problem: str | None = None
    """Why the object could not be read. None if it could, or if the bucket could not be read."""
    needs_customer_key: bool = False
    """True if the object was encrypted with a key of the customer (SSE-C), which AWS IoT Wireless does not have."""
    kms_key: KeyFacts | None = None
    """The KMS key of the object. None if there is none, or if it could not be read."""
    kms_problem: str | None = None
    """Why the KMS key could not be read. None if it could, or if the object needs none."""
    gateway_count: int = 0
    """Number of LoRaWAN gateways in the account and Region."""
    sample: tuple[SampledGateway, ...] = ()
    """The gateways that were looked at."""
    definitions: tuple[OtherDefinition, ...] = ()
    """The task definitions of the account and Region."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeFacts:
    """What the home folder of a gateway holds. A station reads its settings, keys and certificates there."""

    path: Path
    """The folder."""
    conf_problem: str | None = None
    """Why a station would not start with station.conf. None if it would."""
    poll_interval_s: float | None = None
    """Seconds between two regular CUPS requests. None if station.conf cannot be read."""
    cups_uri: str | None = None
    """The text of cups.uri. None if there is no such file."""
    uri_problem: str | None = None
    """Why a station cannot use cups.uri. None if it can."""
    package: str | None = None
    """The text of version.txt. None if there is no such file."""
    sig_keys: tuple[bytes, ...] = ()
    """The contents of sig-0.key, sig-1.key and so on."""
    file_modes: Mapping[str, int] = field(default_factory=dict)
    """The permissions of the files with private keys, by name."""
    missing_credentials: tuple[str, ...] = ()
    """Names of the files that HTTPS needs and that are missing."""

    @property
    def readable_by_others(self) -> list[str]:
        """Names of the private key files that other users can read."""
        others = stat.S_IRGRP | stat.S_IROTH
        return [name for name, mode in self.file_modes.items() if mode & others]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentFacts:
    """The settings of the terminal in which the AWS CLI will run."""

    variables: Mapping[str, str]
    """The environment variables."""
    cli_version: tuple[int, ...] | None = None
    """Version of the AWS CLI. None if it is not installed or was not looked at."""
    lab_url: str | None = None
    """The API of the lab that is meant. None if a real account is meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Everything that the rules look at. A rule is skipped if the part that it needs is None."""

    definition: DefinitionDocument | None = None
    update_file: UpdateFile | None = None
    public_keys: tuple[PublicKey, ...] = ()
    """The keys that the gateways have."""
    account: AccountFacts | None = None
    home: HomeFacts | None = None
    environment: EnvironmentFacts | None = None
    install_s: float | None = None
    """How long the installation takes, in seconds. None if it is not known."""
    has_waves: bool = False
    """Whether the definition belongs to a rollout that creates its tasks wave by wave."""


def _object(value: Any) -> Mapping[str, Any]:
    """Return ``value`` if it is a JSON object, otherwise an empty one."""
    if isinstance(value, Mapping):
        return value
    return {}


def _string(value: Any) -> str | None:
    """Return ``value`` if it is a string, otherwise None."""
    if isinstance(value, str):
        return value
    return None
