"""The two servers of a comparison, each in a process of its own: lorafw's server, and a minimal aiohttp handler."""

from __future__ import annotations

import asyncio
import json
import resource
import ssl
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from load import Identity

from lorafw.server.app import CupsServer
from lorafw.server.authorization import BoundCertificate, CertificateAuthorizer
from lorafw.server.certificate_authority import load_or_create
from lorafw.server.config import TlsConfig
from lorafw.tasks.model import AccountRegion, UpdateSpec
from lorafw.tasks.service import UpdateService
from lorafw.version import GatewayVersion

OWNER = AccountRegion("123456789012", "us-east-1")


def make_identities(folder: Path, count: int) -> list[Identity]:
    """So many gateways with a certificate each, and the server's authority beside them."""
    authority = load_or_create(folder / "state", ["localhost"])
    (folder / "trust.pem").write_text(authority.ca_pem)
    for number in range(count):
        (folder / f"{number}.pem").write_bytes(_certificate_and_key(number))
    return [Identity(number, str(folder / "trust.pem"), str(folder / f"{number}.pem")) for number in range(count)]


def _certificate_and_key(number: int) -> bytes:
    """Signed by its own key, as moto's are; on a curve, so that the gateways cost little."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"gateway {number}")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(key, SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificate_pem(identity: Identity) -> str:
    assert identity.certificate is not None
    return Path(identity.certificate).read_text().partition("-----BEGIN PRIVATE")[0]


class _Certificates:
    """Certificates by id, where lorafw has moto's IoT."""

    def __init__(self, identities: list[Identity]) -> None:
        self._known = {
            str(identity.number): BoundCertificate(str(identity.number), _certificate_pem(identity), True)
            for identity in identities
        }

    def find(self, owner: AccountRegion, certificate_id: str) -> BoundCertificate | None:
        return self._known.get(certificate_id)


class _NoSource:
    def open(self, data_source: str, role: str | None, *, account: str, region: str) -> object:
        raise AssertionError("nothing is to be sent")


def service_with(identities: list[Identity], source: object) -> UpdateService:
    """A service that knows these gateways."""
    service = UpdateService(source=source)  # type: ignore[arg-type]
    for identity in identities:
        service.create_gateway(OWNER, identity.eui, certificate_id=str(identity.number))
    return service


def tls_of(folder: Path, identities: list[Identity], service: UpdateService) -> TlsConfig:
    """Mutual TLS, with each gateway's certificate bound."""
    authority = load_or_create(folder / "state", ["localhost"])
    gatekeeper = CertificateAuthorizer(_Certificates(identities), service.find_gateway)
    for identity in identities:
        gatekeeper.trust(OWNER, str(identity.number))
    context = authority.server_context()
    gatekeeper.attach(context)
    return TlsConfig(context, gatekeeper)


def serve_lorafw(pipe: Connection, folder: Path, identities: list[Identity], tls: bool) -> None:
    """As many definitions as gateways; none matches what the gateways present."""
    service = service_with(identities, _NoSource())
    for identity in identities:
        version = GatewayVersion("2.0.6(linux/std) 2026-11-23 15:58:28", f"0.{identity.number}", "linux")
        service.create_definition(
            OWNER, auto_create_tasks=True, update=UpdateSpec("s3://bucket/key", "role", b"x" * 70, 7, version)
        )

    async def start() -> int:
        server = CupsServer(service, tls=tls_of(folder, identities, service) if tls else None)
        await server.start()
        return server.port

    serve(pipe, asyncio.new_event_loop(), start)


def serve_bare(pipe: Connection, folder: Path, identities: list[Identity], tls: bool) -> None:
    """A handler that reads the JSON and answers with nothing to do; over TLS with the same certificates trusted."""

    async def handle(request: web.BaseRequest) -> web.Response:
        json.loads(await request.read())
        return web.Response(body=bytes(14), content_type="application/octet-stream")

    async def start() -> int:
        context: ssl.SSLContext | None = None
        if tls:
            context = load_or_create(folder / "state", ["localhost"]).server_context()
            context.load_verify_locations(cadata="".join(_certificate_pem(identity) for identity in identities))
        server = web.Server(handle, access_log=None)
        listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0, ssl=context, backlog=1024)
        return int(listener.sockets[0].getsockname()[1])

    serve(pipe, asyncio.new_event_loop(), start)


def serve(pipe: Connection, loop: asyncio.AbstractEventLoop, start: Callable[[], Coroutine[None, None, int]]) -> None:
    """Start, tell the port, and answer "cpu" (seconds) and "memory" (bytes: now, and at the peak) until None comes."""
    pipe.send(loop.run_until_complete(start()))

    def asked() -> None:
        match pipe.recv():
            case "cpu":
                usage = resource.getrusage(resource.RUSAGE_SELF)
                pipe.send(usage.ru_utime + usage.ru_stime)
            case "memory":
                lines = Path("/proc/self/status").read_text().splitlines()
                sizes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
                pipe.send((int(sizes["VmRSS"]) * 1024, int(sizes["VmHWM"]) * 1024))
            case _:
                loop.stop()

    loop.add_reader(pipe.fileno(), asked)
    loop.run_forever()


@contextmanager
def process(target: object, *arguments: object) -> Iterator[tuple[Connection, object]]:
    """A process with a pipe, and the first thing it sent; it ends with the block."""
    context = get_context("spawn")
    ours, its = context.Pipe()
    worker = context.Process(target=target, args=(its, *arguments), daemon=True)  # type: ignore[arg-type]
    worker.start()
    try:
        yield ours, ours.recv()
    finally:
        ours.send(None)
        worker.join(10)
        if worker.is_alive():
            worker.kill()
