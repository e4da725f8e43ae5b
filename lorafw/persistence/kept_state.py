"""The state of `lorafw serve --state-dir`: saved before each answer, and loaded at the next start."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lorafw.clock import Clock, Moment
from lorafw.errors import StateError
from lorafw.persistence.database import StateDatabase, delete_content
from lorafw.persistence.folder import locked_folder
from lorafw.persistence.recorder import RequestRecorder
from lorafw.persistence.replay import Replay, replay_and_compact
from lorafw.persistence.reproducible import reproducible_moto
from lorafw.persistence.request_journal import RequestJournal
from lorafw.persistence.service_store import DatabaseStore
from lorafw.tasks.changes import ApiRecord
from lorafw.tasks.service import UpdateService


class KeptState:
    """The state in a folder. It is a context manager; the folder is locked while it is open.

    After it was opened, wrap moto's server with ``keep_requests`` and pass the service to ``restore``, in this order,
    before anything is answered.
    """

    database: StateDatabase
    """The database in the folder. It exists while this object is open."""
    store: DatabaseStore
    """Saves the update service in the database. It exists while this object is open."""

    def __init__(self, folder: Path) -> None:
        """Prepare to use a folder. Nothing is opened or created yet.

        Args:
            folder: The folder.
        """
        self.folder = folder
        self.replay = Replay()
        """What was found when moto answered the kept requests again."""
        self._exit_stack = ExitStack()
        self._recorder: RequestRecorder | None = None
        """Answers requests to moto. None before ``keep_requests`` was called."""

    def __enter__(self) -> KeptState:
        """Lock the folder and open the database.

        Returns:
            This object.

        Raises:
            StateError: The folder or the database cannot be used. Nothing is overwritten.
        """
        with ExitStack() as stack:
            stack.enter_context(locked_folder(self.folder))
            self.database = stack.enter_context(StateDatabase(self.folder))
            self.store = DatabaseStore(self.database)
            stack.enter_context(reproducible_moto())
            self._exit_stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit_stack.close()

    def on_failure(self, listener: Callable[[StateError], None]) -> None:
        """Register a function that is called once if a change cannot be saved.

        From then on, every call to the API is answered with an error, because its effect would be lost.

        Args:
            listener: Called with the error.
        """
        self.database.on_failure = listener

    def keep_requests(self, dispatcher: Any) -> RequestRecorder:
        """Let moto, which must be empty, answer the kept requests again, and keep further requests from now on.

        Args:
            dispatcher: moto's server, a DomainDispatcherApplication.

        Returns:
            The server that answers requests in the place of moto's.

        Raises:
            StateError: The journal cannot be read, or this release of moto answers in another way than the one before.
        """
        journal = RequestJournal(self.database)
        self.replay = replay_and_compact(journal, dispatcher)
        self._recorder = RequestRecorder(journal, dispatcher)
        return self._recorder

    def restore(self, service: UpdateService) -> dict[ApiRecord, Any]:
        """Give a new service its saved state, and save its changes from now on.

        Args:
            service: The service. It must be empty.

        Returns:
            What the API had kept beside the service, such as tags.

        Raises:
            StateError: The state cannot be read.
        """
        saved = self.store.load()
        service.save_to(self.store)
        if saved is None:
            return {}
        service.restore(saved)
        return self.store.api_records()

    def save_time(self, clock: Clock) -> None:
        """Save the present time of a manual clock, to which it is set at the next start.

        Raises:
            StateError: The time cannot be saved.
        """
        self.store.save_moment(Moment.of(clock))

    def saved_time_ms(self) -> int | None:
        """Return the time of the last saved change in milliseconds since 1970 UTC. None if nothing was saved yet."""
        moment = self.store.saved_at()
        return None if moment is None else moment.utc_ms

    def clear(self, service: UpdateService, reset_moto: Callable[[], None]) -> None:
        """Delete everything, in memory and in the folder. Requests wait meanwhile.

        Args:
            service: The update service, which is empty afterwards.
            reset_moto: Deletes the state of moto in memory.

        Raises:
            StateError: The deletion cannot be saved.
        """
        assert self._recorder is not None
        with self._recorder.lock, service.transaction():
            reset_moto()
            service.clear()
            delete_content(self.database)
            self.store.forget()
