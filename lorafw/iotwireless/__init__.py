"""AWS's ``iotwireless`` API inside moto, registered from outside.

After ``register()``, ``@mock_aws``, moto's server and the AWS CLI cover ``iotwireless``. moto knows a service by three
things, none of them public, so ``register`` looks before it touches them: a pattern of host names in
``moto.backend_index``, a module ``moto.iotwireless``, and the ``..._backends`` in it.

One UpdateService holds the gateways of all accounts and Regions, since a gateway's EUI is unique over them.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lorafw.cups.identity import BoundCertificate
from lorafw.errors import IncompatibleMoto
from lorafw.tasks.model import Owner
from lorafw.tasks.service import UpdateService

if TYPE_CHECKING:
    from lorafw.iotwireless.models import iotwireless_backends as iotwireless_backends

HOSTS: Final = (
    r"https?://(?:api\.)?iotwireless(?:-fips)?\.(.+)\.amazonaws\.com",
    r"https?://(?:api\.)?iotwireless(?:-fips)?\.(.+)\.api\.aws",
)
"""The API's hosts; the second is the dual-stack form. moto's server asks without ``api.``."""

PLAIN_HEADER: Final = "x-lorafw-plain"
"""A request for the CUPS endpoint with this header is answered with the plain one, where there is one."""

EXPLAIN_PATH: Final = "/lorafw/explain/"
"""GET of this path with a gateway's id or EUI behind it answers why it is updated or not. AWS has no such thing."""

NEEDED: Final = "moto>=5.2,<6"


@dataclass(slots=True)
class _Behind:
    """What stands behind the API in this process."""

    service: UpdateService | None = None
    cups_uri: str | None = None
    cups_trust: str | None = None
    cups_plain_uri: str | None = None
    on_certificate: Callable[[Owner, str], None] | None = None


_behind = _Behind()
_making = threading.Lock()


def register(service: UpdateService | None = None) -> None:
    """Make ``iotwireless`` a service of moto. Twice is harmless. ``service``: what stands behind it from now on.

    Raises IncompatibleMoto where the installed moto has another shape.
    """
    index = _checked_index()
    if not any(name == "iotwireless" for name, _ in index.backend_url_patterns):
        sys.modules["moto.iotwireless"] = sys.modules[__name__]
        index.backend_url_patterns.extend(("iotwireless", re.compile(host)) for host in HOSTS)
    if service is not None:
        _behind.service = service


def current_service() -> UpdateService:
    """What stands behind the API; made at its first use, with S3 and IAM as boto3 is set up."""
    with _making:
        if _behind.service is None:
            from lorafw.firmware.source import RoleSource  # noqa: PLC0415

            _behind.service = UpdateService(source=RoleSource(), new_id=new_id)
        return _behind.service


@contextmanager
def use_service(service: UpdateService) -> Iterator[UpdateService]:
    """Let this service stand behind the API for a while."""
    before, _behind.service = _behind.service, service
    try:
        yield service
    finally:
        _behind.service = before


@contextmanager
def set_cups_endpoint(uri: str, trust: str | None = None, *, plain_uri: str | None = None) -> Iterator[None]:
    """What GetServiceEndpoint answers for CUPS for a while: the address, and the certificate to trust in PEM.

    ``plain_uri`` is what it answers to a request with the header PLAIN_HEADER, which AWS does not have: the lab's way
    around certificates.
    """
    before = _behind.cups_uri, _behind.cups_trust, _behind.cups_plain_uri
    _behind.cups_uri, _behind.cups_trust, _behind.cups_plain_uri = uri, trust, plain_uri
    try:
        yield
    finally:
        _behind.cups_uri, _behind.cups_trust, _behind.cups_plain_uri = before


def cups_endpoint(*, plain: bool = False) -> tuple[str | None, str | None]:
    """Address and trust of the CUPS server in this process, if there is one."""
    if plain and _behind.cups_plain_uri is not None:
        return _behind.cups_plain_uri, None
    return _behind.cups_uri, _behind.cups_trust


@contextmanager
def tell_certificates(listener: Callable[[Owner, str], None]) -> Iterator[None]:
    """Call ``listener`` with owner and id of each certificate that is associated with a gateway."""
    before, _behind.on_certificate = _behind.on_certificate, listener
    try:
        yield
    finally:
        _behind.on_certificate = before


def certificate_bound(owner: Owner, certificate_id: str) -> None:
    """A certificate was associated with a gateway."""
    if _behind.on_certificate is not None:
        _behind.on_certificate(owner, certificate_id)


class IotCertificates:
    """The certificates of moto's IoT: ``cups.identity.Certificates``."""

    def find(self, owner: Owner, certificate_id: str) -> BoundCertificate | None:
        from moto.backends import get_backend  # noqa: PLC0415

        found = get_backend("iot")[owner.account][owner.region].certificates.get(certificate_id)
        if found is None:
            return None
        return BoundCertificate(certificate_id, found.certificate_pem, found.status == "ACTIVE")


def new_id() -> str:
    """An id from moto's own source, which can be seeded."""
    from moto.moto_api._internal import mock_random  # noqa: PLC0415

    return str(mock_random.uuid4())


def seed_ids(seed: int) -> None:
    """Let all of moto's ids come in the same order again."""
    from moto.moto_api._internal import mock_random  # noqa: PLC0415

    mock_random.seed(seed)


def __getattr__(name: str) -> object:
    # moto asks the package for its backends; they are loaded then and not before.
    if name != "iotwireless_backends":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lorafw.iotwireless.models import iotwireless_backends  # noqa: PLC0415

    return iotwireless_backends


def _checked_index() -> Any:
    """moto.backend_index, if this moto is one that lorafw fits into."""
    import moto  # noqa: PLC0415

    version = str(getattr(moto, "__version__", "of no version"))
    try:
        numbers = tuple(int(part) for part in version.split(".")[:2])
    except ValueError:
        numbers = (0, 0)
    if not (5, 2) <= numbers < (6, 0):
        raise IncompatibleMoto(f"lorafw fits into {NEEDED}; installed is moto {version}: pip install '{NEEDED}'")
    try:
        from moto import backend_index  # noqa: PLC0415
        from moto.core.base_backend import BackendDict, BaseBackend  # noqa: F401, PLC0415
        from moto.core.exceptions import ServiceException  # noqa: F401, PLC0415
        from moto.core.responses import ActionResult, BaseResponse  # noqa: F401, PLC0415
    except ImportError as error:
        raise IncompatibleMoto(f"moto {version} has not what lorafw needs ({error}): pip install '{NEEDED}'") from error
    if not isinstance(getattr(backend_index, "backend_url_patterns", None), list):
        raise IncompatibleMoto(f"moto {version} keeps its services in another way: pip install '{NEEDED}'")
    return backend_index
