"""Run the AWS CLI against the lab only.

Versions before 1.29 and 2.13 ignore AWS_ENDPOINT_URL, and each version has commands that ignore ``--endpoint-url``.
Therefore the command gets the option, and its environment sends everything that is not for this machine to a proxy
that does not exist. A request that would leave the machine fails before it leaves. The AWS CLI 1 also fetches a
parameter that is a URL, and asks no proxy for it. A configuration file of lorafw's own turns that off. An alias of the
user's, which could do anything, is refused.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Final

from lorafw.errors import LabError
from lorafw.isolation.environment import DUMMY_CREDENTIALS, LOOPBACK_HOSTS, NOWHERE, without_aws_settings
from lorafw.localaws.aws_aliases import check_no_alias
from lorafw.localaws.lab_endpoint import LabEndpoint

AWS_CONFIG_FILE: Final = Path(__file__).with_name("aws_cli.ini")
"""The configuration that the AWS CLI reads in the lab, in place of the user's own."""

_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY")
_OPTIONS_WITH_VALUE: Final = (
    "--endpoint-url",
    "--profile",
    "--region",
    "--output",
    "--query",
    "--color",
    "--ca-bundle",
    "--cli-read-timeout",
    "--cli-connect-timeout",
    "--cli-binary-format",
    "--cli-error-format",
)
_REFUSED_COMMANDS: Final = {
    "configure": "it would write the AWS CLI's configuration, and the lab needs none",
    "login": "it signs in to a real account, and the lab needs none",
    "logout": "it signs out of a real account",
    "sso": "it signs in to a real account, and the lab needs none",
}


def find_aws_cli() -> str | None:
    """Return the path of the AWS CLI beside this Python, otherwise the one on PATH, otherwise None."""
    beside = Path(sys.executable).with_name("aws")
    return str(beside) if beside.exists() else shutil.which("aws")


def require_aws_cli() -> str:
    """Return the path of the AWS CLI.

    Raises:
        LabError: The AWS CLI is not installed.
    """
    path = find_aws_cli()
    if path is None:
        raise LabError("the AWS CLI is not installed: pip install awscli, or pip install 'lorafw[lab]'")
    return path


def aws_command(aws: str, endpoint: LabEndpoint, arguments: Sequence[str]) -> list[str]:
    """Return the command line that runs the AWS CLI against a lab.

    Args:
        aws: The path of the AWS CLI.
        endpoint: The lab.
        arguments: What the user typed after ``aws``. It is passed on unchanged.

    Raises:
        LabError: The arguments name another endpoint or a profile, a command that signs in or configures, or an alias.
    """
    _check_options(endpoint, arguments)
    words = list(_command_words(arguments))
    command = "".join(words[:1])
    if command in _REFUSED_COMMANDS:
        raise LabError(
            f"'lorafw aws {command}' is refused: {_REFUSED_COMMANDS[command]}. Run 'aws {command}' if you mean AWS"
        )
    check_no_alias(words)
    return [aws, "--endpoint-url", endpoint.url, *arguments]


def aws_environment(environ: Mapping[str, str], endpoint: LabEndpoint) -> dict[str, str]:
    """Return the environment in which the AWS CLI reaches the lab only.

    It has none of the user's AWS settings. For all other hosts it names a proxy on which nothing listens.
    """
    proxies = {spelling: NOWHERE for name in _PROXIES for spelling in (name, name.lower())}
    direct = dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(LOOPBACK_HOSTS))
    lab = {
        "AWS_ENDPOINT_URL": endpoint.url,
        "AWS_DEFAULT_REGION": endpoint.region,
        "AWS_REGION": endpoint.region,  # The AWS CLI 2 reads this one first.
        "AWS_CONFIG_FILE": str(AWS_CONFIG_FILE),
        **DUMMY_CREDENTIALS,
    }
    return without_aws_settings(environ) | proxies | direct | lab


def _check_options(endpoint: LabEndpoint, arguments: Sequence[str]) -> None:
    """Raise LabError if the arguments name a profile or an endpoint other than the lab's."""
    for name, value in _options(arguments):
        if name == "--profile":
            raise LabError(f"--profile {value} is refused: the lab has no profiles. Run 'aws' if you mean an account")
        if name == "--endpoint-url" and value.rstrip("/") != endpoint.url:
            raise LabError(
                f"--endpoint-url {value} is refused: the lab is at {endpoint.url}, and the option is not needed"
            )


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the endpoint and profile options with their values. The AWS CLI also accepts shortened names."""
    for argument, next_argument in zip_longest(arguments, arguments[1:], fillvalue=""):
        option, equals, value = argument.partition("=")
        for name in ("--endpoint-url", "--profile"):
            if len(option) > len("--") and name.startswith(option):
                yield name, value if equals else next_argument


def _command_words(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the words of the command, such as ``iotwireless`` and ``list-wireless-gateways``, without global options.

    Values of the command's own options may follow. The AWS CLI also accepts shortened names of options.
    """
    remaining = iter(arguments)
    for argument in remaining:
        if not argument.startswith("-"):
            yield argument
        elif len(argument) > len("--") and any(name.startswith(argument) for name in _OPTIONS_WITH_VALUE):
            next(remaining, None)
