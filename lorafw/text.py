"""Text from outside, made safe to show: from the wire, from files, from names and from answers over HTTP."""

from __future__ import annotations

from typing import Final

_LAYOUT: Final = "\n\t"


def visible(text: str, *, keep_lines: bool = False) -> str:
    """Return ``text`` with each character that cannot be seen replaced by its escape, such as ``\\u001b``.

    Such characters are control characters, characters that change the direction of writing or take no space, blanks
    other than the space, and lone surrogates. So text can neither move the cursor of a terminal nor hide itself.

    Args:
        text: Any text.
        keep_lines: Whether line ends and tabs stay. Say so only for text that lorafw has put into lines itself.
    """
    if text.isprintable():
        return text
    kept = _LAYOUT if keep_lines else ""
    return "".join(_escaped(character, kept) for character in text)


def _escaped(character: str, kept: str) -> str:
    if character.isprintable() or character in kept:
        return character
    number = ord(character)
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
