"""The lab's AWS: the API on one port and CUPS on another, with one UpdateService behind both.

The API is moto's own server with ``iotwireless`` added, so it has S3, IAM, STS and IoT too. Its state is kept in memory
and is lost when the process ends, unless a ``KeptState`` is given.

Functions import moto and the CA themselves: importing these takes about a second, and many importers of this module
never open a cloud.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import ssl
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from lorafw.clock import Clock, ManualClock, SystemClock
from lorafw.errors import LabError
from lorafw.example import REGION
from lorafw.failures.over_http import Application, FailureMiddleware
from lorafw.failures.registry import FailureRegistry
from lorafw.isolation.environment import aws_profile_removed, aws_variables
from lorafw.isolation.sessions import make_client
from lorafw.isolation.settings import without_moto_switches
from lorafw.localaws.control import Controlled, ControlMiddleware
from lorafw.persistence.kept_state import KeptState
from lorafw.server.admission import LOCALHOST, HostNames
from lorafw.server.app import CupsServer
from lorafw.server.authorization import CertificateAuthorizer
from lorafw.server.config import DEFAULT_LIMITS, Limits, TlsConfig
from lorafw.server.loopback import (
    as_url_host,
    ensure_port_free,
    host_name_of,
    is_loopback,
    loopback_or_default,
    reachable,
)
from lorafw.tasks.policy import Policy
from lorafw.tasks.service import UpdateService

ELSEWHERE: Final = "; if yours is elsewhere, lead S3 and IAM here as well: set AWS_ENDPOINT_URL"
"""The end of the error for a missing role or bucket: perhaps only iotwireless requests are sent to this server."""


def _names_of(host: str) -> list[str]:
    """Return the names for the certificate of a server that listens at ``host``. The URI of the server has the last."""
    name = host_name_of(host)
    if name == LOCALHOST:
        return [LOCALHOST]
    return [LOCALHOST, name]


class ApiServer:
    """moto's server with the API of iotwireless, in a thread. It admits no request that a web page caused."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        public_names: Sequence[str] = (),
        failures: FailureRegistry | None = None,
    ) -> None:
        """Prepare a server.

        Args:
            host: Address to listen at.
            port: Port to listen at. 0 means a free port.
            public_names: Host names that are admitted besides those that mean loopback.
            failures: Decides which calls fail. None means that no call fails as planned.
        """
        self.host = host
        self.port = port
        self._public_names = tuple(public_names)
        self._failures = failures
        self._server: Any = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """A URL that works on this machine, even if the server listens on all interfaces."""
        return f"http://{as_url_host(reachable(self.host))}:{self.port}"

    @property
    def refused(self) -> str:
        """A summary of the requests refused so far, with counts. It is empty if none was refused."""
        return str(self._server.tally) if self._server is not None else ""

    def start(self) -> None:
        """Listen, and serve in a thread. Raises OSError if the port is taken."""
        self.listen()
        self.serve()

    def listen(
        self, wrap: Callable[[Application], Application] | None = None, *, control: Controlled | None = None
    ) -> None:
        """Listen. Requests wait until ``serve`` is called.

        Args:
            wrap: Returns the application that answers requests with the help of moto's. None for moto's own.
            control: What the control routes act on. None to serve no control routes.

        Raises:
            OSError: The port is taken.
        """
        from lorafw.iotwireless import register  # noqa: PLC0415
        from lorafw.iotwireless.http_server import ApiWsgiServer  # noqa: PLC0415

        register()
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        # werkzeug prints and exits if a port is taken.
        ensure_port_free(self.host, self.port)
        names = HostNames([self.host, *self._public_names])

        def wrap_all(application: Application) -> Application:
            if wrap is not None:
                application = wrap(application)
            application = self._with_failures(application)
            if control is not None:
                application = ControlMiddleware(application, control)
            return application

        self._server = ApiWsgiServer(self.host, self.port, names, wrap_all)
        self.port = self._server.port

    def serve(self) -> None:
        """Answer requests in a thread."""
        self._thread = threading.Thread(target=self._server.serve_forever, name="lorafw-api", daemon=True)
        self._thread.start()
        # When Python ends, daemon threads stop before the last objects are deleted. A context manager that is deleted
        # then would wait for the thread forever.
        atexit.register(self.stop)

    def _with_failures(self, application: Application) -> Application:
        """Return the application with the planned failures around it."""
        if self._failures is None:
            return application
        return FailureMiddleware(application, self._failures)

    def stop(self) -> None:
        """Stop listening. Calling it twice is harmless."""
        if self._server is None:
            return
        if self._thread is None:
            self._server.server_close()
        else:
            self._server.shutdown()
            self._thread.join()
            atexit.unregister(self.stop)
        self._server = self._thread = None

    def reset(self) -> None:
        """Delete all state of moto, which otherwise stays until the process ends."""
        from moto.moto_api._internal import moto_api_backend  # noqa: PLC0415

        moto_api_backend.reset()

    def __enter__(self) -> ApiServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


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
        self.api = ApiServer(api_host, api_port, public_names, self.failures)
        self._cups_port = cups_port
        self._cups_tls_port = cups_tls_port
        self._fallback_to_free_port = cups_tls_fallback_to_free_port
        self._state_dir = state_dir
        self._names = [*_names_of(cups_host), *public_names]
        self._public_names = tuple(public_names)
        self._cups_host = cups_host
        self._policy = policy
        self._clock = clock
        self._limits = limits
        self.kept_state = kept_state
        self._exit_stack = contextlib.ExitStack()

    service: UpdateService
    """The service behind the API and CUPS. It exists once the cloud has been entered."""
    cups_plain: CupsServer | None = None
    """CUPS over plain HTTP; None if there is none."""
    cups_tls: CupsServer | None = None
    """CUPS over HTTPS; None if there is none."""

    @property
    def cups(self) -> CupsServer:
        """CUPS over plain HTTP. Raises LabError if this cloud has none."""
        if self.cups_plain is None:
            raise LabError("this cloud has no plain CUPS; give it a cups_port, or use cups_tls")
        return self.cups_plain

    def __enter__(self) -> Cloud:
        from lorafw.iotwireless.context import use_service  # noqa: PLC0415
        from lorafw.iotwireless.corrections import corrected_moto  # noqa: PLC0415

        with contextlib.ExitStack() as stack:
            stack.enter_context(without_moto_switches())
            stack.enter_context(aws_profile_removed())
            stack.enter_context(corrected_moto())
            self._open_api(stack)
            self.service = self._create_service(stack)
            stack.enter_context(use_service(self.service))
            self._restore()
            self.api.serve()
            if self._cups_port is not None:
                self._start_plain_cups(stack, self._cups_port)
            if self._cups_tls_port is not None:
                self._start_tls_cups(stack, self._cups_tls_port)
            # If a step above fails, the inner stack undoes the steps before it. From here on, __exit__ undoes them.
            self._exit_stack = stack.pop_all()
        return self

    def _open_api(self, stack: contextlib.ExitStack) -> None:
        """Let the API listen, with moto as it was when its state was saved. Requests wait until ``api.serve``.

        Args:
            stack: Stops the API when it is closed.
        """
        stack.callback(self.api.stop)
        self.api.reset()
        if self.kept_state is None:
            self.api.listen(control=self)
            return
        stack.enter_context(self.kept_state)
        self._restore_clock(self.kept_state)
        self.api.listen(self.kept_state.keep_requests, control=self)

    def _restore_clock(self, kept_state: KeptState) -> None:
        """Move a manual clock to the time at which the kept state was saved."""
        saved_ms = kept_state.saved_time_ms()
        if isinstance(self._clock, ManualClock) and saved_ms is not None:
            self._clock.advance_to(saved_ms)

    # --- control ---

    def now_ms(self) -> int:
        """Return the time of the clock in milliseconds since 1970 UTC."""
        return self.service.clock.now_ms()

    def advance(self, seconds: float) -> int | None:
        """Move a manual clock forward, and apply the deadlines that pass.

        Returns:
            The new time in milliseconds since 1970 UTC. None if the clock is not a manual one.

        Raises:
            StateError: The time cannot be saved.
        """
        if not isinstance(self._clock, ManualClock):
            return None
        with self.service.transaction():
            now_ms = self._clock.advance(seconds)
            self.service.apply_deadlines()
            if self.kept_state is not None:
                self.kept_state.save_time(self._clock)
        return now_ms

    def reset(self) -> None:
        """Delete everything in moto and in the service, the kept state, and all planned failures. The clock goes on.

        Raises:
            StateError: The deletion cannot be saved.
        """
        self.failures.clear()
        if self.kept_state is not None:
            self.kept_state.clear(self.service, self.api.reset)
            return
        self.api.reset()
        self.service.clear()

    def fail_next(self, operation: str, code: str, **options: Any) -> None:
        """Let the next calls of an operation fail. The arguments are those of ``FailureRegistry.fail_next``."""
        self.failures.fail_next(operation, code, **options)

    # --- parts ---

    def _create_service(self, stack: contextlib.ExitStack) -> UpdateService:
        """Return an empty service that reads updates from this cloud's S3."""
        from lorafw.iotwireless.context import new_id  # noqa: PLC0415
        from lorafw.sources.s3 import RoleSource  # noqa: PLC0415

        source = stack.enter_context(RoleSource(clock=self._clock, missing_hint=ELSEWHERE))
        return UpdateService(source=source, clock=self._clock, policy=self._policy, new_id=new_id)

    def _restore(self) -> None:
        """Give the service and the API their kept state."""
        from lorafw.iotwireless.models import restore_api_records  # noqa: PLC0415

        if self.kept_state is not None:
            restore_api_records(self.kept_state.restore(self.service))

    def __exit__(self, *_: object) -> None:
        self._exit_stack.close()

    def _start_plain_cups(self, stack: contextlib.ExitStack, port: int) -> None:
        """Start CUPS over plain HTTP, and let GetServiceEndpoint return its address. Sets ``cups_plain``.

        Args:
            stack: Stops the server when it is closed.
            port: The port to listen at.
        """
        from lorafw.iotwireless.context import set_cups_endpoint  # noqa: PLC0415

        self.cups_plain = CupsServer(
            self.service,
            host=loopback_or_default(self._cups_host),
            port=port,
            names=HostNames(self._public_names),
            # A gateway that has a certificate could otherwise be impersonated here, without it.
            refuse_bound=self._cups_tls_port is not None,
            limits=self._limits,
        )
        stack.enter_context(self.cups_plain.run_in_thread())
        stack.enter_context(set_cups_endpoint(self.cups_plain.uri))

    def _start_tls_cups(self, stack: contextlib.ExitStack, port: int) -> None:
        """Start CUPS over HTTPS, and let GetServiceEndpoint return its address. Sets ``cups_tls``.

        Args:
            stack: Stops the server when it is closed.
            port: The port to listen at.
        """
        from lorafw.iotwireless.context import set_cups_endpoint  # noqa: PLC0415
        from lorafw.server.certificate_authority import load_or_create  # noqa: PLC0415

        folder = self._state_dir
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lorafw-state-")))
        authority = load_or_create(folder, self._names)
        context = authority.server_context()
        authorizer = self._create_authorizer(stack, context)
        # The name must be in the server's certificate, and gateways on the network must be able to resolve it. So it is
        # the last public name, or the name of the listening address if there is no public name.
        tls = TlsConfig(context, authorizer, name=self._names[-1])
        self.cups_tls = CupsServer(
            self.service,
            host=self._cups_host,
            port=port,
            fallback_to_free_port=self._fallback_to_free_port,
            tls=tls,
            limits=self._limits,
        )
        stack.enter_context(self.cups_tls.run_in_thread())
        plain_uri = None
        if self.cups_plain is not None:
            plain_uri = self.cups_plain.uri
        stack.enter_context(set_cups_endpoint(self.cups_tls.uri, authority.ca_pem, plain_uri=plain_uri))

    def _create_authorizer(self, stack: contextlib.ExitStack, context: ssl.SSLContext) -> CertificateAuthorizer:
        """Create the authorizer of client certificates, and attach it to the TLS context.

        It accepts the certificates that are associated with a gateway. Certificates that are associated later are added
        until ``stack`` is closed.
        """
        from lorafw.iotwireless.context import IotCertificates, on_certificate_associated  # noqa: PLC0415

        authorizer = CertificateAuthorizer(IotCertificates(), self.service.find_gateway)
        authorizer.attach(context)
        stack.enter_context(on_certificate_associated(authorizer.trust))
        for owner, certificate_id in self.service.associated_certificates():
            authorizer.trust(owner, certificate_id)
        return authorizer

    @property
    def public_names(self) -> tuple[str, ...]:
        """The names of this machine on the network."""
        return self._public_names

    def public_api_url(self) -> str | None:
        """Return the URL of the API for other machines. None if it cannot be reached, or if there is no public name."""
        if is_loopback(self.api.host) or not self._public_names:
            return None
        return f"http://{as_url_host(self._public_names[-1])}:{self.api.port}"

    def environment(self, region: str = REGION) -> dict[str, str]:
        """What boto3 and the AWS CLI need to find this cloud and no other."""
        return aws_variables(self.api.url, region)

    def client(self, name: str, region: str = REGION) -> Any:
        """A boto3 client of this cloud."""
        return make_client(name, region=region, endpoint_url=self.api.url)
