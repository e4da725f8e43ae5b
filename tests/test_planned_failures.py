"""Which call fails, and with what: the planned failures and the rate limits, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from lorafw.clock import ManualClock
from lorafw.errors import LabError
from lorafw.failures.arguments import plan_failure
from lorafw.failures.names import SERVICES, ErrorReply, Operation, error_statuses, find_operation, service_model
from lorafw.failures.planned import ApiCall
from lorafw.failures.registry import FailureRegistry

GET_TASK = Operation("iotwireless", "GetWirelessGatewayTask")


def call(
    operation: Operation = GET_TASK, region: str = "us-east-1", caller: str = "testing", **members: Any
) -> ApiCall:
    return ApiCall(operation, region, caller, members)


def codes(registry: FailureRegistry, calls: int, **members: Any) -> list[str | None]:
    return [code_of(registry.failure_of(call(**members))) for _ in range(calls)]


def code_of(failure: Any) -> str | None:
    return failure.code if isinstance(failure, ErrorReply) else failure


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def registry(clock: ManualClock) -> FailureRegistry:
    return FailureRegistry(clock)


def test_calls_succeed_first_then_fail_and_then_succeed_again(registry: FailureRegistry) -> None:
    registry.add(plan_failure("GetWirelessGatewayTask", "AccessDeniedException", after=2, times=2))
    assert codes(registry, 5) == [None, None, "AccessDeniedException", "AccessDeniedException", None]


def test_failures_of_one_operation_happen_in_the_order_in_which_they_were_planned(registry: FailureRegistry) -> None:
    registry.add(plan_failure("GetWirelessGatewayTask", "AccessDeniedException", after=1))
    registry.add(plan_failure("GetWirelessGatewayTask", "reset-after-effect"))
    assert codes(registry, 4) == [None, "AccessDeniedException", "reset-after-effect", None]


def test_a_call_without_the_members_neither_fails_nor_counts(registry: FailureRegistry) -> None:
    registry.add(plan_failure("GetWirelessGatewayTask", "AccessDeniedException", after=1, where={"Id": "a"}))
    assert codes(registry, 3, Id="b") == [None] * 3
    assert codes(registry, 3, Id="a") == [None, "AccessDeniedException", None]


def test_members_of_a_structure_are_compared_one_by_one(registry: FailureRegistry) -> None:
    registry.add(plan_failure("CreateWirelessGateway", "ConflictException", where={"LoRaWAN": {"GatewayEui": "00"}}))
    create = Operation("iotwireless", "CreateWirelessGateway")
    assert registry.failure_of(call(create, LoRaWAN={"GatewayEui": "01"})) is None
    assert registry.failure_of(call(create, LoRaWAN="00")) is None
    assert code_of(registry.failure_of(call(create, LoRaWAN={"GatewayEui": "00", "RfRegion": "EU868"})))


def test_numbers_and_booleans_equal_their_text_on_the_wire(registry: FailureRegistry) -> None:
    registry.add(plan_failure("ListWirelessGateways", "AccessDeniedException", where={"MaxResults": 5}))
    registry.add(plan_failure("iot:CreateCertificateFromCsr", "InternalFailure", where={"setAsActive": True}))
    assert registry.failure_of(call(Operation("iotwireless", "ListWirelessGateways"), MaxResults="5")) is not None
    assert registry.failure_of(call(Operation("iot", "CreateCertificateFromCsr"), setAsActive="true")) is not None


def test_ten_calls_a_second_are_admitted_on_the_clock(registry: FailureRegistry, clock: ManualClock) -> None:
    registry.throttle()
    assert codes(registry, 12) == [None] * 10 + ["ThrottlingException"] * 2
    clock.advance(0.3)
    assert codes(registry, 4) == [None] * 3 + ["ThrottlingException"]
    clock.advance(3600)
    assert codes(registry, 11) == [None] * 10 + ["ThrottlingException"]


def test_each_operation_region_and_caller_is_counted_for_itself(registry: FailureRegistry) -> None:
    registry.throttle(1)
    for other in (call(), call(region="eu-west-1"), call(caller="other"), call(find_operation("GetWirelessGateway"))):
        assert registry.failure_of(other) is None
        assert code_of(registry.failure_of(other)) == "ThrottlingException"


def test_a_throttled_call_uses_up_no_planned_failure(registry: FailureRegistry, clock: ManualClock) -> None:
    registry.throttle(1, operation="GetWirelessGatewayTask")
    registry.add(plan_failure("GetWirelessGatewayTask", "AccessDeniedException", after=1))
    assert codes(registry, 3) == [None, "ThrottlingException", "ThrottlingException"]
    clock.advance(1)
    assert codes(registry, 1) == ["AccessDeniedException"]


def test_a_limit_can_be_removed_and_other_services_have_their_own_code(registry: FailureRegistry) -> None:
    for operation, code in (("PutObject", "SlowDown"), ("GetRole", "Throttling"), ("AssumeRole", "Throttling")):
        found = find_operation(operation)
        registry.throttle(0.5, operation=operation)
        assert [code_of(registry.failure_of(call(found))) for _ in range(2)] == [None, code]
        registry.throttle(None, operation=operation)
        assert registry.failure_of(call(found)) is None


def test_a_name_alone_means_iotwireless_and_other_names_need_their_service_if_two_have_them() -> None:
    assert find_operation("TagResource") == Operation("iotwireless", "TagResource")
    assert find_operation("iot:TagResource") == Operation("iot", "TagResource")
    with pytest.raises(LabError, match=r"^operation: 'CreatePolicy' .* give 'iot:CreatePolicy' or 'iam:CreatePolicy'$"):
        find_operation("CreatePolicy")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("GetWirelessGatewayTasks", "ThrottlingException"), r"^operation: .* give GetWirelessGatewayTask$"),
        (("put_object", "SlowDown"), r"^operation: "),
        (("ec2:RunInstances", "SlowDown"), r"^operation: 'ec2' is not a service, .*iam, iot, iotwireless, s3, sts$"),
        (("iam:GetRoles", "AccessDenied"), r"^operation: .* is not an operation of iam; give GetRole$"),
        (("PutObject", "ThrottlingException"), r"^code: 'ThrottlingException' is not an error of PutObject; give "),
        (("GetRole", "NoSuchEntityException"), r"^code: .* give NoSuchEntity$"),
        (("GetObject", "reset-before-efect"), r"^code: .* give reset-before-effect$"),
    ],
    ids=str,
)
def test_an_unknown_name_is_refused_with_a_similar_one(
    registry: FailureRegistry, arguments: tuple[str, str], words: str
) -> None:
    with pytest.raises(LabError, match=words):
        registry.add(plan_failure(*arguments))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"where": {"id": "a"}}, r"^where: 'id' is not a member of GetWirelessGatewayTask; give .*: Id$"),
        ({"where": "Id"}, r"^where: 'Id' is not a mapping"),
        ({"where": {"Id": ["a"]}}, r"^where: 'Id' of GetWirelessGatewayTask cannot be compared"),
        ({"times": 0}, r"^times: 0 is not"),
        ({"times": True}, r"^times: "),
        ({"after": -1}, r"^after: -1 is not"),
        ({"message": 5}, r"^message: 5 is not a text"),
    ],
    ids=str,
)
def test_a_bad_argument_is_refused_and_nothing_is_planned(
    registry: FailureRegistry, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(LabError, match=words):
        registry.add(plan_failure("GetWirelessGatewayTask", "AccessDeniedException", **options))
    assert codes(registry, 1) == [None]


@pytest.mark.parametrize("message", ["a\0b", "\x1b[31m", "\ud800", "\uffff"])
def test_a_message_that_xml_cannot_contain_is_refused(registry: FailureRegistry, message: str) -> None:
    for operation in ("PutObject", "iam:GetRole"):
        with pytest.raises(LabError, match=r"^message: .* answers with XML, which cannot contain "):
            registry.add(plan_failure(operation, "AccessDenied", message=message))
    registry.add(plan_failure("GetWirelessGatewayTask", "AccessDeniedException", message=message))


def test_a_member_of_a_structure_is_checked_too_and_lists_are_not_compared(registry: FailureRegistry) -> None:
    for where, words in (
        ({"LoRaWAN": {"Eui": "00"}}, r"'Eui' is not a member of CreateWirelessGateway.LoRaWAN; .*GatewayEui"),
        ({"Tags": "a"}, r"'Tags' of CreateWirelessGateway cannot be compared"),
    ):
        with pytest.raises(LabError, match=words):
            registry.add(plan_failure("CreateWirelessGateway", "ConflictException", where=where))


@pytest.mark.parametrize(("per_second", "burst"), [(0, None), (-1, None), (True, None), ("10", None), (10, 0)])
def test_a_bad_rate_is_refused(registry: FailureRegistry, per_second: Any, burst: Any) -> None:
    with pytest.raises(LabError, match=r"^(per_second|burst): "):
        registry.throttle(per_second, burst=burst)


@pytest.mark.parametrize("service", SERVICES)
def test_every_modelled_error_of_every_operation_has_a_status_of_http(service: str) -> None:
    for name in service_model(service).operation_names:
        statuses = error_statuses(find_operation(f"{service}:{name}"))
        assert all(300 < status < 600 for status in statuses.values())
