"""The report on a rollout: each form says what the journal contains, and no text from the account becomes markup."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from markdown_it import MarkdownIt
from rollout_example import carry_out
from rollout_memory import HOUR_MS, MemoryAws, make_gateways, make_plan, run_apply

from lorafw.cli import main
from lorafw.fleet.plan import Abort, Plan, Threshold, Wave
from lorafw.lab.plots import wave_course
from lorafw.lab.plots.figure import AccessibleFigure
from lorafw.rollout import (
    Command,
    Report,
    command,
    format_html,
    format_markdown,
    format_report,
    read_plan,
    read_report,
    read_state,
    write_csv,
    write_html,
    write_markdown,
    write_parquet,
)
from lorafw.rollout.application import read_journal
from lorafw.rollout.engine import Until
from lorafw.rollout.events import CreateIntended, StatusChanged
from lorafw.rollout.evolution import evolve
from lorafw.rollout.journal import open_journal
from lorafw.rollout.plan_text import describe_status
from lorafw.rollout.state import initial_state


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plan and the journal of a rollout that was carried out."""
    folder = tmp_path_factory.mktemp("rollout")
    carry_out(folder)
    return folder


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    return read_report(read_plan(folder / "rollout.plan"), folder / "rollout.journal")


@pytest.fixture(scope="module")
def pictures(report: Report) -> list[AccessibleFigure]:
    return [wave_course(course) for course in report.courses]


# --- what it tells ---


def test_each_form_names_every_gateway_that_is_not_completed_with_its_reason(report: Report) -> None:
    assert Counter(gateway["status"] for gateway in report.document["not_completed"]) == {"FAILED": 1, "waiting": 6}
    for text in (format_report(report.document), format_html(report), format_markdown(report)):
        assert re.search(r"gw-00001.*FAILED since .*: still presents the old version", text, re.DOTALL)
        assert "6 gateways were not given a task" in text
        assert "gw-00000" not in text
    for text in (format_html(report), format_markdown(report)):
        for number in range(3, 9):
            assert f"gw-0000{number}" in text


def test_each_form_says_what_was_planned_predicted_and_seen(report: Report) -> None:
    for text in (format_report(report.document), format_html(report), format_markdown(report)):
        assert "2 COMPLETED, 1 FAILED, 0 not ended" in text
        assert re.search(r"2 to 3 COMPLETED, 0 to 1 FAILED and at most \d stalled after \d+\.\d h", text)
        assert re.search(r"[23](\.\d+)? COMPLETED and 0(\.\d+)? FAILED on average in the end", text)
        assert "s3://bucket/fw" in text.replace("&#58;", ":")
        assert "PackageVersion='1.0.1'" in text.replace("&#39;", "'")


def test_each_form_and_the_status_prove_that_no_gateway_was_given_two_tasks(folder: Path, report: Report) -> None:
    state = read_state(read_plan(folder / "rollout.plan"), folder / "rollout.journal")
    reports = (format_report(report.document), format_html(report), format_markdown(report))
    for text in (describe_status(state), *reports):
        assert "3 created for 3 of 9 gateways; no gateway was given more than 1" in text
        assert "asks AWS whether" in text
    for text in reports:
        assert "3 calls were announced in the journal before they were made" in text
        assert "One with AutoCreateTasks that matches the gateways of the plan holds the rollout." in text


def test_a_second_task_would_be_told(folder: Path) -> None:
    plan, path = read_plan(folder / "rollout.plan"), folder / "rollout.journal"
    state, events = read_journal(plan, path)
    creation = next(event for event in events if isinstance(event, StatusChanged) and event.from_status is None)
    told = describe_status(evolve(state, [creation]))
    assert "4 created for 3 of 9 gateways; no gateway was given more than 2" in told


def test_a_call_whose_outcome_is_not_known_is_told(folder: Path) -> None:
    state = initial_state(read_plan(folder / "rollout.plan"))
    told = describe_status(evolve(state, [CreateIntended(at_ms=0, gateway="gw-00000")]))
    assert "0 created for 0 of 9 gateways; of 1 more 'apply' asks AWS first whether they exist" in told


def test_each_form_and_the_status_say_what_one_failed_gateway_means(folder: Path, report: Report) -> None:
    state = read_state(read_plan(folder / "rollout.plan"), folder / "rollout.journal")
    for text in (describe_status(state), format_report(report.document), format_html(report), format_markdown(report)):
        assert "wave 1: 1 of 3 gateways FAILED (33.33 %); its gate has stopped the rollout" in text
        assert "this rollout does not try it again" in text
        assert "the rollout goes on unless" not in text
    assert "to try FAILED gateways again: clean, then a new plan for them (plan --fleet)" in describe_status(state)


def test_while_the_rollout_runs_the_status_says_how_close_gate_and_criterion_are(tmp_path: Path) -> None:
    waves = (Wave(size=4, bake_s=24 * 3600, gate=Threshold(success=0.7, error=0.5)), Wave(size=2))
    gateways = make_gateways(6, period_ms=HOUR_MS, failing={1: 3})
    ids = [gateway.id for gateway in gateways]
    plan = make_plan(Plan(waves=waves, abort=Abort(threshold=0.5, minimum_executed=5)), ids, period_ms=HOUR_MS)
    aws = MemoryAws(gateways)
    run_apply(aws, plan, tmp_path / "journal", Until.IDLE)
    aws.advance(8 * 3600)
    told = describe_status(run_apply(aws, plan, tmp_path / "journal", Until.IDLE))
    assert (
        "wave 1: 1 of 4 gateways FAILED (25 %); its gate goes on when completed / size >= 70 %, stops when "
        "failed / size >= 50 %" in told
    )
    assert "all waves: 4 tasks have ended, 1 of them FAILED; the rollout stops when failed / ended >= 50 % and" in told
    assert "the rollout goes on unless a gate or the abort criterion stops it" in told


def test_checks_of_a_gate_that_say_the_same_are_one_decision(report: Report) -> None:
    decisions = [decision for decision in report.document["decisions"] if decision["decision"].startswith("gate")]
    assert [(decision["decision"], decision["times"]) for decision in decisions] == [
        ("gate of wave 1: hold", 12),
        ("gate of wave 1: abort", 1),
    ]
    assert decisions[0]["time"] < decisions[0]["until"] < decisions[1]["time"]
    assert f"(12 times, last {decisions[0]['until']})" in format_report(report.document)


def test_a_lab_can_be_asked_why(folder: Path) -> None:
    def explain(gateway: str) -> list[str]:
        return [f"{gateway} has another key", "  sig-0.key"]

    asked = read_report(read_plan(folder / "rollout.plan"), folder / "rollout.journal", explain)
    for text in (format_report(asked.document), format_html(asked), format_markdown(asked)):
        assert "gw-00001 has another key" in text
        assert "gw-00003 has another key" not in text, "a gateway without a task needs no explanation"


def test_a_rollout_that_was_only_planned_has_a_report(folder: Path, tmp_path: Path) -> None:
    planned = read_report(read_plan(folder / "rollout.plan"), tmp_path / "none.journal")
    assert planned.document["state"] == "planned"
    assert "apply has not started" in format_html(planned)
    assert "apply has not started" in format_markdown(planned)
    assert write_csv(planned, tmp_path / "log.csv") == 0


# --- the page and the Markdown ---


class Page(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_holds_its_pictures_with_their_words_and_loads_nothing(
    report: Report, pictures: list[AccessibleFigure]
) -> None:
    page = Page(format_html(report, pictures))
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [image["alt"] for image in images] == [picture.alt for picture in pictures]
    assert all((image["src"] or "").startswith("data:image/svg+xml;base64,") for image in images)
    names = {name for tag, attributes in page.tags for name in attributes}
    assert not {name for name in names if name.startswith("on") or name == "href"}
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "a", "form"}
    policy = next(attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_equal_rollouts_have_equal_pages(report: Report) -> None:
    first, second = ([wave_course(report.courses[0])] for _ in range(2))
    assert format_html(report, first) == format_html(report, second)


def test_markdown_shows_the_pictures_that_are_written_beside_it(
    report: Report, pictures: list[AccessibleFigure], tmp_path: Path
) -> None:
    files = write_markdown(report, tmp_path / "the report.md", pictures)
    assert [file.name for file in files] == ["the report-wave-1.png", "the report-wave-2.png", "the report.md"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files[:2])
    tokens = [
        child
        for token in MarkdownIt("gfm-like", {"linkify": False}).parse(files[2].read_text())
        for child in token.children or []
    ]
    images = [token for token in tokens if token.type == "image"]
    assert [image.attrs["src"] for image in images] == ["the%20report-wave-1.png", "the%20report-wave-2.png"]
    assert [image.content for image in images] == [re.sub(r"([|#])", r"\\\1", picture.alt) for picture in pictures]


HOSTILE = (
    "</td><script>alert(1)</script><img src=x onerror=alert(2)> | [link](javascript:alert(3)) `code` **bold** "
    "http://evil.example www.evil.example @somebody\n# heading \u202e\x1b[2J"
)


@pytest.fixture
def hostile(tmp_path: Path) -> Report:
    """A rollout in which every text that others can choose is hostile: names, ids, reasons, actors and problems."""
    gateways = make_gateways(3, period_ms=HOUR_MS)
    gateways[0] = replace(gateways[0], id=HOSTILE)
    ids = [gateway.id for gateway in gateways]
    plan = make_plan(
        Plan(name=HOSTILE, waves=(Wave(size=3),)),
        ids,
        period_ms=HOUR_MS,
        created_by=HOSTILE,
        findings=(HOSTILE,),
        assumptions=((HOSTILE, HOSTILE, HOSTILE),),
    )
    aws = MemoryAws(gateways)
    aws.gateways[HOSTILE].version = {"PackageVersion": HOSTILE}
    journal = tmp_path / "journal"
    run_apply(aws, plan, journal, Until.HOLD)
    command(plan, journal, Command.ABORT, actor=HOSTILE, reason=HOSTILE, clock=aws.clock())

    def explain(_: str) -> list[str]:
        return [HOSTILE]

    return read_report(plan, journal, explain)


def test_nothing_from_the_account_becomes_a_part_of_the_page(hostile: Report) -> None:
    text = format_html(hostile)
    page = Page(text)
    known = {tag for tag, _ in Page(format_html(replace_names(hostile))).tags}
    assert {tag for tag, _ in page.tags} == known
    assert "script" not in known
    assert "img" not in known
    assert page.text.count("<script>alert(1)</script>") > 8
    assert "\x1b" not in text
    assert "\u202e" not in text


def replace_names(report: Report) -> Report:
    """The same report with a harmless text in every place."""
    text = json.dumps(report.document).replace(json.dumps(HOSTILE)[1:-1], "harmless")
    return replace(report, document=json.loads(text))


def test_nothing_from_the_account_becomes_markup_in_markdown(hostile: Report) -> None:
    text = format_markdown(hostile)
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    inline = [child for token in tokens for child in token.children or []]
    assert {token.type for token in inline} <= {"text", "text_special"}
    assert not [token for token in tokens if token.type.startswith("html")]
    headings = [token for token in tokens if token.type == "heading_open"]
    assert len(headings) == 6
    shown = "".join(token.content for token in inline)
    assert "<script>alert(1)</script>" in shown
    assert "[link](javascript:alert(3))" in shown
    # Some readers make a link of a bare address, and a mention of a name.
    assert not re.search(r"http://|www\.|@", text)


# --- the task log ---


def test_the_csv_file_has_the_rows_of_the_journal(report: Report, folder: Path, tmp_path: Path) -> None:
    assert write_csv(report, tmp_path / "log.csv") == 11
    with (tmp_path / "log.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    with open_journal(folder / "rollout.journal", read_plan(folder / "rollout.plan")) as journal:
        logged = journal.task_log()
    assert head == ["time", "gateway", "attempt", "from_status", "to_status", "cause"]
    start_ms = logged[0][0]
    wanted = [
        (time - start_ms, gateway, attempt, start or "", *rest) for time, gateway, attempt, start, *rest in logged
    ]
    assert rows == [[str(cell) for cell in row] for row in wanted]


def test_the_parquet_file_has_the_rows_of_the_csv_file_and_says_what_they_are(report: Report, tmp_path: Path) -> None:
    import pyarrow.parquet

    write_csv(report, tmp_path / "log.csv")
    assert write_parquet(report, tmp_path / "log.parquet") == len(report.log)
    read = pd.read_parquet(tmp_path / "log.parquet")
    as_text = read.astype({name: "object" for name in read.columns if read[name].dtype == "category"})
    pd.testing.assert_frame_equal(as_text, pd.read_csv(tmp_path / "log.csv"), check_dtype=False)
    metadata = pyarrow.parquet.read_schema(tmp_path / "log.parquet").metadata
    provenance = json.loads(metadata[b"lorafw"])
    assert provenance["plan"] == report.document["plan"]
    assert provenance["started"] == report.document["started"]


# --- the command ---


def run(folder: Path, *words: str, status: int = 0) -> Result:
    result = CliRunner().invoke(main, ["rollout", "report", str(folder / "rollout.plan"), *words])
    assert result.exit_code == status, result.output
    return result


def test_the_command_prints_the_report_and_writes_the_files_that_are_named(folder: Path, tmp_path: Path) -> None:
    names = {"--html": "r.html", "--markdown": "r.md", "--csv": "r.csv", "--parquet": "r.parquet"}
    options = [str(word) for option, name in names.items() for word in (option, tmp_path / name)]
    (tmp_path / "r.html").write_text("old")
    result = run(folder, *options)
    assert "Gateways that are not COMPLETED: 7" in result.stdout
    assert "r.html: 2 pictures" in result.stderr
    assert "r.md: pictures in r-wave-1.png, r-wave-2.png" in result.stderr
    assert "r.csv: 11 rows" in result.stderr
    assert (tmp_path / "r.html").read_text().startswith("<!DOCTYPE html>")
    assert {file.name for file in tmp_path.iterdir()} == {*names.values(), "r-wave-1.png", "r-wave-2.png"}


def test_a_file_that_cannot_be_written_is_named(folder: Path, tmp_path: Path) -> None:
    output = run(folder, "--csv", str(tmp_path / "missing" / "r.csv"), status=1).output
    assert str(tmp_path / "missing" / "r.csv") in output
    assert "Traceback" not in output


def test_without_matplotlib_the_command_says_what_to_install_and_writes_nothing(folder: Path, tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['matplotlib'] = None; from lorafw.cli import main; "
        f"main(['rollout', 'report', {str(folder / 'rollout.plan')!r}, '--csv', 'r.csv', '--html', 'r.html'])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "--html needs matplotlib: pip install 'lorafw[lab]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_text_alone_needs_neither_matplotlib_nor_jinja(folder: Path) -> None:
    script = (
        "import sys; from lorafw.cli import main; "
        f"main(['rollout', 'report', {str(folder / 'rollout.plan')!r}], standalone_mode=False); "
        "print({'matplotlib', 'jinja2', 'pandas', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_page_is_written_as_a_whole(report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    write_html(report, path)
    before = path.read_text()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_html(report, path)
    assert path.read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
