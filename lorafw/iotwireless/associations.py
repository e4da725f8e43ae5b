"""The operations that associate certificates and things of AWS IoT with gateways.

A gateway has at most one certificate and one thing. AWS does not document what happens if two gateways are given the
same certificate or thing. Here the second association is refused.
"""

from __future__ import annotations

import threading

from lorafw.errors import Conflict, InvalidValue, NotFound
from lorafw.iotwireless.context import iot_backend, notify_certificate_associated
from lorafw.iotwireless.operations import AccountOperations, Members
from lorafw.server.authorization import load_leaf
from lorafw.tasks.model import AccountRegion


class CertificateOperations(AccountOperations):
    """The operations about the certificate with which a gateway connects to the CUPS server."""

    def __init__(self, owner: AccountRegion) -> None:
        super().__init__(owner)
        self._lock = threading.Lock()
        """Held from the check that a certificate is free until it is associated."""

    def associate(self, gateway_id: str, certificate_id: str) -> Members:
        """Associate a certificate with a gateway, and notify the CUPS server. Returns the id of the certificate.

        Raises:
            NotFound: There is no such gateway or certificate.
            InvalidValue: No TLS client can use the certificate.
            Conflict: Another gateway has the certificate.
        """
        self.service.gateway(self.owner, gateway_id)
        certificate = iot_backend(self.owner).certificates.get(certificate_id)
        if certificate is None:
            raise NotFound("Certificate", certificate_id)
        # Check the certificate first, so that an error does not leave the gateway with an unusable one.
        if load_leaf(certificate.certificate_pem) is None:
            reason = "no TLS client can use it (X.509 of version 1 or 3 is needed); register another certificate"
            raise InvalidValue("IotCertificateId", certificate_id, reason)
        with self._lock:
            self._check_is_free(certificate_id, gateway_id)
            self.service.update_gateway(self.owner, gateway_id, certificate_id=certificate_id)
        notify_certificate_associated(self.owner, certificate_id)
        return {"IotCertificateId": certificate_id}

    def get(self, gateway_id: str) -> Members:
        """Return the id of the certificate that is associated with a gateway.

        Raises:
            NotFound: There is no such gateway, or it has no certificate.
        """
        certificate_id = self.service.gateway(self.owner, gateway_id).certificate_id
        if certificate_id is None:
            raise NotFound("Certificate", gateway_id)
        return {"IotCertificateId": certificate_id}

    def disassociate(self, gateway_id: str) -> None:
        """Remove the association of a gateway with its certificate.

        Raises:
            NotFound: There is no such gateway, or it has no certificate.
        """
        if self.service.gateway(self.owner, gateway_id).certificate_id is None:
            raise NotFound("Certificate", gateway_id)
        self.service.update_gateway(self.owner, gateway_id, certificate_id=None)

    def _check_is_free(self, certificate_id: str, gateway_id: str) -> None:
        """Raise Conflict if a gateway other than this one has the certificate."""
        for gateway in self.service.gateways(self.owner):
            if gateway.certificate_id == certificate_id and gateway.id != gateway_id:
                message = f"certificate {certificate_id} is associated with gateway {gateway.id}"
                raise Conflict(message, "Certificate", certificate_id)


class ThingOperations(AccountOperations):
    """The operations about the thing of a gateway. A thing is AWS IoT's own record of a device."""

    def __init__(self, owner: AccountRegion) -> None:
        super().__init__(owner)
        self._lock = threading.Lock()
        """Held from the check that a thing is free until it is associated."""

    def associate(self, gateway_id: str, thing_arn: str) -> None:
        """Associate a thing with a gateway.

        Raises:
            NotFound: There is no such gateway or thing.
            Conflict: Another gateway has the thing.
        """
        self.service.gateway(self.owner, gateway_id)
        things = iot_backend(self.owner).things.values()
        if thing_arn not in {thing.arn for thing in things}:
            raise NotFound("Thing", thing_arn)
        with self._lock:
            self._check_is_free(thing_arn, gateway_id)
            self.service.update_gateway(self.owner, gateway_id, thing_arn=thing_arn)

    def disassociate(self, gateway_id: str) -> None:
        """Remove the association of a gateway with its thing.

        Raises:
            NotFound: There is no such gateway, or it has no thing.
        """
        if self.service.gateway(self.owner, gateway_id).thing_arn is None:
            raise NotFound("Thing", gateway_id)
        self.service.update_gateway(self.owner, gateway_id, thing_arn=None)

    def _check_is_free(self, thing_arn: str, gateway_id: str) -> None:
        """Raise Conflict if a gateway other than this one has the thing."""
        for gateway in self.service.gateways(self.owner):
            if gateway.thing_arn == thing_arn and gateway.id != gateway_id:
                message = f"thing {thing_arn} is associated with gateway {gateway.id}"
                raise Conflict(message, "Thing", thing_arn)
