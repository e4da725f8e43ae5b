"""The pages for testers: their Python blocks pass as one file of tests, and their shell script runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
PAGE = NOTEBOOKS / "testing.md"
OTHER_LANGUAGES = NOTEBOOKS / "testing-other-languages.md"
BIN = Path(sys.executable).parent
COMMANDS = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
"""Variables with which a shell finds the commands of this environment."""


def blocks_of(page: Path, language: str) -> list[str]:
    """Return the blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def test_every_test_on_the_page_passes(tmp_path: Path) -> None:
    tests = "\n\n".join(blocks_of(PAGE, "python"))
    (tmp_path / "test_page.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "test_page.py"]
    done = subprocess.run(command, cwd=tmp_path, env=COMMANDS, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{tests.count('def test_')} passed" in done.stdout


def test_the_configuration_on_the_page_is_known_to_pytest(tmp_path: Path) -> None:
    (configuration,) = blocks_of(PAGE, "toml")
    (tmp_path / "pyproject.toml").write_text(configuration)
    (tmp_path / "test_it.py").write_text("def test_nothing(): pass\n")
    command = [sys.executable, "-m", "pytest", "-q", "--strict-config", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_files_for_ci_and_for_a_container_run_the_tests_with_the_package() -> None:
    (workflow,) = blocks_of(PAGE, "yaml")
    (container,) = blocks_of(PAGE, "dockerfile")
    for text in (workflow, container):
        assert "pip install" in text
        assert "lorafw pytest pytest-xdist" in text
    steps = yaml.safe_load(workflow)["jobs"]["tests"]["steps"]
    assert [step["run"] for step in steps if "run" in step][-1] == "python -m pytest -n 2"
    assert json.loads(container.partition("CMD ")[2]) == ["python", "-m", "pytest", "-n", "2"]


def test_a_program_in_another_language_finds_the_lab_through_the_script(tmp_path: Path) -> None:
    (script,) = blocks_of(OTHER_LANGUAGES, "sh")
    (tmp_path / "with-lorafw.sh").write_text(script)
    hostile = {**COMMANDS, "AWS_PROFILE": "no-such-profile", "HTTPS_PROXY": "http://proxy.example.com:3128"}
    program = "lorafw aws iotwireless list-wireless-gateways --query 'length(WirelessGatewayList)'"
    command = ["sh", "with-lorafw.sh", "sh", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=hostile, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n0\n" in done.stdout
    assert not (tmp_path / "ready.json").exists()
