"""Turn the frozen values of the update service into JSON and back, by the types of their fields.

A field that a saved value does not have gets its default, so a value of an earlier version can be read.
"""

from __future__ import annotations

import base64
import json
import types
from collections import deque
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

Value = TypeVar("Value")


def to_json(value: object) -> str:
    """Return a dataclass as a JSON text. Equal values give equal texts."""
    return json.dumps(_encode(value), separators=(",", ":"), ensure_ascii=False)


def from_json(kind: type[Value], text: str) -> Value:
    """Return the dataclass in a JSON text.

    Args:
        kind: The class.
        text: A text that ``to_json`` returned.

    Raises:
        ValueError: The text is not one of this class.
    """
    try:
        value: Value = _decode(kind, json.loads(text))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a saved {kind.__name__}: {error}") from error
    return value


def _encode(value: Any) -> Any:
    """Return a value as JSON's own types."""
    if is_dataclass(value):
        return {item.name: _encode(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple | list | deque):
        return [_encode(item) for item in value]
    return value


def _decode(hint: Any, data: Any) -> Any:
    """Return the value that ``_encode`` turned into ``data``, for a field of the type ``hint``."""
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(choice for choice in get_args(hint) if choice is not type(None))
    if data is None:
        return None
    if get_origin(hint) is tuple:
        return tuple(_decode(get_args(hint)[0], item) for item in data)
    if isinstance(hint, type):
        return _decode_class(hint, data)
    return data


def _decode_class(kind: type, data: Any) -> Any:
    """Return the value that ``_encode`` turned into ``data``, for a field whose type is a class."""
    if is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{name: _decode(hints[name], item) for name, item in data.items()})
    if issubclass(kind, Enum):
        return kind(data)
    if kind is bytes:
        return base64.b64decode(data)
    return data


@cache
def _hints(kind: type) -> dict[str, Any]:
    """Return the types of the fields of a dataclass, by name."""
    return get_type_hints(kind)
