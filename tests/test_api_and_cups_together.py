"""The rules of a firmware update hold for random sequences of API calls and CUPS requests.

boto3 on one side, the bytes of CUPS over a socket on the other; the machine knows the two only from outside.
"""

from __future__ import annotations

import http.client
import socket
import struct
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from lorafw import example
from lorafw.cups.codec import decode_response, encode_request
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.testbed import Testbed, TestbedGateway
from lorafw.version import GatewayVersion

OLD = example.CURRENT_VERSION
NEW = GatewayVersion(station=OLD.station, package="1.0.1", model=OLD.model)
STRANGE = GatewayVersion(station=OLD.station, package="9.9", model="other")
VERSIONS = st.sampled_from(
    [OLD, OLD, OLD, NEW, STRANGE, GatewayVersion(station=OLD.station, package=None, model="rpi")]
)
ENDED = ("COMPLETED", "FAILED")
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"

BAD_CALLS = [
    ("create_wireless_gateway", {"LoRaWAN": {"GatewayEui": "5a11b0a85a11b0a8"}}, "ConflictException"),
    ("create_wireless_gateway", {"LoRaWAN": {"GatewayEui": "nonsense"}}, "ValidationException"),
    (
        "create_wireless_gateway_task_definition",
        {"AutoCreateTasks": True, "Update": {"LoRaWAN": {"UpdateSignature": "no base64!"}}},
        "ValidationException",
    ),
    ("delete_wireless_gateway_task_definition", {"Id": UNKNOWN_ID}, "ResourceNotFoundException"),
    ("delete_wireless_gateway_task", {"Id": UNKNOWN_ID}, "ResourceNotFoundException"),
    ("get_wireless_gateway_task", {"Id": UNKNOWN_ID}, "ResourceNotFoundException"),
]
BAD_BODIES = [b"", b"{", b"[]", b'{"router":1}', b'{"router":"::1"}', b"x" * 9000]


class ApiAndCups(RuleBasedStateMachine):
    bed: Testbed

    @initialize()
    def world(self) -> None:
        self.bed = Testbed(gateways=2).start()
        self.iot = self.bed.client("iotwireless")
        self.update = example.update_file()
        self.source = self.bed.upload(self.update)
        self.definitions: dict[str, bool] = {}
        self.wanted: dict[str, GatewayVersion] = {}
        self.sends: dict[str, int] = {}
        self.seen: dict[str, str] = {}

    def teardown(self) -> None:
        if hasattr(self, "bed"):
            self.bed.stop()

    # --- what is known from outside ---

    def task(self, gateway: TestbedGateway) -> dict[str, Any] | None:
        try:
            answer = self.iot.get_wireless_gateway_task(Id=gateway.id)
        except self.iot.exceptions.ResourceNotFoundException:
            return None
        answer.pop("ResponseMetadata")
        return answer

    def everything(self) -> object:
        definitions = self.iot.list_wireless_gateway_task_definitions()["TaskDefinitions"]
        gateways = self.iot.list_wireless_gateways()["WirelessGatewayList"]
        return definitions, gateways, [self.task(gateway) for gateway in self.bed.gateways]

    def matching(self, version: GatewayVersion) -> list[str]:
        return [i for i, automatic in self.definitions.items() if automatic and self.wanted[i] == version]

    # --- the API ---

    @rule(
        automatic=st.booleans(),
        version=st.sampled_from([OLD, OLD, STRANGE]),
        readable=st.sampled_from([True, True, False]),
    )
    def define(self, automatic: bool, version: GatewayVersion, readable: bool) -> None:
        members = example.input_json(
            auto_create_tasks=automatic,
            current_version=version,
            data_source=self.source if readable else "s3://iotwirelessfwupdate/not-there",
        )
        created = self.iot.create_wireless_gateway_task_definition(**members)
        self.definitions[created["Id"]] = automatic
        self.wanted[created["Id"]] = version

    @precondition(lambda self: self.definitions)
    @rule(data=st.data())
    def delete_definition(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(sorted(self.definitions)))
        self.iot.delete_wireless_gateway_task_definition(Id=chosen)
        del self.definitions[chosen]

    @precondition(lambda self: self.definitions)
    @rule(data=st.data(), index=st.integers(0, 1))
    def create_task(self, data: st.DataObject, index: int) -> None:
        gateway = self.bed.gateways[index]
        chosen = data.draw(st.sampled_from(sorted(self.definitions)))
        before = self.everything()
        had = self.task(gateway)
        try:
            created = self.iot.create_wireless_gateway_task(Id=gateway.id, WirelessGatewayTaskDefinitionId=chosen)
        except self.iot.exceptions.ConflictException:
            assert had is not None, "a gateway without a task is free for one"
            assert self.everything() == before, "nothing changes on an error"
        else:
            assert had is None, "a gateway has at most one task"
            assert created["Status"] == "PENDING"
            self.sends[gateway.id] = 0
            self.seen.pop(gateway.id, None)

    @rule(index=st.integers(0, 1))
    def delete_task(self, index: int) -> None:
        gateway = self.bed.gateways[index]
        if self.task(gateway) is not None:
            self.iot.delete_wireless_gateway_task(Id=gateway.id)
            assert self.task(gateway) is None
        self.sends[gateway.id] = 0
        self.seen.pop(gateway.id, None)

    @rule(call=st.sampled_from(BAD_CALLS))
    def bad_call(self, call: tuple[str, dict[str, Any], str]) -> None:
        operation, parameters, code = call
        before = self.everything()
        with pytest.raises(ClientError) as caught:
            getattr(self.iot, operation)(**parameters)
        assert caught.value.response["Error"]["Code"] == code
        assert self.everything() == before, "nothing changes on an error"

    # --- CUPS ---

    @rule(index=st.integers(0, 1), version=VERSIONS, times=st.sampled_from([1, 1, 2, 5]))
    def poll(self, index: int, version: GatewayVersion, times: int) -> None:
        for _ in range(times):
            self.poll_once(self.bed.gateways[index], version)

    def poll_once(self, gateway: TestbedGateway, version: GatewayVersion) -> None:
        before = self.task(gateway)
        matching = self.matching(version)
        response = decode_response(self.post(self.body(gateway, version)))
        after = self.task(gateway)
        if before is None and after is not None:
            assert after["WirelessGatewayTaskDefinitionId"] in matching, "no automatic task without a match"
            self.sends[gateway.id] = 0
        if before is None and after is None:
            assert not matching
        if response.update:
            assert response.update == self.update
            assert after is not None
            assert self.wanted[after["WirelessGatewayTaskDefinitionId"]] == version, "no send without a match"
            self.sends[gateway.id] += 1
            self.wait_until_counted(gateway)

    @rule(index=st.integers(0, 1))
    def break_off(self, index: int) -> None:
        """A poll whose connection is reset after the first bytes: it uses up nothing."""
        gateway = self.bed.gateways[index]
        before = self.task(gateway)
        body = self.body(gateway, OLD)
        with socket.create_connection(("127.0.0.1", self.bed.cups.port)) as station:
            station.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            head = f"POST /update-info HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            station.sendall(head.encode() + body)
            station.recv(1)
        self.wait_until_idle(gateway)
        after = self.task(gateway)
        if before is None and after is not None:
            self.sends[gateway.id] = 0

    @rule(body=st.sampled_from(BAD_BODIES))
    def bad_request(self, body: bytes) -> None:
        before = self.everything()
        connection = http.client.HTTPConnection("127.0.0.1", self.bed.cups.port, timeout=10)
        connection.request("POST", "/update-info", body)
        response = connection.getresponse()
        assert response.status in (400, 403)
        assert len(response.read()) < 100
        connection.close()
        assert self.everything() == before, "nothing changes on an error"

    @rule(hours=st.sampled_from([1, 30, 50]))
    def wait(self, hours: int) -> None:
        self.bed.clock.advance(hours * 3600)

    # --- the laws ---

    @invariant()
    def an_ended_task_stays_as_it_is_and_nothing_is_sent_more_than_three_times(self) -> None:
        if not hasattr(self, "bed"):
            return
        for gateway in self.bed.gateways:
            task = self.task(gateway)
            assert self.sends.get(gateway.id, 0) <= 3
            if task is None:
                continue
            key = f"{task['WirelessGatewayTaskDefinitionId']} {task['TaskCreatedAt']} {task['Status']}"
            if gateway.id in self.seen:
                assert self.seen[gateway.id] == key, "terminal statuses stay until the task is deleted"
            if task["Status"] in ENDED:
                self.seen[gateway.id] = key

    # --- inside ---

    def body(self, gateway: TestbedGateway, version: GatewayVersion) -> bytes:
        self.bed.clock.advance(1)
        return encode_request(
            UpdateInfoRequest(gateway.eui, station=version.station, model=version.model, package=version.package)
        )

    def post(self, body: bytes) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.bed.cups.port, timeout=10)
        connection.request("POST", "/update-info", body)
        response = connection.getresponse()
        assert response.status == 200
        content = response.read()
        connection.close()
        return content

    def wait_until_counted(self, gateway: TestbedGateway) -> None:
        """The gateway has closed; that its reply was whole is known a moment later."""
        self.wait_until_idle(gateway)
        assert self.bed.service.task(self.bed.owner, gateway.id).sends == self.sends[gateway.id]

    def wait_until_idle(self, gateway: TestbedGateway) -> None:
        deadline = time.monotonic() + 5
        while self.bed.service.is_sending(self.bed.owner, gateway.id):
            assert time.monotonic() < deadline
            time.sleep(0.002)


@pytest.mark.parametrize("examples", [10, pytest.param(25, marks=pytest.mark.slow)])
def test_the_laws_hold_over_api_and_cups_together(examples: int) -> None:
    run_state_machine_as_test(
        ApiAndCups,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            # A failure is shown as it was found: making it smaller would take minutes.
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )
