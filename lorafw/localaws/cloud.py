"""The lab's AWS: the API on one port and CUPS on another, with one UpdateService behind both.

The API is moto's own server with ``iotwireless`` added, so it has S3, IAM, STS and IoT too. Its state is kept in memory
and is lost when the process ends, unless a ``KeptState`` is given.

moto is imported when a cloud is opened: that takes about a second, and many importers of this module never open one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorafw.clock import Clock, ManualClock, Moment, SystemClock
from lorafw.errors import LabError
from lorafw.example import REGION
from lorafw.failures.arguments import plan_failure
from lorafw.failures.over_http import Application, FailureMiddleware
from lorafw.failures.registry import FailureRegistry
from lorafw.isolation.environment import aws_variables
from lorafw.isolation.sessions import make_client
from lorafw.localaws.api_server import ApiServer, reset_moto
from lorafw.localaws.control import ControlMiddleware
from lorafw.localaws.cups_servers import CupsSettings
from lorafw.persistence.kept_state import KeptState
from lorafw.server.app import CupsServer
from lorafw.server.config import DEFAULT_LIMITS, Limits
from lorafw.server.loopback import as_url_host, is_loopback
from lorafw.tasks.policy import Policy
from lorafw.tasks.service import UpdateService

if TYPE_CHECKING:
    from lorafw.localaws.service_runner import RunningCloud


class Cloud:
    """The API and CUPS together, with no resources at first.

    This is a context manager. Only one may be open in a process. A port of 0 means a free port.
    """

    def __init__(
        self,
        *,
        api_host: str = "127.0.0.1",
        cups_host: str = "127.0.0.1",
        api_port: int = 0,
        cups_port: int | None = 0,
        cups_tls_port: int | None = None,
        cups_tls_fallback_to_free_port: bool = False,
        state_dir: Path | None = None,
        public_names: Sequence[str] = (),
        policy: Policy | None = None,
        clock: Clock | None = None,
        limits: Limits = DEFAULT_LIMITS,
        kept_state: KeptState | None = None,
    ) -> None:
        """Prepare a cloud; nothing listens yet.

        Args:
            api_host: Address at which the API listens. The API checks no credentials.
            cups_host: Address at which CUPS over HTTPS listens. Plain CUPS identifies no client, so it always listens
                on loopback.
            api_port: Port of the API.
            cups_port: Port of plain CUPS. If it is None, there is no plain CUPS.
            cups_tls_port: Port of CUPS over HTTPS. If it is None, there is no HTTPS.
            cups_tls_fallback_to_free_port: Whether to take a free port if ``cups_tls_port`` is taken.
            state_dir: Folder that keeps the CA and the server's key. If it is None, new ones are created each time.
            public_names: Names of this machine on the network, for the server's certificate and for Host headers.
            policy: How the service behaves if AWS's behaviour is not documented. None means the default policy.
            clock: Clock of the service. None means the real clock.
            limits: Limits of the CUPS servers on the time, bytes and connections of a client.
            kept_state: Keeps all state in a folder. The cloud opens it. None means that the state is in memory only.

        Raises:
            LabError: There would be no CUPS at all.
        """
        if cups_port is None and cups_tls_port is None:
            raise LabError("cups_port and cups_tls_port are both None: a cloud has one of them at least")
        self.failures = FailureRegistry(clock or SystemClock())
        """Decides which calls of the API fail. Plan failures with its ``fail_next``."""
        self.api = ApiServer(api_host, api_port, public_names, self._wrap_api)
        """The server of the API."""
        self._cups_settings = CupsSettings(
            host=cups_host,
            plain_port=cups_port,
            tls_port=cups_tls_port,
            fallback_to_free_port=cups_tls_fallback_to_free_port,
            state_dir=state_dir,
            public_names=tuple(public_names),
            limits=limits,
        )
        self._policy = policy
        self._clock = clock
        self.kept_state = kept_state
        self._exit_stack = contextlib.ExitStack()
        self._running: RunningCloud | None = None
        """The parts that run. None before the cloud is entered."""

    def __enter__(self) -> Cloud:
        """Start the API and CUPS. If something cannot be started, everything is stopped again."""
        from lorafw.localaws.service_runner import run_cloud  # noqa: PLC0415 -- imports moto

        parts = run_cloud(
            self.api, self._cups_settings, clock=self._clock, policy=self._policy, kept_state=self.kept_state
        )
        with contextlib.ExitStack() as stack:
            self._running = stack.enter_context(parts)
            self.api.serve()  # only now, because requests to the control routes need the running parts
            self._exit_stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        self._exit_stack.close()

    def _parts(self) -> RunningCloud:
        """Return the parts that run. Raises LabError if the cloud has not been entered."""
        if self._running is None:
            raise LabError("this cloud is not open; open it: `with Cloud() as cloud:`")
        return self._running

    @property
    def service(self) -> UpdateService:
        """The update service behind the API and CUPS. Raises LabError if the cloud has not been entered."""
        return self._parts().service

    @property
    def cups_plain(self) -> CupsServer | None:
        """CUPS over plain HTTP. None if this cloud has none. Raises LabError if the cloud has not been entered."""
        return self._parts().cups.plain

    @property
    def cups_tls(self) -> CupsServer | None:
        """CUPS over HTTPS. None if this cloud has none. Raises LabError if the cloud has not been entered."""
        return self._parts().cups.tls

    @property
    def cups(self) -> CupsServer:
        """CUPS over plain HTTP. Raises LabError if this cloud has none."""
        server = self.cups_plain
        if server is None:
            raise LabError("this cloud has no plain CUPS; give it a cups_port, or use cups_tls")
        return server

    @property
    def public_names(self) -> tuple[str, ...]:
        """The names of this machine on the network."""
        return self._cups_settings.public_names

    def public_api_url(self) -> str | None:
        """Return the URL of the API for other machines. None if it cannot be reached, or if there is no public name."""
        if is_loopback(self.api.host) or not self.public_names:
            return None
        return f"http://{as_url_host(self.public_names[-1])}:{self.api.port}"

    def environment(self, region: str = REGION) -> dict[str, str]:
        """Return the environment variables with which boto3 and the AWS CLI find this cloud and no other."""
        return aws_variables(self.api.url, region)

    def client(self, name: str, region: str = REGION) -> Any:
        """Return a boto3 client of this cloud.

        Args:
            name: The name of the service, such as "iotwireless" or "s3".
            region: The Region of the client.
        """
        return make_client(name, region=region, endpoint_url=self.api.url)

    def _wrap_api(self, application: Application) -> Application:
        """Return moto's application with middleware around it. A request passes the middleware from last to first.

        Args:
            application: moto's application, which answers the requests to AWS.
        """
        # 1. Keep the requests that change something. This answers the kept requests again, so it needs moto alone.
        if self.kept_state is not None:
            application = self.kept_state.keep_requests(application)
        # 2. Answer a call that must fail with an error instead of passing it on.
        application = FailureMiddleware(application, self.failures)
        # 3. Answer the control routes, such as /lorafw/reset, by the methods below.
        return ControlMiddleware(application, self)

    def now_ms(self) -> int:
        """Return the time of the clock in milliseconds since 1970 UTC."""
        return self.service.clock.now_ms()

    def advance(self, seconds: float) -> int | None:
        """Move a manual clock forward, and apply the deadlines that pass: a task whose gateway stays silent then fails.

        Args:
            seconds: The time by which the clock is moved.

        Returns:
            The new time in milliseconds since 1970 UTC. None if the clock is not a manual one.

        Raises:
            StateError: The time cannot be saved.
        """
        if not isinstance(self._clock, ManualClock):
            return None
        # No request changes the service between these steps: the transaction makes other threads wait.
        with self.service.transaction():
            now_ms = self._clock.advance(seconds)
            self.service.apply_deadlines()
            if self.kept_state is not None:
                self.kept_state.store.save_moment(Moment.of(self._clock))
        return now_ms

    def reset(self) -> None:
        """Delete everything in moto and in the service, the kept state, and all planned failures. The clock goes on.

        Raises:
            StateError: The deletion cannot be saved.
        """
        self.failures.clear()
        if self.kept_state is not None:
            self.kept_state.clear(self.service, reset_moto)
            return
        reset_moto()
        self.service.clear()

    def fail_next(self, operation: str, code: str, **options: Any) -> None:
        """Let the next calls of an operation fail.

        Args:
            operation: The name of the operation, such as "GetWirelessGatewayTask".
            code: The code of the error, such as "AccessDeniedException".
            **options: The other arguments of ``plan_failure``.
        """
        self.failures.add(plan_failure(operation, code, **options))
