"""The operations: parameters in, members out. One method an operation, by its name in Python's case.

An operation that is not built is answered with HTTP 501 and the code NotImplemented. No operation of AWS has this
code, so a script that handles its errors does not take it for one of them; no client tries it again; and it is the same
in process and over HTTP, where moto's own NotImplementedError would become a 500 that every client tries again.
"""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse
from moto.core.utils import camelcase_to_underscores, get_service_model

from lorafw.errors import InvalidValue, LorafwError
from lorafw.iotwireless.constants import ABOUT_PATH, EXPLAIN_PATH, PLAIN_HEADER
from lorafw.iotwireless.context import pop_failure
from lorafw.iotwireless.exceptions import InjectedError, ValidationException, to_aws
from lorafw.iotwireless.models import IoTWirelessBackend, iotwireless_backends
from lorafw.iotwireless.routing import Route, find_route
from lorafw.iotwireless.validation import InvalidParameters, parse_parameters

_UNKNOWN_OPERATION: Final = json.dumps(
    {"__type": "UnknownOperationException", "Message": "iotwireless has no such operation"}
)


class IoTWirelessResponse(BaseResponse):  # type: ignore[misc]  # moto is not typed for us
    """moto's response class for iotwireless."""

    _route: Route | None = None

    def __init__(self) -> None:
        super().__init__(service_name="iotwireless")

    @property
    def backend(self) -> IoTWirelessBackend:
        """Raises Invalid in a Region that has no AWS IoT Wireless."""
        regions = iotwireless_backends[self.current_account]
        try:
            backend: IoTWirelessBackend = regions[self.region]
        except KeyError:
            known = ", ".join(regions.regions)
            raise InvalidValue(
                "Region", self.region, f"{self.region!r} has no AWS IoT Wireless; it is in {known}"
            ) from None
        return backend

    def call_action(self) -> Any:
        operation = self._get_action()
        if not operation:
            return self._answer_own_path(urlsplit(self.uri).path)
        try:
            if failure := pop_failure(operation):
                raise InjectedError(*failure)
            if not hasattr(type(self), camelcase_to_underscores(operation)):
                return 501, self.response_headers, _not_implemented_body(operation)
            self._given = self._read(operation)
            return super().call_action()
        except LorafwError as error:
            return self._failed(to_aws(error))
        except ServiceException as error:
            return self._failed(error)

    def setup_class(self, *given: Any, **options: Any) -> None:
        # As bytes: moto would decode the body without asking whether it can be.
        super().setup_class(*given, **{**options, "use_raw_body": True})
        self._route = find_route(self.method, self.raw_path)

    def _get_action(self) -> str:
        return self._route.operation if self._route is not None else ""

    def determine_response_protocol(self, service_model: Any) -> str:
        # The service has one; moto would take another from the Content-Type of a client that sends a form.
        return "rest-json"

    def _read(self, operation: str) -> dict[str, Any]:
        shape = get_service_model("iotwireless").operation_model(operation).input_shape
        labels = self._route.labels if self._route is not None else {}
        body = self.body.encode() if isinstance(self.body, str) else self.body or b""
        try:
            return parse_parameters(shape, labels, urlsplit(self.uri).query, body)
        except InvalidParameters as error:
            raise ValidationException(str(error)) from error

    def _answer_own_path(self, path: str) -> Any:
        """Answer a path that is no operation of AWS: one of lorafw's own, or none."""
        if path.startswith(EXPLAIN_PATH):
            return self._explain(unquote(path.removeprefix(EXPLAIN_PATH)))
        if path.startswith(ABOUT_PATH):
            return 200, self.response_headers, json.dumps({"lorafw": path.removeprefix(ABOUT_PATH)})
        return 404, self.response_headers, _UNKNOWN_OPERATION

    def _explain(self, gateway: str) -> Any:
        """Not AWS's: why a gateway, given by id or EUI, is updated or is not."""
        try:
            explanation = self.backend.explain(gateway)
        except LorafwError as error:
            return 404, self.response_headers, json.dumps({"Message": str(error)})
        return 200, self.response_headers, json.dumps(explanation)

    def _failed(self, error: ServiceException) -> Any:
        status, headers, body = self.serialized(ActionResult(error))
        headers["status"] = status
        headers, body = self._enrich_response(headers, body)
        return status, headers, body

    # --- gateways ---

    def create_wireless_gateway(self) -> ActionResult:
        return ActionResult(self.backend.create_wireless_gateway(self._given))

    def get_wireless_gateway(self) -> ActionResult:
        return ActionResult(self.backend.get_wireless_gateway(self._given["Identifier"], self._given["IdentifierType"]))

    def list_wireless_gateways(self) -> ActionResult:
        return ActionResult(self.backend.list_wireless_gateways(*self._page()))

    def update_wireless_gateway(self) -> ActionResult:
        self.backend.update_wireless_gateway(self._given["Id"], self._given)
        return ActionResult({})

    def delete_wireless_gateway(self) -> ActionResult:
        self.backend.delete_wireless_gateway(self._given["Id"])
        return ActionResult({})

    def get_wireless_gateway_firmware_information(self) -> ActionResult:
        return ActionResult(self.backend.get_wireless_gateway_firmware_information(self._given["Id"]))

    def get_wireless_gateway_statistics(self) -> ActionResult:
        return ActionResult(self.backend.get_wireless_gateway_statistics(self._given["WirelessGatewayId"]))

    # --- certificates and things ---

    def associate_wireless_gateway_with_certificate(self) -> ActionResult:
        given = self._given
        return ActionResult(
            self.backend.associate_wireless_gateway_with_certificate(given["Id"], given["IotCertificateId"])
        )

    def disassociate_wireless_gateway_from_certificate(self) -> ActionResult:
        self.backend.disassociate_wireless_gateway_from_certificate(self._given["Id"])
        return ActionResult({})

    def get_wireless_gateway_certificate(self) -> ActionResult:
        return ActionResult(self.backend.get_wireless_gateway_certificate(self._given["Id"]))

    def associate_wireless_gateway_with_thing(self) -> ActionResult:
        self.backend.associate_wireless_gateway_with_thing(self._given["Id"], self._given["ThingArn"])
        return ActionResult({})

    def disassociate_wireless_gateway_from_thing(self) -> ActionResult:
        self.backend.disassociate_wireless_gateway_from_thing(self._given["Id"])
        return ActionResult({})

    # --- definitions and tasks ---

    def create_wireless_gateway_task_definition(self) -> ActionResult:
        return ActionResult(self.backend.create_wireless_gateway_task_definition(self._given))

    def get_wireless_gateway_task_definition(self) -> ActionResult:
        return ActionResult(self.backend.get_wireless_gateway_task_definition(self._given["Id"]))

    def list_wireless_gateway_task_definitions(self) -> ActionResult:
        return ActionResult(self.backend.list_wireless_gateway_task_definitions(*self._page()))

    def delete_wireless_gateway_task_definition(self) -> ActionResult:
        self.backend.delete_wireless_gateway_task_definition(self._given["Id"])
        return ActionResult({})

    def create_wireless_gateway_task(self) -> ActionResult:
        given = self._given
        return ActionResult(
            self.backend.create_wireless_gateway_task(given["Id"], given["WirelessGatewayTaskDefinitionId"])
        )

    def get_wireless_gateway_task(self) -> ActionResult:
        return ActionResult(self.backend.get_wireless_gateway_task(self._given["Id"]))

    def delete_wireless_gateway_task(self) -> ActionResult:
        self.backend.delete_wireless_gateway_task(self._given["Id"])
        return ActionResult({})

    # --- endpoint and tags ---

    def get_service_endpoint(self) -> ActionResult:
        plain = PLAIN_HEADER in self.headers
        return ActionResult(self.backend.get_service_endpoint(self._given.get("ServiceType"), plain=plain))

    def tag_resource(self) -> ActionResult:
        self.backend.tag_resource(self._given["ResourceArn"], self._given["Tags"])
        return ActionResult({})

    def untag_resource(self) -> ActionResult:
        self.backend.untag_resource(self._given["ResourceArn"], self._given["TagKeys"])
        return ActionResult({})

    def list_tags_for_resource(self) -> ActionResult:
        return ActionResult(self.backend.list_tags_for_resource(self._given["ResourceArn"]))

    # --- inside ---

    def _page(self) -> tuple[int | None, str | None]:
        return self._given.get("MaxResults"), self._given.get("NextToken")


def _not_implemented_body(operation: str) -> str:
    message = f"lorafw does not build {operation}; it builds gateways, task definitions and tasks"
    return json.dumps({"__type": "NotImplemented", "Message": message})
