"""Wildcard patterns of IAM policies: ``*`` stands for any characters, ``?`` for one, everything else for itself.

A pattern is a ``str`` in which ANY_RUN and ANY_ONE stand for the two wildcards, so that a literal ``*`` (written
``${*}`` in a policy, or part of a value that a policy variable stands for) stays a literal. Both are lone surrogates,
which no text in UTF-8 can contain.

Matching takes time in proportion to the length of the pattern, for any pattern: there is no backtracking.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

ANY_RUN: Final = "\ud800"
ANY_ONE: Final = "\ud801"

_WILDCARDS: Final = {ord("*"): ANY_RUN, ord("?"): ANY_ONE}
_NEVER: Final = -1


def to_pattern(text: str) -> str:
    """Return the pattern that a text in a policy means."""
    return text.translate(_WILDCARDS)


def has_surrogate(text: str) -> bool:
    """Return whether a text holds a lone surrogate, which UTF-8 cannot express and AWS cannot hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def matches(pattern: str, text: str) -> bool:
    """Return whether a pattern (see ``to_pattern``) matches the whole of a text."""
    segments = pattern.split(ANY_RUN)
    if len(segments) == 1:
        return len(pattern) == len(text) and _fits(pattern, text, 0)
    first, last = segments[0], segments[-1]
    end = len(text) - len(last)
    position = len(first)
    if end < position or not _fits(first, text, 0) or not _fits(last, text, end):
        return False
    for segment in segments[1:-1]:
        start = _find(segment, text, position, end)
        if start == _NEVER:
            return False
        position = start + len(segment)
    return True


def matches_arn(pattern: str, text: str) -> bool:
    """Return whether an ARN pattern matches: AWS checks each of the six parts between colons separately."""
    patterns = pattern.split(":", 5)
    parts = text.split(":", 5)
    if len(patterns) != len(parts):
        return False
    return all(matches(part_pattern, part) for part_pattern, part in zip(patterns, parts, strict=True))


def _fits(segment: str, text: str, start: int) -> bool:
    """Return whether a segment without ANY_RUN matches the text at this position."""
    if ANY_ONE not in segment:
        return text.startswith(segment, start)
    if start + len(segment) > len(text):
        return False
    return all(wanted in (ANY_ONE, text[start + index]) for index, wanted in enumerate(segment))


def _find(segment: str, text: str, start: int, end: int) -> int:
    """Return the first place from ``start`` where a segment stands and ends by ``end``, or _NEVER."""
    if ANY_ONE not in segment:
        return text.find(segment, start, end)
    last_start = end - len(segment)
    if last_start < start:
        return _NEVER
    # One bit for each place: those from start to last_start, less the places where a character differs.
    places = (1 << (last_start + 1)) - (1 << start)
    positions = _positions(text)
    for index, wanted in enumerate(segment):
        if wanted != ANY_ONE:
            places &= positions.get(wanted, 0) >> index
        if not places:
            return _NEVER
    return (places & -places).bit_length() - 1


@lru_cache(maxsize=64)
def _positions(text: str) -> dict[str, int]:
    """Return, for each character of a text, an integer with a bit set for each place where it stands."""
    positions: dict[str, int] = {}
    for index, character in enumerate(text):
        positions[character] = positions.get(character, 0) | (1 << index)
    return positions
