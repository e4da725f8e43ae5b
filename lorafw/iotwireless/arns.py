"""The ARNs of the resources of the API."""

from __future__ import annotations

from dataclasses import dataclass

from moto.utilities.utils import get_partition

from lorafw.tasks.model import DEFINITION_RESOURCE, GATEWAY_RESOURCE, AccountRegion


@dataclass(frozen=True, slots=True)
class ResourceArns:
    """The ARNs (Amazon Resource Names) of the gateways and task definitions of one account in one Region.

    An ARN has the form ``arn:aws:iotwireless:us-east-1:123456789012:WirelessGateway/<id of the gateway>``.
    """

    owner: AccountRegion
    """The account and Region."""

    def gateway(self, gateway_id: str) -> str:
        """Return the ARN of a gateway."""
        return f"{self.gateway_prefix}{gateway_id}"

    def definition(self, definition_id: str) -> str:
        """Return the ARN of a task definition."""
        return f"{self.definition_prefix}{definition_id}"

    @property
    def gateway_prefix(self) -> str:
        """What the ARNs of all gateways begin with."""
        return self._prefix(GATEWAY_RESOURCE)

    @property
    def definition_prefix(self) -> str:
        """What the ARNs of all task definitions begin with."""
        return self._prefix(DEFINITION_RESOURCE)

    def _prefix(self, resource_type: str) -> str:
        """Return what the ARNs of a resource type begin with."""
        partition = get_partition(self.owner.region)
        return f"arn:{partition}:iotwireless:{self.owner.region}:{self.owner.account}:{resource_type}/"
