"""The calls of AWS that a rollout makes, each with its rate and with the kinds of its failures."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from lorafw.clock import parse_iso
from lorafw.errors import LorafwError
from lorafw.localaws.connection import Clients
from lorafw.rollout.observations import DefinitionsRead, FailureKind, GatewayRead, GatewaysListed, ObjectRead, TaskSeen
from lorafw.rollout.rates import OperationRates
from lorafw.rollout.saved_plan import SavedPlan
from lorafw.tasks.lifecycle import TaskStatus
from lorafw.version import GatewayVersion

TAG: Final = "lorafw-rollout"
"""The tag of the task definition of a plan. Its value is the plan's hash."""

MAX_RESULTS: Final = 250
"""The largest MaxResults of the list operations (documented)."""

_CREDENTIAL_CODES: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "InvalidSignatureException",
        "TokenRefreshRequired",
    }
)
_DENIED_CODES: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"})
_THROTTLING_CODES: Final = frozenset(
    {"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown"}
)
_INVALID_CODES: Final = frozenset({"ValidationException", "ResourceNotFoundException"})
_CREDENTIAL_ERRORS: Final = frozenset(
    {
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "SSOTokenLoadError",
        "UnauthorizedSSOTokenError",
        "TokenRetrievalError",
        "RefreshWithMFAUnsupportedError",
    }
)


class CallError(LorafwError):
    """A call of AWS failed. It is not known whether it took effect."""

    def __init__(self, operation: str, kind: FailureKind, message: str) -> None:
        super().__init__(f"{operation}: {message}")
        self.operation = operation
        self.kind = kind
        self.message = message


class AwsCalls:
    """Makes the calls of a rollout.

    Args:
        clients: Returns a boto3 client for the name of a service. It is asked again after the credentials have failed,
            so that new ones are used.
        plan: The plan.
        rates: How often each operation may be called.
    """

    def __init__(self, clients: Clients, plan: SavedPlan, rates: OperationRates) -> None:
        self._new_client = clients
        self._plan = plan
        self._rates = rates
        self._clients: dict[str, Any] = {}

    # --- reading ---

    def list_gateways(self) -> GatewaysListed:
        """List all gateways of the account with their last uplinks."""
        return GatewaysListed({gateway["Id"]: _uplink_ms(gateway) for gateway in self._pages_of_gateways()})

    def read_gateway(self, gateway: str, *, with_version: bool) -> GatewayRead:
        """Read the task of a gateway.

        Args:
            gateway: The id of the gateway.
            with_version: True to read its version as well. If it has no task, the version is read in any case, because
                this shows whether the gateway is registered.

        Returns:
            What was read of the gateway.
        """
        task = self._read_task(gateway)
        if task is not None and not with_version:
            return GatewayRead(gateway, task)
        try:
            answer = self._call("GetWirelessGatewayFirmwareInformation", Id=gateway)
        except _NotFoundError:
            return GatewayRead(gateway, None, is_registered=False)
        members = answer.get("LoRaWAN", {}).get("CurrentVersion")
        version = GatewayVersion.from_aws(members) if members else None
        return GatewayRead(gateway, task, version=version)

    def _read_task(self, gateway: str) -> TaskSeen | None:
        """Return the task of a gateway. None if it has none, or if there is no such gateway."""
        try:
            answer = self._call("GetWirelessGatewayTask", Id=gateway)
        except _NotFoundError:
            return None
        created = answer.get("TaskCreatedAt")
        created_ms = parse_iso(created) if created else None
        return TaskSeen(
            definition_id=answer["WirelessGatewayTaskDefinitionId"],
            status=TaskStatus(answer["Status"]),
            created_ms=created_ms,
            uplink_ms=_uplink_ms(answer),
        )

    def read_definitions(self) -> DefinitionsRead:
        """Find the task definition of the plan, and the ones that race it."""
        own_id = None
        racing_ids = []
        for listed in self._pages("ListWirelessGatewayTaskDefinitions", "TaskDefinitions"):
            if not self._is_related(listed):
                continue
            if self._is_definition_of_plan(listed["Arn"]):
                own_id = listed["Id"]
                continue
            try:
                definition = self._call("GetWirelessGatewayTaskDefinition", Id=listed["Id"])
            except _NotFoundError:
                continue  # it was deleted after the list was read
            if definition.get("AutoCreateTasks"):
                racing_ids.append(listed["Id"])
        return DefinitionsRead(own_id, tuple(racing_ids))

    def _is_related(self, listed: dict[str, Any]) -> bool:
        """Return True if a gateway of the plan could match a definition. Either version may leave out fields."""
        members = listed.get("LoRaWAN", {}).get("CurrentVersion") or {}
        version = GatewayVersion.from_aws(members)
        planned = self._plan.current_version
        return version.accepts(planned) or planned.accepts(version)

    def _is_definition_of_plan(self, arn: str) -> bool:
        """Return True if a definition has the tag ``TAG`` with the hash of this plan.

        Its name cannot tell this, because several definitions can have one name.
        """
        try:
            answer = self._call("ListTagsForResource", ResourceArn=arn)
        except _NotFoundError:
            return False
        return any(tag["Key"] == TAG and tag["Value"] == self._plan.sha256 for tag in answer.get("Tags", []))

    def read_object(self) -> ObjectRead:
        """Compare the update file with the plan, without reading its content."""
        planned = self._plan.update_object
        try:
            head = self._call("HeadObject", service="s3", Bucket=planned.bucket, Key=planned.key)
        except _NotFoundError:
            return ObjectRead(difference=f"the update file {planned.url} is gone")
        found = _describe_object(head.get("VersionId"), head["ETag"], head["ContentLength"])
        expected = _describe_object(planned.version_id, planned.etag, planned.size_bytes)
        if found == expected:
            return ObjectRead(difference=None)
        return ObjectRead(difference=f"the update file {planned.url} was replaced: {found}; the plan has {expected}")

    # --- changing ---

    def create_definition(self) -> str:
        """Create the task definition of the plan, and return its id."""
        answer = self._call(
            "CreateWirelessGatewayTaskDefinition",
            **self._plan.definition,
            ClientRequestToken=self._plan.sha256,
            Tags=[{"Key": TAG, "Value": self._plan.sha256}],
        )
        definition_id: str = answer["Id"]
        return definition_id

    def create_task(self, gateway: str, definition_id: str) -> None:
        """Create the task of a gateway."""
        self._call("CreateWirelessGatewayTask", Id=gateway, WirelessGatewayTaskDefinitionId=definition_id)

    def delete_task(self, gateway: str) -> None:
        """Delete the task of a gateway. A task that is gone already is no error."""
        try:
            self._call("DeleteWirelessGatewayTask", Id=gateway)
        except _NotFoundError:
            return

    def delete_definition(self, definition_id: str) -> None:
        """Delete a task definition. One that is gone already is no error."""
        try:
            self._call("DeleteWirelessGatewayTaskDefinition", Id=definition_id)
        except _NotFoundError:
            return

    # --- helpers ---

    def _pages_of_gateways(self) -> Iterator[dict[str, Any]]:
        """Yield all gateways."""
        return self._pages("ListWirelessGateways", "WirelessGatewayList")

    def _pages(self, operation: str, member: str) -> Iterator[dict[str, Any]]:
        """Yield the items of all pages of a list operation."""
        arguments: dict[str, Any] = {"MaxResults": MAX_RESULTS}
        seen_tokens = set()
        while True:
            page = self._call(operation, **arguments)
            yield from page.get(member, [])
            token = page.get("NextToken")
            if not token:
                return
            if token in seen_tokens:
                raise CallError(operation, FailureKind.UNCLEAR, f"NextToken {token!r} came twice")
            seen_tokens.add(token)
            arguments["NextToken"] = token

    def _call(self, operation: str, *, service: str = "iotwireless", **arguments: Any) -> Any:
        """Call an operation at its rate.

        Returns:
            The answer of the operation.

        Raises:
            _NotFoundError: There is no such resource.
            CallError: The call failed in another way.
        """
        from botocore import xform_name  # noqa: PLC0415 -- botocore takes a tenth of a second
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        self._rates.wait(operation)
        try:
            answer = getattr(self._client(service), xform_name(operation))(**arguments)
        except (BotoCoreError, ClientError) as error:
            raise self._failure(operation, error) from error
        self._rates.succeeded(operation)
        return answer

    def _client(self, service: str) -> Any:
        """Return the client of a service."""
        if service not in self._clients:
            self._clients[service] = self._new_client(service)
        return self._clients[service]

    def _failure(self, operation: str, error: Exception) -> CallError:
        """Return the error to raise for one of botocore's."""
        # A broken connection has the attribute as well, but it is None.
        response = getattr(error, "response", None) or {}
        code = response.get("Error", {}).get("Code", "")
        kind = _kind_of(code, type(error).__name__)
        if kind is FailureKind.THROTTLED:
            self._rates.was_throttled(operation)
        if kind is FailureKind.CREDENTIALS:
            self._clients.clear()
        if code in ("ResourceNotFoundException", "404", "NoSuchKey", "NoSuchBucket"):
            return _NotFoundError(operation, kind, str(error))
        return CallError(operation, kind, str(error))


class _NotFoundError(CallError):
    """There is no such resource."""


def _describe_object(version_id: str | None, etag: str, size_bytes: int) -> str:
    """Return what identifies the content of an object. Equal texts mean equal content."""
    return f"version {version_id}, ETag {etag}, {size_bytes} bytes"


def _kind_of(code: str, error_name: str) -> FailureKind:
    """Return the kind of a failure, from the code of AWS's error or from the name of botocore's."""
    if code in _CREDENTIAL_CODES or error_name in _CREDENTIAL_ERRORS:
        return FailureKind.CREDENTIALS
    if code in _THROTTLING_CODES:
        return FailureKind.THROTTLED
    if code in _DENIED_CODES:
        return FailureKind.DENIED
    if code in _INVALID_CODES or error_name == "ParamValidationError":
        return FailureKind.INVALID
    return FailureKind.UNCLEAR


def _uplink_ms(members: dict[str, Any]) -> int | None:
    """Return LastUplinkReceivedAt in milliseconds since 1970 UTC. None if it is not given."""
    text = members.get("LastUplinkReceivedAt")
    if not text:
        return None
    return _parse_time(text)


_parse_time = lru_cache(maxsize=1 << 17)(parse_iso)
"""Most gateways were not heard between two lists, so the same texts come again."""
