"""Text from outside, from the wire, from files and from answers over HTTP: read without loss, and made safe to show."""

from __future__ import annotations

from typing import Final

_LAYOUT: Final = "\n\t"


def decode_lossless(data: bytes | bytearray) -> str:
    """Return bytes as text. ``encode_lossless`` returns the same bytes again, even if they are not UTF-8.

    Each byte that is not UTF-8 becomes a lone surrogate (PEP 383).
    """
    return data.decode("utf-8", "surrogateescape")


def encode_lossless(text: str) -> bytes:
    """Return the bytes from which ``decode_lossless`` makes this text."""
    return text.encode("utf-8", "surrogateescape")


def visible(text: str, *, keep_lines: bool = False) -> str:
    r"""Return ``text`` with each invisible character replaced by its escape, such as ``\u001b``.

    These are control characters, characters that change the writing direction or have no width, blanks other than the
    space, and lone surrogates. Text from outside can then neither move the cursor of a terminal nor hide a part of it.

    Args:
        text: Any text.
        keep_lines: Whether line ends and tabs stay. Set it only for text that lorafw itself has divided into lines.
    """
    if text.isprintable():
        return text
    kept = _LAYOUT if keep_lines else ""
    return "".join(_escaped(character, kept) for character in text)


def _escaped(character: str, kept: str) -> str:
    """Return a character, or its escape if it is invisible and not in ``kept``."""
    if character.isprintable() or character in kept:
        return character
    code_point = ord(character)
    if code_point <= 0xFFFF:
        return f"\\u{code_point:04x}"
    return f"\\U{code_point:08x}"
