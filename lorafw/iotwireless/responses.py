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
from lorafw.iotwireless.exceptions import InternalServerException, ValidationException, to_aws
from lorafw.iotwireless.models import IoTWirelessBackend, find_backend
from lorafw.iotwireless.routing import Route, find_route
from lorafw.iotwireless.validation import InvalidParameters, parse_parameters

_UNKNOWN_OPERATION: Final = json.dumps(
    {"__type": "UnknownOperationException", "Message": "iotwireless has no such operation"}
)


_MotoResponse = tuple[int, dict[str, Any], str]
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

    def call_action(self) -> Any:
        """Return the response to the request when its changes are saved.

        Overrides moto's method, which does not translate errors of lorafw.
        """
        operation = self._get_action()
        if not operation:
            return self._respond_to_lorafw_path(urlsplit(self.uri).path)
        try:
            with current_service().transaction():
                return self._answer(operation)
        except StateError as error:
            return self._error_response(InternalServerException(str(error)))

    def _answer(self, operation: str) -> Any:
        """Return the answer to an operation of AWS."""
        try:
            if not hasattr(type(self), camelcase_to_underscores(operation)):
                return 501, self.response_headers, _not_implemented_body(operation)
            self._parameters = self._parse_parameters(operation)
            return super().call_action()
        except LorafwError as error:
            return self._error_response(to_aws(error))
        except ServiceException as error:
            return self._error_response(error)

    def setup_class(self, *arguments: Any, **options: Any) -> None:
        """Read the request and find its operation. Overrides moto's method."""
        # Keep the body as bytes, because moto would decode it as UTF-8 without handling errors.
        options["use_raw_body"] = True
        super().setup_class(*arguments, **options)
        self._route = find_route(self.method, self.raw_path)

    def _get_action(self) -> str:
        """Return the name of the operation, or "" if AWS has no such operation. Overrides moto's method."""
        if self._route is None:
            return ""
        return self._route.operation

    def determine_response_protocol(self, service_model: Any) -> str:
        """Return the protocol of the service."""
        # moto would choose another protocol if the Content-Type of the request is that of a form.
        return "rest-json"

    def _parse_parameters(self, operation: str) -> dict[str, Any]:
        """Return the validated parameters of the request.

        Raises:
            ValidationException: A parameter violates a constraint of the service model.
        """
        shape = get_service_model("iotwireless").operation_model(operation).input_shape
        labels = self._route.labels if self._route is not None else {}
        try:
            return parse_parameters(shape, labels, urlsplit(self.uri).query, self._body_bytes())
        except InvalidParameters as error:
            raise ValidationException(str(error)) from error

    def _body_bytes(self) -> bytes:
        """Return the body of the request. moto gives it as text, as bytes, or as None."""
        if isinstance(self.body, str):
            return self.body.encode()
        return self.body or b""

    def _respond_to_lorafw_path(self, path: str) -> _MotoResponse:
        """Return the response for a path that no operation of AWS has.

        lorafw adds two paths for its command line: EXPLAIN_PATH explains the status of a gateway, and ABOUT_PATH tells
        that the server is lorafw. Any other path is an error.
        """
        if path.startswith(EXPLAIN_PATH):
            return self._explain(unquote(path.removeprefix(EXPLAIN_PATH)))
        if path.startswith(ABOUT_PATH):
            return 200, self.response_headers, json.dumps({"lorafw": path.removeprefix(ABOUT_PATH)})
        return 404, self.response_headers, _UNKNOWN_OPERATION

    def _explain(self, gateway: str) -> _MotoResponse:
        """Return the response for EXPLAIN_PATH: why the gateway with this id or EUI is updated, or why it is not."""
        try:
            explanation = self.backend.explain(gateway)
        except LorafwError as error:
            return 404, self.response_headers, json.dumps({"Message": str(error)})
        return 200, self.response_headers, json.dumps(explanation)

    def _error_response(self, error: ServiceException) -> _MotoResponse:
        """Return the response for an error, serialized as AWS does."""
        status, headers, body = self.serialized(ActionResult(error))
        headers["status"] = status
        headers, body = self._enrich_response(headers, body)  # adds the request id
        return status, headers, body

    # --- gateways ---

    def create_wireless_gateway(self) -> ActionResult:
        """Answer CreateWirelessGateway."""
        return ActionResult(self.backend.create_wireless_gateway(self._parameters))

    def get_wireless_gateway(self) -> ActionResult:
        """Answer GetWirelessGateway."""
        return ActionResult(
            self.backend.get_wireless_gateway(self._parameters["Identifier"], self._parameters["IdentifierType"])
        )

    def list_wireless_gateways(self) -> ActionResult:
        """Answer ListWirelessGateways."""
        return ActionResult(self.backend.list_wireless_gateways(*self._pagination_args()))

    def update_wireless_gateway(self) -> ActionResult:
        """Answer UpdateWirelessGateway."""
        self.backend.update_wireless_gateway(self._parameters["Id"], self._parameters)
        return ActionResult({})

    def delete_wireless_gateway(self) -> ActionResult:
        """Answer DeleteWirelessGateway."""
        self.backend.delete_wireless_gateway(self._parameters["Id"])
        return ActionResult({})

    def get_wireless_gateway_firmware_information(self) -> ActionResult:
        """Answer GetWirelessGatewayFirmwareInformation."""
        return ActionResult(self.backend.get_wireless_gateway_firmware_information(self._parameters["Id"]))

    def get_wireless_gateway_statistics(self) -> ActionResult:
        """Answer GetWirelessGatewayStatistics."""
        return ActionResult(self.backend.get_wireless_gateway_statistics(self._parameters["WirelessGatewayId"]))

    # --- certificates and things ---

    def associate_wireless_gateway_with_certificate(self) -> ActionResult:
        """Answer AssociateWirelessGatewayWithCertificate."""
        gateway_id, certificate_id = self._parameters["Id"], self._parameters["IotCertificateId"]
        return ActionResult(self.backend.associate_wireless_gateway_with_certificate(gateway_id, certificate_id))

    def disassociate_wireless_gateway_from_certificate(self) -> ActionResult:
        """Answer DisassociateWirelessGatewayFromCertificate."""
        self.backend.disassociate_wireless_gateway_from_certificate(self._parameters["Id"])
        return ActionResult({})

    def get_wireless_gateway_certificate(self) -> ActionResult:
        """Answer GetWirelessGatewayCertificate."""
        return ActionResult(self.backend.get_wireless_gateway_certificate(self._parameters["Id"]))

    def associate_wireless_gateway_with_thing(self) -> ActionResult:
        """Answer AssociateWirelessGatewayWithThing."""
        self.backend.associate_wireless_gateway_with_thing(self._parameters["Id"], self._parameters["ThingArn"])
        return ActionResult({})

    def disassociate_wireless_gateway_from_thing(self) -> ActionResult:
        """Answer DisassociateWirelessGatewayFromThing."""
        self.backend.disassociate_wireless_gateway_from_thing(self._parameters["Id"])
        return ActionResult({})

    # --- definitions and tasks ---

    def create_wireless_gateway_task_definition(self) -> ActionResult:
        """Answer CreateWirelessGatewayTaskDefinition."""
        return ActionResult(self.backend.create_wireless_gateway_task_definition(self._parameters))

    def get_wireless_gateway_task_definition(self) -> ActionResult:
        """Answer GetWirelessGatewayTaskDefinition."""
        return ActionResult(self.backend.get_wireless_gateway_task_definition(self._parameters["Id"]))

    def list_wireless_gateway_task_definitions(self) -> ActionResult:
        """Answer ListWirelessGatewayTaskDefinitions."""
        return ActionResult(self.backend.list_wireless_gateway_task_definitions(*self._pagination_args()))

    def delete_wireless_gateway_task_definition(self) -> ActionResult:
        """Answer DeleteWirelessGatewayTaskDefinition."""
        self.backend.delete_wireless_gateway_task_definition(self._parameters["Id"])
        return ActionResult({})

    def create_wireless_gateway_task(self) -> ActionResult:
        """Answer CreateWirelessGatewayTask."""
        gateway_id, definition_id = self._parameters["Id"], self._parameters["WirelessGatewayTaskDefinitionId"]
        return ActionResult(self.backend.create_wireless_gateway_task(gateway_id, definition_id))

    def get_wireless_gateway_task(self) -> ActionResult:
        """Answer GetWirelessGatewayTask."""
        return ActionResult(self.backend.get_wireless_gateway_task(self._parameters["Id"]))

    def delete_wireless_gateway_task(self) -> ActionResult:
        """Answer DeleteWirelessGatewayTask."""
        self.backend.delete_wireless_gateway_task(self._parameters["Id"])
        return ActionResult({})

    # --- endpoint and tags ---

    def get_service_endpoint(self) -> ActionResult:
        """Answer GetServiceEndpoint."""
        plain = PLAIN_HEADER in self.headers
        return ActionResult(self.backend.get_service_endpoint(self._parameters.get("ServiceType"), plain=plain))

    def tag_resource(self) -> ActionResult:
        """Answer TagResource."""
        self.backend.tag_resource(self._parameters["ResourceArn"], self._parameters["Tags"])
        return ActionResult({})

    def untag_resource(self) -> ActionResult:
        """Answer UntagResource."""
        self.backend.untag_resource(self._parameters["ResourceArn"], self._parameters["TagKeys"])
        return ActionResult({})

    def list_tags_for_resource(self) -> ActionResult:
        """Answer ListTagsForResource."""
        return ActionResult(self.backend.list_tags_for_resource(self._parameters["ResourceArn"]))

    # --- log levels and event configurations ---

    def get_log_levels_by_resource_types(self) -> ActionResult:
        """Answer GetLogLevelsByResourceTypes."""
        return ActionResult(self.backend.log_levels.get_log_levels_by_resource_types())

    def update_log_levels_by_resource_types(self) -> ActionResult:
        """Answer UpdateLogLevelsByResourceTypes."""
        self.backend.log_levels.update_log_levels_by_resource_types(self._parameters)
        return ActionResult({})

    def get_resource_log_level(self) -> ActionResult:
        """Answer GetResourceLogLevel."""
        return ActionResult(self.backend.log_levels.get_resource_log_level(*self._resource_args()))

    def put_resource_log_level(self) -> ActionResult:
        """Answer PutResourceLogLevel."""
        self.backend.log_levels.put_resource_log_level(*self._resource_args(), self._parameters["LogLevel"])
        return ActionResult({})

    def reset_resource_log_level(self) -> ActionResult:
        """Answer ResetResourceLogLevel."""
        self.backend.log_levels.reset_resource_log_level(*self._resource_args())
        return ActionResult({})

    def reset_all_resource_log_levels(self) -> ActionResult:
        """Answer ResetAllResourceLogLevels."""
        self.backend.log_levels.reset_all_resource_log_levels()
        return ActionResult({})

    def get_event_configuration_by_resource_types(self) -> ActionResult:
        """Answer GetEventConfigurationByResourceTypes."""
        return ActionResult(self.backend.event_configurations.get_event_configuration_by_resource_types())

    def update_event_configuration_by_resource_types(self) -> ActionResult:
        """Answer UpdateEventConfigurationByResourceTypes."""
        self.backend.event_configurations.update_event_configuration_by_resource_types(self._parameters)
        return ActionResult({})

    def get_resource_event_configuration(self) -> ActionResult:
        """Answer GetResourceEventConfiguration."""
        identifier, identifier_type = self._parameters["Identifier"], self._parameters["IdentifierType"]
        return ActionResult(
            self.backend.event_configurations.get_resource_event_configuration(identifier, identifier_type)
        )

    def update_resource_event_configuration(self) -> ActionResult:
        """Answer UpdateResourceEventConfiguration."""
        identifier, identifier_type = self._parameters["Identifier"], self._parameters["IdentifierType"]
        not_events = ("Identifier", "IdentifierType", "PartnerType")
        events = {name: value for name, value in self._parameters.items() if name not in not_events}
        self.backend.event_configurations.update_resource_event_configuration(identifier, identifier_type, events)
        return ActionResult({})

    def list_event_configurations(self) -> ActionResult:
        """Answer ListEventConfigurations."""
        configurations = self.backend.event_configurations
        return ActionResult(
            configurations.list_event_configurations(self._parameters["ResourceType"], *self._pagination_args())
        )

    # --- helpers ---

    def _resource_args(self) -> tuple[str, str]:
        """Return ResourceType and ResourceIdentifier of an operation about one resource."""
        return self._parameters["ResourceType"], self._parameters["ResourceIdentifier"]

    def _pagination_args(self) -> tuple[int | None, str | None]:
        """Return MaxResults and NextToken of a list operation."""
        return self._parameters.get("MaxResults"), self._parameters.get("NextToken")


def _not_implemented_body(operation: str) -> str:
    """Return the body of the response for an operation that lorafw does not implement."""
    built = "gateways, task definitions, tasks, log levels and event configurations"
    message = f"lorafw does not build {operation}; it builds {built}"
    return json.dumps({"__type": "NotImplemented", "Message": message})
