"""Lines about the CUPS requests of gateways in CloudWatch Logs, as AWS documents them.

AWS documents the members of a line, a message about a response, and one about a request without the CRC of the CUPS
credentials. It documents no line about firmware tasks, so lorafw writes none.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from typing import Any, Final

from lorafw.clock import format_iso
from lorafw.iotwireless.monitoring.log_levels import GatewayEvent, LogLevel
from lorafw.tasks.answers import AnsweredRequest
from lorafw.tasks.model import AccountRegion, Gateway

LOG_GROUP: Final = "/aws/iotwireless"
MAX_LINES: Final = 100_000
"""Maximum number of lines that lorafw keeps of an account in a Region. The oldest ones are dropped."""

LOGGED_EVENT: Final = GatewayEvent.CUPS_REQUEST
"""What all lines are about. The log level of this event decides whether a line is written."""

_CRC_MISSING: Final = "The CUPS CRC is missing from the request. Check your gateway setup and enter the CUPS CRC,"


def level_of_request(answered: AnsweredRequest) -> LogLevel:
    """Return the level of the line about a request. A request without the CRC of the CUPS credentials is an error."""
    if answered.request.cups_cred_crc is None:
        return LogLevel.ERROR
    return LogLevel.INFO


def is_written(level_of_line: LogLevel, level: LogLevel) -> bool:
    """Return True if a line is written at this log level. Level INFO has the lines about errors too."""
    return level is LogLevel.INFO or level is level_of_line


def message_of(answered: AnsweredRequest) -> str:
    """Return the message of the line about a request.

    AWS's message about a response also names the credentials in it. lorafw's responses have none.
    """
    if answered.request.cups_cred_crc is None:
        return _CRC_MISSING
    eui = answered.gateway.eui.hex
    return f"Sending CUPS response of total length {answered.response_bytes} to GatewayEui: {eui}"


def stream_name(gateway: Gateway) -> str:
    """Return the name of the log stream with the CUPS requests of a gateway (``log_stream`` in the policy)."""
    digest = hashlib.sha256(gateway.id.encode()).hexdigest()
    return f"WirelessGateway-{LOGGED_EVENT}-{digest}"


class GatewayLog:
    """Writes lines to the CloudWatch Logs of moto, for one account in one Region. Thread-safe."""

    def __init__(self, owner: AccountRegion) -> None:
        """Prepare to write. The log group is created with its first line. ``owner`` is the account and Region."""
        self._owner = owner
        self._written: deque[Any] = deque()
        """The log stream of each line that is kept, oldest first."""
        self._lock = threading.Lock()

    def log_answer(self, answered: AnsweredRequest, level: LogLevel) -> None:
        """Write a line about a CUPS request, if the log level of its gateway says so."""
        level_of_line = level_of_request(answered)
        if is_written(level_of_line, level):
            self.write(answered.gateway, level_of_line, message_of(answered), answered.time_ms)

    def write(self, gateway: Gateway, level: LogLevel, message: str, time_ms: int) -> None:
        """Write a line about a gateway. Drops the oldest line if there are too many.

        Args:
            gateway: The gateway.
            level: The level of the line: INFO or ERROR.
            message: What has happened.
            time_ms: When it happened, in milliseconds since 1970 UTC.
        """
        line = {
            "timestamp": format_iso(time_ms),
            "resource": "WirelessGateway",
            "wirelessGatewayId": gateway.id,
            "wirelessGatewayType": "LoRaWAN",
            "gatewayEui": gateway.eui.hex,
            "event": str(LOGGED_EVENT),
            "logLevel": str(level),
            "message": message,
        }
        with self._lock:
            stream = self._stream(stream_name(gateway))
            # The backend's own method would refuse times that are far from the time of this machine.
            stream.put_log_events([{"timestamp": time_ms, "message": json.dumps(line)}])
            self._written.append(stream)
            if len(self._written) > MAX_LINES:
                _drop_oldest_line(self._written.popleft())

    def _stream(self, name: str) -> Any:
        """Return a log stream of moto. It is created if necessary, and so is the log group."""
        from moto.backends import get_backend  # noqa: PLC0415 -- takes a while, and only level INFO needs it

        logs = get_backend("logs")[self._owner.account][self._owner.region]
        logs.ensure_log_group(LOG_GROUP)
        logs.ensure_log_stream(LOG_GROUP, name)
        return logs.groups[LOG_GROUP].streams[name]


def _drop_oldest_line(stream: Any) -> None:
    """Delete the first line of a log stream of moto. It may have been deleted before."""
    if stream.events:
        dropped = stream.events.pop(0)
        stream.stored_bytes -= len(dropped.message)
