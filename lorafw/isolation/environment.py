"""The AWS variables of a process: those that lead to the lab, and the user's own, which are to lead nowhere near it.

A profile, a configuration file or an endpoint of somebody's daily work must neither break the lab nor be reached by it.
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
"""An address of this machine at which nobody answers."""

_LOOPBACK: Final = ("127.0.0.1", "localhost")

_PROFILES: Final = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")

_SWITCHES_THAT_WIN: Final = (
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
)
"""Variables that lead past AWS_ENDPOINT_URL if their value is true."""

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

_PREFIXES_THAT_WIN: Final = ("AWS_ENDPOINT_URL_", "AWS_BEARER_TOKEN_")
_ISOLATION_SETTINGS: Final = {
    "AWS_PAGER": "",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def aws_variables(url: str, region: str = REGION) -> dict[str, str]:
    """What boto3 and the AWS CLI need to find the API at ``url`` and no other."""
    return {"AWS_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": region, **DUMMY_CREDENTIALS, **_no_proxy_variables()}


def unreachable_aws_variables() -> dict[str, str]:
    """Where no lab is open: boto3 and the AWS CLI find no AWS at all, and say so at the first try."""
    return {**aws_variables(NOWHERE), "AWS_MAX_ATTEMPTS": "1"}


def _no_proxy_variables() -> dict[str, str]:
    """Calls to this machine go past a proxy, beside what goes past it already; nothing where there is none."""
    if not urllib.request.getproxies():
        return {}
    # Where both are set, most programs heed the one in small letters.
    names = ("NO_PROXY", "no_proxy") if "no_proxy" in os.environ else ("NO_PROXY",)
    return {name: _with_loopback(os.environ.get(name, "")) for name in names}


def _with_loopback(hosts: str) -> str:
    if hosts.strip() == "*":
        return hosts
    known = filter(None, map(str.strip, hosts.split(",")))
    return ",".join(dict.fromkeys((*known, *_LOOPBACK)))


def without_aws_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The same without anybody's AWS settings, be they variables or files."""
    return {name: value for name, value in environment.items() if not name.startswith("AWS_")} | _ISOLATION_SETTINGS


@contextmanager
def replaced_environ(environment: Mapping[str, str]) -> Iterator[None]:
    """Let this be the environment of this process, until the end."""
    before = dict(os.environ)
    _replace(environment)
    try:
        yield
    finally:
        _replace(before)


def aws_profile_removed() -> AbstractContextManager[None]:
    """No profile is chosen in this process, until the end: boto3 makes no client where the chosen one is not there."""
    return changed(dict.fromkeys(_PROFILES))


def default_region(region: str) -> AbstractContextManager[None]:
    """Clients that are made without a Region have this one, until the end."""
    return changed({"AWS_DEFAULT_REGION": region})


def profile_variables_set() -> list[str]:
    """Names of the variables that choose a profile here."""
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
    if name in _SWITCHES_THAT_WIN:
        return value.lower() == "true"
    if name.startswith(_PREFIXES_THAT_WIN):
        return value != ""
    return name in _NAMES_THAT_WIN


@contextmanager
def changed(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Let these variables alone have other values, or not be set if the value is None, until the end."""
    before = {name: os.environ.get(name) for name in changes}
    _put(changes)
    try:
        yield
    finally:
        _put(before)


def _put(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _replace(environment: Mapping[str, str]) -> None:
    _put({**dict.fromkeys(os.environ), **environment})
