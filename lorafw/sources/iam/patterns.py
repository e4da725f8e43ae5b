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
    return all(character in (ANY_ONE, text[start + offset]) for offset, character in enumerate(segment))


def _find(segment: str, text: str, start: int, end: int) -> int:
    """Return the first index at which a segment matches between ``start`` and ``end``, or _NEVER."""
    if ANY_ONE not in segment:
        return text.find(segment, start, end)
    last_start = end - len(segment)
    if last_start < start:
        return _NEVER
    # The segment can begin at each index whose bit is set. Each character of the segment clears the bits of the
    # indices that it does not match.
    candidates = (1 << (last_start + 1)) - (1 << start)
    bits_by_character = _index_bits(text)
    for offset, character in enumerate(segment):
        if character != ANY_ONE:
            candidates &= bits_by_character.get(character, 0) >> offset
        if candidates == 0:
            return _NEVER
    lowest_bit = candidates & -candidates
    return lowest_bit.bit_length() - 1


@lru_cache(maxsize=64)
def _index_bits(text: str) -> dict[str, int]:
    """Return, for each character of a text, an integer in which the bits of the character's indices are set."""
    bits_by_character: dict[str, int] = {}
    for index, character in enumerate(text):
        bits_by_character[character] = bits_by_character.get(character, 0) | (1 << index)
    return bits_by_character
