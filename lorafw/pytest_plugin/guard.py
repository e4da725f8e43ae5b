"""The guard outside of testbeds: around a whole session, and around a test that uses `lorafw serve`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Final

import pytest

from lorafw.example import REGION
from lorafw.isolation.opening import kept_in

_REMEDY: Final = (
    "use the fixture lorafw_testbed or lorafw_server, or allow the host with lorafw_allow_hosts in the configuration "
    "of pytest"
)


def allowed_hosts(config: pytest.Config) -> list[str]:
    """Return the hosts that the configuration allows beside this machine."""
    return list(config.getini("lorafw_allow_hosts"))


def session_guard(config: pytest.Config) -> AbstractContextManager[None]:
    """Return a context in which botocore reaches this machine only. moto's ``mock_aws`` works in it."""
    return kept_in(REGION, allowed_hosts(config), occasion="lorafw_guard is on", remedy=_REMEDY)


def server_guard(config: pytest.Config, region: str, url: str) -> AbstractContextManager[None]:
    """Return a context in which botocore reaches this machine only, and finds AWS at ``url``."""
    hosts = allowed_hosts(config)
    return kept_in(region, hosts, occasion="lorafw_server is in use", remedy=_REMEDY, server_url=url)
