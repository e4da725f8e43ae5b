"""What the update service tells about the CUPS requests that it answers.

The task log tells only what happens to tasks. Somebody who keeps a log of all requests, as AWS does in CloudWatch Logs,
listens here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lorafw.cups.codec import encode_response_header
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.tasks.model import Gateway, Reply

_LOGGER: Final = logging.getLogger("lorafw.tasks")


@dataclass(frozen=True, slots=True)
class AnsweredRequest:
    """A CUPS request of a registered gateway, and the reply that is about to be sent."""

    gateway: Gateway
    """The gateway that sent the request."""
    request: UpdateInfoRequest
    """The request."""
    reply: Reply
    """The reply. It is empty if no update is sent."""
    time_ms: int
    """When the request was answered, in milliseconds since 1970 UTC."""

    @property
    def response_bytes(self) -> int:
        """Size of the whole response in bytes."""
        image_bytes = 0
        if self.reply.image is not None:
            image_bytes = self.reply.image.size
        return len(encode_response_header(self.reply.response, image_bytes)) + image_bytes


AnswerListener = Callable[[AnsweredRequest], None]


class AnswerListeners:
    """Functions that are called with each answered request.

    A listener must be quick and must not call the service, because the service may hold its lock during the call. An
    exception of a listener is logged under ``lorafw.tasks`` and does not affect the request.
    """

    def __init__(self) -> None:
        self._listeners: tuple[AnswerListener, ...] = ()

    def add(self, listener: AnswerListener) -> None:
        """Call a function with each answered request from now on. Adding it again changes nothing."""
        if listener not in self._listeners:
            self._listeners = (*self._listeners, listener)

    def notify(self, answered: AnsweredRequest) -> None:
        """Call all listeners."""
        for listener in self._listeners:
            try:
                listener(answered)
            except Exception:
                _LOGGER.exception("a listener failed at a request of gateway %s", answered.gateway.eui.hex)
