"""No command of a lesson reaches the learner's own AWS account.

The whole world beyond this machine is a proxy that notes who is asked for; a real kernel runs a real lesson as
`lorafw lab` starts it, with an account of somebody's daily work in the variables and in the files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.request import getproxies

import nbformat
import pytest
from nbclient import NotebookClient
from outside import World

from lorafw.lab.jupyter import JupyterLabServer
from lorafw.lab.lessons import WorkingCopy, packaged_lessons

LESSON = next(path for path in packaged_lessons() if path.name.startswith("01-"))
ASK = "!aws iotwireless list-wireless-gateways --query 'WirelessGatewayList[].LoRaWAN.GatewayEui' --output text\n"
WHO = "!aws sts get-caller-identity\n"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    with World() as world:
        for name in ("HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, world.address)
        for name in ("NO_PROXY", "no_proxy", "http_proxy", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        (tmp_path / ".aws").mkdir()
        (tmp_path / ".aws" / "config").write_text("[default]\nregion = eu-west-1\n")
        (tmp_path / ".aws" / "credentials").write_text(
            "[default]\naws_access_key_id = AKIADAILYWORK\naws_secret_access_key = secret\n"
        )
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield world


def run(cells: list[str], folder: Path, environment: dict[str, str] | None = None) -> list[str]:
    """What each cell prints, in a kernel of its own."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute(**({"env": environment} if environment is not None else {}))
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in notebook.cells]


def code(lesson: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(lesson, as_version=4).cells if cell.cell_type == "code"]


def test_the_first_cell_may_be_run_twice_and_after_the_last_no_aws_is_found(world: World, tmp_path: Path) -> None:
    copy = WorkingCopy(tmp_path / "copy")
    copy.update()
    environment = JupyterLabServer(copy).environment()
    assert environment["HTTPS_PROXY"] == getproxies()["https"]
    first, clean_up = code(LESSON)[0], code(LESSON)[-1]
    said = run([WHO, first, first, ASK, WHO, clean_up, ASK, WHO], tmp_path, environment)
    nowhere = 'Could not connect to the endpoint URL: "http://127.0.0.1:9/'
    assert nowhere in said[0]
    assert said[1] == said[2]
    assert said[3].strip() == "5a11b0a85a11b0a8"
    assert "arn:aws:sts::123456789012" in said[4]
    assert said[5] == "folders removed: True True\n"
    assert nowhere in said[6]
    assert nowhere in said[7]
    assert world.asked == []


def test_this_environment_records_connections_to_other_machines(world: World, tmp_path: Path) -> None:
    run([WHO], tmp_path)
    assert [line.split()[:2] for line in world.asked] == [["CONNECT", "sts.eu-west-1.amazonaws.com:443"]]
