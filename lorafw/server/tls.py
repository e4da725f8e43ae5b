"""TLS on the server's side, between a TCP transport and a protocol that speaks HTTP.

asyncio has this too, but drops the alert that tells a client why its handshake failed, keeps 256 KB of buffer for each
connection, and tells nobody of connections that never get through the handshake. Here the ciphertext that OpenSSL has
made is always sent, alerts included, and nothing is kept: what is written is encrypted at once and handed down.

A closed connection is announced (close_notify) and then closed; the answer to it is not waited for.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

READ: Final = 64 * 1024


class TlsTransport(asyncio.Transport):
    """A transport whose bytes are encrypted on their way to another."""

    def __init__(self, context: ssl.SSLContext, below: asyncio.Transport) -> None:
        super().__init__()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._transport = below
        self.is_open = False
        """Is the handshake over?"""

    # --- what comes from below ---

    def feed_handshake(self, data: bytes) -> bool:
        """Take a piece of the handshake; True when it is over. Raises ssl.SSLError, the alert being on its way."""
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
            self.is_open = True
        except ssl.SSLWantReadError:
            pass
        finally:
            self._flush()
        return self.is_open

    def decrypt(self, data: bytes, take: Callable[[bytes], None]) -> bool:
        """Hand what ``data`` says to ``take``; False when the client has closed. Raises ssl.SSLError."""
        self._incoming.write(data)
        try:
            while piece := self._tls.read(READ):
                take(piece)
        except ssl.SSLWantReadError:
            return True
        finally:
            self._flush()
        return False

    # --- what comes from above ---

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._transport.is_closing() or not data:
            return
        view = memoryview(data)
        while view:
            view = view[self._tls.write(view) :]
        self._flush()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        if self.is_open and not self._transport.is_closing():
            # Asks for the client's own close_notify as well, and says that it is not there yet.
            with suppress(ssl.SSLError):
                self._tls.unwrap()
            self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def can_write_eof(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self._tls
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._transport.write(self._outgoing.read())
