"""`lorafw gateway`: virtual gateways and their home folders."""

from __future__ import annotations

import inspect
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import click

from lorafw.cli.colour import show
from lorafw.eui import GatewayEui
from lorafw.fault import Fault
from lorafw.firmware.signing import PublicKey
from lorafw.gateway.attempt import JOURNAL
from lorafw.gateway.faults import injection, kind_of
from lorafw.gateway.home import Home
from lorafw.gateway.judgement import judge_reply
from lorafw.gateway.setup import check_new_home, enrol, enrol_plain
from lorafw.gateway.station import DEFAULT_TIMERS, Timers
from lorafw.gateway.virtual import MODEL, STATION, VirtualGateway
from lorafw.station_log import Level

if TYPE_CHECKING:
    from collections.abc import Callable

HOME = click.argument("home", type=click.Path(file_okay=False, path_type=Path))
STATION_OPTION = click.option("--station", default=STATION, show_default=True, help="Station version it presents.")
MODEL_OPTION = click.option("--model", default=MODEL, show_default=True, help="Model it presents.")


class EuiType(click.ParamType[GatewayEui]):
    """A gateway EUI in any of its forms."""

    name = "eui"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> GatewayEui:
        try:
            return value if isinstance(value, GatewayEui) else GatewayEui.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group()
def gateway() -> None:
    """Virtual gateways: they do what a Basics Station does with CUPS."""


@gateway.command()
@HOME
@click.option("--eui", type=EuiType(), required=True, help="5a11b0a85a11b0a8, 5A-11-..., or 5a11:b0a8:5a11:b0a8.")
@click.option("--name", help="Name of the gateway in AWS.")
@click.option("--package", default="1.0.0", show_default=True, help="Text of version.txt; '' for no version.txt.")
@click.option("--plain", is_flag=True, help="CUPS over plain HTTP, without certificates.")
@click.option("--cups-uri", help="Use this instead of what GetServiceEndpoint answers.")
@click.option(
    "--sig-key",
    "sig_keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Public key (sig-0.key or PEM) for its sig-0.key, sig-1.key, ...; repeatable.",
)
@click.option("--rf-region", default="US915", show_default=True, help="RfRegion of the gateway in AWS.")
def init(
    *,
    home: Path,
    eui: GatewayEui,
    name: str | None,
    package: str,
    plain: bool,
    cups_uri: str | None,
    sig_keys: tuple[Path, ...],
    rf_region: str,
) -> None:
    """Register a gateway at the endpoint that boto3 is set to, and write its HOME folder.

    With its own certificate, made and bound by AWS IoT (or the lab): the folder serves a real station as it is
    (station -N -h HOME -t HOME) and 'gateway run'. With --plain, without certificates, for the lab alone.
    """
    import boto3  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    if cups_uri is not None and not plain:
        raise click.UsageError("--cups-uri goes with --plain; otherwise AWS says where CUPS is")
    keys = [PublicKey.load(path) for path in sig_keys]
    check_new_home(home)
    clients = cast("Callable[[str], Any]", boto3.client)  # overloaded by service
    about: dict[str, Any] = {
        "eui": eui,
        "name": name,
        "rf_region": rf_region,
        "package": package or None,
        "sig_keys": keys,
    }
    try:
        if plain:
            known = enrol_plain(home, clients, cups_uri=cups_uri, **about)
        else:
            known = enrol(home, clients, **about).registration
    except (BotoCoreError, ClientError) as error:
        left = "\nWhat was made is still there: the same command takes it back." if (home / JOURNAL).exists() else ""
        raise click.ClickException(
            f"{error}\nIs 'lorafw serve' running, and are the lines that it prints pasted here?{left}"
        ) from error
    verb = "Registered" if known.was_new else "Registered before:"
    click.echo(f"{verb} {eui.hex} as {known.id}")
    click.echo(f"Home folder {home}: {', '.join(sorted(path.name for path in home.iterdir()))}")
    click.echo(f"CUPS is at {Home(home).uri('cups')}")
    if not keys:
        click.echo("It has no sig-0.key, so it runs unsigned updates and refuses signed ones (--sig-key gives it one).")


@gateway.command()
@click.argument("response", type=click.File("rb"))
@click.option(
    "--sig-key",
    "sig_keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A sig-N.key on the gateway, in the order of N; repeatable. Taken as it is, 64 bytes or not.",
)
@click.option("--interval", type=click.FloatRange(min=0), metavar="SECONDS", help="Both intervals of station.conf.")
@click.option("--keeps-open", is_flag=True, help="The server falls silent behind these bytes and does not close.")
@click.option("--log-level", type=click.Choice([level.name for level in Level]), default="INFO", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def judge(
    *,
    response: BinaryIO,
    sig_keys: tuple[Path, ...],
    interval: float | None,
    keeps_open: bool,
    log_level: str,
    as_json: bool,
) -> None:
    """What would a Basics Station 2.0.6 do with RESPONSE? For whoever writes a CUPS server.

    RESPONSE is a file ('-' is the input) with the body of a reply to /update-info, or with the whole HTTP response.
    Nothing is executed, and nothing is written.
    """
    timers = DEFAULT_TIMERS if interval is None else Timers(oksync_s=interval, resync_s=interval)
    keys = [path.read_bytes() for path in sig_keys]
    judgement = judge_reply(response.read(), sig_keys=keys, timers=timers, closes=not keeps_open)
    fields = judgement.to_json(Level[log_level])
    if judgement.remark:
        click.echo(judgement.remark, err=True)
    if as_json:
        click.echo(json.dumps(fields, indent=4))
        return
    show("\n".join(fields.pop("log")))
    click.echo()
    for name, value in fields.items():
        click.echo(f"{name}: {json.dumps(value)}")


@gateway.command()
def faults() -> None:
    """What can be made to go wrong, with 'gateway run --fault NAME' and on a Testbed.

    The second column is what becomes of an automatic task, by lorafw's default decisions, while the fault holds.
    """
    for fault in Fault:
        if fault is Fault.NONE:
            continue
        kind = kind_of(fault)
        click.echo(f"{fault.value:20}{kind.leaves or 'no task':13}{inspect.getdoc(kind)}")


@gateway.command()
@HOME
@STATION_OPTION
@MODEL_OPTION
def info(home: Path, station: str, model: str) -> None:
    """The three fields that the gateway would present, as CurrentVersion has them."""
    request = Home(home).request(station, model)
    for name, value in (("PackageVersion", request.package), ("Model", model), ("Station", station)):
        click.echo(f"{name}: {'(none: there is no version.txt)' if value is None else value}")


@gateway.command()
@HOME
@STATION_OPTION
@MODEL_OPTION
@click.option(
    "--interval",
    type=click.FloatRange(min=0.01),
    metavar="SECONDS",
    help="Time between polls, instead of station.conf's (24 h there without a setting).",
)
@click.option("--polls", type=click.IntRange(min=1), metavar="N", help="End after N polls; otherwise at Ctrl-C.")
@click.option(
    "--exec",
    "execute",
    is_flag=True,
    help="Execute update files, whatever they hold. Without it, only files that lorafw built are installed.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME[:N]",
    help="Let this fault hold, for the first N polls or for ever; repeatable. 'gateway faults' lists the names.",
)
def run(
    *,
    home: Path,
    station: str,
    model: str,
    interval: float | None,
    polls: int | None,
    execute: bool,
    faults: tuple[str, ...],
) -> None:
    """Power the gateway on: poll CUPS, take updates, write a station's log."""
    from lorafw.cups.client import HttpTransport  # noqa: PLC0415
    from lorafw.gateway import runner  # noqa: PLC0415

    virtual = VirtualGateway(
        Home(home),
        HttpTransport(tls_sni=Home(home).conf().tls_sni),
        station=station,
        model=model,
        log=show,
        interval_s=interval,
        runner=runner.execute if execute else runner.install_only,
    )
    for text in faults:
        name, _, count = text.partition(":")
        if count and not (count.isdecimal() and int(count)):
            raise click.BadParameter(f"{text!r}: a whole number of polls follows the colon", param_hint="--fault")
        virtual.inject(injection(name), int(count) if count else None)
    virtual.start()
    done = 0
    try:
        while True:
            verdict = virtual.poll()
            done += 1
            if done == polls:
                return
            time.sleep(verdict.wait_s)
    except KeyboardInterrupt:
        click.echo(f"Stopped after {done} polls.", err=True)
