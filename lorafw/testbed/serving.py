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

PLACEHOLDER_URI: Final = NOWHERE
"""Content of cups.uri on a gateway in process until the server is started."""


class CupsOnDemand:
    """A CUPS server that ``start`` starts at its first call. Leaving the context stops it."""

    def __init__(self, service: UpdateService, gateways: Sequence[TestbedGateway]) -> None:
        """Prepare a server without starting it.

        Args:
            service: The update service that answers the requests.
            gateways: The gateways of the testbed. The list may grow later.
        """
        self._service = service
        self._gateways = gateways
        self._server: CupsServer | None = None
        self._start_lock = threading.Lock()
        self._exit_stack = contextlib.ExitStack()

    def __enter__(self) -> CupsOnDemand:
        return self

    def __exit__(self, *_: object) -> None:
        self._exit_stack.close()

    def start(self) -> CupsServer:
        """Start the server if it is not running, and return it.

        The first call writes the server's address into the home folders that have the placeholder. Thread-safe.
        """
        with self._start_lock:
            if self._server is None:
                server = CupsServer(self._service)
                self._exit_stack.enter_context(server.run_in_thread())
                self._server = server
                self._replace_placeholders(server.uri)
            return self._server

    def start_and_return_uri(self) -> str:
        """Start the server if it is not running, and return its address."""
        return self.start().uri

    def uri_or_placeholder(self) -> str:
        """Return the server's address if it is running, and ``PLACEHOLDER_URI`` otherwise. Does not start it."""
        if self._server is None:
            return PLACEHOLDER_URI
        return self._server.uri

    def _replace_placeholders(self, uri: str) -> None:
        """Write the server's address into the home folders that were made before the server."""
        for gateway in self._gateways:
            if gateway.home.read_uri("cups") == PLACEHOLDER_URI:
                gateway.home.write("cups.uri", uri)
