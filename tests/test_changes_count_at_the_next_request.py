"""Each change of a role, a policy, a bucket, an object or a key affects the next request."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import boto3
import pytest
from moto.backends import get_backend

from lorafw import Testbed, example
from lorafw.errors import SourceError
from lorafw.tasks.lifecycle import Cause

ROLE, BUCKET, KEY = example.ROLE_NAME, example.BUCKET, example.KEY
OBJECT = f"arn:aws:s3:::{BUCKET}/{KEY}"
READ = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": OBJECT}
READABLE = "it can be read"


def document(*statements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def denied_when(**condition: Any) -> str:
    return document(READ, {**READ, "Effect": "Deny", "Sid": "Now", "Condition": condition})


def moto_role() -> Any:
    """The role as moto stores it."""
    return get_backend("iam")[example.ACCOUNT]["aws"].get_role(ROLE)


def moto_bucket() -> Any:
    """The bucket as moto stores it."""
    return get_backend("s3")[example.ACCOUNT]["aws"].buckets[BUCKET]


class Lab(NamedTuple):
    """A testbed with an update that can be read, and clients for it that are made once."""

    bed: Testbed
    iam: Any
    s3: Any
    kms: Any

    def set_role_policy(self, text: str) -> None:
        self.iam.put_role_policy(RoleName=ROLE, PolicyName="ReadFwUpdate", PolicyDocument=text)

    def attach(self, text: str) -> str:
        """Let a managed policy with this text be all that the role may do. Returns its ARN."""
        arn: str = self.iam.create_policy(PolicyName="Managed", PolicyDocument=text)["Policy"]["Arn"]
        self.iam.attach_role_policy(RoleName=ROLE, PolicyArn=arn)
        self.iam.delete_role_policy(RoleName=ROLE, PolicyName="ReadFwUpdate")
        return arn

    def encrypt(self) -> str:
        """Put the object again under a new key that the role may use. Returns the key's id."""
        user = {"Effect": "Allow", "Principal": {"AWS": example.ROLE_ARN}, "Action": "kms:*", "Resource": "*"}
        key_id: str = self.kms.create_key(Policy=document(user))["KeyMetadata"]["KeyId"]
        self.s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"update", ServerSideEncryption="aws:kms", SSEKMSKeyId=key_id)
        return key_id

    def outcome(self) -> str:
        """Why the service cannot read the update, or READABLE."""
        try:
            self.bed.service.source.open(
                example.DATA_SOURCE, example.ROLE_ARN, account=example.ACCOUNT, region=example.REGION
            )
        except SourceError as error:
            return f"{type(error).__name__}: {error}"
        return READABLE


@pytest.fixture(scope="module")
def clients() -> dict[str, Any]:
    """boto3 clients of the testbeds of this file. Making them takes longer than the tests."""
    return {}


@pytest.fixture
def lab(clients: dict[str, Any]) -> Any:
    with Testbed(gateways=0) as bed:
        for name in ("iam", "s3", "kms"):
            clients.setdefault(name, boto3.client(name, region_name=example.REGION))
        lab = Lab(bed, **clients)
        bed.upload(b"update")
        lab.set_role_policy(document(READ))
        assert lab.outcome() == READABLE
        yield lab


Change = Callable[[Lab], Callable[[], object]]
"""Prepares a lab in which the update can be read, and returns what makes it unreadable."""


def replace_inline_policy(lab: Lab) -> Callable[[], object]:
    return lambda: lab.set_role_policy(document({**READ, "Action": "s3:PutObject"}))


def delete_inline_policy(lab: Lab) -> Callable[[], object]:
    return lambda: lab.iam.delete_role_policy(RoleName=ROLE, PolicyName="ReadFwUpdate")


def add_denying_policy(lab: Lab) -> Callable[[], object]:
    denied = document({**READ, "Effect": "Deny", "Sid": "Second"})
    return lambda: lab.iam.put_role_policy(RoleName=ROLE, PolicyName="Second", PolicyDocument=denied)


def change_policy_in_moto(lab: Lab) -> Callable[[], object]:
    return lambda: moto_role().policies.update(ReadFwUpdate=document({**READ, "Effect": "Deny", "Sid": "Direct"}))


def change_trust(lab: Lab) -> Callable[[], object]:
    other = example.TRUST_POLICY.replace("iotwireless", "ec2")
    return lambda: lab.iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=other)


def change_trust_in_moto(lab: Lab) -> Callable[[], object]:
    other = example.TRUST_POLICY.replace("iotwireless", "ec2")
    return lambda: setattr(moto_role(), "assume_role_policy_document", other)


def make_other_default_version(lab: Lab) -> Callable[[], object]:
    arn = lab.attach(document(READ))
    lab.iam.create_policy_version(PolicyArn=arn, PolicyDocument=document({**READ, "Effect": "Deny", "Sid": "V2"}))
    return lambda: lab.iam.set_default_policy_version(PolicyArn=arn, VersionId="v2")


def detach_policy(lab: Lab) -> Callable[[], object]:
    arn = lab.attach(document(READ))
    return lambda: lab.iam.detach_role_policy(RoleName=ROLE, PolicyArn=arn)


def delete_attached_policy_in_moto(lab: Lab) -> Callable[[], object]:
    arn = lab.attach(document(READ))
    return lambda: get_backend("iam")[example.ACCOUNT]["aws"].managed_policies.pop(arn)


def set_boundary(lab: Lab) -> Callable[[], object]:
    narrow = lab.iam.create_policy(PolicyName="Narrow", PolicyDocument=document({**READ, "Action": "ec2:*"}))
    arn = narrow["Policy"]["Arn"]
    return lambda: lab.iam.put_role_permissions_boundary(RoleName=ROLE, PermissionsBoundary=arn)


def tag_role(lab: Lab) -> Callable[[], object]:
    lab.set_role_policy(denied_when(StringEquals={"aws:PrincipalTag/state": "blocked"}))
    return lambda: lab.iam.tag_role(RoleName=ROLE, Tags=[{"Key": "state", "Value": "blocked"}])


def delete_role(lab: Lab) -> Callable[[], object]:
    lab.attach(document(READ))

    def delete() -> None:
        lab.iam.detach_role_policy(RoleName=ROLE, PolicyArn=f"arn:aws:iam::{example.ACCOUNT}:policy/Managed")
        lab.iam.delete_role(RoleName=ROLE)

    return delete


def recreate_role_elsewhere(lab: Lab) -> Callable[[], object]:
    deletion = delete_role(lab)

    def recreate() -> None:
        deletion()
        lab.iam.create_role(RoleName=ROLE, Path="/other/", AssumeRolePolicyDocument=example.TRUST_POLICY)

    return recreate


def wait_until_condition_ends(lab: Lab) -> Callable[[], object]:
    lab.set_role_policy(denied_when(DateGreaterThan={"aws:CurrentTime": "2021-03-12T10:00:00Z"}))
    return lambda: lab.bed.advance(600)


def wait_until_trust_ends(lab: Lab) -> Callable[[], object]:
    trusted = json.loads(example.TRUST_POLICY)["Statement"][0]
    until = {**trusted, "Condition": {"NumericLessThan": {"aws:EpochTime": "1615543200"}}}
    lab.iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=document(until))
    return lambda: lab.bed.advance(600)


def set_bucket_policy(lab: Lab) -> Callable[[], object]:
    denied = {**READ, "Effect": "Deny", "Sid": "Bucket", "Principal": {"AWS": example.ROLE_ARN}}
    return lambda: lab.s3.put_bucket_policy(Bucket=BUCKET, Policy=document(denied))


def set_bucket_policy_in_moto(lab: Lab) -> Callable[[], object]:
    denied = {**READ, "Effect": "Deny", "Sid": "Bucket", "Principal": {"AWS": example.ROLE_ARN}}
    return lambda: setattr(moto_bucket(), "policy", document(denied).encode())


def delete_bucket_policy(lab: Lab) -> Callable[[], object]:
    allowed = {**READ, "Principal": {"AWS": example.ROLE_ARN}}
    lab.s3.put_bucket_policy(Bucket=BUCKET, Policy=document(allowed))
    lab.iam.delete_role_policy(RoleName=ROLE, PolicyName="ReadFwUpdate")
    return lambda: lab.s3.delete_bucket_policy(Bucket=BUCKET)


def delete_object(lab: Lab) -> Callable[[], object]:
    return lambda: lab.s3.delete_object(Bucket=BUCKET, Key=KEY)


def delete_bucket_in_moto(lab: Lab) -> Callable[[], object]:
    def delete() -> None:
        moto_bucket().keys.clear()
        get_backend("s3")[example.ACCOUNT]["aws"].delete_bucket(BUCKET)

    return delete


def archive_object(lab: Lab) -> Callable[[], object]:
    return lambda: lab.s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"update", StorageClass="GLACIER")


def tag_object(lab: Lab) -> Callable[[], object]:
    lab.set_role_policy(denied_when(StringEquals={"s3:ExistingObjectTag/state": "blocked"}))
    tagging = {"TagSet": [{"Key": "state", "Value": "blocked"}]}
    return lambda: lab.s3.put_object_tagging(Bucket=BUCKET, Key=KEY, Tagging=tagging)


def encrypt_object(lab: Lab) -> Callable[[], object]:
    key_id = lab.kms.create_key()["KeyMetadata"]["KeyId"]
    return lambda: lab.s3.put_object(
        Bucket=BUCKET, Key=KEY, Body=b"update", ServerSideEncryption="aws:kms", SSEKMSKeyId=key_id
    )


def disable_key(lab: Lab) -> Callable[[], object]:
    key_id = lab.encrypt()
    return lambda: lab.kms.disable_key(KeyId=key_id)


def change_key_policy(lab: Lab) -> Callable[[], object]:
    key_id = lab.encrypt()
    nobody = {"Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*", "Sid": "Nobody"}
    return lambda: lab.kms.put_key_policy(KeyId=key_id, PolicyName="default", Policy=document(nobody))


def reset_moto(lab: Lab) -> Callable[[], object]:
    return lambda: [get_backend(name).reset() for name in ("iam", "s3")]


CHANGES: list[tuple[Change, str]] = [
    (replace_inline_policy, "no statement allows it"),
    (delete_inline_policy, "no statement allows it"),
    (add_denying_policy, "'Second'"),
    (change_policy_in_moto, "'Direct'"),
    (change_trust, "may not assume"),
    (change_trust_in_moto, "may not assume"),
    (make_other_default_version, "'V2'"),
    (detach_policy, "no statement allows it"),
    (delete_attached_policy_in_moto, "does not exist"),
    (set_boundary, "permissions boundary"),
    (tag_role, "'Now'"),
    (delete_role, "RoleNotTrusted: .* does not exist"),
    (recreate_role_elsewhere, "there is .*role/other/"),
    (wait_until_condition_ends, "'Now'"),
    (wait_until_trust_ends, "aws:EpochTime"),
    (set_bucket_policy, "'Bucket'"),
    (set_bucket_policy_in_moto, "'Bucket'"),
    (delete_bucket_policy, "no statement allows it"),
    (delete_object, "NoSuchObject"),
    (delete_bucket_in_moto, "NoSuchBucket"),
    (archive_object, "is archived"),
    (tag_object, "'Now'"),
    (encrypt_object, "may not decrypt"),
    (disable_key, "Disabled"),
    (change_key_policy, "'Nobody'"),
    (reset_moto, "does not exist"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES, ids=[change.__name__ for change, _ in CHANGES])
def test_a_change_counts_at_the_next_request(lab: Lab, change: Change, words: str) -> None:
    make_unreadable = change(lab)
    assert lab.outcome() == READABLE
    make_unreadable()
    outcome = lab.outcome()
    assert outcome != READABLE
    assert re.search(words, outcome), outcome


def test_new_content_is_sent_to_the_gateway_that_polls_next() -> None:
    with Testbed(gateways=2) as bed:
        bed.define_update("1.0.1")
        bed.poll(0)
        second = bed.define_update("1.0.2")
        assert second
        bed.poll(1)
        sent = [bed.gateways[index].home.read_package_version() for index in (0, 1)]
        assert sent[0] == "1.0.1"
        assert sent[1] != "1.0.1", "the file of the second update has replaced the first, whose signature it lacks"


def test_a_gateway_that_polls_after_a_denial_gets_nothing_and_uses_up_no_attempt() -> None:
    with Testbed(gateways=2) as bed:
        bed.define_update("1.0.1")
        bed.poll(0)
        moto_role().policies.clear()
        bed.poll(1)
        assert [row.cause for row in bed.log[-2:]] == [Cause.CREATED_AUTOMATICALLY, Cause.SOURCE_UNREADABLE]
        assert "no statement allows it" in str(bed.explain(1))


def test_an_offer_calls_no_api_of_iam_and_s3() -> None:
    with Testbed(gateways=1) as bed:
        bed.define_update("1.0.1")
        calls: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("botocore.client.BaseClient._make_api_call", lambda *call: calls.append(str(call)))
            bed.poll()
        assert calls == []
        assert bed.gateways[0].home.read_package_version() == "1.0.1"
