"""Requests without an effect are removed from the journal of `serve --state-dir`, and nothing is lost."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from test_state_survives import cloud_in

from lorafw import example
from lorafw.localaws.cloud import Cloud
from lorafw.localaws.provisioning import create_bucket_and_role
from lorafw.persistence import compaction, replay
from lorafw.persistence.database import StateDatabase
from lorafw.persistence.request_journal import RequestJournal
from lorafw.persistence.superseded import Effect

KEPT = "kept-without-versions"
TURNS = 2
LARGE = 200_000


@pytest.fixture(autouse=True)
def _compact_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "MIN_SUPERSEDED", 20)
    monkeypatch.setattr(compaction, "MIN_SHARE", 0.01)


def work_of_a_day(cloud: Cloud) -> None:
    """What a test suite does to a lab again and again: it replaces some things, and deletes what it has created."""
    s3, iam, iot = (cloud.client(name) for name in ("s3", "iam", "iot"))
    s3.put_object(Bucket=KEPT, Key="state file", Body=b"x" * LARGE)
    s3.put_object_tagging(Bucket=KEPT, Key="state file", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    s3.put_bucket_tagging(Bucket=KEPT, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    s3.put_object(Bucket=KEPT, Key="for a moment", Body=b"x")
    s3.delete_object(Bucket=KEPT, Key="for a moment")
    s3.create_bucket(Bucket="for-one-test")
    s3.put_bucket_versioning(Bucket="for-one-test", VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket="for-one-test", Key="k", Body=b"x")["VersionId"]
    s3.delete_object(Bucket="for-one-test", Key="k", VersionId=version)
    s3.delete_bucket(Bucket="for-one-test")
    iam.put_role_policy(RoleName=example.ROLE_NAME, PolicyName="again", PolicyDocument=example.permission_policy())
    iam.create_role(RoleName="for-one-test", AssumeRolePolicyDocument=example.TRUST_POLICY)
    iam.put_role_policy(RoleName="for-one-test", PolicyName="p", PolicyDocument=example.permission_policy())
    iam.delete_role_policy(RoleName="for-one-test", PolicyName="p")
    iam.delete_role(RoleName="for-one-test")
    certificate = iot.create_keys_and_certificate(setAsActive=True)
    iot.create_thing(thingName="for-one-test")
    iot.attach_thing_principal(thingName="for-one-test", principal=certificate["certificateArn"])
    iot.detach_thing_principal(thingName="for-one-test", principal=certificate["certificateArn"])
    iot.delete_thing(thingName="for-one-test")
    iot.update_certificate(certificateId=certificate["certificateId"], newStatus="INACTIVE")
    iot.delete_certificate(certificateId=certificate["certificateId"])


def what_must_stay(cloud: Cloud) -> None:
    """Requests that look like those above, and whose effect stays."""
    s3, iam, sts = (cloud.client(name) for name in ("s3", "iam", "sts"))
    s3.put_object(Bucket=KEPT, Key="source", Body=b"first")
    s3.copy_object(Bucket=KEPT, Key="copy", CopySource={"Bucket": KEPT, "Key": "source"})
    s3.put_object(Bucket=KEPT, Key="source", Body=b"second")
    s3.create_bucket(Bucket="copied-from")
    s3.put_object(Bucket="copied-from", Key="k", Body=b"from a bucket that is deleted")
    s3.copy_object(Bucket=KEPT, Key="survivor", CopySource={"Bucket": "copied-from", "Key": "k"})
    s3.delete_object(Bucket="copied-from", Key="k")
    s3.delete_bucket(Bucket="copied-from")
    upload = s3.create_multipart_upload(Bucket=KEPT, Key="parts")["UploadId"]
    s3.upload_part(Bucket=KEPT, Key="parts", UploadId=upload, PartNumber=1, Body=b"p" * 100)
    s3.put_object(Bucket=KEPT, Key="parts", Body=b"written while an upload is not finished")
    for body in (b"old version", b"new version"):
        s3.put_object(Bucket=example.BUCKET, Key="versions", Body=body)
    s3.delete_object(Bucket=example.BUCKET, Key="versions")
    role = iam.create_role(RoleName="assumed", AssumeRolePolicyDocument=example.TRUST_POLICY)["Role"]["Arn"]
    sts.assume_role(RoleArn=role, RoleSessionName="session")
    iam.delete_role(RoleName="assumed")


def told(cloud: Cloud) -> dict[str, Any]:
    """Return what the API tells of everything."""
    s3, iam, iot = (cloud.client(name) for name in ("s3", "iam", "iot"))
    answer = {
        "buckets": s3.list_buckets()["Buckets"],
        "versions": s3.list_object_versions(Bucket=example.BUCKET)["Versions"],
        "delete markers": s3.list_object_versions(Bucket=example.BUCKET)["DeleteMarkers"],
        "objects": s3.list_objects_v2(Bucket=KEPT)["Contents"],
        "roles": iam.list_roles()["Roles"],
        "role policy": iam.get_role_policy(RoleName=example.ROLE_NAME, PolicyName="again")["PolicyDocument"],
        "certificates": iot.list_certificates()["certificates"],
        "things": iot.list_things()["things"],
    }
    answer["uploads"] = s3.list_multipart_uploads(Bucket=KEPT)["Uploads"]
    answer["tags of the bucket"] = s3.get_bucket_tagging(Bucket=KEPT)["TagSet"]
    for item in answer["objects"]:
        answer[f"kept {item['Key']}"] = s3.get_object(Bucket=KEPT, Key=item["Key"])["Body"].read()
    return answer


def requests_in(folder: Path) -> int:
    copy = shutil.copytree(folder, folder.with_name(f"{folder.name}-counted"))
    with sqlite3.connect(copy / "state.sqlite3") as connection:
        (count,) = connection.execute("SELECT count(*) FROM request").fetchone()
    connection.close()
    shutil.rmtree(copy)
    return int(count)


def fill_busy_lab(folder: Path, turns: int) -> dict[str, Any]:
    """Make a state folder as it is after some days. Returns what the API told then."""
    with cloud_in(folder) as cloud:
        create_bucket_and_role(cloud.client)
        cloud.client("iot").create_keys_and_certificate(setAsActive=True)
        cloud.client("iot").create_thing(thingName="stays")
        cloud.client("s3").create_bucket(Bucket=KEPT)
        what_must_stay(cloud)
        for _ in range(turns):
            work_of_a_day(cloud)
        return told(cloud)


@pytest.fixture(scope="module")
def busy_lab(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A state folder, and what the API told then."""
    folder = tmp_path_factory.mktemp("busy") / "state"
    return folder, fill_busy_lab(folder, TURNS)


@pytest.fixture
def lab(busy_lab: tuple[Path, dict[str, Any]], tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    folder, before = busy_lab
    return shutil.copytree(folder, tmp_path / "state"), before


def test_what_was_replaced_or_deleted_leaves_the_journal_and_the_state_stays(lab: tuple[Path, dict[str, Any]]) -> None:
    folder, before = lab
    requests = requests_in(folder)
    size = (folder / "state.sqlite3").stat().st_size
    with cloud_in(folder) as cloud:
        assert cloud.kept_state is not None
        assert cloud.kept_state.replay.forgotten > (TURNS - 1) * 20
        assert told(cloud) == before
    assert requests_in(folder) == requests - cloud.kept_state.replay.forgotten
    assert (folder / "state.sqlite3").stat().st_size < size - (TURNS - 1) * LARGE
    with cloud_in(folder) as cloud:
        assert cloud.kept_state is not None
        assert cloud.kept_state.replay.forgotten == 0
        assert cloud.kept_state.replay.differing == ()
        assert told(cloud) == before
        work_of_a_day(cloud)
    with cloud_in(folder) as cloud:
        assert cloud.kept_state is not None
        assert cloud.kept_state.replay.forgotten >= 20, "the journal does not grow with the days"


def test_a_kill_before_and_after_each_step_of_the_compaction_loses_nothing(
    lab: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, before = lab
    copies: list[Path] = []

    def copy_as_killed() -> None:
        copies.append(shutil.copytree(folder, folder.with_name(f"killed-{len(copies)}")))

    whole_transaction = StateDatabase.transaction
    whole_remove = RequestJournal.remove

    @contextmanager
    def copied_transaction(database: StateDatabase) -> Iterator[sqlite3.Connection]:
        with whole_transaction(database) as connection:
            yield connection
            copy_as_killed()
        copy_as_killed()

    def copied_remove(journal: RequestJournal, numbers: frozenset[int]) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(StateDatabase, "transaction", copied_transaction)
            whole_remove(journal, numbers)
        copy_as_killed()

    with monkeypatch.context() as patch:
        patch.setattr(RequestJournal, "remove", copied_remove)
        with cloud_in(folder):
            pass
    before_commit, after_commit, after_vacuum = (requests_in(copy) for copy in copies)
    assert before_commit > after_commit == after_vacuum, "all of the requests are removed, or none"
    monkeypatch.setattr(compaction, "MIN_SUPERSEDED", 10_000)
    for copy in copies[:2]:
        with cloud_in(copy) as cloud:
            assert told(cloud) == before


def test_a_request_that_has_an_effect_stays_even_if_a_rule_says_that_it_has_none(
    lab: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, before = lab
    requests = requests_in(folder)

    def wrong_rule(_: str, environ: dict[str, Any], *__: object) -> Effect:
        """Say that a new version of an object replaces the old version."""
        path = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] != "PUT" or path != f"/{example.BUCKET}/versions":
            return Effect()
        return Effect(about=(path,), replaces=path)

    monkeypatch.setattr(compaction, "MIN_SUPERSEDED", 1)
    with monkeypatch.context() as patch:
        patch.setattr(replay, "effect_of", wrong_rule)
        with cloud_in(folder) as cloud:
            assert cloud.kept_state is not None
            assert cloud.kept_state.replay.forgotten == 0
            assert told(cloud) == before
    assert requests_in(folder) == requests
    with cloud_in(folder) as cloud:
        assert cloud.kept_state is not None
        assert cloud.kept_state.replay.forgotten == 0, "it is tried again when there are twice as many requests"
