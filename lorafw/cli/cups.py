"""`lorafw cups`: decode CUPS messages for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import BinaryIO

import click

from lorafw.cli.console import echo
from lorafw.cli.files import MAX_HTTP_REQUEST_BYTES, read_at_most
from lorafw.cups.codec import decode_request, encode_request
from lorafw.cups.messages import NO_CREDENTIALS_CRC, UpdateInfoRequest
from lorafw.station.http import request_body
from lorafw.text import decode_lossless, visible


@click.group()
def cups() -> None:
    """Decode the requests that gateways send to CUPS.

    For the responses of a CUPS server, see 'lorafw gateway judge'.
    """


@cups.command("decode-request")
@click.argument("request", type=click.File("rb"))
@click.option("--json", "as_json", is_flag=True, help="Print the members as JSON, as the gateway sent them.")
def decode(request: BinaryIO, *, as_json: bool) -> None:
    """Decode a request to /update-info.

    REQUEST is a file ('-' for standard input) that contains the whole HTTP request or only its body.
    """
    decoded = decode_request(request_body(read_at_most(request, MAX_HTTP_REQUEST_BYTES)))
    if as_json:
        # The encoder names the members as the station does.
        members = json.loads(decode_lossless(encode_request(decoded)))
        echo(json.dumps(members, indent=4))
        return
    for name, value in _describe_members(decoded):
        echo(f"{name:15}{visible(str(value))}")


def _describe_members(request: UpdateInfoRequest) -> Iterator[tuple[str, str]]:
    """Yield the name of each member of a request and its value as text."""
    yield "GatewayEui", f"{request.router.hex}, as router {request.router.id6}"
    yield "PackageVersion", _describe_version(request.version.package)
    yield "Model", _describe_version(request.version.model)
    yield "Station", _describe_version(request.version.station)
    yield "CUPS", _describe_server(request.cups_uri, request.cups_cred_crc)
    yield "LNS", _describe_server(request.tc_uri, request.tc_cred_crc)
    yield "keys", ", ".join(f"{crc} ({crc:08X})" for crc in request.keys) or "none"


def _describe_version(version: str | None) -> str:
    """Return a version field in quotation marks, or "(none)" if the request does not have it."""
    if version is None:
        return "(none)"
    return repr(version)


def _describe_server(uri: str | None, credentials_crc: int | None) -> str:
    """Return the URI of a server and the CRC of the credentials for it."""
    return f"{uri or 'no URI'}, {_describe_credentials(credentials_crc)}"


def _describe_credentials(crc: int | None) -> str:
    """Return the CRC of credentials as text. A station without credentials sends a CRC of its own for them."""
    if crc is None:
        return "no CRC of credentials"
    if crc == NO_CREDENTIALS_CRC:
        return "no credentials"
    return f"credentials with CRC {crc}"
