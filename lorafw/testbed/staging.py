"""Buckets and roles for the updates of a testbed.

The testbed's own account and Region have the documented bucket and role. Any other account and Region gets a bucket of
its own, because names of buckets are unique over all accounts and an update is in the Region of its gateways.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from lorafw import example
from lorafw.localaws.provisioning import allow_reading, create_bucket, create_role
from lorafw.tasks.model import AccountRegion

OwnClients = Callable[[str, AccountRegion], Any]
"""Returns a boto3 client for the name of a service, in an account and Region."""


class Staging:
    """Creates a bucket and a role for each account and Region when they are first needed."""

    def __init__(self, home: AccountRegion, clients: OwnClients) -> None:
        """Prepare to create them. Nothing is created yet.

        Args:
            home: The account and Region with the documented bucket.
            clients: Returns the clients that create them.
        """
        self._home = home
        self._clients = clients
        self._prepared: set[AccountRegion] = set()
        self._accounts: set[str] = set()

    def bucket(self, owner: AccountRegion) -> str:
        """Return the name of the bucket of an account and Region. It may not exist yet."""
        if owner == self._home:
            return example.BUCKET
        return f"{example.BUCKET}-{owner.account}-{owner.region}"

    def prepare(self, owner: AccountRegion) -> None:
        """Create the bucket of an account and Region, and let the role of the account read it. Later calls do nothing.

        A bucket or role that exists already is used, for example that of a testbed before in the same ``mock_aws``.

        Raises:
            botocore.exceptions.ClientError: A bucket of this name exists in another account.
        """
        if owner in self._prepared:
            return
        iam = self._clients("iam", owner)
        if owner.account not in self._accounts:
            with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
                create_role(iam)
            self._accounts.add(owner.account)
        bucket = self.bucket(owner)
        s3 = self._clients("s3", owner)
        with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
            create_bucket(s3, bucket, owner.region)
        policy_name = example.POLICY_NAME if owner == self._home else f"{example.POLICY_NAME}-{owner.region}"
        allow_reading(iam, bucket, "*", policy_name)
        self._prepared.add(owner)
