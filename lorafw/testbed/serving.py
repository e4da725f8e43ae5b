"""The CUPS server of a testbed, opened when it is first needed.

Gateways in process need none, and a test that forbids sockets (pytest-socket) can have a testbed all the same.
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
"""What the cups.uri of a gateway in process says until there is a server."""


class CupsOnDemand:
    """A context manager. ``server`` opens the CUPS server at its first use; the end closes it if it was opened."""

    def __init__(self, service: UpdateService, gateways: Sequence[TestbedGateway]) -> None:
        """Prepare a server.

        Args:
            service: What it serves.
            gateways: The gateways of the testbed. The list may grow.
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
        """The server, which listens. Homes that were written before get its address."""
        with self._opening:
            if self._server is None:
                server = CupsServer(self._service)
                self._open.enter_context(server.run_in_thread())
                self._server = server
                self._tell_homes(server.uri)
            return self._server

    def server_uri(self) -> str:
        """Return the server's address. Opens the server if it is not open."""
        return self.server.uri

    def home_uri(self) -> str:
        """Return what a new gateway in process has in its cups.uri. Opens nothing."""
        return NOT_SERVED if self._server is None else self._server.uri

    def _tell_homes(self, uri: str) -> None:
        for gateway in self._gateways:
            if gateway.home.uri("cups") == NOT_SERVED:
                gateway.home.write("cups.uri", uri)
