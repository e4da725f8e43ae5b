"""One reply, from its status line to the decisions of the station, and what becomes of one that breaks. Pure."""

from __future__ import annotations

from collections.abc import Callable

from lorafw.cups.codec import ResponseDecoder
from lorafw.cups.station_http import HttpReply, StationCrash, TransportError
from lorafw.gateway.station import Exchange
from lorafw.station_log import Level


def take_reply(exchange: Exchange, reply: HttpReply, on_answer: Callable[[], None] | None = None) -> bool:
    """Feed a reply to an exchange.

    Args:
        on_answer: Called once, when the first buffer of an answer (a reply with status 200) has come, before the
            station looks at it.

    Returns:
        True if the server rejected the request.

    Raises:
        TransportError: The reply broke off.
    """
    if reply.status != 200:
        exchange.log(Level.VERBOSE, f"Failed to retrieve TCURI from CUPS: ({reply.status}) {reply.reason}")
        return True
    decoder = ResponseDecoder(min(reply.content_length, reply.in_first_buffer))
    was_reset = False
    for index, piece in enumerate(reply.body):
        if index == 0 and on_answer is not None:
            on_answer()
        events = decoder.feed(piece)
        if decoder.has_uris and not was_reset:
            was_reset = True
            exchange.storage.reset_config()
        exchange.feed(events)
        if decoder.ended or exchange.has_crashed:
            break
    if not exchange.has_crashed:
        exchange.feed(decoder.finish())
    return False


def break_off(exchange: Exchange, error: TransportError) -> None:
    """The exchange broke: log what a station logs of it, or end as it ends."""
    if isinstance(error, StationCrash):
        exchange.crash(error.why)
    for line in error.lines:
        exchange.log(line.level, line.text, line.module)
