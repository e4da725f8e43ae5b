"""Every exception that lorafw raises.

::

    LorafwError
    ├── CupsError
    │   ├── MalformedRequest      the gateway's fault: answered with HTTP 400
    │   ├── CertificateNotAllowed this certificate may not speak for this gateway: answered with HTTP 403
    │   ├── MalformedResponse     the server's fault: the gateway keeps its firmware
    │   └── InvalidFieldLength    ours: .field .length .maximum
    ├── SignatureError
    │   ├── BadSignature          .key_crc: no verification with this key
    │   ├── NoMatchingKey         .offered .known: none of the keys verifies
    │   └── InvalidKey            not a P-256 key, or not in a form that can be read
    ├── FirmwareError             what is wrong with an update file, and where
    ├── SourceError               why s3://bucket/key cannot be read through the update role
    │   ├── InvalidSource         the location or the role is not written as one
    │   ├── NoSuchObject          no such bucket, or no such key in it
    │   ├── AccessDenied          the role's policies do not allow the object
    │   ├── RoleNotTrusted        the role is missing, or does not trust iotwireless.amazonaws.com
    │   └── SourceUnavailable     nothing answers, or what was read is not what was promised
    ├── TaskError                 the update service refuses a call; nothing has changed
    │   ├── NotFound              .resource_type .resource_id
    │   ├── Conflict              .resource_type .resource_id
    │   └── InvalidValue          .field .value
    ├── FleetError                .field .value: a fleet, a plan or a file of one does not make sense
    ├── RolloutError              a rollout cannot be planned or carried out; nothing was sent
    │   ├── StalePlan             .changes: what has changed since the plan was made
    │   ├── WrongTarget           the credentials or the endpoint lead to another account, Region or machine
    │   └── JournalError          the journal is locked, damaged, full, or that of another plan
    ├── IllegalTransition         .status .event: not in the transition table; nothing has changed
    ├── FaultError                .fault: no fault has this name, or it cannot happen here
    ├── HomeError                 a file in a station's home folder is missing or cannot be used
    ├── StateError                a state folder cannot be used, or a change cannot be saved
    ├── MissingExtra              .extra: a library is not installed; also an ImportError
    ├── LabError                  the lab or a testbed cannot do it: not installed, not open, a bad argument
    └── IncompatibleMoto          the installed moto has not the shape that lorafw.register() needs

The API inside moto answers with AWS's own error shapes; those are answers of a service, not exceptions of this library.
"""

from __future__ import annotations

from collections.abc import Sequence


class LorafwError(Exception):
    """Base class of all errors that lorafw raises on purpose."""


class CupsError(LorafwError):
    """A CUPS message does not follow the protocol."""


class MalformedRequest(CupsError):
    """A gateway has sent an update-info request that no Basics Station would send."""


class CertificateNotAllowed(CupsError):
    """The client certificate is not the one that is bound to the gateway, or is not active."""


class MalformedResponse(CupsError):
    """A server has sent an update-info response that a Basics Station would refuse."""


class InvalidFieldLength(CupsError):
    """A value to be sent is too long or too short for its length field, or for what a Basics Station accepts."""

    def __init__(self, field: str, length: int, maximum: int, minimum: int = 0) -> None:
        bound = f"at most {maximum}" if length > maximum else f"at least {minimum}"
        super().__init__(f"{field} has {length} bytes; the station takes {bound}")
        self.field = field
        self.length = length
        self.maximum = maximum
        self.minimum = minimum


class SignatureError(LorafwError):
    """A signature is not valid, or cannot be made or read."""


class BadSignature(SignatureError):
    """The signature was not made over these bytes with the private half of this key."""

    def __init__(self, message: str, key_crc: int) -> None:
        super().__init__(message)
        self.key_crc = key_crc


class NoMatchingKey(SignatureError):
    """No key verifies the signature.

    Attributes:
        offered: Key CRC that came with the signature, or None.
        known: CRCs of the keys that were tried.
    """

    def __init__(self, offered: int | None, known: Sequence[int]) -> None:
        known = tuple(known)
        names = ", ".join(f"{crc:08X}" for crc in known) or "none"
        came = "without a key CRC" if offered is None else f"with key CRC {offered:08X}"
        super().__init__(f"no key verifies the signature, which came {came}; keys tried: {names}")
        self.offered = offered
        self.known = known


class InvalidKey(SignatureError):
    """Not an ECDSA P-256 key, or not in a form that can be read."""


class FirmwareError(LorafwError):
    """An update file is not what it should be. The message says what, and where."""


class SourceError(LorafwError):
    """The object at UpdateDataSource cannot be read through UpdateDataRole."""


class InvalidSource(SourceError):
    """UpdateDataSource is not s3://bucket/key, or UpdateDataRole is not the ARN of an IAM role."""


class NoSuchObject(SourceError):
    """There is no such bucket, or no such key in it."""


class AccessDenied(SourceError):
    """The role's policies, or the bucket's, do not let the role read the object."""


class RoleNotTrusted(SourceError):
    """The role does not exist, or its trust policy does not let iotwireless.amazonaws.com assume it."""


class SourceUnavailable(SourceError):
    """S3 or IAM does not answer, or the object changed or ended while it was read."""


class TaskError(LorafwError):
    """The update service refuses a call. Nothing has changed."""


class NotFound(TaskError):
    """There is no such resource."""

    def __init__(self, resource_type: str, resource_id: str) -> None:
        super().__init__(f"{resource_type} {resource_id!r} does not exist")
        self.resource_type = resource_type
        self.resource_id = resource_id


class Conflict(TaskError):
    """The call conflicts with the current state of the resource."""

    def __init__(self, message: str, resource_type: str, resource_id: str) -> None:
        super().__init__(message)
        self.resource_type = resource_type
        self.resource_id = resource_id


class InvalidValue(TaskError):
    """A value that AWS's model accepts but that can never work."""

    def __init__(self, field: str, value: object, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.value = value


class FleetError(LorafwError):
    """A fleet, a rollout plan, or a file with one, does not make sense; nothing was taken over."""

    def __init__(self, field: str, value: object, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.value = value


class RolloutError(LorafwError):
    """A rollout cannot be planned or carried out. Nothing was sent to AWS for it."""


class StalePlan(RolloutError):
    """The account has changed since the plan was made. ``changes`` names each change."""

    def __init__(self, changes: Sequence[str]) -> None:
        listed = "".join(f"\n  - {change}" for change in changes)
        super().__init__(f"the plan is stale; make a new one with 'lorafw rollout plan'. What has changed:{listed}")
        self.changes = tuple(changes)


class WrongTarget(RolloutError):
    """The credentials or the endpoint lead to another account, Region or machine than the plan is for."""


class JournalError(RolloutError):
    """The journal of a rollout is locked, damaged, full, or that of another plan."""


class IllegalTransition(LorafwError):
    """The event cannot happen in this status. Nothing has changed."""

    def __init__(self, status: object, event: object) -> None:
        super().__init__(f"a task that is {status} cannot take the event {event}")
        self.status = status
        self.event = event


class FaultError(LorafwError):
    """No fault of a gateway has this name, or it cannot be made to happen here."""

    def __init__(self, fault: str, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class HomeError(LorafwError):
    """A file in a station's home folder is missing or cannot be used. The message names it."""


class StateError(LorafwError):
    """A state folder cannot be used, or a change cannot be saved in it. The message says how to go on."""


class MissingExtra(LorafwError, ImportError):
    """A library is not installed, and one of lorafw's extras would install it.

    Attributes:
        extra: The name of the extra.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what}: pip install 'lorafw[{extra}]'")
        self.extra = extra


class LabError(LorafwError):
    """The lab or a testbed cannot do what was asked.

    For example, JupyterLab is not installed or does not start, a testbed is not open, or an argument is out of range.
    The message says what to do.
    """


class IncompatibleMoto(LorafwError):
    """The installed release of moto differs from the releases that lorafw supports."""
