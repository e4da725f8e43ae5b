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
    """The name of the operation, such as "GetWirelessGateway"."""
    labels: dict[str, str]
    """The decoded labels of the URI, by their names in the service model."""


def find_route(method: str, path: str) -> Route | None:
    """Return the operation of a request. None if there is none.

    Args:
        method: The HTTP method.
        path: The path of the URL, still percent-encoded. A slash at its end is ignored.
    """
    for template, operation in _routes_for_method(method):
        match = template.fullmatch(path.rstrip("/"))
        if match is not None:
            labels = {name: unquote(text) for name, text in match.groupdict().items()}
            return Route(operation, labels)
    return None


@cache
def _routes_for_method(method: str) -> list[tuple[re.Pattern[str], str]]:
    """Return pattern and name of the operations with this HTTP method. Those with the fewest labels come first."""
    model = get_service_model("iotwireless")
    uri_by_operation = {}
    for operation in model.operation_names:
        http = model.operation_model(operation).http
        if http["method"] == method:
            uri_by_operation[operation] = http["requestUri"]
    # A literal segment takes precedence over a label such as "{Id}".
    operations = sorted(uri_by_operation, key=lambda operation: uri_by_operation[operation].count("{"))
    return [(_to_pattern(uri_by_operation[operation]), operation) for operation in operations]


def _to_pattern(uri: str) -> re.Pattern[str]:
    """Return a pattern that matches a URI of the service model, with a group for each of its labels."""
    return re.compile(_LABEL.sub(r"(?P<\1>[^/]+)", uri))
