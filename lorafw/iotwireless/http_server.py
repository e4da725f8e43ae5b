"""The AWS API on a port: moto's application behind a check of who calls, on werkzeug's threaded server.

The API asks nobody for credentials, as moto does not. So requests that a web page causes are refused, and moto's own
control paths (reset, configuration, recorder, proxy, dashboard) are not served.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from moto.moto_server import werkzeug_app
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from lorafw.iotwireless.connection_limit import ConnectionLimit
from lorafw.server.admission import Denial, HostNames, RequestSource, decide
from lorafw.server.file_budget import PROCESS
from lorafw.server.refusals import RefusalCounter, RefusalReason

READ_TIMEOUT_S: Final = 20
"""A client that sends nothing for this long in the middle of a request is dropped."""
MAX_CONNECTIONS: Final = 512
"""Connections at once; each has a thread."""
_CONTROL_PATH: Final = "moto-api"
_SHOWN_HOST: Final = 60

StartResponse = Callable[..., Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

_MotoRequestHandler: Any = getattr(werkzeug_app, "MotoRequestHandler", WSGIRequestHandler)
"""moto's handler, which keeps underscores in names of headers. The first releases of moto 5.2 have none."""


class AdmissionMiddleware:
    """WSGI middleware that admits only requests which no web page of another server can have caused.

    It also removes the headers from replies with which moto would let every web page read them.

    Args:
        application: The application that answers the admitted requests.
        names: The Host names that are admitted.
        on_denial: Called with the reason and the client's address when a request is refused.
    """

    def __init__(self, application: Application, names: HostNames, on_denial: Callable[[Denial, str], None]) -> None:
        self._application = application
        self._names = names
        self._on_denial = on_denial

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request as WSGI requires: refuse it, or let the application answer it."""
        denial = self._find_denial(environ)
        if denial is not None:
            self._on_denial(denial, environ.get("REMOTE_ADDR", "?"))
            return _answer_denied(denial, environ, start_response)

        def start_without_cors(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            """Start the response without the headers that let web pages read it."""
            return start_response(status, _without_cors(headers), exc_info)

        return self._application(environ, start_without_cors)

    def _find_denial(self, environ: dict[str, Any]) -> Denial | None:
        """Return why the request is refused, or None if it is admitted. moto's own paths are always refused."""
        source = RequestSource(environ.get("HTTP_HOST"), environ.get("HTTP_ORIGIN"), environ.get("HTTP_SEC_FETCH_SITE"))
        denial = decide(source, self._names)
        if denial is not None:
            return denial
        if is_control_path(environ.get("PATH_INFO", "")):
            return Denial.PATH
        return None


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
    """Serves moto's backends to callers that are admitted.

    It holds no more connections than its share of the process's files. If there is one more, the oldest idle connection
    is closed. If there is none, the server accepts no connection until one of them ends.
    """

    def __init__(
        self, host: str, port: int, names: HostNames, wrap: Callable[[Application], Application] | None = None
    ) -> None:
        """Listen for connections.

        Args:
            host: Address to listen at.
            port: Port to listen at. Check first that it is free, because werkzeug prints and exits if it is not.
            names: The Host names that are admitted.
            wrap: Puts middleware around moto's application. It only sees requests that are admitted.

        Raises:
            OSError: Listening is not possible.
        """
        self.tally = RefusalCounter()
        """Counts the requests and connections that were refused."""
        self._tally_lock = threading.Lock()
        self._file_share = PROCESS.join()
        self._connections = ConnectionLimit(self._max_connections, self._count_closed_connection)
        application: Application = DomainDispatcherApplication(create_backend_app)
        try:
            if wrap is not None:
                application = wrap(application)
            application = AdmissionMiddleware(application, names, self._count_denial)
            super().__init__(host, port, application, handler=_ApiHandler)
        except BaseException:
            self._file_share.leave()
            raise

    # --- connections: the methods of socketserver ---

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection. Raises OSError if there is no room for it, after which socketserver tries again."""
        if not self._connections.wait_for_room():
            raise OSError("no room for another connection")
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def request_arrived(self, connection: socket.socket) -> None:
        """Record that a request header was read to its end. Called by the handler of the connection."""
        self._connections.mark_busy(connection)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection. socketserver calls its socket a request."""
        super().shutdown_request(request)
        self._connections.remove(request)

    def server_close(self) -> None:
        """Close the listening socket and return this server's share of the file descriptors."""
        super().server_close()
        self._file_share.leave()

    def _max_connections(self) -> int:
        """Return how many connections the server may hold now. The share of files shrinks when a server is added."""
        return max(min(self._file_share.files, MAX_CONNECTIONS), 1)

    # --- refusals ---

    def _count_denial(self, denial: Denial, client: str) -> None:
        """Count a request that is not admitted."""
        with self._tally_lock:
            self.tally.add(RefusalReason.NOT_ADMITTED, f"{client}: {denial}, at the API")

    def _count_closed_connection(self) -> None:
        """Count a connection that was closed because there were too many."""
        with self._tally_lock:
            self.tally.add(RefusalReason.TOO_MANY_CONNECTIONS, "at the API")


def _is_parsable(url: str) -> bool:
    """Return True if werkzeug can parse the URL of a request. If not, it would end the connection without an answer."""
    try:
        urlsplit(url).port  # noqa: B018 -- the port is parsed when it is asked for
    except ValueError:
        return False
    return True


class _ApiHandler(_MotoRequestHandler):  # type: ignore[misc]  # moto has no types
    timeout = READ_TIMEOUT_S
    server: ApiWsgiServer
    path: str

    def parse_request(self) -> bool:
        """Parse the request line and the header. Answers an error and returns False if that is not possible."""
        is_parsed: bool = super().parse_request()
        if not is_parsed or _is_parsable(self.path):
            return is_parsed
        self.path = "/"  # werkzeug parses it again for its log
        self.send_error(400)
        return False

    def run_wsgi(self) -> None:
        self.server.request_arrived(self.connection)
        super().run_wsgi()

    def connection_dropped(self, error: BaseException, environ: Any = None) -> None:
        """Close the connection. werkzeug would wait for another request of a client that got no reply to this one."""
        super().connection_dropped(error, environ)
        self.close_connection = True
