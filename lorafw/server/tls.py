"""The server's side of TLS, between a TCP transport and an HTTP protocol.

asyncio's own TLS does not fit a public server: it drops the alert that tells a client why its handshake failed, it
keeps a buffer of 256 KB for each connection, and it does not report connections whose handshake never ends. This
transport always sends the records that OpenSSL produces, alerts included, and buffers nothing: data is encrypted and
passed to the TCP transport at once.

To close a connection it sends close_notify and does not wait for the client's (RFC 5246, section 7.2.1).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

READ: Final = 64 * 1024
"""Largest number of decrypted bytes that are read at once."""


class TlsTransport(asyncio.Transport):
    """A transport that encrypts data and writes it to a TCP transport."""

    def __init__(self, context: ssl.SSLContext, transport: asyncio.Transport) -> None:
        """Create a transport that waits for the client's handshake.

        Args:
            context: The server's TLS context.
            transport: The TCP transport.
        """
        super().__init__()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._transport = transport
        self.is_open = False
        """True once the handshake is complete."""

    # --- data from the client ---

    def feed_handshake(self, data: bytes) -> bool:
        """Process data of the handshake and send the response to it.

        Returns:
            True if the handshake is complete, False if it needs more data.

        Raises:
            ssl.SSLError: The handshake failed. The alert for the client has been written to the TCP transport.
        """
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
            self.is_open = True
        except ssl.SSLWantReadError:
            pass  # the handshake needs more data from the client
        finally:
            self._flush()  # sends the alert if the handshake has failed
        return self.is_open

    def decrypt(self, data: bytes, on_data: Callable[[bytes], None]) -> bool:
        """Decrypt data from the client.

        Args:
            data: Encrypted bytes. Empty after the handshake: the client may have sent data right behind it, in the same
                packet.
            on_data: Called with each piece of decrypted data.

        Returns:
            False if the client has sent close_notify, otherwise True.

        Raises:
            ssl.SSLError: The data is not a valid TLS record.
        """
        self._incoming.write(data)
        try:
            return self._read_pieces(on_data)
        finally:
            self._flush()

    def _read_pieces(self, on_data: Callable[[bytes], None]) -> bool:
        """Pass all data that can be decrypted now to ``on_data``. Returns False if the client has closed TLS."""
        while True:
            try:
                piece = self._tls.read(READ)
            except ssl.SSLWantReadError:
                return True  # the next record is not complete yet
            if not piece:
                return False  # OpenSSL has read the client's close_notify
            on_data(piece)

    # --- the interface of asyncio.Transport ---

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt data and write it to the TCP transport. Data is discarded if the transport is closing."""
        if self._transport.is_closing() or not data:
            return
        remaining = memoryview(data)
        while remaining:
            encrypted_bytes = self._tls.write(remaining)
            remaining = remaining[encrypted_bytes:]
        self._flush()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """Encrypt and write several pieces of data as one."""
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """Send close_notify and close the TCP transport once its buffer is sent."""
        if self.is_open and not self._transport.is_closing():
            # unwrap() raises SSLWantReadError after it has made close_notify, because the client's is missing.
            with suppress(ssl.SSLError):
                self._tls.unwrap()
            self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Close the TCP transport at once and discard unsent data."""
        self._transport.abort()

    def is_closing(self) -> bool:
        """Return True if the TCP transport is closing or closed."""
        return self._transport.is_closing()

    def can_write_eof(self) -> bool:
        """Return False: TLS cannot close one direction only."""
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the TLS object for ``ssl_object``, otherwise the information of the TCP transport."""
        if name == "ssl_object":
            return self._tls
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Stop reading from the client."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Resume reading from the client."""
        self._transport.resume_reading()

    def is_reading(self) -> bool:
        """Return True unless reading is paused."""
        return self._transport.is_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the buffer sizes in bytes at which the TCP transport pauses and resumes the writer."""
        self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Return the number of encrypted bytes in the buffer of the TCP transport."""
        return self._transport.get_write_buffer_size()

    def _flush(self) -> None:
        """Write the records that OpenSSL has produced to the TCP transport."""
        if self._outgoing.pending:
            self._transport.write(self._outgoing.read())


def describe_tls_error(error: ssl.SSLError) -> str:
    """Return why a handshake failed: what is wrong with the client's certificate, or OpenSSL's name of the error."""
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_message:
        return error.verify_message
    return error.reason or "no TLS"
