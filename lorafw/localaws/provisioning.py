"""Create the bucket for update files and the role that may read it, as AWS documents them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lorafw import example


def create_bucket_and_role(client: Callable[[str], Any], *, readable_key: str = example.KEY) -> None:
    """Create the bucket and the role of the documented example.

    Args:
        client: Returns a boto3 client for the name of a service, such as "s3".
        readable_key: The key that the role may read, or a pattern of keys.
    """
    s3 = client("s3")
    iam = client("iam")
    s3.create_bucket(Bucket=example.BUCKET)
    s3.put_bucket_versioning(Bucket=example.BUCKET, VersioningConfiguration={"Status": "Enabled"})
    iam.create_role(RoleName=example.ROLE_NAME, AssumeRolePolicyDocument=example.TRUST_POLICY)
    policy = example.permission_policy(key=readable_key)
    iam.put_role_policy(RoleName=example.ROLE_NAME, PolicyName="ReadFwUpdate", PolicyDocument=policy)


def upload_update(client: Callable[[str], Any], update: bytes, key: str = example.KEY) -> str:
    """Upload an update file to the bucket and return its UpdateDataSource, an ``s3://`` URI."""
    client("s3").put_object(Bucket=example.BUCKET, Key=key, Body=update)
    return f"s3://{example.BUCKET}/{key}"
