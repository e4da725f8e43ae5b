"""Lists in pages.

A token names its list and the number of the entry before the page, not a place in the list: whoever deletes what is on
one page still gets all of the next.
"""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

from lorafw.errors import InvalidValue

PAGE: Final = 250
"""Entries of a list without MaxResults (assumed), and at most."""


class HasSequence(Protocol):
    """An entry of a list; the numbers of a list grow."""

    @property
    def sequence(self) -> int: ...


N = TypeVar("N", bound=HasSequence)


def paginate(
    items: Sequence[N], place: str, max_results: int | None, token: str | None
) -> tuple[list[N], dict[str, str]]:
    """The entries behind ``token``, and NextToken if there are more. ``place`` is the list's own name.

    Raises Invalid for a token of another list.
    """
    start = bisect_right(items, _read(token, place), key=lambda item: item.sequence) if token is not None else 0
    found = list(items[start : start + (max_results or PAGE)])
    if start + len(found) == len(items):
        return found, {}
    return found, {"NextToken": base64.urlsafe_b64encode(f"{place}{found[-1].sequence}".encode()).decode()}


def _read(token: str, place: str) -> int:
    try:
        text = base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii")
        number = text.removeprefix(place)
        if number == text or not number.isdigit() or len(number) > 18:
            raise ValueError
        return int(number)
    except (ValueError, binascii.Error):
        shown = token if len(token) <= 80 else token[:80] + "..."
        raise InvalidValue("NextToken", token, f"{shown!r} was not given by this list") from None
