"""Evaluate the Condition element of IAM policies with all operators of AWS's policy language. Does no I/O.

AWS documents these rules:

* A condition whose key is absent is false. It is true if the operator is negated, ends in IfExists or begins with
  ForAllValues.
* All keys and all operators of a Condition element must hold. If a condition lists several values, one must match.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from lorafw.sources.iam.context import CannotEvaluate, KeyState, RequestContext, shorten
from lorafw.sources.iam.patterns import matches, matches_arn, to_pattern
from lorafw.sources.iam.variables import replace_variables, to_text

_NUMBER: Final = re.compile(r"[+-]?\d{1,40}(?:\.\d{1,40})?", re.ASCII)
_EPOCH: Final = re.compile(r"\d{5,14}(?:\.\d{1,9})?", re.ASCII)
_DATE: Final = re.compile(
    r"""
    (?P<year>\d{4})
    (?: - (?P<month>\d\d)
    (?: - (?P<day>\d\d)
    (?: T (?P<hour>\d\d) : (?P<minute>\d\d)
    (?: : (?P<second>\d\d)
    (?: \. (?P<fraction>\d{1,9}) )? )?
    (?P<zone> Z | [+-]\d\d:?\d\d )? )? )? )?
    """,
    re.ASCII | re.VERBOSE,
)
"""A date in W3C's profile of ISO 8601: a year, and as many of the smaller parts as the writer knows."""
_YEAR_1970: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The moment at which Unix time begins."""
_OPERATOR: Final = re.compile(r"(?:(forallvalues|foranyvalue):)?([a-z]+?)(ifexists)?")


@dataclass(frozen=True, slots=True)
class ConditionResult:
    """The result of one condition."""

    holds: bool
    reason: str
    """A text that names the operator, the key, the values in the policy and the value in the request."""


@dataclass(frozen=True, slots=True)
class _Operator:
    """An operator that compares values in the policy with values in the request."""

    compare: Callable[[str, str], bool]
    """Called with a value of the policy and a value of the request."""
    is_negated: bool = False
    """Whether the condition holds if the comparison is false."""
    prepare: Callable[[str], str] | None = None
    """Converts the text around policy variables for ``compare``. None if the operator does not support variables."""


@dataclass(frozen=True, slots=True)
class _OperatorName:
    """The parts of an operator's name, such as ``ForAnyValue:StringLikeIfExists``, in lower case."""

    base: str
    """The name without the other parts, such as ``stringlike``."""
    set_operator: str | None
    """``forallvalues`` or ``foranyvalue``."""
    if_exists: bool


def evaluate_conditions(
    conditions: object, context: RequestContext, *, supports_variables: bool
) -> list[ConditionResult]:
    """Evaluate all conditions of a statement. The statement applies if all of them hold.

    Args:
        conditions: The Condition element, or None if there is none.
        context: The condition keys of the request.
        supports_variables: Whether the policy's Version supports policy variables.

    Returns:
        The results of all conditions if all hold. Otherwise only the result of the first condition that does not.

    Raises:
        CannotEvaluate: A condition cannot be evaluated, and all other conditions hold.
    """
    results = []
    first_error: CannotEvaluate | None = None
    for operator, key, policy_values in _list_conditions(conditions):
        try:
            result = _evaluate(operator, key, policy_values, context, supports_variables=supports_variables)
        except CannotEvaluate as error:
            first_error = first_error or error
            continue
        if not result.holds:
            return [result]
        results.append(result)
    if first_error is not None:
        raise first_error
    return results


def _list_conditions(conditions: object) -> Iterator[tuple[str, str, object]]:
    """Yield the operator, the key and the values of each condition."""
    if conditions is None:
        return
    if not isinstance(conditions, Mapping):
        raise CannotEvaluate("its Condition is not an object")
    for operator, keys in conditions.items():
        if not isinstance(keys, Mapping):
            raise CannotEvaluate(f"its condition {shorten(operator)} is not an object")
        for key, policy_values in keys.items():
            yield str(operator), str(key), policy_values


def _evaluate(
    operator: str, key: str, policy_values: object, context: RequestContext, *, supports_variables: bool
) -> ConditionResult:
    """Evaluate one condition. Raises CannotEvaluate if the condition is malformed or a value is not known."""
    name = _parse_operator(operator)
    state = context.look_up(key)
    texts = list_texts(policy_values, key)
    if name.base == "null":
        holds = _null_holds(name, texts, state)
    else:
        holds = _operator_holds(name, texts, state, context, supports_variables=supports_variables)
    reason = f"{operator} {key} {_describe_values(texts)}, and its value is {_describe_state(state)}"
    return ConditionResult(holds, reason)


def _parse_operator(operator: str) -> _OperatorName:
    """Return the parts of an operator's name. Raises CannotEvaluate if AWS does not have the operator."""
    match = _OPERATOR.fullmatch(operator.lower())
    name = None if match is None else _OperatorName(match[2], match[1], if_exists=match[3] is not None)
    if name is None or not _is_known(name):
        raise CannotEvaluate(f"condition operator {shorten(operator)} is not one of AWS's policy language")
    return name


def _is_known(name: _OperatorName) -> bool:
    """Return True if AWS has the operator. ``NullIfExists`` does not exist, because Null itself tests for existence."""
    if name.base == "null":
        return not name.if_exists
    return name.base in _OPERATORS


def _null_holds(name: _OperatorName, texts: Sequence[str], state: KeyState) -> bool:
    """Evaluate Null: the value ``true`` holds if the key is absent, and ``false`` if it is present."""
    is_absent = "false" if state.is_present else "true"
    if any(text.lower() not in ("true", "false") for text in texts):
        raise CannotEvaluate(f"condition operator Null takes true or false, not {_describe_values(texts)}")
    return any(text.lower() == is_absent for text in texts)


def _operator_holds(
    name: _OperatorName, texts: Sequence[str], state: KeyState, context: RequestContext, *, supports_variables: bool
) -> bool:
    """Evaluate any operator except Null."""
    operator = _OPERATORS[name.base]
    if not state.is_present:
        return _holds_if_absent(name, operator)
    policy_values = list(_prepare_values(texts, operator, context, supports_variables=supports_variables))
    if not state.values:
        return _matches_unknown_address(name.base, policy_values) is not operator.is_negated
    results = (_value_holds(value, policy_values, operator) for value in state.values)
    # Without a set operator, a negated comparison must hold for each value, as if the key had one.
    if name.set_operator == "forallvalues" or (name.set_operator is None and operator.is_negated):
        return all(results)
    return any(results)


def _value_holds(value: str, policy_values: Sequence[str], operator: _Operator) -> bool:
    """Evaluate an operator for one value of the request.

    The value must match one of the policy's values, or none of them if the operator is negated.
    """
    is_match = any(operator.compare(policy_value, value) for policy_value in policy_values)
    return is_match is not operator.is_negated


def _holds_if_absent(name: _OperatorName, operator: _Operator) -> bool:
    """Evaluate an operator whose key is not in the request."""
    if name.if_exists or name.set_operator == "forallvalues":
        return True
    return operator.is_negated and name.set_operator is None


def _prepare_values(
    texts: Sequence[str], operator: _Operator, context: RequestContext, *, supports_variables: bool
) -> Iterator[str]:
    """Yield the values of a condition for ``operator.compare``, with policy variables replaced.

    A value with a variable that is absent matches nothing and is left out.
    """
    for text in texts:
        if operator.prepare is None:
            yield text
        elif not supports_variables:
            yield operator.prepare(text)
        else:
            replaced = replace_variables(text, context, prepare=operator.prepare)
            if replaced is not None:
                yield replaced
            elif operator.is_negated:
                raise CannotEvaluate(f"policy variable in {shorten(text)} has no value in this request")


def _matches_unknown_address(base: str, policy_values: Sequence[str]) -> bool:
    """Compare the ranges of a policy with an address of AWS that is not known.

    AWS calls from a public address of its own. It can only be in a range that contains all addresses.
    """
    if base not in ("ipaddress", "notipaddress"):
        raise CannotEvaluate("the value of the condition key is not known here")
    networks = [_parse_network(text) for text in policy_values]
    complete_versions = {network.version for network in networks if network.prefixlen == 0}
    if len(complete_versions) == 1:
        raise CannotEvaluate("whether AWS calls from an IPv4 or an IPv6 address is not known here")
    return len(complete_versions) > 0


def _equals(policy_value: str, value: str) -> bool:
    """Compare for StringEquals."""
    return policy_value == value


def _equals_ignoring_case(policy_value: str, value: str) -> bool:
    """Compare for StringEqualsIgnoreCase."""
    return policy_value.casefold() == value.casefold()


def _equals_bool(policy_value: str, value: str) -> bool:
    """Compare for Bool. Raises CannotEvaluate if the policy's value is not true or false."""
    if policy_value.lower() not in ("true", "false"):
        raise CannotEvaluate(f"condition operator Bool takes true or false, not {shorten(policy_value)}")
    return policy_value.lower() == value.lower()


def _equals_binary(policy_value: str, value: str) -> bool:
    """Compare for BinaryEquals. Both values are base64."""
    try:
        return base64.b64decode(policy_value, validate=True) == base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False


def _in_network(policy_value: str, value: str) -> bool:
    """Compare for IpAddress. Raises CannotEvaluate if the policy's value is not an address or a range."""
    network = _parse_network(policy_value)
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    return address in network


def _parse_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Return the range in a text, or a range of one address. Raises CannotEvaluate if the text is neither."""
    try:
        return ipaddress.ip_network(text[:64], strict=False)
    except ValueError:
        raise CannotEvaluate(f"{shorten(text)} is not an IP address or range") from None


def _parse_number(text: str) -> Decimal | None:
    """Return the number in a text, or None if it is not a number."""
    if _NUMBER.fullmatch(text) is None:
        return None
    return Decimal(text)


def parse_time(text: str) -> Decimal | None:
    """Return a date of the policy language in seconds since 1970, or None if the text is not a date.

    Args:
        text: Unix time in seconds, or a date in W3C's profile of ISO 8601, such as "2021-03-12" or
            "2021-03-12T09:56:12Z". A date without a zone is UTC.
    """
    # 1. Unix time, such as 1615543000.
    if _EPOCH.fullmatch(text):
        return Decimal(text)
    # 2. ISO 8601, such as 2021-03-12T09:56:12.047Z. A part that is left out gets its smallest value.
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    date = f"{match['year']}-{match['month'] or '01'}-{match['day'] or '01'}"
    time = f"{match['hour'] or '00'}:{match['minute'] or '00'}:{match['second'] or '00'}"
    offset = (match["zone"] or "Z").replace("Z", "+00:00")
    try:
        moment = datetime.fromisoformat(f"{date}T{time}{offset}")
    except ValueError:  # such as the month 13
        return None
    # The fraction is added as text, because a float would round it.
    whole_seconds = int((moment - _YEAR_1970).total_seconds())
    return Decimal(whole_seconds) + Decimal(f"0.{match['fraction'] or 0}")


def _ordering(
    parse: Callable[[str], Decimal | None], type_label: str, holds: Callable[[Decimal, Decimal], bool]
) -> Callable[[str, str], bool]:
    """Return a function that compares a number or a date of the policy with one of the request.

    Args:
        parse: Returns the number in a text, or None.
        type_label: What the policy's value must be, for the error message.
        holds: Called with the request's number and the policy's number.
    """

    def compare(policy_value: str, value: str) -> bool:
        limit = parse(policy_value)
        if limit is None:
            raise CannotEvaluate(f"{shorten(policy_value)} is not {type_label}")
        actual = parse(value)
        return actual is not None and holds(actual, limit)

    return compare


_ORDERINGS: Final[Mapping[str, tuple[Callable[[Decimal, Decimal], bool], bool]]] = {
    "equals": (Decimal.__eq__, False),
    "notequals": (Decimal.__eq__, True),
    "lessthan": (Decimal.__lt__, False),
    "lessthanequals": (Decimal.__le__, False),
    "greaterthan": (Decimal.__gt__, False),
    "greaterthanequals": (Decimal.__ge__, False),
}

_OPERATORS: Final[Mapping[str, _Operator]] = {
    "stringequals": _Operator(_equals, prepare=to_text),
    "stringnotequals": _Operator(_equals, is_negated=True, prepare=to_text),
    "stringequalsignorecase": _Operator(_equals_ignoring_case, prepare=to_text),
    "stringnotequalsignorecase": _Operator(_equals_ignoring_case, is_negated=True, prepare=to_text),
    "stringlike": _Operator(matches, prepare=to_pattern),
    "stringnotlike": _Operator(matches, is_negated=True, prepare=to_pattern),
    "arnequals": _Operator(matches_arn, prepare=to_pattern),
    "arnlike": _Operator(matches_arn, prepare=to_pattern),
    "arnnotequals": _Operator(matches_arn, is_negated=True, prepare=to_pattern),
    "arnnotlike": _Operator(matches_arn, is_negated=True, prepare=to_pattern),
    "bool": _Operator(_equals_bool, prepare=to_text),
    "binaryequals": _Operator(_equals_binary),
    "ipaddress": _Operator(_in_network),
    "notipaddress": _Operator(_in_network, is_negated=True),
    **{
        f"numeric{name}": _Operator(_ordering(_parse_number, "a number", holds), is_negated=negated)
        for name, (holds, negated) in _ORDERINGS.items()
    },
    **{
        f"date{name}": _Operator(_ordering(parse_time, "a date", holds), is_negated=negated)
        for name, (holds, negated) in _ORDERINGS.items()
    },
}


def list_texts(value: object, name: str) -> list[str]:
    """Return the values of an element of a policy as a list of texts.

    An element such as Action has either one value or a list of values. ``true`` becomes "true", and 5 becomes "5".

    Args:
        value: The value of the element: a text, a number, a boolean, or a list of these.
        name: The name of the element, for the error message.

    Returns:
        The texts, in the order of the list.

    Raises:
        CannotEvaluate: The element contains something else.
    """
    items: Sequence[Any] = value if isinstance(value, list) else [value]
    texts = []
    for item in items:
        if isinstance(item, bool):  # before int, because a bool is an int too
            texts.append(str(item).lower())
        elif isinstance(item, str | int | float):
            texts.append(str(item))
        else:
            raise CannotEvaluate(f"{shorten(name)} holds {type(item).__name__}, not text")
    return texts


def _describe_values(texts: Sequence[str]) -> str:
    """Return the first three values for a message, and the number of the others."""
    description = " or ".join(shorten(text) for text in texts[:3])
    if len(texts) <= 3:
        return description
    return f"{description} or {len(texts) - 3} more"


def _describe_state(state: KeyState) -> str:
    """Return the value of a condition key for a message."""
    if not state.is_present:
        return "absent"
    if not state.values:
        return "an address of AWS that is not known here"
    return _describe_values(state.values)
