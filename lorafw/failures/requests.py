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

from lorafw.failures.names import SERVICES, Operation, ServiceName, operation_model, service_model
from lorafw.failures.planned import ApiCall

OWN_CALL_HEADER: Final = "x-lorafw-own-call"
"""Marks calls that lorafw itself makes. They never fail as planned, and no rate counts them."""

_CREDENTIAL: Final = re.compile(
    r"Credential=(?P<caller>[^/\s,]*)/\d*/(?P<region>[^/\s,]+)/(?P<service>[^/\s,]+)/aws4_request"
)
"""The part of a signature that names the access key, the date, the Region and the service."""
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
class _CallScope:
    """Who calls which service, and where."""

    caller: str
    """The access key in the request's signature. Empty if there is no signature."""
    region: str
    """The Region in the request's signature. Empty if there is no signature."""
    service: ServiceName


@dataclass(frozen=True, slots=True)
class _Template:
    """The URI of an operation, from the service model."""

    operation: str
    """The name of the operation."""
    path: re.Pattern[str]
    """A pattern of the path, with a group for each label."""
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
    scope = _read_scope(request, parts)
    if scope is None:
        return None
    if service_model(scope.service).metadata["protocol"] == "query":
        return _read_query_call(request, parts, scope)
    return _read_rest_call(request, parts, scope)


def signed_service(request: WireRequest) -> ServiceName | None:
    """Return the service that a request calls. None if it is not known. The body is not needed for this."""
    scope = _read_scope(request, urlsplit(request.url))
    return None if scope is None else scope.service


def _read_scope(request: WireRequest, parts: SplitResult) -> _CallScope | None:
    """Return who calls which service, and where. None if no known service is called.

    A request has its signature in a header or, if its URL was signed in advance, in the query. Without a signature, the
    name of the host tells the service.
    """
    signature = request.headers.get("authorization", "")
    credential_in_url = parse_qs(parts.query).get("X-Amz-Credential")
    if credential_in_url:
        signature = f"Credential={credential_in_url[0]}"
    match = _CREDENTIAL.search(signature)
    if match is not None:
        return _scope_of_service([match["service"]], match["caller"], match["region"])
    return _scope_of_service((parts.hostname or "").split("."), caller="", region="")


def _scope_of_service(names: list[str], caller: str, region: str) -> _CallScope | None:
    """Return the scope with the first known service that is among these names. None if there is none."""
    for service in SERVICES:
        if service in names:
            return _CallScope(caller, region, service)
    return None


def _read_query_call(request: WireRequest, parts: SplitResult, scope: _CallScope) -> ApiCall | None:
    """Return the call of a service with the protocol "query": a form with the operation as ``Action``."""
    values_by_name = parse_qs(parts.query)
    values_by_name.update(parse_qs(request.body.decode("utf-8", "replace"), keep_blank_values=True))
    fields = {name: values[0] for name, values in values_by_name.items()}
    action = fields.get("Action", "")
    if action not in service_model(scope.service).operation_names:
        return None
    return ApiCall(Operation(scope.service, action), scope.region, scope.caller, fields)


def _read_rest_call(request: WireRequest, parts: SplitResult, scope: _CallScope) -> ApiCall | None:
    """Return the call of a service whose operations differ in method and URI."""
    path = _path_with_bucket(parts, scope.service)
    query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    template = _find_template(scope.service, request, path, query)
    if template is None:
        return None
    labels = _read_labels(template, path)
    members = _read_members(Operation(scope.service, template.operation), request, labels, query)
    return ApiCall(Operation(scope.service, template.operation), scope.region, scope.caller, members)


def _path_with_bucket(parts: SplitResult, service: ServiceName) -> str:
    """Return the path of a URL. If S3's bucket is in the host name, it is put in front of the path."""
    path = parts.path or "/"
    bucket_host = _BUCKET_HOST.match(parts.hostname or "")
    if service == "s3" and bucket_host is not None:
        return f"/{bucket_host['bucket']}{path}"
    return path


def _find_template(service: ServiceName, request: WireRequest, path: str, query: Mapping[str, str]) -> _Template | None:
    """Return the template that fits a request best. None if none matches."""
    templates = _templates(service, request.method)
    candidates = [template for template in templates if _matches(template, path, query)]
    return max(candidates, key=lambda template: _rank(template, query, request.headers), default=None)


def _read_labels(template: _Template, path: str) -> dict[str, str]:
    """Return the decoded labels of a path that matches the template."""
    match = template.path.fullmatch(path)
    assert match is not None
    return {name: unquote(text) for name, text in match.groupdict().items()}


@cache
def _templates(service: str, method: str) -> list[_Template]:
    """Return the templates of a service's operations with this method."""
    model = service_model(service)
    operations = [model.operation_model(name) for name in model.operation_names]
    return [_template(operation) for operation in operations if operation.http["method"] == method]


def _template(operation: Any) -> _Template:
    """Return the template of an operation. ``operation`` is botocore's model of it."""
    path, _, query = operation.http["requestUri"].partition("?")
    pattern = _LABEL.sub(_label_pattern, re.sub(r"[.$]", r"\\\g<0>", path))
    required_headers = _required_names(operation.input_shape, "header")
    return _Template(
        operation.name,
        re.compile(f"{pattern}/?"),
        labels=path.count("{"),
        literals={name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()},
        required_query=frozenset(_required_names(operation.input_shape, "querystring")),
        required_headers=frozenset(name.lower() for name in required_headers),
        is_deprecated=operation.deprecated,
    )


def _required_names(shape: Any, location: str) -> list[str]:
    """Return the names on the wire of the required members that are in this part of a request.

    Args:
        shape: The input of an operation in botocore's service model. None if it has no input.
        location: The part of the request: "querystring" or "header".
    """
    if shape is None:
        return []
    required = [shape.members[name].serialization for name in shape.required_members]
    return [serialization["name"] for serialization in required if serialization.get("location") == location]


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


def _read_members(
    operation: Operation, request: WireRequest, labels: Mapping[str, str], query: Mapping[str, str]
) -> dict[str, Any]:
    """Return the members of a call: those in a JSON body, the path, the query and the headers."""
    shape = operation_model(operation).input_shape
    if shape is None:
        return {}
    body_members = _json_members(shape, request.body)
    sources: Mapping[str, Mapping[str, Any]] = {"uri": labels, "querystring": query, "header": request.headers}
    members: dict[str, Any] = {}
    for name, member in shape.members.items():
        location = member.serialization.get("location")
        key = member.serialization.get("name", name)
        source = sources.get(location, {})
        if location is None:
            source, key = body_members, name
        elif location == "header":
            key = key.lower()
        if key in source:
            members[name] = source[key]
    return members


def _json_members(shape: Any, body: bytes) -> dict[str, Any]:
    """Return the members of a structure in a JSON body, by their names in the model. Other bodies have none."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    return _with_model_names(shape, content)


def _with_model_names(shape: Any, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a JSON object by their names in the model. Names on the wire may differ."""
    members = {}
    for name, member in shape.members.items():
        name_on_wire = member.serialization.get("name", name)
        if name_on_wire not in content:
            continue
        value = content[name_on_wire]
        if member.type_name == "structure" and isinstance(value, dict):
            value = _with_model_names(member, value)
        members[name] = value
    return members
