"""Pagination of lists.

A token contains the id of its list and the sequence number of the last item that was returned, and not an index. So no
item is skipped if items are deleted between two requests.
"""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, Generic, Protocol, TypeVar

from lorafw.errors import InvalidValue

MAX_PAGE_SIZE: Final = 250
"""Number of items in a page if MaxResults is not given (assumed). It is also the maximum of MaxResults."""

_MAX_SEQUENCE_DIGITS: Final = 18
"""A token with a longer number was not made here. The limit keeps the conversion to an integer fast."""

_MAX_SHOWN_CHARS: Final = 80
"""Longer tokens are truncated in messages."""


class HasSequence(Protocol):
    """An item of a list that is sorted by sequence number."""

    @property
    def sequence(self) -> int:
        """The sequence number of the item."""
        ...


Item = TypeVar("Item", bound=HasSequence)


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a list."""

    items: Sequence[Item]
    """The items of the page."""
    next_token: str | None
    """NextToken, with which the caller asks for the next page. None if this is the last page."""


def paginate(items: Sequence[Item], list_id: str, max_results: int | None, token: str | None) -> Page[Item]:
    """Return a page of a list.

    Args:
        items: All items, sorted by sequence number.
        list_id: Identifies the list. A token is valid only for the list that it comes from.
        max_results: Maximum number of items. None for MAX_PAGE_SIZE.
        token: NextToken of the previous page. None for the first page.

    Returns:
        The page.

    Raises:
        InvalidValue: The token was not returned for this list.
    """
    start = 0
    if token is not None:
        last_sequence = _decode_token(token, list_id)
        start = bisect_right(items, last_sequence, key=attrgetter("sequence"))
    end = start + (max_results or MAX_PAGE_SIZE)
    page_items = items[start:end]
    if end >= len(items):
        return Page(page_items, next_token=None)
    return Page(page_items, _encode_token(list_id, page_items[-1].sequence))


def list_members(name: str, items: list[dict[str, Any]], next_token: str | None) -> dict[str, Any]:
    """Return the answer of an operation that lists resources.

    Args:
        name: The name of the member with the resources, such as ``WirelessGatewayList``.
        items: The resources of the page.
        next_token: NextToken. The answer has no such member if it is None.
    """
    members: dict[str, Any] = {name: items}
    if next_token is not None:
        members["NextToken"] = next_token
    return members


def _encode_token(list_id: str, sequence: int) -> str:
    """Return the token for the page after the item with this sequence number."""
    return base64.urlsafe_b64encode(f"{list_id}{sequence}".encode()).decode()


def _decode_token(token: str, list_id: str) -> int:
    """Return the sequence number in a token. Raises InvalidValue if the token was not made for this list."""
    try:
        text = base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii")
    except (ValueError, binascii.Error):
        raise _unknown_token(token) from None
    number = text.removeprefix(list_id)
    is_of_this_list = number != text
    if not is_of_this_list or not number.isdigit() or len(number) > _MAX_SEQUENCE_DIGITS:
        raise _unknown_token(token)
    return int(number)


def _unknown_token(token: str) -> InvalidValue:
    """Return the error about a token that was not made for this list."""
    shown = token if len(token) <= _MAX_SHOWN_CHARS else token[:_MAX_SHOWN_CHARS] + "..."
    return InvalidValue("NextToken", token, f"{shown!r} was not given by this list")
