"""The tags of gateways and task definitions. A tag is a key with a value that a user gives to a resource."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Final

from moto.utilities.tagging_service import TaggingService

from lorafw.errors import InvalidValue, NotFound
from lorafw.iotwireless.exceptions import TooManyTagsException
from lorafw.iotwireless.operations import AccountOperations, Members
from lorafw.tasks.model import AccountRegion

MAX_TAGS: Final = 50
"""Maximum number of tags of one resource (documented). The limit in AWS's service model is for one call."""

TAGS: Final = "tags"
"""Kind of a saved value: the tags of a resource, by its ARN."""

Tag = dict[str, str]
"""A tag as AWS's API has it: the members Key and Value."""


class TagOperations(AccountOperations):
    """The operations about tags. Thread-safe."""

    def __init__(self, owner: AccountRegion) -> None:
        super().__init__(owner)
        self._tags_by_arn = TaggingService(key_name="Key", value_name="Value")
        self._lock = threading.Lock()
        """Held while the tags of a resource are counted and changed."""

    def get(self, arn: str) -> Members:
        """Return the tags of a resource, as the member Tags.

        Raises:
            NotFound: There is no such resource.
        """
        self._check_exists(arn)
        tags: Members = self._tags_by_arn.list_tags_for_resource(arn)
        return tags

    def add(self, arn: str, tags: list[Tag]) -> None:
        """Add tags to a resource. A tag replaces the present one with the same key.

        Raises:
            NotFound: There is no such resource.
            TooManyTagsException: The resource would have more than MAX_TAGS tags. None is added.
        """
        self._check_exists(arn)
        with self._lock:
            present_tags = self._tags_by_arn.list_tags_for_resource(arn)["Tags"]
            problem = _tag_limit_error([*present_tags, *tags])
            if problem is not None:
                raise TooManyTagsException(problem, arn)
            self._tags_by_arn.tag_resource(arn, tags)
            self._save(arn)

    def remove(self, arn: str, keys: list[str]) -> None:
        """Remove the tags with these keys from a resource.

        Raises:
            NotFound: There is no such resource.
        """
        self._check_exists(arn)
        with self._lock:
            self._tags_by_arn.untag_resource_using_names(arn, keys)
            self._save(arn)

    def set_for_new_resource(self, arn: str, tags: list[Tag]) -> None:
        """Give a resource its first tags. Check them before with ``check_first_tags``."""
        if tags:
            self._tags_by_arn.tag_resource(arn, tags)
            self._save(arn)

    def forget_resource(self, arn: str) -> None:
        """Delete all tags of a resource that is deleted."""
        self._tags_by_arn.delete_all_tags_for_resource(arn)
        self.delete_saved_value(TAGS, arn)

    def restore(self, arn: str, tags: list[Tag]) -> None:
        """Take over the saved tags of a resource."""
        self._tags_by_arn.tag_resource(arn, tags)

    def _save(self, arn: str) -> None:
        """Save the tags of a resource with the state of the service."""
        self.save_value(TAGS, arn, self._tags_by_arn.list_tags_for_resource(arn)["Tags"])

    def _check_exists(self, arn: str) -> None:
        """Raise NotFound if the ARN is not that of a gateway or a task definition."""
        if arn.startswith(self.arns.gateway_prefix):
            self.service.gateway(self.owner, arn.removeprefix(self.arns.gateway_prefix))
        elif arn.startswith(self.arns.definition_prefix):
            self.service.definition(self.owner, arn.removeprefix(self.arns.definition_prefix))
        else:
            raise NotFound("Resource", arn)


def check_first_tags(tags: Iterable[Tag]) -> None:
    """Check the tags of a resource that is about to be created.

    Unlike TagResource, the operations that create a resource have no TooManyTagsException in AWS's service model.

    Raises:
        InvalidValue: There are more than MAX_TAGS tags.
    """
    problem = _tag_limit_error(tags)
    if problem is not None:
        raise InvalidValue("Tags", None, problem)


def _tag_limit_error(tags: Iterable[Mapping[str, str]]) -> str | None:
    """Return an error message if these are too many tags for one resource. None if they are not."""
    keys = {tag["Key"] for tag in tags}
    if len(keys) <= MAX_TAGS:
        return None
    return f"{len(keys)} tags; a resource has at most {MAX_TAGS}"
