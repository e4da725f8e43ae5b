"""`lorafw demo` runs the whole procedure, as a person would run it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

import lorafw.localaws.walkthrough
from lorafw.cli import main


def demo(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lorafw", "demo", *options], capture_output=True, text=True, check=False, timeout=90
    )


def test_the_demo_ends_with_completed_and_shows_every_documented_command() -> None:
    done = demo()
    assert done.returncode == 0, done.stdout + done.stderr
    for operation in (
        "get-wireless-gateway --identifier 5a11b0a85a11b0a8 --identifier-type GatewayEui",
        "get-wireless-gateway-firmware-information --id ",
        "create-wireless-gateway-task-definition --cli-input-json file://input.json",
        "get-wireless-gateway-task --id ",
        "delete-wireless-gateway-task --id ",
    ):
        assert f"$ aws iotwireless {operation}" in done.stdout
    assert done.stdout.index('"Status": "IN_PROGRESS"') < done.stdout.index('"Status": "COMPLETED"')
    assert "ECDSA key#0 -> VERIFIED" in done.stdout
    assert '"PackageVersion": "1.0.1"' in done.stdout
    assert done.stdout.rstrip().endswith("COMPLETED: the gateway runs PackageVersion 1.0.1.")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("wrong-key", "signed with another key"),
        pytest.param("tampered", "is not the one that was signed", marks=pytest.mark.slow),
    ],
)
def test_a_demo_that_is_to_fail_goes_through_the_retries_to_failed_and_says_why(
    fault: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """boto3 sends what the AWS CLI would, which takes half a second for each of its starts."""
    monkeypatch.setattr(lorafw.localaws.walkthrough, "find_aws_cli", lambda: None)
    done = CliRunner().invoke(main, ["demo", "--fail", fault])
    assert done.exit_code == 0, done.output
    order = ["IN_PROGRESS", "FIRST_RETRY", "SECOND_RETRY", "FAILED"]
    places = [done.stdout.index(f'"Status": "{status}"') for status in order]
    assert places == sorted(places)
    assert "ECDSA key#0 -> NOT verified" in done.stdout
    assert reason in done.stdout
    assert done.stdout.rstrip().endswith("FAILED: the gateway runs PackageVersion 1.0.0.")


@pytest.mark.slow
def test_another_package_changes_the_answers() -> None:
    done = demo("--package", "7.2.1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"PackageVersion": "7.2.1"' in done.stdout
    assert done.stdout.rstrip().endswith("COMPLETED: the gateway runs PackageVersion 7.2.1.")


def test_a_package_that_no_definition_could_name_is_refused() -> None:
    done = demo("--package", "x" * 33)
    assert done.returncode == 1
    assert "32" in done.stderr
    assert "Traceback" not in done.stderr
