"""The guard outside of testbeds: around a whole session, and around a test that uses `lorafw serve`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
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


@contextmanager
def server_guard(config: pytest.Config, region: str, url: str) -> Iterator[None]:
    """Let botocore reach this machine only, and find AWS at ``url``, until the end of the block.

    A testbed that was started inside the block and not stopped is stopped: it would be without a guard afterwards.
    """
    from lorafw.testbed import Testbed  # noqa: PLC0415 -- loads the servers and the cryptography

    outer_testbed = Testbed.current()
    hosts = allowed_hosts(config)
    with kept_in(region, hosts, occasion="lorafw_server is in use", remedy=_REMEDY, server_url=url):
        try:
            yield
        finally:
            left_open = Testbed.current()
            if left_open is not None and left_open is not outer_testbed:
                left_open.stop()
