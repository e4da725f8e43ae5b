"""`lorafw serve`: serve the AWS API and CUPS until a termination signal or Ctrl-C."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from lorafw.cli.console import echo
from lorafw.cli.serve_process import (
    BROKEN_PIPE_STATUS,
    Output,
    raise_open_file_limit,
    ready_file,
    show_refusals,
    stop_on_signals,
)
from lorafw.clock import Clock, ManualClock, SystemClock
from lorafw.isolation.environment import aws_variables_that_win
from lorafw.server.loopback import ensure_port_free, is_loopback, loopback_or_default
from lorafw.tasks.policy import Policy, all_decisions

if TYPE_CHECKING:
    from lorafw.localaws.cloud import Cloud
    from lorafw.persistence.replay import Replay
    from lorafw.server.app import CupsServer

DEFAULT_CUPS_PORT: Final = 8443
SLOW_REPLAY_S: Final = 10.0
"""A start that takes longer to answer the kept requests again says so."""


def parse_policy_options(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Return the ``NAME=VALUE`` arguments of ``--policy`` as a dictionary.

    Args:
        values: The arguments.

    Raises:
        click.BadParameter: An argument has no equals sign.
    """
    texts: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals:
            raise click.BadParameter(f"{value!r} is not K=V, for example settle_s=30")
        texts[name] = text
    return texts


def show_policies(context: click.Context, _: click.Parameter, is_requested: bool) -> None:
    """Print every decision with its tag and end the command, if ``--policies`` was given."""
    if not is_requested or context.resilient_parsing:
        return
    for decision in all_decisions():
        choices = f"  ({', '.join(map(str, decision.choices))})" if decision.choices else ""
        echo(f"{decision.name} = {decision.value}{choices}\n    {decision.question}")
        echo(f"    {decision.tag}: {decision.reason}")
    context.exit()


def create_clock(name: str, start: str | None) -> Clock:
    """Return the clock that ``--clock`` and ``--clock-start`` describe.

    Args:
        name: "real" for the clock of the machine, "manual" for a clock that moves only on request.
        start: The time at which a manual clock starts, in ISO 8601. None for the time of AWS's documented example.

    Raises:
        click.UsageError: The options do not fit together, or the time cannot be read.
    """
    if name == "real":
        if start is not None:
            raise click.UsageError(f"--clock-start {start}: the real clock has no start; add --clock manual")
        return SystemClock()
    if start is None:
        return ManualClock()
    try:
        return ManualClock(start)
    except ValueError as error:
        raise click.UsageError(
            f"--clock-start {start!r} is not a time in ISO 8601, for example 2026-03-01T12:00:00Z"
        ) from error


@click.command()
@click.option(
    "--cups-host",
    "--host",
    "cups_host",
    default="127.0.0.1",
    show_default=True,
    help="Address on which CUPS over HTTPS listens. Set it for gateways on the network. Plain CUPS stays on loopback.",
)
@click.option(
    "--api-host",
    default="127.0.0.1",
    show_default=True,
    help="Address on which the AWS API listens. The API checks no credentials: on an address other than loopback, "
    "everybody on the network can read and change everything in it.",
)
@click.option(
    "--api-port",
    default=5000,
    show_default=True,
    help="Port of the AWS API (iotwireless, s3, iam, ...). 0 picks a free port.",
)
@click.option(
    "--cups-plain-port", default=8080, show_default=True, help="Port of CUPS over plain HTTP. 0 picks a free port."
)
@click.option("--no-plain", is_flag=True, help="Do not serve CUPS over plain HTTP.")
@click.option(
    "--cups-port",
    type=click.IntRange(0, 65535),
    help="Port of CUPS over HTTPS with client certificates. 0 picks a free port.  "
    "[default: 8443, or a free port if 8443 is taken]",
)
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder in which the state is kept, so that it survives the end of the process, however it ends. One process "
    "can use it. Not kept: policies, updates that are being sent, injected failures, and what other services than "
    "iotwireless, S3, IAM, STS, IoT and KMS hold.  [default: only the CA and the server's key are kept, in "
    "~/.local/state/lorafw]",
)
@click.option(
    "--public-name",
    "public_names",
    multiple=True,
    metavar="NAME",
    help="Name under which gateways and clients of the API reach this machine on the network. Can be given more than "
    "once.",
)
@click.option(
    "--ready-file",
    "ready_file_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a JSON file with the addresses and environment variables when the server is ready, and remove it on "
    "exit. With --seed documented it also contains the home folder and the key.",
)
@click.option(
    "--policy",
    multiple=True,
    metavar="K=V",
    callback=parse_policy_options,
    help="Change a decision about AWS's behaviour. Can be given more than once.",
)
@click.option(
    "--policies",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_policies,
    help="List all decisions about AWS's behaviour with their tags and exit.",
)
@click.option(
    "--clock",
    type=click.Choice(["real", "manual"]),
    default="real",
    show_default=True,
    help="The clock of the service. manual: it moves only by POST /lorafw/advance at the address of the API.",
)
@click.option(
    "--clock-start",
    metavar="TIME",
    help="Time at which the manual clock starts, in ISO 8601. With --state-dir it goes on where it was, if that is "
    "later.  [default: the time of AWS's documented example]",
)
@click.option(
    "--seed",
    type=click.Choice(["documented"]),
    help="Start with resources. documented: the bucket, the role and the gateways of AWS's documentation. One of the "
    "gateways polls every 10 s.  [default: start empty]",
)
@click.option("--world", type=click.Choice(["empty", "seed"]), hidden=True, help="Old name of --seed.")
def serve(
    *,
    cups_host: str,
    api_host: str,
    api_port: int,
    cups_plain_port: int,
    no_plain: bool,
    cups_port: int | None,
    state_dir: Path | None,
    public_names: tuple[str, ...],
    ready_file_path: Path | None,
    policy: Mapping[str, str],
    clock: str,
    clock_start: str | None,
    seed: str | None,
    world: str | None,
) -> None:
    """Serve the AWS API and CUPS. State is lost when the process exits, unless --state-dir is given.

    When the server is ready, it prints the addresses and the lines to paste into another terminal.
    """
    from lorafw.localaws.cloud import Cloud  # noqa: PLC0415 -- moto is slow to import
    from lorafw.persistence.kept_state import KeptState  # noqa: PLC0415 -- for --state-dir only

    is_seeded = seed == "documented" or world == "seed"
    if no_plain and is_seeded:
        raise click.UsageError("--seed documented: its gateways use plain CUPS; leave --no-plain out")
    variables_to_unset = aws_variables_that_win(os.environ)  # before anything changes the environment
    if ready_file_path is not None:
        # If a process was killed, its file would say that this one is ready.
        ready_file_path.unlink(missing_ok=True)
    service_clock = create_clock(clock, clock_start)
    plain_port = None if no_plain else cups_plain_port
    _check_port("--api-port", api_host, api_port)
    _check_port("--cups-plain-port", loopback_or_default(cups_host), plain_port or 0)
    _check_port("--cups-port", cups_host, cups_port or 0)
    _warn_of_open_api(api_host)
    tls_port = DEFAULT_CUPS_PORT if cups_port is None else cups_port
    kept_state = None if state_dir is None else KeptState(state_dir)
    cloud = Cloud(
        api_host=api_host,
        cups_host=cups_host,
        api_port=api_port,
        cups_port=plain_port,
        cups_tls_port=tls_port,
        cups_tls_fallback_to_free_port=cups_port is None,
        state_dir=state_dir or default_state_dir(),
        public_names=public_names,
        policy=Policy().with_string_values(policy),
        clock=service_clock,
        kept_state=kept_state,
    )
    raise_open_file_limit()
    _serve_until_stopped(cloud, variables_to_unset, is_seeded=is_seeded, ready_file_path=ready_file_path)


def _serve_until_stopped(
    cloud: Cloud, variables_to_unset: Iterable[str], *, is_seeded: bool, ready_file_path: Path | None
) -> None:
    """Run the servers until a termination signal arrives or the output is closed.

    Prints the addresses, the log of the tasks, and at the end what was refused.

    Args:
        cloud: The servers. They are not started yet.
        variables_to_unset: Environment variables that would take precedence over those of the servers.
        is_seeded: True to create the resources of AWS's documentation.
        ready_file_path: Where to write the ready file, or None.

    Raises:
        SystemExit: The reader of the output has closed it.
        StateError: A change could not be saved.
    """
    with Output() as output, stop_on_signals(output.stop), show_refusals(output), cloud:
        cloud.service.listeners.append(output.show_row)
        if cloud.kept_state is not None:
            cloud.kept_state.database.on_failure = output.stop_because
            _show_replay(cloud.kept_state.replay, output)
        with _documented_setup(cloud, output, is_requested=is_seeded) as seed_paths:
            _show_addresses(cloud, output)
            _show_variables(variables_to_unset, cloud.environment(), output)
            content = _addresses(cloud)
            content["environment"] = cloud.environment()
            content.update(seed_paths)
            with ready_file(ready_file_path, content):
                output.stop.wait()
                _show_refusal_counts(cloud, output)
    if output.error is not None:
        raise output.error
    if output.is_broken:
        raise SystemExit(BROKEN_PIPE_STATUS)


@contextlib.contextmanager
def _documented_setup(cloud: Cloud, output: Output, *, is_requested: bool) -> Iterator[dict[str, str]]:
    """Create the resources of AWS's documentation and run its gateway during the block.

    Args:
        cloud: The running servers.
        output: Where the gateway's log is printed.
        is_requested: False to create nothing.

    Yields:
        The paths of the gateway's home folder and of the private key, for the ready file.
    """
    if not is_requested:
        yield {}
        return
    from lorafw.localaws.documented_setup import documented_setup  # noqa: PLC0415 -- needed with --seed only

    with documented_setup(cloud, output.show) as files:
        output.show(f"Gateway's home folder:  {files.home.path}")
        output.show(f"Key that it trusts too: {files.private_key}  (sign with 'lorafw firmware sign')")
        yield {"home": str(files.home.path), "private_key": str(files.private_key)}


def _warn_of_open_api(host: str) -> None:
    """Print a warning if the AWS API does not listen on loopback."""
    if is_loopback(host):
        return
    echo(
        f"Warning: --api-host {host} opens the AWS API to the network. The API checks no credentials: everybody on "
        "the network can read and change everything in it, and can decide what your gateways run.",
        err=True,
    )


def _show_replay(replay: Replay, output: Output) -> None:
    """Say what was found when moto answered the kept requests again, if that matters to the user."""
    if replay.differing:
        echo(
            f"Warning: {len(replay.differing)} kept requests were answered in another way than before, the first is "
            f"{replay.differing[0]}. What they had created may have other ids.",
            err=True,
        )
    if replay.forgotten:
        output.show(f"{replay.forgotten} kept requests had no effect any more and were removed.")
    elif replay.seconds > SLOW_REPLAY_S:
        output.show(
            f"Answering {replay.requests} kept requests again took {replay.seconds:.0f} s. To start faster, delete "
            "resources that you do not need, or begin with an empty --state-dir."
        )


def _show_addresses(cloud: Cloud, output: Output) -> None:
    """Print the address of each server."""
    where = "in memory and ends with this process"
    if cloud.kept_state is not None:
        where = f"kept in {cloud.kept_state.folder}"
    output.show(f"API   {cloud.api.url}   (state is {where})")
    if cloud.cups_tls is not None:
        output.show(f"CUPS  {cloud.cups_tls.uri}   (client certificates: 'lorafw gateway init')")
        if "[" in cloud.cups_tls.uri:
            output.show("      A Basics Station cannot use an IPv6 address: give a --public-name that leads to it.")
    if cloud.cups_plain is not None:
        output.show(f"CUPS  {cloud.cups_plain.uri}   (plain, no identity: 'lorafw gateway init --plain')")


def _show_variables(to_unset: Iterable[str], to_set: Mapping[str, str], output: Output) -> None:
    """Print the lines that make another terminal use the servers.

    Args:
        to_unset: Variables that would take precedence over those that are set.
        to_set: Environment variables and their values.
        output: Where the lines are printed.
    """
    output.show("\nPaste into another terminal:\n")
    for name in to_unset:
        output.show(f"unset {name}")
    for name, value in to_set.items():
        output.show(f"export {name}={value}")
    output.show("")


def _addresses(cloud: Cloud) -> dict[str, object]:
    """Return the addresses for the ready file. The address of a server that does not run is None.

    "cups" has the last public name. "api" is for programs on this machine, and "public_api" for other machines.
    """
    return {
        "api": cloud.api.url,
        "cups": _uri(cloud.cups_tls),
        "cups_plain": _uri(cloud.cups_plain),
        "public_names": cloud.public_names,
        "public_api": cloud.public_api_url(),
    }


def _uri(server: CupsServer | None) -> str | None:
    """Return the URI of a server, or None if there is no server."""
    if server is None:
        return None
    return server.uri


def _show_refusal_counts(cloud: Cloud, output: Output) -> None:
    """Print how many requests each server refused, by reason."""
    output.show(f"Refused at {cloud.api.url}: {cloud.api.refused or 'nothing'}")
    for server in (cloud.cups_tls, cloud.cups_plain):
        if server is not None:
            output.show(f"Refused at {server.uri}: {server.tally or 'nothing'}")


def _check_port(option: str, host: str, port: int) -> None:
    """Refuse a port that is taken or not permitted, and name its option. Port 0 is always accepted.

    Args:
        option: The command-line option that gave the port.
        host: The address to listen on.
        port: The port to check.

    Raises:
        click.ClickException: The port cannot be listened on.
    """
    try:
        ensure_port_free(host, port)
    except OSError as error:
        raise click.ClickException(
            f"{option} {port}: {error.strerror or error} ({host}:{port}); give another port, or 0 for a free one"
        ) from error


def default_state_dir() -> Path:
    """Return the folder for the CA and the server's key, according to the XDG Base Directory Specification."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "lorafw"
