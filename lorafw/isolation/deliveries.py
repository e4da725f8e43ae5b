"""Keep in what moto itself sends while it answers a request: deliveries, and the containers that it starts.

SNS, Firehose and EventBridge deliver to HTTP addresses that the user's resources name, and API Gateway calls its
integrations. moto makes these requests with the library requests. It runs Lambda functions and Batch jobs in Docker,
which fetches their images from a registry and gives their code a network.

Requests that the user's code makes with the library requests are not affected.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final
from urllib.parse import urlsplit

from lorafw.isolation.answers import is_known_to_moto
from lorafw.isolation.guard import UNGUARDED
from lorafw.isolation.reach import Place, Reach
from lorafw.isolation.settings import replaced

_NO_PROXY: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """What moto may send by itself, and what happens to the rest."""

    reach: Reach
    """The destinations that a delivery may have."""
    may_use_docker: bool
    """Whether moto may start containers."""
    refuse_delivery: Callable[[Any, str], Any]
    """Called with a refused request and the reason. Raises an error, or returns the response that moto gets."""
    refuse_docker: Callable[[str], Exception]
    """Returns the error for moto when it would start a container. It is called with the reason."""

    def admit(self, url: str) -> bool:
        """Return True if moto may deliver to this URL."""
        place = self.reach.place_of(url)
        if place is Place.TESTBED:
            return _is_answered_by_moto(url)
        return place is Place.NETWORK


@contextlib.contextmanager
def deliveries_kept_in(rules: DeliveryRules) -> Iterator[None]:
    """Let moto itself send only what the rules admit, until the end of the block.

    Args:
        rules: What may be sent.

    Raises:
        LabError: The installed moto or requests has another shape.
    """
    from requests import Session  # noqa: PLC0415 -- few users of this module need it

    # Inside of another such block, only the inner rules count.
    original_send = getattr(Session.send, UNGUARDED, Session.send)
    with replaced(Session, "send", _checked_send(original_send, rules)), contextlib.ExitStack() as stack:
        if not rules.may_use_docker:
            from moto.utilities.docker_utilities import DockerModel  # noqa: PLC0415 -- moto takes half a second

            stack.enter_context(replaced(DockerModel, "docker_client", _refused_docker(rules)))
        yield


def _is_answered_by_moto(url: str) -> bool:
    """Return whether moto answers its own request to a URL of AWS in this process. Its server does not."""
    from moto.core.models import botocore_stubber  # noqa: PLC0415

    return bool(botocore_stubber.enabled) and is_known_to_moto(url)


def _checked_send(send: Callable[..., Any], rules: DeliveryRules) -> Callable[..., Any]:
    """Return a ``requests.Session.send`` that refuses the deliveries of moto which the rules do not admit.

    requests calls this method again for each redirect that it follows.
    """

    def checked(self: Any, request: Any, **options: Any) -> Any:
        if not _is_sent_by_moto(sys._getframe(1)):
            return send(self, request, **options)
        if not rules.admit(request.url):
            reason = f"moto would deliver to {urlsplit(request.url).hostname}, which is not this machine"
            return rules.refuse_delivery(request, reason)
        return send(self, request, **options | {"proxies": _NO_PROXY})

    setattr(checked, UNGUARDED, send)
    return checked


def _is_sent_by_moto(frame: FrameType | None) -> bool:
    """Return whether moto has called the library requests. ``frame`` is the caller of ``Session.send``."""
    library = (__name__, "requests")
    while frame is not None and _module_of(frame).startswith(library):
        frame = frame.f_back
    return frame is not None and _module_of(frame).startswith("moto.")


def _module_of(frame: FrameType) -> str:
    """Return the name of the module whose code a frame executes."""
    return str(frame.f_globals.get("__name__", ""))


def _refused_docker(rules: DeliveryRules) -> property:
    """Return a ``DockerModel.docker_client`` that raises an error."""

    def refuse(model: Any) -> Any:
        raise rules.refuse_docker(f"moto would run a {type(model).__name__} in Docker, with an image from the network")

    return property(refuse)
