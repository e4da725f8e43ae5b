"""`lorafw lab` without a browser: the working copy, what it keeps, what the wheel contains, how it starts and ends."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner
from nbformat.sign import NotebookNotary
from outside import World

import lorafw.lab.jupyter
import lorafw.lab.lessons
from lorafw.cli import main
from lorafw.errors import LabError
from lorafw.lab.jupyter import JupyterLabServer, NotebookServer, VoilaServer, sign_unchanged_lessons
from lorafw.lab.lessons import WorkingCopy, packaged_lessons, strip_outputs

ROOT = Path(__file__).parent.parent
NAMES = [path.name for path in packaged_lessons()]
PANELS = ("FleetDashboard", "MatchExplorer", "RolloutPlanner", "SignatureWorkbench", "TaskBoard", "WireInspector")


@pytest.fixture
def copy(tmp_path: Path) -> WorkingCopy:
    return WorkingCopy(tmp_path / "copy")


def test_a_working_copy_holds_every_lesson_as_it_was_written(copy: WorkingCopy) -> None:
    assert copy.update() == NAMES
    for lesson in packaged_lessons():
        written, mine = (nbformat.read(folder / lesson.name, as_version=4) for folder in (lesson.parent, copy.path))
        nbformat.validate(mine)
        assert [(cell.id, cell.source, cell.metadata) for cell in mine.cells] == [
            (cell.id, cell.source, cell.metadata) for cell in written.cells
        ]
    assert copy.update() == []


def test_a_lesson_shows_no_answer_before_it_has_run_but_the_faces_of_its_panels(copy: WorkingCopy) -> None:
    copy.update()
    faces = 0
    for lesson in packaged_lessons():
        written, mine = (nbformat.read(folder / lesson.name, as_version=4) for folder in (lesson.parent, copy.path))
        for before, cell in zip(written.cells, mine.cells, strict=True):
            if cell.cell_type != "code":
                continue
            assert cell.execution_count is None
            if re.search(rf"^(\w+ = )?({'|'.join(PANELS)})\(", cell.source, re.MULTILINE):
                faces += 1
                assert [output.data for output in cell.outputs] == [output.data for output in before.outputs]
                assert cell.outputs[0].execution_count is None
            else:
                assert cell.outputs == []
    assert faces >= len(PANELS)


def test_what_jupyterlab_writes_when_it_saves_is_not_a_change_of_the_learner(copy: WorkingCopy) -> None:
    copy.update()
    path = copy.path / NAMES[0]
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.kernelspec.display_name = "another Python"
    notebook.metadata.language_info.version = "3.0"
    notebook.metadata.widgets = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    nbformat.write(notebook, path)
    assert copy.reset() == []
    assert "another Python" not in path.read_text()
    notebook.cells[1].source += "\n"
    nbformat.write(notebook, path)
    assert [kept.lesson for kept in copy.reset()] == [NAMES[0]]


def test_a_lesson_that_was_touched_stays_and_one_that_is_missing_comes_back(copy: WorkingCopy) -> None:
    copy.update()
    (copy.path / NAMES[0]).write_text("mine")
    (copy.path / NAMES[1]).unlink()
    assert copy.update() == [NAMES[1]]
    assert (copy.path / NAMES[0]).read_text() == "mine"


def test_a_lesson_that_was_not_touched_follows_the_installed_version(
    copy: WorkingCopy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    newer = tmp_path / "newer"
    newer.mkdir()
    copy.update()
    for name in NAMES[:2]:
        (newer / name).write_text("newer")
    (copy.path / NAMES[1]).write_text("mine")
    monkeypatch.setattr(lorafw.lab.lessons, "packaged_lessons", lambda: sorted(newer.iterdir()))
    assert copy.update() == [NAMES[0]]
    assert (copy.path / NAMES[0]).read_text() == "newer"
    assert [kept.lesson for kept in copy.reset()] == [NAMES[1]]


def test_reset_moves_changed_lessons_into_a_folder_of_their_own_and_leaves_other_files(copy: WorkingCopy) -> None:
    copy.update()
    (copy.path / "my own.ipynb").write_text("my own")
    for number, text in enumerate(("first answer", "second answer"), 1):
        for name in NAMES[:2]:
            (copy.path / name).write_text(text)
        done = CliRunner().invoke(main, ["lab", "reset", "--dir", str(copy.path)])
        assert done.exit_code == 0
        kept = copy.path / f"kept-{number}"
        assert f"changed are in {kept}:\n    {NAMES[0]}\n    {NAMES[1]}\n" in done.output
        assert {path.name: path.read_text() for path in kept.iterdir()} == dict.fromkeys(NAMES[:2], text)
    assert (copy.path / "my own.ipynb").read_text() == "my own"
    assert (copy.path / NAMES[0]).read_bytes() == strip_outputs(packaged_lessons()[0].read_bytes())
    done = CliRunner().invoke(main, ["lab", "reset", "--dir", str(copy.path)])
    assert done.output == f"Fresh lessons are in {copy.path}.\n"
    assert sorted(path.name for path in copy.path.iterdir()) == sorted(
        [".lab", "kept-1", "kept-2", "my own.ipynb", *NAMES]
    )


def test_reset_says_in_its_help_where_earlier_work_goes() -> None:
    help_text = CliRunner().invoke(main, ["lab", "reset", "--help"]).output
    assert "kept-1" in help_text


def test_reset_of_a_folder_on_which_a_lab_is_open_changes_nothing(copy: WorkingCopy) -> None:
    copy.update()
    (copy.path / NAMES[0]).write_text("mine")
    with JupyterLabServer(copy):
        (record,) = (copy.ensure_state_folder() / "runtime").glob("jpserver-*.json")
        left = record.read_text()
        done = CliRunner().invoke(main, ["lab", "reset", "--dir", str(copy.path)])
        assert done.exit_code == 1
        assert f"a lab is open on {copy.path}: close its pages and end it with Ctrl-C" in done.output
        assert (copy.path / NAMES[0]).read_text() == "mine"
    record.write_text(left)  # as one that was killed leaves it
    assert CliRunner().invoke(main, ["lab", "reset", "--dir", str(copy.path)]).exit_code == 0
    assert (copy.path / "kept-1" / NAMES[0]).read_text() == "mine"


def test_reset_of_a_folder_that_is_not_there_makes_it(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["lab", "--dir", str(tmp_path / "new"), "reset"])
    assert done.exit_code == 0
    assert (tmp_path / "new" / NAMES[0]).exists()


def test_no_lesson_is_lost_if_the_record_cannot_be_read(copy: WorkingCopy) -> None:
    copy.update()
    (copy.ensure_state_folder() / "delivered.json").write_text("{")
    (copy.path / NAMES[0]).write_text("mine")
    copy.update()
    assert (copy.path / NAMES[0]).read_text() == "mine"


def test_what_the_lab_keeps_is_readable_by_its_owner_only(copy: WorkingCopy) -> None:
    assert copy.ensure_state_folder().stat().st_mode & 0o077 == 0


def test_only_lessons_that_are_as_they_came_are_trusted(copy: WorkingCopy) -> None:
    copy.update()
    notebook = nbformat.read(copy.path / NAMES[0], as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("import this"))
    nbformat.write(notebook, copy.path / NAMES[0])
    sign_unchanged_lessons(copy)
    notary = NotebookNotary(data_dir=str(copy.ensure_state_folder() / "data"))
    trusted = [name for name in NAMES if notary.check_signature(nbformat.read(copy.path / name, as_version=4))]
    notary.store.close()
    assert trusted == NAMES[1:]


def test_the_wheel_holds_the_lessons_and_nothing_else_of_their_folder(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert sorted(name for name in names if "/notebooks/" in name) == [f"lorafw/lab/notebooks/{name}" for name in NAMES]
    assert "lorafw/py.typed" in names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"lorafw"}


@pytest.mark.parametrize(
    ("server_class", "module", "extra"), [(JupyterLabServer, "jupyterlab", "lab"), (VoilaServer, "voila", "app")]
)
def test_what_is_not_installed_is_named_with_its_remedy(
    copy: WorkingCopy, monkeypatch: pytest.MonkeyPatch, server_class: type[NotebookServer], module: str, extra: str
) -> None:
    monkeypatch.setattr(lorafw.lab.jupyter.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LabError, match=rf"{module} is not installed here: pip install 'lorafw\[{extra}\]'"):
        server_class(copy).start()


SERVER_CLASSES = [JupyterLabServer, VoilaServer]


@pytest.mark.parametrize("server_class", SERVER_CLASSES)
def test_a_port_in_use_is_reported_before_anything_is_started(
    copy: WorkingCopy, server_class: type[NotebookServer]
) -> None:
    copy.update()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = server_class(copy, port=port)
        with pytest.raises(LabError, match=f"^port {port} is taken; give another with --port$"):
            server.start()
        assert not server.log.exists()


class LoginPage(BaseHTTPRequestHandler):
    """Another Jupyter server: it redirects every request to its login page, which it answers with status 200."""

    def do_GET(self) -> None:
        if self.path == "/login":
            self.send_response(HTTPStatus.OK)
        else:
            self.send_response(HTTPStatus.FOUND)
            self.send_header("Location", "/login")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write nothing."""


def test_voila_takes_the_next_port_if_another_server_takes_the_first_one_meanwhile(
    copy: WorkingCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy.update()
    with ThreadingHTTPServer(("127.0.0.1", 0), LoginPage) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        free_port = VoilaServer(copy)._choose_port()
        ports = iter([other.server_port, free_port])
        monkeypatch.setattr(VoilaServer, "_choose_port", lambda _: next(ports))
        with VoilaServer(copy) as server:
            assert server.url.startswith(f"http://127.0.0.1:{free_port}/?token=")
        other.shutdown()


def test_a_server_that_does_not_start_is_reported_with_its_output(
    copy: WorkingCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy.update()
    monkeypatch.setattr(JupyterLabServer, "command", lambda server, port: ["no_such_module"])
    with pytest.raises(LabError, match=r"(?s)^JupyterLab did not come up; .*No module named no_such_module"):
        JupyterLabServer(copy).start()


@pytest.mark.parametrize("server_class", [JupyterLabServer, pytest.param(VoilaServer, marks=pytest.mark.slow)])
def test_the_lab_comes_up_past_a_proxy_and_asks_it_nothing(
    copy: WorkingCopy, monkeypatch: pytest.MonkeyPatch, server_class: type[NotebookServer]
) -> None:
    copy.update()
    with World() as world:
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, world.address)
        with server_class(copy) as server:
            assert server.url.startswith("http://127.0.0.1:")
    assert world.asked == []


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)],
    ids=lambda number: number.name,
)
def test_a_signal_ends_the_lab_and_its_server(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "lorafw", "lab", "--no-browser", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "http://127.0.0.1:" in line:
                break
        assert f"/lab/tree/{NAMES[0]}?token=" in line
        (record,) = (tmp_path / ".lab" / "runtime").glob("jpserver-*.json")
        server = json.loads(record.read_text())["pid"]
        assert "Extension Manager is 'readonly'" in (tmp_path / ".lab" / "jupyter.log").read_text()
        process.send_signal(number)
        try:
            assert process.wait(30) == 0
        finally:
            process.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{server}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{server}").exists()
    assert not record.exists()
