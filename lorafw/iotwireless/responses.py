"""The operations of the API. moto calls one method for each operation, with the operation's name in boto3.

If lorafw does not implement an operation, the response is HTTP 501 with the code NotImplemented. AWS does not use this
code, so a script cannot confuse it with an error of the operation. The response is the same in process and over HTTP.
moto itself would raise NotImplementedError, which becomes a 500 over HTTP, and clients retry a 500.
"""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse
from moto.core.utils import camelcase_to_underscores, get_service_model

from lorafw.errors import LorafwError, StateError
from lorafw.iotwireless.constants import ABOUT_PATH, EXPLAIN_PATH, PLAIN_HEADER
from lorafw.iotwireless.context import current_service
from lorafw.iotwireless.endpoints import get_service_endpoint
from lorafw.iotwireless.exceptions import InternalServerException, ValidationException, to_aws
from lorafw.iotwireless.models import IoTWirelessBackend, find_backend
from lorafw.iotwireless.routing import Route, find_route
from lorafw.iotwireless.validation import InvalidParameters, parse_parameters

_UNKNOWN_OPERATION: Final = json.dumps(
    {"__type": "UnknownOperationException", "Message": "iotwireless has no such operation"}
)

_NOT_EVENTS: Final = ("Identifier", "IdentifierType", "PartnerType")
"""Parameters of UpdateResourceEventConfiguration that are not the topics of an event."""

MotoResponse = tuple[int, dict[str, Any], str]
"""A response as moto takes it: status, headers and body."""


class IoTWirelessResponse(BaseResponse):  # type: ignore[misc]  # moto has no type hints here
    """Parses a request, calls the backend and serializes the response. moto creates one instance for each request."""

    _route: Route | None = None
    """The operation of the request and the labels in its path. None if AWS has no such operation."""

    def __init__(self) -> None:
        super().__init__(service_name="iotwireless")

    @property
    def backend(self) -> IoTWirelessBackend:
        """The backend of the request's account and Region.

        Raises:
            InvalidValue: The Region has no AWS IoT Wireless.
        """
        return find_backend(self.current_account, self.region)

    # --- from a request to its operation, and from an error to a response ---

    def setup_class(self, *arguments: Any, **options: Any) -> None:
        """Read the request and find its operation. Overrides moto's method, which moto calls first."""
        # Keep the body as bytes, because moto would decode it as UTF-8 without handling errors.
        options["use_raw_body"] = True
        super().setup_class(*arguments, **options)
        self._route = find_route(self.method, self.raw_path)

    def determine_response_protocol(self, service_model: Any) -> str:
        """Return the protocol of the service. Overrides moto's method.

        moto would choose another protocol if the Content-Type of the request is that of a form.
        """
        return "rest-json"

    def call_action(self) -> Any:
        """Return the response to the request, after its changes are saved.

        Overrides moto's method, which does not translate errors of lorafw.
        """
        if self._route is None:
            return self._respond_to_other_path(urlsplit(self.uri).path)
        try:
            with current_service().transaction():
                return self._call_operation(self._route)
        except StateError as error:
            return self._error_response(InternalServerException(str(error)))

    def _call_operation(self, route: Route) -> Any:
        """Return the response of the method that has the name of the operation."""
        if not hasattr(type(self), camelcase_to_underscores(route.operation)):
            return 501, self.response_headers, _not_implemented_body(route.operation)
        try:
            self._parameters = self._parse_parameters(route)
            return super().call_action()
        except LorafwError as error:
            return self._error_response(to_aws(error))
        except ServiceException as error:
            return self._error_response(error)

    def _get_action(self) -> str:
        """Return the name of the operation, or "" if AWS has no such operation. Overrides moto's method."""
        if self._route is None:
            return ""
        return self._route.operation

    def _parse_parameters(self, route: Route) -> dict[str, Any]:
        """Return the validated parameters of the request.

        Raises:
            ValidationException: A parameter violates a constraint of the service model.
        """
        operation_model = get_service_model("iotwireless").operation_model(route.operation)
        query = urlsplit(self.uri).query
        try:
            return parse_parameters(operation_model.input_shape, route.labels, query, self._body_bytes())
        except InvalidParameters as error:
            raise ValidationException(str(error)) from error

    def _body_bytes(self) -> bytes:
        """Return the body of the request. moto gives it as text, as bytes, or as None."""
        if isinstance(self.body, str):
            return self.body.encode()
        return self.body or b""

    def _error_response(self, error: ServiceException) -> MotoResponse:
        """Return the response for an error, serialized as AWS does."""
        status, headers, body = self.serialized(ActionResult(error))
        headers["status"] = status
        headers, body = self._enrich_response(headers, body)  # adds the request id
        return status, headers, body

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
        return 404, self.response_headers, _UNKNOWN_OPERATION

    def _respond_to_explain_path(self, id_or_eui: str) -> MotoResponse:
        """Return an explanation of why the gateway with this id or EUI is updated, or why it is not."""
        try:
            explanation = self.backend.gateway_status.explain(id_or_eui)
        except LorafwError as error:
            return 404, self.response_headers, json.dumps({"Message": str(error)})
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
        return ActionResult(get_service_endpoint(self.region, self._parameters.get("ServiceType"), plain=plain))

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
        return ActionResult(self.backend.log_levels.get_by_resource_types())

    def update_log_levels_by_resource_types(self) -> ActionResult:
        """Answer UpdateLogLevelsByResourceTypes."""
        self.backend.log_levels.update_by_resource_types(self._parameters)
        return ActionResult({})

    def get_resource_log_level(self) -> ActionResult:
        """Answer GetResourceLogLevel."""
        resource_type, resource_id = self._parameters["ResourceType"], self._parameters["ResourceIdentifier"]
        return ActionResult(self.backend.log_levels.get(resource_type, resource_id))

    def put_resource_log_level(self) -> ActionResult:
        """Answer PutResourceLogLevel."""
        resource_type, resource_id = self._parameters["ResourceType"], self._parameters["ResourceIdentifier"]
        self.backend.log_levels.put(resource_type, resource_id, self._parameters["LogLevel"])
        return ActionResult({})

    def reset_resource_log_level(self) -> ActionResult:
        """Answer ResetResourceLogLevel."""
        resource_type, resource_id = self._parameters["ResourceType"], self._parameters["ResourceIdentifier"]
        self.backend.log_levels.reset(resource_type, resource_id)
        return ActionResult({})

    def reset_all_resource_log_levels(self) -> ActionResult:
        """Answer ResetAllResourceLogLevels."""
        self.backend.log_levels.reset_all()
        return ActionResult({})

    def get_event_configuration_by_resource_types(self) -> ActionResult:
        """Answer GetEventConfigurationByResourceTypes."""
        return ActionResult(self.backend.event_configurations.get_by_resource_types())

    def update_event_configuration_by_resource_types(self) -> ActionResult:
        """Answer UpdateEventConfigurationByResourceTypes."""
        self.backend.event_configurations.update_by_resource_types(self._parameters)
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

    @property
    def _max_results(self) -> int | None:
        """MaxResults of an operation that lists resources. None if it is not given."""
        return self._parameters.get("MaxResults")

    @property
    def _next_token(self) -> str | None:
        """NextToken of an operation that lists resources. None for the first page."""
        return self._parameters.get("NextToken")


def _not_implemented_body(operation: str) -> str:
    """Return the body of the response for an operation that lorafw does not implement."""
    built = "gateways, task definitions, tasks, log levels and event configurations"
    message = f"lorafw does not build {operation}; it builds {built}"
    return json.dumps({"__type": "NotImplemented", "Message": message})
