"""One reply, from its status line to the decisions of the station, and what becomes of one that breaks. Pure."""

from __future__ import annotations

from collections.abc import Callable

from lorafw.cups.codec import ResponseDecoder
from lorafw.cups.station_http import HttpReply, StationCrash, TransportError
from lorafw.gateway.station import Exchange
from lorafw.station_log import Level


def take_reply(exchange: Exchange, reply: HttpReply, on_answer: Callable[[], None] = lambda: None) -> bool:
    """Feed a reply to an exchange; True where the server rejected the request.

    ``on_answer`` is called before the body of an answer, a status of 200, is looked at. Raises TransportError.
    """
    if reply.status != 200:
        exchange.log(Level.VERBOSE, f"Failed to retrieve TCURI from CUPS: ({reply.status}) {reply.reason}")
        return True
    on_answer()
    decoder = ResponseDecoder(min(reply.content_length, reply.in_first_buffer))
    for piece in reply.body:
        exchange.feed(decoder.feed(piece))
        if decoder.ended:
            break
    exchange.feed(decoder.finish())
    return False


def break_off(exchange: Exchange, error: TransportError) -> None:
    """The exchange broke: log what a station logs of it, or end as it ends."""
    if isinstance(error, StationCrash):
        exchange.crash(error.why)
    for line in error.lines:
        exchange.log(line.level, line.text, line.module)
