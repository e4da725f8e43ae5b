"""`lorafw simulate`: the real command, its figures compared with closed forms, and its errors for bad input."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result
from moto.server import ThreadedMotoServer

from lorafw.cli import main
from lorafw.cli.rollout_inputs import DEFAULT_FLEET_BY_PLAN
from lorafw.cli.simulate import PICTURES, SWEEP
from lorafw.fleet import compare, mixed_fleet, reference_fleet, reference_plan, simulate, typical_plan, waves_plan
from lorafw.fleet.io import read_parquet
from lorafw.fleet.io.account import fleet_from_account
from lorafw.fleet.io.columns import COLUMNS
from lorafw.fleet.presets import PLANS
from lorafw.iotwireless import register

Run = Callable[..., Any]


@pytest.fixture
def command(tmp_path: Path) -> Run:
    """The real command, in an empty folder; gives the finished process."""

    def run(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "lorafw", "simulate", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
        )
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The same in this process, for what needs no process of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, status: int = 0) -> Result:
        result = CliRunner().invoke(main, ["simulate", *arguments])
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        return result

    return run


def test_the_reference_in_json_is_what_the_closed_form_says(command: Run) -> None:
    done = command("--preset", "reference", "--gateways", "200000", "--json")
    answer = json.loads(done.stdout)
    assert done.stderr == ""
    assert answer["gateways"] == 200_000
    intervals = answer["intervals"]
    for name, truth in (("completed_share", 0.999), ("failed_share", 0.001), ("mean_sends", 1.11)):
        low, high = intervals[name]
        assert low < truth < high, name
        assert low < answer[name] < high
    assert set(answer["time_to_completed_s"]) >= {"p50", "p95"}
    assert 0 < answer["time_to_completed_s"]["p50"] < answer["time_to_completed_s"]["p95"] < answer["time_to_last_s"]
    assert "sweep" not in answer
    assert {row["source"] for row in answer["assumptions"]} >= {"assumption"}


def test_the_command_answers_what_the_library_answers(command: Run) -> None:
    answer = json.loads(
        command("--gateways", "700", "--seed", "5", "--replications", "3", "--fails", "0.2", "--json").stdout
    )
    summary = simulate(mixed_fleet(700), typical_plan(fails=0.2), seed=5, replications=3).summary()
    assert {key: answer[key] for key in summary.to_json()} == summary.to_json()
    assert answer["plan"]["update"]["fails"] == 0.2


def test_the_table_has_the_sweep_and_every_assumption(command: Run) -> None:
    text = command("--gateways", "3000").stdout
    for words in ("COMPLETED", "FAILED", "95 % interval", "last gateway has ended after", "bytes sent"):
        assert words in text
    for rate in SWEEP:
        assert f"\n  {rate * 100:g} %" in text
    for name, _, source in simulate(mixed_fleet(3000), typical_plan()).assumptions():
        assert name in text
        assert source in text


def test_one_json_document_has_the_sweep_when_asked(cli: Callable[..., Result]) -> None:
    answer = json.loads(cli("--preset", "reference", "--gateways", "50000", "--sweep", "--json").stdout)
    assert [row["fails"] for row in answer["sweep"]] == list(SWEEP)
    for row in answer["sweep"]:
        low, high = row["intervals"]["mean_sends"]
        assert low < 1 + row["fails"] + row["fails"] ** 2 < high


@pytest.mark.parametrize("preset", DEFAULT_FLEET_BY_PLAN)
def test_every_preset_runs_and_is_described(cli: Callable[..., Result], preset: str) -> None:
    assert PLANS[preset]().name in cli("--preset", preset, "--gateways", "3000").stdout


def test_waves_tell_what_each_gate_said(cli: Callable[..., Result]) -> None:
    text = cli("--preset", "waves", "--gateways", "4000", "--fails", "0.6", "--no-sweep").stdout
    assert "its gate said abort" in text
    assert text.count("did not begin") == 3
    assert "aborted" in text
    several = cli(
        "--preset", "waves", "--gateways", "400", "--fails", "0.6", "--no-sweep", "--replications", "4"
    ).stdout
    assert "rollouts aborted" in several
    assert "its gate let 0 % go on" in several


def test_a_canary_that_is_too_small_for_its_gate_is_pointed_out(cli: Callable[..., Result]) -> None:
    small = cli("--preset", "canary", "--gateways", "1000", "--no-sweep").stdout
    assert "wave 1   10 gateways" in small
    assert "too few for its gate ever to say go: that takes 27, all COMPLETED" in small
    assert "too few" not in cli("--preset", "canary", "--gateways", "2700", "--no-sweep").stdout


def test_the_example_is_a_rollout_that_runs(command: Run, tmp_path: Path) -> None:
    (tmp_path / "rollout.toml").write_text(command("--example").stdout)
    answer = json.loads(command("rollout.toml", "--gateways", "40000", "--json").stdout)
    assert answer["gateways"] == 40_000
    assert len(answer["plan"]["waves"]) == 2


def test_a_file_with_a_plan_alone_is_tried_on_the_mixed_fleet(cli: Callable[..., Result]) -> None:
    Path("plan.toml").write_text('[plan]\nname = "mine"\nupdate = { fails = 0.5 }\n')
    answer = json.loads(cli("plan.toml", "--gateways", "300", "--json").stdout)
    assert answer["plan"]["name"] == "mine"
    assert (
        answer["time_to_last_s"] == simulate(mixed_fleet(300), typical_plan(fails=0.5)).summary().time_to_last_s.value
    )


def test_every_column_of_a_table_is_explained(cli: Callable[..., Result]) -> None:
    lines = cli("--columns").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(COLUMNS)
    assert all(len(line.split()) > 2 for line in lines)


def test_a_csv_is_the_fleet(cli: Callable[..., Result]) -> None:
    Path("gateways.csv").write_text("gateway,has_key\na,yes\nb,no\n")
    answer = json.loads(cli("--fleet", "gateways.csv", "--fails", "0", "--json").stdout)
    assert (answer["gateways"], answer["completed_share"], answer["failed_share"]) == (2, 0.5, 0.5)
    assert answer["assumptions"][0]["source"] == "gateways.csv"


def test_an_account_is_the_fleet(command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over HTTP, as boto3 is set up by the lines that 'lorafw serve' prints."""
    register()
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, text in (
            ("ENDPOINT_URL", f"http://{host}:{port}"),
            ("ACCESS_KEY_ID", "x"),
            ("SECRET_ACCESS_KEY", "x"),
            ("DEFAULT_REGION", "us-east-1"),
        ):
            monkeypatch.setenv(f"AWS_{name}", text)
        client = boto3.client("iotwireless")
        for number in range(3):
            lorawan = {"GatewayEui": f"58a0cbfffe70000{number}", "RfRegion": "EU868"}
            client.create_wireless_gateway(LoRaWAN=lorawan)
        known = fleet_from_account(client, sleep=lambda _: None).size
        answer = json.loads(command("--account", "--json").stdout)
        assert answer["gateways"] == known >= 3
        assert answer["assumptions"][0]["source"] == "account, us-east-1"
    finally:
        server.stop()


def test_comparing_two_plans_gives_the_interval_of_the_difference(cli: Callable[..., Result]) -> None:
    arguments = ("--compare", "at-once", "waves", "--gateways", "500", "--fails", "0.5", "--replications", "8")
    answer = json.loads(cli(*arguments, "--json").stdout)
    rows = compare(mixed_fleet(500), typical_plan(fails=0.5), waves_plan(fails=0.5), replications=8)
    for ours, row in zip(answer["figures"], rows, strict=True):
        assert ours["name"] == row.name
        assert (ours["difference"]["low"], ours["difference"]["high"]) == (row.difference.low, row.difference.high)
    text = cli(*arguments).stdout
    assert "difference" in text
    assert "everything at once" in text
    assert "8 rollouts of each plan with common random numbers" in text


def test_plans_of_files_can_be_compared(cli: Callable[..., Result]) -> None:
    Path("a.toml").write_text("[plan]\nrandom_delay_s = 86400\n")
    text = cli("--compare", "a.toml", "at-once", "--gateways", "200", "--replications", "3").stdout
    assert "(A)" in text
    assert "(B)" in text


def test_parquet_and_plot_are_written_and_reported(command: Run, tmp_path: Path) -> None:
    done = command(
        "--preset", "reference", "--gateways", "500", "--parquet", "log.parquet", "--plot", "p.png", "--json"
    )
    log, _ = read_parquet(tmp_path / "log.parquet")
    assert log.tobytes() == simulate(reference_fleet(500), reference_plan()).events.tobytes()
    assert f"Wrote log.parquet: {len(log)} rows" in done.stderr
    assert "Wrote p.png: Rollout by status, 500 gateways" in done.stderr
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    json.loads(done.stdout)


@pytest.mark.parametrize("picture", PICTURES)
def test_each_picture_can_be_asked_for(cli: Callable[..., Result], picture: str) -> None:
    cli("--gateways", "50", "--no-sweep", "--plot", "p.svg", "--picture", picture)
    assert Path("p.svg").read_text().startswith("<?xml")


def test_pictures_are_those_that_there_are() -> None:
    from lorafw.lab.plots import PICTURES as DRAWN

    assert tuple(DRAWN) == PICTURES


def test_a_json_answer_loads_neither_pandas_nor_matplotlib_nor_boto3() -> None:
    code = (
        "import sys; from lorafw.cli import main\n"
        "try: main(['simulate', '--gateways', '50', '--json'])\n"
        "except SystemExit: pass\n"
        "heavy = {'pandas', 'matplotlib', 'boto3', 'moto', 'pyarrow', 'scipy.stats'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_person_sees_a_bar_on_long_work_and_a_pipe_does_not(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "lorafw", "simulate", "--preset", "reference", "--gateways", "2000000", "--json"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, "TERM": "xterm"}
    ) as process:
        os.close(theirs)
        shown = b"".join(iter(lambda: _read(ours), b"")).decode()
        answer = process.communicate()[0]
    os.close(ours)
    assert "Simulating" in shown
    assert "100%" in shown
    json.loads(answer)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux says so when the other side has closed
        return b""


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--preset", "canari"], 2, ["'canari'", "canary"]),
        (["--gateways", "0"], 2, ["--gateways", "x>=1"]),
        (["--gateways", "many"], 2, ["'many'"]),
        (["--fails", "1.5"], 2, ["--fails", "0<=x<=1"]),
        (["--fails", "nan"], 2, ["--fails", "nan", "finite number"]),
        (["--seed", "-1"], 2, ["--seed", "x>=0"]),
        (["--replications", "0"], 2, ["--replications", "x>=1"]),
        (["--ci", "1"], 2, ["--ci", "0<x<1"]),
        (["nowhere.toml"], 2, ["nowhere.toml", "does not exist"]),
        (["bad.toml"], 1, ["bad.toml", "plan.update", "did you mean 'fails'"]),
        (["no.toml"], 1, ["no.toml", "not TOML"]),
        (["large.toml"], 1, ["the waves take 90000 gateways; the fleet has 10000"]),
        (["left.toml"], 1, ["leave out 9990 of 10000", "add a last wave"]),
        (["shares.toml"], 1, ["shares.toml", "add up to 0.7, not to 1"]),
        (["empty.toml"], 1, ["fleet.gateways is missing"]),
        (["tables.toml"], 1, ["tables.toml", "'plans'", "did you mean 'plan'"]),
        (["nothing.toml"], 1, ["nothing.toml", "neither a table [fleet] nor a table [plan]"]),
        (["--gateways", "1000000000000"], 2, ["1,000,000,000,000", "GB", "at most"]),
        (["--account"], 1, ["AWS_DEFAULT_REGION"]),
        (["gateways.csv"], 2, ["--fleet gateways.csv"]),
        (["--fleet", "gateways.csv"], 1, ["gateways.csv", "line 2", "'poll_period_s'", "'soon'"]),
        (["--fleet", "gateways.csv", "--gateways", "3"], 2, ["--gateways goes with"]),
        (["--fleet", "gateways.csv", "--account"], 2, ["give one"]),
        (["--compare", "at-once"], 2, ["--compare", "2 arguments"]),
        (["--compare", "at-once", "wave"], 1, ["'wave'", "did you mean 'waves'"]),
        (["--compare", "at-once", "waves", "--plot", "x.png"], 2, ["not with --compare"]),
        (["--compare", "at-once", "waves", "--replications", "1"], 1, ["replications", "from 2"]),
        (["--plot", "x.gif"], 1, ["x.gif", ".png, .svg, .pdf"]),
        (["--plot", "nowhere/x.png"], 1, ["nowhere/x.png", "No such file"]),
        (["--parquet", "nowhere/x.parquet"], 1, ["nowhere", "No such file"]),
        (["--picture", "pie"], 2, ["'pie'", "timeline"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_names_what_is_wrong_and_what_helps(
    cli: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    status: int,
    words: list[str],
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    for name, text in (
        ("bad.toml", "[plan.update]\nfail = 0.1\n"),
        ("no.toml", "[plan\n"),
        ("large.toml", "[[plan.waves]]\nsize = 90000\n"),
        ("left.toml", "[[plan.waves]]\nsize = 10\n"),
        ("shares.toml", "[[plan.waves]]\nshare = 0.3\n[[plan.waves]]\nshare = 0.4\n"),
        ("empty.toml", "[fleet]\n"),
        ("tables.toml", "[plans]\n"),
        ("nothing.toml", "# a comment\n"),
        ("gateways.csv", "poll_period_s\nsoon\n"),
    ):
        Path(name).write_text(text)
    before = sorted(Path().iterdir())
    output = cli(*arguments, status=status).output
    for word in words:
        assert word in output
    assert sorted(Path().iterdir()) == before


def test_help_says_what_the_command_does_with_examples(cli: Callable[..., Result]) -> None:
    text = cli("--help").stdout
    for words in ("AutoCreateTasks", "lorafw simulate --preset canary", "--example", "[default: 10000]", "random"):
        assert words in text
