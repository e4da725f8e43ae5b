"""AWS's ``iotwireless`` API inside moto, registered from outside.

After ``register()``, ``@mock_aws`` and moto's server also answer requests to ``iotwireless``. moto finds a service by
three things: a pattern of host names in ``moto.backend_index``, a module ``moto.iotwireless``, and ``..._backends`` in
that module. None of them is public, so ``register`` checks the installed moto first. The service behind the API is in
``context``. moto's CloudFormation gets the resource types of ``iotwireless``. moto's CreateCertificateFromCsr is
replaced, because its certificates do not belong to the requested key.

If a release of moto ships an ``iotwireless`` of its own, ``register`` puts lorafw's in its place: moto's has no CUPS
server and no gateways that poll, so its tasks would never change.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, Final

from lorafw._lazy import attach
from lorafw.errors import IncompatibleMoto
from lorafw.iotwireless.cloudformation import register_resource_types
from lorafw.iotwireless.constants import HOSTS
from lorafw.iotwireless.context import set_service
from lorafw.iotwireless.signing_request import certify_requested_keys
from lorafw.tasks.service import UpdateService

if TYPE_CHECKING:
    from lorafw.iotwireless.models import iotwireless_backends as iotwireless_backends

MOTO_REQUIREMENT: Final = "moto>=5.2,<6"

_MOTO_MODULE: Final = "moto.iotwireless"
"""The name under which moto imports the backends of the service."""


def register(service: UpdateService | None = None) -> None:
    """Make lorafw's ``iotwireless`` a service of moto. If moto has one of its own, lorafw's takes its place.

    Calling this function again is harmless. Resources that moto's own service has stored cannot be reached any more.

    Args:
        service: The update service to use from now on. None to keep the current one.

    Raises:
        IncompatibleMoto: lorafw does not work with the installed version of moto.
    """
    index = _require_compatible_moto()
    is_registered = sys.modules.get(_MOTO_MODULE) is sys.modules[__name__]
    if not is_registered:
        _take_place_in_moto(index.backend_url_patterns)
        certify_requested_keys()
        register_resource_types()
    if service is not None:
        set_service(service)


def _take_place_in_moto(url_patterns: list[tuple[str, re.Pattern[str]]]) -> None:
    """Make this package the module ``moto.iotwireless``, and let its hosts be the only ones of the service.

    Args:
        url_patterns: The service and the URL of each backend of moto. It is changed in place, as moto shares the list.
    """
    import moto  # noqa: PLC0415

    package = sys.modules[__name__]
    sys.modules[_MOTO_MODULE] = package
    moto.iotwireless = package
    others = [(name, pattern) for name, pattern in url_patterns if name != "iotwireless"]
    url_patterns[:] = [*others, *(("iotwireless", re.compile(host)) for host in HOSTS)]


# Load the backends lazily: moto asks this package for them when it needs them.
__getattr__, __dir__ = attach(__name__, {"iotwireless_backends": "models"})


def _require_compatible_moto() -> Any:
    """Return ``moto.backend_index``, which lists the services that moto answers.

    Raises:
        IncompatibleMoto: lorafw does not work with the installed version of moto.
    """
    version = _require_compatible_version()
    try:
        # Import all that lorafw needs, so that a missing part is reported here.
        from moto import backend_index  # noqa: PLC0415
        from moto.core.base_backend import BackendDict, BaseBackend  # noqa: F401, PLC0415
        from moto.core.exceptions import ServiceException  # noqa: F401, PLC0415
        from moto.core.responses import ActionResult, BaseResponse  # noqa: F401, PLC0415
    except ImportError as error:
        raise IncompatibleMoto(
            f"moto {version} has not what lorafw needs ({error}): pip install '{MOTO_REQUIREMENT}'"
        ) from error
    if not isinstance(getattr(backend_index, "backend_url_patterns", None), list):
        raise IncompatibleMoto(f"moto {version} keeps its services in another way: pip install '{MOTO_REQUIREMENT}'")
    return backend_index


def _require_compatible_version() -> str:
    """Return the version of the installed moto. Raises IncompatibleMoto if it does not meet MOTO_REQUIREMENT."""
    import moto  # noqa: PLC0415

    version = str(getattr(moto, "__version__", "of no version"))
    try:
        major_and_minor = tuple(int(part) for part in version.split(".")[:2])
    except ValueError:
        major_and_minor = (0, 0)
    if not (5, 2) <= major_and_minor < (6, 0):
        raise IncompatibleMoto(
            f"lorafw fits into {MOTO_REQUIREMENT}; installed is moto {version}: pip install '{MOTO_REQUIREMENT}'"
        )
    return version
