"""The lessons cover each statement of AWS's page on scheduling and running the firmware update.

Each row: what the page says or shows, the notebook that walks it, and words that stand there, in text, code or output.
Notebook 14 is the appendix with the page's errors.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"

WALK = [
    ("a task definition holds the details of the update", "04", "says which update is for which"),
    ("three fields decide", "01", "name the three fields that decide whether a gateway is updated"),
    ("Station", "01", '"the version and build time of the Basics Station software" (*documented*)'),
    ("Station can be had from the software", "01", "!lorafw gateway info"),
    ("Station, the example", "01", "Station: 2.0.5(rpi/std) 2021-03-09 03:45:09"),
    ("PackageVersion", "01", '"the firmware version, specified by the file `version.txt` in the gateway"'),
    ("PackageVersion might not be present", "04", '"might not be present in the gateway"'),
    ("PackageVersion is recommended", "01", '"we recommend it as a way to define your firmware version"'),
    ("Model", "01", '"the platform or model that is being used by the gateway" (*documented*)'),
    ("Model, for example Linux", "14", "AWS's page gives `Linux` as an example of a model in its text"),
    ("20 minutes", "05", '"This procedure takes 20 minutes to complete" (*documented*)'),
    ("all three fields are checked", "04", 'must all be equal (*documented*: "a match for all three parameters")'),
    ("when the gateway presents them in a CUPS request", "07", "| `station`, `model`, `package` | the three fields of"),
    ("they are stored as CurrentVersion", "01", "AWS's `CurrentVersion` is what the gateway reported"),
    ("CurrentVersion by the API", "01", "aws.get_wireless_gateway_firmware_information(Id=gateway.id)"),
    (
        "a provisioned gateway",
        "01",
        '"If you\'ve already provisioned a gateway, you can get information about the gateway"',
    ),
    ("get-wireless-gateway", "05", "--identifier 5a11b0a85a11b0a8 \\ --identifier-type GatewayEui"),
    (
        "its answer: Name, Id, Description",
        "05",
        '"Id": "1352172b-0602-4b40-896f-54da9ed16b57", "Description": "Raspberry',
    ),
    (
        "its answer: LoRaWAN, Arn",
        "05",
        '"GatewayEui": "5a11b0a85a11b0a8", "RfRegion": "US915" }, "Arn": "arn:aws:iotwireless',
    ),
    ("get-wireless-gateway-firmware-information", "05", '--id "3039b406-5cc9-4307-925b-9948c63da25b"'),
    ("its answer", "05", '"PackageVersion": "1.0.0", "Model": "rpi", "Station": "2.0.5(rpi/std) 2021-03-09 03:45:09"'),
    ("the two ids differ", "14", "and then asks for the version of a gateway with *another* id"),
    ("a space after the backslash", "14", "there is a space after the backslash"),
    (
        "AutoCreateTasks is recommended",
        "04",
        '"we recommend that you specify automatic creation of tasks" (*documented*)',
    ),
    (
        "AutoCreateTasks disabled",
        "04",
        '"If this parameter is disabled, the parameters have to be manually assigned to the',
    ),
    ("input.json", "04", "AWS's page puts the information into a file, `input.json`"),
    ("UpdateDataSource", "03", "`s3://iotwirelessfwupdate/fwstation`, as `UpdateDataSource`"),
    ("UpdateDataRole", "03", '"arn:aws:iam::123456789012:role/IoTWirelessFwUpdateRole"'),
    (
        "SigKeyCrc and UpdateSignature",
        "02",
        "give AWS the two values that it needs: `UpdateSignature` and `SigKeyCrc`",
    ),
    ("from the manufacturer", "02", '"This information might be provided by your gateway manufacturer" (*documented*)'),
    ("CurrentVersion from the output before", "04", '"the `CurrentVersion` output that you obtained previously"'),
    ("cat input.json", "04", "!cat input.json"),
    (
        "input.json, its content",
        "04",
        '"SigKeyCrc": 3434210794, "UpdateSignature": "MEQCIDPY/p2ssgXIPNCOgZr+NzeTLpX+WfBo5tYWbh5p',
    ),
    ("create-wireless-gateway-task-definition", "04", "task-definition \\ --cli-input-json file://input.json"),
    ("its answer: Id, Arn", "04", "WirelessGatewayTaskDefinition/5f58d5b5-6f79-4959-a3e0-4b3b756b0715"),
    (
        "once powered on, it connects",
        "05",
        "The gateway is ready to receive the firmware update and, once powered on, it connects",
    ),
    ("a task is a definition in process", "05", '"A task is a task definition in process" (*documented*)'),
    ("it starts as soon as a gateway matches", "05", '"starts as soon as a matching gateway is found" (*documented*)'),
    ("the first answer: IN_PROGRESS", "05", "`IN_PROGRESS` is the first status that you see (*documented*)"),
    (
        "get-wireless-gateway-task",
        "05",
        "!aws iotwireless get-wireless-gateway-task \\ --id 1352172b-0602-4b40-896f-54da9ed16b57",
    ),
    (
        "its answer",
        "05",
        "['WirelessGatewayId', 'WirelessGatewayTaskDefinitionId', 'LastUplinkReceivedAt', 'TaskCreatedAt',",
    ),
    (
        "the updated fields Package, Version, Model",
        "14",
        '"will show the updated fields, `Package`, `Version`, and `Model`"',
    ),
    ("COMPLETED", "05", "'Status'] COMPLETED"),
    ("if the update takes effect", "05", '"if the firmware update takes effect"'),
    ("the RAKWireless gateway", "05", '"Raspberry Pi based RAKWireless gateway"'),
    (
        "Basics Station is stopped and restarted",
        "05",
        '"stops the running BasicStation", which "will have to be restarted"',
    ),
    ("log line 1", "05", "[CUP:INFO] CUPS provided update.bin"),
    ("log line 2", "05", "[CUP:INFO] CUPS provided signature len=70 keycrc=CCB1E5EA"),
    ("log line 2, the page's number", "02", "CUPS provided signature len=70 keycrc=37316C36"),
    ("log line 3", "05", "[CUP:INFO] ECDSA key#0 -> VERIFIED"),
    ("log line 4", "05", "[CUP:INFO] Running update.bin as background process"),
    ("log line 5", "05", "[SYS:VERB] /tmp/update.bin: Forked, waiting..."),
    ("log line 6", "05", "[SYS:INFO] Process /tmp/update.bin"),
    ("log line 6: completed", "05", '"completed" means *started*'),
    ("log line 7", "05", "[CUP:INFO] Interaction with CUPS done - next regular check in 10s"),
    (
        "FIRST_RETRY, and the same request",
        "06",
        "a status of `FIRST_RETRY` from the CUPS server, and the gateway sends the same",
    ),
    (
        "FAILED after SECOND_RETRY",
        "06",
        "unable to connect to the gateway after a `SECOND_RETRY`, it will show a status of",
    ),
    (
        "delete the old task first",
        "05",
        '"After the previous task was `COMPLETED` or `FAILED`, delete the old task ... before',
    ),
    (
        "delete-wireless-gateway-task",
        "05",
        "!aws iotwireless delete-wireless-gateway-task \\ --id 1352172b-0602-4b40-896f-54da9ed16",
    ),
]


def cells_of(number: str) -> dict[str, str]:
    """The text, code and output of each cell of a lesson, without addresses, line breaks as single spaces."""
    path = next(NOTEBOOKS.glob(f"{number}-*.ipynb"))
    texts = {}
    for cell in nbformat.read(path, as_version=4).cells:
        shown = [cell.source, *(output.get("text", "") for output in cell.get("outputs", []))]
        words = re.sub(r"\[(\*\w+\*)\]\([^)]*\)", r"\1", " ".join(shown))
        texts[cell.id] = " ".join(words.split())
    return texts


@pytest.mark.parametrize(("said", "number", "words"), WALK, ids=[row[0] for row in WALK])
def test_a_lesson_covers_each_statement_of_the_page(said: str, number: str, words: str) -> None:
    assert any(words in text for text in cells_of(number).values()), f"lesson {number} does not say {words!r}"
