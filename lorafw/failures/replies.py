"""The bytes of an error, as each protocol of AWS spells it.

rest-json has the code in a header, query and rest-xml have it in an XML document. The replies were compared with
recorded ones of AWS: IAM's "Throttling" and S3's documented example.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final
from xml.sax.saxutils import escape

from lorafw.failures.names import ErrorReply, Operation, error_code, operation_model, service_model

_SERVER_ERROR: Final = 500
"""The first status that is not the caller's fault."""
_XML: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A reply of HTTP."""

    status: int
    """The HTTP status."""
    headers: tuple[tuple[str, str], ...]
    """Names and values of the headers."""
    body: bytes
    """The body."""


def spell(error: ErrorReply, operation: Operation, request_id: str) -> HttpReply:
    """Return an error as the service of the operation sends it.

    Args:
        error: The error.
        operation: The operation that fails.
        request_id: Id of the request, which AWS repeats in its reply.
    """
    protocol = service_model(operation.service).metadata["protocol"]
    if protocol == "rest-json":
        return _spell_rest_json(error, operation, request_id)
    if protocol == "query":
        return _spell_query(error, operation, request_id)
    return _spell_s3(error, operation, request_id)


def _spell_rest_json(error: ErrorReply, operation: Operation, request_id: str) -> HttpReply:
    """Return an error of iotwireless or iot."""
    body = json.dumps({_message_member(error.code, operation): error.message}).encode()
    headers = (
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("x-amzn-RequestId", request_id),
        ("x-amzn-ErrorType", error.code),
    )
    return HttpReply(error.status, headers, body)


def _message_member(code: str, operation: Operation) -> str:
    """Return the name of the member with the message: "Message" in iotwireless, "message" in iot."""
    shapes: list[Any] = operation_model(operation).error_shapes
    for shape in shapes:
        if error_code(shape) == code:
            names = [name for name in shape.members if name.lower() == "message"]
            return str(names[0])
    return "message"


def _spell_query(error: ErrorReply, operation: Operation, request_id: str) -> HttpReply:
    """Return an error of iam or sts."""
    fault = "Receiver" if error.status >= _SERVER_ERROR else "Sender"
    namespace = service_model(operation.service).metadata["xmlNamespace"]
    text = (
        f'<ErrorResponse xmlns="{namespace}">\n'
        f"  <Error>\n"
        f"    <Type>{fault}</Type>\n"
        f"    <Code>{escape(error.code)}</Code>\n"
        f"    <Message>{escape(error.message)}</Message>\n"
        f"  </Error>\n"
        f"  <RequestId>{request_id}</RequestId>\n"
        f"</ErrorResponse>\n"
    )
    body = text.encode()
    headers = (
        ("Content-Type", "text/xml"),
        ("Content-Length", str(len(body))),
        ("x-amzn-RequestId", request_id),
    )
    return HttpReply(error.status, headers, body)


def _spell_s3(error: ErrorReply, operation: Operation, request_id: str) -> HttpReply:
    """Return an error of S3. The reply to a HEAD request has no body, so the client sees the status only."""
    text = (
        f"{_XML}<Error><Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
        f"<RequestId>{request_id}</RequestId><HostId>lorafw</HostId></Error>"
    )
    body = text.encode()
    if operation_model(operation).http["method"] == "HEAD":
        body = b""
    headers = (
        ("Content-Type", "application/xml"),
        ("Content-Length", str(len(body))),
        ("x-amz-request-id", request_id),
        ("x-amz-id-2", "lorafw"),
    )
    return HttpReply(error.status, headers, body)
