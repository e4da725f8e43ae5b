"""Pagination of lists.

A token contains the id of its list and the sequence number of the last item that was returned, and not an index. So no
item is skipped if items are deleted between two requests.
"""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import Final, Protocol, TypeVar

from lorafw.errors import InvalidValue

MAX_PAGE_SIZE: Final = 250
"""Number of items in a page if MaxResults is not given (assumed). It is also the maximum of MaxResults."""


class HasSequence(Protocol):
    """An item of a list that is sorted by sequence number."""

    @property
    def sequence(self) -> int:
        """The sequence number of the item."""
        ...


Item = TypeVar("Item", bound=HasSequence)


def paginate(
    items: Sequence[Item], list_id: str, max_results: int | None, token: str | None
) -> tuple[list[Item], dict[str, str]]:
    """Return a page of a list.

    Args:
        items: All items, sorted by sequence number.
        list_id: Identifies the list. A token is valid only for the list that it comes from.
        max_results: Maximum number of items. None for MAX_PAGE_SIZE.
        token: NextToken of the previous page. None for the first page.

    Returns:
        The items of the page, and the member NextToken if there are more items.

    Raises:
        InvalidValue: The token was not returned for this list.
    """
    start = 0
    if token is not None:
        start = bisect_right(items, _decode_token(token, list_id), key=attrgetter("sequence"))
    page = list(items[start : start + (max_results or MAX_PAGE_SIZE)])
    is_last = start + len(page) == len(items)
    if is_last:
        return page, {}
    return page, {"NextToken": _encode_token(list_id, page[-1].sequence)}


def _encode_token(list_id: str, sequence: int) -> str:
    return base64.urlsafe_b64encode(f"{list_id}{sequence}".encode()).decode()


def _decode_token(token: str, list_id: str) -> int:
    """Return the sequence number in a token. Raises InvalidValue if it was not made for this list."""
    try:
        text = base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii")
        number = text.removeprefix(list_id)
        if number == text or not number.isdigit() or len(number) > 18:
            raise ValueError
        return int(number)
    except (ValueError, binascii.Error):
        shown = token if len(token) <= 80 else token[:80] + "..."
        raise InvalidValue("NextToken", token, f"{shown!r} was not given by this list") from None
