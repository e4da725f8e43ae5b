"""Who may use JupyterLab and Voila, and how many kernels Voila runs. Jupyter's own process imports this module.

A browser sends the lab's cookie with requests that another page starts, for example a page on another port of this
machine. Such a request counts only if it carries the token itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from jupyter_server.auth import IdentityProvider, User
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.web import HTTPError, RequestHandler

MAX_VOILA_KERNELS: Final = 8
"""Each kernel takes about 160 MB."""

_UNUSED_AFTER_S: Final = 120
_CHECK_INTERVAL_S: Final = 10
_TOO_MANY_KERNELS: Final = (
    f"{MAX_VOILA_KERNELS} lessons are open, and another one would take too much memory. "
    "Close the page of one, wait a little and load this page again"
)


def is_from_another_page(headers: Mapping[str, str]) -> bool:
    """Return whether a page of another origin started the request.

    Args:
        headers: The headers of the request. A browser says in ``Sec-Fetch-Site`` who started it; older browsers say
            so in ``Origin`` or ``Referer`` only. A program that is no browser sends none of them.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    page = headers.get("Origin") or headers.get("Referer")
    if page is None:
        return False
    return urlsplit(page).netloc != headers.get("Host")


class LabIdentityProvider(IdentityProvider):
    """Takes the token, and the cookie only in requests of the lab's own pages. There is no password."""

    async def get_user(self, handler: RequestHandler) -> User | None:
        """Return the user, or None if there is neither token nor cookie.

        Raises:
            HTTPError: 403, if another page started the request and the request has no valid token.
        """
        if is_from_another_page(handler.request.headers) and not self._has_token(handler):
            handler.current_user = None  # The error page asks for it.
            raise HTTPError(403, reason="Another web page asked for this. Open the address that lorafw lab printed")
        return await self._get_user(handler)

    def _has_token(self, handler: RequestHandler) -> bool:
        """Return whether the request itself carries the server's token. A server without a token accepts none."""
        if not self.token:
            return False
        request_token = self.get_token(handler) or ""
        return secrets.compare_digest(request_token.encode(), self.token.encode())


class BoundedKernelManager(AsyncMappingKernelManager):
    """Runs a limited number of kernels, and ends those whose page is closed."""

    # Settings of the base class. Jupyter says "to cull" for ending idle kernels.
    cull_idle_timeout = _UNUSED_AFTER_S
    cull_interval = _CHECK_INTERVAL_S
    cull_connected = False
    cull_busy = False

    _starting = 0
    """Number of kernels that are being started. They are not among the running ones yet."""

    async def start_kernel(self, **options: Any) -> str:  # type: ignore[override]  # the base takes anything
        """Start a kernel and return its id.

        Raises:
            HTTPError: 503, if the maximum number of kernels runs.
        """
        if len(self) + self._starting >= MAX_VOILA_KERNELS:
            raise HTTPError(503, reason=_TOO_MANY_KERNELS)
        self._starting += 1
        try:
            kernel_id: str = await super().start_kernel(**options)
        finally:
            self._starting -= 1
        return kernel_id
