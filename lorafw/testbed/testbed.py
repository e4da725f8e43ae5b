"""The testbed itself: what is opened, in which order, and what a test can ask of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from types import EllipsisType
from typing import Any, ClassVar

from lorafw import example
from lorafw.clock import ManualClock, format_iso
from lorafw.errors import LabError
from lorafw.eui import GatewayEui
from lorafw.faults import Fault
from lorafw.firmware.image import build_image
from lorafw.firmware.signing import KeyPair, sign_update
from lorafw.gateway.faults import injection
from lorafw.gateway.provisioning import register_gateway, write_home
from lorafw.gateway.transport import InProcessTransport
from lorafw.gateway.virtual import MODEL, STATION, VirtualGateway
from lorafw.isolation.environment import aws_variables
from lorafw.isolation.opening import isolated
from lorafw.isolation.reach import check_hosts
from lorafw.isolation.sessions import make_client
from lorafw.localaws.provisioning import create_bucket_and_role, upload_update
from lorafw.scratch import scratch_folder
from lorafw.server.app import CupsServer
from lorafw.station.exchange import ExchangeResult
from lorafw.tasks.explain import Explanation
from lorafw.tasks.lifecycle import LogRow, TaskStatus
from lorafw.tasks.model import AccountRegion
from lorafw.tasks.policy import Policy
from lorafw.tasks.service import UpdateService
from lorafw.testbed import validation as arguments
from lorafw.testbed.gateways import (
    GatewayRef,
    TestbedGateway,
    choose,
    ensure_not_present,
    presented,
    read_eui,
    run_until,
)
from lorafw.testbed.serving import CupsOnDemand
from lorafw.version import GatewayVersion

LAB_SECRET = 0x10AF
"""The lab's signing key is made from this number: everyone knows it, so it signs lessons and nothing else."""


class Testbed:
    """S3, IAM, the iotwireless API, CUPS and virtual gateways. A context manager.

    One at a time in a process: LabError where another is open. ``interval_s`` is the gateways' regular interval;
    ``package`` what their version.txt says at first. With ``staged`` the documented bucket and role are there already.
    Each opening starts afresh. Outside of it, every method that could reach AWS raises LabError, and so does every
    client that ``client`` made: without moto they would speak to the real AWS. ``log`` and ``now`` stay readable.

    While it is open, all that botocore sends in this process goes to the testbed or to loopback, whatever the user's
    settings are. For any other host LabError is raised before a byte leaves, unless ``allow_hosts`` has the host.
    """

    __test__ = False  # not a test, whatever pytest makes of the name
    _in_process: ClassVar[Testbed | None] = None

    def __init__(
        self,
        gateways: int = 1,
        *,
        package: str | None = "1.0.0",
        interval_s: float = example.POLL_INTERVAL_S,
        policy: Policy | None = None,
        seed: int = 0,
        start: str = "2021-03-12T09:56:12.047Z",
        staged: bool = True,
        allow_hosts: Sequence[str] = (),
    ) -> None:
        """Prepare a testbed; nothing is opened yet.

        Args:
            gateways: The number of gateways that it has at first.
            package: The text of their version.txt, or None for no such file.
            interval_s: Their regular interval.
            policy: Decisions that differ from lorafw's, or None.
            seed: Decides the ids.
            start: The time at which the clock begins.
            staged: Whether the documented bucket and role are there.
            allow_hosts: Hosts beside this machine that botocore may reach, such as "minio" or "minio:9000".

        Raises:
            LabError: A value cannot work.
        """
        arguments.check_gateways(gateways)
        arguments.check_interval(interval_s)
        arguments.check_policy(policy)
        arguments.check_start(start)
        check_hosts(allow_hosts)
        self.clock = ManualClock(start)
        self.owner = AccountRegion(example.ACCOUNT, example.REGION)
        self.key_pair = KeyPair.from_secret(LAB_SECRET)
        self.gateways: list[TestbedGateway] = []
        self._count = gateways
        self._package = package
        self._interval_s = interval_s
        self._policy = policy
        self._seed = seed
        self._staged = staged
        self._start = start
        self._allow_hosts = allow_hosts
        self._is_open = False
        self._started = False
        self._exit_stack = contextlib.ExitStack()

    service: UpdateService
    _cups: CupsOnDemand

    def __enter__(self) -> Testbed:
        return self._begin(started=False)

    def _begin(self, *, started: bool) -> Testbed:
        from lorafw.iotwireless import register  # noqa: PLC0415
        from lorafw.iotwireless.context import (  # noqa: PLC0415
            clear_failures,
            new_id,
            seed_ids,
            set_cups_endpoint,
            use_service,
        )
        from lorafw.iotwireless.corrections import corrected_moto  # noqa: PLC0415
        from lorafw.sources.s3 import RoleSource, make_client_factory  # noqa: PLC0415

        if Testbed._in_process is not None:
            raise LabError("a Testbed is open in this process, and moto's state is one for all: end that one first")
        register()
        with contextlib.ExitStack() as stack:
            stack.callback(setattr, Testbed, "_in_process", None)
            Testbed._in_process = self
            stack.callback(setattr, self, "_started", False)
            self._started = started
            stack.enter_context(isolated(self.owner.region, self._allow_hosts))
            stack.enter_context(corrected_moto())
            # Set back before moto ends: nothing may go out in between.
            stack.callback(setattr, self, "_is_open", False)
            self._is_open = True
            stack.callback(clear_failures)
            self.clock, self.gateways = ManualClock(self._start), []
            seed_ids(self._seed)
            clients = make_client_factory(isolated=True, before_call=self._before_call)
            source = stack.enter_context(RoleSource(clients, clock=self.clock))
            self.service = UpdateService(source=source, clock=self.clock, policy=self._policy, new_id=new_id)
            stack.enter_context(use_service(self.service))
            self._cups = stack.enter_context(CupsOnDemand(self.service, self.gateways))
            stack.enter_context(set_cups_endpoint(self._cups.server_uri))
            self._folder = stack.enter_context(scratch_folder("lorafw-bed-"))
            if self._staged:
                create_bucket_and_role(self.client, readable="*")
            for index in range(self._count):
                self.add_gateway(GatewayEui(example.GATEWAY_EUI.value + index))
            self._exit_stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit_stack.close()

    def start(self) -> Testbed:
        """What ``with`` does at its beginning; for notebooks, whose cells no ``with`` can span.

        A testbed that was started before and not stopped ends now: a cell may be run again.
        """
        before = Testbed._in_process
        if before is not None and before._started:
            before.stop()
        return self._begin(started=True)

    def stop(self) -> None:
        """What ``with`` does at its end. Twice is harmless."""
        self.__exit__()

    @property
    def is_open(self) -> bool:
        """Has it been opened, and has it not ended?"""
        return self._is_open

    @property
    def cups(self) -> CupsServer:
        """The CUPS server. It is opened when it is first asked for. Raises LabError outside of the testbed."""
        self._check_open()
        return self._cups.server

    def _check_open(self) -> None:
        if not self._is_open:
            raise LabError(
                "this Testbed is not open, and without it boto3 would speak to the real AWS; open it: "
                "`with Testbed() as bed:`; a fixture must `yield bed` inside of the `with`, not `return` it"
            )

    def _before_call(self, **_: Any) -> None:
        """For botocore: nothing leaves a client of this testbed when it is not open."""
        self._check_open()

    def client(self, name: str, region: str = example.REGION) -> Any:
        """A boto3 client of the testbed's AWS, whatever AWS_ENDPOINT_URL says; it is of no use after the end."""
        self._check_open()
        client = make_client(name, region=region)
        client.meta.events.register_first("before-call", self._before_call)
        return client

    @contextlib.contextmanager
    def api_over_http(self) -> Iterator[dict[str, str]]:
        """The API on a port of its own; gives the environment variables for the AWS CLI and boto3."""
        self._check_open()
        from lorafw.localaws.cloud import ApiServer  # noqa: PLC0415

        with ApiServer() as api:
            yield aws_variables(api.url)

    def add_gateway(
        self,
        eui: GatewayEui | str,
        *,
        package: str | EllipsisType | None = ...,
        model: str = MODEL,
        station: str = STATION,
        http: bool = False,
    ) -> TestbedGateway:
        """Make a gateway's home folder, and register the gateway unless the API knows it already.

        ``package`` is the text of its version.txt: the testbed's, unless it is given; None: no such file. ``http``: it
        speaks over a socket, not in process. Raises LabError where the testbed has the gateway already.
        """
        from lorafw.gateway.transport import HttpTransport  # noqa: PLC0415

        self._check_open()
        eui = read_eui(eui)
        ensure_not_present(eui, self.gateways, self.service, self.owner)
        registered = register_gateway(self.client("iotwireless"), eui, example.GATEWAY_NAME, example.RF_REGION)
        cups_uri = self._cups.server_uri() if http else self._cups.home_uri()
        home = write_home(
            self._folder / eui.hex,
            eui=eui,
            cups_uri=cups_uri,
            package=self._package if package is ... else package,
            sig_keys=[self.key_pair.public_key],
            interval_s=self._interval_s,
        )
        transport = HttpTransport() if http else InProcessTransport(self.service)
        log: list[str] = []
        virtual = VirtualGateway(home, transport, station=station, model=model, clock=self.clock, log=log.append)
        gateway = TestbedGateway(registered.id, eui, home, virtual, self.clock.now_ms(), log)
        self.gateways.append(gateway)
        return gateway

    def upload(self, update: bytes, key: str = example.KEY) -> str:
        """Put an update file into the bucket; gives its UpdateDataSource."""
        self._check_open()
        return upload_update(self.client, update, key)

    def define_update(
        self,
        package: str = example.NEXT_PACKAGE,
        *,
        files: Mapping[str, bytes] | None = None,
        restart: str | None = None,
        key_pair: KeyPair | None = None,
        key: str = example.KEY,
        name: str = example.DEFINITION_NAME,
        auto_create_tasks: bool = True,
        current_version: GatewayVersion | None = None,
        update_version: GatewayVersion | None = None,
        data_source: str | None = None,
        role: str = example.ROLE_ARN,
        signature: bytes | None = None,
        sig_key_crc: int | None = None,
    ) -> str:
        """Build, sign, upload and define an update to ``package``; gives the definition's id.

        ``current_version``, unless it is given, is what the first gateway that starts would present now; the documented
        one where there is none. ``key`` is where the update goes in the bucket; with ``data_source``, an object that is
        there already, nothing is uploaded. ``signature`` b"": unsigned.
        """
        self._check_open()
        arguments.check_version("current_version", current_version)
        arguments.check_version("update_version", update_version)
        update = build_image(package_version=package, files=files or {}, restart=restart)
        signed = sign_update(key_pair or self.key_pair, update)
        members = example.input_json(
            name=name,
            auto_create_tasks=auto_create_tasks,
            current_version=current_version or presented(self.gateways) or example.CURRENT_VERSION,
            update_version=update_version,
            data_source=data_source or self.upload(update, key),
            role=role,
            signature=signed.signature if signature is None else signature,
            sig_key_crc=signed.key_crc if sig_key_crc is None else sig_key_crc,
        )
        created: Mapping[str, str] = self.client("iotwireless").create_wireless_gateway_task_definition(**members)
        return created["Id"]

    def fail_next(self, operation: str, code: str, *, times: int = 1, message: str | None = None) -> None:
        """Answer the next calls of an operation of iotwireless with an error, in process and over HTTP.

        ``bed.fail_next("GetWirelessGatewayTask", "AccessDeniedException")``: one that the operation's model has,
        LabError for another. ``times`` counts calls on the wire, and boto3 tries a ThrottlingException or an
        InternalServerException again by itself: five calls in all, unless its ``retries`` say otherwise.
        """
        from lorafw.iotwireless.context import fail_next  # noqa: PLC0415

        self._check_open()
        fail_next(operation, code, times=times, message=message)

    def inject(self, fault: Fault | str, gateway: GatewayRef | None = None, *, polls: int | None = None) -> None:
        """Let a fault hold at a gateway (the first, unless told otherwise); for so many polls, or until ``heal``.

        The names are those of ``lorafw.faults``. Raises FaultError for another one, LabError for ``polls`` below 1.
        """
        arguments.check_polls(polls)
        self._gateway(gateway).virtual.inject(injection(fault, self.service), polls)

    def heal(self, gateway: GatewayRef | None = None) -> None:
        """Take all faults of a gateway away."""
        self._gateway(gateway).virtual.heal()

    def poll(self, gateway: GatewayRef | None = None) -> ExchangeResult:
        """One exchange of a gateway (the first, unless told otherwise), now.

        Raises:
            HomeError: Its station would not start with the files in its home folder.
            LabError: The exchange failed in a way that no station fails; the cause is chained.
        """
        return self._gateway(gateway).poll(self.clock)

    def advance(self, seconds: float) -> None:
        """Turn the clock; each gateway polls whenever its own wait is over. Raises LabError for less than 0.

        A gateway that cannot start is silent, as its log says; the others go on. ``poll`` wakes it once it can.
        If an exchange fails in a way that no station fails, the others go on too; LabError tells it at the end.
        """
        self._check_open()
        arguments.check_seconds(seconds)
        run_until(self.clock.now_ms() + round(seconds * 1000), self.gateways, self.clock)

    def status(self, gateway: GatewayRef | None = None) -> TaskStatus:
        """The status of a gateway's task. Raises NotFound where it has none."""
        chosen = self._gateway(gateway)
        return self.service.task(self.owner, chosen.id).status

    def explain(self, gateway: GatewayRef | None = None) -> Explanation:
        """Why a gateway is updated, or is not."""
        chosen = self._gateway(gateway)
        return self.service.explain(self.owner, chosen.id)

    def _gateway(self, which: GatewayRef | None) -> TestbedGateway:
        self._check_open()
        return choose(self.gateways, which)

    @property
    def log(self) -> list[LogRow]:
        """What has happened to tasks; also after the end."""
        if not hasattr(self, "service"):
            self._check_open()
        return self.service.log

    def now(self) -> str:
        """The time on the clock, in AWS's form."""
        return format_iso(self.clock.now_ms())
