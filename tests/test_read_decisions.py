"""lorafw decides whether AWS could read an update: bucket policies, accounts and keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.iam.models import IAMBackend
from moto.s3.models import FakeBucket
from moto.s3.responses import S3Response

from lorafw import Testbed, example
from lorafw.errors import NoSuchObject, RoleNotTrusted, SourceError
from lorafw.iotwireless.corrections import corrected_moto
from lorafw.localaws.cloud import Cloud
from lorafw.tasks.lifecycle import TaskStatus

OBJECT = f"arn:aws:s3:::{example.BUCKET}/{example.KEY}"
OTHER = "210987654321"
TLS_ONLY = {
    "Sid": "TlsOnly",
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": [f"arn:aws:s3:::{example.BUCKET}", f"arn:aws:s3:::{example.BUCKET}/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
READ = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": OBJECT}


CLIENTS: dict[tuple[int, str], Any] = {}


def client(bed: Testbed, name: str) -> Any:
    """A client of this testbed, made once."""
    if (id(bed), name) not in CLIENTS:
        CLIENTS[id(bed), name] = bed.client(name)
    return CLIENTS[id(bed), name]


def document(*statements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.fixture(scope="module")
def shared() -> Iterator[Testbed]:
    with Testbed(gateways=0) as opened:
        yield opened


@pytest.fixture
def bed(shared: Testbed) -> Testbed:
    """One testbed for all, with bucket, object and role as documented at the beginning of each test."""
    s3, iam = client(shared, "s3"), client(shared, "iam")
    s3.delete_bucket_policy(Bucket=example.BUCKET)
    s3.put_object(Bucket=example.BUCKET, Key=example.KEY, Body=b"update")
    iam.update_assume_role_policy(RoleName=example.ROLE_NAME, PolicyDocument=example.TRUST_POLICY)
    iam.delete_role_permissions_boundary(RoleName=example.ROLE_NAME)
    for attached in iam.list_attached_role_policies(RoleName=example.ROLE_NAME)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=example.ROLE_NAME, PolicyArn=attached["PolicyArn"])
    for name in iam.list_role_policies(RoleName=example.ROLE_NAME)["PolicyNames"]:
        iam.delete_role_policy(RoleName=example.ROLE_NAME, PolicyName=name)
    set_role_policy(shared, *json.loads(example.permission_policy())["Statement"])
    return shared


def set_role_policy(bed: Testbed, *statements: Any) -> None:
    client(bed, "iam").put_role_policy(
        RoleName=example.ROLE_NAME, PolicyName="Read", PolicyDocument=document(*statements)
    )


def set_bucket_policy(bed: Testbed, *statements: Any) -> None:
    client(bed, "s3").put_bucket_policy(Bucket=example.BUCKET, Policy=document(*statements))


READABLE = "it can be read"


def outcome(bed: Testbed, data_source: str = example.DATA_SOURCE) -> str:
    """READABLE, or why the service cannot read the update."""
    try:
        bed.service.source.open(data_source, example.ROLE_ARN, account=example.ACCOUNT, region=example.REGION)
    except SourceError as error:
        return f"({type(error).__name__}): {error}"
    return READABLE


def test_the_common_guard_for_tls_lets_upload_and_update_through() -> None:
    guard = {name: value for name, value in TLS_ONLY.items() if name != "Principal"}
    with Testbed() as own:
        set_role_policy(own, READ, guard)
        set_bucket_policy(own, TLS_ONLY)
        own.define_update("1.0.1")
        own.advance(20)
        assert own.status() is TaskStatus.COMPLETED


def test_over_http_a_guard_that_does_not_hold_lets_the_update_through() -> None:
    with Cloud() as cloud:
        s3, iam = cloud.client("s3"), cloud.client("iam")
        s3.create_bucket(Bucket=example.BUCKET)
        s3.put_bucket_policy(Bucket=example.BUCKET, Policy=document(TLS_ONLY))
        s3.put_object(Bucket=example.BUCKET, Key=example.KEY, Body=b"update")
        iam.create_role(RoleName=example.ROLE_NAME, AssumeRolePolicyDocument=example.TRUST_POLICY)
        iam.attach_role_policy(RoleName=example.ROLE_NAME, PolicyArn="arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")
        source = cloud.service.source
        image = source.open(example.DATA_SOURCE, example.ROLE_ARN, account=example.ACCOUNT, region=example.REGION)
        assert image.read() == b"update"
        place = {"account": example.ACCOUNT, "region": example.REGION}
        with pytest.raises(NoSuchObject, match=r"bucket elsewhere does not exist .* set AWS_ENDPOINT_URL"):
            source.open("s3://elsewhere/fwstation", example.ROLE_ARN, **place)
        with pytest.raises(RoleNotTrusted, match=r"Elsewhere does not exist .* set AWS_ENDPOINT_URL"):
            source.open(example.DATA_SOURCE, f"arn:aws:iam::{example.ACCOUNT}:role/Elsewhere", **place)


def test_moto_is_as_before_once_it_is_no_longer_corrected() -> None:
    def methods() -> tuple[Any, ...]:
        return FakeBucket.get_permission, IAMBackend.get_policy, S3Response._key_response_put

    before = methods()
    with corrected_moto():
        assert methods() != before
    assert methods() == before


def test_a_deny_of_everyone_still_keeps_the_users_own_requests_out(bed: Testbed) -> None:
    set_bucket_policy(bed, {name: value for name, value in TLS_ONLY.items() if name != "Condition"})
    with pytest.raises(ClientError) as caught:
        bed.upload(b"update")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_deny_of_another_principal_does_not_hinder_the_role(bed: Testbed) -> None:
    denied = {**READ, "Effect": "Deny", "Principal": {"AWS": f"arn:aws:iam::{example.ACCOUNT}:role/Other"}}
    set_bucket_policy(bed, denied, {**denied, "Principal": {"Service": "cloudfront.amazonaws.com"}})
    assert outcome(bed) == READABLE


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ({"StringEquals": {"aws:SourceAccount": example.ACCOUNT}}, True),
        ({"StringEquals": {"aws:SourceAccount": OTHER}}, False),
        ({"ArnLike": {"aws:SourceArn": f"arn:aws:iotwireless:us-east-1:{example.ACCOUNT}:*"}}, True),
        ({"DateLessThan": {"aws:CurrentTime": "2021-03-13T00:00:00Z"}}, True),
        ({"DateLessThan": {"aws:CurrentTime": "2021-03-12T09:56:00Z"}}, False),
        ({"StringEquals": {"aws:PrincipalOrgID": "o-example"}}, False),
    ],
    ids=["source account", "another account", "source ARN", "before", "after", "organisation"],
)
def test_a_condition_of_the_trust_policy_is_judged(bed: Testbed, condition: dict[str, Any], allowed: bool) -> None:
    trusted = json.loads(example.TRUST_POLICY)["Statement"]
    statement = {**(trusted[0] if isinstance(trusted, list) else trusted), "Condition": condition}
    client(bed, "iam").update_assume_role_policy(RoleName=example.ROLE_NAME, PolicyDocument=document(statement))
    told = outcome(bed)
    assert (told == READABLE) is allowed, told
    assert allowed or next(iter(next(iter(condition.values())))) in told


def test_a_time_in_a_policy_is_compared_with_the_clock_of_the_testbed(bed: Testbed) -> None:
    set_role_policy(bed, {**READ, "Condition": {"DateGreaterThan": {"aws:CurrentTime": "2021-03-12T10:00:00Z"}}})
    assert "aws:CurrentTime" in outcome(bed)
    bed.advance(600)
    assert outcome(bed) == READABLE


def other_accounts_bucket(bed: Testbed, name: str, *statements: Any) -> str:
    """Make a bucket in another account, with a policy, and an update in it; gives the update's UpdateDataSource."""
    sts = client(bed, "sts")
    keys = sts.assume_role(RoleArn=f"arn:aws:iam::{OTHER}:role/Admin", RoleSessionName="admin")["Credentials"]
    s3 = boto3.client(
        "s3",
        region_name=example.REGION,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key=example.KEY, Body=b"update", ServerSideEncryption="AES256")
    s3.put_object(Bucket=name, Key="managed", Body=b"update", ServerSideEncryption="aws:kms")
    if statements:
        s3.put_bucket_policy(Bucket=name, Policy=document(*statements))
    return f"s3://{name}/{example.KEY}"


@pytest.mark.parametrize(
    ("role_allows", "bucket_allows"), [(True, True), (True, False), (False, True)], ids=["both", "role", "bucket"]
)
def test_a_bucket_in_another_account_is_read_if_both_sides_allow(
    bed: Testbed, role_allows: bool, bucket_allows: bool
) -> None:
    name = f"other-account-{role_allows}-{bucket_allows}".lower()
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/*"}
    set_role_policy(bed, statement if role_allows else READ)
    allowing = [{**statement, "Principal": {"AWS": example.ROLE_ARN}}] if bucket_allows else []
    told = outcome(bed, other_accounts_bucket(bed, name, *allowing))
    assert (told == READABLE) is (role_allows and bucket_allows), told
    if role_allows and bucket_allows:
        assert "aws/s3 cannot be used from another account" in outcome(bed, f"s3://{name}/managed")


def encrypt(bed: Testbed, **parameters: Any) -> None:
    """Put the object again with other encryption."""
    client(bed, "s3").put_object(Bucket=example.BUCKET, Key=example.KEY, Body=b"update", **parameters)


def test_an_object_under_s3s_own_key_or_the_aws_managed_key_is_read(bed: Testbed) -> None:
    for parameters in ({"ServerSideEncryption": "AES256"}, {"ServerSideEncryption": "aws:kms"}):
        encrypt(bed, **parameters)
        assert outcome(bed) == READABLE


def key_policy(principal: str) -> str:
    return document({"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "kms:*", "Resource": "*"})


ACCOUNT_ROOT = f"arn:aws:iam::{example.ACCOUNT}:root"


@pytest.mark.parametrize(
    ("principal", "role_may_decrypt", "allowed"),
    [
        (ACCOUNT_ROOT, True, True),
        (ACCOUNT_ROOT, False, False),
        (example.ROLE_ARN, False, True),
        (f"{ACCOUNT_ROOT[:-4]}role/Other", True, False),
    ],
    ids=["account and role", "account alone", "role in the key policy", "another role"],
)
def test_a_customer_managed_key_needs_its_policy_and_kms_decrypt(
    bed: Testbed, principal: str, role_may_decrypt: bool, allowed: bool
) -> None:
    kms = client(bed, "kms")
    key = kms.create_key(Policy=key_policy(principal))["KeyMetadata"]
    if role_may_decrypt:
        set_role_policy(bed, READ, {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": key["Arn"]})
    encrypt(bed, ServerSideEncryption="aws:kms", SSEKMSKeyId=key["Arn"])
    told = outcome(bed)
    assert (told == READABLE) is allowed, told
    assert allowed or f"KMS key {key['Arn']}" in told


def test_a_grant_lets_the_role_decrypt_and_a_disabled_key_decrypts_nothing(bed: Testbed) -> None:
    kms = client(bed, "kms")
    key = kms.create_key(Policy=key_policy(ACCOUNT_ROOT))["KeyMetadata"]
    encrypt(bed, ServerSideEncryption="aws:kms", SSEKMSKeyId=key["KeyId"])
    assert "may not decrypt" in outcome(bed)
    kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=example.ROLE_ARN, Operations=["Decrypt"])
    assert outcome(bed) == READABLE
    kms.disable_key(KeyId=key["KeyId"])
    assert "Disabled" in outcome(bed)


@pytest.mark.parametrize(
    "key_id",
    [
        "alias/no-such-key",
        "4ac46ff4-efc5-44fd-9def-e8517077bb12",
        f"arn:aws:kms:us-east-1:{example.ACCOUNT}:alias/no-such-key",
        f"arn:aws:kms:us-east-1:{OTHER}:key/4ac46ff4-efc5-44fd-9def-e8517077bb12",
        f"arn:aws:kms:no-such-region:{example.ACCOUNT}:key/4ac46ff4-efc5-44fd-9def-e8517077bb12",
        "arn:aws:kms",
    ],
)
def test_a_kms_key_that_does_not_exist_is_named_whatever_names_it(bed: Testbed, key_id: str) -> None:
    encrypt(bed, ServerSideEncryption="aws:kms", SSEKMSKeyId=key_id)
    assert f"is under the KMS key {key_id}, which does not exist" in outcome(bed)


def test_a_kms_key_can_be_named_by_its_alias(bed: Testbed) -> None:
    kms = client(bed, "kms")
    key = kms.create_key(Policy=key_policy(example.ROLE_ARN))["KeyMetadata"]
    kms.create_alias(AliasName="alias/firmware", TargetKeyId=key["KeyId"])
    for name in ("alias/firmware", f"arn:aws:kms:us-east-1:{example.ACCOUNT}:alias/firmware"):
        encrypt(bed, ServerSideEncryption="aws:kms", SSEKMSKeyId=name)
        assert outcome(bed) == READABLE


def test_an_upload_with_a_key_of_the_customers_own_is_refused(bed: Testbed) -> None:
    s3 = client(bed, "s3")
    with pytest.raises(ClientError) as caught:
        s3.put_object(
            Bucket=example.BUCKET, Key=example.KEY, Body=b"x", SSECustomerAlgorithm="AES256", SSECustomerKey="k" * 32
        )
    assert caught.value.response["Error"]["Code"] == "AccessDenied"
    with pytest.raises(ClientError):
        s3.create_multipart_upload(
            Bucket=example.BUCKET, Key=example.KEY, SSECustomerAlgorithm="AES256", SSECustomerKey="k" * 32
        )


def test_an_aws_managed_policy_can_be_attached(bed: Testbed) -> None:
    iam = client(bed, "iam")
    set_role_policy(bed, {"Effect": "Allow", "Action": "ec2:*", "Resource": "*"})
    assert "no statement allows it" in outcome(bed)
    arn = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
    iam.attach_role_policy(RoleName=example.ROLE_NAME, PolicyArn=arn)
    assert outcome(bed) == READABLE
    assert iam.get_policy(PolicyArn=arn)["Policy"]["PolicyName"] == "AmazonS3ReadOnlyAccess"
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.attach_role_policy(RoleName=example.ROLE_NAME, PolicyArn="arn:aws:iam::aws:policy/NoSuchPolicy")


def test_a_boundary_can_be_an_aws_managed_policy(bed: Testbed) -> None:
    client(bed, "iam").put_role_permissions_boundary(
        RoleName=example.ROLE_NAME, PermissionsBoundary="arn:aws:iam::aws:policy/AmazonEC2ReadOnlyAccess"
    )
    assert "permissions boundary" in outcome(bed)


def test_a_missing_bucket_is_reported_as_missing_and_no_policy_is_blamed(bed: Testbed) -> None:
    told = outcome(bed, "s3://no-such-bucket/fwstation")
    assert told.startswith("(NoSuchObject): bucket no-such-bucket does not exist")
    assert "policy" not in told


def test_a_missing_object_is_reported_with_the_answer_of_s3_without_list_bucket(bed: Testbed) -> None:
    client(bed, "s3").delete_object(Bucket=example.BUCKET, Key=example.KEY)
    assert "s3://iotwirelessfwupdate/fwstation does not exist (NoSuchKey)" in outcome(bed)
    set_role_policy(bed, READ)
    assert "the role may not s3:ListBucket, so S3 answers AccessDenied" in outcome(bed)
    set_role_policy(bed, {**READ, "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{example.BUCKET}"})
    assert "(AccessDenied)" in outcome(bed)
