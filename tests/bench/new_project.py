"""Install the wheel in a new project outside this repository, and run ten tests there with two workers.

    python tests/bench/new_project.py            # pip installs the wheel with its requirements
    python tests/bench/new_project.py --shared   # pip installs the wheel alone, beside what this environment has

The tests use the fixtures, the marker, the guard of the session, an allowed host, a served lab, a fault, an injected
error of AWS, and moto's decorator. Variables lead boto3 to addresses, profiles and proxies elsewhere, and sockets are
forbidden in tests that do not allow them. A second run varies the assumptions.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
HOSTILE = {
    "AWS_ENDPOINT_URL": "http://aws.example.com:4566",
    "AWS_ENDPOINT_URL_S3": "http://minio.example.com:9000",
    "AWS_PROFILE": "no-such-profile",
    "AWS_REGION": "eu-central-1",
    "AWS_CONFIG_FILE": "/nonexistent",
    "HTTP_PROXY": "http://proxy.example.com:3128",
    "HTTPS_PROXY": "http://proxy.example.com:3128",
    "ALL_PROXY": "http://proxy.example.com:3128",
}
CONFIGURATION = """
[tool.pytest.ini_options]
lorafw_guard = true
lorafw_allow_hosts = ["minio.invalid:9000"]
addopts = "--disable-socket --allow-unix-socket --strict-markers --strict-config"
"""
SCRIPT = """
import boto3

iot = boto3.client("iotwireless")  # made when the module is imported


def statuses(gateways):
    return [iot.get_wireless_gateway_task(Id=gateway)["Status"] for gateway in gateways]
"""
TESTS = """
import os
import subprocess
import sys

import boto3
import pytest
import rollout
from botocore.config import Config
from botocore.exceptions import HTTPClientError
from moto import mock_aws

import lorafw
from lorafw.errors import LabError


@pytest.mark.lorafw(gateways=3)
def test_three_gateways(lorafw_testbed):
    lorafw_testbed.define_update("1.0.1")
    lorafw_testbed.advance(20)
    assert rollout.statuses(gateway.id for gateway in lorafw_testbed.gateways) == ["COMPLETED"] * 3


@pytest.mark.lorafw(gateways=2)
def test_the_marker_alone():
    assert len(rollout.iot.list_wireless_gateways()["WirelessGatewayList"]) == 2


@pytest.mark.lorafw(policy={"settle_s": 30})
def test_a_policy(lorafw_testbed):
    lorafw_testbed.define_update("1.0.1")
    lorafw_testbed.advance(20)
    assert lorafw_testbed.status() == "IN_PROGRESS"


@pytest.mark.lorafw(interval_s=600)
def test_a_fault(lorafw_testbed):
    lorafw_testbed.inject("script-fails")
    lorafw_testbed.define_update("1.0.1")
    lorafw_testbed.advance(8 * 3600)
    assert lorafw_testbed.status() == "FAILED"


def test_an_error_of_aws(lorafw_testbed):
    lorafw_testbed.fail_next("ListWirelessGateways", "AccessDeniedException")
    with pytest.raises(rollout.iot.exceptions.AccessDeniedException):
        rollout.iot.list_wireless_gateways()


def test_the_guard_of_the_session():
    with pytest.raises(LabError, match="while lorafw_guard is on, and was kept back"):
        rollout.iot.list_wireless_gateways()


def test_an_allowed_host_is_tried_and_pytest_socket_forbids_it(monkeypatch):
    s3 = boto3.client("s3", endpoint_url="http://minio.invalid:9000", config=Config(proxies={}))
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name)
    with pytest.raises(HTTPClientError, match="A test tried to use socket"):
        s3.list_buckets()


@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.lorafw(serve=["--seed", "documented"])
def test_a_served_lab(lorafw_server):
    code = "import boto3; print(len(boto3.client('iotwireless').list_wireless_gateways()['WirelessGatewayList']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(len(boto3.client("iotwireless").list_wireless_gateways()["WirelessGatewayList"]))


def test_moto():
    lorafw.register()
    with mock_aws():
        assert boto3.client("iotwireless").list_wireless_gateways()["WirelessGatewayList"] == []


def test_a_block():
    with lorafw.Testbed() as bed:
        assert lorafw.__file__.startswith(sys.prefix), "the wheel, not the repository"
        assert len(bed.gateways) == 1
"""


def make_environment(folder: Path, *, shared: bool) -> Path:
    """Build the wheel, install it into a new environment, and return the environment's Python."""
    call(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder / "dist", ROOT)
    (wheel,) = (folder / "dist").glob("lorafw-*.whl")
    call(sys.executable, "-m", "venv", folder / "env")
    python = folder / "env" / "bin" / "python"
    if shared:
        here = f"lib/python{sysconfig.get_python_version()}/site-packages"
        (folder / "env" / here / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
        call(python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--force-reinstall", wheel)
        return python
    constraints = ("-c", ROOT / "constraints.txt")
    call(python, "-m", "pip", "install", "-q", *constraints, wheel, "pytest", "pytest-xdist", "pytest-socket")
    return python


def call(*command: object) -> None:
    """Run a command. Raises CalledProcessError if it fails."""
    subprocess.run([str(word) for word in command], check=True)


def write_project(folder: Path) -> None:
    """Write the project's files."""
    folder.mkdir()
    (folder / "pyproject.toml").write_text(CONFIGURATION)
    (folder / "rollout.py").write_text(SCRIPT)
    (folder / "test_rollout.py").write_text(TESTS)
    (folder / "conftest.py").write_text("")


def run_tests(python: Path, project: Path, *options: str) -> str:
    """Run the tests of the project on two workers in the hostile environment. Return what pytest prints."""
    variables = {"PATH": os.environ["PATH"], "HOME": str(project), **HOSTILE}
    command = [str(python), "-m", "pytest", "-n", "2", "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr, sep="\n")
    return done.stdout


def main() -> int:
    """Make the project, run its tests twice, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lorafw-project-") as name:
        folder = Path(name)
        python = make_environment(folder, shared=options.shared)
        write_project(folder / "project")
        plain = run_tests(python, folder / "project")
        varied = run_tests(python, folder / "project", "--lorafw-assumptions=settle_s,comparison")
    is_green = re.search(r"=+ 10 passed", plain) is not None and re.search(r"=+ 10 passed", varied) is not None
    finds = "test_rollout.py::test_three_gateways\n  settle_s = 30 (half a minute): failed instead of passed" in varied
    print(f"ten tests are green twice: {is_green}; the assumption is found: {finds}")
    return int(not (is_green and finds))


if __name__ == "__main__":
    raise SystemExit(main())
