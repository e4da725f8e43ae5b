"""What the API uses in this process: the update service, the CUPS endpoint and certificates.

One UpdateService has the gateways of all accounts and Regions, because an EUI is unique over them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lorafw.server.authorization import BoundCertificate
from lorafw.tasks.answers import AnsweredRequest, AnswerListener
from lorafw.tasks.model import AccountRegion
from lorafw.tasks.service import UpdateService


@dataclass(frozen=True, slots=True)
class _CupsEndpoint:
    """Where the CUPS server in this process is reached."""

    uri: str | Callable[[], str]
    """Address of the server, or a function that returns it."""
    trust: str | None = None
    """The certificate with which the server is trusted, in PEM. None if the server does not use TLS."""
    plain_uri: str | None = None
    """Address of the server without TLS. None if it is not served."""


@dataclass(slots=True)
class _ApiContext:
    """The state of the API in this process."""

    service: UpdateService | None = None
    """The update service. None until it is set or needed."""
    cups: _CupsEndpoint | None = None
    """The endpoint of the CUPS server. None if there is no server in this process."""
    on_certificate: Callable[[AccountRegion, str], None] | None = None
    """Called when a certificate is associated with a gateway."""
    on_answer: AnswerListener | None = None
    """Called with each CUPS request that the service answers. None until there are backends."""


_context = _ApiContext()
_service_lock = threading.Lock()


def set_service(service: UpdateService) -> None:
    """Use this update service for the API from now on."""
    service.answer_listeners.add(_notify_answered)
    _context.service = service


def current_service() -> UpdateService:
    """Return the update service of the API. The first call creates it, with S3 and IAM of moto in this process."""
    with _service_lock:
        if _context.service is None:
            from lorafw.sources.s3 import RoleSource  # noqa: PLC0415

            _context.service = UpdateService(source=RoleSource(), new_id=new_id)
            _context.service.answer_listeners.add(_notify_answered)
        return _context.service


@contextmanager
def use_service(service: UpdateService) -> Iterator[UpdateService]:
    """Use this update service for the API until the end of the block."""
    service.answer_listeners.add(_notify_answered)
    previous = _context.service
    _context.service = service
    try:
        yield service
    finally:
        _context.service = previous


def on_request_answered(listener: AnswerListener) -> None:
    """Call ``listener`` with each CUPS request that the service of the API answers. It replaces the one before."""
    _context.on_answer = listener


def _notify_answered(answered: AnsweredRequest) -> None:
    """Call the listener because a CUPS request is answered."""
    if _context.on_answer is not None:
        _context.on_answer(answered)


@contextmanager
def set_cups_endpoint(
    uri: str | Callable[[], str], trust: str | None = None, *, plain_uri: str | None = None
) -> Iterator[None]:
    """Set what GetServiceEndpoint answers for CUPS, until the end of the block.

    Args:
        uri: Address of the CUPS server, or a function that returns it at each request.
        trust: The certificate to trust, in PEM.
        plain_uri: The answer to a request with the header PLAIN_HEADER, which AWS does not have. It lets a lab work
            without certificates.
    """
    previous = _context.cups
    _context.cups = _CupsEndpoint(uri, trust, plain_uri)
    try:
        yield
    finally:
        _context.cups = previous


def cups_endpoint(*, plain: bool = False) -> tuple[str | None, str | None]:
    """Return the address of the CUPS server in this process, and the certificate to trust in PEM.

    Args:
        plain: Return the address without TLS, if there is one.

    Returns:
        (None, None) if there is no CUPS server in this process.
    """
    endpoint = _context.cups
    if endpoint is None:
        return None, None
    if plain and endpoint.plain_uri is not None:
        return endpoint.plain_uri, None
    uri = endpoint.uri
    if callable(uri):
        uri = uri()
    return uri, endpoint.trust


@contextmanager
def on_certificate_associated(listener: Callable[[AccountRegion, str], None]) -> Iterator[None]:
    """Call ``listener`` for each certificate that is associated with a gateway, until the end of the block.

    Args:
        listener: Called with the account and Region, and the id of the certificate.
    """
    previous = _context.on_certificate
    _context.on_certificate = listener
    try:
        yield
    finally:
        _context.on_certificate = previous


def notify_certificate_associated(owner: AccountRegion, certificate_id: str) -> None:
    """Call the listener because a certificate was associated with a gateway."""
    if _context.on_certificate is not None:
        _context.on_certificate(owner, certificate_id)


def iot_backend(owner: AccountRegion) -> Any:
    """Return moto's backend of AWS IoT for an account in a Region. It has the certificates and the things."""
    from moto.backends import get_backend  # noqa: PLC0415

    return get_backend("iot")[owner.account][owner.region]


class IotCertificates:
    """Finds certificates in moto's IoT backend, for the CUPS server."""

    def find(self, owner: AccountRegion, certificate_id: str) -> BoundCertificate | None:
        """Return a certificate. None if there is no such certificate in this account and Region.

        Args:
            owner: Account and Region of the certificate.
            certificate_id: Id of the certificate in AWS IoT.
        """
        certificate = iot_backend(owner).certificates.get(certificate_id)
        if certificate is None:
            return None
        return BoundCertificate(certificate_id, certificate.certificate_pem, certificate.status == "ACTIVE")


def new_id() -> str:
    """Return a new random UUID from moto's generator, which can be seeded."""
    from moto.moto_api._internal import mock_random  # noqa: PLC0415

    return str(mock_random.uuid4())


def seed_ids(seed: int) -> None:
    """Seed moto's generator of ids, so that equal seeds give equal ids."""
    from moto.moto_api._internal import mock_random  # noqa: PLC0415

    mock_random.seed(seed)
