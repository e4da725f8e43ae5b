"""How a request that cannot be served is answered: a status, and a body that is tiny.

A station looks at the status only, and a reply other than 200 whose header and body exceed 8 KB crashes it (source:
Basics Station 2.0.6). So the body says in a few words what is wrong, for whoever reads along.
"""

from __future__ import annotations

from typing import Final

from lorafw.errors import LorafwError, MalformedRequest, NotAllowed, NotFound
from lorafw.tasks.policy import Policy

MAX_BODY: Final = 99
"""Bytes of an error body."""


def refusal(error: LorafwError, policy: Policy) -> tuple[int, bytes]:
    """Status and body for an error."""
    if isinstance(error, MalformedRequest):
        return 400, tiny(str(error))
    if isinstance(error, NotAllowed):
        return 403, tiny("not allowed")
    if isinstance(error, NotFound):
        return policy.unknown_gateway_status, tiny("unknown gateway")
    return 500, tiny("server error")


def tiny(text: str) -> bytes:
    """At most MAX_BODY bytes, printable, one line."""
    line = "".join(character if character.isprintable() else "?" for character in text)
    return line.encode("ascii", "replace")[: MAX_BODY - 1] + b"\n"
