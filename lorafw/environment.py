"""The AWS variables of a process: those that lead to the lab, and the user's own, which are to lead nowhere near it.

A profile, a configuration file or an endpoint of somebody's daily work must neither break the lab nor be reached by it.
"""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from lorafw.example import REGION

DUMMY_CREDENTIALS: Final = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}

_PROFILES: Final = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
_ALONE: Final = {
    "AWS_PAGER": "",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def leading_to(url: str, region: str = REGION) -> dict[str, str]:
    """What boto3 and the AWS CLI need to find the API at ``url`` and no other."""
    past_proxies = {"NO_PROXY": "127.0.0.1,localhost"} if urllib.request.getproxies() else {}
    return {"AWS_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": region, **DUMMY_CREDENTIALS, **past_proxies}


def alone(environment: Mapping[str, str]) -> dict[str, str]:
    """The same without anybody's AWS settings, be they variables or files."""
    return {name: value for name, value in environment.items() if not name.startswith("AWS_")} | _ALONE


@contextmanager
def set_to(environment: Mapping[str, str]) -> Iterator[None]:
    """Let this be the environment of this process, until the end."""
    before = dict(os.environ)
    _replace(environment)
    try:
        yield
    finally:
        _replace(before)


@contextmanager
def without_profile() -> Iterator[None]:
    """No profile is chosen in this process, until the end: boto3 makes no client where the chosen one is not there."""
    before = {name: os.environ.pop(name) for name in _PROFILES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)


def profiles_chosen() -> list[str]:
    """Names of the variables that choose a profile here."""
    return [name for name in _PROFILES if name in os.environ]


def _replace(environment: Mapping[str, str]) -> None:
    wanted = dict(environment)
    for name in set(os.environ) - set(wanted):
        del os.environ[name]
    os.environ.update(wanted)
