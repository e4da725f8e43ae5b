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
from typing import Final, Generic, TypeVar
from weakref import WeakValueDictionary

from lorafw.errors import FirmwareError, SourceUnavailable

MAX_UPDATE_BYTES: Final = (1 << 31) - 1
"""The largest update, in bytes, that a station accepts."""
CHUNK_BYTES: Final = 64 * 1024
"""Number of bytes that are read or sent at once."""


class CachedUpdate:
    """A complete update file.

    Attributes:
        size: Number of bytes.
        etag: ETag of the object in S3, or "".
        version_id: Version of the object in S3, or None.
        sha256: Hex digest of the content.
    """

    def __init__(self, chunks: Iterable[bytes], *, size: int, etag: str = "", version_id: str | None = None) -> None:
        """Copy the content into a temporary file and check it.

        Args:
            chunks: The content, in order.
            size: Expected number of bytes.
            etag: Expected ETag, or "" to skip that check.
            version_id: Version of the object in S3, or None.

        Raises:
            FirmwareError: No station accepts an update of this size.
            SourceUnavailable: The content has another size, or its MD5 is not the ETag.
        """
        if not 0 < size <= MAX_UPDATE_BYTES:
            raise FirmwareError(f"the update has {size} bytes; a station takes 1 to {MAX_UPDATE_BYTES}")
        md5 = hashlib.md5(usedforsecurity=False)
        sha256 = hashlib.sha256()
        received_bytes = 0
        with tempfile.TemporaryFile(prefix="lorafw-") as file:
            for chunk in chunks:
                received_bytes += len(chunk)
                if received_bytes > size:
                    break
                file.write(chunk)
                md5.update(chunk)
                sha256.update(chunk)
            if received_bytes != size:
                received = "more" if received_bytes > size else received_bytes
                raise SourceUnavailable(f"the object has {size} bytes, but {received} came")
            # An ETag with a dash is not the MD5 of the content but of its parts.
            if etag and "-" not in etag and etag != md5.hexdigest():
                raise SourceUnavailable(f"the object's ETag is {etag}, but its content has the MD5 {md5.hexdigest()}")
            file.flush()
            self._map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        self.size = size
        self.etag = etag
        self.version_id = version_id
        self.sha256 = sha256.hexdigest()

    def read(self) -> bytes:
        """Return the whole content."""
        return bytes(self._map)

    def chunks(self, size: int = CHUNK_BYTES) -> Iterator[memoryview]:
        """Yield the content in parts of ``size`` bytes, without copying it. The last part may be shorter."""
        view = memoryview(self._map)
        for start in range(0, self.size, size):
            yield view[start : start + size]


class UpdateCache:
    """An LRU cache of update files. Concurrent requests for one version share a single read."""

    def __init__(self, max_entries: int = 8) -> None:
        """Create an empty cache that holds at most ``max_entries`` updates."""
        self._max_entries = max_entries
        self._lock = threading.Lock()
        self._objects: OrderedDict[object, CachedUpdate] = OrderedDict()
        self._load_locks: dict[object, threading.Event] = {}
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
                if version in self._objects:
                    self._objects.move_to_end(version)
                    return self._objects[version]
                other_read = self._load_locks.get(version)
                if other_read is None:
                    read_ended = threading.Event()
                    self._load_locks[version] = read_ended
                    break
            other_read.wait()
        try:
            update = read()
            self._put(version, update)
            return update
        finally:
            with self._lock:
                del self._load_locks[version]
            read_ended.set()

    def clear(self) -> None:
        """Remove all entries. Replies that are being sent keep their update until they end."""
        with self._lock:
            self._objects.clear()

    def _put(self, version: object, update: CachedUpdate) -> None:
        """Store an update, and remove those that were not used for the longest time if there are too many."""
        with self._lock:
            self._objects[version] = update
            while len(self._objects) > self._max_entries:
                self._objects.popitem(last=False)


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

    def do(self, key: Hashable, load: Callable[[], T]) -> T:
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
