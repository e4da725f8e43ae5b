"""The transaction of ``gateway init``: register a gateway, request a certificate, bind it, write the home folder.

The run completes all steps or undoes them. After an error, Ctrl-C or a termination signal, it rolls back at once. If it
cannot, because the network is down or the process was killed, the journal stays in the folder and the next run rolls
back. Writing ``station.conf`` commits the run; after that, nothing is undone.

The private key is created on this machine and stays in the home folder. AWS receives a certificate signing request.

Two runs for the same gateway do not disturb each other. During a run, the Description of the gateway that it registers
names the run, and other runs refuse to use that gateway. A run replaces the certificate of a gateway only with
``replace_certificate``.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lorafw.errors import HomeError
from lorafw.eui import GatewayEui
from lorafw.gateway.enrolment_checks import check_new_home, find_target
from lorafw.gateway.enrolment_journal import (
    FOLDER_MODE,
    JOURNAL_FILENAME,
    EnrolmentJournal,
    JournalEntry,
    Target,
    check_is_same_run,
    lock_folder,
)
from lorafw.gateway.enrolment_rollback import remove_mark, roll_back_at_aws

ClientFactory = Callable[[str], Any]
"""Makes a boto3 client for the service with this name, of the lab or of AWS."""


class EnrolmentTransaction:
    """One run of ``gateway init``: what it has done so far, and how to complete it or to undo it.

    The steps of a run are the functions of ``enrolment_steps``. Each step records what it is about to do before its
    request to AWS, and what AWS has done after the answer.

    Args:
        folder: The home folder. It must be locked.
        make_client: Makes boto3 clients.
        entry: The journal entry of the run.
    """

    def __init__(self, folder: Path, make_client: ClientFactory, entry: JournalEntry) -> None:
        self.folder = folder
        self.make_client = make_client
        self.entry = entry
        """What the run has done so far. The journal on the disk says the same."""
        self._journal = EnrolmentJournal(folder)

    def begin(self) -> None:
        """Write the first entry of the journal."""
        self._journal.write(self.entry)

    def record(self, **changes: Any) -> None:
        """Change fields of the journal entry, in memory and on the disk.

        Args:
            **changes: The new values, by the names of fields of ``JournalEntry``.
        """
        # In memory first: if the disk is full, this process still knows what to undo.
        self.entry = replace(self.entry, **changes)
        self._journal.write(self.entry)

    def is_committed(self) -> bool:
        """Return True if the run wrote all of its files."""
        return self._journal.is_committed(self.entry)

    def complete(self) -> None:
        """Remove the run's mark from the gateway at AWS, and then the journal. Call this after the commit."""
        remove_mark(self.entry, self.make_client)
        self._journal.remove()

    def roll_back(self) -> None:
        """Undo all steps of the run, in the home folder and at AWS, and remove the journal."""
        self._journal.delete_files(self.entry)
        roll_back_at_aws(self.entry, self.make_client)
        self._journal.remove()
        self._journal.delete_folder(self.entry)


@contextmanager
def enrolment_transaction(folder: Path, make_client: ClientFactory, eui: GatewayEui) -> Iterator[EnrolmentTransaction]:
    """Start a run in a folder, and roll it back if the block raises an error before the run is committed.

    An interrupted run in the same folder is rolled back first. The run is committed when its last file is written.

    Args:
        folder: The new home folder. It is locked until the block ends.
        make_client: Makes boto3 clients.
        eui: The gateway.

    Yields:
        The run, which each step records.

    Raises:
        HomeError: The folder is in use, or an interrupted run in it cannot be undone from here.
    """
    target = find_target(make_client)
    is_new_folder = not folder.exists()
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    with lock_folder(folder):
        did_earlier_run_create_folder = _undo_interrupted_run(folder, make_client, eui, target)
        check_new_home(folder)
        entry = JournalEntry(
            attempt_id=secrets.token_hex(16),
            started=datetime.now(UTC).isoformat(),
            eui=eui.hex,
            folder=str(folder.resolve()),
            target=target,
            created_folder=is_new_folder or did_earlier_run_create_folder,
        )
        transaction = EnrolmentTransaction(folder, make_client, entry)
        try:
            transaction.begin()
            yield transaction
        except BaseException:
            if not transaction.is_committed():
                transaction.roll_back()
            raise
        transaction.complete()


def _undo_interrupted_run(folder: Path, make_client: ClientFactory, eui: GatewayEui, target: Target) -> bool:
    """Roll back an interrupted run in this folder, if there is one.

    Args:
        folder: The home folder. It must be locked.
        make_client: Makes boto3 clients.
        eui: The gateway of the new run.
        target: The account, Region and endpoint of the new run.

    Returns:
        True if the interrupted run created the folder.

    Raises:
        HomeError: The interrupted run was for another gateway or another place, or it was committed.
    """
    journal = EnrolmentJournal(folder)
    entry = journal.read()
    if entry is None:
        return False
    check_is_same_run(entry, eui.hex, folder, target)
    if journal.is_committed(entry):
        remove_mark(entry, make_client)
        journal.remove()
        raise HomeError(
            f"{folder} is the home of gateway {eui.hex} already: the earlier 'gateway init' was interrupted when it "
            f"had written all files. It is complete now"
        )
    journal.delete_files(entry)
    roll_back_at_aws(entry, make_client)
    # The journal goes last: if AWS cannot be reached, the next run tries again.
    (folder / JOURNAL_FILENAME).unlink()
    return entry.created_folder
