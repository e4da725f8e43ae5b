"""Let moto answer each request that a testbed receives for AWS, whatever address the request was sent to.

moto finds the service of a request by its host. It does not know all hosts of AWS (not those of dual stack and FIPS),
and a user may have configured an address of another server. For such a request the service is read from the signature,
as moto's own server does it, and the request is sent to the usual host of this service.

Functions import moto themselves: it is slow to import, and it reads its settings from the environment then.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit, urlunsplit

from lorafw.isolation.reach import Reach, is_aws

_HOSTS: Final = {"s3control": "s3-control"}
"""The host names of services for which moto's server uses another name."""


Intercept = Callable[[Any, float, Callable[[], Any]], Any]
"""Answers a request in the place of moto, or lets moto answer it.

Called with botocore's request, addressed to AWS's usual host, with the seconds that the client waits for a reply, and
with a function that returns moto's reply.
"""


def answer(request: Any, reach: Reach, read_timeout_s: float, intercept: Intercept | None) -> Any:
    """Return the answer to a prepared request of botocore, or None if there is none.

    Args:
        request: The request.
        reach: What may be reached, and the addresses that the user has configured for AWS.
        read_timeout_s: How long the client waits for a reply.
        intercept: Called for each request that moto can answer. None means that moto answers all of them.
    """
    # 1. Find AWS's usual address of the service, which moto knows.
    redirect = reach.redirect_of(request.url)
    url = request.url
    if redirect is not None:
        url = _without_path(url, redirect.path)
    is_unknown_aws_host = is_aws(urlsplit(url).hostname) and not is_known_to_moto(url)
    if redirect is not None or is_unknown_aws_host:
        url = _to_usual_url(request, urlsplit(url), redirect)
    if not is_known_to_moto(url):
        return None
    # 2. Let moto answer, or what stands in its place.
    usual_request = _with_url(request, url)
    ask_moto = partial(_ask_moto, usual_request, response_url=request.url)
    if intercept is None:
        return ask_moto()
    return intercept(usual_request, read_timeout_s, ask_moto)


def is_known_to_moto(url: str) -> bool:
    """Return True if moto has a backend for the URL."""
    from moto.backend_index import backend_url_patterns  # noqa: PLC0415

    parts = urlsplit(url)
    clean = f"{parts.scheme}://{parts.netloc}{parts.path}"
    return any(pattern.match(clean) for _, pattern in backend_url_patterns)


def _with_url(request: Any, url: str) -> Any:
    """Return the request as if it had been sent to ``url``."""
    from botocore.awsrequest import AWSPreparedRequest  # noqa: PLC0415

    return AWSPreparedRequest(request.method, url, request.headers, request.body, request.stream_output)


def _ask_moto(request: Any, response_url: str) -> Any:
    """Return moto's response to the request, or None if moto has none. The response names ``response_url``."""
    from botocore.awsrequest import AWSResponse  # noqa: PLC0415
    from moto.core.botocore_stubber import MockRawResponse  # noqa: PLC0415
    from moto.core.models import botocore_stubber  # noqa: PLC0415

    response = botocore_stubber.process_request(request)
    if response is None:
        return None
    status, headers, body = response
    return AWSResponse(response_url, status, headers, MockRawResponse(body))


def _without_path(url: str, prefix: str) -> str:
    """Return the URL without the path of a configured address."""
    if not prefix.rstrip("/"):
        return url
    parts = urlsplit(url)
    path = parts.path.removeprefix(prefix.rstrip("/"))
    return urlunsplit(parts._replace(path=path or "/"))


def _to_usual_url(request: Any, parts: SplitResult, redirect: SplitResult | None) -> str:
    """Return a URL with the usual host of the service that the request was signed for.

    Args:
        request: The request.
        parts: Its URL.
        redirect: The address that the user has configured for AWS, or None.

    Returns:
        The URL with the usual host. It is unchanged if moto cannot tell the service.
    """
    host = _service_host(request, parts)
    if host is None:
        return urlunsplit(parts)
    bucket = _bucket_in_host(parts.hostname or "", redirect)
    if bucket and host.startswith("s3."):
        host = f"{bucket}.{host}"
    return urlunsplit(parts._replace(scheme="https", netloc=host))


def _service_host(request: Any, parts: SplitResult) -> str | None:
    """Return the usual host of the service that the request was signed for, or None if moto cannot tell it."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: PLC0415

    dispatcher = DomainDispatcherApplication(create_backend_app)
    host_or_service = dispatcher.infer_service_region_host(_wsgi_environ(request, parts), parts.path)
    if host_or_service is None or "." in host_or_service:
        return host_or_service
    service = _HOSTS.get(host_or_service, host_or_service)
    return f"{service}.us-east-1.amazonaws.com"


def _wsgi_environ(request: Any, parts: SplitResult) -> dict[str, Any]:
    """Return a request in the form in which a WSGI server passes it on (PEP 3333). moto's server reads this form."""
    environ: dict[str, Any] = {}
    for name, value in request.headers.items():
        variable = name.upper().replace("-", "_")
        environ[f"HTTP_{variable}"] = _text(value)
    body = _form_of(request)
    environ["REQUEST_METHOD"] = request.method
    environ["PATH_INFO"] = parts.path
    environ["HTTP_HOST"] = parts.netloc
    environ["CONTENT_TYPE"] = _text(request.headers.get("Content-Type", ""))
    environ["CONTENT_LENGTH"] = str(len(body))
    environ["wsgi.input"] = io.BytesIO(body)
    return environ


def _form_of(request: Any) -> bytes:
    """Return the body as bytes.

    The result is empty if the body is a file. moto reads the body to recognise unsigned calls, and none of those calls
    sends a file.
    """
    if isinstance(request.body, str):
        return request.body.encode()
    return request.body if isinstance(request.body, bytes) else b""


def _bucket_in_host(host: str, redirect: SplitResult | None) -> str:
    """Return the bucket that stands before the service's part of a host, or ''."""
    if redirect is not None:
        return host.removesuffix(redirect.hostname or "").rstrip(".")
    before, found, _ = host.partition(".s3")
    return before if found else ""


def _text(value: object) -> str:
    """Return a header value as text."""
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
