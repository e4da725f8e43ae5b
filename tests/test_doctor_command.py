"""`lorafw doctor` looks at files, at a home folder and at a lab, and changes nothing."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lorafw import Testbed, example
from lorafw.cli import main
from lorafw.doctor import Subject, diagnose
from lorafw.doctor.account import AccountReader
from lorafw.doctor.environment import parse_cli_version
from lorafw.doctor.subject import DefinitionDocument
from lorafw.sources.object_store import MotoStore


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["doctor", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


@pytest.fixture
def input_json(tmp_path: Path) -> Path:
    path = tmp_path / "input.json"
    path.write_text(json.dumps(example.input_json()))
    return path


def test_the_documented_example_has_no_error(input_json: Path) -> None:
    result = run("--definition", str(input_json))
    assert result.exit_code == 0
    assert "0 errors, 0 warnings, 1 notes" in result.output


def test_an_error_gives_status_1_and_json_names_rule_evidence_remedy_and_source(input_json: Path) -> None:
    input_json.write_text(input_json.read_text().replace("s3://", "https://"))
    result = run("--definition", str(input_json), "--json")
    assert result.exit_code == 1
    content = json.loads(result.output)
    assert [finding["id"] for finding in content["findings"]] == ["LW103", "LW114"]
    assert sorted(content["findings"][0]) == ["evidence", "id", "remedy", "severity", "source", "title"]
    assert content["counts"] == {"error": 1, "warning": 0, "note": 1}
    assert run("--definition", str(input_json), "--ignore", "LW103").exit_code == 0
    assert run("--definition", str(input_json), "--only", "LW2").exit_code == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [("{", "is not JSON"), ("[]", "is not a JSON object"), ("[" * 100_000, "is not JSON"), (" " * 2_000_000, "more")],
)
def test_a_file_that_is_no_definition_is_named(input_json: Path, content: str, words: str) -> None:
    input_json.write_text(content)
    result = run("--definition", str(input_json))
    assert result.exit_code == 1
    assert words in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Nothing to check"),
        (["--lab", "--account", "123456789012"], "not both"),
        (["--home", "/nowhere"], "is not a folder"),
    ],
)
def test_a_wrong_use_says_what_to_give(arguments: list[str], words: str) -> None:
    result = run(*arguments)
    assert result.exit_code != 0
    assert words in result.output


def test_a_rule_with_many_violations_is_printed_once(input_json: Path) -> None:
    members = {**json.loads(input_json.read_text()), **{f"NoMember{number}": 1 for number in range(12)}}
    input_json.write_text(json.dumps(members))
    output = run("--definition", str(input_json), "--only", "LW101").output
    assert output.count("LW101 error: ") == output.count("Remedy: ") == output.count("Source: ") == 1
    assert output.count("is not a member of") == 10
    assert "And 2 more. --json lists all." in output
    assert "12 errors, 0 warnings, 0 notes" in output
    as_json = run("--definition", str(input_json), "--only", "LW101", "--json").output
    assert len(json.loads(as_json)["findings"]) == 12


def test_a_home_folder_is_read_as_a_station_reads_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "station.conf").write_text('{"station_conf": {"routerid": "::a", "CUPS_OKSYNC_INTV": "30s"}}')
    (home / "cups.uri").write_text("https://localhost")
    (home / "cups.key").write_text("key")
    (home / "cups.key").chmod(0o644)
    result = run("--home", str(home), "--install-time", "60", "--json")
    ids = [finding["id"] for finding in json.loads(result.output)["findings"]]
    assert ids == ["LW503", "LW504", "LW504", "LW505", "LW508", "LW511", "LW512"]
    assert stat.S_IMODE((home / "cups.key").stat().st_mode) == 0o644


def test_a_real_account_is_refused_if_a_variable_leads_elsewhere(
    input_json: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:5000")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    result = run("--definition", str(input_json), "--account", "123456789012")
    assert result.exit_code == 1
    assert "s3 would be called at http://127.0.0.1:5000, which is not AWS" in result.output


@pytest.fixture(scope="module")
def bed() -> Iterator[Testbed]:
    with Testbed(gateways=2) as opened:
        for gateway in opened.gateways:
            opened.poll(gateway)
        yield opened


def look(bed: Testbed, content: dict[str, Any], region: str = "us-east-1") -> list[str]:
    """Return the ids of the access and fleet rules that find something in a testbed."""
    reader = AccountReader(bed.client, account=example.ACCOUNT, region=region, now_ms=bed.clock.now_ms())
    definition = DefinitionDocument(content)
    facts, update_file = reader.read(definition)
    findings = diagnose(Subject(definition=definition, account=facts, update_file=update_file))
    return [finding.rule.id for finding in findings if finding.rule.severity == "error"]


def test_a_definition_that_the_testbed_accepts_has_no_error(bed: Testbed) -> None:
    definition_id = bed.define_update("1.0.1")
    iotwireless = bed.client("iotwireless")
    members = iotwireless.get_wireless_gateway_task_definition(Id=definition_id)
    content = {name: members[name] for name in ("AutoCreateTasks", "Update")}
    iotwireless.delete_wireless_gateway_task_definition(Id=definition_id)
    assert look(bed, content) == []

    content["Update"]["UpdateDataSource"] += "x"
    assert look(bed, content) == ["LW306"]
    content["Update"]["UpdateDataSource"] = "s3://another-bucket/key"
    assert look(bed, content) == ["LW305"]
    content["Update"]["UpdateDataRole"] = example.ROLE_ARN + "x"
    assert look(bed, content) == ["LW301", "LW305"]
    content["Update"]["LoRaWAN"]["CurrentVersion"]["Model"] = "another"
    assert "LW401" in look(bed, content)


@pytest.mark.parametrize("name", ["Arn", "KeyId"])
def test_a_kms_key_is_looked_up_in_its_own_region(bed: Testbed, input_json: Path, name: str) -> None:
    s3 = bed.client("s3", "eu-west-1")
    key = bed.client("kms", "eu-west-1").create_key()["KeyMetadata"]
    bucket = f"in-ireland-{name.lower()}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket=bucket, Key="k", Body=b"#!", ServerSideEncryption="aws:kms", SSEKMSKeyId=key[name])
    content = json.loads(input_json.read_text())
    content["Update"]["UpdateDataSource"] = f"s3://{bucket}/k"
    reader = AccountReader(bed.client, account=example.ACCOUNT, region=example.REGION, now_ms=bed.clock.now_ms())
    facts, _ = reader.read(DefinitionDocument(content))
    assert facts.kms_problem is None
    assert facts.kms_key is not None
    assert facts.kms_key.arn == key["Arn"]


def test_a_bucket_with_the_old_name_of_its_region_is_in_eu_west_1(bed: Testbed, input_json: Path) -> None:
    s3 = bed.client("s3", "us-east-1")
    s3.create_bucket(Bucket="old-ireland", CreateBucketConfiguration={"LocationConstraint": "EU"})
    content = json.loads(input_json.read_text())
    content["Update"]["UpdateDataSource"] = "s3://old-ireland/k"
    reader = AccountReader(bed.client, account=example.ACCOUNT, region="eu-west-1", now_ms=bed.clock.now_ms())
    facts, _ = reader.read(DefinitionDocument(content))
    assert facts.bucket is not None
    assert facts.bucket == MotoStore().find_bucket("old-ireland")
    assert facts.bucket.region == "eu-west-1"


def test_the_lab_is_read_over_http(bed: Testbed, input_json: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with bed.api_over_http() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        content = json.loads(input_json.read_text())
        content["Update"]["LoRaWAN"]["CurrentVersion"]["Model"] = "RPI"
        input_json.write_text(json.dumps(content))
        result = run("--definition", str(input_json), "--lab", "--only", "LW4", "--only", "LW6")
    assert "None of all 2 gateways presents" in result.output
    assert result.output.count("upper and lower case differ") == 2
    assert "15 rules: 1 errors, 2 warnings, 0 notes." in result.output


def test_credentials_of_another_account_are_refused(bed: Testbed, input_json: Path) -> None:
    result = run("--definition", str(input_json), "--account", "999999999999", "--region", "us-east-1")
    assert result.exit_code == 1
    assert "the credentials belong to account 123456789012, not to 999999999999" in result.output


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("aws-cli/1.44.1 Python/3.11.2 Linux/6.1", (1, 44, 1)),
        ("aws-cli/2.13.0 Python/3.11", (2, 13, 0)),
        ("aws-cli/2.x", None),
        ("", None),
    ],
)
def test_the_version_of_the_aws_cli_is_read(text: str, expected: tuple[int, ...] | None) -> None:
    assert parse_cli_version(text) == expected
