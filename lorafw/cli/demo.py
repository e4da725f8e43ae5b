"""`lorafw demo`: the documented procedure from key to COMPLETED, in seconds."""

from __future__ import annotations

import click

from lorafw import example
from lorafw.cli.console import echo_highlighted


@click.command()
@click.option(
    "--fail",
    type=click.Choice(["wrong-key", "tampered"]),
    help="wrong-key: signed with a key that the gateway has not; tampered: changed after it was signed.",
)
@click.option(
    "--package",
    default=example.NEXT_PACKAGE,
    show_default=True,
    metavar="V",
    help="PackageVersion that the update brings.",
)
@click.pass_context
def demo(context: click.Context, fail: str | None, package: str) -> None:
    """Run AWS's documented update: each command, its real answer, the gateway's log.

    Everything is on this machine: the AWS API and CUPS on loopback, one virtual gateway, the AWS CLI if it is
    installed (otherwise boto3). It ends with COMPLETED; with --fail, it ends with FAILED and says why.
    """
    from lorafw.localaws.walkthrough import DocumentedWalkthrough  # noqa: PLC0415

    with DocumentedWalkthrough(echo_highlighted, package=package, fail=fail) as procedure:
        status = procedure.run()
    expected = "FAILED" if fail else "COMPLETED"
    if status != expected:
        context.exit(1)
