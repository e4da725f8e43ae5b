"""`lorafw explain`: print why a gateway is updated, or why it is not."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
from typing import Final
from urllib.parse import quote

import click

from lorafw.cli.console import echo, echo_highlighted
from lorafw.example import REGION

_MAX_RESPONSE_BYTES: Final = 1 << 20
"""Size of a response that is read. An explanation has a few thousand bytes."""

_REQUEST_TIMEOUT_S: Final = 30


@click.command()
@click.argument("gateway")
@click.option("--region", default=None, help="Region of the gateway.  [default: AWS_DEFAULT_REGION, or us-east-1]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(gateway: str, region: str | None, as_json: bool) -> None:
    """Explain why GATEWAY (its EUI or its id) is updated, or why it is not.

    Asks a running 'lorafw serve'. Prints what the gateway last presented, which task definition matches or nearly
    matches, what its task waits for, whether the object and the role can be read, which keys the gateway has, and its
    last exchanges.
    """
    region = region or os.environ.get("AWS_DEFAULT_REGION") or REGION
    explanation = _request_explanation(gateway, region)
    if as_json:
        echo(json.dumps(explanation, indent=4))
    else:
        echo_highlighted("\n".join(explanation["lines"]))


def _request_explanation(gateway: str, region: str) -> dict[str, list[str]]:
    """Return the explanation that the server at ``AWS_ENDPOINT_URL`` gives. Sends one HTTP request.

    Raises:
        click.ClickException: The server does not know the gateway, does not answer, or is not 'lorafw serve'.
    """
    from lorafw.iotwireless.constants import EXPLAIN_PATH  # noqa: PLC0415 -- keeps --help fast
    from lorafw.localaws.lab_endpoint import LabEndpoint, find_service_url, open_directly  # noqa: PLC0415

    endpoint = LabEndpoint(find_service_url(os.environ), region)
    path = EXPLAIN_PATH + quote(gateway, safe="")
    try:
        with open_directly(endpoint, path, timeout_s=_REQUEST_TIMEOUT_S) as response:
            return _parse_explanation(response.read(_MAX_RESPONSE_BYTES))
    except urllib.error.HTTPError as error:
        raise click.ClickException(_error_message(error)) from error
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:  # URLError is an OSError
        raise click.ClickException(f"{endpoint.url} does not answer as 'lorafw serve' does: {error}") from error


def _parse_explanation(body: bytes) -> dict[str, list[str]]:
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
