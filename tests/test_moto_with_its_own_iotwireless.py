"""If a release of moto ships an ``iotwireless`` of its own, ``lorafw.register()`` puts lorafw's in its place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MODELS = """
from moto.core.base_backend import BackendDict, BaseBackend
from moto.core.common_models import CloudFormationModel

class IoTWirelessBackend(BaseBackend):
    pass

class TaskDefinition(CloudFormationModel):
    @staticmethod
    def cloudformation_type():
        return "AWS::IoTWireless::TaskDefinition"

iotwireless_backends = BackendDict(IoTWirelessBackend, "iotwireless")
"""
RESPONSES = """
import json
from moto.core.responses import BaseResponse

class IoTWirelessResponse(BaseResponse):
    def __init__(self):
        super().__init__(service_name="iotwireless")

    def list_wireless_gateways(self):
        return json.dumps({"WirelessGatewayList": [{"Name": "of moto"}]})
"""
URLS = """
from .responses import IoTWirelessResponse
url_bases = [r"https?://api\\.iotwireless\\.(.+)\\.amazonaws\\.com"]
url_paths = {"{0}/.*$": IoTWirelessResponse.dispatch}
"""
FILES = {
    "__init__.py": "from .models import iotwireless_backends",
    "models.py": MODELS,
    "responses.py": RESPONSES,
    "urls.py": URLS,
}
"""What moto's script for a new service writes, with one operation."""

MOTO_WITH_IOTWIRELESS = """
import re, sys, moto, boto3
from moto import backend_index, mock_aws
moto.__path__.append(sys.argv[1])
url = re.compile(r"https?://api\\.iotwireless\\.(.+)\\.amazonaws\\.com")
backend_index.backend_url_patterns.insert(0, ("iotwireless", url))

def stack_type():
    # As moto's CloudFormation does it: of two classes with one type, the later one counts.
    from moto.core.common_models import CloudFormationModel
    from moto.iotwireless import models  # moto's CloudFormation imports the models of each service

    classes = {each.cloudformation_type(): each for each in CloudFormationModel.__subclasses__()}
    return classes["AWS::IoTWireless::TaskDefinition"].__module__

def names():
    client = boto3.client("iotwireless", region_name="us-east-1")
    return [gateway["Name"] for gateway in client.list_wireless_gateways()["WirelessGatewayList"]]
"""

USED_BEFORE = """
import lorafw
with mock_aws():
    assert names() == ["of moto"]
    assert stack_type() == "moto.iotwireless.models"
    lorafw.register()
    assert stack_type() == "lorafw.iotwireless.cloudformation.resources"
    assert names() == []
    client = boto3.client("iotwireless", region_name="us-east-1")
    client.create_wireless_gateway(Name="of lorafw", LoRaWAN={"GatewayEui": "5a11b0a85a11b0a8", "RfRegion": "US915"})
    assert names() == ["of lorafw"]
lorafw.register()
assert [name for name, _ in backend_index.backend_url_patterns].count("iotwireless") == 2
with mock_aws():
    assert names() == []
"""

TESTBED_FIRST = """
from lorafw import Testbed
with Testbed(gateways=1) as bed:
    bed.define_update("1.0.1")
    bed.advance(20)
    assert str(bed.status()) == "COMPLETED"
    assert names() == ["Raspberry pi"]
import moto.iotwireless
assert moto.iotwireless.__name__ == "lorafw.iotwireless"
assert stack_type() == "lorafw.iotwireless.cloudformation.resources"
"""


@pytest.mark.parametrize("script", [USED_BEFORE, TESTBED_FIRST], ids=["moto's was in use", "a testbed is first"])
def test_lorafws_takes_its_place(tmp_path: Path, script: str) -> None:
    package = tmp_path / "iotwireless"
    package.mkdir()
    for name, content in FILES.items():
        (package / name).write_text(content)
    code = MOTO_WITH_IOTWIRELESS + script
    environment = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
