"""The Condition element of IAM policies: all operators of AWS's policy language, as documented. Pure.

Documented: a key that is absent makes a condition false, or true if the operator is negated, ends in IfExists or
begins with ForAllValues. Several keys and operators must all hold; of several values one must match.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from lorafw.sources.iam.context import CannotEvaluate, KeyState, RequestContext
from lorafw.sources.iam.patterns import matches, matches_arn, to_pattern
from lorafw.sources.iam.variables import replace_variables, to_text

SHOWN_CHARS: Final = 60
"""Characters of a value that a message shows."""

_NUMBER: Final = re.compile(r"[+-]?\d{1,40}(?:\.\d{1,40})?", re.ASCII)
_EPOCH: Final = re.compile(r"\d{5,14}(?:\.\d{1,9})?", re.ASCII)
_DATE: Final = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?)?)?)?", re.ASCII
)
_OPERATOR: Final = re.compile(r"(?:(forallvalues|foranyvalue):)?([a-z]+?)(ifexists)?")


@dataclass(frozen=True, slots=True)
class ConditionResult:
    """Whether one condition holds, and why: the operator, the key, its value, and the values in the policy."""

    holds: bool
    reason: str


@dataclass(frozen=True, slots=True)
class _Operator:
    """One comparison of a value in the policy with a value in the request."""

    compare: Callable[[str, str], bool]
    is_negated: bool = False
    read: Callable[[str], str] | None = None
    """How policy variables are replaced; None if the operator does not support any."""


@dataclass(frozen=True, slots=True)
class _Name:
    """The parts of an operator as it is written, in lower case."""

    base: str
    set_operator: str | None
    if_exists: bool


def evaluate_conditions(conditions: object, context: RequestContext, *, with_variables: bool) -> list[ConditionResult]:
    """Evaluate all conditions of a statement; the statement applies if all of them hold.

    Args:
        conditions: The Condition element, or None if there is none.
        context: The condition keys of the request.
        with_variables: Whether the policy's Version supports policy variables.

    Raises:
        CannotEvaluate: A condition cannot be evaluated, and no other one fails.
    """
    results = []
    problem: CannotEvaluate | None = None
    for operator, key, wanted in _list_conditions(conditions):
        try:
            result = _evaluate(operator, key, wanted, context, with_variables=with_variables)
        except CannotEvaluate as caught:
            problem = problem or caught
            continue
        if not result.holds:
            return [result]
        results.append(result)
    if problem is not None:
        raise problem
    return results


def _list_conditions(conditions: object) -> Iterator[tuple[str, str, object]]:
    """Yield operator, key and values of each condition."""
    if conditions is None:
        return
    if not isinstance(conditions, Mapping):
        raise CannotEvaluate("its Condition is not an object")
    for operator, keys in conditions.items():
        if not isinstance(keys, Mapping):
            raise CannotEvaluate(f"its condition {shorten(operator)} is not an object")
        for key, wanted in keys.items():
            yield str(operator), str(key), wanted


def _evaluate(
    operator: str, key: str, wanted: object, context: RequestContext, *, with_variables: bool
) -> ConditionResult:
    name = _read_name(operator)
    state = context.look_up(key)
    texts = list_texts(wanted, key)
    if name.base == "null":
        holds = _null_holds(name, texts, state)
    else:
        holds = _operator_holds(name, texts, state, context, with_variables=with_variables)
    return ConditionResult(holds, f"{operator} {key} {_tell(texts)}, and its value is {_tell_state(state)}")


def _read_name(operator: str) -> _Name:
    match = _OPERATOR.fullmatch(operator.lower())
    if match is None or (match[2] != "null" and match[2] not in _OPERATORS) or (match[2] == "null" and match[3]):
        raise CannotEvaluate(f"condition operator {shorten(operator)} is not one of AWS's policy language")
    return _Name(match[2], match[1], match[3] is not None)


def _null_holds(name: _Name, texts: Sequence[str], state: KeyState) -> bool:
    """``Null: true`` holds if the key is absent, ``Null: false`` if it is present."""
    is_absent = "false" if state.is_present else "true"
    if any(text.lower() not in ("true", "false") for text in texts):
        raise CannotEvaluate(f"condition operator Null takes true or false, not {_tell(texts)}")
    return any(text.lower() == is_absent for text in texts)


def _operator_holds(
    name: _Name, texts: Sequence[str], state: KeyState, context: RequestContext, *, with_variables: bool
) -> bool:
    operator = _OPERATORS[name.base]
    if not state.is_present:
        return _holds_if_absent(name, operator)
    wanted = list(_replaced(texts, operator, context, with_variables=with_variables))
    if not state.values:
        return _matches_unknown(name.base, wanted) is not operator.is_negated
    results = (
        any(operator.compare(text, value) for text in wanted) is not operator.is_negated for value in state.values
    )
    # Without a set operator, a negated comparison must hold for each value, as if the key had one.
    if name.set_operator == "forallvalues" or (name.set_operator is None and operator.is_negated):
        return all(results)
    return any(results)


def _holds_if_absent(name: _Name, operator: _Operator) -> bool:
    if name.if_exists or name.set_operator == "forallvalues":
        return True
    return operator.is_negated and name.set_operator is None


def _replaced(
    texts: Sequence[str], operator: _Operator, context: RequestContext, *, with_variables: bool
) -> Iterator[str]:
    """Yield the values of a condition, ready to be compared. One whose variable is absent matches nothing."""
    for text in texts:
        if operator.read is None:
            yield text
        elif not with_variables:
            yield operator.read(text)
        else:
            replaced = replace_variables(text, context, read=operator.read)
            if replaced is not None:
                yield replaced
            elif operator.is_negated:
                raise CannotEvaluate(f"policy variable in {shorten(text)} has no value in this request")


def _matches_unknown(base: str, wanted: Sequence[str]) -> bool:
    """Compare with an address of AWS that nobody knows: it is in no range that somebody could own."""
    if base not in ("ipaddress", "notipaddress"):
        raise CannotEvaluate("the value of the condition key is not known here")
    networks = [_read_network(text) for text in wanted]
    everything = {network.version for network in networks if network.prefixlen == 0}
    if len(everything) == 1:
        raise CannotEvaluate("whether AWS calls from an IPv4 or an IPv6 address is not known here")
    return bool(everything)


def _equals(wanted: str, value: str) -> bool:
    return wanted == value


def _equals_ignoring_case(wanted: str, value: str) -> bool:
    return wanted.casefold() == value.casefold()


def _equals_bool(wanted: str, value: str) -> bool:
    if wanted.lower() not in ("true", "false"):
        raise CannotEvaluate(f"condition operator Bool takes true or false, not {shorten(wanted)}")
    return wanted.lower() == value.lower()


def _equals_binary(wanted: str, value: str) -> bool:
    """The policy holds base64, and so does the request context."""
    try:
        return base64.b64decode(wanted, validate=True) == base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False


def _in_network(wanted: str, value: str) -> bool:
    network = _read_network(wanted)
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    return address in network


def _read_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text[:64], strict=False)
    except ValueError:
        raise CannotEvaluate(f"{shorten(text)} is not an IP address or range") from None


def _read_number(text: str) -> Decimal | None:
    """Return the number in a text, or None if it is not a number."""
    if _NUMBER.fullmatch(text) is None:
        return None
    return Decimal(text)


def read_time(text: str) -> Decimal | None:
    """Return a date of the policy language (ISO 8601 as W3C profiles it, or Unix time) in seconds, or None."""
    if _EPOCH.fullmatch(text):
        return Decimal(text)
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    offset = "+00:00" if zone in (None, "Z") else zone
    try:
        moment = datetime.fromisoformat(
            f"{year}-{month or '01'}-{day or '01'}T{hour or '00'}:{minute or '00'}:{second or '00'}{offset}"
        )
    except ValueError:
        return None
    seconds = (moment - datetime.fromisoformat("1970-01-01T00:00:00+00:00")).total_seconds()
    return Decimal(int(seconds)) + Decimal(f"0.{fraction or 0}")


def _comparison(
    read: Callable[[str], Decimal | None], what: str, holds: Callable[[Decimal, Decimal], bool]
) -> Callable[[str, str], bool]:
    """Return a comparison of two values that ``read`` reads: value of the request first."""

    def compare(wanted: str, value: str) -> bool:
        limit = read(wanted)
        if limit is None:
            raise CannotEvaluate(f"{shorten(wanted)} is not {what}")
        actual = read(value)
        return actual is not None and holds(actual, limit)

    return compare


_ORDERS: Final[Mapping[str, tuple[Callable[[Decimal, Decimal], bool], bool]]] = {
    "equals": (Decimal.__eq__, False),
    "notequals": (Decimal.__eq__, True),
    "lessthan": (Decimal.__lt__, False),
    "lessthanequals": (Decimal.__le__, False),
    "greaterthan": (Decimal.__gt__, False),
    "greaterthanequals": (Decimal.__ge__, False),
}

_OPERATORS: Final[Mapping[str, _Operator]] = {
    "stringequals": _Operator(_equals, read=to_text),
    "stringnotequals": _Operator(_equals, is_negated=True, read=to_text),
    "stringequalsignorecase": _Operator(_equals_ignoring_case, read=to_text),
    "stringnotequalsignorecase": _Operator(_equals_ignoring_case, is_negated=True, read=to_text),
    "stringlike": _Operator(matches, read=to_pattern),
    "stringnotlike": _Operator(matches, is_negated=True, read=to_pattern),
    "arnequals": _Operator(matches_arn, read=to_pattern),
    "arnlike": _Operator(matches_arn, read=to_pattern),
    "arnnotequals": _Operator(matches_arn, is_negated=True, read=to_pattern),
    "arnnotlike": _Operator(matches_arn, is_negated=True, read=to_pattern),
    "bool": _Operator(_equals_bool, read=to_text),
    "binaryequals": _Operator(_equals_binary),
    "ipaddress": _Operator(_in_network),
    "notipaddress": _Operator(_in_network, is_negated=True),
    **{
        f"numeric{name}": _Operator(_comparison(_read_number, "a number", holds), is_negated=negated)
        for name, (holds, negated) in _ORDERS.items()
    },
    **{
        f"date{name}": _Operator(_comparison(read_time, "a date", holds), is_negated=negated)
        for name, (holds, negated) in _ORDERS.items()
    },
}


def list_texts(value: object, name: str) -> list[str]:
    """Return a text, or a list of texts, as a list; booleans and numbers as JSON writes them.

    Raises:
        CannotEvaluate: It holds something else.
    """
    items: Sequence[Any] = value if isinstance(value, list) else [value]
    texts = []
    for item in items:
        if isinstance(item, bool):
            texts.append(str(item).lower())
        elif isinstance(item, str | int | float):
            texts.append(str(item))
        else:
            raise CannotEvaluate(f"{shorten(name)} holds {type(item).__name__}, not text")
    return texts


def shorten(value: object) -> str:
    """Return a value in quotes for a message, cut if it is long."""
    text = str(value)
    if len(text) > SHOWN_CHARS:
        text = f"{text[:SHOWN_CHARS]}..."
    return repr(text)


def _tell(texts: Sequence[str]) -> str:
    shown = " or ".join(shorten(text) for text in texts[:3])
    return shown + (f" or {len(texts) - 3} more" if len(texts) > 3 else "")


def _tell_state(state: KeyState) -> str:
    if not state.is_present:
        return "absent"
    if not state.values:
        return "an address of AWS that is not known here"
    return _tell(state.values)
