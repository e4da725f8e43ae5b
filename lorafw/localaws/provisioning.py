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
    create_bucket(client("s3"), example.BUCKET, example.REGION)
    iam = client("iam")
    create_role(iam)
    allow_reading(iam, example.BUCKET, readable_key, example.POLICY_NAME)


def create_bucket(s3: Any, bucket: str, region: str) -> None:
    """Create a bucket that keeps versions, in a Region."""
    parameters: dict[str, Any] = {"Bucket": bucket}
    if region != "us-east-1":  # S3 refuses this one as a LocationConstraint (documented).
        parameters["CreateBucketConfiguration"] = {"LocationConstraint": region}
    s3.create_bucket(**parameters)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def create_role(iam: Any) -> None:
    """Create the update role in the account of ``iam``. It may read nothing yet."""
    iam.create_role(RoleName=example.ROLE_NAME, AssumeRolePolicyDocument=example.TRUST_POLICY)


def allow_reading(iam: Any, bucket: str, readable_key: str, policy_name: str) -> None:
    """Let the update role read objects of a bucket.

    Args:
        iam: Client of the account that has the role.
        bucket: The bucket.
        readable_key: The key that the role may read, or a pattern of keys.
        policy_name: Name of the role's inline policy.
    """
    policy = example.permission_policy(bucket, readable_key)
    iam.put_role_policy(RoleName=example.ROLE_NAME, PolicyName=policy_name, PolicyDocument=policy)


def upload_update(client: Callable[[str], Any], update: bytes, key: str = example.KEY) -> str:
    """Upload an update file to the documented bucket and return its UpdateDataSource, an ``s3://`` URI."""
    return put_update(client("s3"), example.BUCKET, key, update)


def put_update(s3: Any, bucket: str, key: str, update: bytes) -> str:
    """Upload an update file to a bucket and return its UpdateDataSource, an ``s3://`` URI."""
    s3.put_object(Bucket=bucket, Key=key, Body=update)
    return f"s3://{bucket}/{key}"
