"""Errors that any operation can return, beside those that the service's model lists for it.

AWS documents one list for all services, "Common Error Types" in each API reference. IAM and STS spell some of these
errors differently on the wire. S3 has a list of its own ("Error responses" in the S3 API reference).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lorafw.tasks.decision import Evidence


@dataclass(frozen=True, slots=True)
class CommonError:
    """An error that any operation of a protocol can return."""

    status: int
    """The HTTP status of the reply."""
    evidence: Evidence = Evidence.DOCUMENTED
    """How code and status are known."""


_AWS: Final = {
    "AccessDeniedException": CommonError(403),
    "ExpiredTokenException": CommonError(403),
    "IncompleteSignature": CommonError(403),
    "InternalFailure": CommonError(500),
    "MalformedHttpRequestException": CommonError(400),
    "NotAuthorized": CommonError(401),
    "OptInRequired": CommonError(403),
    "RequestAbortedException": CommonError(400),
    "RequestEntityTooLargeException": CommonError(413),
    "RequestExpired": CommonError(400),
    "RequestTimeoutException": CommonError(408),
    "ServiceUnavailable": CommonError(503),
    "ThrottlingException": CommonError(400),
    "UnrecognizedClientException": CommonError(403),
    "UnknownOperationException": CommonError(404),
    "ValidationError": CommonError(400),
}

_REST_JSON: Final = {**_AWS, "InvalidSignatureException": CommonError(403, Evidence.OBSERVED)}
"""Errors of iotwireless and iot."""

_QUERY: Final = {
    **_AWS,
    "AccessDenied": CommonError(403, Evidence.OBSERVED),
    "ExpiredToken": CommonError(403, Evidence.OBSERVED),
    "InvalidClientTokenId": CommonError(403),
    "SignatureDoesNotMatch": CommonError(403, Evidence.OBSERVED),
    "Throttling": CommonError(400, Evidence.OBSERVED),
}
"""Errors of iam and sts."""

_S3: Final = {
    "AccessDenied": CommonError(403),
    "AllAccessDisabled": CommonError(403),
    "BucketAlreadyExists": CommonError(409),
    "BucketAlreadyOwnedByYou": CommonError(409),
    "EntityTooLarge": CommonError(400),
    "ExpiredToken": CommonError(400),
    "InternalError": CommonError(500),
    "InvalidAccessKeyId": CommonError(403),
    "InvalidArgument": CommonError(400),
    "InvalidBucketState": CommonError(409),
    "InvalidDigest": CommonError(400),
    "InvalidObjectState": CommonError(403),
    "InvalidRange": CommonError(416),
    "InvalidRequest": CommonError(400),
    "InvalidToken": CommonError(400),
    "MethodNotAllowed": CommonError(405),
    "NoSuchBucket": CommonError(404),
    "NoSuchKey": CommonError(404),
    "NoSuchUpload": CommonError(404),
    "NoSuchVersion": CommonError(404),
    "NotImplemented": CommonError(501),
    "OperationAborted": CommonError(409),
    "PreconditionFailed": CommonError(412),
    "RequestTimeTooSkewed": CommonError(403),
    "RequestTimeout": CommonError(400),
    "ServiceUnavailable": CommonError(503),
    "SignatureDoesNotMatch": CommonError(403),
    "SlowDown": CommonError(503),
}

COMMON_ERRORS: Final[Mapping[str, Mapping[str, CommonError]]] = {
    "rest-json": _REST_JSON,
    "query": _QUERY,
    "rest-xml": _S3,
}
"""For each protocol, its common errors by their codes."""

THROTTLING_CODES: Final[Mapping[str, str]] = {
    "iotwireless": "ThrottlingException",
    "iot": "ThrottlingException",
    "iam": "Throttling",
    "sts": "Throttling",
    "s3": "SlowDown",
}
"""The code with which each service refuses a call because there were too many."""
