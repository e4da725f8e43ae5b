"""Check that `lorafw assumptions` tells which of forty scripts depend on an assumption, and on which one.

    python tests/bench/assumptions.py                  # the command, once for each of the forty scripts
    python tests/bench/assumptions.py --only settle_s  # the scripts whose names have this text

Twenty scripts depend on one assumption each, and twenty depend on none. The command runs each script once for every
other answer to every assumed decision. It has recognised a script if it names exactly the decision that the script
depends on, or none.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HEADER = """
from botocore.exceptions import ClientError

from lorafw import GatewayVersion, Testbed
from lorafw.errors import NotFound

HOUR = 3600


def has_task(bed, gateway=0):
    try:
        bed.status(gateway)
    except NotFound:
        return False
    return True


def version(bed, **changes):
    own = bed.gateways[0].virtual.version
    fields = {"station": own.station, "package": own.package, "model": own.model}
    return GatewayVersion(**{**fields, **changes})


"""

DEPENDENT = {
    "comparison: case": """
with Testbed(package="1.0.0-RC1", interval_s=600) as bed:
    bed.define_update("1.0.1", current_version=version(bed, package="1.0.0-rc1"))
    bed.advance(2 * HOUR)
    assert not has_task(bed)
""",
    "comparison: a blank": """
with Testbed(interval_s=600) as bed:
    bed.define_update("1.0.1", current_version=version(bed, model=f"{bed.gateways[0].virtual.model} "))
    bed.advance(2 * HOUR)
    print(bed.gateways[0].home.read_package_version())
""",
    "absent_field: no model": """
with Testbed(interval_s=600) as bed:
    bed.define_update("1.0.1", current_version=version(bed, model=None))
    bed.advance(2 * HOUR)
    assert not has_task(bed)
""",
    "absent_field: the package alone": """
with Testbed(gateways=2, interval_s=600) as bed:
    bed.define_update("1.0.1", current_version=GatewayVersion(package="1.0.0"))
    bed.advance(2 * HOUR)
    print([gateway.home.read_package_version() for gateway in bed.gateways])
""",
    "without_source: created": """
with Testbed() as bed:
    iot = bed.client("iotwireless")
    made = iot.create_wireless_gateway_task_definition(AutoCreateTasks=False, Update={"LoRaWAN": {}})
    assert made["Id"]
""",
    "without_source: listed": """
with Testbed() as bed:
    iot = bed.client("iotwireless")
    try:
        iot.create_wireless_gateway_task_definition(AutoCreateTasks=False, Name="empty")
    except ClientError as error:
        print(error.response["Error"]["Code"])
    print(len(iot.list_wireless_gateway_task_definitions()["TaskDefinitions"]))
""",
    "unusable_signature: refused": """
with Testbed() as bed:
    try:
        bed.define_update("1.0.1", signature=b"not DER")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "ValidationException"
    else:
        raise SystemExit("the definition was created")
""",
    "several_matches: the first wins": """
with Testbed(interval_s=600) as bed:
    bed.define_update("1.0.1", key="a", name="a")
    bed.define_update("1.0.2", key="b", name="b")
    bed.advance(2 * HOUR)
    assert bed.gateways[0].home.read_package_version() == "1.0.1"
""",
    "several_matches: the id of the task": """
with Testbed(interval_s=600) as bed:
    first = bed.define_update("1.0.1", key="a", name="a")
    bed.define_update("1.0.1", key="b", name="b")
    bed.advance(2 * HOUR)
    iot = bed.client("iotwireless")
    print(iot.get_wireless_gateway_task(Id=bed.gateways[0].id)["WirelessGatewayTaskDefinitionId"] == first)
""",
    "manual_start: another version waits": """
with Testbed(interval_s=600) as bed:
    other = bed.define_update("1.0.1", auto_create_tasks=False, current_version=version(bed, package="0.9.0"))
    iot = bed.client("iotwireless")
    iot.create_wireless_gateway_task(Id=bed.gateways[0].id, WirelessGatewayTaskDefinitionId=other)
    bed.advance(2 * HOUR)
    assert bed.status() == "PENDING"
""",
    "broken_reply: costs no attempt": """
with Testbed(interval_s=600) as bed:
    bed.inject("link-drop")
    bed.define_update("1.0.1")
    bed.advance(8 * HOUR)
    assert bed.status() == "IN_PROGRESS"
""",
    "settle_s: two polls": """
with Testbed() as bed:
    bed.define_update("1.0.1")
    bed.advance(20)
    assert bed.status() == "COMPLETED"
""",
    "settle_s: the time of the end": """
with Testbed(interval_s=60) as bed:
    bed.define_update("1.0.1")
    while not has_task(bed) or bed.status() != "COMPLETED":
        bed.advance(60)
    print(bed.now())
""",
    "silence_timeout_s: two days": """
with Testbed(interval_s=2 * HOUR) as bed:
    bed.inject("script-fails", polls=3)
    bed.define_update("1.0.1")
    bed.advance(5 * HOUR)
    assert bed.status() == "SECOND_RETRY", bed.status()
    bed.inject("offline")
    bed.advance(49 * HOUR)
    assert bed.status() == "FAILED"
""",
    "completion: the model has changed": """
with Testbed(interval_s=600) as bed:
    bed.inject("script-fails")
    bed.define_update("1.0.1")
    bed.poll()
    bed.gateways[0].virtual.model = "rpi4"
    bed.advance(2 * HOUR)
    assert bed.status() == "COMPLETED"
""",
    "other_version: counts as failed": """
with Testbed(interval_s=600) as bed:
    bed.define_update("1.0.2", update_version=version(bed, package="1.0.1"))
    bed.advance(8 * HOUR)
    assert bed.status() == "FAILED"
""",
    "key_mismatch: sent all the same": """
with Testbed(interval_s=600) as bed:
    bed.define_update("1.0.1", sig_key_crc=1)
    bed.advance(2 * HOUR)
    assert bed.gateways[0].home.read_package_version() == "1.0.1"
""",
    "delete_task: before it ends": """
with Testbed() as bed:
    bed.define_update("1.0.1")
    bed.poll()
    bed.client("iotwireless").delete_wireless_gateway_task(Id=bed.gateways[0].id)
""",
    "unknown_gateway_status: 403": """
import json
import urllib.error
import urllib.request

from lorafw.cups.request_json import encode_request

with Testbed() as bed:
    body = encode_request(bed.gateways[0].home.build_request("2.0.6(linux/std) 2026-11-23 15:58:28", "linux"))
    other = json.dumps({**json.loads(body), "router": "58a0:cbff:fe80:1"})
    request = urllib.request.Request(bed.cups.uri + "/update-info", data=other.encode())
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request)
    except urllib.error.HTTPError as error:
        assert error.code == 403, error.code
    else:
        raise SystemExit("the gateway was admitted")
""",
    "last_uplink: after a poll": """
with Testbed() as bed:
    bed.poll()
    iot = bed.client("iotwireless")
    seen = iot.get_wireless_gateway_statistics(WirelessGatewayId=bed.gateways[0].id)
    assert seen["LastUplinkReceivedAt"] == bed.now()
""",
}
"""Scripts by name. The name begins with the decision on which the script depends."""

INDEPENDENT = {
    "an update": """
with Testbed(interval_s=600) as bed:
    bed.define_update("1.0.1")
    bed.advance(2 * HOUR)
    assert bed.status() == "COMPLETED"
    print(bed.gateways[0].home.read_package_version())
""",
    "three gateways": """
with Testbed(gateways=3, interval_s=600) as bed:
    bed.define_update("1.0.1")
    bed.advance(2 * HOUR)
    print([str(bed.status(gateway)) for gateway in bed.gateways])
""",
    "an update that declares its version": """
with Testbed(interval_s=600) as bed:
    bed.define_update("1.0.1", update_version=version(bed, package="1.0.1"))
    bed.advance(2 * HOUR)
    assert bed.status() == "COMPLETED"
""",
    "an update that fails": """
with Testbed(interval_s=600) as bed:
    bed.inject("script-fails")
    bed.define_update("1.0.1")
    bed.advance(8 * HOUR)
    assert bed.status() == "FAILED"
""",
    "a settled decision": """
from lorafw import Policy

with Testbed(policy=Policy(settle_s=30)) as bed:
    bed.define_update("1.0.1")
    bed.advance(60)
    print(bed.status(), bed.now())
""",
    "one update after the other": """
with Testbed(interval_s=600) as bed:
    iot = bed.client("iotwireless")
    for package in ("1.0.1", "1.0.2"):
        bed.define_update(package, key=package)
        bed.advance(2 * HOUR)
        iot.delete_wireless_gateway_task(Id=bed.gateways[0].id)
    print(bed.gateways[0].home.read_package_version())
""",
    "a manual task": """
with Testbed(interval_s=600) as bed:
    definition = bed.define_update("1.0.1", auto_create_tasks=False)
    iot = bed.client("iotwireless")
    iot.create_wireless_gateway_task(Id=bed.gateways[0].id, WirelessGatewayTaskDefinitionId=definition)
    bed.advance(2 * HOUR)
    assert bed.status() == "COMPLETED"
""",
    "no definition": """
with Testbed(interval_s=600) as bed:
    bed.advance(2 * HOUR)
    assert not has_task(bed)
""",
    "another version": """
with Testbed(interval_s=600) as bed:
    bed.define_update("1.0.1", current_version=version(bed, package="0.9.0"))
    bed.advance(2 * HOUR)
    assert not has_task(bed)
""",
    "gateways with different versions": """
with Testbed(gateways=0, interval_s=600) as bed:
    old = bed.add_gateway("58a0cbfffe800001", package="1.0.0")
    new = bed.add_gateway("58a0cbfffe800002", package="1.0.1")
    bed.define_update("1.0.2")
    bed.advance(2 * HOUR)
    print(old.home.read_package_version(), new.home.read_package_version())
""",
    "definitions in a list": """
with Testbed() as bed:
    made = bed.define_update("1.0.1")
    listed = bed.client("iotwireless").list_wireless_gateway_task_definitions()["TaskDefinitions"]
    assert [one["Id"] for one in listed] == [made]
""",
    "a gateway in a list": """
with Testbed(gateways=2) as bed:
    listed = bed.client("iotwireless").list_wireless_gateways()["WirelessGatewayList"]
    print(sorted(one["Id"] for one in listed) == sorted(gateway.id for gateway in bed.gateways))
""",
    "the version at AWS": """
with Testbed() as bed:
    bed.poll()
    iot = bed.client("iotwireless")
    known = iot.get_wireless_gateway_firmware_information(Id=bed.gateways[0].id)
    print(known["LoRaWAN"]["CurrentVersion"]["PackageVersion"])
""",
    "the object is missing": """
with Testbed(interval_s=600) as bed:
    bed.define_update("1.0.1", data_source="s3://iotwirelessfwupdate/missing")
    bed.advance(2 * HOUR)
    assert bed.status() == "PENDING"
""",
    "a throttled call": """
with Testbed() as bed:
    bed.fail_next("ListWirelessGateways", "AccessDeniedException")
    try:
        bed.client("iotwireless").list_wireless_gateways()
    except ClientError as error:
        print(error.response["Error"]["Code"])
""",
    "a gateway that was offline": """
with Testbed(interval_s=600) as bed:
    bed.inject("offline", polls=3)
    bed.define_update("1.0.1")
    bed.advance(4 * HOUR)
    assert bed.status() == "COMPLETED"
""",
    "a link that drops once": """
with Testbed(interval_s=600) as bed:
    bed.inject("link-drop", polls=1)
    bed.define_update("1.0.1")
    bed.advance(4 * HOUR)
    assert bed.status() == "COMPLETED"
""",
    "a daily poll": """
with Testbed(interval_s=24 * HOUR) as bed:
    bed.define_update("1.0.1")
    bed.advance(48 * HOUR)
    print(bed.status(), bed.now())
""",
    "a script that fails": """
with Testbed() as bed:
    bed.define_update("1.0.1")
    raise SystemExit(3)
""",
    "a script that prints the time of day and a random number": """
import random
import time

with Testbed(interval_s=600) as bed:
    bed.define_update("1.0.1")
    bed.advance(2 * HOUR)
    print(bed.status(), time.time_ns(), random.random())
""",
}
"""Scripts by name. None of them depends on an assumption."""

SCRIPTS = {**DEPENDENT, **INDEPENDENT}


def planted_in(name: str) -> set[str]:
    """Return the decision on which a script depends, in a set, or an empty set."""
    if name in DEPENDENT:
        return {name.partition(":")[0]}
    return set()


def write_script(name: str, folder: Path) -> Path:
    """Write a script into the folder and return its path."""
    path = folder / "script.py"
    path.write_text(HEADER + SCRIPTS[name])
    return path


def decisions_named_by_the_command(path: Path) -> tuple[set[str], str]:
    """Run the command on a script. Return the decisions that it names, and the outcome with lorafw's answers."""
    command = [sys.executable, "-m", "lorafw", "assumptions", "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return {f"exit status {done.returncode}: {done.stderr.strip()}"}, "none"
    report = json.loads(done.stdout)
    named = {dependency["alternative"]["decision"] for dependency in report["dependencies"]}
    return named, report["default"]["verdict"]


def main() -> int:
    """Run the command on every script and print a table. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="TEXT")
    options = parser.parse_args()
    names = [name for name in SCRIPTS if options.only in name]
    recognised = 0
    for name in names:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="lorafw-bench-") as folder:
            named, verdict = decisions_named_by_the_command(write_script(name, Path(folder)))
        is_right = named == planted_in(name)
        recognised += is_right
        answer = "ok" if is_right else "WRONG"
        shown = ", ".join(sorted(named)) or "none"
        print(f"{name:58} {time.monotonic() - started:5.1f} s  {answer}  {verdict}; {shown}", flush=True)
    print(f"{recognised} of {len(names)} scripts recognised")
    return int(recognised != len(names))


if __name__ == "__main__":
    raise SystemExit(main())
