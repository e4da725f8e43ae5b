"""`lorafw cups`: the bytes of CUPS, for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import BinaryIO

import click

from lorafw.cli.console import echo
from lorafw.cli.files import MAX_HTTP_REQUEST, read_at_most
from lorafw.cups.codec import decode_request, encode_request
from lorafw.cups.messages import NO_CREDENTIALS_CRC, UpdateInfoRequest
from lorafw.station.http import request_body
from lorafw.text import visible


@click.group()
def cups() -> None:
    """The bytes of CUPS: what a gateway sends. ('gateway judge' is for what a server answers.)"""


@cups.command("decode-request")
@click.argument("request", type=click.File("rb"))
@click.option("--json", "as_json", is_flag=True, help="The members as they were sent, as JSON.")
def decode(request: BinaryIO, *, as_json: bool) -> None:
    """Read REQUEST, a file ('-' is the input) with a request to /update-info: the whole HTTP request, or its body."""
    decoded = decode_request(request_body(read_at_most(request, MAX_HTTP_REQUEST)))
    if as_json:
        # Through the encoder, whose members are the station's.
        members = json.loads(encode_request(decoded).decode("utf-8", "surrogateescape"))
        echo(json.dumps(members, indent=4))
        return
    for name, value in _members(decoded):
        echo(f"{name:15}{visible(str(value))}")


def _members(request: UpdateInfoRequest) -> Iterator[tuple[str, str]]:
    yield "GatewayEui", f"{request.router.hex}, as router {request.router.id6}"
    version = request.version
    for name, value in (("PackageVersion", version.package), ("Model", version.model), ("Station", version.station)):
        yield name, "(none)" if value is None else repr(value)
    for name, uri, crc in (
        ("CUPS", request.cups_uri, request.cups_cred_crc),
        ("LNS", request.tc_uri, request.tc_cred_crc),
    ):
        yield name, f"{uri or 'no URI'}, {_credentials(crc)}"
    yield "keys", ", ".join(f"{crc} ({crc:08X})" for crc in request.keys) or "none"


def _credentials(crc: int | None) -> str:
    if crc is None:
        return "no CRC of credentials"
    return "no credentials" if crc == NO_CREDENTIALS_CRC else f"credentials with CRC {crc}"
