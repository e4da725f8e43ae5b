"""A journal of the requests that changed moto's state. moto answers them again after a restart.

The journal keeps public AWS requests and not moto's objects, whose pickles a later release of moto could not read. A
request is kept with the seed and the time with which it was answered, so moto makes the same ids and dates again. The
hash of each answer is kept too, and compared after a restart.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from lorafw.errors import StateError
from lorafw.persistence import service_store
from lorafw.persistence.database import StateDatabase
from lorafw.persistence.requests import Environ

logger: Final = logging.getLogger("lorafw.persistence")


@dataclass(frozen=True, slots=True)
class KeptRequest:
    """A request that changed something, with all that moto needs to answer it again in the same way."""

    time_us: int
    """The time at which moto answered it first, in microseconds since 1970 UTC."""
    seed: bytes
    """The seed of the random numbers in the first answer."""
    environ: Environ
    """The WSGI environment of the request, as far as JSON can represent it."""
    body: bytes
    """The body of the request."""
    answer_hash: bytes
    """The hash of the first answer, or NOT_COMPARED."""


class RequestJournal:
    """The kept requests in the database, each with a number that grows."""

    def __init__(self, database: StateDatabase) -> None:
        """Use the table of a database."""
        self.database = database

    def append(self, request: KeptRequest) -> None:
        """Add a request. It is on the disk when this returns. Raises StateError if it cannot be saved."""
        values = (request.time_us, request.seed, json.dumps(request.environ), request.body, request.answer_hash)
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT INTO request (time_us, seed, environ, body, answer) VALUES (?, ?, ?, ?, ?)", values
            )

    def read(self) -> Iterator[tuple[int, KeptRequest]]:
        """Yield the number of each request and the request, oldest first. Raises StateError if one cannot be read."""
        with self.database.reading() as connection:
            rows = connection.execute(
                "SELECT number, time_us, seed, environ, body, answer FROM request ORDER BY number"
            )
            for number, time_us, seed, environ, body, answer_hash in rows:
                yield number, KeptRequest(time_us, seed, json.loads(environ), body, answer_hash)

    def remove(self, numbers: Collection[int]) -> None:
        """Remove requests: all of them or none, also if the process is killed meanwhile.

        The room is given back to the disk, if there is enough to copy the database. Otherwise SQLite uses it for the
        next requests.

        Args:
            numbers: The numbers of the requests.

        Raises:
            StateError: The requests cannot be removed.
        """
        with self.database.transaction() as connection:
            connection.executemany("DELETE FROM request WHERE number = ?", [(number,) for number in numbers])
        try:
            with self.database.reading() as connection:
                connection.execute("VACUUM")
        except StateError as error:
            logger.warning("the database was not made smaller: %s", error)

    def read_property(self, name: str) -> str | None:
        """Return a property that was saved beside the requests. None if it was not saved yet."""
        with self.database.reading() as connection:
            return service_store.read_property(connection, name)

    def write_property(self, name: str, value: str) -> None:
        """Save a property beside the requests. Raises StateError if that is not possible."""
        with self.database.transaction() as connection:
            service_store.write_property(connection, name, value)
