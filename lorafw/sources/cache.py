"""A cache of complete update files that all replies share.

Each update is stored in an unnamed temporary file, which disappears when the process ends. All replies read it through
one memory map, so there is one copy of it in memory.
"""

from __future__ import annotations

import hashlib
import mmap
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from weakref import WeakValueDictionary

from lorafw.errors import FirmwareError, SourceUnavailable

MAX_UPDATE_BYTES: Final = (1 << 31) - 1
"""The largest update, in bytes, that a station accepts."""
CHUNK_BYTES: Final = 64 * 1024
"""Number of bytes that are read or sent at once."""


@dataclass(frozen=True, slots=True, eq=False)
class CachedUpdate:
    """A complete update file. ``download_update`` makes one."""

    content: mmap.mmap
    """The content, in a memory map of a temporary file."""
    size: int
    """Number of bytes."""
    etag: str
    """ETag of the object in S3, or ""."""
    version_id: str | None
    """Version of the object in S3, or None."""
    sha256: str
    """Hex digest of the content."""

    def read(self) -> bytes:
        """Return the whole content."""
        return bytes(self.content)

    def chunks(self, size: int = CHUNK_BYTES) -> Iterator[memoryview]:
        """Yield the content in parts of ``size`` bytes, without copying it. The last part may be shorter."""
        view = memoryview(self.content)
        for start in range(0, self.size, size):
            yield view[start : start + size]


def download_update(
    chunks: Iterable[bytes], *, size: int, etag: str = "", version_id: str | None = None
) -> CachedUpdate:
    """Copy an update into a temporary file and check it.

    Args:
        chunks: The content, in order.
        size: Expected number of bytes.
        etag: Expected ETag, or "" to skip that check.
        version_id: Version of the object in S3, or None.

    Returns:
        The update. It does not use ``chunks`` any more.

    Raises:
        FirmwareError: No station accepts an update of this size.
        SourceUnavailable: The content has another size, or its MD5 is not the ETag.
    """
    if not 0 < size <= MAX_UPDATE_BYTES:
        raise FirmwareError(f"the update has {size} bytes; a station takes 1 to {MAX_UPDATE_BYTES}")
    md5 = hashlib.md5(usedforsecurity=False)
    sha256 = hashlib.sha256()
    with tempfile.TemporaryFile(prefix="lorafw-") as file:
        for chunk in _check_size(chunks, size):
            file.write(chunk)
            md5.update(chunk)
            sha256.update(chunk)
        _check_etag(etag, md5.hexdigest())
        file.flush()
        # The map keeps the file's content after the file is closed.
        content = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    return CachedUpdate(content, size, etag, version_id, sha256.hexdigest())


def _check_size(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the chunks. Raise SourceUnavailable if they have more or less than ``size`` bytes in total."""
    received_bytes = 0
    for chunk in chunks:
        received_bytes += len(chunk)
        if received_bytes > size:
            raise SourceUnavailable(f"the object has {size} bytes, but more were received")
        yield chunk
    if received_bytes < size:
        raise SourceUnavailable(f"the object has {size} bytes, but only {received_bytes} were received")


def _check_etag(etag: str, md5: str) -> None:
    """Raise SourceUnavailable if an ETag is the MD5 of another content.

    An ETag with a dash is not the MD5 of the content but of its parts, so it cannot be compared.
    """
    if etag and "-" not in etag and etag != md5:
        raise SourceUnavailable(f"the object's ETag is {etag}, but its content has the MD5 {md5}")


class UpdateCache:
    """An LRU cache of update files. Concurrent requests for one version share a single read."""

    def __init__(self, max_entries: int = 8) -> None:
        """Create an empty cache that holds at most ``max_entries`` updates."""
        self._max_entries = max_entries
        self._lock = threading.Lock()
        self._updates: OrderedDict[object, CachedUpdate] = OrderedDict()
        """The updates by version. The one that was used last is at the end."""
        self._running_reads: dict[object, threading.Event] = {}
        """One entry for each version that is being read now. Its event is set when the reading has ended."""

    def get(self, version: object, read: Callable[[], CachedUpdate]) -> CachedUpdate:
        """Return the update of a version. It is read and stored if the cache does not have it.

        If another thread is reading the same version, wait for it. If that thread fails, one of the waiting threads
        reads instead.

        Args:
            version: The key of the update in the cache.
            read: Reads the update. An exception that it raises is passed on.
        """
        while True:
            with self._lock:
                if version in self._updates:
                    self._updates.move_to_end(version)
                    return self._updates[version]
                other_read = self._running_reads.get(version)
                if other_read is None:
                    read_ended = threading.Event()
                    self._running_reads[version] = read_ended
                    break
            other_read.wait()
        try:
            update = read()
            self._put(version, update)
            return update
        finally:
            with self._lock:
                del self._running_reads[version]
            read_ended.set()

    def clear(self) -> None:
        """Remove all entries. Replies that are being sent keep their update until they end."""
        with self._lock:
            self._updates.clear()

    def _put(self, version: object, update: CachedUpdate) -> None:
        """Store an update, and remove those that were not used for the longest time if there are too many."""
        with self._lock:
            self._updates[version] = update
            while len(self._updates) > self._max_entries:
                self._updates.popitem(last=False)


T = TypeVar("T")


class _KeyLock:
    """A lock that a WeakValueDictionary can hold, which cannot hold a plain lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


class SingleFlight(Generic[T]):
    """Combines concurrent calls with the same key, so that they share one result. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[Hashable, Future[T]] = {}
        self._locks: WeakValueDictionary[Hashable, _KeyLock] = WeakValueDictionary()

    def get_result(self, key: Hashable, load: Callable[[], T]) -> T:
        """Return the result of ``load``, which one thread calls for all threads that wait with the same key.

        Args:
            key: The key. Calls with equal keys can share a result.
            load: Computes the result. An exception that it raises reaches all threads that wait.
        """
        with self._lock:
            pending_call = self._pending.get(key)
            if pending_call is None:
                own_call: Future[T] = Future()
                self._pending[key] = own_call
                key_lock = self._locks.setdefault(key, _KeyLock())
        if pending_call is not None:
            return pending_call.result()
        # Calls with one key run one after the other. Until this call starts, further threads can join it.
        with key_lock.lock:
            with self._lock:
                del self._pending[key]
            try:
                own_call.set_result(load())
            except BaseException as error:
                own_call.set_exception(error)
        return own_call.result()
