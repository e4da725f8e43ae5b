"""The panel that follows a rollout shows what the journal contains, and writes commands to it."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rollout_example import LARGER_PLAN, carry_out, plan_on_testbed, save_plan

from lorafw.errors import JournalError, LabError
from lorafw.lab import RolloutMonitor
from lorafw.lab.panels.html import SafeHtml, html
from lorafw.lab.panels.rollout_view import MonitorView, wave_rows
from lorafw.lab.plots.figure import AccessibleFigure
from lorafw.rollout import Command, Until, command, read_report, read_state
from lorafw.rollout.application import read_journal
from lorafw.rollout.file_system import lock_journal
from lorafw.rollout.journal import Journal
from lorafw.testbed import Testbed


@pytest.fixture(autouse=True)
def _draw_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show the alternative text in place of the picture, which takes a third of a second to draw.

    The tests of all panels, in ``test_widgets`` and in a browser, draw it.
    """
    monkeypatch.setattr("lorafw.lab.panels.rollout_view.image", words_of)


def words_of(figure: AccessibleFigure) -> SafeHtml:
    return html(figure.alt)


@pytest.fixture(scope="module")
def carried_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plan and the journal of a rollout that holds at its first gate."""
    folder = tmp_path_factory.mktemp("held")
    carry_out(folder, Until.HOLD)
    return folder


@pytest.fixture
def held(carried_out: Path, tmp_path: Path) -> RolloutMonitor:
    """A monitor of this rollout, which ``apply`` carried out elsewhere. Each test has its own files."""
    shutil.copytree(carried_out, tmp_path, dirs_exist_ok=True)
    return RolloutMonitor(tmp_path / "rollout.plan")


def shown(monitor: RolloutMonitor) -> str:
    return f"{monitor.layout.view.value}{monitor.layout.details.value}"


def test_before_a_rollout_the_panel_shows_what_is_predicted(tmp_path: Path) -> None:
    save_plan(tmp_path)
    monitor = RolloutMonitor(tmp_path / "rollout.plan")
    assert "○ planned" in shown(monitor)
    assert "It has not begun. COMPLETED: 2 to 3 predicted" in shown(monitor)
    assert not (tmp_path / "rollout.journal").exists(), "a panel that only looks writes nothing"


def test_a_rollout_that_holds_is_shown_with_its_reason_its_gates_and_its_gateways(held: RolloutMonitor) -> None:
    assert "◆ holding" in shown(held)
    assert "2 COMPLETED and 1 FAILED of 3" in held.text()
    assert wave_rows(held.view.document)[0][:6] == ("1", "3", "holding", "2", "1", "0")
    assert "goes on when completed / size &gt;= 90 %" in shown(held)
    assert [gateway["gateway"] for gateway in held.view.gateways_needing_attention()] == ["gw-00001"]
    assert held.controls.gateway.value == "gw-00001"
    assert "1 of 3 after 3.2 h (predicted 0 to 1)" in held.text()


def test_another_wave_can_be_looked_at(held: RolloutMonitor) -> None:
    assert "Wave 1, 3 gateways" in shown(held)
    held.controls.wave.value = 1
    assert "Wave 2, 6 gateways. It has not begun." in shown(held)


def test_each_button_writes_its_command_with_the_reason_and_the_person(held: RolloutMonitor) -> None:
    for name, state in (("pause", "paused"), ("resume", "holding"), ("promote", "running"), ("abort", "aborted")):
        held.controls.reason.value = f"why {name}"
        held.controls.commands[Command(name)].click()
        assert not held.error
        assert held.view.document["state"] == state
        assert f"✔ {name.capitalize()} is recorded; it takes effect when apply runs again." in shown(held)
        assert held.controls.reason.value == ""
        decision = held.view.document["decisions"][-1]
        assert (decision["decision"], decision["reason"]) == (name, f"why {name}")
        assert "@" in decision["actor"]


def test_a_command_without_a_reason_is_refused(held: RolloutMonitor) -> None:
    before = held.view.document
    held.controls.reason.value = "  "
    held.controls.commands[Command.ABORT].click()
    assert "reason: say why, before you press Abort" in shown(held)
    held.reload()
    assert held.view.document == before


def test_a_button_can_be_pressed_only_if_its_command_is_possible(held: RolloutMonitor) -> None:
    def possible() -> list[str]:
        return [command for command, button in held.controls.commands.items() if not button.disabled]

    assert possible() == ["pause", "promote", "abort"]
    held.controls.reason.value = "lunch"
    held.controls.commands[Command.PAUSE].click()
    assert possible() == ["resume", "promote", "abort"]
    held.controls.reason.value = "enough"
    held.controls.commands[Command.ABORT].click()
    assert possible() == []


def test_the_panel_says_whether_apply_runs(held: RolloutMonitor) -> None:
    held.controls.reason.value = "lunch"
    with lock_journal(held.journal):
        held.controls.commands[Command.PAUSE].click()
    assert "apply reads it at its next step" in shown(held)


def test_what_apply_writes_elsewhere_is_shown_without_a_click(tmp_path: Path) -> None:
    plan = save_plan(tmp_path)

    async def follow() -> str:
        monitor = RolloutMonitor(plan, tmp_path / "rollout.journal")
        command(plan, monitor.journal, Command.PAUSE, actor="somebody", reason="a storm")
        for _ in range(100):
            await asyncio.sleep(0.1)
            if "a storm" in shown(monitor):
                break
        monitor._follower.stop()
        return shown(monitor)

    assert "Ⅱ paused" in asyncio.run(follow())


def test_a_journal_that_cannot_be_read_is_told_and_what_was_shown_stays(held: RolloutMonitor, tmp_path: Path) -> None:
    held.journal.write_bytes(b"no journal at all, but long enough to be read as one" * 200)
    held.controls.update.click()
    assert "is damaged" in held.error
    assert "◆ holding" in shown(held)
    with pytest.raises(JournalError, match="is damaged"):
        RolloutMonitor(tmp_path / "rollout.plan")


def test_a_plan_without_a_file_needs_a_journal(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="journal: name the file"):
        RolloutMonitor(save_plan(tmp_path))


# --- a testbed ---


@pytest.fixture(scope="module")
def bed() -> Iterator[Testbed]:
    with Testbed(gateways=24, interval_s=3600) as bed:
        for number in (0, 1, 2, 3, 7):
            bed.inject("wrong-key", number)
        yield bed


@pytest.fixture(scope="module")
def plan_file(bed: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plan_on_testbed(bed, tmp_path_factory.mktemp("testbed"), LARGER_PLAN)


def test_an_apply_that_is_cancelled_goes_on_where_it_was(bed: Testbed, plan_file: Path) -> None:
    """The story goes on: apply, hold, promote, apply, hold at the gate, explain, abort, apply."""
    monitor = RolloutMonitor(plan_file, target=bed)

    async def cancel_at_once() -> None:
        monitor.controls.apply.click()
        monitor.job.cancel.click()
        while monitor.job.is_running:
            await asyncio.sleep(0.02)

    asyncio.run(cancel_at_once())
    assert not monitor.error
    assert monitor.view.state.finished is None
    monitor.controls.apply.click()
    assert not monitor.error
    assert "of the predicted rollouts had" in monitor.view.document["reason"]
    monitor.controls.reason.value = "three roofs have a fault of their own"
    monitor.controls.commands[Command.PROMOTE].click()
    monitor.controls.apply.click()
    assert "the gate of wave 1" in monitor.view.document["reason"]
    assert "The update is signed with SigKeyCrc" in shown(monitor)
    assert monitor.controls.gateway.value in shown(monitor)
    monitor.controls.reason.value = "it is the key"
    monitor.controls.commands[Command.ABORT].click()
    monitor.controls.apply.click()
    assert "✖ aborted" in shown(monitor)
    assert monitor.controls.apply.disabled
    assert read_state(monitor.plan, monitor.journal).finished is not None
    decisions = monitor.view.document["decisions"]
    assert [decision["time"] for decision in decisions] == sorted(decision["time"] for decision in decisions)
    assert len([row for row in bed.log if row.from_status is None]) == 8, "no second task, and none in wave 2"


def test_a_testbed_that_was_stopped_is_told(bed: Testbed, plan_file: Path, tmp_path: Path) -> None:
    monitor = RolloutMonitor(plan_file, tmp_path / "another.journal", bed)
    bed.stop()
    monitor.controls.apply.click()
    assert "the testbed of this rollout was stopped" in shown(monitor)


def test_a_refresh_reads_only_what_was_added_to_the_journal(
    held: RolloutMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    parse = Journal._parse_event

    def count(journal: Journal, sequence: int, *rest: Any) -> Any:
        read.append(sequence)
        return parse(journal, sequence, *rest)

    last = len(read_journal(held.plan, held.journal)[1])
    command(held.plan, held.journal, Command.PAUSE, actor="Ada", reason="a storm")
    monkeypatch.setattr(Journal, "_parse_event", count)
    held.controls.update.click()
    assert read == [last, last + 1], "the last known event, and the new one"
    assert "Ⅱ paused" in shown(held)
    monkeypatch.undo()
    assert held.view.report.document == read_report(held.plan, held.journal).document


def test_a_journal_that_replaces_another_one_is_read_from_its_beginning(held: RolloutMonitor) -> None:
    held.journal.unlink()
    held.controls.update.click()
    assert "○ planned" in shown(held)
    command(held.plan, held.journal, Command.PAUSE, actor="Ada", reason="a storm")
    held.controls.update.click()
    held.journal.unlink()
    command(held.plan, held.journal, Command.ABORT, actor="Bob", reason="no more")
    held.controls.update.click()
    assert [(decision["actor"], decision["reason"]) for decision in held.view.document["decisions"]] == [
        ("Bob", "no more")
    ]


def test_a_reading_that_was_overtaken_by_a_newer_one_is_not_shown(
    carried_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = RolloutMonitor(shutil.copytree(carried_out, tmp_path / "copy") / "rollout.plan")
    older, newest = panel.view, panel._reader.read(panel.controls.wave.value)
    views = iter([older, newest])

    async def read_twice_at_once() -> None:
        started, go_on = threading.Event(), threading.Event()

        def read(*_: object) -> MonitorView:
            view = next(views)
            if view is older:
                started.set()
                go_on.wait()
            return view

        monkeypatch.setattr(MonitorView, "read", read)
        reading = asyncio.create_task(panel._reload_in_background())
        await asyncio.to_thread(started.wait)
        panel.reload()
        go_on.set()
        await reading

    asyncio.run(read_twice_at_once())
    assert panel.view is newest
