"""Read the settings of the terminal in which the AWS CLI will run. Nothing is changed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from typing import Final

from lorafw.doctor.subject import EnvironmentFacts
from lorafw.localaws.aws_cli import find_aws_cli

_VERSION_LIMIT_S: Final = 10


def read_environment(environ: Mapping[str, str], lab_url: str | None) -> EnvironmentFacts:
    """Return the settings of this terminal. Runs ``aws --version`` if a lab is meant and the AWS CLI is installed.

    Args:
        environ: The environment variables.
        lab_url: The API of the lab. None if a real account is meant.
    """
    cli_version = None
    if lab_url is not None:
        cli_version = _cli_version()
    return EnvironmentFacts(variables=dict(environ), cli_version=cli_version, lab_url=lab_url)


def _cli_version() -> tuple[int, ...] | None:
    """Return the version of the AWS CLI. None if it is not installed or does not say its version."""
    program = find_aws_cli()
    if program is None:
        return None
    environment = {**os.environ, "AWS_PAGER": ""}
    try:
        completed = subprocess.run(  # noqa: S603 -- the AWS CLI that the user has installed
            [program, "--version"],
            capture_output=True,
            text=True,
            timeout=_VERSION_LIMIT_S,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_cli_version(completed.stdout)


def parse_cli_version(text: str) -> tuple[int, ...] | None:
    """Return the version in the output of ``aws --version``, such as ``aws-cli/2.13.0 Python/3.11``, or None."""
    name, _, version = text.partition(" ")[0].partition("/")
    parts = version.split(".")
    if name != "aws-cli" or not all(part.isdecimal() for part in parts):
        return None
    return tuple(int(part) for part in parts)
