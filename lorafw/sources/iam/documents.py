"""Read the statements of IAM policy documents.

A document that AWS would refuse cannot be evaluated, for example one that is not JSON, has an unknown element, or is
longer than AWS allows for its kind.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lorafw.sources.iam.context import CannotEvaluate
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

_VERSIONS: Final = ("2012-10-17", "2008-10-17")
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
    """One statement of a policy. Its elements are not checked yet."""

    label: str
    """Names the statement and its policy in messages."""
    elements: object
    """The elements as the document has them."""
    with_variables: bool
    """Whether the policy's Version supports policy variables."""

    @property
    def is_deny(self) -> bool:
        """Whether the Effect is Deny."""
        return isinstance(self.elements, Mapping) and self.elements.get("Effect") == "Deny"

    def check(self) -> Mapping[str, Any]:
        """Return the elements, or raise CannotEvaluate if AWS would refuse the statement."""
        if not isinstance(self.elements, Mapping):
            raise CannotEvaluate("it is not an object")
        effect = self.elements.get("Effect")
        if effect not in ("Allow", "Deny"):
            raise CannotEvaluate(f"its Effect is {str(effect)[:60]!r}, not Allow or Deny")
        for name in self.elements:
            if name not in _ELEMENTS:
                raise CannotEvaluate(f"{str(name)[:60]!r} is no element of a statement")
        for name in ("Principal", "Action", "Resource"):
            if name in self.elements and f"Not{name}" in self.elements:
                raise CannotEvaluate(f"it has both {name} and Not{name}")
        return self.elements


def read_statements(policy: NamedPolicy) -> Iterator[Statement]:
    """Yield the statements of a policy, or raise CannotEvaluate if AWS would refuse the document."""
    document = _parse(policy)
    with_variables = document.get("Version", _VERSIONS[1]) == _VERSIONS[0]
    for index, elements in enumerate(_as_list(document["Statement"]), start=1):
        sid = elements.get("Sid") if isinstance(elements, Mapping) else None
        name = repr(sid[:60]) if isinstance(sid, str) and sid else str(index)
        yield Statement(f"statement {name} of policy {policy.name!r}", elements, with_variables)


def _parse(policy: NamedPolicy) -> Mapping[str, Any]:
    """Return the document of a policy with its Version and Statement checked."""
    document = _load(policy)
    if not isinstance(document, Mapping) or "Statement" not in document:
        raise CannotEvaluate("it has no Statement")
    version = document.get("Version", _VERSIONS[1])
    if version not in _VERSIONS:
        raise CannotEvaluate(f"its Version is {str(version)[:60]!r}, not one of {', '.join(_VERSIONS)}")
    return document


def _load(policy: NamedPolicy) -> object:
    """Return the parsed document after checking that it is not longer than AWS allows."""
    document = policy.document
    if isinstance(document, bytes):
        if len(document) > 4 * MAX_DOCUMENT:
            raise CannotEvaluate(f"it has more than {MAX_DOCUMENT} characters")
        try:
            document = document.decode()
        except UnicodeDecodeError:
            raise CannotEvaluate("it is not text in UTF-8") from None
    text = document if isinstance(document, str) else _dump(document)
    if len(text) > MAX_DOCUMENT:
        raise CannotEvaluate(f"it has more than {MAX_DOCUMENT} characters")
    count = len("".join(text.split()))
    if count > policy.max_characters:
        raise CannotEvaluate(f"it has {count} characters, and AWS takes at most {policy.max_characters} (documented)")
    parsed = json_value(text) if isinstance(document, str) else document
    if has_surrogate(text) or has_escaped_surrogate(text):
        raise CannotEvaluate("it holds a lone surrogate, which is no character")
    return parsed


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
    return value if isinstance(value, list) else [value]
