"""The workspace of a lesson: its folder and variables for the terminal, which are gone afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from lorafw.lab import ServeProcess, Workspace
from lorafw.testbed import Testbed


def test_the_commands_are_found_and_the_folder_is_the_current_one() -> None:
    with Workspace() as work:
        assert Path.cwd().resolve() == work.path.resolve()
        assert shutil.which("lorafw") is not None
        assert shutil.which("aws") is not None


def test_afterwards_everything_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PAGER", "less")
    folder, variables = Path.cwd(), dict(os.environ)
    work = Workspace().open()
    (work.path / "fwstation").write_bytes(b"anything")
    os.environ["LEFT_BEHIND"] = "1"
    work.close()
    assert Path.cwd() == folder
    assert dict(os.environ) == variables
    assert not work.path.exists()
    work.close()


def test_a_workspace_opened_again_takes_the_place_of_the_first_and_leaves_as_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    folder, variables = Path.cwd(), dict(os.environ)
    with Testbed() as bed:
        first = Workspace(bed).open()
        second = Workspace(bed).open()
        assert not first.path.exists()
        assert Path.cwd().resolve() == second.path.resolve()
        assert urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"], timeout=10).status == 200
        first.close()
        assert Path.cwd().resolve() == second.path.resolve()
        second.close()
    assert (Path.cwd(), dict(os.environ)) == (folder, variables)


def test_a_workspace_beside_no_server_finds_no_aws_at_all() -> None:
    with Workspace():
        done = subprocess.run(["aws", "sts", "get-caller-identity"], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == 'Could not connect to the endpoint URL: "http://127.0.0.1:9/"'


def test_a_server_started_again_takes_the_place_of_the_first() -> None:
    first = ServeProcess().start()
    second = ServeProcess().start()
    assert first.stop() == 0  # it has ended already
    with pytest.raises(OSError):
        urllib.request.urlopen(first.api, timeout=10)
    assert urllib.request.urlopen(second.api, timeout=10).status == 200
    api = second.api
    assert second.start().api != api
    with ServeProcess() as third:
        assert urllib.request.urlopen(second.api, timeout=10).status == 200
        assert third.api != second.api
    assert second.stop() == 0


def test_an_error_inside_leaves_nothing_either() -> None:
    folder = Path.cwd()
    with pytest.raises(ZeroDivisionError), Workspace() as work:
        1 / 0  # noqa: B018
    assert Path.cwd() == folder
    assert not work.path.exists()


def test_beside_a_testbed_the_aws_cli_speaks_to_that_testbed_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with Testbed(gateways=1) as bed, Workspace(bed):
        command = ["aws", "iotwireless", "get-wireless-gateway", "--identifier-type", "GatewayEui"]
        command += ["--identifier", bed.gateways[0].eui.hex, "--query", "Id", "--output", "text"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.stdout.strip() == bed.gateways[0].id, done.stderr
        bed.define_update("1.0.1")
        bed.advance(20)
        assert bed.status() == "COMPLETED"


def test_a_testbed_that_is_not_staged_has_neither_bucket_nor_role() -> None:
    with Testbed(gateways=1, staged=False) as bed:
        assert bed.client("s3").list_buckets()["Buckets"] == []
        assert bed.client("iam").list_roles()["Roles"] == []


def test_a_script_that_closes_nothing_ends() -> None:
    script = (
        "from lorafw import Testbed\n"
        "from lorafw.lab import Workspace\n"
        "workspace = Workspace(Testbed(gateways=1).start()).open()\n"
        "print(workspace.path)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert not Path(done.stdout.strip()).exists()
