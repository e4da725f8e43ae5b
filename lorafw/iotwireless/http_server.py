"""The AWS API on a port: moto's application behind a check of who calls, on werkzeug's threaded server.

The API asks nobody for credentials, as moto does not. So requests that a web page causes are refused, and moto's own
control paths (reset, configuration, recorder, proxy, dashboard) are not served.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import ThreadedWSGIServer

from lorafw.server.admission import Denial, HostNames, RequestSource, decide
from lorafw.server.file_budget import PROCESS
from lorafw.server.refusals import RefusalCounter, RefusalReason

READ_TIMEOUT_S: Final = 20
"""A client that sends nothing for this long in the middle of a request is dropped."""
MAX_CONNECTIONS: Final = 512
"""Connections at once; each has a thread."""
_WAIT_FOR_ROOM_S: Final = 0.5
_CONTROL_PATH: Final = "moto-api"
_SHOWN_HOST: Final = 60

StartResponse = Callable[..., Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class AdmissionMiddleware:
    """WSGI middleware that admits only requests which no web page of another server can have caused.

    It also takes the headers out of replies with which moto would let every page read them.
    """

    def __init__(self, application: Application, names: HostNames, refuse: Callable[[Denial, str], None]) -> None:
        """Wrap ``application``. ``refuse`` is called with the reason and the client's address, to count it."""
        self._application = application
        self._names = names
        self._refuse = refuse

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request as WSGI requires: let the application answer it, or refuse it."""
        denial = self._decide(environ)
        if denial is not None:
            self._refuse(denial, environ.get("REMOTE_ADDR", "?"))
            return _answer_denied(denial, environ, start_response)

        def start_without_cors(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            return start_response(status, _without_cors(headers), exc_info)

        return self._application(environ, start_without_cors)

    def _decide(self, environ: dict[str, Any]) -> Denial | None:
        """Return why the request is refused, or None if it is admitted. moto's own paths are always refused."""
        source = RequestSource(environ.get("HTTP_HOST"), environ.get("HTTP_ORIGIN"), environ.get("HTTP_SEC_FETCH_SITE"))
        denial = decide(source, self._names)
        if denial is None and is_control_path(environ.get("PATH_INFO", "")):
            return Denial.PATH
        return denial


def is_control_path(path: str) -> bool:
    """Return True if moto would take a path as one of its own: any that begins with /moto-api, also after //."""
    return path.lstrip("/").lower().startswith(_CONTROL_PATH)


def _without_cors(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers without those that let web pages of other origins read the response."""
    return [(name, value) for name, value in headers if not name.lower().startswith("access-control-")]


def _answer_denied(denial: Denial, environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
    """Answer a request that is refused, with an error that boto3 can parse. Returns the body for WSGI."""
    body = json.dumps({"message": _explain(denial, environ)}).encode()
    status = "404 Not Found" if denial is Denial.PATH else "403 Forbidden"
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("X-Content-Type-Options", "nosniff"),
        # botocore reads the name of a JSON error from this header.
        ("x-amzn-ErrorType", "AccessDeniedException"),
    ]
    start_response(status, headers)
    return [body]


def _explain(denial: Denial, environ: dict[str, Any]) -> str:
    """Return the error message for a request that is refused."""
    if denial is not Denial.HOST:
        return f"lorafw refused this request: {denial}"
    host = environ.get("HTTP_HOST", "")[:_SHOWN_HOST]
    return f"lorafw does not know the host {host!r}; call it localhost, or start `lorafw serve` with --public-name"


class ApiWsgiServer(ThreadedWSGIServer):
    """Serves moto's backends with admission. ``tally`` counts refusals.

    It holds no more connections than its share of the process's files. If there is one more, the oldest whose request
    has not arrived yet is closed. If there is none, the server stops accepting until one of them ends.
    """

    def __init__(
        self, host: str, port: int, names: HostNames, wrap: Callable[[Application], Application] | None = None
    ) -> None:
        """Listen.

        Args:
            host: Address to listen at.
            port: Port to listen at. Check first that it is free, because werkzeug prints and exits if it is not.
            names: The Host names that are admitted.
            wrap: Puts middleware around moto's application. It only sees requests that are admitted.

        Raises:
            OSError: Listening is not possible.
        """
        self.tally = RefusalCounter()
        self._counting = threading.Lock()
        self._room = threading.Condition()
        self._arriving: dict[socket.socket, None] = {}
        self._count = 0
        self._files = PROCESS.join()
        application: Application = DomainDispatcherApplication(create_backend_app)
        try:
            if wrap is not None:
                application = wrap(application)
            application = AdmissionMiddleware(application, names, self._refuse)
            super().__init__(host, port, application, handler=_ApiHandler)
        except BaseException:
            self._files.leave()
            raise

    def _refuse(self, denial: Denial, client: str) -> None:
        with self._counting:
            self.tally.add(RefusalReason.NOT_ADMITTED, f"{client}: {denial}, at the API")

    # --- connections ---

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection if there is room. Raises OSError if not, which socketserver takes as "try again"."""
        if not self._evict_idle():
            raise OSError("no room for another connection")
        connection, address = super().get_request()
        with self._room:
            self._arriving[connection] = None
            self._count += 1
        return connection, address

    def _evict_idle(self) -> bool:
        """Wait until another connection may be accepted. Returns False if there is still no room in time."""
        max_connections = max(min(self._files.files, MAX_CONNECTIONS), 1)

        def has_room() -> bool:
            return self._count < max_connections

        with self._room:
            if not has_room():
                self._close_oldest_idle()
            return self._room.wait_for(has_room, _WAIT_FOR_ROOM_S)

    def _close_oldest_idle(self) -> None:
        """Close the oldest connection that has not sent a whole request header. Does nothing if there is none."""
        oldest = next(iter(self._arriving), None)
        if oldest is None:
            return
        del self._arriving[oldest]
        with suppress(OSError):
            oldest.shutdown(socket.SHUT_RDWR)
        with self._counting:
            self.tally.add(RefusalReason.TOO_MANY_CONNECTIONS, "at the API")

    def has_arrived(self, connection: socket.socket) -> None:
        """Record that a request header was read to its end. Its connection is not evicted any more."""
        with self._room:
            self._arriving.pop(connection, None)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, and let the next one be accepted if the server was full."""
        super().shutdown_request(request)
        with self._room:
            self._arriving.pop(request, None)
            self._count -= 1
            self._room.notify()

    def server_close(self) -> None:
        """Close the listening socket and return this server's share of the file descriptors."""
        super().server_close()
        self._files.leave()


class _ApiHandler(MotoRequestHandler):  # type: ignore[misc]  # moto has no types
    timeout = READ_TIMEOUT_S
    server: ApiWsgiServer

    def run_wsgi(self) -> None:
        self.server.has_arrived(self.connection)
        super().run_wsgi()

    def connection_dropped(self, error: BaseException, environ: Any = None) -> None:
        """Close the connection. werkzeug would wait for another request of a client that got no reply to this one."""
        super().connection_dropped(error, environ)
        self.close_connection = True
