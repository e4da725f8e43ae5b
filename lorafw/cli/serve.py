"""`lorafw serve`: the API and CUPS until SIGTERM or Ctrl-C."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lorafw.cli.console import echo
from lorafw.cli.serve_process import (
    BROKEN_PIPE_STATUS,
    Output,
    announced,
    open_many_files,
    refusals_shown,
    stop_on_signals,
)
from lorafw.isolation.environment import aws_variables_that_win
from lorafw.server.loopback import ensure_port_free, is_loopback, loopback_or_default
from lorafw.tasks.policy import Policy, all_decisions

if TYPE_CHECKING:
    from lorafw.localaws.cloud import Cloud
    from lorafw.server.app import CupsServer

HTTPS_PORT = 8443


def policy_options(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """``K=V`` arguments as a mapping."""
    texts: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals:
            raise click.BadParameter(f"{value!r} is not K=V, for example settle_s=30")
        texts[name] = text
    return texts


def show_policies(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print every decision with its tag, and end."""
    if not wanted or context.resilient_parsing:
        return
    for decision in all_decisions():
        choices = f"  ({', '.join(map(str, decision.choices))})" if decision.choices else ""
        echo(f"{decision.name} = {decision.value}{choices}\n    {decision.question}")
        echo(f"    {decision.tag}: {decision.reason}")
    context.exit()


@click.command()
@click.option(
    "--cups-host",
    "--host",
    "cups_host",
    default="127.0.0.1",
    show_default=True,
    help="Address of CUPS over HTTPS, for gateways on the network. Plain CUPS stays on loopback.",
)
@click.option(
    "--api-host",
    default="127.0.0.1",
    show_default=True,
    help="Address of the AWS API. It asks nobody for credentials: on another address than loopback everybody on the "
    "network can read and change all of it.",
)
@click.option("--api-port", default=5000, show_default=True, help="AWS API: iotwireless, s3, iam, ... 0 picks one.")
@click.option("--cups-plain-port", default=8080, show_default=True, help="CUPS over plain HTTP. 0 picks one.")
@click.option("--no-plain", is_flag=True, help="Serve no CUPS over plain HTTP.")
@click.option(
    "--cups-port",
    type=click.IntRange(0, 65535),
    help="CUPS over HTTPS with client certificates. 0 picks one.  [default: 8443, or a free one if that is taken]",
)
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the CA and the server's key, which survive a restart.  [default: ~/.local/state/lorafw]",
)
@click.option(
    "--public-name",
    "public_names",
    multiple=True,
    metavar="NAME",
    help="Name of this machine on the network, for gateways and for callers of the API; repeatable.",
)
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the addresses and the environment as JSON here, while they hold; with the seed, home and key as well.",
)
@click.option("--policy", multiple=True, metavar="K=V", callback=policy_options, help="Change a decision; repeatable.")
@click.option(
    "--policies",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_policies,
    help="List all decisions with their tags, and exit.",
)
@click.option(
    "--world",
    type=click.Choice(["empty", "seed"]),
    default="empty",
    show_default=True,
    help="seed: the documentation's own bucket, role and gateways, one of them polling every 10 s.",
)
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
    ready_file: Path | None,
    policy: Mapping[str, str],
    world: str,
) -> None:
    """Serve the AWS API and CUPS. State is in memory and ends with the process.

    When it is ready, it prints the addresses and the lines to paste into another terminal.
    """
    from lorafw.localaws.cloud import Cloud  # noqa: PLC0415

    if no_plain and world == "seed":
        raise click.UsageError("--world seed: its gateways speak plain CUPS; leave --no-plain out")
    variables_to_unset = aws_variables_that_win(os.environ)
    if ready_file is not None:
        # If a process was killed, its file would say that this one is ready.
        ready_file.unlink(missing_ok=True)
    plain_port = None if no_plain else cups_plain_port
    _check_port("--api-port", api_host, api_port)
    _check_port("--cups-plain-port", loopback_or_default(cups_host), plain_port or 0)
    _check_port("--cups-port", cups_host, cups_port or 0)
    _warn_of_open_api(api_host)
    cloud = Cloud(
        api_host=api_host,
        cups_host=cups_host,
        api_port=api_port,
        cups_port=plain_port,
        cups_tls_port=HTTPS_PORT if cups_port is None else cups_port,
        cups_tls_fallback_to_free_port=cups_port is None,
        state_dir=state_dir or default_state_dir(),
        public_names=public_names,
        policy=Policy().with_string_values(policy),
    )
    open_many_files()
    with Output() as output, stop_on_signals(output.stop), refusals_shown(output), contextlib.ExitStack() as stack:
        stack.enter_context(cloud)
        cloud.service.listeners.append(output.show_row)
        seed = _open_world(cloud, world, output, stack)
        _show_addresses(cloud, output)
        _show_variables(variables_to_unset, cloud.environment(), output)
        content = {**_addresses(cloud), "environment": cloud.environment(), **seed}
        stack.enter_context(announced(ready_file, content))
        output.stop.wait()
        _show_refusals(cloud, output)
    if output.is_broken:
        raise SystemExit(BROKEN_PIPE_STATUS)


def _warn_of_open_api(host: str) -> None:
    if is_loopback(host):
        return
    echo(
        f"Warning: --api-host {host} opens the AWS API to the network. It asks nobody for credentials: whoever "
        "reaches it can read and change everything in it, and decides what your gateways run.",
        err=True,
    )


def _open_world(cloud: Cloud, world: str, output: Output, stack: contextlib.ExitStack) -> dict[str, str]:
    """Set up the world that was chosen. Return the paths that belong into the ready file."""
    if world == "empty":
        return {}
    from lorafw.localaws.documented_setup import DocumentedSetup  # noqa: PLC0415

    seed = stack.enter_context(DocumentedSetup(cloud, output.show))
    output.show(f"Gateway's home folder:  {seed.home.path}")
    output.show(f"Key that it trusts too: {seed.private_key}  (sign with 'lorafw firmware sign')")
    return {"home": str(seed.home.path), "private_key": str(seed.private_key)}


def _show_addresses(cloud: Cloud, output: Output) -> None:
    output.show(f"API   {cloud.api.url}   (state is in memory and ends with this process)")
    if cloud.cups_tls is not None:
        output.show(f"CUPS  {cloud.cups_tls.uri}   (client certificates: 'lorafw gateway init')")
    if cloud.cups_plain is not None:
        output.show(f"CUPS  {cloud.cups_plain.uri}   (plain, no identity: 'lorafw gateway init --plain')")


def _show_variables(to_unset: Iterable[str], to_set: Mapping[str, str], output: Output) -> None:
    output.show("\nPaste into another terminal:\n")
    for name in to_unset:
        output.show(f"unset {name}")
    for name, value in to_set.items():
        output.show(f"export {name}={value}")
    output.show("")


def _addresses(cloud: Cloud) -> dict[str, str | None]:
    """Return the addresses for the ready file. A server that is not there has None."""
    return {"api": cloud.api.url, "cups": _uri(cloud.cups_tls), "cups_plain": _uri(cloud.cups_plain)}


def _uri(server: CupsServer | None) -> str | None:
    if server is None:
        return None
    return server.uri


def _show_refusals(cloud: Cloud, output: Output) -> None:
    output.show(f"Refused at {cloud.api.url}: {cloud.api.refused or 'nothing'}")
    for server in (cloud.cups_tls, cloud.cups_plain):
        if server is not None:
            output.show(f"Refused at {server.uri}: {server.tally or 'nothing'}")


def _check_port(option: str, host: str, port: int) -> None:
    """Raise ClickException that names the option where nobody can listen at this port; port 0 is always there."""
    try:
        ensure_port_free(host, port)
    except OSError as error:
        raise click.ClickException(
            f"{option} {port}: {error.strerror or error} ({host}:{port}); give another port, or 0 for a free one"
        ) from error


def default_state_dir() -> Path:
    """Where programs keep what is to survive a restart."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "lorafw"
