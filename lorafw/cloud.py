"""The lab's AWS: the API on one port, CUPS on another, one UpdateService behind both.

The API is moto's own server with ``iotwireless`` in it, so S3, IAM, STS and IoT are there too. Its state is in memory
and goes with the process.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from lorafw.clock import Clock
from lorafw.cups.identity import Gatekeeper
from lorafw.cups.limits import DEFAULT, Limits
from lorafw.cups.server import CupsServer, Tls
from lorafw.environment import leading_to, without_profile
from lorafw.example import REGION
from lorafw.isolation.sessions import make_client
from lorafw.isolation.settings import without_moto_switches
from lorafw.loopback import PAST_PROXIES, check_port, is_loopback
from lorafw.tasks.policy import Policy
from lorafw.tasks.service import UpdateService

ELSEWHERE: Final = "; if yours is elsewhere, lead S3 and IAM here as well: set AWS_ENDPOINT_URL"
"""Ends what is said of a missing role or bucket: perhaps only iotwireless was led to this server."""


class ApiServer:
    """moto's server with the API of iotwireless, in a thread."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        self._server: Any = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def start(self) -> None:
        """Raises OSError where the port is taken."""
        from moto.server import ThreadedMotoServer  # noqa: PLC0415

        from lorafw.iotwireless import register  # noqa: PLC0415

        register()
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        # moto's thread would die in silence on a port that is taken, and its start() then wait for ever.
        check_port(self.host, self.port)
        self._server = ThreadedMotoServer(self.host, self.port, verbose=False)
        self._server.start()
        self.port = self._server.get_host_and_port()[1]

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    def reset(self) -> None:
        """Forget everything: moto keeps its state for as long as the process lives."""
        PAST_PROXIES.open(f"{self.url}/moto-api/reset", data=b"", timeout=10).close()

    def __enter__(self) -> ApiServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Cloud:
    """API and CUPS together, empty at first. A context manager, one at a time in a process; ports of 0 are picked."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        api_port: int = 0,
        cups_port: int = 0,
        cups_tls_port: int | None = None,
        cups_tls_or_another: bool = False,
        state_dir: Path | None = None,
        public_names: Sequence[str] = (),
        policy: Policy | None = None,
        clock: Clock | None = None,
        limits: Limits = DEFAULT,
    ) -> None:
        """``cups_tls_port`` None: no HTTPS. ``state_dir`` keeps CA and server key; without it they are made anew.

        ``host`` is for API and HTTPS; the plain port knows no identity and stays on loopback.
        """
        self.api = ApiServer(host, api_port)
        self._cups_port = cups_port
        self._cups_tls_port = cups_tls_port
        self._or_another = cups_tls_or_another
        self._state_dir = state_dir
        self._names = ["localhost", *public_names]
        self._host = host
        self._policy = policy
        self._clock = clock
        self._limits = limits
        self._open = contextlib.ExitStack()

    service: UpdateService
    cups: CupsServer
    """The plain server."""
    cups_tls: CupsServer | None = None

    def __enter__(self) -> Cloud:
        from lorafw.firmware.source import RoleSource, client_factory  # noqa: PLC0415
        from lorafw.iotwireless.behind import new_id, set_cups_endpoint, use_service  # noqa: PLC0415
        from lorafw.iotwireless.corrections import corrected_moto  # noqa: PLC0415

        with contextlib.ExitStack() as opening:
            opening.enter_context(without_moto_switches())
            opening.enter_context(without_profile())
            opening.enter_context(corrected_moto())
            opening.enter_context(self.api)
            self.api.reset()
            clients = client_factory(endpoint_url=self.api.url)
            source = opening.enter_context(RoleSource(clients, clock=self._clock, missing_hint=ELSEWHERE))
            self.service = UpdateService(source=source, clock=self._clock, policy=self._policy, new_id=new_id)
            opening.enter_context(use_service(self.service))
            self.cups = CupsServer(self.service, host=loopback(self._host), port=self._cups_port, limits=self._limits)
            opening.enter_context(self.cups.in_thread())
            if self._cups_tls_port is None:
                opening.enter_context(set_cups_endpoint(self.cups.uri))
            else:
                self._open_tls(opening, self._cups_tls_port)
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _open_tls(self, opening: contextlib.ExitStack, port: int) -> None:
        from lorafw.cups.authority import load_or_make  # noqa: PLC0415
        from lorafw.iotwireless.behind import IotCertificates, set_cups_endpoint, tell_certificates  # noqa: PLC0415

        folder = self._state_dir
        if folder is None:
            folder = Path(opening.enter_context(tempfile.TemporaryDirectory(prefix="lorafw-state-")))
        authority = load_or_make(folder, self._names)
        gatekeeper = Gatekeeper(IotCertificates(), self.service.find_gateway)
        context = authority.server_context()
        gatekeeper.attach(context)
        opening.enter_context(tell_certificates(gatekeeper.trust))
        # A gateway on the network knows this machine by its public name.
        tls = Tls(context, gatekeeper, self._names[-1])
        self.cups_tls = CupsServer(
            self.service, host=self._host, port=port, or_another=self._or_another, tls=tls, limits=self._limits
        )
        opening.enter_context(self.cups_tls.in_thread())
        opening.enter_context(set_cups_endpoint(self.cups_tls.uri, authority.ca_pem, plain_uri=self.cups.uri))

    def environment(self, region: str = REGION) -> dict[str, str]:
        """What boto3 and the AWS CLI need to find this cloud and no other."""
        return leading_to(self.api.url, region)

    def client(self, name: str, region: str = REGION) -> Any:
        """A boto3 client of this cloud."""
        return make_client(name, region=region, endpoint_url=self.api.url)


def loopback(host: str) -> str:
    """``host`` if it is this machine's own, otherwise 127.0.0.1."""
    return host if is_loopback(host) else "127.0.0.1"
