"""Any policy document is evaluated in limited time and memory, and never raises an unexpected error."""

from __future__ import annotations

import fnmatch
import json
import re
import time
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorafw.clock import parse_iso
from lorafw.sources.iam.documents import MAX_DOCUMENT
from lorafw.sources.iam.evaluation import NamedPolicy, PolicyDecision, evaluate
from lorafw.sources.iam.patterns import matches, matches_arn, to_pattern
from lorafw.sources.iam.requests import Circumstances, IamRole, read_object_request

ROLE = IamRole("arn:aws:iam::123456789012:role/Role", "123456789012", "AROA", {"team": "a" * 256})
OBJECT = "arn:aws:s3:::bucket/" + "ab" * 500
REQUEST = read_object_request(
    ROLE, Circumstances(parse_iso("2021-03-12T09:56:12.047Z"), "us-east-1"), OBJECT, bucket_account="123456789012"
)
MEBIBYTE = 1 << 20


def decide(document: str | bytes) -> PolicyDecision:
    return evaluate([NamedPolicy("fuzzed", document)], REQUEST)


def statement(**parts: object) -> str:
    elements = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": OBJECT, **parts}
    return json.dumps({"Version": "2012-10-17", "Statement": [elements]})


def patterns_of_many_stars(size: int) -> str:
    one = "*a?b" * 240
    return statement(Resource=[one + "c"] * (size // len(one)))


def question_marks(size: int) -> str:
    return statement(Resource=["*" + "?a" * 300 + "*" + "b?" * 150 + "*c"] * (size // 910))


def variables_that_grow(size: int) -> str:
    return statement(Resource="${aws:PrincipalTag/team}" * (size // 24))


def open_variables(size: int) -> str:
    return statement(Resource="${" * (size // 2))


def many_conditions(size: int) -> str:
    return statement(Condition={"StringLike": {"aws:PrincipalTag/team": ["*a*a*b"] * (size // 10)}})


def many_operators(size: int) -> str:
    return statement(Condition={f"StringLike{' ' * index}": {"aws:PrincipalArn": "*"} for index in range(size // 400)})


HARD: dict[str, Callable[[int], str]] = {
    "open lists": lambda size: "[" * size,
    "open objects": lambda size: '{"Statement":' * (size // 13),
    "empty lists": lambda size: '{"Statement":[' + "[]," * (size // 3) + "[]]}",
    "small objects": lambda size: '{"Statement":[' + '{"":0},' * (size // 7) + "{}]}",
    "a long number": lambda size: '{"Statement":' + "9" * size + "}",
    "blanks": lambda size: " " * size + "{}",
    "a long text": lambda size: '{"Statement":"' + "x" * size + '"}',
    "stars": patterns_of_many_stars,
    "question marks": question_marks,
    "variables": variables_that_grow,
    "open variables": open_variables,
    "conditions": many_conditions,
    "operators": many_operators,
}


@pytest.mark.parametrize("size", [MAX_DOCUMENT - 200, MEBIBYTE])
@pytest.mark.parametrize("name", HARD)
def test_a_hostile_document_is_decided_within_a_second_and_64_mebibytes(name: str, size: int) -> None:
    document = HARD[name](size)
    begun = time.process_time()
    decision = decide(document.encode())
    assert time.process_time() - begun < 1.0
    tracemalloc.start()
    try:
        decide(document)
        assert tracemalloc.get_traced_memory()[1] < 64 * MEBIBYTE
    finally:
        tracemalloc.stop()
    assert not decision.allowed
    assert "fuzzed" in decision.reason


@given(st.binary(max_size=400))
def test_any_bytes_are_decided(document: bytes) -> None:
    decision = decide(document)
    assert not decision.allowed
    assert decision.reason


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20)
    | st.sampled_from(["*", OBJECT, "s3:GetObject", "Allow", "Deny", "${aws:PrincipalArn}", "${", "1.2", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["Statement", "Effect", "Action", "NotAction", "Resource", "Condition", "Bool", "IpAddress",
                         "ForAllValues:DateLessThan", "NumericEquals", "StringLike", "aws:SourceIp", "aws:EpochTime",
                         "Version", "Null", "aws:PrincipalArn", "aws:TagKeys", "ArnLikeIfExists", "BinaryEquals"]),
        inner, max_size=4,
    ),
    max_leaves=14,
)  # fmt: skip


@settings(max_examples=60)
@given(JSON_VALUES, JSON_VALUES)
def test_any_statement_is_decided_and_a_deny_wins_over_it(elements: object, condition: object) -> None:
    deny = {"Effect": "Deny", "Action": "*", "Resource": "*"}
    odd = {"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": condition}
    for value in (elements, {"Version": "2012-10-17", "Statement": [elements, odd]}):
        decision = evaluate([NamedPolicy("fuzzed", value)], REQUEST)  # type: ignore[arg-type]
        assert decision.reason
        guarded = evaluate([NamedPolicy("fuzzed", value), NamedPolicy("guard", {"Statement": deny})], REQUEST)  # type: ignore[arg-type]
        assert not guarded.allowed


@settings(max_examples=300)
@given(st.text("ab*?:", max_size=12), st.text("ab:", max_size=12))
def test_a_pattern_matches_what_an_expression_of_python_matches(pattern: str, text: str) -> None:
    expression = re.compile(fnmatch.translate(pattern))
    assert matches(to_pattern(pattern), text) is (expression.fullmatch(text) is not None)


@given(st.text("ab*?:", max_size=14), st.text("ab:", max_size=14))
def test_an_arn_pattern_matches_part_by_part(pattern: str, text: str) -> None:
    wanted, parts = pattern.split(":", 5), text.split(":", 5)
    expected = len(wanted) == len(parts) and all(
        re.fullmatch(fnmatch.translate(one), part) for one, part in zip(wanted, parts, strict=False)
    )
    assert matches_arn(to_pattern(pattern), text) is expected
