"""Open moto in this process behind the guard. A testbed opens this first and closes it last."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Final

from lorafw.isolation.answers import Intercept
from lorafw.isolation.environment import NOWHERE
from lorafw.isolation.guard import guarding
from lorafw.isolation.reach import make_reach
from lorafw.isolation.settings import endpoint_variables, endpoints_in_files, put_aside, without_moto_switches

_CONFIGURED_BEFORE: Final = tuple(endpoint_variables(os.environ))
"""Addresses that variables named when the testbed was imported: a client that was made then may have one of them."""


@contextlib.contextmanager
def isolated(region: str, allow_hosts: Sequence[str] = (), *, intercept: Intercept | None = None) -> Iterator[None]:
    """Connect the clients and sessions of this process to an empty moto only, until the end of the block.

    Changes variables of this process and classes of botocore, and changes them back. Servers of moto's test modes are
    not used, whatever TEST_SERVER_MODE and TEST_PROXY_MODE say.

    Args:
        region: The Region of clients that are made without one.
        allow_hosts: Hosts that may be reached beside this machine.
        intercept: Called for each request that moto can answer. None: moto answers all of them.

    Raises:
        LabError: An allowed host is not written as one, or botocore or moto has another shape.
    """
    configured = [*_CONFIGURED_BEFORE, *endpoint_variables(os.environ), *endpoints_in_files(), NOWHERE]
    reach = make_reach(allow_hosts, configured)
    with contextlib.ExitStack() as stack:
        stack.enter_context(put_aside(region))
        stack.enter_context(without_moto_switches())

        from moto.core.models import MockAWS  # noqa: PLC0415 -- moto takes half a second, and reads its switches here

        stack.enter_context(MockAWS())
        stack.enter_context(guarding(reach, intercept))
        yield
