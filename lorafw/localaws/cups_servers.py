"""The CUPS servers of a cloud: plain HTTP for virtual gateways on this machine, and HTTPS for real Basics Stations."""

from __future__ import annotations

import contextlib
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lorafw.iotwireless.context import IotCertificates, on_certificate_associated, set_cups_endpoint
from lorafw.server.admission import LOCALHOST, HostNames
from lorafw.server.app import CupsServer
from lorafw.server.authorization import CertificateAuthorizer
from lorafw.server.certificate_authority import load_or_create
from lorafw.server.config import Limits, TlsConfig
from lorafw.server.loopback import host_name_of, loopback_or_default
from lorafw.tasks.service import UpdateService


@dataclass(frozen=True, slots=True, kw_only=True)
class CupsSettings:
    """Where the CUPS servers of a cloud listen, and how their clients, the gateways, know them.

    A CUPS server (Configuration and Update Server) is what a gateway asks for updates.
    """

    host: str
    """Address at which CUPS over HTTPS listens."""
    plain_port: int | None
    """Port of CUPS over plain HTTP. None if there is none."""
    tls_port: int | None
    """Port of CUPS over HTTPS. None if there is none."""
    fallback_to_free_port: bool
    """Whether to take a free port if ``tls_port`` is taken."""
    state_dir: Path | None
    """Folder that keeps the CA and the server's key. None to create new ones."""
    public_names: tuple[str, ...]
    """Names of this machine on the network."""
    limits: Limits
    """Limits on the time, bytes and connections of a client."""

    def certificate_names(self) -> list[str]:
        """Return the names for the certificate of the HTTPS server. The last one is the name in its URI.

        Gateways on the network must be able to resolve this name. So it is the last public name, or the name of the
        listening address if there is no public name.
        """
        names = [LOCALHOST]
        if host_name_of(self.host) != LOCALHOST:
            names.append(host_name_of(self.host))
        return [*names, *self.public_names]


@dataclass(frozen=True, slots=True)
class CupsServers:
    """The running CUPS servers of a cloud."""

    plain: CupsServer | None
    """CUPS over plain HTTP. None if there is none."""
    tls: CupsServer | None
    """CUPS over HTTPS. None if there is none."""


@contextlib.contextmanager
def run_cups(service: UpdateService, settings: CupsSettings) -> Iterator[CupsServers]:
    """Run the servers that gateways ask for updates (CUPS: Configuration and Update Server) while a block runs.

    Args:
        service: Answers the gateways.
        settings: The settings of both servers. A server without a port is not started.

    Yields:
        The servers.
    """
    plain_server = tls_server = plain_uri = None
    with contextlib.ExitStack() as stack:
        if settings.plain_port is not None:
            plain_server = stack.enter_context(run_plain_cups(service, settings, settings.plain_port))
            plain_uri = plain_server.uri
        if settings.tls_port is not None:
            tls_server = stack.enter_context(run_tls_cups(service, settings, settings.tls_port, plain_uri))
        yield CupsServers(plain_server, tls_server)


@contextlib.contextmanager
def run_plain_cups(service: UpdateService, settings: CupsSettings, port: int) -> Iterator[CupsServer]:
    """Run CUPS over plain HTTP while a block runs. GetServiceEndpoint returns its address.

    Plain CUPS does not know which client it talks to, so it always listens on loopback.

    Args:
        service: Answers the gateways.
        settings: The settings of both servers.
        port: The port to listen at.
    """
    server = CupsServer(
        service,
        host=loopback_or_default(settings.host),
        port=port,
        names=HostNames(settings.public_names),
        # A gateway that has a certificate could otherwise be impersonated here, without it.
        refuse_bound=settings.tls_port is not None,
        limits=settings.limits,
    )
    with server.run_in_thread(), set_cups_endpoint(server.uri):
        yield server


@contextlib.contextmanager
def run_tls_cups(
    service: UpdateService, settings: CupsSettings, port: int, plain_uri: str | None
) -> Iterator[CupsServer]:
    """Run CUPS over HTTPS while a block runs. GetServiceEndpoint returns its address and the certificate of its CA.

    Args:
        service: Answers the gateways.
        settings: The settings of both servers.
        port: The port to listen at.
        plain_uri: The address of plain CUPS. None if there is none.
    """
    names = settings.certificate_names()
    with _state_folder(settings.state_dir) as folder:
        authority = load_or_create(folder, names)
        context = authority.server_context()
        with _authorize_clients(service, context) as authorizer:
            server = CupsServer(
                service,
                host=settings.host,
                port=port,
                fallback_to_free_port=settings.fallback_to_free_port,
                tls=TlsConfig(context, authorizer, name=names[-1]),
                limits=settings.limits,
            )
            with server.run_in_thread(), set_cups_endpoint(server.uri, authority.ca_pem, plain_uri=plain_uri):
                yield server


@contextlib.contextmanager
def _state_folder(state_dir: Path | None) -> Iterator[Path]:
    """Yield the folder for the CA and the server's key. Without one, yield a new folder that is deleted at the end."""
    if state_dir is not None:
        yield state_dir
        return
    with tempfile.TemporaryDirectory(prefix="lorafw-state-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def _authorize_clients(service: UpdateService, context: ssl.SSLContext) -> Iterator[CertificateAuthorizer]:
    """Let a TLS server accept the client certificates that are associated with a gateway.

    Certificates that are associated while the block runs are accepted as well.

    Args:
        service: Knows the gateways.
        context: The TLS context of the server.

    Yields:
        The authorizer, which says for which gateway a certificate may be used.
    """
    authorizer = CertificateAuthorizer(IotCertificates(), service.find_gateway)
    authorizer.attach(context)
    with on_certificate_associated(authorizer.trust):
        for owner, certificate_id in service.associated_certificates():
            authorizer.trust(owner, certificate_id)
        yield authorizer
