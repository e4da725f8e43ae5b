"""Which operation a request calls, and with what members, read from the request and botocore's service models.

The service is the one that the request is signed for, so it is known whatever host the request was sent to. A request
that is no call of a known service, or cannot be read, is not an ApiCall: it is passed on as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from lorafw.failures.names import SERVICES, Operation, ServiceName, service_model
from lorafw.failures.planned import ApiCall

OWN_CALL_HEADER: Final = "x-lorafw-own-call"
"""Marks calls that lorafw itself makes. They never fail as planned, and no rate counts them."""

_CREDENTIAL: Final = re.compile(r"Credential=([^/\s,]*)/\d*/([^/\s,]+)/([^/\s,]+)/aws4_request")
_LABEL: Final = re.compile(r"\{(\w+)(\+?)\}")
_BUCKET_HOST: Final = re.compile(r"(?P<bucket>.+?)\.(?:s3[.-]|localhost$)")


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A request as it arrived. Names of headers are in lower case."""

    method: str
    url: str
    """The whole URL. Its path is percent-encoded."""
    headers: Mapping[str, str]
    body: bytes = b""
    """The body, or b"" if it was not read."""


@dataclass(frozen=True, slots=True)
class _Template:
    """The method and URI of an operation, from the service model."""

    operation: str
    path: re.Pattern[str]
    labels: int
    """The number of labels in the path."""
    literals: Mapping[str, str]
    """The query parameters that the URI itself has, such as "list-type"."""
    required_query: frozenset[str]
    required_headers: frozenset[str]
    is_deprecated: bool


def mark_own_call(params: dict[str, Any], **_: Any) -> None:
    """Mark a call as one that lorafw makes itself. Register this for botocore's event "before-call"."""
    params["headers"][OWN_CALL_HEADER] = "1"


def is_own_call(headers: Mapping[str, str]) -> bool:
    """Return whether lorafw itself makes the call with these headers."""
    return OWN_CALL_HEADER in headers


def read_call(request: WireRequest) -> ApiCall | None:
    """Return the call that a request makes. None if it is no call of a known service."""
    parts = urlsplit(request.url)
    caller, region, service = _signed_for(request, parts)
    if service is None:
        return None
    if service_model(service).metadata["protocol"] == "query":
        return _read_query_call(request, parts, caller, region, service)
    return _read_rest_call(request, parts, caller, region, service)


def signed_service(request: WireRequest) -> ServiceName | None:
    """Return the service that a request calls. None if it is not known. The body is not needed for this."""
    return _signed_for(request, urlsplit(request.url))[2]


def _signed_for(request: WireRequest, parts: SplitResult) -> tuple[str, str, ServiceName | None]:
    """Return access key, Region and service of a request. Without a signature, the host tells the service."""
    signature = request.headers.get("authorization", "")
    presigned = parse_qs(parts.query).get("X-Amz-Credential")
    if presigned:
        signature = f"Credential={presigned[0]}"
    match = _CREDENTIAL.search(signature)
    if match is None:
        return "", "", _service_named((parts.hostname or "").split("."))
    return match[1], match[2], _service_named([match[3]])


def _service_named(names: list[str]) -> ServiceName | None:
    """Return the first service that is among these names, or None."""
    return next((service for service in SERVICES if service in names), None)


def _read_query_call(
    request: WireRequest, parts: SplitResult, caller: str, region: str, service: ServiceName
) -> ApiCall | None:
    """Return the call of a service with the protocol "query": a form with the operation as ``Action``."""
    form = parse_qs(request.body.decode("utf-8", "replace"), keep_blank_values=True)
    fields = {name: values[0] for name, values in {**parse_qs(parts.query), **form}.items()}
    action = fields.get("Action", "")
    if action not in service_model(service).operation_names:
        return None
    return ApiCall(Operation(service, action), region, caller, fields)


def _read_rest_call(
    request: WireRequest, parts: SplitResult, caller: str, region: str, service: ServiceName
) -> ApiCall | None:
    """Return the call of a service whose operations differ in method and URI."""
    path = parts.path or "/"
    bucket = _BUCKET_HOST.match(parts.hostname or "")
    if service == "s3" and bucket is not None:
        path = f"/{bucket['bucket']}{path}"
    query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    candidates = [template for template in _templates(service, request.method) if _matches(template, path, query)]
    if not candidates:
        return None
    template = max(candidates, key=lambda each: _rank(each, query, request.headers))
    match = template.path.fullmatch(path)
    labels = {name: unquote(text) for name, text in (match.groupdict() if match else {}).items()}
    members = _members(service, template.operation, labels, query, request)
    return ApiCall(Operation(service, template.operation), region, caller, members)


@cache
def _templates(service: str, method: str) -> list[_Template]:
    """Return the templates of a service's operations with this method."""
    model = service_model(service)
    operations = [model.operation_model(name) for name in model.operation_names]
    return [_template(operation) for operation in operations if operation.http["method"] == method]


def _template(operation: Any) -> _Template:
    """Return the template of an operation."""
    path, _, query = operation.http["requestUri"].partition("?")
    pattern = _LABEL.sub(_label_pattern, re.sub(r"[.$]", r"\\\g<0>", path))
    required: dict[str, set[str]] = {"querystring": set(), "header": set()}
    shape = operation.input_shape
    for name in () if shape is None else shape.required_members:
        serialization = shape.members[name].serialization
        if serialization.get("location") in required:
            required[serialization["location"]].add(serialization["name"])
    return _Template(
        operation.name,
        re.compile(f"{pattern}/?"),
        labels=path.count("{"),
        literals={name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()},
        required_query=frozenset(required["querystring"]),
        required_headers=frozenset(name.lower() for name in required["header"]),
        is_deprecated=operation.deprecated,
    )


def _label_pattern(match: re.Match[str]) -> str:
    """Return the pattern for a label of a URI. A label with a plus may contain slashes."""
    characters = ".+" if match[2] else "[^/]+"
    return f"(?P<{match[1]}>{characters})"


def _matches(template: _Template, path: str, query: Mapping[str, str]) -> bool:
    """Return whether path and query are those of the template."""
    has_literals = all(name in query and value in ("", query[name]) for name, value in template.literals.items())
    return has_literals and template.path.fullmatch(path) is not None


def _rank(template: _Template, query: Mapping[str, str], headers: Mapping[str, str]) -> tuple[int, ...]:
    """Return how well a template fits that matches. Compare the results: the greatest one fits best."""
    present = len(template.required_query & query.keys()) + len(template.required_headers & headers.keys())
    missing = len(template.required_query) + len(template.required_headers) - present
    return (-template.labels, len(template.literals), -missing, present, -int(template.is_deprecated))


def _members(
    service: str, operation: str, labels: Mapping[str, str], query: Mapping[str, str], request: WireRequest
) -> dict[str, Any]:
    """Return the members of a call: those in the URI, the headers and a JSON body."""
    shape = service_model(service).operation_model(operation).input_shape
    if shape is None:
        return {}
    found: dict[str, Any] = {}
    body = _json_members(shape, request.body)
    for name, member in shape.members.items():
        location = member.serialization.get("location")
        on_wire = member.serialization.get("name", name)
        source: Mapping[str, Any] = {"uri": labels, "querystring": query, "header": request.headers}.get(location, body)
        key = on_wire.lower() if location == "header" else on_wire
        if location is None:
            key = name
        if key in source:
            found[name] = source[key]
    return found


def _json_members(shape: Any, body: bytes) -> dict[str, Any]:
    """Return the members of a structure in a JSON body, by their names in the model. Other bodies have none."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return _renamed(shape, content) if isinstance(content, dict) else {}


def _renamed(shape: Any, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a structure by their names in the model. Names on the wire may differ."""
    found = {}
    for name, member in shape.members.items():
        on_wire = member.serialization.get("name", name)
        if on_wire in content:
            value = content[on_wire]
            is_structure = member.type_name == "structure" and isinstance(value, dict)
            found[name] = _renamed(member, value) if is_structure else value
    return found
