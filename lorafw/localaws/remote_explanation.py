"""Ask a running lab why a gateway is updated, or why it is not."""

from __future__ import annotations

import http.client
import json
import urllib.error
from typing import Any, Final
from urllib.parse import quote

from lorafw.errors import LabError
from lorafw.iotwireless.constants import EXPLAIN_PATH
from lorafw.localaws.lab_endpoint import LabEndpoint, open_directly

_MAX_RESPONSE_BYTES: Final = 1 << 20
"""Size of a response that is read. An explanation has a few thousand bytes."""

_REQUEST_TIMEOUT_S: Final = 30


def request_explanation(endpoint: LabEndpoint, gateway: str) -> dict[str, Any]:
    """Return the explanation that a lab gives for a gateway. Sends one HTTP request.

    Args:
        endpoint: The lab, with the Region of the gateway.
        gateway: Id or EUI of the gateway.

    Returns:
        The JSON object of the lab. Its ``lines`` are the text.

    Raises:
        LabError: The server does not know the gateway, does not answer, or is not 'lorafw serve'.
    """
    path = EXPLAIN_PATH + quote(gateway, safe="")
    try:
        with open_directly(endpoint, path, timeout_s=_REQUEST_TIMEOUT_S) as response:
            return _parse_explanation(response.read(_MAX_RESPONSE_BYTES))
    except urllib.error.HTTPError as error:
        raise LabError(_error_message(error)) from error
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:  # URLError is an OSError
        raise LabError(f"{endpoint.url} does not answer as 'lorafw serve' does: {error}") from error


def _parse_explanation(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a response. Raises ValueError if it is not an explanation."""
    document = json.loads(body)
    if not isinstance(document, dict) or not isinstance(document.get("lines"), list):
        raise ValueError("the answer is not an explanation")
    return document


def _error_message(error: urllib.error.HTTPError) -> str:
    """Return what to tell the user about an HTTP error: the message in its body, if there is one."""
    try:
        message = str(json.loads(error.read(_MAX_RESPONSE_BYTES))["Message"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, RecursionError):
        return f"the server answered {error.code} {error.reason}; is it 'lorafw serve'?"
    if error.code == http.HTTPStatus.NOT_FOUND:
        return f"{message} (to list the gateways: 'lorafw aws iotwireless list-wireless-gateways')"
    return message
