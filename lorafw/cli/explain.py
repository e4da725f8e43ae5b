"""`lorafw explain`: print why a gateway is updated, or why it is not."""

from __future__ import annotations

import json
import os

import click

from lorafw.cli.console import echo, echo_highlighted
from lorafw.example import REGION


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
    from lorafw.localaws.lab_endpoint import LabEndpoint, find_service_url  # noqa: PLC0415 -- keeps --help fast
    from lorafw.localaws.remote_explanation import request_explanation  # noqa: PLC0415

    region = region or os.environ.get("AWS_DEFAULT_REGION") or REGION
    endpoint = LabEndpoint(find_service_url(os.environ), region)
    explanation = request_explanation(endpoint, gateway)
    if as_json:
        echo(json.dumps(explanation, indent=4))
    else:
        echo_highlighted("\n".join(explanation["lines"]))
