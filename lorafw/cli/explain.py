"""`lorafw explain`: why a gateway is updated, or is not."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
from urllib.parse import quote

import click

from lorafw.cli.console import echo, echo_highlighted
from lorafw.example import REGION

_LARGEST_ANSWER = 1 << 20
"""Bytes of an answer that are read; an explanation has a few thousand."""


@click.command()
@click.argument("gateway")
@click.option("--region", default=None, help="Region of the gateway.  [default: AWS_DEFAULT_REGION, or us-east-1]")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def explain(gateway: str, region: str | None, as_json: bool) -> None:
    """Why is GATEWAY (its EUI or its id) updated, or not? Asks a running 'lorafw serve'.

    What it last presented, which task definition matches or nearly does, what its task waits for, whether object and
    role can be read, which keys it has, and its last exchanges.
    """
    answer = _ask(gateway, region or os.environ.get("AWS_DEFAULT_REGION") or REGION)
    if as_json:
        echo(json.dumps(answer, indent=4))
    else:
        echo_highlighted("\n".join(answer["lines"]))


def _ask(gateway: str, region: str) -> dict[str, list[str]]:
    from lorafw.iotwireless.constants import EXPLAIN_PATH  # noqa: PLC0415
    from lorafw.localaws.lab_endpoint import LabEndpoint, find_service_url, open_directly  # noqa: PLC0415

    endpoint = LabEndpoint(find_service_url(os.environ), region)
    try:
        with open_directly(endpoint, EXPLAIN_PATH + quote(gateway, safe=""), timeout_s=30) as response:
            return _read_answer(response.read(_LARGEST_ANSWER))
    except urllib.error.HTTPError as error:
        raise click.ClickException(_message(error)) from error
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:  # URLError is an OSError
        raise click.ClickException(f"{endpoint.url} does not answer as 'lorafw serve' does: {error}") from error


def _read_answer(body: bytes) -> dict[str, list[str]]:
    """Raises ValueError if this is no explanation."""
    answer = json.loads(body)
    if not isinstance(answer, dict) or not isinstance(answer.get("lines"), list):
        raise ValueError("the answer is no explanation")
    return answer


def _message(error: urllib.error.HTTPError) -> str:
    try:
        message = str(json.loads(error.read(_LARGEST_ANSWER))["Message"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, RecursionError):
        return f"the server answered {error.code} {error.reason}; is it 'lorafw serve'?"
    return (
        f"{message} (the gateways there are: 'aws iotwireless list-wireless-gateways')"
        if error.code == 404
        else message
    )
