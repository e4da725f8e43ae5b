"""Make the request of a virtual gateway from its home folder, send it, and handle the response."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lorafw.cups.codec import encode_request
from lorafw.cups.credentials import Credentials
from lorafw.gateway.home import Home
from lorafw.gateway.retry_state import RetryState
from lorafw.gateway.transport import Transport
from lorafw.station.certificate_log import tls_setup_lines
from lorafw.station.exchange import CupsExchange, log_transport_error, take_reply
from lorafw.station.http import TIMED_OUT, TransportError, request_line
from lorafw.station.log import ExchangeLog, Level, LogLine
from lorafw.station.uri import parse_cups_uri


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A request that is ready to be sent."""

    uri: str
    """The address of the CUPS server."""
    body: bytes
    """The body of the request."""
    credentials: Credentials
    """The files for TLS."""
    lines_once_connected: tuple[LogLine, ...]
    """What the station logs as soon as it is connected."""


def prepare_request(
    home: Home, retries: RetryState, station: str, model: str, log: ExchangeLog
) -> PreparedRequest | None:
    """Read the home folder and return the request. Logs what a station logs before it connects.

    Args:
        home: The home folder.
        retries: Says which set of files the station connects with.
        station: The version that the gateway reports as ``station``.
        model: The platform that the gateway reports as ``model``.
        log: The log of the exchange.

    Returns:
        The request, or None if the set of files has no address.

    Raises:
        HomeError: TLS needs a file that exists and cannot be read.
    """
    file_set, label = retries.file_set, retries.file_set_label
    uri = home.read_uri(file_set, log.append)
    if uri is None:
        return None
    log.write(Level.INFO, f"Connecting to {label} ... {uri} (try #{retries.attempt})")
    # The station reads the files of its request only when it is connected, so their lines come later in the log.
    lines_once_connected = [LogLine("CUP", Level.VERBOSE, f"Retrieving update-info from {label} {uri}...")]
    request = home.build_request(station, model, lines_once_connected.append)
    body = encode_request(request)
    lines_once_connected.append(request_line(body))
    credentials = home.read_credentials(file_set)
    if _uses_tls(uri):
        home.check_credentials(file_set)
        for text in tls_setup_lines(credentials, file_set, str(home.path)):
            log.write(Level.INFO, text, "AIO")
    return PreparedRequest(uri, body, credentials, tuple(lines_once_connected))


def _uses_tls(uri: str) -> bool:
    """Return whether a station sets up TLS for an address. A station checks the address first."""
    try:
        return parse_cups_uri(uri).is_tls
    except TransportError:
        return False


def send_request(
    request: PreparedRequest,
    transport: Transport,
    exchange: CupsExchange,
    timeout_s: float,
    on_answer: Callable[[], None] | None,
) -> bool:
    """Send a request and feed the response to the exchange. If the connection fails, log the error.

    Args:
        request: The request.
        transport: Carries the request to the CUPS server.
        exchange: The exchange. It is updated in place.
        timeout_s: The time within which the connection is made, and each full buffer arrives. If it is 0, the time is
            up as soon as the connection is made.
        on_answer: Called when the first buffer of a response with status 200 has arrived.

    Returns:
        True if the server rejected the request.
    """

    def on_connected() -> None:
        exchange.log.extend(request.lines_once_connected)
        if timeout_s <= 0:
            raise TransportError(TIMED_OUT)

    try:
        with transport.post(request.uri, request.body, timeout_s, request.credentials, on_connected) as reply:
            return take_reply(exchange, reply, on_answer)
    except TransportError as error:
        log_transport_error(exchange, error)
        return False
