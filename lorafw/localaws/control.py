"""The control routes of `lorafw serve`, for test suites in other languages.

They are at the address of the AWS API, behind the same admission. ``openapi.json`` describes them. A request that is
signed for AWS is passed on, because a bucket may have the name ``lorafw``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final, Protocol

from lorafw.clock import format_iso
from lorafw.errors import LabError, StateError

OPENAPI_PATH: Final = "/lorafw/openapi.json"
MAX_BODY_BYTES: Final = 64 * 1024
MAX_SHOWN_CHARS: Final = 60
"""The number of characters of a bad value that an error shows."""
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
    """The server that the control routes act on."""

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

    def __init__(self, status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Describe why a request is refused.

        Args:
            status: The status of the response.
            message: The reason, for the client.
            headers: More headers of the response.
        """
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


@dataclass(frozen=True, slots=True)
class _Route:
    """A control route."""

    method: str
    """The only HTTP method of the route."""
    handler: Callable[[Environ], object]
    """Handles a request. Returns the content of the response, which JSON can represent, or None for an empty one."""


class ControlMiddleware:
    """WSGI middleware that answers the control routes and passes on all other requests."""

    def __init__(self, application: Application, controlled: Controlled) -> None:
        """Wrap ``application``. The routes act on ``controlled``."""
        self._application = application
        self._controlled = controlled
        self._routes: Final = {
            OPENAPI_PATH: _Route("GET", _load_openapi),
            "/lorafw/advance": _Route("POST", self._advance),
            "/lorafw/reset": _Route("POST", self._reset),
            "/lorafw/fail-next": _Route("POST", self._fail_next),
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request to a control route, and pass on any other request."""
        route = self._routes.get(environ.get("PATH_INFO", ""))
        # A signed request with such a path is for AWS: it names the bucket "lorafw".
        if route is None or _is_signed(environ):
            return self._application(environ, start_response)
        try:
            _check_method(environ, route.method)
            answer = route.handler(environ)
        except ControlError as error:
            return _send(start_response, error.status, {"message": str(error)}, error.headers)
        except StateError as error:
            return _send(start_response, HTTPStatus.INSUFFICIENT_STORAGE, {"message": str(error)})
        status = HTTPStatus.NO_CONTENT if answer is None else HTTPStatus.OK
        return _send(start_response, status, answer)

    def _advance(self, environ: Environ) -> object:
        """Move the clock by the ``seconds`` of the body, and return the new time."""
        parameters = _read_parameters(environ, {"seconds"}, required={"seconds"})
        seconds = _check_seconds(parameters["seconds"])
        if self._controlled.now_ms() + seconds * 1000 > _LAST_TIME_MS:
            raise ControlError(HTTPStatus.BAD_REQUEST, f"seconds: {seconds} leads beyond the year 9999")
        now_ms = self._controlled.advance(seconds)
        if now_ms is None:
            message = "the server uses the real clock; start it with `lorafw serve --clock manual`"
            raise ControlError(HTTPStatus.CONFLICT, message)
        return {"now": format_iso(now_ms)}

    def _reset(self, _: Environ) -> None:
        """Delete everything in this server."""
        self._controlled.reset()

    def _fail_next(self, environ: Environ) -> None:
        """Plan the failure that the body describes."""
        parameters = _read_parameters(environ, set(_FAIL_NEXT_TYPES), required={"operation", "code"})
        arguments = {name: _check_fail_next_parameter(name, value) for name, value in parameters.items()}
        try:
            self._controlled.fail_next(**arguments)
        except LabError as error:
            raise ControlError(HTTPStatus.NOT_FOUND, str(error)) from error


def _check_method(environ: Environ, allowed: str) -> None:
    """Raise ControlError if a request has another method than the allowed one."""
    method = environ["REQUEST_METHOD"]
    if method != allowed:
        message = f"{method} is not possible here; send {allowed}"
        raise ControlError(HTTPStatus.METHOD_NOT_ALLOWED, message, headers={"Allow": allowed})


def _load_openapi(_: Environ) -> object:
    """Return the OpenAPI document."""
    return json.loads(files("lorafw.localaws").joinpath("openapi.json").read_text())


def _is_signed(environ: Environ) -> bool:
    """Return True if a request is signed for AWS."""
    return "HTTP_AUTHORIZATION" in environ or "X-Amz-Credential=" in environ.get("QUERY_STRING", "")


def _read_parameters(environ: Environ, allowed: set[str], *, required: set[str]) -> dict[str, Any]:
    """Return the parameters of a request: the members of the JSON object in its body.

    Args:
        environ: The request.
        allowed: The names that the route knows.
        required: The names that must be present.

    Raises:
        ControlError: The body is too long or is not such an object.
    """
    content_type = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        message = f"Content-Type: {content_type[:MAX_SHOWN_CHARS]!r} is not application/json"
        raise ControlError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)
    try:
        members = json.loads(_read_body(environ))
    except (ValueError, RecursionError) as error:
        raise ControlError(HTTPStatus.BAD_REQUEST, "the body is not JSON") from error
    if not isinstance(members, dict):
        raise ControlError(HTTPStatus.BAD_REQUEST, "the body is not a JSON object")
    unknown = sorted(set(members) - allowed)
    missing = sorted(required - set(members))
    if unknown:
        text = f"{unknown[0][:MAX_SHOWN_CHARS]!r} is unknown; known are {', '.join(sorted(allowed))}"
        raise ControlError(HTTPStatus.BAD_REQUEST, text)
    if missing:
        raise ControlError(HTTPStatus.BAD_REQUEST, f"{missing[0]}: is missing")
    return members


def _read_body(environ: Environ) -> bytes:
    """Return the body. Raises ControlError if it is too long."""
    max_read_bytes = MAX_BODY_BYTES + 1  # one more than allowed, to notice that there is more
    if not environ.get("wsgi.input_terminated"):
        # Such a server does not stop the stream at the end of the body.
        max_read_bytes = min(max_read_bytes, int(environ.get("CONTENT_LENGTH") or 0))
    body: bytes = environ["wsgi.input"].read(max_read_bytes)
    if len(body) > MAX_BODY_BYTES:
        message = f"the body has more than {MAX_BODY_BYTES} bytes"
        raise ControlError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
    return body


def _check_seconds(value: Any) -> float:
    """Return a number of seconds. Raises ControlError if the clock cannot be moved by it."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= LONGEST_ADVANCE_S:  # NaN fails the comparison
        message = f"seconds: {str(value)[:MAX_SHOWN_CHARS]} is not a number from 0 to {LONGEST_ADVANCE_S}"
        raise ControlError(HTTPStatus.BAD_REQUEST, message)
    return float(value)


def _check_fail_next_parameter(name: str, value: Any) -> Any:
    """Return a parameter of fail-next. Raises ControlError if it has a wrong type or is out of range."""
    expected_type = _FAIL_NEXT_TYPES[name]
    if value is None and name in _OPTIONAL:
        return None
    if expected_type is int and isinstance(value, float) and value.is_integer():
        value = int(value)  # for JSON, 2.0 and 2 are the same number
    if not isinstance(value, expected_type) or isinstance(value, bool):
        shown = repr(str(value)[:MAX_SHOWN_CHARS])
        raise ControlError(HTTPStatus.BAD_REQUEST, f"{name}: {shown} is not of type {expected_type.__name__}")
    minimum = _MINIMUM.get(name)
    if minimum is not None and value < minimum:
        raise ControlError(HTTPStatus.BAD_REQUEST, f"{name}: {value} is less than {minimum}")
    return value


def _send(
    start_response: StartResponse, status: HTTPStatus, content: object, headers: Mapping[str, str] | None = None
) -> list[bytes]:
    """Send an answer. None is sent as an empty body."""
    body = b"" if content is None else json.dumps(content).encode()
    all_headers = [("Content-Length", str(len(body))), ("X-Content-Type-Options", "nosniff")]
    if body:
        all_headers.append(("Content-Type", "application/json"))
    start_response(f"{status.value} {status.phrase}", [*all_headers, *(headers or {}).items()])
    return [body]
