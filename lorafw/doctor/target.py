"""Find the lab or the real account that a command looks at.

A real account is used only if its number was given and STS confirms that the credentials belong to it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lorafw.doctor.subject import EnvironmentFacts
from lorafw.errors import LabError
from lorafw.example import ACCOUNT
from lorafw.isolation.sessions import make_client
from lorafw.localaws.aws_cli import find_aws_cli
from lorafw.localaws.lab_endpoint import LabEndpoint, check_is_lab, find_endpoint

_VERSION_LIMIT_S: Final = 10
_ENDPOINT_VARIABLES: Final = "AWS_ENDPOINT_URL"


@dataclass(frozen=True, slots=True)
class Target:
    """An AWS account in one Region: emulated by a lab, or real."""

    make_client: Callable[[str], Any]
    """Returns a boto3 client of a service."""
    account: str
    """The account number, 12 digits."""
    region: str
    lab_url: str | None = None
    """The API of the lab. None for a real account."""


def find_lab(environ: Mapping[str, str], ready_file: Path | None = None, region: str | None = None) -> Target:
    """Return the lab that the environment or a ready file names, after asking whether it is one.

    Args:
        environ: The environment variables.
        ready_file: A file that ``lorafw serve --ready-file`` wrote. None: AWS_ENDPOINT_URL counts.
        region: The Region. None: the one that the environment or the file names.

    Raises:
        LabError: No lab is named, or none answers.
    """
    found = find_endpoint(environ, ready_file)
    endpoint = LabEndpoint(found.url, region or found.region)
    check_is_lab(endpoint)

    def make_lab_client(service: str) -> Any:
        return make_client(service, region=endpoint.region, endpoint_url=endpoint.url)

    return Target(make_lab_client, ACCOUNT, endpoint.region, endpoint.url)


def find_account(account: str, environ: Mapping[str, str], region: str | None = None) -> Target:
    """Return a real account, after STS has confirmed that the user's credentials belong to it.

    Args:
        account: The account number that the user gave.
        environ: The environment variables.
        region: The Region. None: the one that the user's AWS settings name.

    Raises:
        LabError: A variable leads to another address, no Region or no credentials are set, or the credentials belong
            to another account.
    """
    import boto3  # noqa: PLC0415 -- importing boto3 is slow
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    _refuse_endpoints(environ)
    # The user's configuration file may name an endpoint as well.
    config = Config(ignore_configured_endpoint_urls=True)  # type: ignore[call-arg]  # unknown to the stubs
    try:
        session = boto3.Session(region_name=region)
        if session.region_name is None:
            raise LabError("no Region is set: give --region, or set AWS_DEFAULT_REGION")
        actual = session.client("sts", config=config).get_caller_identity()["Account"]
    except (BotoCoreError, ClientError) as error:
        raise LabError(f"the account {account} cannot be reached: {error}") from error
    if actual != account:
        raise LabError(f"the credentials belong to the account {actual}, not to {account}: choose another profile")

    def make_account_client(service: str) -> Any:
        return session.client(service, config=config)  # type: ignore[call-overload]  # any service

    return Target(make_account_client, account, session.region_name)


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


def _refuse_endpoints(environ: Mapping[str, str]) -> None:
    """Raise LabError if a variable leads calls for a real account to another address."""
    for name in sorted(environ):
        if name.startswith(_ENDPOINT_VARIABLES) and environ[name]:
            raise LabError(f"{name} is {environ[name]!r}, and a real account was asked for: unset the variable")


def _cli_version() -> tuple[int, ...] | None:
    """Return the version of the AWS CLI. None if it is not installed or does not say its version."""
    program = find_aws_cli()
    if program is None:
        return None
    environment = {**os.environ, "AWS_PAGER": ""}
    try:
        done = subprocess.run(  # noqa: S603 -- the AWS CLI that the user has installed
            [program, "--version"],
            capture_output=True,
            text=True,
            timeout=_VERSION_LIMIT_S,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_cli_version(done.stdout)


def parse_cli_version(text: str) -> tuple[int, ...] | None:
    """Return the version in the output of ``aws --version``, such as ``aws-cli/2.13.0 Python/3.11``, or None."""
    name, _, version = text.partition(" ")[0].partition("/")
    parts = version.split(".")
    if name != "aws-cli" or not all(part.isdecimal() for part in parts):
        return None
    return tuple(int(part) for part in parts)
