"""From a request to the method of its operation, and from an error to a response.

If lorafw does not implement an operation, the response is HTTP 501 with the code NotImplemented. AWS does not use this
code, so a script cannot confuse it with an error of the operation. The response is the same in process and over HTTP.
moto itself would raise NotImplementedError, which becomes a 500 over HTTP, and clients retry a 500.
"""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import urlsplit

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse
from moto.core.utils import camelcase_to_underscores, get_service_model

from lorafw.errors import LorafwError, StateError
from lorafw.iotwireless.context import current_service
from lorafw.iotwireless.exceptions import InternalServerException, ValidationException, to_aws
from lorafw.iotwireless.routing import Route, find_route
from lorafw.iotwireless.validation import InvalidParameters, parse_parameters

_UNKNOWN_OPERATION: Final = json.dumps(
    {"__type": "UnknownOperationException", "Message": "iotwireless has no such operation"}
)

MotoResponse = tuple[int, dict[str, Any], str]
"""A response as moto takes it: status, headers and body."""


class OperationResponse(BaseResponse):  # type: ignore[misc]  # moto has no type hints here
    """Answers a request by calling the method of its operation. moto creates one object for each request.

    A subclass has a method for each operation, which finds the validated parameters in ``_parameters``.
    """

    _parameters: dict[str, Any]
    _route: Route | None = None
    """The operation of the request and the labels in its path. None if AWS has no such operation."""

    def __init__(self) -> None:
        super().__init__(service_name="iotwireless")

    def setup_class(self, request: Any, *arguments: Any, **options: Any) -> None:
        """Read the request and find its operation. Overrides moto's method, which moto calls first."""
        # Read the body before moto does. If the Content-Type is that of a form, as curl sends it, moto finds no body.
        body = read_body(request)
        # moto would decode the body as UTF-8 without handling errors.
        options["use_raw_body"] = True
        super().setup_class(request, *arguments, **options)
        self.body = body
        self._route = find_route(self.method, self.raw_path)

    def determine_response_protocol(self, service_model: Any) -> str:
        """Return the protocol of the service. Overrides moto's method, which would take it from the Content-Type."""
        return "rest-json"

    def call_action(self) -> Any:
        """Return the response to the request, after its changes are saved. Overrides moto's method."""
        if self._route is None:
            return self._respond_to_other_path(urlsplit(self.uri).path)
        try:
            with current_service().transaction():
                return self._call_operation(self._route)
        except StateError as error:
            return self._error_response(InternalServerException(str(error)))

    def _call_operation(self, route: Route) -> Any:
        """Call the method that has the name of the operation, and return its response."""
        if not hasattr(type(self), camelcase_to_underscores(route.operation)):
            return 501, self.response_headers, _not_implemented_body(route.operation)
        try:
            self._parameters = _read_parameters(route, urlsplit(self.uri).query, self.body)
            return super().call_action()
        except LorafwError as error:
            return self._error_response(to_aws(error))
        except ServiceException as error:
            return self._error_response(error)

    def _get_action(self) -> str:
        """Return the name of the operation, or "" if AWS has no such operation. Overrides moto's method."""
        return "" if self._route is None else self._route.operation

    def _respond_to_other_path(self, path: str) -> MotoResponse:
        """Return the response for a path that no operation of AWS has."""
        return 404, self.response_headers, _UNKNOWN_OPERATION

    def _error_response(self, error: ServiceException) -> MotoResponse:
        """Return the response for an error, serialized as AWS does."""
        status, headers, body = self.serialized(ActionResult(error))
        headers["status"] = status
        headers, body = self._enrich_response(headers, body)  # adds the request id
        return status, headers, body


def read_body(request: Any) -> bytes:
    """Return the body of a request. moto 5.2.0 passes on the requests of botocore as they are in process."""
    if hasattr(request, "get_data"):
        data: bytes = request.get_data()
        return data
    body = request.body or b""
    return body.encode() if isinstance(body, str) else bytes(body)


def _read_parameters(route: Route, query: str, body: bytes) -> dict[str, Any]:
    """Return the validated parameters of a request.

    Args:
        route: The operation, and the labels in the path.
        query: The query string of the URL, still encoded.
        body: The body of the request.

    Raises:
        ValidationException: A parameter violates a constraint of the service model.
    """
    shape = get_service_model("iotwireless").operation_model(route.operation).input_shape
    try:
        return parse_parameters(shape, route.labels, query, body)
    except InvalidParameters as error:
        raise ValidationException(str(error)) from error


def _not_implemented_body(operation: str) -> str:
    """Return the body of the response for an operation that lorafw does not implement."""
    built = "gateways, task definitions, tasks, log levels and event configurations"
    message = f"lorafw does not build {operation}; it builds {built}"
    return json.dumps({"__type": "NotImplemented", "Message": message})
