"""Which requests to moto change something, and how such a request is kept.

A request that makes a key outside of moto's generator cannot be answered twice in the same way. It is kept as another
request with the same effect: the certificate of CreateKeysAndCertificate is registered again. AWS does not keep the
private key, and neither does the journal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final
from urllib.parse import parse_qs

KEPT_SERVICES: Final = ("s3", "iam", "sts", "iot", "kms")
"""Services of moto whose state is kept, by their names in boto3."""

_QUERY_SERVICES: Final = ("iam", "sts")
"""Services that name the operation in the parameter Action."""
_READING_METHODS: Final = ("GET", "HEAD", "OPTIONS")
_READING_PREFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "iam": ("Get", "List", "Simulate"),
    "sts": ("Get", "Decode"),
    "kms": ("Get", "List", "Describe", "Encrypt", "Decrypt", "ReEncrypt", "Generate", "Sign", "Verify"),
}
"""How the operations begin that change nothing."""

_CERTIFICATE_PATHS: Final = ("/keys-and-certificate", "/certificates")
_REGISTER_PATH: Final = "/certificate/register-no-ca"
_PATH_KEYS: Final = ("PATH_INFO", "REQUEST_URI", "RAW_URI")
"""The keys of a WSGI environment under which werkzeug, the server of moto, gives the path."""

_SIGNATURE: Final = re.compile(r"Signature=[0-9a-f]+")
_KEPT_KEYS: Final = re.compile(
    r"HTTP_.*|REQUEST_METHOD|SCRIPT_NAME|PATH_INFO|QUERY_STRING|CONTENT_TYPE|CONTENT_LENGTH|REQUEST_URI|RAW_URI"
    r"|SERVER_NAME|SERVER_PORT|SERVER_PROTOCOL|REMOTE_ADDR|wsgi\.url_scheme|wsgi\.input_terminated|moto\..*"
)
_SECRET_KEYS: Final = ("HTTP_X_AMZ_SECURITY_TOKEN",)
Environ = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of moto's application."""

    status: str
    """Such as "200 OK"."""
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def code(self) -> int:
        """The status code."""
        return int(self.status.split(" ", 1)[0])


def read_body(environ: Environ) -> bytes:
    """Read the body of a request, and let ``environ`` give it once more. Mutates ``environ``."""
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        body: bytes = stream.read()
    else:
        body = stream.read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = BytesIO(body)
    return body


def changes_something(service: str, environ: Environ, body: bytes) -> bool:
    """Return True unless a request only reads."""
    operation = _operation(service, environ, body)
    if operation is not None:
        return not operation.startswith(_READING_PREFIXES[service])
    return environ["REQUEST_METHOD"] not in _READING_METHODS


def describe(environ: Environ) -> str:
    """Return a short description of a request for a message: its method and path."""
    return f"{environ['REQUEST_METHOD']} {environ['PATH_INFO'][:80]}"


def to_kept_environ(environ: Environ) -> Environ:
    """Return what is kept of the environment of a request, which JSON can represent. Signatures are left out."""
    kept = {key: value for key, value in environ.items() if _KEPT_KEYS.fullmatch(key) and key not in _SECRET_KEYS}
    if "HTTP_AUTHORIZATION" in kept:
        kept["HTTP_AUTHORIZATION"] = _SIGNATURE.sub("Signature=0", kept["HTTP_AUTHORIZATION"])
    return kept


def certificate_registration(service: str, environ: Environ, answer: Answer) -> tuple[Environ, bytes] | None:
    """Return a request that registers the certificate which another request created. None if that created none.

    moto makes a new key for each request that creates a certificate. After a restart, the same request would give
    another certificate. So the journal keeps a request that registers the certificate which moto has answered.

    Args:
        service: Name of the service that answered the request.
        environ: The WSGI environment of the request.
        answer: The answer to it.

    Returns:
        The WSGI environment and the body of the registration.
    """
    if not _creates_certificate(service, environ):
        return None
    is_active = "setasactive=true" in environ.get("QUERY_STRING", "").lower()
    certificate = {
        "certificatePem": json.loads(answer.body)["certificatePem"],
        "status": "ACTIVE" if is_active else "INACTIVE",
    }
    body = json.dumps(certificate).encode()
    registration = dict(environ)
    for path_key in _PATH_KEYS:
        registration[path_key] = _REGISTER_PATH
    registration["QUERY_STRING"] = ""
    registration["CONTENT_TYPE"] = "application/json"
    registration["CONTENT_LENGTH"] = str(len(body))
    return registration, body


def _creates_certificate(service: str, environ: Environ) -> bool:
    """Return True if a request creates a certificate."""
    is_certificate_path = environ["PATH_INFO"] in _CERTIFICATE_PATHS
    return service == "iot" and environ["REQUEST_METHOD"] == "POST" and is_certificate_path


def _operation(service: str, environ: Environ, body: bytes) -> str | None:
    """Return the name of the operation. None if the service names it by method and path."""
    if service == "kms":
        return str(environ.get("HTTP_X_AMZ_TARGET", "")).rpartition(".")[2]
    if service in _QUERY_SERVICES:
        given = parse_qs(body.decode("utf-8", "replace")) or parse_qs(environ.get("QUERY_STRING", ""))
        return given.get("Action", [""])[0]
    return None
