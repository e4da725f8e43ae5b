"""Call operations of AWS at a limited rate, and say of which kind each failure is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from lorafw.errors import LorafwError
from lorafw.localaws.connection import Clients
from lorafw.rollout.answer_dates import AnswerDates
from lorafw.rollout.observations import FailureKind
from lorafw.rollout.rates import OperationRates

MAX_RESULTS: Final = 250
"""The largest MaxResults of the list operations (documented)."""

_NOT_FOUND_CODES: Final = frozenset({"ResourceNotFoundException", "404", "NoSuchKey", "NoSuchBucket"})
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


class NotFoundError(CallError):
    """A call of AWS failed because there is no such resource."""


class AwsApi:
    """Calls the operations of AWS by their names, such as ``GetWirelessGatewayTask``.

    Args:
        create_client: Returns a boto3 client for the name of a service. It is called again after the credentials have
            failed, so that new credentials are used.
        rates: Limits how often each operation is called.
        now_ms: Returns the time of this machine, which is compared with the date of each answer. None to compare
            nothing, because the clock is simulated.
    """

    def __init__(self, create_client: Clients, rates: OperationRates, now_ms: Callable[[], int] | None = None) -> None:
        self._create_client = create_client
        self._rates = rates
        self.answer_dates = AnswerDates(now_ms)
        self._client_by_service: dict[str, Any] = {}

    def call(self, operation: str, *, service: str = "iotwireless", **arguments: Any) -> Any:
        """Call an operation. Waits until the rate of the operation allows it.

        Returns:
            The answer of the operation.

        Raises:
            NotFoundError: There is no such resource.
            CallError: The call failed in another way.
        """
        from botocore import xform_name  # noqa: PLC0415 -- botocore takes a tenth of a second
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        self._rates.wait(operation)
        try:
            method = getattr(self._client(service), xform_name(operation))
            answer = method(**arguments)
        except (BotoCoreError, ClientError) as error:
            self.answer_dates.note(_response_of(error))
            call_error = _to_call_error(operation, error)
            self._react_to(call_error)
            raise call_error from error
        self.answer_dates.note(answer)
        self._rates.succeeded(operation)
        return answer

    def _client(self, service: str) -> Any:
        """Return the boto3 client of a service. Creates it at the first call."""
        if service not in self._client_by_service:
            self._client_by_service[service] = self._create_client(service)
        return self._client_by_service[service]

    def _react_to(self, error: CallError) -> None:
        """Call an operation less often if AWS has throttled it. Use new clients if the credentials have failed."""
        if error.kind is FailureKind.THROTTLED:
            self._rates.was_throttled(error.operation)
        elif error.kind is FailureKind.CREDENTIALS:
            self._client_by_service.clear()


def list_items(api: AwsApi, operation: str, member: str) -> Iterator[dict[str, Any]]:
    """Yield the items of all pages of a list operation.

    Args:
        api: The API of the account.
        operation: The operation.
        member: The member of its answer that holds the items.

    Raises:
        CallError: A call failed, or AWS returned the same page twice.
    """
    arguments: dict[str, Any] = {"MaxResults": MAX_RESULTS}
    seen_tokens = set()
    while True:
        page = api.call(operation, **arguments)
        yield from page.get(member, [])
        token = page.get("NextToken")
        if not token:
            return
        if token in seen_tokens:
            raise CallError(operation, FailureKind.UNCLEAR, f"NextToken {token!r} came twice")
        seen_tokens.add(token)
        arguments["NextToken"] = token


def _response_of(error: Exception) -> dict[str, Any]:
    """Return the answer of AWS that an error of botocore is about. Empty if AWS has not answered."""
    # A broken connection has the attribute as well, but it is None.
    return getattr(error, "response", None) or {}


def _to_call_error(operation: str, error: Exception) -> CallError:
    """Return the CallError that stands for an error of botocore."""
    code = _response_of(error).get("Error", {}).get("Code", "")
    kind = _kind_of(code, type(error).__name__)
    if code in _NOT_FOUND_CODES:
        return NotFoundError(operation, kind, str(error))
    return CallError(operation, kind, str(error))


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
