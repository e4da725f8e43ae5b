"""`lorafw gateway`: set up and run virtual gateways."""

from __future__ import annotations

import inspect
import json
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

import click

from lorafw.cli.console import echo, echo_highlighted
from lorafw.cli.files import MAX_RESPONSE_BYTES, MAX_SIG_KEY_BYTES, read_at_most
from lorafw.cli.numbers import FiniteRange
from lorafw.eui import GatewayEui
from lorafw.faults import Fault
from lorafw.firmware.signing import PublicKey
from lorafw.gateway.enrolment_journal import JOURNAL_FILENAME
from lorafw.gateway.enrolment_steps import Registration
from lorafw.gateway.faults import injection, injector_class
from lorafw.gateway.home import Home
from lorafw.gateway.provisioning import Enrolment, enrol, enrol_without_tls
from lorafw.gateway.virtual import MODEL, STATION, VirtualGateway
from lorafw.signals import exit_on_signals
from lorafw.station.evaluation import evaluate_reply
from lorafw.station.exchange import DEFAULT_TIMERS, Timers
from lorafw.station.log import Level
from lorafw.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_INTERVAL_S: Final = 366 * 86400.0
"""A year. ``time.sleep`` refuses much larger numbers."""

HOME = click.argument("home", type=click.Path(file_okay=False, path_type=Path))
STATION_OPTION = click.option(
    "--station", default=STATION, show_default=True, help="Station version that the gateway presents."
)
MODEL_OPTION = click.option("--model", default=MODEL, show_default=True, help="Model that the gateway presents.")


class EuiType(click.ParamType[GatewayEui]):
    """A gateway EUI in any of the forms that ``GatewayEui.parse`` reads."""

    name = "eui"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> GatewayEui:
        """Return the EUI. Ends the command with a usage error if the text is not an EUI."""
        if isinstance(value, GatewayEui):
            return value  # click also converts values that are converted already
        try:
            return GatewayEui.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group()
def gateway() -> None:
    """Set up and run virtual gateways. They use CUPS as a Basics Station does."""


@gateway.command()
@HOME
@click.option("--eui", type=EuiType(), required=True, help="EUI: 5a11b0a85a11b0a8, 5A-11-..., or 5a11:b0a8:5a11:b0a8.")
@click.option("--name", help="Name of the gateway in AWS.")
@click.option(
    "--package", default="1.0.0", show_default=True, help="Content of version.txt. Give '' for no version.txt."
)
@click.option("--plain", is_flag=True, help="Use CUPS over plain HTTP, without certificates.")
@click.option("--cups-uri", help="URI of the CUPS server.  [default: from GetServiceEndpoint]")
@click.option(
    "--sig-key",
    "sig_keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Public key (sig-0.key or PEM) to write as sig-0.key, sig-1.key, ... Can be given more than once.",
)
@click.option("--rf-region", default="US915", show_default=True, help="RfRegion of the gateway in AWS.")
@click.option(
    "--replace-certificate",
    is_flag=True,
    help="Bind a new certificate even if the gateway has one. The old certificate stays active, but a gateway that "
    "uses it is refused from then on.",
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
    """Register a gateway at the endpoint that boto3 is configured for, and write its HOME folder.

    The private key is made on this machine. AWS IoT, or the lab, issues a certificate for it, which is then bound to
    the gateway. A real station (station -N -h HOME -t HOME) and 'gateway run' can both use the folder. With --plain
    the folder has no certificates and can be used with the lab only. If the gateway is new to the account, its
    Description says that this command registered it, or that it is still under way.

    If the command fails or is interrupted, it undoes what it has made. If it cannot do so, because it was killed or
    there is no network, HOME/init.json remains and lists what was made. The next run of the same command undoes that
    first. It deletes only what HOME/init.json lists, and it refuses to run if boto3 is configured for another
    account, Region or endpoint, or if the EUI or the folder differs.
    """
    if cups_uri is not None and not plain:
        raise click.UsageError("--cups-uri goes with --plain; otherwise AWS says where CUPS is")
    if replace_certificate and plain:
        raise click.UsageError("--replace-certificate does not go with --plain, which binds no certificate")
    keys = [PublicKey.load(path) for path in sig_keys]
    gateway_args: dict[str, Any] = {
        "eui": eui,
        "name": name,
        "rf_region": rf_region,
        "package": package or None,
        "sig_keys": keys,
    }
    with exit_on_signals(), _explain_aws_errors(home):
        make_client = _import_client_factory()
        if plain:
            registration = enrol_without_tls(home, make_client, cups_uri=cups_uri, **gateway_args)
        else:
            enrolment = enrol(home, make_client, replace_certificate=replace_certificate, **gateway_args)
            _report_replaced_certificate(enrolment)
            registration = enrolment.registration
    _report_registration(home, eui, registration)
    if not keys:
        echo("It has no sig-0.key, so it runs unsigned updates and refuses signed ones (--sig-key gives it one).")


def _import_client_factory() -> Callable[[str], Any]:
    """Import boto3 and return its function that makes a client for a service."""
    import boto3  # noqa: PLC0415 -- slow to import

    return cast("Callable[[str], Any]", boto3.client)  # overloaded by service


def _report_replaced_certificate(enrolment: Enrolment) -> None:
    """Print which certificate is no longer bound to the gateway, if there is one."""
    if enrolment.replaced_certificate_id is not None:
        echo(f"Certificate {enrolment.replaced_certificate_id} is not bound to it any more, but still active.")


def _report_registration(home: Path, eui: GatewayEui, registration: Registration) -> None:
    """Print the gateway's id, the files in its home folder, and the address of its CUPS server."""
    verb = "Registered" if registration.created else "Registered before:"
    echo(f"{verb} {eui.hex} as {registration.id}")
    names = sorted(path.name for path in home.iterdir())
    echo(f"Home folder {home}: {', '.join(names)}")
    echo(f"CUPS is at {Home(home).read_uri('cups')}")


@contextmanager
def _explain_aws_errors(home: Path) -> Iterator[None]:
    """Add advice to errors of boto3 in the block. Raises them as click.ClickException."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 -- slow to import

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
    help="A sig-N.key of the gateway. Can be given more than once, in the order of N. The file is not checked: it may "
    "have more or less than 64 bytes.",
)
@click.option(
    "--interval", type=FiniteRange(min=0), metavar="SECONDS", help="Value of both CUPS intervals in station.conf."
)
@click.option(
    "--keeps-open", is_flag=True, help="Assume that the server sends nothing more but keeps the connection open."
)
@click.option("--resets", is_flag=True, help="Assume that the server resets the connection after these bytes.")
@click.option(
    "--http",
    "is_http",
    is_flag=True,
    help="Read RESPONSE as a whole HTTP response even if it does not start with 'HTTP/'.",
)
@click.option(
    "--log-level",
    type=click.Choice([level.name for level in Level]),
    default="INFO",
    show_default=True,
    help="Lowest level of the log lines that are printed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
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
    """Show what a Basics Station 2.0.6 does with a RESPONSE. For authors of CUPS servers.

    RESPONSE is a file ('-' for standard input) that contains the body of a response to /update-info, or the whole HTTP
    response. Nothing is executed or written. A script counts as executable if its interpreter is installed on this
    machine.
    """
    timers = DEFAULT_TIMERS
    if interval is not None:
        timers = Timers(oksync_s=interval, resync_s=interval)
    force_http = True if is_http else None  # None: decide by the first bytes
    keys = [_read_sig_key(path) for path in sig_keys]
    evaluation = evaluate_reply(
        read_at_most(response, MAX_RESPONSE_BYTES),
        sig_keys=keys,
        timers=timers,
        server_closes=not keeps_open,
        resets=resets,
        is_http=force_http,
        log_level=Level[log_level],
    )
    members = evaluation.to_json(Level[log_level])
    if evaluation.remark:
        echo(evaluation.remark, err=True)
    if as_json:
        echo(json.dumps(members, indent=4))
    else:
        _print_evaluation(members)


def _print_evaluation(members: dict[str, Any]) -> None:
    """Print the log lines of an evaluation, and its other members below."""
    echo_highlighted("\n".join(members["log"]))
    echo()
    for name, value in members.items():
        if name != "log":
            echo(f"{name}: {json.dumps(value)}")


def _read_sig_key(path: Path) -> bytes:
    """Return the content of a sig-N.key. Its size is not checked, except for a maximum."""
    with path.open("rb") as file:
        return read_at_most(file, MAX_SIG_KEY_BYTES)


@gateway.command()
def faults() -> None:
    """List the faults that 'gateway run --fault NAME' and a Testbed can inject.

    The second column is the status in which an automatic task ends while the fault lasts, with lorafw's default
    decisions about AWS's behaviour. The third column is the same for a definition with a full UpdateVersion.
    """
    echo(f"{'FAULT':20}{'TASK':13}{'WITH VERSION':14}WHAT HAPPENS")
    for fault in Fault:
        if fault is Fault.NONE:
            continue
        injector = injector_class(fault)
        status = injector.expected_status or "no task"
        status_if_version_given = injector.expected_status_if_version_given or status
        echo(f"{fault.value:20}{status:13}{status_if_version_given:14}{inspect.getdoc(injector)}")


@gateway.command()
@HOME
@STATION_OPTION
@MODEL_OPTION
def info(home: Path, station: str, model: str) -> None:
    """Print the three version fields that the gateway presents, under the names that CurrentVersion has for them."""
    request = Home(home).build_request(station, model)
    package = "(none: there is no version.txt)"
    if request.package is not None:
        package = visible(request.package)
    echo(f"PackageVersion: {package}")
    echo(f"Model: {visible(model)}")
    echo(f"Station: {visible(station)}")


@gateway.command()
@HOME
@STATION_OPTION
@MODEL_OPTION
@click.option(
    "--interval",
    type=FiniteRange(min=0.01, max=MAX_INTERVAL_S),
    metavar="SECONDS",
    help="Time between polls.  [default: from station.conf, or 24 h]",
)
@click.option(
    "--polls", type=click.IntRange(min=1), metavar="N", help="End after N polls.  [default: run until Ctrl-C]"
)
@click.option(
    "--exec",
    "execute",
    is_flag=True,
    help="Execute update files, whatever they contain. Without it, only files that lorafw built are installed.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME[:N]",
    help="Inject a fault for the first N polls (default: all). Can be given more than once. 'gateway faults' lists the "
    "names.",
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
    """Run the gateway: poll CUPS, install updates and print the log of a station."""
    from lorafw.gateway import runner  # noqa: PLC0415 -- keeps --help fast
    from lorafw.gateway.transport import HttpTransport  # noqa: PLC0415

    conf = Home(home).read_conf()
    run_update = runner.execute if execute else runner.install_only
    virtual = VirtualGateway(
        Home(home),
        HttpTransport(tls_sni=conf.tls_sni, buffer_bytes=conf.buffer_bytes),
        station=station,
        model=model,
        log=echo_highlighted,
        interval_s=interval,
        runner=run_update,
    )
    for argument in faults:
        name, fault_polls = _parse_fault(argument)
        virtual.inject(injection(name), fault_polls)
    virtual.start()
    _poll_repeatedly(virtual, polls)


def _parse_fault(argument: str) -> tuple[str, int | None]:
    """Return the name of a fault and the number of polls that it lasts, from ``NAME`` or ``NAME:N``.

    The number is None if the fault does not end.

    Raises:
        click.BadParameter: The text after the colon is not a positive whole number.
    """
    name, _, count = argument.partition(":")
    if not count:
        return name, None
    if not count.isdecimal() or int(count) == 0:
        raise click.BadParameter(f"{argument!r}: a whole number of polls follows the colon", param_hint="--fault")
    return name, int(count)


def _poll_repeatedly(virtual: VirtualGateway, max_polls: int | None) -> None:
    """Let the gateway poll at its interval until Ctrl-C. Sleeps between the polls.

    Args:
        virtual: A gateway that has been started.
        max_polls: Number of polls after which to return, or None to go on until Ctrl-C.
    """
    poll_count = 0
    try:
        while True:
            result = virtual.poll()
            poll_count += 1
            if poll_count == max_polls:
                return
            time.sleep(result.wait_s)
    except KeyboardInterrupt:
        echo(f"Stopped after {poll_count} polls.", err=True)
