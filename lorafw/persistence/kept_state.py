"""The state of `lorafw serve --state-dir`: saved before each answer, and loaded at the next start."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

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
    """The state of a cloud in a folder. It is a context manager; the folder is locked while it is open.

    moto is the library that emulates AWS. Before anything is answered, two steps restore the state: wrap moto's server
    with ``keep_requests``, then pass the update service and ``store`` to ``restore_service``.
    """

    database: StateDatabase
    """The database in the folder. It exists while this object is open."""
    store: DatabaseStore
    """Saves the update service in the database. It exists while this object is open."""

    def __init__(self, folder: Path) -> None:
        """Prepare to use a folder. Nothing is opened or created yet."""
        self.folder = folder
        self.replay = Replay()
        """What was found when moto answered the kept requests again."""
        self._exit_stack = ExitStack()
        self._request_lock: AbstractContextManager[object] = nullcontext()
        """Held while a request to moto is answered. Nothing to hold before ``keep_requests`` was called."""

    def __enter__(self) -> KeptState:
        """Lock the folder and open the database. Nothing is overwritten.

        Returns:
            This object.

        Raises:
            StateError: The folder or the database cannot be used.
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

    def keep_requests(self, dispatcher: Any) -> RequestRecorder:
        """Restore the state of moto, which must be empty, and keep further requests from now on.

        Args:
            dispatcher: moto's server, a DomainDispatcherApplication.

        Returns:
            The server that answers requests in the place of moto's.

        Raises:
            StateError: The journal cannot be read, or this release of moto answers in another way than the one before.
        """
        journal = RequestJournal(self.database)
        # First moto answers the kept requests again. Only then are requests recorded: these are in the journal already.
        self.replay = replay_and_compact(journal, dispatcher)
        recorder = RequestRecorder(journal, dispatcher)
        self._request_lock = recorder.lock
        return recorder

    def clear(self, service: UpdateService, reset_moto: Callable[[], None]) -> None:
        """Delete everything, in memory and in the folder. Requests wait meanwhile.

        Args:
            service: The update service, which is empty afterwards.
            reset_moto: Deletes the state of moto in memory.

        Raises:
            StateError: The deletion cannot be saved.
        """
        with self._request_lock, service.transaction():
            reset_moto()
            service.clear()
            delete_content(self.database)
            self.store.forget()


def restore_service(service: UpdateService, store: DatabaseStore) -> dict[ApiRecord, Any]:
    """Give a service its saved state, and save its changes from now on.

    Args:
        service: The service. It must be empty.
        store: Has the saved state, and saves the changes.

    Returns:
        What the API had kept beside the service, such as tags.

    Raises:
        StateError: The state cannot be read.
    """
    saved = store.load()
    # Restoring applies the deadlines that have passed since then. These changes are saved too.
    service.save_to(store)
    if saved is None:
        return {}
    service.restore(saved)
    return store.api_records()
