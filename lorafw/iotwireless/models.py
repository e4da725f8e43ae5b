"""The backend of the API: one for each account and Region. All of them use the same UpdateService."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final

from moto.core.base_backend import BackendDict, BaseBackend
from moto.utilities.tagging_service import TaggingService

from lorafw.clock import format_iso
from lorafw.errors import Conflict, InvalidValue, NotFound
from lorafw.eui import GatewayEui
from lorafw.iotwireless.context import (
    cups_endpoint,
    current_service,
    notify_certificate_associated,
    on_request_answered,
)
from lorafw.iotwireless.exceptions import TooManyTagsException
from lorafw.iotwireless.idempotency import ANSWER, IdempotentCalls
from lorafw.iotwireless.monitoring import event_configurations, log_levels
from lorafw.iotwireless.monitoring.gateway_log import GatewayLog
from lorafw.iotwireless.pagination import paginate
from lorafw.iotwireless.serializers import (
    DEFINITION_RESOURCE,
    GATEWAY_RESOURCE,
    definition_members,
    gateway_to_aws,
    parse_gateway,
    read_update,
    task_members,
    version_members,
)
from lorafw.server.authorization import load_leaf
from lorafw.tasks.answers import AnsweredRequest
from lorafw.tasks.changes import ApiRecord
from lorafw.tasks.model import AccountRegion, Definition, Gateway
from lorafw.tasks.service import UpdateService

MAX_TAGS: Final = 50
"""Maximum number of tags of one resource (documented). The limit in AWS's service model is for one call."""

TAGS: Final = "tags"
"""Kind of a saved value: the tags of a resource, by its ARN."""

_CHANGEABLE_LORAWAN: Final = ("JoinEuiFilters", "NetIdFilters", "MaxEirp")
"""Members of LoRaWANGateway that UpdateWirelessGateway can change."""

Members = dict[str, Any]
"""The members of one of AWS's structures, by name."""


class IoTWirelessBackend(BaseBackend):  # type: ignore[misc]  # moto is not typed for us
    """The operations of one account in one Region. The names of the methods are those of boto3.

    The methods raise the errors of lorafw. ``exceptions.to_aws`` turns them into AWS's errors.
    """

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.tagger = TaggingService(key_name="Key", value_name="Value")
        self.log_levels = log_levels.LogLevels(self.owner)
        self.gateway_log = GatewayLog(self.owner)
        gateways_list = self.arn(GATEWAY_RESOURCE, "")
        self.event_configurations = event_configurations.EventConfigurations(
            self.owner, gateways_list, self._find_gateway
        )
        self._idempotent_calls = IdempotentCalls(self.owner)
        self._lock = threading.RLock()
        """Held while an operation reads something and changes something that depends on it."""

    def reset(self) -> None:
        """Delete everything that this account has in this Region. moto calls this between tests."""
        self.service.forget(self.owner)
        super().reset()

    @property
    def service(self) -> UpdateService:
        """The update service behind the API."""
        return current_service()

    @property
    def owner(self) -> AccountRegion:
        """The account and Region of this backend."""
        return AccountRegion(self.account_id, self.region_name)

    def arn(self, resource: str, resource_id: str) -> str:
        """Return the ARN of a resource. With an empty id, return the prefix of all ARNs of its type."""
        return f"arn:{self.partition}:iotwireless:{self.region_name}:{self.account_id}:{resource}/{resource_id}"

    # --- gateways ---

    def create_wireless_gateway(self, parameters: Members) -> Members:
        """Register a gateway."""

        def create() -> Members:
            eui, settings = parse_gateway(parameters["LoRaWAN"])
            self._check_new_tags(parameters)
            gateway = self.service.create_gateway(
                self.owner,
                eui,
                name=parameters.get("Name"),
                description=parameters.get("Description"),
                lorawan=settings,
            )
            return self._tag_and_describe(GATEWAY_RESOURCE, gateway.id, parameters)

        return self._idempotent_calls.create_once(GATEWAY_RESOURCE, parameters, create)

    def get_wireless_gateway(self, identifier: str, identifier_type: str) -> Members:
        """Return a gateway, found by its id, its EUI or the name of its thing."""
        gateway = self._find_gateway(identifier, identifier_type)
        return gateway_to_aws(gateway, self.arn(GATEWAY_RESOURCE, gateway.id))

    def list_wireless_gateways(self, max_results: int | None, next_token: str | None) -> Members:
        """Return a page of the gateways, in the order of their registration."""
        list_name = self.arn(GATEWAY_RESOURCE, "")
        gateways, next_token_member = paginate(self.service.gateways(self.owner), list_name, max_results, next_token)
        items = []
        for gateway in gateways:
            try:
                last_uplink = self._last_uplink(gateway.id)
            except NotFound:  # the gateway was deleted after the page was read
                continue
            members = gateway_to_aws(gateway, self.arn(GATEWAY_RESOURCE, gateway.id))
            items.append({**members, **last_uplink})
        return {"WirelessGatewayList": items, **next_token_member}

    def update_wireless_gateway(self, gateway_id: str, parameters: Members) -> None:
        """Change those fields of a gateway that have a value in ``parameters``."""
        changes: Members = {}
        if parameters.get("Name") is not None:
            changes["name"] = parameters["Name"]
        if parameters.get("Description") is not None:
            changes["description"] = parameters["Description"]
        with self._lock:
            lorawan = dict(self.service.gateway(self.owner, gateway_id).lorawan)
            for member in _CHANGEABLE_LORAWAN:
                if parameters.get(member) is not None:
                    lorawan[member] = parameters[member]
            self.service.update_gateway(self.owner, gateway_id, lorawan=lorawan, **changes)

    def delete_wireless_gateway(self, gateway_id: str) -> None:
        """Delete a gateway, its task, its tags, its log level and its event configuration."""
        self.service.delete_gateway(self.owner, gateway_id)
        self.log_levels.forget_gateway(gateway_id)
        self.event_configurations.forget_gateway(gateway_id)
        self._delete_tags(self.arn(GATEWAY_RESOURCE, gateway_id))

    def get_wireless_gateway_firmware_information(self, gateway_id: str) -> Members:
        """Return the version that a gateway presented in its last request. Empty before the first."""
        version = self.service.presented_version(self.owner, gateway_id)
        if version is None:
            return {"LoRaWAN": {}}
        return {"LoRaWAN": {"CurrentVersion": version.to_aws()}}

    def get_wireless_gateway_statistics(self, gateway_id: str) -> Members:
        """Return the statistics. A gateway that never connected has no ConnectionStatus (documented).

        A gateway that sent a CUPS request counts as connected (assumed: there is no network server here).
        """
        last_uplink = self._last_uplink(gateway_id)
        status = {"ConnectionStatus": "Connected"} if last_uplink else {}
        return {"WirelessGatewayId": gateway_id, **last_uplink, **status}

    # --- certificates and things ---

    def associate_wireless_gateway_with_certificate(self, gateway_id: str, certificate_id: str) -> Members:
        """Associate a certificate of AWS IoT with a gateway, and notify the CUPS server."""
        self.service.gateway(self.owner, gateway_id)
        certificate = self._iot().certificates.get(certificate_id)
        if certificate is None:
            raise NotFound("Certificate", certificate_id)
        # Check the certificate first, so that an error does not leave the gateway with an unusable one.
        if load_leaf(certificate.certificate_pem) is None:
            reason = "no TLS client can use it (X.509 of version 1 or 3 is needed); register another certificate"
            raise InvalidValue("IotCertificateId", certificate_id, reason)
        self._set_certificate(gateway_id, certificate_id)
        notify_certificate_associated(self.owner, certificate_id)
        return {"IotCertificateId": certificate_id}

    def disassociate_wireless_gateway_from_certificate(self, gateway_id: str) -> None:
        """Remove the association of a gateway with its certificate."""
        self.get_wireless_gateway_certificate(gateway_id)
        self.service.update_gateway(self.owner, gateway_id, certificate_id=None)

    def get_wireless_gateway_certificate(self, gateway_id: str) -> Members:
        """Return the id of the certificate that is associated with a gateway."""
        certificate_id = self.service.gateway(self.owner, gateway_id).certificate_id
        if certificate_id is None:
            raise NotFound("Certificate", gateway_id)
        return {"IotCertificateId": certificate_id}

    def associate_wireless_gateway_with_thing(self, gateway_id: str, thing_arn: str) -> None:
        """Associate a thing of AWS IoT with a gateway."""
        self.service.gateway(self.owner, gateway_id)
        if thing_arn not in {thing.arn for thing in self._iot().things.values()}:
            raise NotFound("Thing", thing_arn)
        self._set_thing(gateway_id, thing_arn)

    def disassociate_wireless_gateway_from_thing(self, gateway_id: str) -> None:
        """Remove the association of a gateway with its thing."""
        if self.service.gateway(self.owner, gateway_id).thing_arn is None:
            raise NotFound("Thing", gateway_id)
        self.service.update_gateway(self.owner, gateway_id, thing_arn=None)

    # --- definitions and tasks ---

    def create_wireless_gateway_task_definition(self, parameters: Members) -> Members:
        """Create a task definition."""

        def create() -> Members:
            self._check_new_tags(parameters)
            definition = self.service.create_definition(
                self.owner,
                auto_create_tasks=parameters["AutoCreateTasks"],
                name=parameters.get("Name"),
                update=read_update(parameters.get("Update"), self.service.policy),
            )
            return self._tag_and_describe(DEFINITION_RESOURCE, definition.id, parameters)

        return self._idempotent_calls.create_once(DEFINITION_RESOURCE, parameters, create)

    def get_wireless_gateway_task_definition(self, definition_id: str) -> Members:
        """Return a task definition."""
        definition = self.service.definition(self.owner, definition_id)
        return definition_members(definition, self.arn(DEFINITION_RESOURCE, definition_id))

    def list_wireless_gateway_task_definitions(self, max_results: int | None, next_token: str | None) -> Members:
        """Return a page of the task definitions, oldest first."""
        list_name = self.arn(DEFINITION_RESOURCE, "")
        definitions, next_token_member = paginate(
            self.service.definitions(self.owner), list_name, max_results, next_token
        )
        items = [self._describe_listed_definition(definition) for definition in definitions]
        return {"TaskDefinitions": items, **next_token_member}

    def _describe_listed_definition(self, definition: Definition) -> Members:
        """Return a task definition as a list shows it. Its versions are left out if it has none."""
        members: Members = {"Id": definition.id, "Arn": self.arn(DEFINITION_RESOURCE, definition.id)}
        if definition.update is None:
            return members
        versions = version_members(definition.update)
        if versions:
            members["LoRaWAN"] = versions
        return members

    def delete_wireless_gateway_task_definition(self, definition_id: str) -> None:
        """Delete a task definition and its tags. Its tasks continue."""
        self.service.delete_definition(self.owner, definition_id)
        self._delete_tags(self.arn(DEFINITION_RESOURCE, definition_id))

    def create_wireless_gateway_task(self, gateway_id: str, definition_id: str) -> Members:
        """Create a task for a gateway."""
        task = self.service.create_task(self.owner, gateway_id, definition_id)
        return {"WirelessGatewayTaskDefinitionId": definition_id, "Status": str(task.status)}

    def get_wireless_gateway_task(self, gateway_id: str) -> Members:
        """Return the task of a gateway."""
        task = self.service.task(self.owner, gateway_id)
        return task_members(gateway_id, task, self.service.last_seen_ms(self.owner, gateway_id))

    def delete_wireless_gateway_task(self, gateway_id: str) -> None:
        """Delete the task of a gateway."""
        self.service.delete_task(self.owner, gateway_id)

    # --- endpoint and tags ---

    def get_service_endpoint(self, service_type: str | None, *, plain: bool = False) -> Members:
        """Return the endpoint of a service, and the certificate to trust.

        Args:
            service_type: "CUPS" or "LNS". None for CUPS (documented).
            plain: Return the CUPS endpoint without TLS, if there is one.

        Returns:
            The members of the answer. If no such server runs in this process, the endpoint is an address in AWS's form.

        Raises:
            InvalidValue: The endpoint without TLS is asked for, but is not served.
        """
        service = service_type or "CUPS"
        if service == "CUPS":
            uri, ca_pem = cups_endpoint(plain=plain)
        else:
            # No LNS runs in this process. The same CA signs the certificates of both servers (assumed).
            _, ca_pem = cups_endpoint()
            uri = None
        if plain and ca_pem is not None:
            reason = "plain CUPS is not served (--no-plain); use HTTPS, without --plain"
            raise InvalidValue("ServiceType", service, reason)
        if not uri:
            uri = self._endpoint_in_aws(service)
        endpoint = {"ServiceType": service, "ServiceEndpoint": uri}
        if ca_pem:
            endpoint["ServerTrust"] = ca_pem
        return endpoint

    def _endpoint_in_aws(self, service: str) -> str:
        """Return an address in the form that AWS uses for its CUPS and LNS servers. Nothing listens there."""
        scheme = "https" if service == "CUPS" else "wss"
        return f"{scheme}://lorafw.{service.lower()}.lorawan.{self.region_name}.amazonaws.com:443"

    def tag_resource(self, arn: str, tags: list[dict[str, str]]) -> None:
        """Add tags to a gateway or a task definition. Tags with the same keys are replaced."""
        self._check_arn(arn)
        with self._lock:
            present_tags = self.tagger.list_tags_for_resource(arn)["Tags"]
            problem = _tag_limit_error([*present_tags, *tags])
            if problem is not None:
                raise TooManyTagsException(problem, arn)
            self.tagger.tag_resource(arn, tags)
            self._keep_tags(arn)

    def untag_resource(self, arn: str, keys: list[str]) -> None:
        """Remove the tags with these keys."""
        self._check_arn(arn)
        self.tagger.untag_resource_using_names(arn, keys)
        self._keep_tags(arn)

    def list_tags_for_resource(self, arn: str) -> Members:
        """Return the tags of a gateway or a task definition."""
        self._check_arn(arn)
        tags: Members = self.tagger.list_tags_for_resource(arn)
        return tags

    # --- lorafw's own operation ---

    def explain(self, gateway: str) -> Members:
        """Explain why a gateway is updated, or why it is not.

        Args:
            gateway: Id or EUI of the gateway.

        Returns:
            The explanation as the members of a JSON object.

        Raises:
            NotFound: There is no such gateway in this account and Region.
        """
        try:
            gateway_id = self._find_gateway(gateway, "GatewayEui").id
        except InvalidValue:
            gateway_id = self._find_gateway(gateway, "WirelessGatewayId").id
        explanation = self.service.explain(self.owner, gateway_id)
        return {
            "gateway": explanation.gateway_eui,
            "id": gateway_id,
            "status": explanation.status,
            "lines": explanation.lines,
        }

    # --- helpers ---

    def _set_certificate(self, gateway_id: str, certificate_id: str) -> None:
        """Store the certificate of a gateway.

        Raises:
            Conflict: Another gateway has this certificate. AWS does not document this case.
        """
        with self._lock:
            gateways = self.service.gateways(self.owner)
            holders = {gateway.id for gateway in gateways if gateway.certificate_id == certificate_id}
            _check_not_held("Certificate", certificate_id, holders - {gateway_id})
            self.service.update_gateway(self.owner, gateway_id, certificate_id=certificate_id)

    def _set_thing(self, gateway_id: str, thing_arn: str) -> None:
        """Store the thing of a gateway.

        Raises:
            Conflict: Another gateway has this thing. AWS does not document this case.
        """
        with self._lock:
            gateways = self.service.gateways(self.owner)
            holders = {gateway.id for gateway in gateways if gateway.thing_arn == thing_arn}
            _check_not_held("Thing", thing_arn, holders - {gateway_id})
            self.service.update_gateway(self.owner, gateway_id, thing_arn=thing_arn)

    def _find_gateway(self, identifier: str, identifier_type: str) -> Gateway:
        """Return a gateway of this account and Region.

        Args:
            identifier: The id, the EUI, or the name of the thing.
            identifier_type: ``WirelessGatewayId``, ``GatewayEui`` or ``ThingName``.

        Raises:
            NotFound: There is no such gateway.
            InvalidValue: The identifier is not an EUI.
        """
        if identifier_type == "WirelessGatewayId":
            return self.service.gateway(self.owner, identifier)
        if identifier_type == "GatewayEui":
            gateway = self._find_by_eui(identifier)
        else:
            gateway = self._find_by_thing_name(identifier)
        if gateway is None:
            raise NotFound(GATEWAY_RESOURCE, identifier)
        return gateway

    def _find_by_eui(self, text: str) -> Gateway | None:
        """Return the gateway with an EUI, or None. Raises InvalidValue if the text is not an EUI."""
        try:
            eui = GatewayEui.parse(text)
        except ValueError as error:
            raise InvalidValue("Identifier", text, str(error)) from error
        gateway = self.service.find_gateway(eui)
        if gateway is None or gateway.owner != self.owner:
            return None
        return gateway

    def _find_by_thing_name(self, name: str) -> Gateway | None:
        """Return the gateway that is associated with a thing, or None."""
        for gateway in self.service.gateways(self.owner):
            if gateway.thing_arn is not None and gateway.thing_arn.rsplit("/", 1)[-1] == name:
                return gateway
        return None

    def _last_uplink(self, gateway_id: str) -> Members:
        """Return the member LastUplinkReceivedAt. Empty if the gateway sent no request yet."""
        seen_ms = self.service.last_seen_ms(self.owner, gateway_id)
        if seen_ms is None:
            return {}
        return {"LastUplinkReceivedAt": format_iso(seen_ms)}

    def _tag_and_describe(self, resource: str, resource_id: str, parameters: Mapping[str, Any]) -> Members:
        """Tag a new resource, and return its id and ARN."""
        arn = self.arn(resource, resource_id)
        tags = parameters.get("Tags")
        if tags:
            self.tagger.tag_resource(arn, tags)
            self._keep_tags(arn)
        return {"Id": resource_id, "Arn": arn}

    # --- saved values ---

    def restore(self, record: ApiRecord, value: Any) -> None:
        """Take over a value that was saved with ``UpdateService.keep_api_record``."""
        if record.kind in (log_levels.OPTIONS, log_levels.OVERRIDE):
            self.log_levels.restore(record, value)
            return
        if record.kind in (event_configurations.BY_TYPE, event_configurations.BY_GATEWAY):
            self.event_configurations.restore(record, value)
            return
        if record.kind == ANSWER:
            self._idempotent_calls.restore(record, value)
            return
        self.tagger.tag_resource(record.key, value)

    def _delete_tags(self, arn: str) -> None:
        """Delete all tags of a resource."""
        self.tagger.delete_all_tags_for_resource(arn)
        self.service.keep_api_record(ApiRecord(TAGS, self.owner, arn), None)

    def _keep_tags(self, arn: str) -> None:
        """Save the tags of a resource with the changes of this call."""
        tags = self.tagger.list_tags_for_resource(arn)["Tags"]
        self.service.keep_api_record(ApiRecord(TAGS, self.owner, arn), tags)

    # --- more helpers ---

    def _check_arn(self, arn: str) -> None:
        """Raise NotFound if the ARN is not that of a gateway or a definition."""
        gateway_prefix = self.arn(GATEWAY_RESOURCE, "")
        definition_prefix = self.arn(DEFINITION_RESOURCE, "")
        if arn.startswith(gateway_prefix):
            self.service.gateway(self.owner, arn.removeprefix(gateway_prefix))
            return
        if arn.startswith(definition_prefix):
            self.service.definition(self.owner, arn.removeprefix(definition_prefix))
            return
        raise NotFound("Resource", arn)

    def _check_new_tags(self, parameters: Mapping[str, Any]) -> None:
        """Raise InvalidValue if a new resource would have too many tags.

        Unlike TagResource, the operations that create a resource have no TooManyTagsException in AWS's service model.
        """
        tags = parameters.get("Tags") or ()
        problem = _tag_limit_error(tags)
        if problem is not None:
            raise InvalidValue("Tags", None, problem)

    def _iot(self) -> Any:
        """Return moto's IoT backend of this account and Region."""
        from moto.backends import get_backend  # noqa: PLC0415

        return get_backend("iot")[self.account_id][self.region_name]


def _tag_limit_error(tags: Iterable[Mapping[str, str]]) -> str | None:
    """Return an error message if these are too many tags for one resource. None if they are not."""
    keys = {tag["Key"] for tag in tags}
    if len(keys) <= MAX_TAGS:
        return None
    return f"{len(keys)} tags; a resource has at most {MAX_TAGS}"


iotwireless_backends = BackendDict(IoTWirelessBackend, "iotwireless")


def find_backend(account: str, region: str) -> IoTWirelessBackend:
    """Return the backend of an account in a Region.

    Raises:
        InvalidValue: The Region has no AWS IoT Wireless.
    """
    regions = iotwireless_backends[account]
    try:
        backend: IoTWirelessBackend = regions[region]
    except KeyError:
        available = ", ".join(regions.regions)
        reason = f"{region!r} has no AWS IoT Wireless; it is in {available}"
        raise InvalidValue("Region", region, reason) from None
    return backend


def log_answer(answered: AnsweredRequest) -> None:
    """Write a line about a CUPS request to the log of the gateway's account and Region, if its log level says so."""
    owner = answered.gateway.owner
    backend = iotwireless_backends[owner.account][owner.region]
    backend.gateway_log.log_answer(answered, backend.log_levels)


on_request_answered(log_answer)


def restore_api_records(records: Mapping[ApiRecord, Any]) -> None:
    """Take over saved values of all accounts and Regions. The service must have been restored before."""
    for record, value in records.items():
        iotwireless_backends[record.owner.account][record.owner.region].restore(record, value)


def _check_not_held(kind: str, value: str, gateway_ids: Iterable[str]) -> None:
    """Check that no gateway holds a certificate or a thing.

    Args:
        kind: ``Certificate`` or ``Thing``.
        value: The id of the certificate, or the ARN of the thing.
        gateway_ids: The gateways that hold it.

    Raises:
        Conflict: There is such a gateway.
    """
    for gateway_id in gateway_ids:
        raise Conflict(f"{kind.lower()} {value} is associated with gateway {gateway_id}", kind, value)
