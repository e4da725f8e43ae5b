"""``lorafw rollout`` as people run it, against a real API on loopback, and the targets that it refuses."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result
from moto.sts.models import STSBackend

from lorafw import example
from lorafw.cli import main
from lorafw.errors import JournalError, WrongTarget
from lorafw.localaws.connection import connect_clients
from lorafw.rollout import connect_account
from lorafw.rollout.file_system import lock_journal
from lorafw.rollout.observations import GatewaysListed
from lorafw.testbed import Testbed
from lorafw.version import GatewayVersion

TOML = """
[fleet]
gateways = 3
period_s = 10
gone = 0
[plan]
name = "three roofs"
[[plan.waves]]
size = 1
gate = { kind = "manual" }
[[plan.waves]]
size = 2
"""
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def bed() -> Iterator[Testbed]:
    with Testbed(gateways=3, interval_s=10) as bed:
        yield bed


@pytest.fixture(scope="module")
def environment(bed: Testbed) -> Iterator[dict[str, str]]:
    with bed.api_over_http() as variables:
        yield variables


@pytest.fixture
def run(bed: Testbed, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in a folder with a TOML file and an input.json. The testbed's clock does not move by itself."""
    monkeypatch.chdir(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    Path("rollout.toml").write_text(TOML)
    source = bed.upload(example.update_file())
    members = example.input_json(data_source=source, current_version=GatewayVersion(package="1.0.0"))
    Path("input.json").write_text(json.dumps(members))

    def command(*words: str, status: int = 0) -> Result:
        result = CliRunner().invoke(main, ["rollout", *words])
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        return result

    return command


def planned(run: Run) -> dict[str, Any]:
    result = run("plan", "rollout.toml", "--definition", "input.json", "--lab", "--json")
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_plan_prints_the_figures_of_simulate_and_sends_nothing(run: Run, bed: Testbed) -> None:
    document = planned(run)
    simulated = json.loads(CliRunner().invoke(main, ["simulate", "rollout.toml", "--json"]).stdout)
    for name in ("completed_share", "failed_share", "mean_sends", "time_to_completed_s", "time_to_last_s", "intervals"):
        assert document[name] == simulated[name], name
    assert document["saved"]["prediction"]["replications"] == 2000
    assert document["saved"]["definition"]["AutoCreateTasks"] is False
    assert not bed.log
    assert not bed.client("iotwireless").list_wireless_gateway_task_definitions()["TaskDefinitions"]
    shown = run("show").output
    assert "wave 1      1 gateways; after 0 s goes on when somebody promotes the rollout" in shown
    assert json.loads(run("status", "--json", status=4).stdout)["state"] == "planned"


def test_a_rollout_from_plan_to_clean_with_its_exit_statuses(run: Run, bed: Testbed) -> None:
    planned(run)
    held = run("apply", "--until-hold", status=5)
    assert "waits for 'lorafw rollout promote'" in held.output
    held = json.loads(run("status", "--json", status=5).stdout)
    assert held["counts"]["PENDING"] == 1
    assert held["apply_is_running"] is False
    answers = run("status", status=5).output
    assert "'apply' is not running. Nothing is created or checked before you run: lorafw rollout apply" in answers
    assert "it waits for you" in answers
    assert "to go on: promote --reason TEXT; to stop: abort --reason TEXT" in answers
    run("pause", "--reason", "lunch")
    paused = run("apply", "--once", status=6).output
    assert re.search(r"by \S+@\S+ at 20\S+Z: lunch", paused)
    assert "to go on: resume" in paused
    run("resume", "--reason", "coffee")
    run("promote", "--reason", "it looks good")
    run("apply", "--once", status=4)
    assert len(bed.log) == 3
    bed.advance(40)
    run("abort", "--reason", "the weather")
    result = run("apply", status=3)
    assert re.search(r"by \S+@\S+ at 20\S+Z: the weather", result.output)
    assert "to go back, roll out the old firmware as a new update" in result.output
    report = json.loads(run("report", "--json").stdout)
    told = {(decision["decision"], decision["reason"]) for decision in report["decisions"]}
    assert {("pause", "lunch"), ("promote", "it looks good"), ("abort", "the weather")} <= told
    assert all(decision["actor"] and decision["time"] for decision in report["decisions"])
    assert "Gateways that are not COMPLETED" in run("report").output
    explained = run("report", "--explain").output
    assert explained.count("Last CUPS request") == len([g for g in report["not_completed"] if g["attempt"]]) > 0
    run("clean")
    with pytest.raises(bed.client("iotwireless").exceptions.ResourceNotFoundException):
        bed.client("iotwireless").get_wireless_gateway_task(Id=bed.gateways[0].id)
    assert "the rollout has ended" in run("pause", "--reason", "late", status=1).output


def test_a_plan_with_a_wave_without_gateways_is_refused_as_simulate_refuses_it(run: Run) -> None:
    Path("rollout.toml").write_text(TOML.replace("size = 1", "share = 0.1").replace("size = 2", "share = 0.9"))
    problem = "wave 1 has no gateway: its share, 0.1 of 3, rounds to 0 gateways; make it at least 1/3"
    assert problem in run("plan", "rollout.toml", "--definition", "input.json", "--lab", status=1).output
    assert problem in CliRunner().invoke(main, ["simulate", "rollout.toml"]).output
    assert not Path("rollout.plan").exists()


def test_a_plan_for_a_table_without_gateways_or_without_their_ids_is_refused(run: Run) -> None:
    words = ("plan", "rollout.toml", "--definition", "input.json", "--lab", "--fleet", "gateways.csv")
    Path("gateways.csv").write_text("gateway\n")
    assert "gateways.csv: there is no gateway in it; a fleet needs at least one row" in run(*words, status=1).output
    Path("gateways.csv").write_text("region\neu\neu\n")
    assert "the fleet has 2 gateways, and account 123456789012, us-east-1" in run(*words, status=1).output


def test_a_plan_for_a_lab_without_gateways_is_refused(run: Run, bed: Testbed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lorafw.rollout.planning.list_gateways", lambda _: GatewaysListed({}))
    told = run("plan", "rollout.toml", "--definition", "input.json", "--lab", status=1).output
    assert "there is no LoRaWAN gateway in account 123456789012, us-east-1, at the lab" in told


ANSWERS = {
    "What happens if I press Ctrl-C now?": ("apply", "Tasks that exist go on by themselves, no new ones are created"),
    "What if my laptop sleeps?": ("", "the machine can sleep: tasks that exist go on by themselves"),
    "Can I run two at once?": ("", "Two rollouts can run at the same time if no gateway is in both."),
    "What if a colleague applies a copy of my plan?": (
        "",
        "with another journal, for example on another machine, 'apply' holds",
    ),
    "What is left in AWS after an abort?": ("", "A rollout leaves its tasks and its task definition in AWS."),
    "Could it change another account?": ("", "They ask AWS which account they have reached, and refuse any other."),
    "What does a script look at?": ("status", "use the exit status or 'state' of --json"),
    "How do I know that no gateway gets two tasks?": ("", "After a crash it asks AWS first whether the task exists."),
    "Can another definition give it a second one?": ("", "holds if AutoCreateTasks of another definition"),
    "Where do I see it?": ("", "'status' and 'report' count the tasks of each gateway."),
    "What happens with one FAILED gateway meanwhile?": ("apply", "It counts in the gate of its wave and in the abort"),
    "Is it tried again?": ("apply", "This rollout does not try it again."),
    "How do I undo?": ("", "To go back, roll out the old firmware as a new update."),
    "Why does it hold?": ("apply", "'status' says why, and whether it waits for you."),
    "Which gateways are left?": ("status", "'report' names the gateways that are left."),
    "What do I do about one FAILED gateway?": ("clean", "a new plan can try the gateways that FAILED again"),
}
"""Questions of people who use the command for the first time: the command whose help answers, and the answer."""


@pytest.mark.parametrize("question", ANSWERS)
def test_help_answers_what_a_newcomer_asks(question: str) -> None:
    command, answer = ANSWERS[question]
    result = CliRunner().invoke(main, ["rollout", *command.split(), "--help"])
    assert answer in " ".join(result.output.split())


def test_a_changed_or_foreign_plan_and_a_second_apply_are_refused(run: Run) -> None:
    planned(run)
    run("apply", "--once", status=5)
    with lock_journal(Path("rollout.journal")):
        assert "another 'lorafw rollout apply' is running" in run("apply", status=1).output
    document = json.loads(Path("rollout.plan").read_text())
    document["waves"][0]["gateways"] = document["waves"][1]["gateways"]
    Path("changed.plan").write_text(json.dumps(document))
    assert "was changed after it was made" in run("apply", "changed.plan", status=1).output
    run("plan", "rollout.toml", "--definition", "input.json", "--lab", "--seed", "9", "-o", "other.plan")
    assert (
        "is the journal of another plan" in run("apply", "other.plan", "--journal", "rollout.journal", status=1).output
    )
    Path("rollout.journal").write_bytes(b"no journal at all, but long enough to be read as one" * 200)
    assert "is damaged" in run("status", status=1).output


def test_a_stale_plan_names_each_change(run: Run, bed: Testbed) -> None:
    planned(run)
    bed.upload(b"another file")
    gone = bed.add_gateway("58a0cbfffe800099")
    run("plan", "rollout.toml", "--definition", "input.json", "--lab", "-o", "four.plan", status=1)
    bed.client("iotwireless").delete_wireless_gateway(Id=gone.id)
    bed.gateways.remove(gone)
    output = run("apply", status=1).output
    assert "the plan is stale" in output
    assert "the update file s3://iotwirelessfwupdate/fwstation was replaced" in output


def test_the_journal_only_grows(run: Run) -> None:
    planned(run)
    run("apply", "--once", status=5)
    with sqlite3.connect("rollout.journal") as connection:
        for statement in ("DELETE FROM events", "UPDATE events SET at_ms = 0"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
    assert Path("rollout.journal").stat().st_mode & 0o777 == 0o600


def test_a_journal_on_a_network_file_system_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    planned(run)
    mounts = f"36 35 98:0 / {Path.cwd()} rw - nfs4 server:/export rw\n"
    Path("mounts").write_text(mounts)
    monkeypatch.setattr("lorafw.rollout.file_system._MOUNTS", Path("mounts"))
    assert "network file system (nfs4)" in run("apply", status=1).output


# --- where a rollout refuses to go ---


@pytest.fixture(scope="module")
def stranger() -> Iterator[str]:
    """A server on this machine that is not a lab: it answers everything with 200."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


WRONG = {
    "no lab": ({"AWS_ENDPOINT_URL": None}, [], "no lab is known"),
    "not on this machine": ({"AWS_ENDPOINT_URL": "http://10.1.2.3:5000"}, [], "not on this machine"),
    "aws itself": ({"AWS_ENDPOINT_URL": "https://api.iotwireless.us-east-1.amazonaws.com"}, [], "not on this machine"),
    "nothing listens": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, [], "no lab answers"),
    "another program": ({"AWS_ENDPOINT_URL": "STRANGER"}, [], "not a lab"),
    "another Region": ({"AWS_DEFAULT_REGION": "eu-west-1"}, [], "the plan is for account 123456789012, us-east-1"),
    "a missing ready file": ({}, ["--ready-file", "no.json"], "is not there"),
    "an account for a plan of the lab": (
        {"AWS_ENDPOINT_URL": None, "AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": None},
        ["--account", "123456789012"],
        "be reached",
    ),
    "an account at the lab's address": ({}, ["--account", "123456789012"], "which is not AWS"),
    "an account at a service's own address": (
        {"AWS_ENDPOINT_URL": None, "AWS_ENDPOINT_URL_IOT_WIRELESS": "http://127.0.0.1:9"},
        ["--account", "123456789012"],
        "which is not AWS",
    ),
    "an account at a profile's address": (
        {"AWS_ENDPOINT_URL": None, "AWS_CONFIG_FILE": "config", "AWS_PROFILE": "work"},
        ["--account", "123456789012"],
        "which is not AWS",
    ),
    "an account that is no number": ({"AWS_ENDPOINT_URL": None}, ["--account", "production"], "not the number"),
}


TRY_ALL = """
import json, os, sys
from click.testing import CliRunner
from lorafw.cli import main

before, results = dict(os.environ), {}
for name, (changes, options) in json.load(sys.stdin).items():
    os.environ.clear()
    os.environ.update(before)
    for variable, value in changes.items():
        os.environ.pop(variable, None)
        if value is not None:
            os.environ[variable] = value
    done = CliRunner().invoke(main, ["rollout", "apply", "--once", *options])
    results[name] = done.exit_code, done.output
print(json.dumps(results))
"""


def test_twelve_environments_that_lead_elsewhere_are_refused_before_anything_is_sent(
    run: Run, bed: Testbed, stranger: str
) -> None:
    """They are tried in a process without a testbed, because a testbed keeps all of boto3 at home."""
    planned(run)
    rows = len(bed.log)
    Path("config").write_text("[profile work]\nregion = us-east-1\nendpoint_url = http://127.0.0.1:9\n")
    cases = {name: (changes, options) for name, (changes, options, _) in WRONG.items()}
    done = subprocess.run(
        [sys.executable, "-c", TRY_ALL],
        input=json.dumps(cases).replace("STRANGER", stranger),
        env={**os.environ, "AWS_MAX_ATTEMPTS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    results = json.loads(done.stdout)
    assert len(results) == 12
    for name, (status, output) in results.items():
        assert status == 1, (name, output)
        assert WRONG[name][2] in output, (name, output)
    assert len(bed.log) == rows
    assert not Path("rollout.journal").exists()


def test_credentials_of_another_account_than_the_typed_one_are_refused(bed: Testbed) -> None:
    """The testbed answers as account 123456789012, whatever boto3 is configured for."""
    with pytest.raises(WrongTarget, match="belong to account 123456789012, not to 999999999999"):
        connect_account("999999999999")
    assert connect_account("123456789012").target.account == connect_clients(bed.client, "lab").target.account


def test_credentials_that_are_replaced_by_those_of_another_account_are_refused_while_apply_runs(
    bed: Testbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the credentials have failed, ``apply`` makes new clients, which read the credentials anew."""
    connection = connect_account("123456789012")
    connection.clients("iotwireless")
    other = ("AIDA", "arn:aws:iam::999999999999:user/other", "999999999999")
    monkeypatch.setattr(STSBackend, "get_caller_identity", lambda *_: other)
    with pytest.raises(WrongTarget, match="belong to account 999999999999, not to 123456789012"):
        connection.clients("iotwireless")


def test_a_plan_that_has_a_journal_is_not_replaced(run: Run) -> None:
    planned(run)
    before = Path("rollout.plan").read_bytes()
    run("pause", "--reason", "not yet")
    refused = run("plan", "rollout.toml", "--definition", "input.json", "--lab", "--seed", "5", status=1)
    assert "rollout.plan is the plan of the rollout in rollout.journal" in refused.output
    assert Path("rollout.plan").read_bytes() == before
    run("plan", "rollout.toml", "--definition", "input.json", "--lab", "--seed", "5", "-o", "second.plan")


def test_a_plan_of_an_account_asks_for_the_account_to_be_typed(run: Run) -> None:
    planned(run)
    document = json.loads(Path("rollout.plan").read_text())
    from lorafw.rollout.saved_plan import _hash

    del document["sha256"]
    document["target"]["kind"] = "account"
    Path("rollout.plan").write_text(json.dumps({"sha256": _hash(document), **document}))
    assert "type --account 123456789012" in run("apply", status=2).output


def test_a_lock_is_free_as_soon_as_its_process_is_gone(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from lorafw.rollout.file_system import lock_journal\n"
        f"with lock_journal(Path({str(tmp_path / 'j')!r})): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    with lock_journal(tmp_path / "j"), pytest.raises(JournalError), lock_journal(tmp_path / "j"):
        pass
