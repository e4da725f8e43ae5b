"""The cache of update files reads each version once, and keeps nothing but the files."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lorafw.sources.cache import CachedUpdate, UpdateCache, download_update


class PausingLock:
    """A lock after which the main thread rests, so that others run meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if threading.current_thread() is threading.main_thread():
            time.sleep(0.04)


def test_a_call_at_the_moment_at_which_a_read_ends_does_not_read_again() -> None:
    spool, reads = UpdateCache(), list[int]()
    spool._lock = PausingLock()  # type: ignore[assignment]

    def read() -> CachedUpdate:
        reads.append(1)
        if len(reads) == 1:
            newcomer.start()
        return download_update([b"x"], size=1)

    newcomer = threading.Timer(0.02, spool.get, ("v", read))
    spool.get("v", read)
    newcomer.join()
    assert len(reads) == 1


def test_a_hit_leaves_nothing_behind() -> None:
    spool = UpdateCache()
    for _ in range(3):
        spool.get("v", lambda: download_update([b"x"], size=1))
    assert not spool._running_reads


def test_waiting_calls_read_again_if_the_read_fails() -> None:
    spool = UpdateCache()
    entered, gate = threading.Event(), threading.Event()

    def fail() -> CachedUpdate:
        entered.set()
        gate.wait(10)
        raise OSError("no")

    with ThreadPoolExecutor(2) as pool:
        failing = pool.submit(spool.get, "v", fail)
        assert entered.wait(10)
        waiting = pool.submit(spool.get, "v", lambda: download_update([b"y"], size=1))
        gate.set()
        with pytest.raises(OSError, match="no"):
            failing.result(10)
        assert waiting.result(10).read() == b"y"
    assert not spool._running_reads
