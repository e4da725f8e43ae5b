"""Creates a resource only once for each ClientRequestToken.

boto3 and the AWS CLI put a new ClientRequestToken into each call that creates a resource, and repeat the token if they
repeat the call. So a call whose answer was lost does not create a second resource.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from lorafw.clock import Moment
from lorafw.errors import Conflict
from lorafw.iotwireless.context import current_service
from lorafw.tasks.changes import ApiRecord
from lorafw.tasks.model import AccountRegion

TOKEN_MEMORY_MS: Final = 10 * 60 * 1000
"""How long a ClientRequestToken is remembered (assumed: ``client_request_token_memory`` in the policy)."""

ANSWER: Final = "answer"
"""Kind of a saved value: the first call with a ClientRequestToken and its answer, by resource type and token."""

Members = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _FirstCall:
    """The first call with a ClientRequestToken, and its answer."""

    time_ms: int
    """When the call was made, on the monotonic scale of the service's clock."""
    parameters: Members
    """The parameters without the token."""
    answer: Members


class IdempotentCalls:
    """The remembered calls of one account in one Region. Thread-safe."""

    def __init__(self, owner: AccountRegion) -> None:
        """Remember no call. ``owner`` is the account and Region."""
        self._owner = owner
        self._first_calls: dict[tuple[str, str], _FirstCall] = {}
        self._lock = threading.RLock()
        """Held while a resource is created, so that a second call with its token waits for the answer."""

    def create_once(self, resource: str, parameters: Members, create: Callable[[], Members]) -> Members:
        """Create a resource, but only once for each ClientRequestToken.

        For ten minutes, later calls with the same token and parameters get the answer of the first call. They get it
        even if the resource was deleted meanwhile, because such a call may be a late retry of the first one. AWS does
        not document this: see ``client_request_token`` and ``client_request_token_memory`` in ``tasks.policy``.

        Args:
            resource: Type of the resource. Each type has its own tokens.
            parameters: The parameters of the call.
            create: Creates the resource and returns the answer.

        Returns:
            The answer of ``create``, of this call or of the first one.

        Raises:
            Conflict: The token was used with other parameters.
        """
        token = parameters.get("ClientRequestToken")
        if token is None:
            return create()
        call_parameters = {name: value for name, value in parameters.items() if name != "ClientRequestToken"}
        with self._lock:
            now_ms = current_service().clock.monotonic_ms()
            self._delete_expired_tokens(now_ms)
            first_call = self._first_calls.get((resource, token))
            if first_call is None:
                first_call = _FirstCall(now_ms, call_parameters, create())
                self._remember(resource, token, first_call)
        if first_call.parameters != call_parameters:
            message = f"ClientRequestToken {token!r} came before with other parameters"
            raise Conflict(message, resource, first_call.answer["Id"])
        return first_call.answer

    def _remember(self, resource: str, token: str, first_call: _FirstCall) -> None:
        """Remember the first call with a token, and save it with the state of the service."""
        self._first_calls[resource, token] = first_call
        service = current_service()
        saved = {
            "utc_ms": service.clock.now_ms(),
            "parameters": first_call.parameters,
            "answer": first_call.answer,
        }
        service.keep_api_record(self._record(resource, token), saved)

    def restore(self, record: ApiRecord, value: Any) -> None:
        """Remember a call that was saved before a restart."""
        resource, _, token = record.key.partition("/")
        now = Moment.of(current_service().clock)
        # A monotonic time means nothing after a restart, so the age of the call is calculated from its UTC time.
        age_ms = max(now.utc_ms - value["utc_ms"], 0)
        time_ms = now.monotonic_ms - age_ms
        self._first_calls[resource, token] = _FirstCall(time_ms, value["parameters"], value["answer"])

    def _delete_expired_tokens(self, now_ms: int) -> None:
        """Delete the tokens that are too old. The oldest tokens come first, so the first young one ends the search."""
        for key, first_call in list(self._first_calls.items()):
            age_ms = now_ms - first_call.time_ms
            if age_ms < TOKEN_MEMORY_MS:
                return
            del self._first_calls[key]
            current_service().keep_api_record(self._record(*key), None)

    def _record(self, resource: str, token: str) -> ApiRecord:
        """Return the key under which the answer to a token is saved."""
        return ApiRecord(ANSWER, self._owner, f"{resource}/{token}")
