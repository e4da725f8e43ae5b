"""Find the running lab: the API of ``lorafw serve``, whose address is in the environment or in a ready file.

A lab must be on this machine and must answer as only lorafw does.
"""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from lorafw.errors import LabError
from lorafw.example import REGION
from lorafw.iotwireless.constants import ABOUT_PATH
from lorafw.server.loopback import is_loopback

_TIMEOUT_S: Final = 5.0
_MAX_ANSWER_BYTES: Final = 4096
_MAX_READY_FILE_BYTES: Final = 1 << 20
_REMEDY: Final = "start 'lorafw serve' and paste the lines that it prints, or name its file with --ready-file"


@dataclass(frozen=True, slots=True)
class LabEndpoint:
    """The address of a lab's API, and the Region to use there."""

    url: str
    region: str


def find_endpoint(environ: Mapping[str, str], ready_file: Path | None = None) -> LabEndpoint:
    """Return the endpoint in the ready file if one is given, otherwise the one in the environment variables.

    Args:
        environ: The environment variables.
        ready_file: A file that ``lorafw serve --ready-file`` wrote, or None.

    Raises:
        LabError: The endpoint is missing, or is not an address of this machine.
    """
    if ready_file is not None:
        return endpoint_of_ready_file(ready_file)
    return endpoint_of_environment(environ)


def endpoint_of_environment(environ: Mapping[str, str]) -> LabEndpoint:
    """Return the endpoint in AWS_ENDPOINT_URL, with the Region in AWS_DEFAULT_REGION.

    Raises:
        LabError: AWS_ENDPOINT_URL is not set, or is not an address of this machine.
    """
    url = environ.get("AWS_ENDPOINT_URL", "")
    if not url:
        raise LabError(f"AWS_ENDPOINT_URL is not set, so no lab is known: {_REMEDY}")
    region = environ.get("AWS_DEFAULT_REGION") or REGION
    return LabEndpoint(_loopback_url("AWS_ENDPOINT_URL", url), region)


def find_service_url(environ: Mapping[str, str]) -> str:
    """Return the address of the lab's iotwireless API.

    AWS_ENDPOINT_URL_IOT_WIRELESS comes before AWS_ENDPOINT_URL, as in boto3.

    Raises:
        LabError: Neither variable is set, or the address is not on this machine.
    """
    for name in ("AWS_ENDPOINT_URL_IOT_WIRELESS", "AWS_ENDPOINT_URL"):
        url = environ.get(name, "")
        if url:
            return _loopback_url(name, url)
    raise LabError(f"AWS_ENDPOINT_URL is not set, so no lab is known (AWS has no explain): {_REMEDY}")


def endpoint_of_ready_file(path: Path) -> LabEndpoint:
    """Return the endpoint in a file that ``lorafw serve --ready-file`` wrote.

    Raises:
        LabError: The file is missing, is not a ready file, or its address is not on this machine.
    """
    content = _read_ready_file(path)
    url = content.get("api")
    variables = content.get("environment", {})
    if not isinstance(url, str) or not isinstance(variables, dict):
        raise LabError(f"{path} is not a file that 'lorafw serve --ready-file' wrote: it has no 'api'")
    region = variables.get("AWS_DEFAULT_REGION") or REGION
    return LabEndpoint(_loopback_url(f"'api' in {path}", url), str(region))


def check_is_lab(endpoint: LabEndpoint) -> None:
    """Raise an error unless lorafw answers at the endpoint.

    Sends a request with a random number, which only lorafw returns in the expected form. Waits up to 5 seconds for the
    connection, and again for the answer.

    Raises:
        LabError: No server answers, or another server does.
    """
    nonce = secrets.token_hex(16)
    try:
        with open_directly(endpoint, f"{ABOUT_PATH}{nonce}", timeout_s=_TIMEOUT_S) as response:
            answer = json.loads(response.read(_MAX_ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        raise LabError(f"{endpoint.url} is not a lab (it answers HTTP {error.code}): {_REMEDY}") from error
    except OSError as error:
        raise LabError(f"no lab answers at {endpoint.url} ({_reason(error)}): {_REMEDY}") from error
    except (ValueError, HTTPException, RecursionError) as error:
        raise LabError(f"{endpoint.url} is not a lab (it does not answer as lorafw): {_REMEDY}") from error
    if answer != {"lorafw": nonce}:
        raise LabError(f"{endpoint.url} is not a lab (it does not answer as lorafw): {_REMEDY}")


def lab_request(endpoint: LabEndpoint, path: str) -> urllib.request.Request:
    """Return a GET request for a path that lorafw has in addition to AWS's API."""
    # moto finds the service and the Region in the credential of a signature. It does not check the signature.
    credential = f"testing/20210312/{quote(endpoint.region)}/iotwireless/aws4_request"
    authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"
    return urllib.request.Request(f"{endpoint.url}{path}", headers={"Authorization": authorization})  # noqa: S310


def open_directly(endpoint: LabEndpoint, path: str, *, timeout_s: float) -> HTTPResponse:
    """Send a GET request to the lab without a proxy. A redirect is an error.

    Args:
        endpoint: The address of the lab.
        path: The path, with its leading slash.
        timeout_s: The time to wait for the connection, and for the answer.

    Returns:
        The response. The caller must close it.

    Raises:
        urllib.error.HTTPError: The response has an error status, or is a redirect.
        OSError: No server answers.
    """
    response: HTTPResponse = _DIRECT_OPENER.open(lab_request(endpoint, path), timeout=timeout_s)
    return response


class _RefuseRedirects(urllib.request.HTTPRedirectHandler):
    """A handler that treats a redirect as an error, because a redirect could lead away from this machine."""

    def redirect_request(self, *_: Any) -> None:
        """Return no new request, so that urllib raises an HTTPError."""
        return


_DIRECT_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}), _RefuseRedirects)


def _loopback_url(source: str, url: str) -> str:
    """Return an address as ``http://HOST:PORT``. Raises LabError if it is not an HTTP address of this machine.

    ``source`` names the origin of the address in the error message.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port
    except ValueError as error:
        raise LabError(f"{source} is {url!r}, which is not an address: {error}") from error
    if not is_loopback(host):
        raise LabError(f"{source} is {url!r}, which is not on this machine; a lab is at http://127.0.0.1:PORT")
    has_more = parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment
    if parts.scheme != "http" or has_more:
        raise LabError(f"{source} is {url!r}; a lab is at http://127.0.0.1:PORT")
    is_ipv6 = ":" in host
    url_host = f"[{host}]" if is_ipv6 else host
    return f"http://{url_host}:{port or 80}"


def _read_ready_file(path: Path) -> dict[str, Any]:
    """Return the content of a ready file. Raises LabError if it cannot be read or is not a JSON object."""
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(_MAX_READY_FILE_BYTES))
    except FileNotFoundError as error:
        raise LabError(f"{path} is not there: is 'lorafw serve --ready-file {path}' running?") from error
    except OSError as error:
        raise LabError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise LabError(f"{path} is not a file that 'lorafw serve --ready-file' wrote: {error}") from error
    if not isinstance(content, dict):
        raise LabError(f"{path} is not a file that 'lorafw serve --ready-file' wrote: it has no 'api'")
    return content


def _reason(error: OSError) -> str:
    """Return the reason of a failed request without the wrapping of urllib."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause)
