"""`lorafw demo`: run AWS's documented update from the key to COMPLETED, in seconds."""

from __future__ import annotations

import click

from lorafw import example
from lorafw.cli.console import echo_highlighted


@click.command()
@click.option(
    "--fail",
    type=click.Choice(["wrong-key", "tampered"]),
    help="Show an update that fails. wrong-key: it is signed with a key that the gateway does not have. "
    "tampered: it was changed after it was signed.",
)
@click.option(
    "--package",
    default=example.NEXT_PACKAGE,
    show_default=True,
    metavar="V",
    help="PackageVersion of the gateway after the update.",
)
@click.pass_context
def demo(context: click.Context, fail: str | None, package: str) -> None:
    """Run AWS's documented update: show each command, its real output and the gateway's log.

    Everything runs on this machine: the AWS API and CUPS on loopback, one virtual gateway, and the AWS CLI if it is
    installed (otherwise boto3). The task ends with COMPLETED. With --fail it ends with FAILED, and the command
    explains why.
    """
    from lorafw.localaws.walkthrough import DocumentedWalkthrough  # noqa: PLC0415 -- keeps --help fast

    with DocumentedWalkthrough(echo_highlighted, package=package, fail=fail) as walkthrough:
        status = walkthrough.run()
    expected_status = "FAILED" if fail else "COMPLETED"
    if status != expected_status:
        context.exit(1)
