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
from lorafw.iotwireless.operations import AccountOperations, Members
from lorafw.tasks.changes import ApiRecord
from lorafw.tasks.model import AccountRegion

TOKEN_MEMORY_MS: Final = 10 * 60 * 1000
"""How long a ClientRequestToken is remembered (assumed: ``client_request_token_memory`` in the policy)."""

ANSWER: Final = "answer"
"""Kind of a saved value: the first call with a ClientRequestToken and its answer, by resource type and token."""

_TokenKey = tuple[str, str]
"""The type of the resource that a call creates, and its ClientRequestToken."""


@dataclass(frozen=True, slots=True)
class _FirstCall:
    """The first call with a ClientRequestToken, and its answer."""

    made_at: Moment
    """When the call was made, by the service's clock."""
    parameters: Members
    """The parameters without the token."""
    answer: Members
    """The answer. It contains the Id of the resource."""

    def to_json(self) -> Members:
        """Return the call as a value that JSON can represent."""
        return {"utc_ms": self.made_at.utc_ms, "parameters": self.parameters, "answer": self.answer}

    @classmethod
    def from_json(cls, value: Members, now: Moment) -> _FirstCall:
        """Return a call that an earlier process has saved with ``to_json``."""
        # A monotonic time means nothing after a restart, so the age of the call is calculated from its UTC time.
        age_ms = max(now.utc_ms - value["utc_ms"], 0)
        made_at = now.at(now.monotonic_ms - age_ms)
        return cls(made_at, value["parameters"], value["answer"])


class IdempotentCalls(AccountOperations):
    """The remembered calls that created a resource of an account in a Region. Thread-safe.

    A call is remembered for TOKEN_MEMORY_MS, also if its resource is deleted meanwhile: a call with the same token may
    be a late retry. AWS does not document this. See ``client_request_token`` and ``client_request_token_memory`` in
    ``tasks.policy``.
    """

    def __init__(self, owner: AccountRegion) -> None:
        super().__init__(owner)
        self._first_calls: dict[_TokenKey, _FirstCall] = {}
        """The first call with each token, oldest first."""
        self._lock = threading.RLock()
        """Held while a resource is created, so that a second call with its token waits for the answer."""

    def create_once(self, resource: str, parameters: Members, create: Callable[[Members], Members]) -> Members:
        """Create a resource, or return the answer of the call that created it with the same ClientRequestToken.

        Args:
            resource: Type of the resource. Each type has its own tokens.
            parameters: The parameters of the call.
            create: Creates the resource from the parameters, and returns the answer.

        Returns:
            The answer of ``create``, of this call or of the first one with its token.

        Raises:
            Conflict: The token was used with other parameters.
        """
        token = parameters.get("ClientRequestToken")
        if token is None:
            return create(parameters)
        without_token = {name: value for name, value in parameters.items() if name != "ClientRequestToken"}
        with self._lock:
            now = Moment.of(self.service.clock)
            self._forget_expired_calls(now)
            first_call = self._first_calls.get((resource, token))
            if first_call is None:
                first_call = _FirstCall(now, without_token, create(parameters))
                self._remember((resource, token), first_call)
        if first_call.parameters != without_token:
            message = f"ClientRequestToken {token!r} came before with other parameters"
            raise Conflict(message, resource, first_call.answer["Id"])
        return first_call.answer

    def restore(self, record: ApiRecord, value: Any) -> None:
        """Remember a call that an earlier process has saved."""
        resource, _, token = record.key.partition("/")
        now = Moment.of(self.service.clock)
        self._first_calls[resource, token] = _FirstCall.from_json(value, now)

    def _remember(self, key: _TokenKey, first_call: _FirstCall) -> None:
        """Remember the first call with a token, and save it."""
        self._first_calls[key] = first_call
        self.save_value(ANSWER, _saved_key(key), first_call.to_json())

    def _forget_expired_calls(self, now: Moment) -> None:
        """Forget the calls that are too old."""
        oldest_remembered_ms = now.monotonic_ms - TOKEN_MEMORY_MS
        for key, first_call in list(self._first_calls.items()):
            if first_call.made_at.monotonic_ms > oldest_remembered_ms:
                return  # The calls after this one are younger.
            del self._first_calls[key]
            self.delete_saved_value(ANSWER, _saved_key(key))


def _saved_key(key: _TokenKey) -> str:
    """Return the key under which a call is saved."""
    resource, token = key
    return f"{resource}/{token}"
