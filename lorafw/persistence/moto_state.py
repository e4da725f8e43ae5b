"""A digest of everything that moto holds in memory, to see that two ways to make a state have made the same one."""

from __future__ import annotations

import datetime
import hashlib
import importlib
import io
import re
import tempfile
import threading
import types
from collections.abc import Iterable, Iterator
from decimal import Decimal
from enum import Enum
from operator import itemgetter
from typing import Any, Final

from lorafw.persistence.requests import KEPT_SERVICES

_PLAIN: Final = (type(None), bool, int, float, str, bytes, Decimal, datetime.date, datetime.timedelta, datetime.tzinfo)
"""Types whose ``repr`` says everything."""
_CODE: Final = (type, types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.ModuleType, re.Pattern)
"""Types of values that belong to moto's program and not to its state."""
_LOCKS: Final = (type(threading.Lock()), type(threading.RLock()))
_KEY_MODULES: Final = "cryptography."
"""Keys of this package are made outside of moto's random generator, so they differ in each process anyway."""
_FILES: Final = (io.IOBase, tempfile.SpooledTemporaryFile)
_READ_BYTES: Final = 1 << 20
_NOT_COMPARED: Final = frozenset(("_id", "_time_progressed"))
"""Attributes that differ at each start: a random number of a table of backends, and when moto made an object."""


_TAGGER: Final = "TaggingService"
"""moto's class that holds the tags of resources, by ARN."""


class UnknownValue(Exception):
    """moto holds a value of a type that a digest cannot represent."""


def reset_moto() -> None:
    """Delete everything that moto holds in memory."""
    from moto.moto_api._internal import moto_api_backend  # noqa: PLC0415 -- moto takes a while to import

    moto_api_backend.reset()


def used_backends() -> set[tuple[str, str, str]]:
    """Return service, account and Region of each backend that exists. moto creates a backend when it is first used."""
    return {
        (service, account, region)
        for service in KEPT_SERVICES
        for account, regions in dict.items(_backends(service))
        for region in dict.keys(regions)
    }


def create_backends(backends: Iterable[tuple[str, str, str]]) -> None:
    """Let moto create the backends that do not exist yet."""
    for service, account, region in backends:
        _ = _backends(service)[account][region]


def state_digest() -> bytes:
    """Return a digest of what moto holds of the kept services. Equal digests mean equal states.

    The order of the entries of a dictionary does not count: AWS promises no order of the entries of a list.

    Raises:
        UnknownValue: moto holds a value that cannot be compared.
    """
    digest = hashlib.sha256()
    seen: dict[int, int] = {}
    for service in KEPT_SERVICES:
        for part in _parts(_backends(service), seen):
            data = part.encode("utf-8", "surrogatepass")
            # The length goes first, so that two parts cannot be taken for one.
            digest.update(len(data).to_bytes(8, "big") + data)
    return digest.digest()


def _backends(service: str) -> Any:
    """Return moto's table of the backends of a service."""
    return getattr(importlib.import_module(f"moto.{service}.models"), f"{service}_backends")


def _parts(value: Any, seen: dict[int, int]) -> Iterator[str]:
    """Yield texts that describe a value and everything that it refers to. Equal states give equal texts.

    Args:
        value: Any value that moto holds.
        seen: The number of each container and object that was described before, by its ``id``. Objects refer to each
            other in circles, so one that was seen is described by its number.

    Raises:
        UnknownValue: A value is of a type that cannot be described.
    """
    if isinstance(value, Enum):
        yield f"enum {value}"
    elif isinstance(value, _PLAIN):
        yield f"{type(value).__name__} {value!r}"
    elif isinstance(value, _CODE + _LOCKS):
        yield "part of the program"
    elif type(value).__module__.startswith(_KEY_MODULES):
        yield f"key {type(value).__name__}"
    elif id(value) in seen:
        yield f"seen {seen[id(value)]}"
    else:
        seen[id(value)] = len(seen)
        yield f"begin {type(value).__qualname__}"
        yield from _parts_of_object(value, seen)
        yield "end"


def _parts_of_object(value: Any, seen: dict[int, int]) -> Iterator[str]:
    """Yield texts that describe the content of a file, or the items and the attributes of another object."""
    if isinstance(value, _FILES):
        yield _content_digest(value)
        return
    is_container = isinstance(value, dict | list | tuple | set | frozenset)
    attributes = getattr(value, "__dict__", None)
    if attributes is None and not is_container:
        raise UnknownValue(f"{type(value).__module__}.{type(value).__qualname__}")
    if isinstance(value, dict):
        yield from _parts_of_entries(value, seen)
    elif isinstance(value, set | frozenset):
        yield from map(repr, sorted(value, key=repr))
    elif is_container:
        for item in value:
            yield from _parts(item, seen)
    if type(value).__name__ == _TAGGER:
        # moto keeps an empty entry for each object that it has deleted.
        attributes = {arn: tags for arn, tags in value.tags.items() if tags}
    for name, attribute in sorted((attributes or {}).items()):
        if name not in _NOT_COMPARED:
            yield name
            yield from _parts(attribute, seen)


def _parts_of_entries(entries: dict[Any, Any], seen: dict[int, int]) -> Iterator[str]:
    """Yield texts that describe the entries of a dictionary, sorted by their keys."""
    # moto has dictionaries whose own items() returns something else than what they hold.
    items = [(repr(key), value) for key, value in dict.items(entries)]
    for key_text, value in sorted(items, key=itemgetter(0)):
        yield key_text
        yield from _parts(value, seen)


def _content_digest(file: Any) -> str:
    """Return a digest of the content of a file. Afterwards the position in the file is at its end."""
    if file.closed:
        return "closed"
    file.seek(0)
    content = hashlib.sha256()
    while piece := file.read(_READ_BYTES):
        content.update(piece)
    return content.hexdigest()
