"""Bad input to commands, panels and the testbed raises an error that says what to do, and never a traceback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from lorafw.cli import main
from lorafw.errors import LabError
from lorafw.gateway import runner
from lorafw.gateway.home import Home
from lorafw.iotwireless.gateways import GatewayOperations
from lorafw.lab.panels.task_board import TaskBoard
from lorafw.lab.panels.wire_inspector import WireInspector
from lorafw.tasks.lifecycle import TaskStatus
from lorafw.tasks.model import Gateway
from lorafw.testbed import Testbed
from lorafw.version import GatewayVersion


@contextmanager
def server_that_says(answer: bytes) -> Iterator[str]:
    """Something at a port that takes a request and answers with these bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


# --- commands ---


@pytest.mark.parametrize("interval", ["inf", "nan", "1e300"])
def test_an_interval_that_never_ends_is_refused(tmp_path: Path, interval: str) -> None:
    done = CliRunner().invoke(main, ["gateway", "run", str(tmp_path), "--interval", interval])
    assert done.exit_code == 2
    assert "--interval" in done.output


@pytest.mark.parametrize("option", ["--fails", "--ci"])
def test_a_share_that_is_no_number_is_refused(option: str) -> None:
    done = CliRunner().invoke(main, ["simulate", "--gateways", "5", option, "nan"])
    assert done.exit_code == 2
    assert "not a finite number" in done.output


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-OpenSSH_9\r\n", b"", b"HTTP/1.0 200 OK\r\n\r\n[1]", b"HTTP/1.0 200 OK\r\n\r\n" + b"[" * 9999],
    ids=["not HTTP", "nothing", "no explanation", "nested JSON"],
)
def test_explain_reports_a_server_that_is_not_lorafw_serve(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    with server_that_says(answer) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        done = CliRunner().invoke(main, ["explain", "5a11b0a85a11b0a8"])
    assert done.exit_code == 1
    assert "does not answer as 'lorafw serve' does" in done.output


def test_a_server_that_does_not_speak_http_is_no_open_lab(tmp_path: Path) -> None:
    from lorafw.lab.jupyter import is_lab_running
    from lorafw.lab.lessons import WorkingCopy

    copy = WorkingCopy(tmp_path)
    runtime = copy.ensure_state_folder() / "runtime"
    runtime.mkdir(parents=True)
    with server_that_says(b"SSH-2.0-OpenSSH_9\r\n") as url:
        (runtime / "jpserver-1.json").write_text(json.dumps({"url": f"{url}/"}))
        assert not is_lab_running(copy)


def test_the_number_of_gateways_in_a_file_is_held_against_the_memory_of_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text("[fleet]\ngateways = 1000000000000\n")
    done = CliRunner().invoke(main, ["simulate", str(path)])
    assert done.exit_code == 2
    assert "gateways x replications take at least" in done.output


def test_a_csv_of_an_asset_system_is_simulated_when_asked_to(tmp_path: Path) -> None:
    path = tmp_path / "assets.csv"
    path.write_text("gateway,owner,backhaul\na,me,3g\nb,you,\n")
    arguments = ["simulate", "--fleet", str(path), "--json"]
    assert CliRunner().invoke(main, arguments).exit_code != 0
    done = CliRunner().invoke(main, [*arguments, "--ignore-unknown", "--fill-empty"])
    assert json.loads(done.stdout)["gateways"] == 2
    assert CliRunner().invoke(main, ["simulate", "--fill-empty"]).exit_code == 2


def test_the_table_of_faults_has_a_heading_and_says_what_a_full_update_version_changes() -> None:
    lines = CliRunner().invoke(main, ["gateway", "faults"]).output.splitlines()
    assert lines[0].split() == ["FAULT", "TASK", "WITH", "VERSION", "WHAT", "HAPPENS"]
    mismatch = next(line.split() for line in lines if line.startswith("version-mismatch"))
    assert mismatch[1:3] == ["COMPLETED", "FAILED"]


def test_a_version_mismatch_is_failed_when_the_definition_gives_the_update_version() -> None:
    with Testbed(interval_s=60) as bed:
        version = bed.gateways[0].virtual.version
        wanted = GatewayVersion(package="1.0.1", model=version.model, station=version.station)
        bed.define_update("1.0.1", update_version=wanted)
        bed.inject("version-mismatch")
        bed.advance(600)
        assert bed.status() is TaskStatus.FAILED


# --- panels ---


def test_a_task_board_without_gateways_and_a_wire_without_bytes_are_refused() -> None:
    with Testbed(gateways=0) as bed, pytest.raises(LabError, match="this one has none"):
        TaskBoard(bed)
    with pytest.raises(LabError, match="no bytes to look at"):
        WireInspector(response=b"")


# --- the testbed ---


def test_an_error_in_one_gateways_poll_is_reported_and_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Testbed(gateways=3, interval_s=60) as bed:
        bed.define_update("1.0.1")
        ill = bed.gateways[1]
        monkeypatch.setattr(ill.virtual, "poll", lambda: int("no number"))
        start_ms = bed.clock.now_ms()
        with pytest.raises(LabError, match=f"gateway {ill.eui.hex}: the exchange failed: ValueError"):
            bed.advance(300)
        assert bed.clock.now_ms() == start_ms + 300_000
        assert [bed.status(0), bed.status(2)] == [TaskStatus.COMPLETED] * 2
        assert "the exchange failed: ValueError" in ill.log[0]
        with pytest.raises(LabError, match="ValueError"):
            bed.poll(ill)


OPENS_A_TESTBED = """
import time
from lorafw.lab import Workspace
from lorafw.testbed import Testbed
bed = Testbed().start()
work = Workspace().open()
print("open", flush=True)
time.sleep(60)
"""


def test_a_testbed_and_a_workspace_that_sigterm_ends_leave_no_folder(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", OPENS_A_TESTBED],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    assert list(tmp_path.glob("lorafw-*"))
    process.terminate()
    assert process.wait(30) == 128 + signal.SIGTERM
    process.stdout.close()
    assert not list(tmp_path.glob("lorafw-*"))


# --- the API and what an update says ---


def test_a_list_leaves_out_a_gateway_that_is_deleted_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    with Testbed(gateways=3) as bed:
        client, real = bed.client("iotwireless"), GatewayOperations._describe_listed
        gone = bed.gateways[1].id

        def delete_first(operations: GatewayOperations, gateway: Gateway) -> dict[str, object]:
            if gateway.id == gone:
                operations.service.delete_gateway(operations.owner, gone)
            return real(operations, gateway)

        monkeypatch.setattr(GatewayOperations, "_describe_listed", delete_first)
        listed = client.list_wireless_gateways()["WirelessGatewayList"]
        assert [one["Id"] for one in listed] == [bed.gateways[0].id, bed.gateways[2].id]


def test_a_name_that_is_not_unicode_is_refused_and_later_lists_work() -> None:
    with Testbed() as bed:
        client = bed.client("iotwireless")
        with pytest.raises(client.exceptions.ValidationException, match=r"Value 'x\\ud800' at 'Name' failed"):
            client.update_wireless_gateway(Id=bed.gateways[0].id, Name="x\ud800")
        with pytest.raises(client.exceptions.ValidationException, match="valid Unicode"):
            client.tag_resource(
                ResourceArn=client.list_wireless_gateways()["WirelessGatewayList"][0]["Arn"],
                Tags=[{"Key": "\udfff", "Value": "v"}],
            )
        assert len(client.list_wireless_gateways()["WirelessGatewayList"]) == 1


def test_the_output_of_an_executed_update_is_bounded(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.tmp.mkdir(exist_ok=True)
    update = home.tmp / "update.bin"
    update.write_text("#!/bin/sh\nhead -c 5000000 /dev/zero | tr '\\0' x\n")
    update.chmod(0o755)
    said = [line.text for line in runner.execute(home, update).lines]
    assert sum(map(len, said)) < 70_000
    assert said[-1] == f"({5_000_000 - 65536} more bytes of output were dropped)"
