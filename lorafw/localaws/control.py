"""The control routes of `lorafw serve`, for test suites in other languages.

They are at the address of the AWS API, behind the same admission. ``openapi.json`` describes them. A request that is
signed for AWS is passed on, because a bucket may have the name ``lorafw``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final, Protocol

from lorafw.clock import format_iso
from lorafw.errors import LabError, StateError

OPENAPI_PATH: Final = "/lorafw/openapi.json"
MAX_BODY_BYTES: Final = 64 * 1024
LONGEST_ADVANCE_S: Final = 365 * 24 * 3600
"""A clock that is moved by more may leave the years that a time stamp can show."""
_LAST_TIME_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""
_FAIL_NEXT_TYPES: Final[dict[str, Any]] = {
    "operation": str,
    "code": str,
    "times": int,
    "after": int,
    "where": dict,
    "message": str,
}
"""Members of fail-next and their types."""
_MINIMUM: Final = {"times": 1, "after": 0}
_OPTIONAL: Final = ("where", "message")
"""Members of fail-next that may be null."""

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class Controlled(Protocol):
    """What the control routes act on."""

    def advance(self, seconds: float) -> int | None:
        """Move the clock, and return its time in milliseconds since 1970 UTC. None if it is the real clock."""
        ...

    def now_ms(self) -> int:
        """Return the time of the clock in milliseconds since 1970 UTC."""
        ...

    def reset(self) -> None:
        """Delete everything."""
        ...

    def fail_next(self, operation: str, code: str, **options: Any) -> None:
        """Plan a failure. Raises LabError if there is no such operation, code or member."""
        ...


class ControlError(Exception):
    """A request to a control route is refused. Nothing has changed."""

    def __init__(self, status: HTTPStatus, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class ControlMiddleware:
    """WSGI middleware that answers the control routes and passes on all other requests."""

    def __init__(self, application: Application, controlled: Controlled) -> None:
        """Wrap ``application``. The routes act on ``controlled``."""
        self._application = application
        self._controlled = controlled
        self._routes: Final[dict[str, tuple[str, Callable[[Environ], object]]]] = {
            OPENAPI_PATH: ("GET", _describe),
            "/lorafw/advance": ("POST", self._advance),
            "/lorafw/reset": ("POST", self._reset),
            "/lorafw/fail-next": ("POST", self._fail_next),
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        route = self._routes.get(environ.get("PATH_INFO", ""))
        if route is None or _is_signed(environ):
            return self._application(environ, start_response)
        try:
            answer = self._answer(environ, *route)
        except ControlError as error:
            return _send(start_response, error.status, {"message": str(error)}, error.headers)
        except StateError as error:
            return _send(start_response, HTTPStatus.INSUFFICIENT_STORAGE, {"message": str(error)})
        status = HTTPStatus.NO_CONTENT if answer is None else HTTPStatus.OK
        return _send(start_response, status, answer)

    def _answer(self, environ: Environ, method: str, handler: Callable[[Environ], object]) -> object:
        """Return the answer of a route. Raises ControlError if the route has another method."""
        if environ["REQUEST_METHOD"] != method:
            message = f"{environ['REQUEST_METHOD']} is not possible here; send {method}"
            raise ControlError(HTTPStatus.METHOD_NOT_ALLOWED, message, Allow=method)
        return handler(environ)

    def _advance(self, environ: Environ) -> object:
        """Answer /lorafw/advance."""
        members = _read_members(environ, {"seconds"}, required={"seconds"})
        seconds = _check_seconds(members["seconds"])
        if self._controlled.now_ms() + seconds * 1000 > _LAST_TIME_MS:
            raise ControlError(HTTPStatus.BAD_REQUEST, f"seconds: {seconds} leads beyond the year 9999")
        now_ms = self._controlled.advance(seconds)
        if now_ms is None:
            message = "the server uses the real clock; start it with `lorafw serve --clock manual`"
            raise ControlError(HTTPStatus.CONFLICT, message)
        return {"now": format_iso(now_ms)}

    def _reset(self, _: Environ) -> None:
        """Answer /lorafw/reset."""
        self._controlled.reset()

    def _fail_next(self, environ: Environ) -> None:
        """Answer /lorafw/fail-next."""
        members = _read_members(environ, set(_FAIL_NEXT_TYPES), required={"operation", "code"})
        arguments = {name: _check_member(name, value) for name, value in members.items()}
        try:
            self._controlled.fail_next(**arguments)
        except LabError as error:
            raise ControlError(HTTPStatus.NOT_FOUND, str(error)) from error


def _describe(_: Environ) -> object:
    """Return the OpenAPI document."""
    return json.loads(files("lorafw.localaws").joinpath("openapi.json").read_text())


def _is_signed(environ: Environ) -> bool:
    """Return True if a request is signed for AWS."""
    return "HTTP_AUTHORIZATION" in environ or "X-Amz-Credential=" in environ.get("QUERY_STRING", "")


def _read_members(environ: Environ, allowed: set[str], *, required: set[str]) -> dict[str, Any]:
    """Return the members of the JSON object in the body.

    Args:
        environ: The request.
        allowed: The members that the route knows.
        required: The members that must be present.

    Raises:
        ControlError: The body is too long or is not such an object.
    """
    content_type = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        message = f"Content-Type: {content_type[:60]!r} is not application/json"
        raise ControlError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)
    try:
        members = json.loads(_read_body(environ))
    except (ValueError, RecursionError) as error:
        raise ControlError(HTTPStatus.BAD_REQUEST, "the body is not JSON") from error
    if not isinstance(members, dict):
        raise ControlError(HTTPStatus.BAD_REQUEST, "the body is not a JSON object")
    unknown, missing = sorted(set(members) - allowed), sorted(required - set(members))
    if unknown:
        text = f"{unknown[0][:60]!r} is unknown; known are {', '.join(sorted(allowed))}"
        raise ControlError(HTTPStatus.BAD_REQUEST, text)
    if missing:
        raise ControlError(HTTPStatus.BAD_REQUEST, f"{missing[0]}: is missing")
    return members


def _read_body(environ: Environ) -> bytes:
    """Return the body. Raises ControlError if it is too long."""
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        body: bytes = stream.read(MAX_BODY_BYTES + 1)
    else:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = stream.read(min(length, MAX_BODY_BYTES + 1))
    if len(body) > MAX_BODY_BYTES:
        message = f"the body has more than {MAX_BODY_BYTES} bytes"
        raise ControlError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
    return body


def _check_seconds(value: Any) -> float:
    """Return a number of seconds. Raises ControlError if it is none that the clock can be moved by."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= LONGEST_ADVANCE_S:  # NaN fails the comparison
        message = f"seconds: {str(value)[:60]} is not a number from 0 to {LONGEST_ADVANCE_S}"
        raise ControlError(HTTPStatus.BAD_REQUEST, message)
    return float(value)


def _check_member(name: str, value: Any) -> Any:
    """Return a member of fail-next. JSON does not tell 2.0 from 2.

    Raises ControlError if it has a wrong type or is out of range.
    """
    wanted = _FAIL_NEXT_TYPES[name]
    if value is None and name in _OPTIONAL:
        return None
    if wanted is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise ControlError(HTTPStatus.BAD_REQUEST, f"{name}: {str(value)[:60]!r} is not of type {wanted.__name__}")
    minimum = _MINIMUM.get(name)
    if minimum is not None and value < minimum:
        raise ControlError(HTTPStatus.BAD_REQUEST, f"{name}: {value} is less than {minimum}")
    return value


def _send(
    start_response: StartResponse, status: HTTPStatus, content: object, headers: dict[str, str] | None = None
) -> list[bytes]:
    """Send an answer. None is sent as an empty body."""
    body = b"" if content is None else json.dumps(content).encode()
    all_headers = [("Content-Length", str(len(body))), ("X-Content-Type-Options", "nosniff")]
    if body:
        all_headers.append(("Content-Type", "application/json"))
    start_response(f"{status.value} {status.phrase}", [*all_headers, *(headers or {}).items()])
    return [body]
