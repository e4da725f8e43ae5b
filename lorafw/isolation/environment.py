"""The AWS variables of a process: those that point to the lab, and the user's own, which must not affect the lab.

The user may have a profile, a configuration file or an endpoint for daily work. These must not break the lab, and the
lab must not send requests to them.
"""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from lorafw.example import REGION
from lorafw.isolation.sessions import KEY_ID, SECRET

DUMMY_CREDENTIALS: Final = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET}
NOWHERE: Final = "http://127.0.0.1:9"
"""An address of this machine on which nothing listens."""

LOOPBACK_HOSTS: Final = ("127.0.0.1", "localhost", "::1", "[::1]")
"""What to write into NO_PROXY. Some programs expect the brackets around an address of IPv6, others do not."""

_PROFILES: Final = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")

_SWITCHES_THAT_WIN: Final = (
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
)
"""Variables that make clients ignore AWS_ENDPOINT_URL if their value is true."""

_NAMES_THAT_WIN: Final = (
    *_PROFILES,
    "AWS_REGION",  # The AWS CLI 2 reads it before AWS_DEFAULT_REGION.
    "AWS_SESSION_TOKEN",  # This one and the next belong to other keys than the dummy ones.
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_CA_BUNDLE",
    "AWS_DATA_PATH",  # Service models, and with them the addresses, come from there.
    "AWS_CSM_ENABLED",  # Each call is also reported to AWS_CSM_HOST.
    "AWS_AUTH_SCHEME_PREFERENCE",
    "AWS_CLI_AUTO_PROMPT",
    # botocore makes no client if one of these has a value that it does not know.
    "AWS_ACCOUNT_ID_ENDPOINT_MODE",
    "AWS_DEFAULTS_MODE",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "AWS_MAX_ATTEMPTS",
    "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
    "AWS_METADATA_SERVICE_TIMEOUT",
    "AWS_REQUEST_CHECKSUM_CALCULATION",
    "AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES",
    "AWS_RESPONSE_CHECKSUM_VALIDATION",
    "AWS_RETRY_MODE",
    "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT",
    "AWS_STS_REGIONAL_ENDPOINTS",
)

_PREFIXES_OF_SETTINGS: Final = ("AWS_", "BOTO_", "BOTOCORE_")
"""The first letters of all variables that boto3 and the AWS CLI read. Those of botocore name plugins."""
_PREFIXES_THAT_WIN: Final = ("AWS_ENDPOINT_URL_", "AWS_BEARER_TOKEN_")
_ISOLATION_SETTINGS: Final = {
    "AWS_PAGER": "",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def aws_variables(url: str, region: str = REGION) -> dict[str, str]:
    """Return the variables with which boto3 and the AWS CLI send requests to the API at ``url`` only."""
    return {"AWS_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": region, **DUMMY_CREDENTIALS, **_no_proxy_variables()}


def unreachable_aws_variables() -> dict[str, str]:
    """Return variables with which boto3 and the AWS CLI find no AWS at all, and fail at the first attempt."""
    return {**aws_variables(NOWHERE), "AWS_MAX_ATTEMPTS": "1"}


def _no_proxy_variables() -> dict[str, str]:
    """Return the variables that exclude this machine from the proxy. The result is empty if no proxy is set."""
    if not urllib.request.getproxies():
        return {}
    # If both are set, most programs read the lower-case one.
    names = ("NO_PROXY", "no_proxy") if "no_proxy" in os.environ else ("NO_PROXY",)
    return {name: _with_loopback(os.environ.get(name, "")) for name in names}


def _with_loopback(hosts: str) -> str:
    """Return a comma-separated list of hosts with the loopback hosts added. The list ``*`` stays as it is."""
    if hosts.strip() == "*":
        return hosts
    stripped_hosts = [host.strip() for host in hosts.split(",")]
    direct_hosts = [host for host in stripped_hosts if host]
    return ",".join(dict.fromkeys((*direct_hosts, *LOOPBACK_HOSTS)))


def without_aws_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a copy of an environment without the user's AWS variables and configuration files."""
    kept = {name: value for name, value in environment.items() if not name.startswith(_PREFIXES_OF_SETTINGS)}
    return kept | _ISOLATION_SETTINGS


@contextmanager
def replaced_environ(environment: Mapping[str, str]) -> Iterator[None]:
    """Replace the environment of this process, and restore it at the end of the block."""
    before = dict(os.environ)
    try:
        _replace(environment)
        yield
    finally:
        _replace(before)


def aws_profile_removed() -> AbstractContextManager[None]:
    """Unset the variables that choose a profile, until the end of the block.

    boto3 cannot make a client if the chosen profile does not exist.
    """
    return changed(dict.fromkeys(_PROFILES))


def default_region(region: str) -> AbstractContextManager[None]:
    """Set the Region of clients that are made without one, until the end of the block."""
    return changed({"AWS_DEFAULT_REGION": region})


def profile_variables_set() -> list[str]:
    """Return the names of the variables that are set in this process and choose a profile."""
    return [name for name in _PROFILES if name in os.environ]


def aws_variables_that_win(environ: Mapping[str, str]) -> list[str]:
    """Return the names of the variables that would win over a pasted AWS_ENDPOINT_URL, or would break it.

    These are the ones to unset in a terminal before boto3 and the AWS CLI (version 1 or 2) are led to lorafw with
    the variables of ``aws_variables``. A switch that is not "true" has no effect, so it is not listed. Neither is an
    empty AWS_ENDPOINT_URL_..., which botocore ignores.

    Args:
        environ: The environment to look at, such as ``os.environ``. It is not changed.

    Returns:
        The names, sorted. The list is empty if nothing stands in the way.
    """
    return sorted(name for name, value in environ.items() if _wins(name, value))


def _wins(name: str, value: str) -> bool:
    """Return True if a variable would win over AWS_ENDPOINT_URL or break clients that use it."""
    if name in _SWITCHES_THAT_WIN:
        return value.lower() == "true"
    if name.startswith(_PREFIXES_THAT_WIN):
        return value != ""
    return name in _NAMES_THAT_WIN


@contextmanager
def changed(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Set some variables of this process, and restore them at the end of the block.

    Args:
        changes: New values by name. A variable whose value is None is unset.
    """
    before = {name: os.environ.get(name) for name in changes}
    try:
        _put(changes)
        yield
    finally:
        _put(before)


def _put(variables: Mapping[str, str | None]) -> None:
    """Set variables of this process. A variable whose value is None is unset."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _replace(environment: Mapping[str, str]) -> None:
    """Set the variables of ``environment`` in this process and unset all others."""
    _put({**dict.fromkeys(os.environ), **environment})
