"""Many who ask the same at once are answered once.

Whoever asks gets an answer that was begun after they asked: what was changed before the question counts. So who comes
while an answer is being found waits for the next one, together with all others that come meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")


class _Turn:
    """One answer to a question at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


class Flights(Generic[T]):
    """Answers by question. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, Future[T]] = {}
        self._turns: WeakValueDictionary[Hashable, _Turn] = WeakValueDictionary()

    def get(self, question: Hashable, find: Callable[[], T]) -> T:
        """What ``find`` returns, or raises; found by one of those who wait for it."""
        with self._lock:
            joined = self._waiting.get(question)
            if joined is None:
                answer = self._waiting[question] = Future()
                turn = self._turns.setdefault(question, _Turn())
        if joined is not None:
            return joined.result()
        with turn.lock:
            with self._lock:
                del self._waiting[question]
            try:
                answer.set_result(find())
            except BaseException as error:
                answer.set_exception(error)
        return answer.result()
