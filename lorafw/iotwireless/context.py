"""What stands behind the API in this process: the service, where its CUPS server is, the certificates of moto's IoT,
and the errors that somebody has asked for.

One UpdateService holds the gateways of all accounts and Regions, since a gateway's EUI is unique over them.
"""

from __future__ import annotations

import difflib
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lorafw.errors import LabError
from lorafw.server.authorization import BoundCertificate
from lorafw.tasks.model import AccountRegion
from lorafw.tasks.service import UpdateService


@dataclass(slots=True)
class _ApiContext:
    """What stands behind the API in this process."""

    service: UpdateService | None = None
    cups_uri: str | Callable[[], str] | None = None
    cups_trust: str | None = None
    cups_plain_uri: str | None = None
    on_certificate: Callable[[AccountRegion, str], None] | None = None
    failures: defaultdict[str, deque[tuple[str, str]]] = field(default_factory=lambda: defaultdict(deque))
    """Operation to code and message of each next call."""


_context = _ApiContext()
_service_lock = threading.Lock()


def set_service(service: UpdateService) -> None:
    """Let this service stand behind the API from now on."""
    _context.service = service


def current_service() -> UpdateService:
    """What stands behind the API; made at its first use, with S3 and IAM as boto3 is set up."""
    with _service_lock:
        if _context.service is None:
            from lorafw.sources.s3 import RoleSource  # noqa: PLC0415

            _context.service = UpdateService(source=RoleSource(), new_id=new_id)
        return _context.service


@contextmanager
def use_service(service: UpdateService) -> Iterator[UpdateService]:
    """Let this service stand behind the API for a while."""
    before, _context.service = _context.service, service
    try:
        yield service
    finally:
        _context.service = before


@contextmanager
def set_cups_endpoint(
    uri: str | Callable[[], str], trust: str | None = None, *, plain_uri: str | None = None
) -> Iterator[None]:
    """What GetServiceEndpoint answers for CUPS for a while: the address, and the certificate to trust in PEM.

    ``uri`` may be a function: it is called whenever the address is asked for.

    ``plain_uri`` is what it answers to a request with the header PLAIN_HEADER, which AWS does not have: the lab's way
    around certificates.
    """
    before = _context.cups_uri, _context.cups_trust, _context.cups_plain_uri
    _context.cups_uri, _context.cups_trust, _context.cups_plain_uri = uri, trust, plain_uri
    try:
        yield
    finally:
        _context.cups_uri, _context.cups_trust, _context.cups_plain_uri = before


def cups_endpoint(*, plain: bool = False) -> tuple[str | None, str | None]:
    """Address and trust of the CUPS server in this process, if there is one."""
    if plain and _context.cups_plain_uri is not None:
        return _context.cups_plain_uri, None
    uri = _context.cups_uri
    if callable(uri):
        uri = uri()
    return uri, _context.cups_trust


@contextmanager
def on_certificate_associated(listener: Callable[[AccountRegion, str], None]) -> Iterator[None]:
    """Call ``listener`` with owner and id of each certificate that is associated with a gateway."""
    before, _context.on_certificate = _context.on_certificate, listener
    try:
        yield
    finally:
        _context.on_certificate = before


def notify_certificate_associated(owner: AccountRegion, certificate_id: str) -> None:
    """A certificate was associated with a gateway."""
    if _context.on_certificate is not None:
        _context.on_certificate(owner, certificate_id)


class IotCertificates:
    """The certificates of moto's IoT: ``cups.identity.Certificates``."""

    def find(self, owner: AccountRegion, certificate_id: str) -> BoundCertificate | None:
        from moto.backends import get_backend  # noqa: PLC0415

        found = get_backend("iot")[owner.account][owner.region].certificates.get(certificate_id)
        if found is None:
            return None
        return BoundCertificate(certificate_id, found.certificate_pem, found.status == "ACTIVE")


def fail_next(operation: str, code: str, *, times: int = 1, message: str | None = None) -> None:
    """Answer the next calls of an operation with this error of its model, and do nothing else.

    Raises LabError for an operation that iotwireless has not, or an error that the operation has not.
    """
    from moto.core.utils import get_service_model  # noqa: PLC0415

    model = get_service_model("iotwireless")
    _check_name("operation", operation, model.operation_names, "an operation of iotwireless")
    codes = [shape.name for shape in model.operation_model(operation).error_shapes]
    _check_name("code", code, codes, f"an error of {operation}")
    if not isinstance(times, int) or isinstance(times, bool) or times < 1:
        raise LabError(f"times: {times!r} is not how many calls fail; give 1 or more")
    failure = code, message or f"{operation} was told to fail (fail_next)"
    _context.failures[operation].extend([failure] * times)


def pop_failure(operation: str) -> tuple[str, str] | None:
    """Code and message of the error that this call of an operation was told to end with, if any."""
    try:
        return _context.failures[operation].popleft()
    except IndexError:
        return None


def clear_failures() -> None:
    """No call was told to fail."""
    _context.failures.clear()


def _check_name(field_name: str, name: str, known: Iterable[str], what: str) -> None:
    names = sorted(known)
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=1)
        raise LabError(
            f"{field_name}: {name!r} is not {what}; give {near[0] if near else 'one of ' + ', '.join(names)}"
        )


def new_id() -> str:
    """An id from moto's own source, which can be seeded."""
    from moto.moto_api._internal import mock_random  # noqa: PLC0415

    return str(mock_random.uuid4())


def seed_ids(seed: int) -> None:
    """Let all of moto's ids come in the same order again."""
    from moto.moto_api._internal import mock_random  # noqa: PLC0415

    mock_random.seed(seed)
