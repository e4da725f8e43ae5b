"""Read the facts about an account with boto3. Nothing is changed.

The policies of role, bucket and key are read and not tried out: a call with the operator's own permissions would say
nothing about what AWS IoT Wireless may do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from lorafw.doctor.role import read_role
from lorafw.doctor.subject import (
    AccountFacts,
    DefinitionDocument,
    OtherDefinition,
    SampledGateway,
    UpdateFile,
)
from lorafw.errors import InvalidSource, SourceError
from lorafw.isolation.sessions import available_regions
from lorafw.sources.access import BucketFacts, KeyFacts, KeyGrant
from lorafw.sources.iam.documents import MAX_BUCKET, MAX_KEY, NamedPolicy
from lorafw.sources.object_store import StoredObject
from lorafw.sources.s3 import Role, S3Location
from lorafw.version import GatewayVersion

MAX_READ_BYTES: Final = 64 << 20
"""A larger object is not downloaded, so its signature is not checked."""

DEFAULT_SAMPLE_SIZE: Final = 50
_PAGE_SIZE: Final = 250
_NOT_FOUND: Final = frozenset(("404", "NoSuchBucket", "NoSuchKey", "NotFound", "NotFoundException"))
_BAD_REQUEST: Final = "400"
"""The error code of HeadObject without the customer's key, if the object is encrypted with such a key (documented)."""
_DEFAULT_S3_KEY: Final = "alias/aws/s3"
"""The key with which S3 encrypts if an object names none."""
_ARCHIVED: Final = frozenset(("GLACIER", "DEEP_ARCHIVE"))

MakeClient = Callable[[str], Any]
"""Returns a boto3 client of a service in the Region of the gateways."""
Progress = Callable[[int, int], None]


class AccountReader:
    """Reads what the rules need to know about one account in one Region."""

    def __init__(
        self,
        make_client: MakeClient,
        *,
        account: str,
        region: str,
        now_ms: int,
        has_own_clock: bool = False,
        gateway_ids: Collection[str] | None = None,
        sample_size: int = DEFAULT_SAMPLE_SIZE,
        progress: Progress | None = None,
    ) -> None:
        """Prepare a reader. Nothing is read.

        Args:
            make_client: Returns a boto3 client of a service.
            account: The account of the gateways, 12 digits.
            region: The Region of the gateways.
            now_ms: The time at which policies are evaluated, in milliseconds since 1970 UTC.
            has_own_clock: Whether the account belongs to a lab with a clock of its own. The time since the last
                request of a gateway is not read then, because the user can move this clock.
            gateway_ids: The gateways that the update is for. None means all gateways of the account.
            sample_size: Number of gateways to look at. Each costs two calls.
            progress: Called as ``progress(done, total)`` with numbers of gateways. None means no progress.
        """
        self._make_client = make_client
        self._account = account
        self._region = region
        self._now_ms = now_ms
        self._has_own_clock = has_own_clock
        self._gateway_ids = None if gateway_ids is None else frozenset(gateway_ids)
        self._sample_size = sample_size
        self._progress = progress

    def read(self, definition: DefinitionDocument | None) -> tuple[AccountFacts, UpdateFile | None]:
        """Read the facts, and the object that a definition names.

        Args:
            definition: The definition. None means that only the gateways are read.

        Returns:
            The facts, and the object. It is None if it could not be read.

        Raises:
            botocore.exceptions.ClientError: The gateways or the definitions cannot be read.
        """
        has_lorawan = self._region in available_regions("iotwireless")
        facts = AccountFacts(account=self._account, region=self._region, now_ms=self._now_ms, has_lorawan=has_lorawan)
        if not has_lorawan:
            return facts, None
        facts = self._with_gateways(facts)
        if definition is None or definition.data_source is None:
            return facts, None
        facts = self._with_role(facts, definition)
        return self._with_object(facts, definition)

    # --- gateways, tasks and definitions ---

    def _with_gateways(self, facts: AccountFacts) -> AccountFacts:
        """Return the facts with a sample of the gateways, and with the definitions."""
        iotwireless = self._make_client("iotwireless")
        registered = _pages(iotwireless.list_wireless_gateways, "WirelessGatewayList")
        gateways = [gateway for gateway in registered if self._is_selected(gateway["Id"])]
        sample = []
        for gateway in _spread(gateways, self._sample_size):
            sample.append(self._read_gateway(iotwireless, gateway))
            if self._progress is not None:
                self._progress(len(sample), min(len(gateways), self._sample_size))
        definitions = tuple(_read_definitions(iotwireless))
        return replace(facts, gateway_count=len(gateways), sample=tuple(sample), definitions=definitions)

    def _is_selected(self, gateway_id: str) -> bool:
        """Return True if the update is for this gateway."""
        return self._gateway_ids is None or gateway_id in self._gateway_ids

    def _read_gateway(self, iotwireless: Any, gateway: dict[str, Any]) -> SampledGateway:
        """Read the version and the task of one gateway.

        Args:
            iotwireless: The client of iotwireless.
            gateway: The entry of ListWirelessGateways.

        Returns:
            What AWS knows about the gateway.
        """
        gateway_id = gateway["Id"]
        firmware = _get_or_empty(iotwireless, iotwireless.get_wireless_gateway_firmware_information, gateway_id)
        current_version = firmware.get("LoRaWAN", {}).get("CurrentVersion")
        version = None
        if current_version:
            version = GatewayVersion.from_aws(current_version)
        task = _get_or_empty(iotwireless, iotwireless.get_wireless_gateway_task, gateway_id)
        return SampledGateway(
            gateway_id,
            version,
            task.get("Status"),
            task.get("WirelessGatewayTaskDefinitionId"),
            self._seconds_since(gateway.get("LastUplinkReceivedAt")),
        )

    def _seconds_since(self, time_text: str | None) -> float | None:
        """Return the seconds from a time in ISO 8601 until now. None if this is not known."""
        if time_text is None:
            return None
        if self._has_own_clock:
            return None  # the user of a lab moves its clock, so its times do not tell how long a gateway was silent
        try:
            then = datetime.fromisoformat(time_text)
        except ValueError:
            return None
        if then.tzinfo is None:
            then = then.replace(tzinfo=UTC)
        return self._now_ms / 1000 - then.timestamp()

    # --- role and object ---

    def _with_role(self, facts: AccountFacts, definition: DefinitionDocument) -> AccountFacts:
        """Return the facts with the role that the definition names."""
        try:
            role = Role.parse(definition.role_arn)
        except InvalidSource:
            return facts  # document_rules reports the malformed ARN
        if role.account != self._account:
            return facts  # A role of another account is a finding of its own, and cannot be read from here.
        try:
            return replace(facts, role=read_role(self._make_client("iam"), role))
        except SourceError as error:
            return replace(facts, role_problem=str(error))

    def _with_object(
        self, facts: AccountFacts, definition: DefinitionDocument
    ) -> tuple[AccountFacts, UpdateFile | None]:
        """Return the facts with bucket and object, and the object itself."""
        try:
            location = S3Location.parse(definition.data_source or "")
        except InvalidSource:
            return facts, None  # document_rules reports the malformed location
        s3 = self._make_client("s3")
        bucket, error = _call(self._read_bucket, s3=s3, name=location.bucket)
        if error is not None:
            return replace(facts, bucket_problem=error.describe(f"bucket {location.bucket}")), None
        facts = replace(facts, bucket=bucket)
        head, error = _call(s3.head_object, Bucket=location.bucket, Key=location.key)
        if error is None:
            facts = self._with_head(facts, location, s3, head)
            return facts, _download(s3, location, head["ContentLength"])
        if error.code == _BAD_REQUEST:
            return replace(facts, needs_customer_key=True), None
        return replace(facts, object_problem=error.describe(str(location))), None

    def _with_head(self, facts: AccountFacts, location: S3Location, s3: Any, head: dict[str, Any]) -> AccountFacts:
        """Return the facts with what is known about the object and its KMS key.

        Args:
            facts: The facts so far.
            location: Where the object is.
            s3: The client of S3.
            head: The answer of HeadObject.
        """
        storage_class = head.get("StorageClass")
        if storage_class in _ARCHIVED and "Restore" not in head:
            facts = replace(facts, object_problem=f"{location} is archived ({storage_class}) and was not restored")
        tagging, _ = _call(s3.get_object_tagging, Bucket=location.bucket, Key=location.key)
        stored = _to_stored_object(head, tagging or {})
        facts = replace(facts, stored=stored)
        if not stored.uses_kms:
            return facts
        return self._with_kms_key(facts, stored.kms_key_id or _DEFAULT_S3_KEY)

    def _with_kms_key(self, facts: AccountFacts, key_id: str) -> AccountFacts:
        """Return the facts with a KMS key, or with the reason why it cannot be read."""
        kms = self._make_client("kms")
        key, error = _call(_read_key, kms=kms, key_id=key_id)
        if error is not None:
            return replace(facts, kms_problem=error.describe(f"KMS key {key_id}"))
        return replace(facts, kms_key=key)

    def _read_bucket(self, s3: Any, name: str) -> BucketFacts:
        """Return the facts about a bucket. Its owner is taken to be the account unless S3 says otherwise."""
        s3.head_bucket(Bucket=name)
        region = s3.get_bucket_location(Bucket=name)["LocationConstraint"] or "us-east-1"
        _, owner_error = _call(s3.head_bucket, Bucket=name, ExpectedBucketOwner=self._account)
        owner = self._account
        if owner_error is not None:
            owner = "another account"
        policy_answer, _ = _call(s3.get_bucket_policy, Bucket=name)
        policy = None
        if policy_answer is not None:
            policy = NamedPolicy(f"policy of bucket {name}", policy_answer["Policy"], MAX_BUCKET)
        return BucketFacts(name, owner, region, policy)


def _to_stored_object(head: dict[str, Any], tagging: dict[str, Any]) -> StoredObject:
    """Return the facts about an object from the answers of HeadObject and GetObjectTagging."""
    return StoredObject(
        etag=head["ETag"].strip('"'),
        size=head["ContentLength"],
        read=bytes,
        version_id=head.get("VersionId"),
        tags={tag["Key"]: tag["Value"] for tag in tagging.get("TagSet", ())},
        encryption=head.get("ServerSideEncryption"),
        kms_key_id=head.get("SSEKMSKeyId"),
        has_bucket_key=bool(head.get("BucketKeyEnabled")),
    )


@dataclass(frozen=True, slots=True)
class _AwsError:
    """An error with which AWS has answered a call."""

    code: str
    """The error code, such as ``NoSuchKey``."""

    def describe(self, resource: str) -> str:
        """Return a sentence for the user about the resource that could not be read."""
        if self.code in _NOT_FOUND:
            return f"{resource} does not exist ({self.code})"
        return f"{resource} cannot be read ({self.code})"


def _call(operation: Callable[..., Any], **arguments: Any) -> tuple[Any, _AwsError | None]:
    """Call an operation of AWS. Returns its result and None, or None and the error with which AWS has answered."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 -- importing botocore is slow

    try:
        return operation(**arguments), None
    except ClientError as error:
        return None, _AwsError(error.response.get("Error", {}).get("Code", ""))


def _get_or_empty(iotwireless: Any, operation: Callable[..., dict[str, Any]], gateway_id: str) -> dict[str, Any]:
    """Call an operation for a gateway, and return its answer. It is empty if there is no such resource."""
    try:
        return operation(Id=gateway_id)
    except iotwireless.exceptions.ResourceNotFoundException:
        return {}


def _pages(operation: Callable[..., dict[str, Any]], member: str) -> Iterator[dict[str, Any]]:
    """Yield the entries of all pages of a list operation. boto3 has no paginators for them."""
    arguments: dict[str, Any] = {"MaxResults": _PAGE_SIZE}
    while True:
        page = operation(**arguments)
        yield from page.get(member, ())
        if not page.get("NextToken"):
            return
        arguments["NextToken"] = page["NextToken"]


def _spread(gateways: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Return at most ``count`` gateways, spread evenly over the list."""
    if len(gateways) <= count:
        return gateways
    step = len(gateways) / count
    return [gateways[int(number * step)] for number in range(count)]


def _read_definitions(iotwireless: Any) -> Iterator[OtherDefinition]:
    """Yield the task definitions of the account."""
    for entry in _pages(iotwireless.list_wireless_gateway_task_definitions, "TaskDefinitions"):
        answer = _get_or_empty(iotwireless, iotwireless.get_wireless_gateway_task_definition, entry["Id"])
        definition = DefinitionDocument(answer)
        yield OtherDefinition(entry["Id"], definition.auto_create_tasks, definition.version("CurrentVersion"))


def _download(s3: Any, location: S3Location, size: int) -> UpdateFile:
    """Return the object with its content, or without it if it is too large or cannot be read."""
    content = None
    if size <= MAX_READ_BYTES:
        answer, _ = _call(s3.get_object, Bucket=location.bucket, Key=location.key)
        if answer is not None:
            content = answer["Body"].read()
    return UpdateFile(str(location), size, content)


def _read_key(kms: Any, key_id: str) -> KeyFacts:
    """Return the facts about a KMS key."""
    metadata = kms.describe_key(KeyId=key_id)["KeyMetadata"]
    arn = metadata["Arn"]
    policy = kms.get_key_policy(KeyId=arn, PolicyName="default")["Policy"]
    grants = tuple(
        KeyGrant(grant["GranteePrincipal"], tuple(grant["Operations"]), grant.get("Constraints") or {})
        for page in kms.get_paginator("list_grants").paginate(KeyId=arn)
        for grant in page["Grants"]
    )
    return KeyFacts(
        arn,
        metadata["AWSAccountId"],
        state=metadata["KeyState"],
        is_aws_managed=metadata.get("KeyManager") == "AWS",
        policy=NamedPolicy(f"policy of key {metadata['KeyId']}", policy, MAX_KEY),
        grants=grants,
    )
