"""Each decision has a name, a value and a tag. A bad value is refused with a helpful error."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, fields
from typing import get_args, get_type_hints

import pytest

from lorafw.errors import InvalidValue, TaskError
from lorafw.tasks.decision import Evidence
from lorafw.tasks.fixed_decisions import FIXED
from lorafw.tasks.policy import LONGEST_S, Policy, all_decisions

QUESTIONS = {
    "comparing versions": ("comparison", "exact"),
    "when is an automatic task created": ("automatic_creation", "at_request"),
    "a CurrentVersion field absent, or package null": ("absent_field", "strict"),
    "a definition without Update, or without UpdateDataSource": ("without_source", "accept"),
    "an UpdateSignature that no station could take": ("unusable_signature", "reject"),
    "several definitions match": ("several_matches", "oldest"),
    "the gateway already has a task": ("existing_task", "blocks"),
    "a task deleted while its automatic definition still matches": ("deleted_task", "makes it anew"),
    "manual task": ("manual_start", "matching_request"),
    "first offer": ("first_offer", "when the reply with the update begins"),
    "a reply that was not wholly written": ("broken_reply", "free"),
    "settle_s after a whole offer": ("settle_s", 0),
    "two requests of one gateway at once": ("concurrent_requests", "the other gets nothing"),
    "what completes": ("completion", "version_differs"),
    "what is a failed attempt": ("failed_attempt", "still presents the offered version"),
    "a version that is neither": ("other_version", "fails"),
    "silence": ("silence_timeout_s", 48 * 3600),
    "SigKeyCrc not among the request's keys": ("key_mismatch", "offer"),
    "object or role cannot be read": ("unreadable_source", "nothing is used up"),
    "deleting a task in any status": ("delete_task", "any_status"),
    "deleting a definition": ("deleted_definition", "they go on"),
    "unknown gateway": ("unknown_gateway_status", 403),
    "one CUPS port, several accounts and regions": ("gateway_lookup", "the one that has the EUI"),
    "firmware information": ("firmware_information", "presented at the last request"),
    "GatewayEui in answers": ("gateway_eui_form", "16 lower-case hex digits"),
    "LastUplinkReceivedAt": ("last_uplink", "cups_request"),
    "ClientRequestToken": ("client_request_token", "the first answer again"),
    "how long a ClientRequestToken is remembered": ("client_request_token_memory", "ten minutes"),
    "how many calls are admitted in a second": ("request_rate", "10"),
    "how many calls are admitted at once": ("request_burst", "as many as in a second"),
    "the log level at first": ("log_level_default", "ERROR"),
    "several log levels": ("log_level_precedence", "the gateway's own, else that of the event"),
    "log options that are left out": ("log_options_update", "they stay"),
    "how many gateways with a log level": ("log_level_overrides", "200"),
    "the log stream of a gateway": ("log_stream", "WirelessGateway-CUPS_Request-"),
    "the message about a response": ("log_message", "Sending CUPS response of total length"),
    "a request without cupsCredCrc": ("log_of_missing_crc", "AWS's documented error"),
    "event topics at first": ("event_topics_default", "none"),
    "the event configuration of a gateway": ("event_topics_of_gateway", "one for both"),
    "what a stack update changes in place": ("stack_update", "in_place"),
    "a stack update of an EUI": ("stack_update_of_eui", "refused"),
    "properties of a stack without effect": ("stack_properties", "LastUplinkReceivedAt"),
    "the name of the session": ("session_name", "lorafw-update"),
    "aws:SourceArn": ("source_arn", "WirelessGatewayTaskDefinition/*"),
    "aws:SourceAccount": ("source_account", "the account of the gateway"),
    "a condition that cannot be judged": ("unjudged_condition", "a Deny denies"),
    "aws:SourceIp": ("source_ip", "a public address of AWS"),
    "an object under SSE-C": ("customer_key_encryption", "refused with AccessDenied"),
    "a missing object, and no ListBucket": ("missing_object", "it is missing"),
    "TC URI, CUPS URI, credentials in the reply": ("reply_extras", "empty"),
}
"""The rows of the table of decisions, and the decision that answers each with its default."""

CHANGEABLE = [f.name for f in fields(Policy)]
BY_NAME = {decision.name: decision for decision in all_decisions()}
WORDS = [decision for decision in Policy().decisions() if decision.choices]
NUMBERS = [decision for decision in Policy().decisions() if not decision.choices]


def invalid(**values: object) -> InvalidValue:
    with pytest.raises(InvalidValue) as caught:
        Policy(**values)  # type: ignore[arg-type]
    return caught.value


def invalid_text(texts: dict[str, str], policy: Policy | None = None) -> InvalidValue:
    with pytest.raises(InvalidValue) as caught:
        (policy or Policy()).with_string_values(texts)
    return caught.value


# --- the decisions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "default"), QUESTIONS.values(), ids=QUESTIONS)
def test_each_question_is_decided_with_a_tag(name, default):
    decision = BY_NAME[name]
    assert default in decision.value if isinstance(decision.value, str) else default == decision.value
    assert decision.tag in Evidence


def test_nothing_else_is_decided_and_no_name_is_used_twice():
    assert sorted(name for name, _ in QUESTIONS.values()) == sorted(d.name for d in all_decisions())


def test_the_three_tags():
    assert [str(tag) for tag in Evidence] == ["documented", "observed", "assumed"]


@pytest.mark.parametrize("decision", all_decisions(), ids=lambda d: d.name)
def test_each_decision_asks_answers_and_gives_a_reason(decision):
    assert decision.question.endswith("?")
    assert decision.reason
    assert decision.value != ""


def test_decisions_are_those_that_can_be_changed_and_those_that_cannot():
    names = [decision.name for decision in all_decisions()]
    assert names == CHANGEABLE + [decision.name for decision in FIXED]


def test_decisions_show_the_values_of_the_policy_at_hand():
    policy = Policy(settle_s=7, comparison="trimmed")
    shown = {d.name: d.value for d in all_decisions(policy)}
    assert (shown["settle_s"], shown["comparison"]) == (7, "trimmed")
    assert shown == {d.name: d.value for d in all_decisions()} | {"settle_s": 7, "comparison": "trimmed"}


def test_choices_are_those_of_the_type():
    hints = get_type_hints(Policy)
    for decision in WORDS:
        if decision.name != "unknown_gateway_status":
            assert decision.choices == get_args(hints[decision.name])
        assert decision.value in decision.choices
        assert len(decision.choices) == 2


def test_a_policy_is_a_value():
    policy = Policy()
    assert policy == Policy() != Policy(settle_s=1)
    with pytest.raises(FrozenInstanceError):
        policy.settle_s = 1  # type: ignore[misc]


# --- values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", WORDS, ids=lambda d: d.name)
def test_each_choice_is_taken_as_value_and_as_text(decision):
    for choice in decision.choices:
        policy = Policy(**{decision.name: choice})
        assert getattr(policy, decision.name) == choice
        assert Policy().with_string_values({decision.name: str(choice)}) == policy


@pytest.mark.parametrize("decision", WORDS, ids=lambda d: d.name)
@pytest.mark.parametrize("value", ["", "EXACT", None, 0, True, 500, 403.0, ["exact"]], ids=repr)
def test_any_other_choice_is_refused_with_those_that_there_are(decision, value):
    error = invalid(**{decision.name: value})
    assert (error.field, error.value) == (decision.name, value)
    allowed = ", ".join(map(str, decision.choices))
    assert str(error) == f"{decision.name}: {value!r} is not one of: {allowed}"


@pytest.mark.parametrize("decision", NUMBERS, ids=lambda d: d.name)
@pytest.mark.parametrize("value", [0, 1, 0.5, 48 * 3600, 1e9, LONGEST_S])
def test_a_number_of_seconds_is_taken(decision, value):
    assert getattr(Policy(**{decision.name: value}), decision.name) == value


BAD_NUMBERS = [-1, -0.001, float("nan"), float("inf"), float("-inf"), 1e30, LONGEST_S + 1, "30", None, True, 1j]


@pytest.mark.parametrize("decision", NUMBERS, ids=lambda d: d.name)
@pytest.mark.parametrize("value", BAD_NUMBERS, ids=repr)
def test_what_is_no_number_of_seconds_is_refused(decision, value):
    error = invalid(**{decision.name: value})
    assert error.field == decision.name
    assert error.value is value
    assert str(error).startswith(f"{decision.name}: {value!r} is not a number of seconds from 0 to 3155760000")


def test_an_invalid_policy_is_a_task_error():
    assert isinstance(invalid(settle_s=-1), TaskError)


# --- texts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "value"), [("30", 30.0), ("2.5", 2.5), ("0", 0.0), ("1e3", 1000.0), (" 7 ", 7.0)])
def test_a_typed_number_is_read(text, value):
    policy = Policy().with_string_values({"settle_s": text})
    assert policy.settle_s == value
    assert isinstance(policy.settle_s, float)


def test_a_typed_fraction_is_read_also_where_the_policy_holds_a_whole_number():
    assert Policy(settle_s=30).with_string_values({"settle_s": "2.5"}).settle_s == 2.5


def test_a_typed_http_status_is_a_whole_number():
    status = Policy().with_string_values({"unknown_gateway_status": "404"}).unknown_gateway_status
    assert (status, type(status)) == (404, int)


BAD_TEXTS = [
    ("settle_s", "nan", "nan"),
    ("settle_s", "inf", "inf"),
    ("settle_s", "-inf", "-inf"),
    ("settle_s", "-1", "-1.0"),
    ("settle_s", "1e400", "inf"),
    ("settle_s", "", "''"),
    ("settle_s", "half an hour", "'half an hour'"),
    ("silence_timeout_s", "48h", "'48h'"),
    ("unknown_gateway_status", "403.5", "'403.5'"),
    ("unknown_gateway_status", "403.0", "'403.0'"),
    ("unknown_gateway_status", "-403", "'-403'"),
    ("unknown_gateway_status", "nan", "'nan'"),
    ("comparison", "Exact", "'Exact'"),
    ("comparison", "", "''"),
]


@pytest.mark.parametrize(("name", "text", "shown"), BAD_TEXTS)
def test_a_typed_value_that_cannot_be_is_refused_with_what_can(name, text, shown):
    error = invalid_text({name: text})
    assert error.field == name
    assert str(error).startswith(f"{name}: {shown} is not ")
    remedy = "number of seconds from 0" if name.endswith("_s") else ", ".join(map(str, BY_NAME[name].choices))
    assert remedy in str(error)


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("setle_s", "settle_s"),
        ("settle", "settle_s"),
        ("silence_timeout", "silence_timeout_s"),
        ("key_missmatch", "key_mismatch"),
        ("unknown_gateway", "unknown_gateway_status"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(typed, near):
    error = invalid_text({typed: "1"})
    assert (error.field, error.value) == ("policy", typed)
    assert str(error) == f"policy: {typed!r} is not a policy; did you mean {near}?"


def test_a_name_like_no_other_is_answered_with_all_of_them():
    message = str(invalid_text({"zzz": "1"}))
    assert re.fullmatch(r"policy: 'zzz' is not a policy; known: .+", message)
    assert all(name in message for name in CHANGEABLE)


def test_a_decision_that_is_fixed_is_no_policy():
    assert "is not a policy" in str(invalid_text({"first_offer": "never"}))


def test_texts_change_what_they_name_and_nothing_else():
    before = Policy(comparison="trimmed", settle_s=5)
    after = before.with_string_values({"settle_s": "30", "key_mismatch": "withhold"})
    assert after == Policy(comparison="trimmed", settle_s=30, key_mismatch="withhold")
    assert before == Policy(comparison="trimmed", settle_s=5)
    assert before.with_string_values({}) == before


def test_of_several_texts_one_bad_one_refuses_all():
    assert invalid_text({"settle_s": "30", "comparison": "loose"}).field == "comparison"
