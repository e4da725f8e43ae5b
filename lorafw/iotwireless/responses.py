"""The operations of the API. moto calls one method for each operation, with the operation's name in boto3."""

from __future__ import annotations

import json
from typing import Final
from urllib.parse import unquote

from moto.core.responses import ActionResult

from lorafw.errors import LorafwError, NotFound
from lorafw.iotwireless.constants import ABOUT_PATH, EXPLAIN_PATH, PLAIN_HEADER
from lorafw.iotwireless.endpoints import get_service_endpoint
from lorafw.iotwireless.models import IoTWirelessBackend, find_backend
from lorafw.iotwireless.monitoring.log_levels import LogLevel, describe_level
from lorafw.iotwireless.operation_response import MotoResponse, OperationResponse

_NOT_EVENTS: Final = ("Identifier", "IdentifierType", "PartnerType")
"""Parameters of UpdateResourceEventConfiguration that are not the topics of an event."""


class IoTWirelessResponse(OperationResponse):
    """The operations of iotwireless. Each method passes the parameters of the request to the backend."""

    @property
    def backend(self) -> IoTWirelessBackend:
        """The backend of the request's account and Region.

        Raises:
            InvalidValue: The Region has no AWS IoT Wireless.
        """
        return find_backend(self.current_account, self.region)

    # --- paths that AWS does not have ---

    def _respond_to_other_path(self, path: str) -> MotoResponse:
        """Return the response for a path that no operation of AWS has.

        lorafw adds two paths for its command line: EXPLAIN_PATH explains the status of a gateway, and ABOUT_PATH tells
        that the server is lorafw. Any other path is an error.
        """
        if path.startswith(EXPLAIN_PATH):
            return self._respond_to_explain_path(unquote(path.removeprefix(EXPLAIN_PATH)))
        if path.startswith(ABOUT_PATH):
            return 200, self.response_headers, json.dumps({"lorafw": path.removeprefix(ABOUT_PATH)})
        return super()._respond_to_other_path(path)

    def _respond_to_explain_path(self, id_or_eui: str) -> MotoResponse:
        """Return an explanation of why the gateway with this id or EUI is updated, or why it is not."""
        try:
            explanation = self.backend.gateway_status.explain(id_or_eui)
        except NotFound as error:
            return 404, self.response_headers, json.dumps({"Message": str(error)})
        except LorafwError as error:
            return 400, self.response_headers, json.dumps({"Message": str(error)})
        return 200, self.response_headers, json.dumps(explanation)

    # --- gateways ---

    def create_wireless_gateway(self) -> ActionResult:
        """Answer CreateWirelessGateway."""
        return ActionResult(self.backend.gateways.create(self._parameters))

    def get_wireless_gateway(self) -> ActionResult:
        """Answer GetWirelessGateway."""
        identifier, identifier_type = self._parameters["Identifier"], self._parameters["IdentifierType"]
        return ActionResult(self.backend.gateways.get(identifier, identifier_type))

    def list_wireless_gateways(self) -> ActionResult:
        """Answer ListWirelessGateways."""
        return ActionResult(self.backend.gateways.list_page(self._max_results, self._next_token))

    def update_wireless_gateway(self) -> ActionResult:
        """Answer UpdateWirelessGateway."""
        self.backend.gateways.update(self._parameters["Id"], self._parameters)
        return ActionResult({})

    def delete_wireless_gateway(self) -> ActionResult:
        """Answer DeleteWirelessGateway."""
        self.backend.delete_gateway(self._parameters["Id"])
        return ActionResult({})

    def get_wireless_gateway_firmware_information(self) -> ActionResult:
        """Answer GetWirelessGatewayFirmwareInformation."""
        return ActionResult(self.backend.gateway_status.firmware_information(self._parameters["Id"]))

    def get_wireless_gateway_statistics(self) -> ActionResult:
        """Answer GetWirelessGatewayStatistics."""
        return ActionResult(self.backend.gateway_status.statistics(self._parameters["WirelessGatewayId"]))

    # --- certificates and things ---

    def associate_wireless_gateway_with_certificate(self) -> ActionResult:
        """Answer AssociateWirelessGatewayWithCertificate."""
        gateway_id, certificate_id = self._parameters["Id"], self._parameters["IotCertificateId"]
        return ActionResult(self.backend.certificates.associate(gateway_id, certificate_id))

    def disassociate_wireless_gateway_from_certificate(self) -> ActionResult:
        """Answer DisassociateWirelessGatewayFromCertificate."""
        self.backend.certificates.disassociate(self._parameters["Id"])
        return ActionResult({})

    def get_wireless_gateway_certificate(self) -> ActionResult:
        """Answer GetWirelessGatewayCertificate."""
        return ActionResult(self.backend.certificates.get(self._parameters["Id"]))

    def associate_wireless_gateway_with_thing(self) -> ActionResult:
        """Answer AssociateWirelessGatewayWithThing."""
        self.backend.things.associate(self._parameters["Id"], self._parameters["ThingArn"])
        return ActionResult({})

    def disassociate_wireless_gateway_from_thing(self) -> ActionResult:
        """Answer DisassociateWirelessGatewayFromThing."""
        self.backend.things.disassociate(self._parameters["Id"])
        return ActionResult({})

    # --- definitions and tasks ---

    def create_wireless_gateway_task_definition(self) -> ActionResult:
        """Answer CreateWirelessGatewayTaskDefinition."""
        return ActionResult(self.backend.definitions.create(self._parameters))

    def get_wireless_gateway_task_definition(self) -> ActionResult:
        """Answer GetWirelessGatewayTaskDefinition."""
        return ActionResult(self.backend.definitions.get(self._parameters["Id"]))

    def list_wireless_gateway_task_definitions(self) -> ActionResult:
        """Answer ListWirelessGatewayTaskDefinitions."""
        return ActionResult(self.backend.definitions.list_page(self._max_results, self._next_token))

    def delete_wireless_gateway_task_definition(self) -> ActionResult:
        """Answer DeleteWirelessGatewayTaskDefinition."""
        self.backend.definitions.delete(self._parameters["Id"])
        return ActionResult({})

    def create_wireless_gateway_task(self) -> ActionResult:
        """Answer CreateWirelessGatewayTask."""
        gateway_id, definition_id = self._parameters["Id"], self._parameters["WirelessGatewayTaskDefinitionId"]
        return ActionResult(self.backend.tasks.create(gateway_id, definition_id))

    def get_wireless_gateway_task(self) -> ActionResult:
        """Answer GetWirelessGatewayTask."""
        return ActionResult(self.backend.tasks.get(self._parameters["Id"]))

    def delete_wireless_gateway_task(self) -> ActionResult:
        """Answer DeleteWirelessGatewayTask."""
        self.backend.tasks.delete(self._parameters["Id"])
        return ActionResult({})

    # --- endpoint and tags ---

    def get_service_endpoint(self) -> ActionResult:
        """Answer GetServiceEndpoint."""
        plain = PLAIN_HEADER in self.headers
        region = self.backend.region_name
        return ActionResult(get_service_endpoint(region, self._parameters.get("ServiceType"), plain=plain))

    def tag_resource(self) -> ActionResult:
        """Answer TagResource."""
        self.backend.tags.add(self._parameters["ResourceArn"], self._parameters["Tags"])
        return ActionResult({})

    def untag_resource(self) -> ActionResult:
        """Answer UntagResource."""
        self.backend.tags.remove(self._parameters["ResourceArn"], self._parameters["TagKeys"])
        return ActionResult({})

    def list_tags_for_resource(self) -> ActionResult:
        """Answer ListTagsForResource."""
        return ActionResult(self.backend.tags.get(self._parameters["ResourceArn"]))

    # --- log levels and event configurations ---

    def get_log_levels_by_resource_types(self) -> ActionResult:
        """Answer GetLogLevelsByResourceTypes."""
        return ActionResult(self.backend.log_level_options.get())

    def update_log_levels_by_resource_types(self) -> ActionResult:
        """Answer UpdateLogLevelsByResourceTypes."""
        self.backend.log_level_options.update(self._parameters)
        return ActionResult({})

    def get_resource_log_level(self) -> ActionResult:
        """Answer GetResourceLogLevel."""
        level = self.backend.gateway_log_levels.find(self._gateway_with_log_level())
        return ActionResult(describe_level(level))

    def put_resource_log_level(self) -> ActionResult:
        """Answer PutResourceLogLevel."""
        level = LogLevel(self._parameters["LogLevel"])
        self.backend.gateway_log_levels.put(self._gateway_with_log_level(), level)
        return ActionResult({})

    def reset_resource_log_level(self) -> ActionResult:
        """Answer ResetResourceLogLevel."""
        self.backend.gateway_log_levels.remove(self._gateway_with_log_level())
        return ActionResult({})

    def reset_all_resource_log_levels(self) -> ActionResult:
        """Answer ResetAllResourceLogLevels."""
        self.backend.gateway_log_levels.remove_all()
        return ActionResult({})

    def get_event_configuration_by_resource_types(self) -> ActionResult:
        """Answer GetEventConfigurationByResourceTypes."""
        return ActionResult(self.backend.type_topics.get())

    def update_event_configuration_by_resource_types(self) -> ActionResult:
        """Answer UpdateEventConfigurationByResourceTypes."""
        self.backend.type_topics.update(self._parameters)
        return ActionResult({})

    def get_resource_event_configuration(self) -> ActionResult:
        """Answer GetResourceEventConfiguration."""
        identifier, identifier_type = self._parameters["Identifier"], self._parameters["IdentifierType"]
        return ActionResult(self.backend.event_configurations.get(identifier, identifier_type))

    def update_resource_event_configuration(self) -> ActionResult:
        """Answer UpdateResourceEventConfiguration."""
        identifier, identifier_type = self._parameters["Identifier"], self._parameters["IdentifierType"]
        changes = {name: value for name, value in self._parameters.items() if name not in _NOT_EVENTS}
        self.backend.event_configurations.update(identifier, identifier_type, changes)
        return ActionResult({})

    def list_event_configurations(self) -> ActionResult:
        """Answer ListEventConfigurations."""
        resource_type = self._parameters["ResourceType"]
        page = self.backend.event_configurations.list_page(resource_type, self._max_results, self._next_token)
        return ActionResult(page)

    # --- parameters of several operations ---

    def _gateway_with_log_level(self) -> str:
        """Return the id of the gateway that an operation about a log level names. Raises NotFound if there is none."""
        resource_type, resource_id = self._parameters["ResourceType"], self._parameters["ResourceIdentifier"]
        self.backend.gateway_log_levels.check_exists(resource_type, resource_id)
        return str(resource_id)

    @property
    def _max_results(self) -> int | None:
        """MaxResults of an operation that lists resources. None if it is not given."""
        return self._parameters.get("MaxResults")

    @property
    def _next_token(self) -> str | None:
        """NextToken of an operation that lists resources. None for the first page."""
        return self._parameters.get("NextToken")
