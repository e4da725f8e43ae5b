"""A proxy that stands for all other machines: it refuses each request and notes it."""

from __future__ import annotations

import socketserver
import threading


class World(socketserver.ThreadingTCPServer):
    """Give ``address`` to whoever heeds a proxy; ``asked`` then holds the first line of each request. A context."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), Note)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> World:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class Note(socketserver.StreamRequestHandler):
    server: World

    def handle(self) -> None:
        self.server.asked.append(self.rfile.readline().decode(errors="replace").strip())
        self.wfile.write(b"HTTP/1.1 502 nobody leaves\r\nContent-Length: 6\r\nConnection: close\r\n\r\nnobody")
