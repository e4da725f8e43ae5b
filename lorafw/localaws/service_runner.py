"""Run the update service of a cloud inside moto.

Import this module only when a cloud is opened. It imports moto, which takes about a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from lorafw.clock import Clock
from lorafw.iotwireless.context import new_id, use_service
from lorafw.iotwireless.corrections import corrected_moto
from lorafw.iotwireless.models import restore_api_records
from lorafw.isolation.environment import aws_profile_removed
from lorafw.isolation.settings import without_moto_switches
from lorafw.localaws.api_server import reset_moto
from lorafw.persistence.kept_state import KeptState
from lorafw.sources.s3 import RoleSource
from lorafw.tasks.policy import Policy
from lorafw.tasks.service import UpdateService

_MISSING_HINT: Final = "; if yours is elsewhere, lead S3 and IAM here as well: set AWS_ENDPOINT_URL"
"""The end of the error for a missing role or bucket: perhaps only iotwireless requests are sent to this server."""


@contextmanager
def empty_moto() -> Iterator[None]:
    """Let moto be without resources at first, and behave as AWS does, while a block runs."""
    with without_moto_switches(), aws_profile_removed(), corrected_moto():
        reset_moto()
        yield


@contextmanager
def run_service(clock: Clock | None, policy: Policy | None, kept_state: KeptState | None) -> Iterator[UpdateService]:
    """Let a new update service answer the API while a block runs. It reads updates from moto's S3.

    Args:
        clock: The clock of the service. None means the real clock.
        policy: How the service behaves if AWS's behaviour is not documented. None means the default policy.
        kept_state: The state that the service begins with, and that keeps its changes. None to begin with no state.

    Yields:
        The service.

    Raises:
        StateError: The kept state cannot be read.
    """
    with RoleSource(clock=clock, missing_hint=_MISSING_HINT) as source:
        service = UpdateService(source=source, clock=clock, policy=policy, new_id=new_id)
        with use_service(service):
            if kept_state is not None:
                api_records = kept_state.restore(service)
                restore_api_records(api_records)
            yield service
