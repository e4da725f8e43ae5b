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
from collections.abc import Iterable
from decimal import Decimal
from enum import Enum
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


Backends = dict[str, dict[str, dict[str, Any]]]
"""moto's backends by service, account and Region."""


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
    digest = _Digest()
    for service in KEPT_SERVICES:
        digest.add(_backends(service))
    return digest.result()


def _backends(service: str) -> Any:
    """Return moto's table of the backends of a service."""
    return getattr(importlib.import_module(f"moto.{service}.models"), f"{service}_backends")


class _Digest:
    """Walks through an object and all that it refers to, and hashes what it finds."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._positions: dict[int, int] = {}
        """Number of each container and object that was added, by its ``id``. The object graph has cycles."""

    def result(self) -> bytes:
        """Return the digest of all values that were added."""
        return self._hash.digest()

    def add(self, value: Any) -> None:
        """Add a value and everything that it refers to. Raises UnknownValue if a value cannot be represented."""
        if isinstance(value, Enum):
            self._write("enum", str(value))
        elif isinstance(value, _PLAIN):
            self._write(type(value).__name__, repr(value))
        elif isinstance(value, _CODE + _LOCKS):
            self._write("program", "")
        elif type(value).__module__.startswith(_KEY_MODULES):
            self._write("key", type(value).__name__)
        elif id(value) in self._positions:
            self._write("seen", str(self._positions[id(value)]))
        else:
            self._positions[id(value)] = len(self._positions)
            self._add_parts(value)

    def _add_parts(self, value: Any) -> None:
        """Add the parts of a container, a file or an object."""
        self._write("object", type(value).__qualname__)
        if isinstance(value, _FILES):
            self._add_content(value)
            return
        is_container = isinstance(value, dict | list | tuple | set | frozenset)
        attributes = getattr(value, "__dict__", None)
        if attributes is None and not is_container:
            raise UnknownValue(f"{type(value).__module__}.{type(value).__qualname__}")
        if isinstance(value, dict):
            self._add_entries(value)
        elif isinstance(value, set | frozenset):
            self._add_items(sorted(value, key=repr))
        elif is_container:
            self._add_items(value)
        if type(value).__name__ == _TAGGER:
            # moto keeps an empty entry for each object that it has deleted.
            self._add_entries({arn: tags for arn, tags in value.tags.items() if tags})
        elif attributes:
            self._add_entries({name: part for name, part in attributes.items() if name not in _NOT_COMPARED})

    def _add_items(self, items: Iterable[Any]) -> None:
        """Add the items of a list, and its end."""
        for item in items:
            self.add(item)
        self._write("end", "")

    def _add_entries(self, entries: dict[Any, Any]) -> None:
        """Add the entries of a dictionary, sorted by their keys."""
        # moto has dictionaries whose own items() returns something else than what they hold.
        for key, value in sorted(dict.items(entries), key=_key_text):
            self.add(key)
            self.add(value)
        self._write("end", "")

    def _add_content(self, file: Any) -> None:
        """Add the content of a file. The position in the file is at its end afterwards."""
        if file.closed:
            self._write("file", "closed")
            return
        file.seek(0)
        content = hashlib.sha256()
        while piece := file.read(_READ_BYTES):
            content.update(piece)
        self._write("file", content.hexdigest())

    def _write(self, kind: str, text: str) -> None:
        """Hash one value. Its length goes first, so that two values cannot be taken for one."""
        data = f"{kind}:{text}".encode("utf-8", "surrogatepass")
        self._hash.update(len(data).to_bytes(8, "big") + data)


def _key_text(entry: tuple[Any, Any]) -> str:
    """Return the text by which an entry of a dictionary is sorted."""
    return repr(entry[0])
