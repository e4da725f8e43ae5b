"""The errors of the API. moto finds their shapes in AWS's service model by the name of this package.

``to_aws`` turns an error of the library into one of these.
"""

from __future__ import annotations

from moto.core.exceptions import ServiceException

from lorafw.errors import Conflict, LorafwError, NotFound


class ResourceException(ServiceException):  # type: ignore[misc]  # moto is not typed for us
    """An error that names the resource it is about."""

    def __init__(self, message: str, resource_type: str, resource_id: str) -> None:
        super().__init__(message)
        self.resource_type = resource_type
        self.resource_id = resource_id


class ResourceNotFoundException(ResourceException):
    """HTTP 404."""

    code = "ResourceNotFoundException"


class ConflictException(ResourceException):
    """HTTP 409."""

    code = "ConflictException"


class ValidationException(ServiceException):  # type: ignore[misc]
    """HTTP 400."""

    code = "ValidationException"


class InternalServerException(ServiceException):  # type: ignore[misc]
    """HTTP 500."""

    code = "InternalServerException"


class TooManyTagsException(ServiceException):  # type: ignore[misc]
    """HTTP 400."""

    code = "TooManyTagsException"

    def __init__(self, message: str, resource_name: str) -> None:
        super().__init__(message)
        self.resource_name = resource_name


def to_aws(error: LorafwError) -> ServiceException:
    """Return the error of the API for an error of the library."""
    if isinstance(error, NotFound):
        return ResourceNotFoundException(str(error), error.resource_type, error.resource_id)
    if isinstance(error, Conflict):
        return ConflictException(str(error), error.resource_type, error.resource_id)
    return ValidationException(str(error))
