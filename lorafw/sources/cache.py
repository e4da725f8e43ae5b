"""Update files that were read whole, kept once for all who send them.

Each lies in an unnamed temporary file, so nothing is left when the process ends, and is read through one memory map:
however many replies are under way, there is one copy.
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

MAX_UPDATE: Final = (1 << 31) - 1
CHUNK: Final = 64 * 1024


class CachedUpdate:
    """An update file, whole. ``sha256`` is its hex digest, ``etag`` and ``version_id`` what S3 said of it."""

    def __init__(self, pieces: Iterable[bytes], *, size: int, etag: str = "", version_id: str | None = None) -> None:
        """Read all pieces. Raises FirmwareError for an impossible size, Unavailable where size or ETag differ."""
        if not 0 < size <= MAX_UPDATE:
            raise FirmwareError(f"the update has {size} bytes; a station takes 1 to {MAX_UPDATE}")
        md5 = hashlib.md5(usedforsecurity=False)
        sha256 = hashlib.sha256()
        read = 0
        with tempfile.TemporaryFile(prefix="lorafw-") as file:
            for piece in pieces:
                read += len(piece)
                if read > size:
                    break
                file.write(piece)
                md5.update(piece)
                sha256.update(piece)
            if read != size:
                raise SourceUnavailable(f"the object has {size} bytes, but {'more' if read > size else read} came")
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
        return bytes(self._map)

    def chunks(self, size: int = CHUNK) -> Iterator[memoryview]:
        view = memoryview(self._map)
        for start in range(0, self.size, size):
            yield view[start : start + size]


class UpdateCache:
    """An LRU cache of update files. Concurrent requests for one version share a single read."""

    def __init__(self, keep: int = 8) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._objects: OrderedDict[object, CachedUpdate] = OrderedDict()
        self._load_locks: dict[object, threading.Event] = {}
        """One entry for each version that is being read now. Its event is set when the reading has ended."""

    def get(self, version: object, read: Callable[[], CachedUpdate]) -> CachedUpdate:
        """Return the object of this version, read with ``read`` unless the cache has it.

        Waits while another thread reads the same version. If that reading fails, the waiting threads read themselves.
        """
        while True:
            with self._lock:
                if version in self._objects:
                    self._objects.move_to_end(version)
                    return self._objects[version]
                others_reading = self._load_locks.get(version)
                if others_reading is None:
                    ended = self._load_locks[version] = threading.Event()
                    break
            others_reading.wait()
        try:
            found = read()
            self._put(version, found)
            return found
        finally:
            with self._lock:
                del self._load_locks[version]
            ended.set()

    def clear(self) -> None:
        """Let go of everything; a reply under way keeps its own object until it ends."""
        with self._lock:
            self._objects.clear()

    def _put(self, version: object, found: CachedUpdate) -> None:
        with self._lock:
            self._objects[version] = found
            while len(self._objects) > self._keep:
                self._objects.popitem(last=False)


T = TypeVar("T")


class _KeyLock:
    """One answer to a question at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


class SingleFlight(Generic[T]):
    """Answers by question. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[Hashable, Future[T]] = {}
        self._locks: WeakValueDictionary[Hashable, _KeyLock] = WeakValueDictionary()

    def get(self, question: Hashable, find: Callable[[], T]) -> T:
        """What ``find`` returns, or raises; found by one of those who wait for it."""
        with self._lock:
            joined = self._pending.get(question)
            if joined is None:
                answer = self._pending[question] = Future()
                turn = self._locks.setdefault(question, _KeyLock())
        if joined is not None:
            return joined.result()
        with turn.lock:
            with self._lock:
                del self._pending[question]
            try:
                answer.set_result(find())
            except BaseException as error:
                answer.set_exception(error)
        return answer.result()
