"""Policy variables: ``${aws:PrincipalAccount}``, ``${aws:userid, 'nobody'}``, and ``${*}``, ``${?}``, ``${$}``. Pure.

AWS replaces them in Resource and in the values of string, ARN and Bool conditions, in policies of Version 2012-10-17.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from lorafw.sources.iam.context import CannotEvaluate, RequestContext
from lorafw.sources.iam.patterns import to_pattern

MAX_PATTERN: Final = 64 * 1024
"""Characters of a value after its variables were replaced; no value of AWS is longer."""

_VARIABLE: Final = re.compile(r"\$\{([^{}]*)\}")
_REFERENCE: Final = re.compile(r"\s*([^\s,'*?$]+)\s*(?:,\s*'([^']*)')?\s*")
_LITERALS: Final = frozenset("*?$")


def to_text(text: str) -> str:
    """Return a text as it is: in a comparison without wildcards, ``*`` and ``?`` stand for themselves."""
    return text


def replace_variables(text: str, context: RequestContext, *, read: Callable[[str], str] = to_pattern) -> str | None:
    """Return a text of a policy with the values of its variables in place of them.

    Args:
        text: A value of Resource or of a condition.
        context: Where the values come from.
        read: What the text around the variables means: ``to_pattern`` or ``to_text``.

    Returns:
        None if a variable has no value: its condition key is absent, and no default is given.

    Raises:
        CannotEvaluate: A variable is written wrongly, its value is not known, or the result is too long.
    """
    if "${" not in text:
        return read(text)
    parts: list[str] = []
    length = at = 0
    for match in _VARIABLE.finditer(text):
        value = _value_of(match[1], context)
        if value is None:
            return None
        parts += (read(text[at : match.start()]), value)
        length += len(parts[-2]) + len(value)
        at = match.end()
        if length > MAX_PATTERN:
            raise CannotEvaluate(f"a value has more than {MAX_PATTERN} characters once its variables are replaced")
    return "".join([*parts, read(text[at:])])


def _value_of(inside: str, context: RequestContext) -> str | None:
    """Return what one variable stands for, or None if its key is absent and it has no default."""
    if inside in _LITERALS:
        return inside
    reference = _REFERENCE.fullmatch(inside)
    if reference is None:
        raise CannotEvaluate(f"${{{inside[:60]}}} is not a policy variable")
    key, default = reference[1], reference[2]
    state = context.look_up(key)
    if len(state.values) == 1:
        return state.values[0]
    if not state.is_present:
        return default
    raise CannotEvaluate(f"policy variable {key!r} has no single value that is known here")
