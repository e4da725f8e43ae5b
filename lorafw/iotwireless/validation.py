"""Parses the parameters of an operation, and validates them against botocore's service model.

boto3 and the AWS CLI check only whether members are present, their types and their minimums. AWS's server also checks
lengths, ranges, patterns, enumerations and the JSON types of the body, and so does this module. The messages have AWS's
form: value, field, constraint.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any, Final
from urllib.parse import parse_qs

MAX_SHOWN_CHARS: Final = 80
"""Longer values are truncated in messages."""

_INTEGER_LIMITS: Final = {"integer": 1 << 31, "long": 1 << 63}
"""An integer must be at least minus the limit, and less than the limit."""

_PYTHON_TYPES: Final[Mapping[str, tuple[Any, str]]] = {
    "string": (str, "a string"),
    "boolean": (bool, "a boolean"),
    "integer": (int, "an integer"),
    "long": (int, "an integer"),
    "float": (int | float, "a number"),
    "double": (int | float, "a number"),
    "list": (list, "a list"),
    "structure": (dict, "an object"),
    "map": (dict, "an object"),
}


_MAX_REPORTED: Final = 100
"""Maximum number of violations in a message. The service model has lists of any length."""


class InvalidParameters(ValueError):
    """The parameters violate constraints of the service model. The message lists the violations."""

    def __init__(self, violations: list[str]) -> None:
        plural = "s" if len(violations) != 1 else ""
        super().__init__(f"{len(violations)} validation error{plural} detected: {'; '.join(violations)}")


def parse_parameters(shape: Any, labels: Mapping[str, str], query: str, body: bytes) -> dict[str, Any]:
    """Parse and validate the parameters of an operation.

    Args:
        shape: The operation's input in botocore's service model. None if it has no input.
        labels: The decoded labels of the URI, by their names in the model.
        query: The query string of the URL, still encoded.
        body: The body of the request.

    Returns:
        The members of the input by name. Members that are null or that the model does not have are left out, also those
        of structures inside.

    Raises:
        InvalidParameters: The body is not a JSON object, or members violate constraints.
    """
    if shape is None:
        return {}
    members = _from_body(shape, body)
    members.update(_from_query(shape, query))
    members.update(_from_uri(shape, labels))
    check_members(shape, members)
    known_members: dict[str, Any] = _without_unknown_members(shape, members)
    return known_members


def check_members(shape: Any, members: Mapping[str, Any]) -> None:
    """Validate the parameters of an operation. ``shape`` is the operation's input in botocore's service model.

    Raises:
        InvalidParameters: Members violate constraints.
    """
    violations = list(islice(_violations(shape, members, ""), _MAX_REPORTED))
    if violations:
        raise InvalidParameters(violations)


def _without_unknown_members(shape: Any, value: Any) -> Any:
    """Return a valid value without the members that are null or that the model does not have, at all levels.

    AWS ignores such members. A newer client may send them.
    """
    if shape.type_name == "list":
        return [_without_unknown_members(shape.member, item) for item in value]
    if shape.type_name != "structure":
        return value
    return {
        name: _without_unknown_members(member, value[name])
        for name, member in shape.members.items()
        if value.get(name) is not None
    }


def _from_uri(shape: Any, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the members that are labels of the URI."""
    members: dict[str, Any] = {}
    for name, member in shape.members.items():
        label = member.serialization.get("name", name)
        if member.serialization.get("location") == "uri" and label in labels:
            members[name] = labels[label]
    return members


def _from_query(shape: Any, query: str) -> dict[str, Any]:
    """Return the members that are in the query string."""
    values_by_key = parse_qs(query, keep_blank_values=True)
    members: dict[str, Any] = {}
    for name, member in shape.members.items():
        if member.serialization.get("location") != "querystring":
            continue
        values = values_by_key.get(member.serialization.get("name", name))
        if values is None:
            continue
        if member.type_name == "list":
            members[name] = values
        else:
            members[name] = _parse_query_value(member, values[0])
    return members


def _parse_query_value(member: Any, text: str) -> Any:
    """Parse a value of the query string. A malformed integer stays text, so that validation reports its type."""
    if member.type_name in ("integer", "long") and re.fullmatch(r"-?\d{1,19}", text, re.ASCII):
        return int(text)
    return text


def _from_body(shape: Any, body: bytes) -> dict[str, Any]:
    """Return the members that are in the JSON body."""
    in_body = {name: member for name, member in shape.members.items() if "location" not in member.serialization}
    if not in_body or not body:
        return {}
    try:
        # Decode as UTF-8 first, because json.loads would accept UTF-16 as well.
        content = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise InvalidParameters(["the body is not JSON"]) from None
    if not isinstance(content, dict):
        raise InvalidParameters(["the body is not a JSON object"])
    members: dict[str, Any] = {}
    for name, member in in_body.items():
        key = member.serialization.get("name", name)
        if key in content:
            members[name] = content[key]
    return members


def _violations(shape: Any, value: Any, path: str) -> Iterator[str]:
    """Iterate over the messages about the constraints that a value and its members violate.

    Args:
        shape: The shape of the value in botocore's service model: its type and its constraints.
        value: The value.
        path: Names the value in messages, for example ``Update.LoRaWAN.SigKeyCrc``.
    """
    python_type, description = _PYTHON_TYPES[shape.type_name]
    # In Python, a bool is also an int.
    is_unexpected_bool = isinstance(value, bool) and shape.type_name != "boolean"
    if is_unexpected_bool or not isinstance(value, python_type):
        yield _violation_message(value, path, f"Member must be {description}")
        return
    yield from _scalar_violations(shape, value, path)
    if shape.type_name == "structure":
        yield from _member_violations(shape, value, path)
    elif shape.type_name == "list":
        for index, item in enumerate(value):
            yield from _violations(shape.member, item, f"{path}[{index}]")


def _member_violations(shape: Any, value: Mapping[str, Any], path: str) -> Iterator[str]:
    """Iterate over the violations by the members of a structure."""
    for name, member in shape.members.items():
        member_path = f"{path}.{name}" if path else name
        if value.get(name) is None:
            if name in shape.required_members:
                yield f"Value null at '{member_path}' failed to satisfy constraint: Member must not be null"
        else:
            yield from _violations(member, value[name], member_path)


def _scalar_violations(shape: Any, value: Any, path: str) -> Iterator[str]:
    """Iterate over violations of limits and patterns, apart from those by members of the value."""
    limits = shape.metadata
    is_sized = isinstance(value, str | list)
    measure = len(value) if is_sized else value
    if "min" in limits or "max" in limits:
        word = "length" if is_sized else "value"
        if "max" in limits and measure > limits["max"]:
            yield _violation_message(value, path, f"Member must have {word} less than or equal to {limits['max']}")
        if "min" in limits and measure < limits["min"]:
            yield _violation_message(value, path, f"Member must have {word} greater than or equal to {limits['min']}")
    elif isinstance(value, int) and not _is_in_type_range(shape.type_name, value):
        yield _violation_message(value, path, f"Member must be within the range of type {shape.type_name}")
    if isinstance(value, float) and not math.isfinite(value):
        yield _violation_message(value, path, "Member must be a finite number")
    if isinstance(value, str):
        yield from _text_violations(shape, value, path)


def _is_in_type_range(type_name: str, value: int) -> bool:
    """Return True if an integer fits into AWS's type of this name."""
    limit = _INTEGER_LIMITS.get(type_name, math.inf)
    return -limit <= value < limit


def _text_violations(shape: Any, value: str, path: str) -> Iterator[str]:
    """Iterate over violations of the constraints on text: Unicode, enumeration and pattern."""
    if _has_lone_surrogate(value):
        yield _violation_message(value, path, "Member must be valid Unicode, without lone surrogates")
        return
    enum = shape.metadata.get("enum")
    if enum and value not in enum:
        yield _violation_message(value, path, f"Member must satisfy enum value set: [{', '.join(enum)}]")
    pattern = shape.metadata.get("pattern")
    compiled = _compile(pattern) if pattern else None
    if compiled is not None and not compiled.fullmatch(value):
        yield _violation_message(value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _has_lone_surrogate(text: str) -> bool:
    """Return True if there is half of a surrogate pair in a text. JSON can contain one, but UTF-8 cannot encode it."""
    return any("\ud800" <= character <= "\udfff" for character in text)


@cache
def _compile(pattern: str) -> re.Pattern[str] | None:
    """Compile a pattern of the service model. None if Python cannot compile it."""
    try:
        # In AWS's patterns, \s and \d stand for ASCII characters only.
        return re.compile(pattern, re.ASCII)
    except re.error:
        # The pattern of CertificatePEM is written for another language.
        return None


def _violation_message(value: Any, path: str, constraint: str) -> str:
    """Return AWS's message for a violation, with the value truncated and escaped."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    shown = text if len(text) <= MAX_SHOWN_CHARS else text[:MAX_SHOWN_CHARS] + "..."
    shown = shown.encode("utf-8", "backslashreplace").decode()
    return f"Value '{shown}' at '{path}' failed to satisfy constraint: {constraint}"
