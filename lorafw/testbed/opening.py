"""The parts of a testbed that exist while it is open: moto without a network, and the update service behind its API."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lorafw.clock import ManualClock
from lorafw.failures.in_process import InProcessFailures
from lorafw.isolation.opening import isolated
from lorafw.tasks.model import AccountRegion
from lorafw.tasks.policy import Policy
from lorafw.tasks.service import UpdateService
from lorafw.testbed import observers


@contextlib.contextmanager
def emulated_aws(
    owner: AccountRegion,
    failures: InProcessFailures,
    *,
    allow_hosts: Sequence[str],
    moto_config: Mapping[str, Any] | None,
) -> Iterator[None]:
    """Isolate botocore from the network, and let moto answer in AWS's place, until the end of the block.

    Args:
        owner: Account and Region of clients that name no other.
        failures: Decides which calls fail.
        allow_hosts: Hosts that botocore may reach all the same.
        moto_config: Configuration of moto, or None for its default.
    """
    # Import moto here: loading it takes about a second.
    from lorafw.iotwireless import register  # noqa: PLC0415
    from lorafw.iotwireless.corrections import corrected_moto  # noqa: PLC0415

    register()
    with isolated(owner, allow_hosts, intercept=failures, moto_config=moto_config), corrected_moto():
        yield


@contextlib.contextmanager
def update_service(
    clock: ManualClock, *, policy: Policy | None, seed: int, before_read: Callable[[], None]
) -> Iterator[UpdateService]:
    """Put a new update service behind moto's API, until the end of the block.

    Args:
        clock: The clock of the service.
        policy: Decisions of the service, or None for lorafw's own. Observers of testbeds may choose others.
        seed: Seed of the ids that the API assigns.
        before_read: Called before the service reads an update file from S3. An error that it raises is passed on.

    Yields:
        The service.
    """
    from lorafw.iotwireless.context import new_id, seed_ids, use_service  # noqa: PLC0415 -- imports moto
    from lorafw.iotwireless.models import new_backends  # noqa: PLC0415
    from lorafw.sources.s3 import RoleSource  # noqa: PLC0415

    seed_ids(seed)
    with RoleSource(clock=clock, before_read=before_read) as source:
        chosen_policy = observers.choose_policy(policy)
        service = UpdateService(source=source, clock=clock, policy=chosen_policy, new_id=new_id)
        with use_service(service), new_backends():
            yield service
