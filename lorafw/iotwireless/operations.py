"""What the groups of operations of the API have in common.

Each module with ``Operations`` in a class name has the operations about one subject. A backend has one object of each
class (see ``models``). The operations take and return the members of AWS's structures, and raise the errors of lorafw.
``exceptions.to_aws`` turns these into AWS's errors.
"""

from __future__ import annotations

from typing import Any

from lorafw.iotwireless.arns import ResourceArns
from lorafw.iotwireless.context import current_service
from lorafw.tasks.changes import ApiRecord
from lorafw.tasks.model import AccountRegion
from lorafw.tasks.service import UpdateService

Members = dict[str, Any]
"""The members of one of AWS's structures, by name."""


class AccountOperations:
    """Operations of one account in one Region.

    Args:
        owner: The account and Region.
    """

    def __init__(self, owner: AccountRegion) -> None:
        self.owner = owner
        self.arns = ResourceArns(owner)

    @property
    def service(self) -> UpdateService:
        """The update service behind the API. It has the gateways, task definitions and tasks of all accounts."""
        return current_service()

    def save_value(self, kind: str, key: str, value: Any) -> None:
        """Save a value of this account with the state of the service.

        Args:
            kind: What the value is, such as ``tags``.
            key: What the value belongs to, such as the ARN of a resource.
            value: The value, which JSON can represent.
        """
        self.service.save_api_value(ApiRecord(kind, self.owner, key), value)

    def delete_saved_value(self, kind: str, key: str) -> None:
        """Delete a saved value of this account from the state of the service."""
        self.service.delete_api_value(ApiRecord(kind, self.owner, key))
