"""Make moto answer a request twice in the same way: with the same ids, keys and dates.

moto takes ids from one random generator, some secrets from ``os.urandom``, and dates from ``datetime.now``. While
``reproducible_moto`` is in use, a thread can answer a request with a seed and a time of its own. Other threads, and
requests without a seed, get what they got before.
"""

from __future__ import annotations

import datetime
import importlib
import os
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from lorafw.errors import IncompatibleMoto

SEED_BYTES: Final = 16
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_CLOCK_MODULES: Final = ("moto.core.utils", "moto.s3.models")
"""Modules of moto that call ``datetime.datetime.now``. The others call a function of the first one."""
_SECRET_MODULES: Final = ("moto.s3.models", "moto.iam.models", "moto.kms.models", "moto.kms.utils", "moto.sts.utils")
"""Modules of moto that call ``os.urandom``."""


class _Request(threading.local):
    """What the current thread uses for the request that it answers."""

    generator: random.Random | None = None
    time: datetime.datetime | None = None


_request: Final = _Request()


@contextmanager
def fixed_request(seed: bytes, time_us: int) -> Iterator[None]:
    """Let moto use this seed and this time in the current thread, until the end of the block.

    Args:
        seed: Random bytes from which all ids and keys are made.
        time_us: The time in microseconds since 1970 UTC.
    """
    _request.generator = random.Random(seed)
    _request.time = _EPOCH + datetime.timedelta(microseconds=time_us)
    try:
        yield
    finally:
        _request.generator = _request.time = None


@contextmanager
def reproducible_moto() -> Iterator[None]:
    """Let ``fixed_request`` have an effect until the end of the block. Changes modules of moto in this process.

    Raises:
        IncompatibleMoto: The installed moto takes its ids or dates from elsewhere.
    """
    from moto.moto_api._internal import mock_random  # noqa: PLC0415 -- moto takes a while to import

    with ExitStack() as changes:
        for name in ("random", "getrandbits"):
            changes.enter_context(_attribute(mock_random, name, _seeded(mock_random, name)))
        for module_name in _CLOCK_MODULES:
            changes.enter_context(_module_attribute(module_name, "datetime", _Substitute(datetime, datetime=_Datetime)))
        for module_name in _SECRET_MODULES:
            changes.enter_context(_module_attribute(module_name, "os", _Substitute(os, urandom=_urandom)))
        yield


class _Substitute:
    """Stands for a module, with some of its names replaced."""

    def __init__(self, module: Any, **replaced: Any) -> None:
        self._module = module
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class _Datetime(datetime.datetime):
    """``datetime.datetime`` with the time of the current request."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        """Return the time of the request that this thread answers, or else the real time."""
        if _request.time is None:
            return datetime.datetime.now(tz)
        local = _request.time.astimezone(tz)
        if tz is None:
            return local.replace(tzinfo=None)
        return local


def _urandom(size: int) -> bytes:
    """Return bytes from the generator of the current request, or else random bytes of the operating system."""
    if _request.generator is None:
        return os.urandom(size)
    return _request.generator.randbytes(size)


def _seeded(generator: random.Random, name: str) -> Any:
    """Return a method of moto's generator that uses the generator of the current request, if there is one."""
    original = getattr(generator, name)

    def draw(*arguments: Any) -> Any:
        if _request.generator is None:
            return original(*arguments)
        return getattr(_request.generator, name)(*arguments)

    return draw


@contextmanager
def _attribute(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Set an attribute of an instance that hides one of its class, until the end of the block."""
    setattr(owner, name, value)
    try:
        yield
    finally:
        delattr(owner, name)


@contextmanager
def _module_attribute(module_name: str, name: str, value: Any) -> Iterator[None]:
    """Replace a name in a module until the end of the block."""
    module = importlib.import_module(module_name)
    original = getattr(module, name, None)
    if original is None:
        raise IncompatibleMoto(f"{module_name} has no {name}, which --state-dir replaces: pip install 'moto>=5.2,<6'")
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, original)
