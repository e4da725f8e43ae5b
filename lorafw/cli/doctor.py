"""`lorafw doctor`: check a task definition, a home folder or an account before an update starts."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import click

from lorafw.cli.console import echo
from lorafw.cli.files import read_at_most
from lorafw.cli.numbers import FiniteRange
from lorafw.cli.progress import account_progress

if TYPE_CHECKING:
    from lorafw.doctor import Finding, Rule, Subject
    from lorafw.doctor.subject import AccountFacts, DefinitionDocument, UpdateFile
    from lorafw.firmware.signing import PublicKey
    from lorafw.localaws.connection import Connection

FOUND_ERRORS: Final = 1
"""Exit status if a rule of severity ``error`` is violated."""

_MAX_DEFINITION_BYTES: Final = 1 << 20
_MAX_EVIDENCE: Final = 10
"""How many violations of one rule are printed as text."""
_READABLE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


def show_rules(context: click.Context, _: click.Parameter, is_requested: bool) -> None:
    """Print all rules and end the command, if ``--rules`` was given."""
    if is_requested and not context.resilient_parsing:
        from lorafw.doctor import all_rules  # noqa: PLC0415 -- keeps --help fast

        for rule in all_rules():
            echo(f"{rule.id}  {rule.severity.value:<7}  {rule.title}")
        context.exit()


@click.command()
@click.option("--definition", type=click.File("rb"), help="input.json: parameters of a new task definition.")
@click.option("--update", "update_path", type=_READABLE, help="Update file.  [default: the object in S3]")
@click.option(
    "--sig-key",
    "sig_key_paths",
    type=_READABLE,
    multiple=True,
    help="sig-N.key file of the gateways. Can be given more than once.",
)
@click.option("--home", type=click.Path(file_okay=False, path_type=Path), help="Home folder of a gateway.")
@click.option("--lab", is_flag=True, help="Look at the running 'lorafw serve' that AWS_ENDPOINT_URL names.")
@click.option("--ready-file", type=_READABLE, help="Look at the lab that wrote this file.")
@click.option(
    "--account",
    metavar="NUMBER",
    help="Look at this real AWS account with your own credentials. They must belong to it. Nothing is changed.",
)
@click.option("--region", help="Region of the gateways.  [default: the one that your AWS settings name]")
@click.option(
    "--sample",
    "sample_size",
    type=click.IntRange(1, 100_000),
    default=50,
    show_default=True,
    help="Number of gateways to look at. Each costs two calls.",
)
@click.option("--waves", "has_waves", is_flag=True, help="The definition belongs to a rollout in waves.")
@click.option("--install-time", "install_s", type=FiniteRange(0), metavar="S", help="Seconds that an install takes.")
@click.option("--only", multiple=True, metavar="ID", help="Check only rules whose id begins so, e.g. LW2. Repeatable.")
@click.option("--ignore", multiple=True, metavar="ID", help="Leave out rules whose id begins so. Repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--rules", is_flag=True, is_eager=True, expose_value=False, callback=show_rules, help="List all rules and exit."
)
def doctor(
    *,
    definition: BinaryIO | None,
    update_path: Path | None,
    sig_key_paths: tuple[Path, ...],
    home: Path | None,
    lab: bool,
    ready_file: Path | None,
    account: str | None,
    region: str | None,
    sample_size: int,
    has_waves: bool,
    install_s: float | None,
    only: tuple[str, ...],
    ignore: tuple[str, ...],
    as_json: bool,
) -> None:
    """Check a task definition, a home folder or an account before an update starts. Nothing is changed.

    Give what you have: --definition checks the document, --update and --sig-key the signature, --home a gateway's
    folder, --lab or --account the role, the bucket and the gateways.

    The exit status is 1 if there is an error, and 0 if there are only warnings and notes.
    """
    from lorafw.doctor.findings import diagnose, select_rules  # noqa: PLC0415

    if not any((definition, home, lab, ready_file, account)):
        raise click.UsageError("Nothing to check: give --definition, --home, --lab or --account.")
    if account is not None and (lab or ready_file):
        raise click.UsageError("Give --lab or --account, not both.")
    rules = select_rules(only, ignore)
    document = _read_definition(definition)
    connection = _connect(lab=lab, ready_file=ready_file, account=account, region=region)
    subject = _collect(
        document,
        connection,
        update_file=_read_update(update_path),
        public_keys=_read_keys(sig_key_paths),
        home=home,
        sample_size=sample_size,
        install_s=install_s,
        has_waves=has_waves,
    )
    findings = diagnose(subject, rules)
    _print(findings, rules, as_json=as_json)
    if any(finding.rule.severity == "error" for finding in findings):
        sys.exit(FOUND_ERRORS)


def _collect(
    document: DefinitionDocument | None,
    connection: Connection | None,
    *,
    update_file: UpdateFile | None,
    public_keys: tuple[PublicKey, ...],
    home: Path | None,
    sample_size: int,
    install_s: float | None,
    has_waves: bool,
) -> Subject:
    """Return everything that the rules look at. Reads the home folder and the account."""
    from lorafw.doctor.environment import read_environment  # noqa: PLC0415
    from lorafw.doctor.home import read_home  # noqa: PLC0415
    from lorafw.doctor.subject import Subject  # noqa: PLC0415

    home_facts = None if home is None else read_home(home)
    account_facts = None
    environment = None
    if connection is not None:
        account_facts, stored_file = _read_account(document, connection, sample_size)
        update_file = update_file or stored_file
        environment = read_environment(os.environ, connection.lab_url)
    return Subject(
        definition=document,
        update_file=update_file,
        public_keys=public_keys,
        account=account_facts,
        home=home_facts,
        environment=environment,
        install_s=install_s,
        has_waves=has_waves,
    )


def _read_definition(file: BinaryIO | None) -> DefinitionDocument | None:
    """Return the definition in a file, or None if no file is given."""
    from lorafw.doctor.subject import DefinitionDocument  # noqa: PLC0415

    if file is None:
        return None
    try:
        members = json.loads(read_at_most(file, _MAX_DEFINITION_BYTES))
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"{file.name} is not JSON: {error}") from error
    if not isinstance(members, dict):
        raise click.ClickException(f"{file.name} is not a JSON object: give the file for --cli-input-json")
    return DefinitionDocument(members)


def _read_update(path: Path | None) -> UpdateFile | None:
    """Return the update file at a path, or None if no path is given. A file over 2 GB is not read."""
    from lorafw.doctor.subject import UpdateFile  # noqa: PLC0415
    from lorafw.firmware.image import MAX_IMAGE_BYTES, check_is_regular_file  # noqa: PLC0415

    if path is None:
        return None
    check_is_regular_file(path)
    size = path.stat().st_size
    content = None
    if size <= MAX_IMAGE_BYTES:
        content = path.read_bytes()
    return UpdateFile(str(path), size, content)


def _read_keys(paths: Sequence[Path]) -> tuple[PublicKey, ...]:
    """Return the public keys in the files."""
    from lorafw.firmware.signing import PublicKey  # noqa: PLC0415

    return tuple(PublicKey.load(path) for path in paths)


def _connect(*, lab: bool, ready_file: Path | None, account: str | None, region: str | None) -> Connection | None:
    """Connect to the lab or the account to look at. None if only files are checked."""
    from lorafw.localaws.connection import connect_account, connect_lab  # noqa: PLC0415

    if account is not None:
        return connect_account(account, region)
    if lab or ready_file is not None:
        return connect_lab(os.environ, ready_file, region)
    return None


def _read_account(
    document: DefinitionDocument | None, connection: Connection, sample_size: int
) -> tuple[AccountFacts, UpdateFile | None]:
    """Return the facts about the account, and the object that the definition names."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    from lorafw.doctor.account import AccountReader  # noqa: PLC0415

    reader = AccountReader(
        connection.clients,
        account=connection.target.account,
        region=connection.target.region,
        now_ms=time.time_ns() // 1_000_000,
        has_own_clock=connection.target.kind == "lab",
        sample_size=sample_size,
        progress=account_progress(),
    )
    try:
        return reader.read(document)
    except (BotoCoreError, ClientError) as error:
        raise click.ClickException(f"the account {connection.target.account} cannot be read: {error}") from error


def _print(findings: Sequence[Finding], rules: Sequence[Rule], *, as_json: bool) -> None:
    """Print the findings, and how many rules were checked."""
    from lorafw.doctor.findings import to_json  # noqa: PLC0415

    document = to_json(findings, rules)
    if as_json:
        echo(json.dumps(document, indent=4))
        return
    for rule, group in groupby(findings, attrgetter("rule")):
        _print_rule(rule, [finding.evidence for finding in group])
    counts = document["counts"]
    echo(
        f"{len(rules)} rules: {counts['error']} errors, {counts['warning']} warnings, {counts['note']} notes. "
        "Rules without the facts that they need were skipped."
    )


def _print_rule(rule: Rule, evidence: Sequence[str]) -> None:
    """Print a rule that is violated, with what violates it. Of many violations the first ones are printed."""
    echo(f"{rule.id} {rule.severity.value}: {rule.title}")
    for sentence in evidence[:_MAX_EVIDENCE]:
        echo(f"    {sentence}")
    left_out = len(evidence) - _MAX_EVIDENCE
    if left_out > 0:
        echo(f"    And {left_out} more. --json lists all.")
    echo(f"    Remedy: {rule.remedy}")
    echo(f"    Source: {rule.source}.")
