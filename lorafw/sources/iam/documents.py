"""Read the statements of IAM policy documents.

A document that AWS would refuse cannot be evaluated, for example one that is not JSON, has an unknown element, or is
longer than AWS allows for its kind.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lorafw.sources.iam.context import CannotEvaluate, shorten
from lorafw.sources.iam.patterns import has_surrogate

MAX_DOCUMENT: Final = 64 * 1024
"""Characters of any policy that is read; AWS takes fewer of each kind."""

MAX_INLINE: Final = 10_240
"""Characters of all inline policies of a role, without blanks (documented)."""
MAX_MANAGED: Final = 6_144
"""Characters of a managed policy, without blanks (documented)."""
MAX_TRUST: Final = 8_192
"""Characters of a trust policy with the largest quota, without blanks; 2,048 without asking (documented)."""
MAX_BUCKET: Final = 20 * 1024
"""Bytes of a bucket policy (documented)."""
MAX_KEY: Final = 32 * 1024
"""Bytes of a key policy (documented)."""

_CURRENT_VERSION: Final = "2012-10-17"
_OLD_VERSION: Final = "2008-10-17"
"""The version of a document without Version. It has no policy variables."""
_VERSIONS: Final = (_CURRENT_VERSION, _OLD_VERSION)
_ELEMENTS: Final = frozenset(
    ("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition")
)


@dataclass(frozen=True, slots=True)
class NamedPolicy:
    """A policy document with its name."""

    name: str
    """The name that messages show."""
    document: str | bytes | Mapping[str, Any]
    """The document as JSON text, or already parsed."""
    max_characters: int = MAX_DOCUMENT
    """The most characters that AWS accepts in this kind of policy, not counting white space."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One item of the Statement list of a policy. It may be a statement that AWS would refuse."""

    label: str
    """Names the statement and its policy in messages."""
    content: object
    """The item as the JSON document has it. A statement that AWS accepts is a mapping from elements to their values."""
    supports_variables: bool
    """Whether the policy's Version supports policy variables, such as ``${aws:PrincipalTag/team}``."""

    @property
    def is_deny(self) -> bool:
        """Whether the Effect is Deny."""
        return isinstance(self.content, Mapping) and self.content.get("Effect") == "Deny"

    def checked_elements(self) -> Mapping[str, Any]:
        """Return the elements of the statement, such as Effect, Action and Resource.

        Raises:
            CannotEvaluate: AWS would refuse the statement.
        """
        if not isinstance(self.content, Mapping):
            raise CannotEvaluate("it is not an object")
        _check_effect(self.content.get("Effect"))
        _check_element_names(self.content)
        return self.content


def _check_effect(effect: object) -> None:
    """Raise CannotEvaluate if the Effect is neither Allow nor Deny."""
    if effect not in ("Allow", "Deny"):
        raise CannotEvaluate(f"its Effect is {shorten(effect)}, not Allow or Deny")


def _check_element_names(elements: Mapping[str, Any]) -> None:
    """Raise CannotEvaluate if a statement has an unknown element, or both an element and its Not form."""
    for name in elements:
        if name not in _ELEMENTS:
            raise CannotEvaluate(f"{shorten(name)} is not an element of a statement")
    for name in ("Principal", "Action", "Resource"):
        if name in elements and f"Not{name}" in elements:
            raise CannotEvaluate(f"it has both {name} and Not{name}")


def read_statements(policy: NamedPolicy) -> Iterator[Statement]:
    """Yield the statements of a policy, or raise CannotEvaluate if AWS would refuse the document."""
    document = _parse(policy)
    supports_variables = document.get("Version", _OLD_VERSION) == _CURRENT_VERSION
    for number, content in enumerate(_as_list(document["Statement"]), start=1):
        label = f"statement {_statement_name(content, number)} of policy {policy.name!r}"
        yield Statement(label, content, supports_variables)


def _statement_name(content: object, number: int) -> str:
    """Return the Sid of a statement, or its number in the document, from 1, if it has none."""
    if not isinstance(content, Mapping):
        return str(number)
    sid = content.get("Sid")
    if not isinstance(sid, str) or not sid:
        return str(number)
    return shorten(sid)


def _parse(policy: NamedPolicy) -> Mapping[str, Any]:
    """Return the document of a policy with its Version and Statement checked."""
    document = _load(policy)
    if not isinstance(document, Mapping) or "Statement" not in document:
        raise CannotEvaluate("it has no Statement")
    version = document.get("Version", _OLD_VERSION)
    if version not in _VERSIONS:
        raise CannotEvaluate(f"its Version is {shorten(version)}, not one of {', '.join(_VERSIONS)}")
    return document


def _load(policy: NamedPolicy) -> object:
    """Return the parsed document after checking that it is not longer than AWS allows."""
    document = policy.document
    if isinstance(document, bytes):
        document = _decode(document)
    text = document if isinstance(document, str) else _dump(document)
    if len(text) > MAX_DOCUMENT:
        raise CannotEvaluate(f"it has more than {MAX_DOCUMENT} characters")
    count = len("".join(text.split()))
    if count > policy.max_characters:
        raise CannotEvaluate(f"it has {count} characters, and AWS takes at most {policy.max_characters} (documented)")
    parsed = json_value(text) if isinstance(document, str) else document
    if has_surrogate(text) or has_escaped_surrogate(text):
        raise CannotEvaluate("it holds a lone surrogate, which is not a character")
    return parsed


def _decode(document: bytes) -> str:
    """Return the text of a document. A character has at most four bytes, so one with more is refused unread."""
    if len(document) > 4 * MAX_DOCUMENT:
        raise CannotEvaluate(f"it has more than {MAX_DOCUMENT} characters")
    try:
        return document.decode()
    except UnicodeDecodeError:
        raise CannotEvaluate("it is not text in UTF-8") from None


def _dump(document: object) -> str:
    """Return a parsed document as JSON text."""
    try:
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        raise CannotEvaluate("it is not JSON") from None


def json_value(text: str) -> object:
    """Return the value of a JSON text, or raise CannotEvaluate if the text is not JSON."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        raise CannotEvaluate("it is not JSON") from None
    return value


def has_escaped_surrogate(text: str) -> bool:
    r"""Return whether a JSON text escapes a lone surrogate, as in ``"\\ud800"``."""
    if "\\ud" not in text.lower():
        return False
    return has_surrogate(json.dumps(json_value(text), ensure_ascii=False))


def _as_list(value: object) -> Sequence[Any]:
    """Return a list as it is, and any other value as a list of one. A policy with one statement needs no list."""
    return value if isinstance(value, list) else [value]
