"""The backend: one for each account and Region, in front of the one UpdateService."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from moto.core.base_backend import BackendDict, BaseBackend
from moto.utilities.tagging_service import TaggingService

from lorafw.clock import format_iso
from lorafw.errors import Conflict, InvalidValue, NotFound
from lorafw.eui import GatewayEui
from lorafw.iotwireless.context import cups_endpoint, current_service, notify_certificate_associated
from lorafw.iotwireless.exceptions import TooManyTagsException
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
from lorafw.tasks.model import AccountRegion, Gateway
from lorafw.tasks.service import UpdateService

MAX_TAGS: Final = 50
"""Tags of one resource (documented; the model's own limit is for one call)."""

TOKEN_MEMORY_MS: Final = 10 * 60 * 1000
"""So long a ClientRequestToken is remembered (assumed: the policy's ``client_request_token_memory``)."""

Members = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Answered:
    """What a call with a ClientRequestToken gave, and was answered."""

    time_ms: int
    parameters: Members
    answer: Members


class IoTWirelessBackend(BaseBackend):  # type: ignore[misc]  # moto is not typed for us
    """Operations by AWS's names; errors are the library's, and become AWS's in ``exceptions``."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.tagger = TaggingService(key_name="Key", value_name="Value")
        self._idempotent_responses: dict[tuple[str, str], _Answered] = {}
        self._lock = threading.RLock()
        """Held where one look decides what the next step does."""

    def reset(self) -> None:
        self.service.forget(self.owner)
        super().reset()

    @property
    def service(self) -> UpdateService:
        return current_service()

    @property
    def owner(self) -> AccountRegion:
        return AccountRegion(self.account_id, self.region_name)

    def arn(self, resource: str, resource_id: str) -> str:
        return f"arn:{self.partition}:iotwireless:{self.region_name}:{self.account_id}:{resource}/{resource_id}"

    # --- gateways ---

    def create_wireless_gateway(self, parameters: Members) -> Members:
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

        return self._idempotent(GATEWAY_RESOURCE, parameters, create)

    def get_wireless_gateway(self, identifier: str, identifier_type: str) -> Members:
        gateway = self._find(identifier, identifier_type)
        return gateway_to_aws(gateway, self.arn(GATEWAY_RESOURCE, gateway.id))

    def list_wireless_gateways(self, max_results: int | None, next_token: str | None) -> Members:
        gateways, token = paginate(
            self.service.gateways(self.owner), self.arn(GATEWAY_RESOURCE, ""), max_results, next_token
        )
        listed = []
        for gateway in gateways:
            try:
                seen = self._last_uplink(gateway.id)
            except NotFound:  # somebody deleted it after the page was cut
                continue
            listed.append({**gateway_to_aws(gateway, self.arn(GATEWAY_RESOURCE, gateway.id)), **seen})
        return {"WirelessGatewayList": listed, **token}

    def update_wireless_gateway(self, gateway_id: str, parameters: Members) -> None:
        given = {name: value for name, value in parameters.items() if value is not None}
        lorawan = {name: given[name] for name in ("JoinEuiFilters", "NetIdFilters", "MaxEirp") if name in given}
        changes: Members = {name.lower(): given[name] for name in ("Name", "Description") if name in given}
        with self._lock:
            changes["lorawan"] = {**self.service.gateway(self.owner, gateway_id).lorawan, **lorawan}
            self.service.update_gateway(self.owner, gateway_id, **changes)

    def delete_wireless_gateway(self, gateway_id: str) -> None:
        self.service.delete_gateway(self.owner, gateway_id)
        self.tagger.delete_all_tags_for_resource(self.arn(GATEWAY_RESOURCE, gateway_id))

    def get_wireless_gateway_firmware_information(self, gateway_id: str) -> Members:
        version = self.service.presented_version(self.owner, gateway_id)
        return {"LoRaWAN": {"CurrentVersion": version.to_aws()} if version is not None else {}}

    def get_wireless_gateway_statistics(self, gateway_id: str) -> Members:
        """Return the statistics. A gateway that never connected has no ConnectionStatus (documented).

        A gateway that sent a CUPS request counts as connected (assumed: there is no network server here).
        """
        seen = self._last_uplink(gateway_id)
        status = {"ConnectionStatus": "Connected"} if seen else {}
        return {"WirelessGatewayId": gateway_id, **seen, **status}

    # --- certificates and things ---

    def associate_wireless_gateway_with_certificate(self, gateway_id: str, certificate_id: str) -> Members:
        self.service.gateway(self.owner, gateway_id)
        certificate = self._iot().certificates.get(certificate_id)
        if certificate is None:
            raise NotFound("Certificate", certificate_id)
        # Read it before it is bound: afterwards an error would leave the gateway with a certificate of no use.
        if load_leaf(certificate.certificate_pem) is None:
            reason = "no TLS client can use it (X.509 of version 1 or 3 is needed); register another certificate"
            raise InvalidValue("IotCertificateId", certificate_id, reason)
        self._associate(gateway_id, "Certificate", "certificate_id", certificate_id)
        notify_certificate_associated(self.owner, certificate_id)
        return {"IotCertificateId": certificate_id}

    def disassociate_wireless_gateway_from_certificate(self, gateway_id: str) -> None:
        self.get_wireless_gateway_certificate(gateway_id)
        self.service.update_gateway(self.owner, gateway_id, certificate_id=None)

    def get_wireless_gateway_certificate(self, gateway_id: str) -> Members:
        certificate_id = self.service.gateway(self.owner, gateway_id).certificate_id
        if certificate_id is None:
            raise NotFound("Certificate", gateway_id)
        return {"IotCertificateId": certificate_id}

    def associate_wireless_gateway_with_thing(self, gateway_id: str, thing_arn: str) -> None:
        self.service.gateway(self.owner, gateway_id)
        if thing_arn not in {thing.arn for thing in self._iot().things.values()}:
            raise NotFound("Thing", thing_arn)
        self._associate(gateway_id, "Thing", "thing_arn", thing_arn)

    def disassociate_wireless_gateway_from_thing(self, gateway_id: str) -> None:
        if self.service.gateway(self.owner, gateway_id).thing_arn is None:
            raise NotFound("Thing", gateway_id)
        self.service.update_gateway(self.owner, gateway_id, thing_arn=None)

    # --- definitions and tasks ---

    def create_wireless_gateway_task_definition(self, parameters: Members) -> Members:
        def create() -> Members:
            self._check_new_tags(parameters)
            definition = self.service.create_definition(
                self.owner,
                auto_create_tasks=parameters["AutoCreateTasks"],
                name=parameters.get("Name"),
                update=read_update(parameters.get("Update"), self.service.policy),
            )
            return self._tag_and_describe(DEFINITION_RESOURCE, definition.id, parameters)

        return self._idempotent(DEFINITION_RESOURCE, parameters, create)

    def get_wireless_gateway_task_definition(self, definition_id: str) -> Members:
        definition = self.service.definition(self.owner, definition_id)
        return definition_members(definition, self.arn(DEFINITION_RESOURCE, definition_id))

    def list_wireless_gateway_task_definitions(self, max_results: int | None, next_token: str | None) -> Members:
        definitions, token = paginate(
            self.service.definitions(self.owner), self.arn(DEFINITION_RESOURCE, ""), max_results, next_token
        )
        listed = []
        for definition in definitions:
            members: Members = {"Id": definition.id, "Arn": self.arn(DEFINITION_RESOURCE, definition.id)}
            if definition.update is not None and (versions := version_members(definition.update)):
                members["LoRaWAN"] = versions
            listed.append(members)
        return {"TaskDefinitions": listed, **token}

    def delete_wireless_gateway_task_definition(self, definition_id: str) -> None:
        self.service.delete_definition(self.owner, definition_id)
        self.tagger.delete_all_tags_for_resource(self.arn(DEFINITION_RESOURCE, definition_id))

    def create_wireless_gateway_task(self, gateway_id: str, definition_id: str) -> Members:
        task = self.service.create_task(self.owner, gateway_id, definition_id)
        return {"WirelessGatewayTaskDefinitionId": definition_id, "Status": str(task.status)}

    def get_wireless_gateway_task(self, gateway_id: str) -> Members:
        task = self.service.task(self.owner, gateway_id)
        return task_members(gateway_id, task, self.service.last_seen_ms(self.owner, gateway_id))

    def delete_wireless_gateway_task(self, gateway_id: str) -> None:
        self.service.delete_task(self.owner, gateway_id)

    # --- endpoint and tags ---

    def get_service_endpoint(self, service_type: str | None, *, plain: bool = False) -> Members:
        """CUPS unless asked otherwise (documented). Without a CUPS server in this process, an address in AWS's form."""
        kind = service_type or "CUPS"
        uri, trust = cups_endpoint(plain=plain)
        if kind != "CUPS":
            # One authority signs for both servers (assumed), and there is no LNS in this process.
            uri, trust = None, cups_endpoint()[1]
        if plain and trust is not None:
            raise InvalidValue("ServiceType", kind, "plain CUPS is not served (--no-plain); use HTTPS, without --plain")
        scheme = "https" if kind == "CUPS" else "wss"
        endpoint = uri or f"{scheme}://lorafw.{kind.lower()}.lorawan.{self.region_name}.amazonaws.com:443"
        return {"ServiceType": kind, "ServiceEndpoint": endpoint} | ({"ServerTrust": trust} if trust else {})

    def tag_resource(self, arn: str, tags: list[dict[str, str]]) -> None:
        self._check_arn(arn)
        with self._lock:
            present = self.tagger.list_tags_for_resource(arn)["Tags"]
            if problem := _tag_limit_error(*present, *tags):
                raise TooManyTagsException(problem, arn)
            self.tagger.tag_resource(arn, tags)

    def untag_resource(self, arn: str, keys: list[str]) -> None:
        self._check_arn(arn)
        self.tagger.untag_resource_using_names(arn, keys)

    def list_tags_for_resource(self, arn: str) -> Members:
        self._check_arn(arn)
        tags: Members = self.tagger.list_tags_for_resource(arn)
        return tags

    # --- not AWS's ---

    def explain(self, gateway: str) -> Members:
        """Why a gateway is updated or is not; ``gateway`` is its id or its EUI."""
        try:
            found = self._find(gateway, "GatewayEui")
        except InvalidValue:
            found = self._find(gateway, "WirelessGatewayId")
        explanation = self.service.explain(self.owner, found.id)
        return {
            "gateway": explanation.gateway_eui,
            "id": found.id,
            "status": explanation.status,
            "lines": explanation.lines,
        }

    # --- inside ---

    def _associate(self, gateway_id: str, kind: str, attribute: str, value: str) -> None:
        """Associate, unless another gateway has it (assumed)."""
        with self._lock:
            for other in self.service.gateways(self.owner):
                if getattr(other, attribute) == value and other.id != gateway_id:
                    raise Conflict(f"{kind.lower()} {value} is associated with gateway {other.id}", kind, value)
            self.service.update_gateway(self.owner, gateway_id, **{attribute: value})

    def _find(self, identifier: str, identifier_type: str) -> Gateway:
        if identifier_type == "WirelessGatewayId":
            return self.service.gateway(self.owner, identifier)
        if identifier_type == "GatewayEui":
            try:
                found = self.service.find_gateway(GatewayEui.parse(identifier))
            except ValueError as error:
                raise InvalidValue("Identifier", identifier, str(error)) from error
            if found is not None and found.owner == self.owner:
                return found
        else:
            for gateway in self.service.gateways(self.owner):
                if gateway.thing_arn is not None and gateway.thing_arn.rsplit("/", 1)[-1] == identifier:
                    return gateway
        raise NotFound(GATEWAY_RESOURCE, identifier)

    def _last_uplink(self, gateway_id: str) -> Members:
        seen_ms = self.service.last_seen_ms(self.owner, gateway_id)
        return {"LastUplinkReceivedAt": format_iso(seen_ms)} if seen_ms is not None else {}

    def _tag_and_describe(self, resource: str, resource_id: str, parameters: Mapping[str, Any]) -> Members:
        arn = self.arn(resource, resource_id)
        if tags := parameters.get("Tags"):
            self.tagger.tag_resource(arn, tags)
        return {"Id": resource_id, "Arn": arn}

    def _idempotent(self, resource: str, parameters: Members, create: Callable[[], Members]) -> Members:
        """Answer a call with a ClientRequestToken once; the same call gets the same answer for ten minutes.

        The answer comes again even if the resource was deleted in between, since it may be a late try of the first
        call (see ``client_request_token`` and ``client_request_token_memory`` in the policy).
        """
        token = parameters.get("ClientRequestToken")
        if token is None:
            return create()
        given = {name: value for name, value in parameters.items() if name != "ClientRequestToken"}
        with self._lock:
            now_ms = self.service.clock.monotonic_ms()
            self._forget_tokens(now_ms)
            if (resource, token) not in self._idempotent_responses:
                self._idempotent_responses[resource, token] = _Answered(now_ms, given, create())
            known = self._idempotent_responses[resource, token]
        if known.parameters != given:
            message = f"ClientRequestToken {token!r} came before with other parameters"
            raise Conflict(message, resource, known.answer["Id"])
        return known.answer

    def _forget_tokens(self, now_ms: int) -> None:
        """Forget the tokens whose time is over. The oldest come first."""
        for key, answered in list(self._idempotent_responses.items()):
            if now_ms - answered.time_ms < TOKEN_MEMORY_MS:
                return
            del self._idempotent_responses[key]

    def _check_arn(self, arn: str) -> None:
        for resource, known in (
            (GATEWAY_RESOURCE, self.service.gateway),
            (DEFINITION_RESOURCE, self.service.definition),
        ):
            prefix = self.arn(resource, "")
            if arn.startswith(prefix):
                known(self.owner, arn.removeprefix(prefix))
                return
        raise NotFound("Resource", arn)

    def _check_new_tags(self, parameters: Mapping[str, Any]) -> None:
        """The operations that create have no TooManyTagsException in their model."""
        if problem := _tag_limit_error(*parameters.get("Tags") or ()):
            raise InvalidValue("Tags", None, problem)

    def _iot(self) -> Any:
        from moto.backends import get_backend  # noqa: PLC0415

        return get_backend("iot")[self.account_id][self.region_name]


def _tag_limit_error(*tags: Mapping[str, str]) -> str | None:
    keys = {tag["Key"] for tag in tags}
    return f"{len(keys)} tags; a resource has at most {MAX_TAGS}" if len(keys) > MAX_TAGS else None


iotwireless_backends = BackendDict(IoTWirelessBackend, "iotwireless")
