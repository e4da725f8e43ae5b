"""`lorafw gateway`: virtual gateways and their home folders."""

from __future__ import annotations

import inspect
import json
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import click

from lorafw.cli.console import echo, echo_highlighted
from lorafw.cli.files import MAX_RESPONSE, MAX_SIG_KEY, read_at_most
from lorafw.cli.numbers import FiniteRange
from lorafw.cli.signals import exit_on_signals
from lorafw.eui import GatewayEui
from lorafw.faults import Fault
from lorafw.firmware.signing import PublicKey
from lorafw.gateway.enrolment import Registration
from lorafw.gateway.enrolment_journal import JOURNAL_FILENAME
from lorafw.gateway.faults import injection, kind_of
from lorafw.gateway.home import Home
from lorafw.gateway.provisioning import enrol, enrol_without_tls
from lorafw.gateway.virtual import MODEL, STATION, VirtualGateway
from lorafw.station.evaluation import evaluate_reply
from lorafw.station.exchange import DEFAULT_TIMERS, Timers
from lorafw.station.log import Level
from lorafw.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONGEST_INTERVAL_S = 366 * 86400.0
"""A year: ``time.sleep`` takes no number that is much longer."""

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
@click.option(
    "--replace-certificate",
    is_flag=True,
    help="If a certificate is bound to the gateway already, bind a new one. The old one stays active, but the gateway "
    "that uses it is refused from then on.",
)
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
    replace_certificate: bool,
) -> None:
    """Register a gateway at the endpoint that boto3 is set to, and write its HOME folder.

    The private key is made here. AWS IoT, or the lab, issues a certificate for it, which is then bound to the gateway.
    A real station can use the folder (station -N -h HOME -t HOME), and so can 'gateway run'. With --plain the folder
    has no certificates; that is for the lab alone. If the gateway is new to the account, its Description says that
    this command registered it, or that it is still under way.

    Either everything is made or nothing. If the command is interrupted or fails, it undoes what it has made. If it
    cannot do that, because it was killed or there is no network, HOME/init.json stays and names what was made. The
    same command undoes that first. It deletes only what HOME/init.json says that it made, and refuses to run if boto3
    is set to another account, Region or endpoint, or if EUI or folder differ.
    """
    if cups_uri is not None and not plain:
        raise click.UsageError("--cups-uri goes with --plain; otherwise AWS says where CUPS is")
    if replace_certificate and plain:
        raise click.UsageError("--replace-certificate does not go with --plain, which binds no certificate")
    keys = [PublicKey.load(path) for path in sig_keys]
    arguments: dict[str, Any] = {
        "eui": eui,
        "name": name,
        "rf_region": rf_region,
        "package": package or None,
        "sig_keys": keys,
    }
    if plain:
        arguments["cups_uri"] = cups_uri
    else:
        arguments["replace_certificate"] = replace_certificate
    with exit_on_signals(), _explain_aws_errors(home):
        registration = _enrol(home, plain=plain, arguments=arguments)
    verb = "Registered" if registration.was_new else "Registered before:"
    echo(f"{verb} {eui.hex} as {registration.id}")
    echo(f"Home folder {home}: {', '.join(sorted(path.name for path in home.iterdir()))}")
    echo(f"CUPS is at {Home(home).uri('cups')}")
    if not keys:
        echo("It has no sig-0.key, so it runs unsigned updates and refuses signed ones (--sig-key gives it one).")


def _enrol(home: Path, *, plain: bool, arguments: dict[str, Any]) -> Registration:
    import boto3  # noqa: PLC0415

    clients = cast("Callable[[str], Any]", boto3.client)  # overloaded by service
    if plain:
        return enrol_without_tls(home, clients, **arguments)
    enrolment = enrol(home, clients, **arguments)
    if enrolment.replaced_certificate_id is not None:
        echo(f"Certificate {enrolment.replaced_certificate_id} is not bound to it any more, but still active.")
    return enrolment.registration


@contextmanager
def _explain_aws_errors(home: Path) -> Iterator[None]:
    """Turn an error of boto3 into one that says what to do."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        lines = [str(error), "Is 'lorafw serve' running, and are the lines that it prints pasted here?"]
        if (home / JOURNAL_FILENAME).exists():
            lines.append(
                f"What was made is still there, and {home / JOURNAL_FILENAME} names it: run the same command again, "
                "and it is undone or completed."
            )
        raise click.ClickException("\n".join(lines)) from error


@gateway.command()
@click.argument("response", type=click.File("rb"))
@click.option(
    "--sig-key",
    "sig_keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A sig-N.key on the gateway, in the order of N; repeatable. Taken as it is, 64 bytes or not.",
)
@click.option("--interval", type=FiniteRange(min=0), metavar="SECONDS", help="Both intervals of station.conf.")
@click.option("--keeps-open", is_flag=True, help="The server falls silent behind these bytes and does not close.")
@click.option("--resets", is_flag=True, help="Assume that the server resets the connection behind these bytes.")
@click.option("--http", "is_http", is_flag=True, help="RESPONSE is a whole response, even if it lacks 'HTTP/'.")
@click.option("--log-level", type=click.Choice([level.name for level in Level]), default="INFO", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def judge(
    *,
    response: BinaryIO,
    sig_keys: tuple[Path, ...],
    interval: float | None,
    keeps_open: bool,
    resets: bool,
    is_http: bool,
    log_level: str,
    as_json: bool,
) -> None:
    """What would a Basics Station 2.0.6 do with RESPONSE? For whoever writes a CUPS server.

    RESPONSE is a file ('-' is the input) with the body of a reply to /update-info, or with the whole HTTP response.
    Nothing is executed, and nothing is written. Whether a script could be executed is judged by this machine: its
    interpreter must be here.
    """
    timers = DEFAULT_TIMERS if interval is None else Timers(oksync_s=interval, resync_s=interval)
    keys = [_sig_key(path) for path in sig_keys]
    judgement = evaluate_reply(
        read_at_most(response, MAX_RESPONSE),
        sig_keys=keys,
        timers=timers,
        server_closes=not keeps_open,
        resets=resets,
        is_http=is_http or None,
        log_level=Level[log_level],
    )
    fields = judgement.to_json(Level[log_level])
    if judgement.remark:
        echo(judgement.remark, err=True)
    if as_json:
        echo(json.dumps(fields, indent=4))
        return
    echo_highlighted("\n".join(fields.pop("log")))
    echo()
    for name, value in fields.items():
        echo(f"{name}: {json.dumps(value)}")


def _sig_key(path: Path) -> bytes:
    with path.open("rb") as file:
        return read_at_most(file, MAX_SIG_KEY)


@gateway.command()
def faults() -> None:
    """What can be made to go wrong, with 'gateway run --fault NAME' and on a Testbed.

    The second column is what becomes of an automatic task, by lorafw's default decisions, while the fault holds; the
    third is the same for a definition with a full UpdateVersion.
    """
    echo(f"{'FAULT':20}{'TASK':13}{'WITH VERSION':14}WHAT HAPPENS")
    for fault in Fault:
        if fault is Fault.NONE:
            continue
        kind = kind_of(fault)
        expected_status = kind.expected_status or "no task"
        leaves_if_version_given = kind.leaves_if_version_given or expected_status
        echo(f"{fault.value:20}{expected_status:13}{leaves_if_version_given:14}{inspect.getdoc(kind)}")


@gateway.command()
@HOME
@STATION_OPTION
@MODEL_OPTION
def info(home: Path, station: str, model: str) -> None:
    """The three fields that the gateway would present, as CurrentVersion has them."""
    request = Home(home).request(station, model)
    for name, value in (("PackageVersion", request.package), ("Model", model), ("Station", station)):
        shown = "(none: there is no version.txt)" if value is None else visible(value)
        echo(f"{name}: {shown}")


@gateway.command()
@HOME
@STATION_OPTION
@MODEL_OPTION
@click.option(
    "--interval",
    type=FiniteRange(min=0.01, max=LONGEST_INTERVAL_S),
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
    from lorafw.gateway import runner  # noqa: PLC0415
    from lorafw.gateway.transport import HttpTransport  # noqa: PLC0415

    conf = Home(home).conf()
    virtual = VirtualGateway(
        Home(home),
        HttpTransport(tls_sni=conf.tls_sni, buffer_bytes=conf.buffer_bytes),
        station=station,
        model=model,
        log=echo_highlighted,
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
        echo(f"Stopped after {done} polls.", err=True)
