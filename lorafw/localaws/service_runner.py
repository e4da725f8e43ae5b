"""Run the parts of a cloud: the update service inside moto, the API and CUPS.

Import this module only when a cloud is opened. It imports moto, which takes about a second.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from moto.core.exceptions import JsonRESTError
from requests import PreparedRequest, Response

from lorafw.clock import Clock, ManualClock
from lorafw.iotwireless.context import new_id, use_service
from lorafw.iotwireless.corrections import corrected_moto
from lorafw.iotwireless.models import restore_api_records
from lorafw.isolation.deliveries import DeliveryRules, deliveries_kept_in
from lorafw.isolation.environment import aws_profile_removed
from lorafw.isolation.reach import Reach
from lorafw.isolation.settings import without_moto_switches
from lorafw.localaws.api_server import ApiServer, reset_moto
from lorafw.localaws.cups_servers import CupsServers, CupsSettings, run_cups
from lorafw.persistence.kept_state import KeptState, restore_service
from lorafw.sources.s3 import RoleSource
from lorafw.tasks.policy import Policy
from lorafw.tasks.service import UpdateService

logger: Final = logging.getLogger("lorafw.deliveries")
_MISSING_HINT: Final = "; if yours is elsewhere, lead S3 and IAM here as well: set AWS_ENDPOINT_URL"
"""The end of the error for a missing role or bucket: perhaps only iotwireless requests are sent to this server."""


def _answer_forbidden(request: PreparedRequest, reason: str) -> Response:
    """Return the response that moto gets in the place of a delivery to another machine. Logs a warning.

    moto goes on as AWS does when an endpoint refuses a delivery: the request that caused the delivery succeeds.
    """
    logger.warning("%s, and was kept back: the lab delivers to this machine only", reason)
    response = Response()
    response.status_code = HTTPStatus.FORBIDDEN
    response.request, response.url = request, request.url or ""
    response._content = reason.encode()
    return response


def _docker_refusal(reason: str) -> Exception:
    """Return the error for a container that moto would start. moto sends it to the caller of the API."""
    error: Exception = JsonRESTError("AccessDeniedException", f"{reason}: the lab starts no containers")
    return error


_DELIVERIES: Final = DeliveryRules(
    Reach(),
    may_use_docker=False,
    refuse_delivery=_answer_forbidden,
    refuse_docker=_docker_refusal,
)
"""moto delivers to this machine only, for example to a webhook on loopback."""


@dataclass(frozen=True, slots=True)
class RunningCloud:
    """The parts of a cloud that exist while it is open."""

    service: UpdateService
    """The update service behind the API and CUPS."""
    cups: CupsServers
    """The CUPS servers."""


@contextmanager
def run_cloud(
    api: ApiServer,
    cups_settings: CupsSettings,
    *,
    clock: Clock | None,
    policy: Policy | None,
    kept_state: KeptState | None,
) -> Iterator[RunningCloud]:
    """Run CUPS and prepare the API, with one update service behind both, while a block runs.

    If one part cannot be started, the parts that run already are stopped.

    Args:
        api: The server of the API. It listens when the block begins: call its ``serve`` to let it answer. It is stopped
            at the end of the block.
        cups_settings: The settings of the CUPS servers.
        clock: The clock of the service. None means the real clock.
        policy: How the service behaves if AWS's behaviour is not documented. None means the default policy.
        kept_state: The state in a folder, which is opened here. None to keep the state in memory only.

    Yields:
        The running parts.

    Raises:
        StateError: The kept state cannot be read.
        OSError: A port is taken.
    """
    with ExitStack() as stack:
        # 1. Begin with an empty moto, at the time at which the kept state was saved.
        stack.enter_context(empty_moto())
        if kept_state is not None:
            stack.enter_context(kept_state)
            _restore_clock(clock, kept_state)
        # 2. Listen. A request to the API waits until the caller lets the API answer.
        stack.callback(api.stop)
        api.listen()
        # 3. Load the state of the service.
        service = stack.enter_context(run_service(clock, policy, kept_state))
        # 4. Answer gateways.
        cups = stack.enter_context(run_cups(service, cups_settings))
        yield RunningCloud(service, cups)


def _restore_clock(clock: Clock | None, kept_state: KeptState) -> None:
    """Move a manual clock to the time at which the kept state was saved. Any other clock stays as it is."""
    saved_at = kept_state.store.saved_at()
    if isinstance(clock, ManualClock) and saved_at is not None:
        clock.advance_to(saved_at.utc_ms)


@contextmanager
def empty_moto() -> Iterator[None]:
    """Let moto be without resources at first, and behave as AWS does, while a block runs."""
    with without_moto_switches(), aws_profile_removed(), corrected_moto(), deliveries_kept_in(_DELIVERIES):
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
                api_records = restore_service(service, kept_state.store)
                restore_api_records(api_records)
            yield service
