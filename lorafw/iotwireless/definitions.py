"""The operations about task definitions and tasks."""

from __future__ import annotations

from lorafw.iotwireless.idempotency import IdempotentCalls
from lorafw.iotwireless.operations import AccountOperations, Members
from lorafw.iotwireless.pagination import list_members, paginate
from lorafw.iotwireless.serializers import definition_members, read_update, task_members, version_members
from lorafw.iotwireless.tags import TagOperations, check_first_tags
from lorafw.tasks.model import DEFINITION_RESOURCE, AccountRegion, Definition


class DefinitionOperations(AccountOperations):
    """The operations about task definitions. A definition says which update is sent to which gateways.

    Args:
        owner: The account and Region.
        tags: The tags of the account's resources.
        idempotent_calls: Remembers the calls that created a resource.
    """

    def __init__(self, owner: AccountRegion, tags: TagOperations, idempotent_calls: IdempotentCalls) -> None:
        super().__init__(owner)
        self._tags = tags
        self._idempotent_calls = idempotent_calls

    def create(self, parameters: Members) -> Members:
        """Create a task definition, once for each ClientRequestToken. Returns its Id and Arn."""
        return self._idempotent_calls.create_once(DEFINITION_RESOURCE, parameters, self._create)

    def _create(self, parameters: Members) -> Members:
        """Create a task definition. Returns its Id and Arn."""
        tags = parameters.get("Tags") or []
        check_first_tags(tags)
        definition = self.service.create_definition(
            self.owner,
            auto_create_tasks=parameters["AutoCreateTasks"],
            name=parameters.get("Name"),
            update=read_update(parameters.get("Update"), self.service.policy),
        )
        arn = self.arns.definition(definition.id)
        self._tags.set_for_new_resource(arn, tags)
        return {"Id": definition.id, "Arn": arn}

    def get(self, definition_id: str) -> Members:
        """Return a task definition.

        Raises:
            NotFound: There is no such definition.
        """
        definition = self.service.definition(self.owner, definition_id)
        return definition_members(definition, self.arns.definition(definition_id))

    def list_page(self, max_results: int | None, next_token: str | None) -> Members:
        """Return a page of the task definitions, oldest first."""
        definitions = self.service.definitions(self.owner)
        page = paginate(definitions, self.arns.definition_prefix, max_results, next_token)
        listed = [self._describe_listed(definition) for definition in page.items]
        return list_members("TaskDefinitions", listed, page.next_token)

    def _describe_listed(self, definition: Definition) -> Members:
        """Return a task definition as a list shows it. It has no member LoRaWAN if it names no version."""
        members: Members = {"Id": definition.id, "Arn": self.arns.definition(definition.id)}
        if definition.update is None:
            return members
        versions = version_members(definition.update)
        if versions:
            members["LoRaWAN"] = versions
        return members

    def delete(self, definition_id: str) -> None:
        """Delete a task definition and its tags. The tasks that were created from it continue.

        Raises:
            NotFound: There is no such definition.
        """
        self.service.delete_definition(self.owner, definition_id)
        self._tags.forget_resource(self.arns.definition(definition_id))


class TaskOperations(AccountOperations):
    """The operations about tasks. A task is the update of one gateway; a gateway has at most one."""

    def create(self, gateway_id: str, definition_id: str) -> Members:
        """Create a task for a gateway. Returns the id of its definition, and its status.

        Raises:
            NotFound: There is no such gateway or definition.
            Conflict: The gateway has a task already.
        """
        task = self.service.create_task(self.owner, gateway_id, definition_id)
        return {"WirelessGatewayTaskDefinitionId": definition_id, "Status": str(task.status)}

    def get(self, gateway_id: str) -> Members:
        """Return the task of a gateway.

        Raises:
            NotFound: There is no such gateway, or it has no task.
        """
        task = self.service.task(self.owner, gateway_id)
        last_seen_ms = self.service.last_seen_ms(self.owner, gateway_id)
        return task_members(gateway_id, task, last_seen_ms)

    def delete(self, gateway_id: str) -> None:
        """Delete the task of a gateway.

        Raises:
            NotFound: There is no such gateway, or it has no task.
        """
        self.service.delete_task(self.owner, gateway_id)
