"""Which operation a request means: its method and path, read from botocore's own model.

For moto's router an operation whose required query members are missing is none; here it still is that operation, so
that it is answered with what is missing. And moto's router changes from one version to the next.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.parse import unquote

from moto.core.utils import get_service_model

_LABEL: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Route:
    """An operation, and the labels of its URI by their names in the model, decoded."""

    operation: str
    labels: dict[str, str]


def find_route(method: str, path: str) -> Route | None:
    """``path`` is still percent-encoded; a slash at its end does not count."""
    for template, operation in _routes_for_method(method):
        if match := template.fullmatch(path.rstrip("/")):
            return Route(operation, {name: unquote(text) for name, text in match.groupdict().items()})
    return None


@cache
def _routes_for_method(method: str) -> list[tuple[re.Pattern[str], str]]:
    """The operations of a method; those with the fewest labels first, since a literal segment wins over a label."""
    model = get_service_model("iotwireless")
    found = []
    for name in model.operation_names:
        http = model.operation_model(name).http
        if http["method"] == method:
            found.append((http["requestUri"], name))
    found.sort(key=lambda pair: pair[0].count("{"))
    return [(re.compile(_LABEL.sub(r"(?P<\1>[^/]+)", uri)), name) for uri, name in found]
