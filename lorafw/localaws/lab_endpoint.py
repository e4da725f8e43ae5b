"""Find the running lab: the API of ``lorafw serve`` that a terminal or a ready file names.

Only a server on this machine that answers as lorafw does counts as a lab.
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
    """Return the endpoint in the ready file if there is one, otherwise the one that the variables name.

    Raises:
        LabError: Neither names an address of this machine.
    """
    if ready_file is not None:
        return endpoint_of_ready_file(ready_file)
    return endpoint_of_environment(environ)


def endpoint_of_environment(environ: Mapping[str, str]) -> LabEndpoint:
    """Return the endpoint that the variables name.

    Raises:
        LabError: AWS_ENDPOINT_URL is not set, or is no address of this machine.
    """
    url = environ.get("AWS_ENDPOINT_URL", "")
    if not url:
        raise LabError(f"AWS_ENDPOINT_URL is not set, so no lab is known: {_REMEDY}")
    region = environ.get("AWS_DEFAULT_REGION") or REGION
    return LabEndpoint(_loopback_url("AWS_ENDPOINT_URL", url), region)


def find_service_url(environ: Mapping[str, str]) -> str:
    """Return the address of the lab's iotwireless API, which may have a variable of its own.

    Raises:
        LabError: No variable is set, or its address is not on this machine.
    """
    for name in ("AWS_ENDPOINT_URL_IOT_WIRELESS", "AWS_ENDPOINT_URL"):
        if url := environ.get(name, ""):
            return _loopback_url(name, url)
    raise LabError(f"AWS_ENDPOINT_URL is not set, so no lab is known (AWS has no explain): {_REMEDY}")


def endpoint_of_ready_file(path: Path) -> LabEndpoint:
    """Return the endpoint in a file that ``lorafw serve --ready-file`` wrote.

    Raises:
        LabError: The file is missing, is no ready file, or names no address of this machine.
    """
    content = _read_ready_file(path)
    url, variables = content.get("api"), content.get("environment", {})
    if not isinstance(url, str) or not isinstance(variables, dict):
        raise LabError(f"{path} is not a file that 'lorafw serve --ready-file' wrote: it has no 'api'")
    region = variables.get("AWS_DEFAULT_REGION") or REGION
    return LabEndpoint(_loopback_url(f"'api' in {path}", url), str(region))


def check_is_lab(endpoint: LabEndpoint) -> None:
    """Ask the endpoint whether it is lorafw. Waits up to 5 seconds for each of the two steps of the connection.

    The question contains a random number. Only lorafw answers it in the expected form.

    Raises:
        LabError: Nothing answers there, or something else does.
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
    """Return a GET request for something that lorafw answers and AWS does not have."""
    # moto finds the service and the Region in the credential of a signature. It does not check the signature.
    credential = f"testing/20210312/{quote(endpoint.region)}/iotwireless/aws4_request"
    authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"
    return urllib.request.Request(f"{endpoint.url}{path}", headers={"Authorization": authorization})  # noqa: S310


def open_directly(endpoint: LabEndpoint, path: str, *, timeout_s: float) -> HTTPResponse:
    """Send a GET request to the lab, without a proxy, and return the response. A redirect is an error.

    Raises:
        urllib.error.HTTPError: The answer has another status than 200, or is a redirect.
        OSError: Nothing answers.
    """
    response: HTTPResponse = _DIRECT_OPENER.open(lab_request(endpoint, path), timeout=timeout_s)
    return response


class _RefuseRedirects(urllib.request.HTTPRedirectHandler):
    """Treats a redirect as an error. A redirect could lead away from this machine."""

    def redirect_request(self, *_: Any) -> None:
        return None


_DIRECT_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}), _RefuseRedirects)


def _loopback_url(source: str, url: str) -> str:
    """Return the address in its plain form. Raises LabError if it is not ``http://`` and loopback."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise LabError(f"{source} is {url!r}, which is not an address: {error}") from error
    if not is_loopback(host):
        raise LabError(f"{source} is {url!r}, which is not on this machine; a lab is at http://127.0.0.1:PORT")
    has_more = parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment
    if parts.scheme != "http" or has_more:
        raise LabError(f"{source} is {url!r}; a lab is at http://127.0.0.1:PORT")
    literal = f"[{host}]" if ":" in host else host
    return f"http://{literal}:{port or 80}"


def _read_ready_file(path: Path) -> dict[str, Any]:
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
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause)
