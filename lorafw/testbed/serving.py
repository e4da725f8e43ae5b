"""The CUPS server of a testbed, started when it is first needed.

Gateways in process do not need the server. So a testbed also works in a test that forbids sockets (pytest-socket).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import Final

from lorafw.isolation.environment import NOWHERE
from lorafw.server.app import CupsServer
from lorafw.tasks.service import UpdateService
from lorafw.testbed.gateways import TestbedGateway

NOT_SERVED: Final = NOWHERE
"""Content of cups.uri on a gateway in process until the server is started."""


class CupsOnDemand:
    """A CUPS server that starts at the first access to ``server``. Leaving the context stops it."""

    def __init__(self, service: UpdateService, gateways: Sequence[TestbedGateway]) -> None:
        """Prepare a server without starting it.

        Args:
            service: The update service that answers the requests.
            gateways: The gateways of the testbed. The list may grow later.
        """
        self._service = service
        self._gateways = gateways
        self._server: CupsServer | None = None
        self._opening = threading.Lock()
        self._open = contextlib.ExitStack()

    def __enter__(self) -> CupsOnDemand:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def server(self) -> CupsServer:
        """The running server. The first access starts it and writes its address into existing home folders."""
        with self._opening:
            if self._server is None:
                server = CupsServer(self._service)
                self._open.enter_context(server.run_in_thread())
                self._server = server
                self._write_uri_to_homes(server.uri)
            return self._server

    def server_uri(self) -> str:
        """Return the server's address. Starts the server if it is not running."""
        return self.server.uri

    def home_uri(self) -> str:
        """Return the content of cups.uri for a new gateway in process. Does not start the server."""
        if self._server is None:
            return NOT_SERVED
        return self._server.uri

    def _write_uri_to_homes(self, uri: str) -> None:
        """Write the server's address into the home folders that were made before the server."""
        for gateway in self._gateways:
            if gateway.home.uri("cups") == NOT_SERVED:
                gateway.home.write("cups.uri", uri)
