"""The operations and the error codes that a planned failure can name, read from botocore's service models."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, get_args

from lorafw.errors import LabError
from lorafw.failures.codes import COMMON_ERRORS, CommonError

ServiceName = Literal["iotwireless", "iot", "s3", "iam", "sts"]
"""A service of which calls can fail, by its name in boto3."""

TransportFailure = Literal[
    "timeout-before-effect",
    "timeout-after-effect",
    "reset-before-effect",
    "reset-after-effect",
]
"""A failure of the connection. "after-effect": AWS has carried out the call, and its reply is lost."""

SERVICES: Final[tuple[ServiceName, ...]] = get_args(ServiceName)
TRANSPORT_FAILURES: Final[tuple[TransportFailure, ...]] = get_args(TransportFailure)
_NOT_IN_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""A character that no XML document can contain."""
_NO_STATUS: Final = 400
"""The status of an error for which neither the model nor AWS's lists have one (assumed)."""


def has_effect(failure: TransportFailure) -> bool:
    """Return True if AWS carries out the call before the connection fails."""
    return failure in ("timeout-after-effect", "reset-after-effect")


def is_timeout(failure: TransportFailure) -> bool:
    """Return True if the client waits for a reply in vain. Otherwise the connection is reset."""
    return failure in ("timeout-before-effect", "timeout-after-effect")


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of a service."""

    service: ServiceName
    """The service, by its name in boto3."""
    name: str
    """Its name in AWS's API, such as "GetWirelessGateway"."""

    def __str__(self) -> str:
        return f"{self.service}:{self.name}"


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error with which AWS answers a call."""

    code: str
    """The code, as the protocol of the service spells it."""
    status: int
    """The HTTP status."""
    message: str
    """The text of the error, for a person."""


Failure = ErrorReply | TransportFailure
"""How a call fails: AWS answers with an error, or the connection fails."""


@cache
def service_model(service: str) -> Any:
    """Return botocore's model of a service. Files of the user, such as ~/.aws/models, are not read."""
    from botocore.loaders import Loader  # noqa: PLC0415 -- botocore takes a tenth of a second
    from botocore.model import ServiceModel  # noqa: PLC0415

    loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    return ServiceModel(loader.load_service_model(service, "service-2"), service_name=service)


def operation_model(operation: Operation) -> Any:
    """Return botocore's model of an operation."""
    return service_model(operation.service).operation_model(operation.name)


def find_operation(name: str) -> Operation:
    """Return the operation with a name.

    Args:
        name: Name of the operation, such as "PutObject", or the name after its service, such as "iam:CreatePolicy". If
            iotwireless and another service have an operation of this name, the name alone means that of iotwireless.

    Raises:
        LabError: There is no such operation, or several services have one.
    """
    service, colon, name_in_service = str(name).rpartition(":")
    if not colon:
        return _find_in_all_services(name)
    _check_name("operation", service, SERVICES, f"a service, in {name!r}")
    _check_name("operation", name_in_service, operation_names(service), f"an operation of {service}")
    return Operation(_service(service), name_in_service)


def _find_in_all_services(name: str) -> Operation:
    """Return the operation that has this name in one of the services. Raises LabError if it is not clear which one."""
    services = [service for service in SERVICES if name in operation_names(service)]
    if not services:
        all_names = [known for service in SERVICES for known in operation_names(service)]
        _check_name("operation", name, all_names, f"an operation of {', '.join(SERVICES)}")
    if len(services) > 1 and "iotwireless" not in services:
        choices = " or ".join(f"'{service}:{name}'" for service in services)
        raise LabError(f"operation: {name!r} is an operation of {' and of '.join(services)}; give {choices}")
    return Operation(services[0], name)


def operation_names(service: str) -> list[str]:
    """Return the names of all operations of a service."""
    names: list[str] = service_model(service).operation_names
    return names


def error_reply(operation: Operation, code: str, message: str | None = None) -> ErrorReply:
    """Return the error of an operation with this code.

    Args:
        operation: The operation.
        code: Code of one of its modelled errors, or of an error that is common to all operations of its protocol.
        message: Text of the error, or None for a text that names ``fail_next``.

    Raises:
        LabError: The operation cannot return this error, and the text suggests a similar code. Or its reply cannot
            contain the message.
    """
    statuses = error_statuses(operation)
    _check_name("code", code, [*statuses, *TRANSPORT_FAILURES], f"an error of {operation.name}")
    text = message
    if text is None:
        text = f"{operation.name} was told to fail (fail_next)"
    _check_message(operation, text)
    return ErrorReply(code, statuses[code], text)


def error_statuses(operation: Operation) -> Mapping[str, int]:
    """Return the HTTP status of each error that the operation can return, by the error's code on the wire."""
    common = COMMON_ERRORS[service_model(operation.service).metadata["protocol"]]
    statuses = {code: error.status for code, error in common.items()}
    for shape in operation_model(operation).error_shapes:
        statuses[error_code(shape)] = _modelled_status(shape, common)
    return statuses


def error_code(shape: Any) -> str:
    """Return the code of a modelled error as it is on the wire."""
    code: str = shape.metadata.get("error", {}).get("code", shape.name)
    return code


def _modelled_status(shape: Any, common: Mapping[str, CommonError]) -> int:
    """Return the HTTP status of a modelled error. Some of S3's models have none; S3's list has it."""
    status = shape.metadata.get("error", {}).get("httpStatusCode")
    if status is not None:
        return int(status)
    listed = common.get(error_code(shape))
    return _NO_STATUS if listed is None else listed.status


def _check_message(operation: Operation, message: object) -> None:
    """Raise LabError if a message is not a text, or if the reply is XML and cannot contain it."""
    if not isinstance(message, str):
        raise LabError(f"message: {message!r} is not a text")
    is_json = service_model(operation.service).metadata["protocol"] == "rest-json"
    found = None if is_json else _NOT_IN_XML.search(message)
    if found is not None:
        raise LabError(f"message: {operation} answers with XML, which cannot contain {found[0]!r}; leave it out")


def _service(name: str) -> ServiceName:
    """Return the name of a service as a literal."""
    return next(service for service in SERVICES if service == name)


def _check_name(field: str, name: object, allowed: Iterable[str], description: str) -> None:
    """Raise LabError if a name is not one of those that are allowed. The message suggests a similar name."""
    names = sorted(allowed)
    if name in names:
        return
    similar = difflib.get_close_matches(str(name), names, n=1)
    suggestion = similar[0] if similar else "one of " + ", ".join(names)
    raise LabError(f"{field}: {name!r} is not {description}; give {suggestion}")
