"""The API of the lab's AWS: moto's own server with ``iotwireless`` added, in a thread.

Functions import moto themselves: importing it takes about a second, and many importers of this module never open a
server.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from lorafw.failures.over_http import Application
from lorafw.server.admission import HostNames
from lorafw.server.loopback import as_url_host, ensure_port_free, reachable


class ApiServer:
    """moto's server with the API of iotwireless, in a thread. It admits no request that a web page caused.

    Args:
        host: Address to listen at.
        port: Port to listen at. 0 means a free port.
        public_names: Host names that are admitted besides those that mean loopback.
        wrap: Puts middleware around moto's application. None if there is none.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        public_names: Sequence[str] = (),
        wrap: Callable[[Application], Application] | None = None,
    ) -> None:
        self.host = host
        """The address to listen at."""
        self.port = port
        """The port to listen at. Once the server listens, it is the real port instead of 0."""
        self._names = HostNames([host, *public_names])
        self._wrap = wrap
        self._server: Any = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """A URL that works on this machine, even if the server listens on all interfaces."""
        return f"http://{as_url_host(reachable(self.host))}:{self.port}"

    @property
    def refused(self) -> str:
        """A summary of the requests refused so far, with counts. It is empty if none was refused."""
        if self._server is None:
            return ""
        return str(self._server.tally)

    def __enter__(self) -> ApiServer:
        """Listen, and answer requests."""
        self.listen()
        self.serve()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def listen(self) -> None:
        """Listen. Requests wait until ``serve`` is called. Raises OSError if the port is taken."""
        self._server = _create_server(self.host, self.port, self._names, self._wrap)
        self.port = self._server.port

    def serve(self) -> None:
        """Answer requests in a thread, until ``stop`` is called."""
        self._thread = threading.Thread(target=self._server.serve_forever, name="lorafw-api", daemon=True)
        self._thread.start()
        # Python stops daemon threads before it deletes the last objects. A server that is stopped by such a deletion
        # would wait for its thread forever. So it is stopped before that.
        atexit.register(self.stop)

    def stop(self) -> None:
        """Stop listening. Calling this twice is harmless."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            atexit.unregister(self.stop)
        elif self._server is not None:
            self._server.server_close()
        self._server = self._thread = None


def _create_server(host: str, port: int, names: HostNames, wrap: Callable[[Application], Application] | None) -> Any:
    """Return a new server of moto, which listens from now on. Raises OSError if the port is taken."""
    from lorafw.iotwireless import register  # noqa: PLC0415
    from lorafw.iotwireless.http_server import ApiWsgiServer  # noqa: PLC0415

    register()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # werkzeug prints and exits if a port is taken.
    ensure_port_free(host, port)
    return ApiWsgiServer(host, port, names, wrap)


def reset_moto() -> None:
    """Delete all state of moto, which otherwise stays until the process ends."""
    from moto.moto_api._internal import moto_api_backend  # noqa: PLC0415

    moto_api_backend.reset()
