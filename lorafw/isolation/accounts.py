"""The accounts of a testbed. Each account has an access key, by which moto finds it."""

from __future__ import annotations

import re
from typing import Final

from lorafw.errors import LabError

_PREFIX: Final = "LORAFW00"
"""The start of an account's access key. moto only reads keys of 20 characters, and an account id has 12."""
_ACCOUNT: Final = re.compile(r"[0-9]{12}")


def check_account(account: object) -> None:
    """Raise LabError unless ``account`` is the id of an AWS account."""
    if not isinstance(account, str) or _ACCOUNT.fullmatch(account) is None:
        raise LabError(f"account: {account!r} is not an account id; give twelve digits as text, like '123456789012'")


def access_key_of(account: str) -> str:
    """Return the access key with which a client is in an account of the testbed."""
    return f"{_PREFIX}{account}"


def account_of(access_key: str) -> str | None:
    """Return the account that an access key of ``access_key_of`` belongs to. None for any other key."""
    account = access_key.removeprefix(_PREFIX)
    if access_key.startswith(_PREFIX) and _ACCOUNT.fullmatch(account):
        return account
    return None
