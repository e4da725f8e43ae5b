"""Replace policy variables in IAM policies. Does no I/O.

Examples are ``${aws:PrincipalAccount}``, ``${aws:userid, 'nobody'}`` with a default, and ``${*}``, ``${?}``, ``${$}``
for the characters themselves. AWS replaces variables in Resource and in the values of string, ARN and Bool conditions,
in policies of Version 2012-10-17.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from lorafw.sources.iam.context import CannotEvaluate, RequestContext
from lorafw.sources.iam.patterns import to_pattern

MAX_PATTERN_CHARS: Final = 64 * 1024
"""The maximum length of a value after its variables were replaced. No value of AWS is longer."""

_VARIABLE: Final = re.compile(r"\$\{([^{}]*)\}")
_REFERENCE: Final = re.compile(r"\s*([^\s,'*?$]+)\s*(?:,\s*'([^']*)')?\s*")
_LITERALS: Final = frozenset("*?$")


def to_text(text: str) -> str:
    """Return a text unchanged, for comparisons in which ``*`` and ``?`` are not wildcards."""
    return text


def replace_variables(text: str, context: RequestContext, *, prepare: Callable[[str], str] = to_pattern) -> str | None:
    """Return a text of a policy in which the policy variables are replaced by their values.

    Args:
        text: A value of Resource or of a condition.
        context: The condition keys of the request, which are the values of the variables.
        prepare: Converts the text around the variables: ``to_pattern`` or ``to_text``.

    Returns:
        The text, or None if a variable has no value because its condition key is absent and it has no default.

    Raises:
        CannotEvaluate: A variable is malformed, its value is not known, or the result is too long.
    """
    if "${" not in text:
        return prepare(text)
    parts: list[str] = []
    length = 0
    offset = 0
    for match in _VARIABLE.finditer(text):
        value = _get_value(match[1], context)
        if value is None:
            return None
        text_before = prepare(text[offset : match.start()])
        parts += (text_before, value)
        length += len(text_before) + len(value)
        offset = match.end()
        if length > MAX_PATTERN_CHARS:
            raise CannotEvaluate(
                f"a value has more than {MAX_PATTERN_CHARS} characters once its variables are replaced"
            )
    parts.append(prepare(text[offset:]))
    return "".join(parts)


def _get_value(variable: str, context: RequestContext) -> str | None:
    """Return the value of one variable, given without its braces. Returns None if it has no value and no default."""
    if variable in _LITERALS:
        return variable
    reference = _REFERENCE.fullmatch(variable)
    if reference is None:
        raise CannotEvaluate(f"${{{variable[:60]}}} is not a policy variable")
    key, default = reference[1], reference[2]
    state = context.look_up(key)
    if len(state.values) == 1:
        return state.values[0]
    if not state.is_present:
        return default
    raise CannotEvaluate(f"policy variable {key!r} has no single value that is known here")
