"""The service reads the object at UpdateDataSource through UpdateDataRole, or says why it cannot."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from lorafw import example
from lorafw.clock import ManualClock
from lorafw.errors import (
    AccessDenied,
    FirmwareError,
    InvalidSource,
    NoSuchObject,
    RoleNotTrusted,
    SourceUnavailable,
)
from lorafw.sources.access import BucketFacts, RoleFacts
from lorafw.sources.cache import CachedUpdate, UpdateCache, download_update
from lorafw.sources.object_store import MotoStore, StoredObject
from lorafw.sources.role_store import MotoRoles
from lorafw.sources.s3 import RoleSource

UPDATE = bytes(range(256)) * 300


class CountingStore(MotoStore):
    """moto's buckets; counts how often objects are looked up and read, and can change what is found."""

    def __init__(self, calls: Counter[str], **changes: Any) -> None:
        self.calls = calls
        self.changes = changes

    def find_object(self, bucket: BucketFacts, key: str) -> StoredObject | None:
        self.calls["find"] += 1
        found = super().find_object(bucket, key)
        if found is None:
            return None

        def read() -> bytes:
            self.calls["read"] += 1
            return found.read()

        return replace(found, **{"read": read, **self.changes})


class CountingRoles(MotoRoles):
    """moto's roles; counts how often one is looked up."""

    def __init__(self, calls: Counter[str]) -> None:
        self.calls = calls

    def find_role(self, name: str, *, account: str, partition: str) -> RoleFacts | None:
        self.calls["role"] += 1
        return super().find_role(name, account=account, partition=partition)


@dataclass
class Aws:
    source: RoleSource
    calls: Counter[str]
    clock: ManualClock

    def client(self, name: str) -> Any:
        return boto3.client(name, region_name=example.REGION)

    def open(self, data_source: str = example.DATA_SOURCE, role: str | None = example.ROLE_ARN) -> CachedUpdate:
        return self.source.open(data_source, role, account=example.ACCOUNT, region=example.REGION)

    def put(self, content: bytes = UPDATE, key: str = example.KEY) -> None:
        self.client("s3").put_object(Bucket=example.BUCKET, Key=key, Body=content)

    def trust(self, document: str) -> None:
        self.client("iam").update_assume_role_policy(RoleName=example.ROLE_NAME, PolicyDocument=document)

    def allow(self, *statements: dict[str, Any]) -> None:
        """Replace what the role may do."""
        self.client("iam").put_role_policy(
            RoleName=example.ROLE_NAME, PolicyName="Read", PolicyDocument=policy(*statements)
        )


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


ALLOW = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{example.BUCKET}/{example.KEY}"}


@pytest.fixture
def aws() -> Iterator[Aws]:
    with mock_aws():
        calls: Counter[str] = Counter()
        clock = ManualClock()
        with RoleSource(roles=CountingRoles(calls), store=CountingStore(calls), clock=clock) as source:
            lab = Aws(source, calls, clock)
            lab.client("s3").create_bucket(Bucket=example.BUCKET)
            lab.client("iam").create_role(RoleName=example.ROLE_NAME, AssumeRolePolicyDocument=example.TRUST_POLICY)
            lab.client("iam").put_role_policy(
                RoleName=example.ROLE_NAME, PolicyName="Read", PolicyDocument=example.permission_policy()
            )
            lab.put()
            calls.clear()
            yield lab


def test_the_object_is_read_whole_through_the_documented_role(aws: Aws) -> None:
    image = aws.open()
    assert image.read() == UPDATE
    assert b"".join(image.chunks(1000)) == UPDATE
    assert image.size == len(UPDATE)
    assert aws.calls["role"] == 1


def test_it_is_read_once_per_version_and_asked_for_each_time(aws: Aws) -> None:
    first, second = aws.open(), aws.open()
    assert first is second
    assert (aws.calls["read"], aws.calls["find"], aws.calls["role"]) == (1, 2, 2)
    aws.put(b"another")
    assert aws.open().read() == b"another"
    assert aws.calls["read"] == 2


def test_two_concurrent_requests_cause_one_read(aws: Aws) -> None:
    found: list[CachedUpdate] = []
    threads = [threading.Thread(target=lambda: found.append(aws.open())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert aws.calls["read"] == 1


def test_what_was_read_is_not_handed_out_after_the_object_or_the_permission_has_gone(aws: Aws) -> None:
    aws.open()
    aws.allow({**ALLOW, "Effect": "Deny", "Sid": "Revoked"}, ALLOW)
    with pytest.raises(AccessDenied, match="Revoked"):
        aws.open()
    aws.allow(ALLOW)
    aws.client("s3").delete_object(Bucket=example.BUCKET, Key=example.KEY)
    with pytest.raises(NoSuchObject, match=r"s3://iotwirelessfwupdate/fwstation does not exist"):
        aws.open()


def test_a_new_version_in_a_bucket_with_versions_is_read_anew(aws: Aws) -> None:
    aws.client("s3").put_bucket_versioning(Bucket=example.BUCKET, VersioningConfiguration={"Status": "Enabled"})
    aws.put(b"one")
    one = aws.open()
    aws.put(b"one")
    again = aws.open()
    assert one.read() == again.read()
    assert one.version_id != again.version_id


@pytest.mark.parametrize("key", ["with blank", "plus+and/slash", "ümläut", "a" * 500])
def test_any_key_of_s3_can_be_named(aws: Aws, key: str) -> None:
    aws.put(b"content", key)
    aws.allow({**ALLOW, "Resource": f"arn:aws:s3:::{example.BUCKET}/*"})
    assert aws.open(f"s3://{example.BUCKET}/{key}").read() == b"content"


@pytest.mark.parametrize(
    "data_source", ["http://b/k", "s3://bucket", "s3://bucket/", "s3:///key", "s3://UPPER/key", "", "s3://b/k"]
)
def test_a_data_source_that_is_none_is_named_with_the_right_form(aws: Aws, data_source: str) -> None:
    with pytest.raises(InvalidSource, match="s3://bucket/key"):
        aws.open(data_source)


@pytest.mark.parametrize("role", [None, "", "IoTWirelessFwUpdateRole", "arn:aws:iam::1:role/x", "arn:aws:s3:::b"])
def test_a_role_that_is_none_is_named_with_the_right_form(aws: Aws, role: str | None) -> None:
    with pytest.raises(InvalidSource, match="arn:aws:iam::123456789012:role/Name"):
        aws.open(role=role)


def test_a_missing_bucket_and_a_missing_object_differ_from_a_missing_permission(aws: Aws) -> None:
    aws.allow({**ALLOW, "Resource": "*"})
    with pytest.raises(NoSuchObject, match="no-such-bucket"):
        aws.open("s3://no-such-bucket/fwstation")
    with pytest.raises(NoSuchObject, match="not-there"):
        aws.open(f"s3://{example.BUCKET}/not-there")


def test_a_role_of_another_account_is_refused(aws: Aws) -> None:
    with pytest.raises(AccessDenied, match="another account"):
        aws.open(role=example.ROLE_ARN.replace(example.ACCOUNT, "210987654321"))


def test_a_role_that_does_not_exist_is_named(aws: Aws) -> None:
    with pytest.raises(RoleNotTrusted, match=r"role/Nobody does not exist"):
        aws.open(role=example.ROLE_ARN.replace("IoTWirelessFwUpdateRole", "Nobody"))


def test_a_role_with_another_path_is_another_role(aws: Aws) -> None:
    with pytest.raises(RoleNotTrusted, match="does not exist; there is"):
        aws.open(role=example.ROLE_ARN.replace(":role/", ":role/service/"))


@pytest.mark.parametrize(
    "document",
    [
        example.TRUST_POLICY.replace("iotwireless", "ec2"),
        example.TRUST_POLICY.replace("sts:AssumeRole", "sts:TagSession"),
        example.TRUST_POLICY.replace('"Allow"', '"Deny"'),
    ],
    ids=["another service", "another action", "deny"],
)
def test_a_trust_policy_that_does_not_let_the_service_in_is_named(aws: Aws, document: str) -> None:
    aws.trust(document)
    with pytest.raises(RoleNotTrusted, match=r"iotwireless.amazonaws.com may not assume .*trust policy of IoTWireless"):
        aws.open()
    assert aws.calls["find"] == 0, "AWS assumes the role before it asks S3"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ({**ALLOW, "Action": "s3:PutObject"}, "no statement allows it"),
        ({**ALLOW, "Resource": f"arn:aws:s3:::{example.BUCKET}"}, "no statement allows it"),
        ({**ALLOW, "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}, "IpAddress aws:SourceIp"),
        ({**ALLOW, "Condition": {"StringEquals": {"aws:SourceVpce": "vpce-1"}}}, "cannot be judged here"),
    ],
    ids=["another action", "only the bucket", "an address of one's own", "a condition on the unknown"],
)
def test_a_role_that_may_not_read_is_denied_with_the_reason(aws: Aws, statement: dict[str, Any], words: str) -> None:
    aws.allow(statement)
    with pytest.raises(AccessDenied, match=words):
        aws.open()
    assert aws.calls["read"] == 0


def test_a_managed_policy_counts_in_its_default_version(aws: Aws) -> None:
    iam = aws.client("iam")
    iam.delete_role_policy(RoleName=example.ROLE_NAME, PolicyName="Read")
    managed = iam.create_policy(PolicyName="Managed", PolicyDocument=policy(ALLOW))["Policy"]
    iam.attach_role_policy(RoleName=example.ROLE_NAME, PolicyArn=managed["Arn"])
    assert aws.open().read() == UPDATE
    iam.create_policy_version(
        PolicyArn=managed["Arn"],
        PolicyDocument=policy({**ALLOW, "Action": "s3:ListBucket"}),
        SetAsDefault=True,
    )
    with pytest.raises(AccessDenied, match="Managed"):
        aws.open()


def test_a_permissions_boundary_limits_what_the_role_may(aws: Aws) -> None:
    iam = aws.client("iam")
    narrow = iam.create_policy(PolicyName="Boundary", PolicyDocument=policy({**ALLOW, "Action": "ec2:*"}))["Policy"][
        "Arn"
    ]
    iam.put_role_permissions_boundary(RoleName=example.ROLE_NAME, PermissionsBoundary=narrow)
    with pytest.raises(AccessDenied, match="permissions boundary does not allow it"):
        aws.open()


def test_the_policy_of_the_bucket_can_deny_and_can_allow(aws: Aws) -> None:
    s3 = aws.client("s3")
    principal = {"Principal": {"AWS": example.ROLE_ARN}}
    s3.put_bucket_policy(Bucket=example.BUCKET, Policy=policy({**ALLOW, **principal, "Effect": "Deny", "Sid": "No"}))
    with pytest.raises(AccessDenied, match="statement 'No' of policy 'policy of bucket iotwirelessfwupdate'"):
        aws.open()
    aws.client("iam").delete_role_policy(RoleName=example.ROLE_NAME, PolicyName="Read")
    s3.put_bucket_policy(Bucket=example.BUCKET, Policy=policy({**ALLOW, **principal}))
    assert aws.open().read() == UPDATE


@pytest.mark.parametrize("encryption", ["aws:kms", "aws:kms:dsse"])
def test_the_etag_of_an_object_under_a_kms_key_is_no_md5(aws: Aws, encryption: str) -> None:
    store = CountingStore(Counter(), encryption=encryption, etag="0" * 32)
    with RoleSource(store=store) as source:
        image = source.open(example.DATA_SOURCE, example.ROLE_ARN, account=example.ACCOUNT, region=example.REGION)
        assert image.read() == UPDATE


@pytest.mark.parametrize(
    ("odd", "error", "words"),
    [
        (
            {"read": lambda: UPDATE[:-1]},
            SourceUnavailable,
            f"has {len(UPDATE)} bytes, but only {len(UPDATE) - 1} were received",
        ),
        ({"read": lambda: UPDATE + b"x"}, SourceUnavailable, "but more were received"),
        ({"read": lambda: UPDATE[::-1]}, SourceUnavailable, "ETag"),
        ({"read": lambda: b"", "size": 0}, FirmwareError, "has 0 bytes"),
        ({"read": lambda: b"", "size": 1 << 31}, FirmwareError, "a station takes 1 to 2147483647"),
    ],
    ids=["cut", "too much", "other content", "empty", "2 GB"],
)
def test_what_is_not_as_promised_is_never_handed_out(
    aws: Aws, odd: dict[str, Any], error: type[Exception], words: str
) -> None:
    store = CountingStore(Counter(), **odd)
    with RoleSource(store=store) as source, pytest.raises(error, match=words):
        source.open(example.DATA_SOURCE, example.ROLE_ARN, account=example.ACCOUNT, region=example.REGION)


def test_an_object_that_is_overwritten_between_look_and_reading_is_unavailable(aws: Aws) -> None:
    bucket = MotoStore().find_bucket(example.BUCKET)
    assert bucket is not None
    found = MotoStore().find_object(bucket, example.KEY)
    assert found is not None
    aws.put(b"changed")
    with pytest.raises(SourceUnavailable, match="overwritten"):
        found.read()


def test_the_spool_keeps_the_last_few_and_forgets_the_rest() -> None:
    spool = UpdateCache(max_entries=2)
    reads: Counter[int] = Counter()

    def get(version: int) -> CachedUpdate:
        def read() -> CachedUpdate:
            reads[version] += 1
            return download_update([b"x"], size=1)

        return spool.get(version, read)

    for version in (1, 2, 1, 3, 1, 2):
        get(version)
    assert reads == {1: 1, 2: 2, 3: 1}
    spool.clear()
    get(1)
    assert reads[1] == 2


def test_a_failed_reading_is_tried_anew() -> None:
    spool = UpdateCache()

    def fails() -> CachedUpdate:
        raise SourceUnavailable("down")

    with pytest.raises(SourceUnavailable):
        spool.get(1, fails)
    assert spool.get(1, lambda: download_update([b"ok"], size=2)).read() == b"ok"


def test_all_readers_share_one_copy() -> None:
    image = download_update([b"a" * 10], size=10)
    first, second = next(image.chunks(4)), next(image.chunks(4))
    assert isinstance(first, memoryview)
    assert first.obj is second.obj


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_whatever_the_pieces_the_whole_is_their_join(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    if not whole:
        return
    assert download_update(pieces, size=len(whole)).read() == whole
    with pytest.raises(SourceUnavailable):
        download_update(pieces, size=len(whole) + 1)
    if len(whole) > 1:
        with pytest.raises(SourceUnavailable):
            download_update(pieces, size=len(whole) - 1)
