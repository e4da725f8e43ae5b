"""Let moto find the account of a caller by the access key.

A caller with an unknown key is in the testbed's own account. Keys that IAM or STS of the testbed has issued lead to
the account that has issued them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from lorafw.isolation.accounts import account_of
from lorafw.isolation.settings import replaced


@contextlib.contextmanager
def moto_accounts(own_account: str) -> Iterator[None]:
    """Let moto find the account of a caller by the access key, until the end of the block.

    Args:
        own_account: The account of callers whose key is unknown.

    Raises:
        LabError: The installed moto has another shape.
    """
    from moto.iam import models  # noqa: PLC0415 -- moto takes half a second

    find = models.get_account_id_from
    with replaced(models, "get_account_id_from", _account_finder(find, models.iam_backends, own_account)):
        yield


def _account_finder(find: Callable[[str], str], iam_backends: Any, own_account: str) -> Callable[[str], str]:
    """Return a ``get_account_id_from`` that knows the access keys of accounts."""
    from moto.core import DEFAULT_ACCOUNT_ID  # noqa: PLC0415

    def find_account(access_key: str) -> str:
        account = account_of(access_key)
        if account is not None:
            return account
        found = find(access_key)
        if found == DEFAULT_ACCOUNT_ID and not _has_key(iam_backends[found], access_key):
            return own_account
        return found

    return find_account


def _has_key(partitions: Any, access_key: str) -> bool:
    """Return whether IAM of an account has issued an access key."""
    return any(access_key in backend.access_keys for backend in list(partitions.values()))
