"""`lorafw serve`: the API and CUPS until SIGTERM or Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from lorafw.cli.colour import show
from lorafw.clock import iso
from lorafw.cups.tally import LOG
from lorafw.environment import profiles_chosen
from lorafw.loopback import check_port
from lorafw.tasks.lifecycle import LogRow
from lorafw.tasks.policy import Policy, all_decisions

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
        click.echo(f"{decision.name} = {decision.value}{choices}\n    {decision.question}")
        click.echo(f"    {decision.tag}: {decision.reason}")
    context.exit()


@click.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address of API and HTTPS. The plain port stays on loopback."
)
@click.option("--api-port", default=5000, show_default=True, help="AWS API: iotwireless, s3, iam, ... 0 picks one.")
@click.option("--cups-plain-port", default=8080, show_default=True, help="CUPS over plain HTTP. 0 picks one.")
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
    help="Name of this machine for gateways on the network (with --host); repeatable.",
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
    host: str,
    api_port: int,
    cups_plain_port: int,
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
    from lorafw.cloud import Cloud, loopback  # noqa: PLC0415

    profiles = profiles_chosen()
    if ready_file is not None:
        # One that a process left when it was killed would say that this one is ready.
        ready_file.unlink(missing_ok=True)
    _check_port("--api-port", host, api_port)
    _check_port("--cups-plain-port", loopback(host), cups_plain_port)
    _check_port("--cups-port", host, cups_port or 0)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    cloud = Cloud(
        host=host,
        api_port=api_port,
        cups_port=cups_plain_port,
        cups_tls_port=HTTPS_PORT if cups_port is None else cups_port,
        cups_tls_or_another=cups_port is None,
        state_dir=state_dir or default_state_dir(),
        public_names=public_names,
        policy=Policy().with_texts(policy),
    )
    _open_many_files()
    with _refusals_shown(), cloud, contextlib.ExitStack() as stack:
        cloud.service.listeners.append(show_row)
        files: dict[str, str] = {}
        if world == "seed":
            from lorafw.world import DocumentedWorld  # noqa: PLC0415

            seed = stack.enter_context(DocumentedWorld(cloud, show))
            files = {"home": str(seed.home.path), "private_key": str(seed.private_key)}
            click.echo(f"Gateway's home folder:  {seed.home.path}")
            click.echo(f"Key that it trusts too: {seed.private_key}  (sign with 'lorafw firmware sign')")
        click.echo(f"API   {cloud.api.url}   (state is in memory and ends with this process)")
        assert cloud.cups_tls is not None
        click.echo(f"CUPS  {cloud.cups_tls.uri}   (client certificates: 'lorafw gateway init')")
        click.echo(f"CUPS  {cloud.cups.uri}   (plain, no identity: 'lorafw gateway init --plain')\n")
        click.echo("Paste into another terminal:\n")
        for name in profiles:
            click.echo(f"unset {name}")
        for name, value in cloud.environment().items():
            click.echo(f"export {name}={value}")
        click.echo("")
        addresses = {"api": cloud.api.url, "cups": cloud.cups_tls.uri, "cups_plain": cloud.cups.uri}
        with _announced(ready_file, {**addresses, "environment": cloud.environment(), **files}):
            stop.wait()
        for server in (cloud.cups_tls, cloud.cups):
            click.echo(f"Refused at {server.uri}: {server.tally or 'nothing'}")


def _check_port(option: str, host: str, port: int) -> None:
    """Raise ClickException that names the option where nobody can listen at this port; port 0 is always there."""
    try:
        check_port(host, port)
    except OSError as error:
        raise click.ClickException(
            f"{option} {port}: {error.strerror or error} ({host}:{port}); give another port, or 0 for a free one"
        ) from error


def default_state_dir() -> Path:
    """Where programs keep what is to survive a restart."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "lorafw"


def show_row(row: LogRow) -> None:
    """One line for what has happened to a task."""
    change = f"{row.from_status or 'no task'} -> {row.to_status or 'no task'}"
    show(f"{iso(row.time)} task of gateway {row.gateway}: {change} ({row.cause})")


@contextlib.contextmanager
def _refusals_shown() -> Iterator[None]:
    """Print a line for what the CUPS server refuses; it sees to it that there are not too many."""
    handler = _Shown(logging.INFO)
    before = LOG.level, LOG.propagate
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        LOG.level, LOG.propagate = before


class _Shown(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        time = iso(round(record.created * 1000))
        show(f"{time} {self.format(record)}")


def _open_many_files() -> None:
    """Each connection is a file, and the usual limit of 1024 is a habit from before there were so many."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415 -- not there on Windows

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextlib.contextmanager
def _announced(path: Path | None, content: Mapping[str, object]) -> Iterator[None]:
    """The ready file is there, whole, exactly while its addresses answer."""
    if path is None:
        yield
        return
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file)
    Path(temporary).replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
