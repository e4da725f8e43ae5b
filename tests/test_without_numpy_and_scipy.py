"""lorafw works without NumPy and SciPy. Only the simulator needs them, and its error names the extra."""

from __future__ import annotations

import subprocess
import sys

import pytest

HIDE = "import sys; sys.modules.update(numpy=None, scipy=None)\n"
"""Makes Python behave as if the two libraries were not installed."""

REMEDY = "the simulator of rollouts needs NumPy and SciPy: pip install 'lorafw[fleet]'"

SUITE = """
import json, subprocess, sys
from lorafw import Testbed
with Testbed(gateways=2) as bed:
    bed.define_update("1.0.1")
    bed.advance(20)
    assert [str(bed.status(index)) for index in (0, 1)] == ["COMPLETED", "COMPLETED"]
    with bed.api_over_http():
        bed.cups
    bed.explain()
from lorafw.localaws.cloud import Cloud
with Cloud() as cloud:
    assert cloud.client("iotwireless").list_wireless_gateways()["WirelessGatewayList"] == []
assert not any(name.split(".")[0] in ("numpy", "scipy") for name, module in sys.modules.items() if module)
print("works")
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", HIDE + code], capture_output=True, text=True, check=False)


def test_a_testbed_and_the_servers_need_neither() -> None:
    done = run(SUITE)
    assert done.stdout == "works\n", done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "from lorafw import simulate",
        "from lorafw.fleet import Plan",
        "import lorafw.fleet.io.columns",
        "from lorafw.fleet.statistics.closed_forms import *",
    ],
)
def test_an_import_of_the_simulator_names_the_extra(code: str) -> None:
    done = run(f"try:\n    {code}\nexcept ImportError as error:\n    print(type(error).__name__, error.extra, error)")
    assert done.stdout == f"MissingExtra fleet {REMEDY}\n", done.stderr


@pytest.mark.parametrize("arguments", [["simulate"], ["simulate", "--columns"]], ids=" ".join)
def test_the_command_says_it_in_one_line(arguments: list[str]) -> None:
    done = run(f"from lorafw.cli import main; main({arguments!r})")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"Error: {REMEDY}\n")


def test_the_help_of_the_command_needs_neither() -> None:
    done = run("from lorafw.cli import main; main(['simulate', '--help'])")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_only_the_missing_library_is_named() -> None:
    code = "import sys; sys.modules['scipy'] = None\nfrom lorafw.fleet import Plan"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.endswith("needs SciPy: pip install 'lorafw[fleet]'\n")
