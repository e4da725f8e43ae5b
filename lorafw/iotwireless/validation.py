"""The constraints of botocore's service model, enforced.

boto3 and the AWS CLI check three of them (required, type, minimum); AWS's server checks all, so this does: lengths,
ranges, patterns, enumerations, and the JSON types of the body. The words of a message are AWS's: field, value, limit.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qs

MAX_SHOWN_CHARS: Final = 80
"""So many characters of a value are repeated in a message."""

_INTEGER_LIMITS: Final = {"integer": 1 << 31, "long": 1 << 63}
_KINDS: Final[Mapping[str, tuple[Any, str]]] = {
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


class InvalidParameters(ValueError):
    """What is wrong with the parameters, one text a fault."""

    def __init__(self, faults: list[str]) -> None:
        plural = "s" if len(faults) != 1 else ""
        super().__init__(f"{len(faults)} validation error{plural} detected: {'; '.join(faults)}")


def parse_parameters(shape: Any, labels: Mapping[str, str], query: str, body: bytes) -> dict[str, Any]:
    """The members of an operation's input, from URI, query and body. Raises InvalidParameters."""
    if shape is None:
        return {}
    members = {**_from_body(shape, body), **_from_query(shape, query), **_from_uri(shape, labels)}
    faults = list(_faults(shape, members, ""))
    if faults:
        raise InvalidParameters(faults)
    return members


def _from_uri(shape: Any, labels: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: labels[member.serialization.get("name", name)]
        for name, member in shape.members.items()
        if member.serialization.get("location") == "uri" and member.serialization.get("name", name) in labels
    }


def _from_query(shape: Any, query: str) -> dict[str, Any]:
    texts = parse_qs(query, keep_blank_values=True)
    found: dict[str, Any] = {}
    for name, member in shape.members.items():
        if member.serialization.get("location") != "querystring":
            continue
        values = texts.get(member.serialization.get("name", name))
        if values is not None:
            found[name] = values if member.type_name == "list" else _from_text(member, values[0])
    return found


def _from_text(member: Any, text: str) -> Any:
    """A value out of a query string; one that cannot be read stays text, and is then of the wrong type."""
    if member.type_name in ("integer", "long") and re.fullmatch(r"-?\d{1,19}", text, re.ASCII):
        return int(text)
    return text


def _from_body(shape: Any, body: bytes) -> dict[str, Any]:
    in_body = {name: member for name, member in shape.members.items() if "location" not in member.serialization}
    if not in_body or not body:
        return {}
    try:
        # Decoded here, because json.loads would take UTF-16 as well.
        content = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise InvalidParameters(["the body is not JSON"]) from None
    if not isinstance(content, dict):
        raise InvalidParameters(["the body is not a JSON object"])
    return {
        name: content[key]
        for name, member in in_body.items()
        if (key := member.serialization.get("name", name)) in content
    }


def _faults(shape: Any, value: Any, path: str) -> Iterator[str]:
    """Everything that is wrong with a value; ``path`` names it, ``Update.LoRaWAN.SigKeyCrc`` for example."""
    kind, words = _KINDS[shape.type_name]
    if not isinstance(value, kind) or (isinstance(value, bool) and shape.type_name != "boolean"):
        yield _violation_message(value, path, f"Member must be {words}")
        return
    yield from _scalar_faults(shape, value, path)
    if shape.type_name == "structure":
        yield from _member_faults(shape, value, path)
    elif shape.type_name == "list":
        for index, item in enumerate(value):
            yield from _faults(shape.member, item, f"{path}[{index}]")


def _member_faults(shape: Any, value: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, member in shape.members.items():
        at = f"{path}.{name}" if path else name
        if value.get(name) is None:
            if name in shape.required_members:
                yield f"Value null at '{at}' failed to satisfy constraint: Member must not be null"
        else:
            yield from _faults(member, value[name], at)


def _scalar_faults(shape: Any, value: Any, path: str) -> Iterator[str]:
    limits = shape.metadata
    is_sized = isinstance(value, str | list)
    measure = len(value) if is_sized else value
    if "min" in limits or "max" in limits:
        word = "length" if is_sized else "value"
        if "max" in limits and measure > limits["max"]:
            yield _violation_message(value, path, f"Member must have {word} less than or equal to {limits['max']}")
        if "min" in limits and measure < limits["min"]:
            yield _violation_message(value, path, f"Member must have {word} greater than or equal to {limits['min']}")
    elif isinstance(value, int) and not -_INTEGER_LIMITS.get(shape.type_name, math.inf) <= value < _INTEGER_LIMITS.get(
        shape.type_name, math.inf
    ):
        yield _violation_message(value, path, f"Member must be within the range of type {shape.type_name}")
    if isinstance(value, float) and not math.isfinite(value):
        yield _violation_message(value, path, "Member must be a finite number")
    if isinstance(value, str):
        yield from _text_faults(shape, value, path)


def _text_faults(shape: Any, value: str, path: str) -> Iterator[str]:
    if _has_lone_surrogate(value):
        yield _violation_message(value, path, "Member must be valid Unicode, without lone surrogates")
        return
    enum = shape.metadata.get("enum")
    if enum and value not in enum:
        yield _violation_message(value, path, f"Member must satisfy enum value set: [{', '.join(enum)}]")
    pattern = shape.metadata.get("pattern")
    compiled = _compiled(pattern) if pattern else None
    if compiled is not None and not compiled.fullmatch(value):
        yield _violation_message(value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _has_lone_surrogate(text: str) -> bool:
    """Is there half of a character in it? JSON can write one, and no answer could repeat it."""
    return any("\ud800" <= sign <= "\udfff" for sign in text)


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        # AWS's patterns are ASCII's: \s and \d mean no more there.
        return re.compile(pattern, re.ASCII)
    except re.error:
        # The model's pattern of CertificatePEM is written for another language.
        return None


def _violation_message(value: Any, path: str, constraint: str) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    shown = text if len(text) <= MAX_SHOWN_CHARS else text[:MAX_SHOWN_CHARS] + "..."
    shown = shown.encode("utf-8", "backslashreplace").decode()
    return f"Value '{shown}' at '{path}' failed to satisfy constraint: {constraint}"
