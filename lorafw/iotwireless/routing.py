"""Finds the operation of a request by its method and path, from botocore's service model.

moto has a router of its own, but it does not find an operation if required members of the query are missing. This one
does, so that the error can name them. moto's router also changes between versions.
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
    """The operation of a request."""

    operation: str
    labels: dict[str, str]
    """The decoded labels of the URI, by their names in the service model."""


def find_route(method: str, path: str) -> Route | None:
    """Return the operation of a request. None if there is none.

    Args:
        method: The HTTP method.
        path: The path of the URL, still percent-encoded. A slash at its end is ignored.
    """
    for template, operation in _routes_for_method(method):
        if match := template.fullmatch(path.rstrip("/")):
            return Route(operation, {name: unquote(text) for name, text in match.groupdict().items()})
    return None


@cache
def _routes_for_method(method: str) -> list[tuple[re.Pattern[str], str]]:
    """Return pattern and name of the operations with this HTTP method. Those with the fewest labels come first."""
    model = get_service_model("iotwireless")
    operations = []
    for name in model.operation_names:
        http = model.operation_model(name).http
        if http["method"] == method:
            operations.append((http["requestUri"], name))
    # A literal segment takes precedence over a label.
    operations.sort(key=lambda pair: pair[0].count("{"))
    return [(re.compile(_LABEL.sub(r"(?P<\1>[^/]+)", uri)), name) for uri, name in operations]
