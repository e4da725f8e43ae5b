"""Keep the requests of this process in: with moto behind the guard, as a testbed does, or with the guard alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NoReturn

from lorafw.errors import LabError
from lorafw.isolation.answers import Intercept
from lorafw.isolation.deliveries import DeliveryRules, deliveries_kept_in
from lorafw.isolation.environment import NOWHERE, aws_variables, changed
from lorafw.isolation.guard import GuardRules, guarding
from lorafw.isolation.moto_accounts import moto_accounts
from lorafw.isolation.reach import Reach, make_reach
from lorafw.isolation.settings import (
    endpoint_variables,
    endpoints_in_files,
    put_aside,
    replaced,
    without_moto_switches,
)
from lorafw.tasks.model import AccountRegion

_CONFIGURED_BEFORE: Final = tuple(endpoint_variables(os.environ))
"""Addresses that variables named when the testbed was imported: a client that was made then may have one of them."""


@dataclass(slots=True)
class _EnclosingBlocks:
    """What the blocks of this module that are open in this process have changed."""

    configured: tuple[str, ...] = ()
    """Addresses for AWS in the user's settings, which are put aside."""
    servers: frozenset[str] = frozenset()
    """Addresses that the blocks have written into AWS_ENDPOINT_URL. They are not settings of the user."""


_enclosing: Final = _EnclosingBlocks()


@contextlib.contextmanager
def isolated(
    owner: AccountRegion,
    allow_hosts: Sequence[str] = (),
    *,
    intercept: Intercept | None = None,
    moto_config: Mapping[str, Any] | None = None,
) -> Iterator[None]:
    """Let moto answer all AWS requests of this process, and let no other request out, until the end of the block.

    moto is the library that emulates AWS. It begins without any resource. Changes variables of this process and classes
    of botocore, and changes them back. Servers of moto's test modes are not used, whatever TEST_SERVER_MODE and
    TEST_PROXY_MODE say.

    Args:
        owner: The account of callers with unknown keys, and the Region of clients that are made without one.
        allow_hosts: Hosts that may be reached beside this machine.
        intercept: Called for each request that moto can answer. None means that moto answers all of them.
        moto_config: moto's configuration, or None for its default.

    Raises:
        LabError: An allowed host is not written as one, or botocore or moto has another shape.
    """
    with contextlib.ExitStack() as stack:
        configured = stack.enter_context(_settings_put_aside(owner.region))
        reach = make_reach(allow_hosts, [*configured, NOWHERE])
        stack.enter_context(without_moto_switches())
        stack.enter_context(deliveries_kept_in(_delivery_rules(reach, moto_config or {})))
        stack.enter_context(_moto_answering(moto_config))
        stack.enter_context(moto_accounts(owner.account))
        stack.enter_context(guarding(GuardRules(reach, intercept)))
        yield


@contextlib.contextmanager
def _moto_answering(moto_config: Mapping[str, Any] | None) -> Iterator[None]:
    """Let moto answer until the end of the block. A start that Ctrl-C interrupts is undone."""
    from moto.core.models import MockAWS  # noqa: PLC0415 -- moto takes half a second

    mock = MockAWS(config=moto_config)
    count_before = MockAWS._nested_count
    try:
        mock.start()
    except BaseException:
        was_counted = MockAWS._nested_count > count_before
        if was_counted:
            mock.stop()
        raise
    try:
        yield
    finally:
        mock.stop()


def _delivery_rules(reach: Reach, moto_config: Mapping[str, Any]) -> DeliveryRules:
    """Return what moto may send by itself in a testbed. Docker must have been asked for by name."""
    remedy = "allow its host with Testbed(allow_hosts=[...]) if that is meant"
    return DeliveryRules(
        reach,
        may_use_docker=any(moto_config.get(service, {}).get("use_docker") for service in ("lambda", "batch")),
        refuse_delivery=partial(_raise_for_delivery, occasion="a Testbed is open", remedy=remedy),
        refuse_docker=_docker_refusal,
    )


def _raise_for_delivery(_: Any, reason: str, *, occasion: str, remedy: str) -> NoReturn:
    """Raise the error for a delivery of moto to another machine."""
    raise LabError(f"{reason}, while {occasion}, and was kept back; {remedy}")


def _docker_refusal(reason: str) -> LabError:
    """Return the error for a container that moto would start."""
    return LabError(
        f"{reason}, while a Testbed is open, and was stopped; give the Testbed "
        "moto_config={'lambda': {'use_docker': False}, 'batch': {'use_docker': False}} for answers without Docker, or "
        "True if Docker is meant"
    )


@contextlib.contextmanager
def kept_in(
    region: str,
    allow_hosts: Sequence[str] = (),
    *,
    occasion: str,
    remedy: str,
    server_url: str | None = None,
) -> Iterator[None]:
    """Let the boto3 clients of this process reach this machine only, until the end of the block.

    Nothing answers for AWS, unless a testbed is opened inside the block or ``server_url`` names a server. Clients that
    moto's ``mock_aws`` answers work as before. Changes variables of this process and classes of botocore, and changes
    them back.

    Args:
        region: The Region of clients that are made without one.
        allow_hosts: Hosts that may be reached beside this machine.
        occasion: When requests are kept in, as a clause for messages.
        remedy: What a user can do about a refused request.
        server_url: Address on this machine that clients without an address of their own use for AWS. None means that
            they have none.

    Raises:
        LabError: An allowed host is not written as one, or botocore has another shape.
    """
    import boto3  # noqa: PLC0415 -- boto3 takes a tenth of a second

    with contextlib.ExitStack() as stack:
        stack.enter_context(_settings_put_aside(region))
        # What the user has configured for AWS needs no testbed: an address of this machine may be reached.
        reach = make_reach(allow_hosts, [NOWHERE])
        rules = GuardRules(reach, has_testbed=False, occasion=occasion, remedy=remedy)
        stack.enter_context(guarding(rules))
        refuse_delivery = partial(_raise_for_delivery, occasion=occasion, remedy=remedy)
        deliveries = DeliveryRules(
            reach, may_use_docker=True, refuse_delivery=refuse_delivery, refuse_docker=_docker_refusal
        )
        stack.enter_context(deliveries_kept_in(deliveries))
        # A session that boto3 keeps for all clients would know the settings of this block afterwards.
        stack.enter_context(replaced(boto3, "DEFAULT_SESSION", None))
        if server_url is not None:
            servers = _enclosing.servers | {server_url}
            stack.enter_context(replaced(_enclosing, "servers", servers))
            stack.enter_context(changed(aws_variables(server_url, region)))
        yield


@contextlib.contextmanager
def _settings_put_aside(region: str) -> Iterator[tuple[str, ...]]:
    """Put the user's settings aside until the end of the block, and yield the addresses that they name for AWS."""
    variables = endpoint_variables(os.environ)
    named = [*_CONFIGURED_BEFORE, *_enclosing.configured, *variables, *endpoints_in_files()]
    configured = tuple(url for url in named if url not in _enclosing.servers)
    with replaced(_enclosing, "configured", configured), put_aside(region):
        yield configured
