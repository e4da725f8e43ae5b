"""The ``Testbed`` class: AWS, the CUPS server and virtual gateways in one process, on a clock that a test moves."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import EllipsisType, MappingProxyType, TracebackType
from typing import Any, ClassVar

from lorafw import example
from lorafw.clock import ManualClock, format_iso
from lorafw.eui import GatewayEui
from lorafw.faults import Fault, FaultName
from lorafw.firmware.image import build_image
from lorafw.firmware.signing import KeyPair, sign_update
from lorafw.gateway.faults import injection
from lorafw.gateway.provisioning import write_home
from lorafw.gateway.transport import InProcessTransport
from lorafw.gateway.virtual import MODEL, STATION, VirtualGateway
from lorafw.isolation.accounts import check_account
from lorafw.isolation.reach import check_hosts
from lorafw.isolation.regions import check_region
from lorafw.localaws.provisioning import put_update
from lorafw.server.app import CupsServer
from lorafw.signals import ctrl_c_postponed
from lorafw.station.exchange import ExchangeResult
from lorafw.tasks.explain import Explanation
from lorafw.tasks.lifecycle import LogRow, TaskStatus
from lorafw.tasks.model import AccountRegion
from lorafw.tasks.policy import Policy
from lorafw.tasks.service import UpdateService
from lorafw.testbed import observers
from lorafw.testbed import validation as arguments
from lorafw.testbed.aws_side import AwsSide, choose_owner
from lorafw.testbed.gate import OpenGate, not_open_error
from lorafw.testbed.gateways import (
    GatewayRef,
    TestbedGateway,
    ensure_not_present,
    find_gateway,
    presented_version,
    read_eui,
    run_until,
)
from lorafw.testbed.own_calls import GatewayDescription, OwnClients, ensure_registered
from lorafw.testbed.process_slot import ProcessSlot, called_at_exit
from lorafw.testbed.run import RunningParts, TestbedRun, TestbedSettings, run_parts
from lorafw.version import GatewayVersion

LAB_SECRET = 0x10AF
"""The number from which the lab's signing key is derived. It is public: use the key for lessons and tests only."""


class Testbed(AwsSide):
    """S3, IAM, the iotwireless API, a CUPS server and virtual gateways in one process.

    Use it as a context manager::

        with Testbed(gateways=2) as bed:
            bed.define_update("1.0.1")
            bed.advance(20)
            bed.status()                  # TaskStatus.COMPLETED

    A process can have one open testbed at a time. Each opening starts with an empty AWS account, new gateways and the
    clock at ``start``.

    While the testbed is open, every request that botocore sends in this process goes to the testbed or to loopback,
    whatever the user's AWS settings are. A request to another host raises LabError before a byte is sent, unless
    ``allow_hosts`` names the host.

    When the testbed is closed, every method that could reach AWS raises LabError, and so do the clients that
    ``client`` has returned: without moto they would send requests to the real AWS. ``log`` and ``now`` still work.
    """

    __test__ = False  # The name starts with "Test", but this is not a test class for pytest to collect.
    _slot: ClassVar[ProcessSlot[Testbed]] = ProcessSlot()
    """The place for the open testbed of this process."""
    key_pair: KeyPair
    """The key that signs updates. The gateways have its public half."""

    def __init__(
        self,
        gateways: int = 1,
        *,
        package: str | None = "1.0.0",
        interval_s: float = example.POLL_INTERVAL_S,
        spread_polls: bool = False,
        policy: Policy | None = None,
        seed: int = 0,
        start: str | datetime = "2021-03-12T09:56:12.047Z",
        staged: bool = True,
        allow_hosts: Sequence[str] = (),
        region: str = example.REGION,
        account: str = example.ACCOUNT,
        moto_config: Mapping[str, Any] | None = None,
    ) -> None:
        """Store the settings of a testbed. Nothing is opened yet.

        Args:
            gateways: Number of gateways that the testbed adds when it opens.
            package: Content of version.txt on these gateways, or None for gateways without that file.
            interval_s: Seconds between two regular polls of a gateway.
            spread_polls: Whether the first polls of these gateways are spread evenly over an interval, as those of a
                fleet in the field. Otherwise all of them poll at once.
            policy: Decisions of the update service where AWS's documentation is silent, or None for lorafw's own.
            seed: Seed of the ids that the API assigns. Equal programs with equal seeds get equal ids.
            start: Time at which the clock starts, as a datetime or in ISO 8601. A time without a zone is UTC.
            staged: Whether the documented bucket and role exist when the testbed opens.
            allow_hosts: Hosts beside this machine that botocore may reach, such as "minio" or "minio:9000".
            region: AWS Region of the testbed. Gateways and clients are in it unless they name another one.
            account: AWS account of the testbed. Gateways and clients are in it unless they name another one. So are
                clients that the user's code makes itself.
            moto_config: Configuration of moto, as for ``mock_aws(config=...)``, or None for its default. A passthrough
                needs ``allow_hosts``, and leads to these hosts only.

        Raises:
            LabError: An argument is out of range or has the wrong type.
        """
        arguments.check_gateways(gateways)
        arguments.check_interval(interval_s)
        arguments.check_policy(policy)
        check_hosts(allow_hosts)
        arguments.check_moto_config(moto_config, allow_hosts)
        check_account(account)
        if region != example.REGION:  # Reading the table of Regions takes a tenth of a second.
            check_region(region)
        self._settings = TestbedSettings(
            owner=AccountRegion(account, region),
            gateway_count=gateways,
            package=package,
            interval_s=interval_s,
            spread_polls=spread_polls,
            policy=policy,
            seed=seed,
            start=arguments.read_start(start),
            staged=staged,
            allow_hosts=allow_hosts,
            moto_config=moto_config,
        )
        self.owner = self._settings.owner
        self.key_pair = KeyPair.from_secret(LAB_SECRET)
        self._gate = OpenGate()
        self._own_clients = OwnClients(self._gate)
        self._run = TestbedRun(self._settings, self._own_clients)
        self._parts: RunningParts | None = None
        self._exit_stack = contextlib.ExitStack()

    @property
    def clock(self) -> ManualClock:
        """The clock of all parts of the testbed. ``advance`` moves it."""
        return self._run.clock

    @property
    def gateways(self) -> list[TestbedGateway]:
        """The gateways, in the order in which they were added."""
        return self._run.gateways

    @property
    def service(self) -> UpdateService:
        """The update service behind the API and the CUPS server. It can be read after the testbed is closed.

        Raises:
            LabError: The testbed has never been opened.
        """
        if self._parts is None:
            raise not_open_error()
        return self._parts.service

    def __enter__(self) -> Testbed:
        return self._open(may_be_replaced=False)

    def _open(self, *, may_be_replaced: bool) -> Testbed:
        """Open all parts of the testbed. If one of them fails, close those that are open already.

        Args:
            may_be_replaced: Whether the next call of ``start`` may close this testbed.

        Returns:
            This testbed.

        Raises:
            LabError: Another testbed is open in this process.
        """
        with contextlib.ExitStack() as stack:
            # 1. Begin a new run: nothing is left of an earlier opening.
            stack.enter_context(Testbed._slot.occupied_by(self, may_be_replaced=may_be_replaced))
            stack.enter_context(called_at_exit(self.stop))
            self._run = TestbedRun(self._settings, self._own_clients)
            self._failures = self._run.failures
            # 2. Start AWS and the update service.
            self._parts = stack.enter_context(run_parts(self._run, self._settings, self._gate))
            # 3. Create the bucket, the role and the gateways.
            if self._settings.staged:
                self._run.staging.prepare(self.owner)
            self._add_first_gateways()
            self._exit_stack = stack.pop_all()
        return self

    def _add_first_gateways(self) -> None:
        """Add the gateways that the testbed has from the beginning. Their EUIs are consecutive."""
        for index, delay_ms in enumerate(self._settings.first_poll_delays_ms()):
            gateway = self.add_gateway(GatewayEui(example.GATEWAY_EUI.value + index))
            gateway.next_poll_ms += delay_ms

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._close(error)

    def _close(self, error: BaseException | None) -> None:
        """Close all parts of the testbed. Does nothing if it is closed already.

        Args:
            error: The exception that ends the ``with`` block, for observers of testbeds. None if there is none.
        """
        try:
            if self.is_open:
                observers.notify_close(self.service, error)
        finally:
            with ctrl_c_postponed():
                self._exit_stack.close()

    def start(self) -> Testbed:
        """Open the testbed without a ``with`` block, for notebooks, where no block can span two cells.

        Closes a testbed that an earlier ``start`` has opened, so that the cell can be run again.

        Returns:
            This testbed.

        Raises:
            LabError: A testbed that was opened by ``with`` is open in this process.
        """
        occupant = Testbed._slot.occupant
        if occupant is not None and occupant.may_be_replaced:
            occupant.testbed.stop()
        return self._open(may_be_replaced=True)

    def stop(self) -> None:
        """Close the testbed, as the end of a ``with`` block does. Does nothing if it is closed already."""
        self._close(None)

    @classmethod
    def current(cls) -> Testbed | None:
        """Return the testbed that is open in this process, or None."""
        occupant = Testbed._slot.occupant
        if occupant is None:
            return None
        return occupant.testbed

    @property
    def cups(self) -> CupsServer:
        """The CUPS server. The first access starts it.

        Raises:
            LabError: The testbed is not open.
        """
        return self._open_parts().cups.start()

    def _open_parts(self) -> RunningParts:
        """Return the parts that run. Raises LabError if the testbed is not open."""
        if self._parts is None or not self.is_open:
            raise not_open_error()
        return self._parts

    def add_gateway(
        self,
        eui: GatewayEui | str,
        *,
        package: str | EllipsisType | None = ...,
        model: str = MODEL,
        station: str = STATION,
        http: bool = False,
        name: str = example.GATEWAY_NAME,
        tags: Mapping[str, str] = MappingProxyType({}),
        rf_region: str = example.RF_REGION,
        region: str | None = None,
        account: str | None = None,
    ) -> TestbedGateway:
        """Add a gateway: register it if the API does not have it yet, and write its home folder.

        The gateway polls for the first time at the next ``poll`` or ``advance``.

        Args:
            eui: The gateway's EUI.
            package: Content of its version.txt, or None for no such file. Not given: the testbed's ``package``.
            model: Platform that the gateway sends as ``model``.
            station: Version of the Basics Station software that the gateway sends as ``station``.
            http: Whether the gateway talks to the CUPS server over a socket. This starts the server.
            name: Its name in AWS. A gateway that is registered already keeps its name, tags and RfRegion.
            tags: Its tags in AWS.
            rf_region: Its RfRegion in AWS, such as "EU868".
            region: AWS Region in which it is registered. None means the testbed's.
            account: AWS account in which it is registered. None means the testbed's.

        Returns:
            The new gateway. It is also the last one in ``gateways``.

        Raises:
            LabError: ``eui`` is not an EUI, the testbed has this gateway already, it is registered in another account
                or Region, the Region has no AWS IoT Core for LoRaWAN, or the testbed is not open.
            botocore.exceptions.ClientError: The API rejects the name, the RfRegion or a tag.
        """
        from lorafw.gateway.transport import HttpTransport  # noqa: PLC0415

        # 1. Check that it can be added.
        parts = self._open_parts()
        eui = read_eui(eui)
        arguments.check_tags(tags)
        owner = choose_owner(self.owner, region, account)
        ensure_not_present(eui, self._run.schedule, self.service, owner)
        # 2. Register it.
        gateway_id = ensure_registered(owner, eui, GatewayDescription(name, rf_region, tags))
        # 3. Write its home folder.
        cups_uri = parts.cups.start_and_return_uri() if http else parts.cups.uri_or_placeholder()
        if package is ...:
            package = self._settings.package
        home = write_home(
            parts.folder / eui.hex,
            eui=eui,
            cups_uri=cups_uri,
            package=package,
            sig_keys=[self.key_pair.public_key],
            interval_s=self._settings.interval_s,
            is_durable=False,  # the testbed removes the folder
        )
        # 4. Let it poll from now on.
        transport = HttpTransport() if http else InProcessTransport(self.service)
        log: list[str] = []
        virtual = VirtualGateway(home, transport, station=station, model=model, clock=self.clock, log=log.append)
        gateway = TestbedGateway(gateway_id, eui, home, virtual, owner, self._run.schedule, log)
        gateway.next_poll_ms = self.clock.now_ms()
        self.gateways.append(gateway)
        return gateway

    def upload(
        self, update: bytes, key: str = example.KEY, *, region: str | None = None, account: str | None = None
    ) -> str:
        """Upload an update file to the documented bucket.

        In another Region or account than the testbed's, the bucket has another name, because a bucket's name is unique
        over all accounts. It is created at the first upload.

        Args:
            update: Content of the file.
            key: Key of the object. An object that has it already is overwritten.
            region: AWS Region of the bucket. None means the testbed's.
            account: AWS account of the bucket. None means the testbed's.

        Returns:
            The object's URL for UpdateDataSource, such as "s3://iotwirelessfwupdate/fwstation".

        Raises:
            LabError: The Region has no AWS IoT Core for LoRaWAN, or the testbed is not open.
        """
        self._gate.check()
        owner = choose_owner(self.owner, region, account)
        staging = self._run.staging
        if self._settings.staged:
            staging.prepare(owner)
        return put_update(self._own_clients.get("s3", owner), staging.bucket(owner), key, update)

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
        role: str | None = None,
        signature: bytes | None = None,
        sig_key_crc: int | None = None,
        region: str | None = None,
        account: str | None = None,
    ) -> str:
        """Build, sign and upload an update file, and create a task definition for it.

        Args:
            package: Package version that the update installs.
            files: Files that the update contains, by name.
            restart: Shell command with which the update's script restarts the station, or None for no restart.
            key_pair: Key that signs the update. None means the testbed's ``key_pair``.
            key: Key of the update file in the documented bucket.
            name: Name of the task definition.
            auto_create_tasks: Whether the definition creates tasks for all gateways that match it.
            current_version: Version that a gateway must have to be updated. None means the version that the first
                usable gateway of this account and Region has now, or the documented version if there is none.
            update_version: Version that the definition declares as UpdateVersion, or None to declare none.
            data_source: URL of an object to use as the update file. None means that the file is built and uploaded to
                ``key``.
            role: ARN of the role that reads the update file. None means the documented role, in the account of the
                definition.
            signature: Signature of the update. None means that ``key_pair`` signs it, and b"" that it is unsigned.
            sig_key_crc: CRC of the signing key. None means that it is computed from ``key_pair``.
            region: AWS Region of the definition. It updates gateways of this Region only. None means the testbed's.
            account: AWS account of the definition. It updates gateways of this account only. None means the testbed's.

        Returns:
            The id of the task definition.

        Raises:
            LabError: A version is not a GatewayVersion, the Region has no AWS IoT Core for LoRaWAN, or the testbed is
                not open.
            botocore.exceptions.ClientError: The API rejects the definition.
        """
        self._gate.check()
        owner = choose_owner(self.owner, region, account)
        arguments.check_version("current_version", current_version)
        arguments.check_version("update_version", update_version)
        update = build_image(package_version=package, files=files or {}, restart=restart)
        signed = sign_update(key_pair or self.key_pair, update)
        if current_version is None:
            current_version = presented_version(self.gateways, owner) or example.CURRENT_VERSION
        if signature is None:
            signature = signed.signature
        if sig_key_crc is None:
            sig_key_crc = signed.key_crc
        if not data_source:
            data_source = self.upload(update, key, region=region, account=account)
        members = example.input_json(
            name=name,
            auto_create_tasks=auto_create_tasks,
            current_version=current_version,
            update_version=update_version,
            data_source=data_source,
            role=role or example.role_arn(owner.account),
            signature=signature,
            sig_key_crc=sig_key_crc,
        )
        client = self._own_clients.get("iotwireless", owner)
        definition_id: str = client.create_wireless_gateway_task_definition(**members)["Id"]
        return definition_id

    def inject(self, fault: Fault | FaultName, gateway: GatewayRef | None = None, *, polls: int | None = None) -> None:
        """Make a fault happen at a gateway, beginning with its next poll.

        Args:
            fault: A ``Fault`` or its value, such as "link-drop".
            gateway: The gateway. None means the first one.
            polls: Number of polls for which the fault lasts. None means that it lasts until ``heal`` is called.

        Raises:
            FaultError: There is no fault of that name.
            LabError: ``polls`` is below 1, there is no such gateway, or the testbed is not open.
        """
        arguments.check_polls(polls)
        self._gateway(gateway).virtual.inject(injection(fault, self.service), polls)

    def heal(self, gateway: GatewayRef | None = None) -> None:
        """Remove all injected faults of a gateway.

        Args:
            gateway: The gateway. None means the first one.

        Raises:
            LabError: There is no such gateway, or the testbed is not open.
        """
        self._gateway(gateway).virtual.heal()

    def poll(self, gateway: GatewayRef | None = None) -> ExchangeResult:
        """Make a gateway poll the CUPS server once, now. The clock stays as it is.

        The poll may start a task, send an update to the gateway and install it.

        Args:
            gateway: The gateway. None means the first one.

        Returns:
            The outcome of the poll, and how long the gateway waits before the next one.

        Raises:
            HomeError: The station would not start with the files in the gateway's home folder.
            LabError: The poll failed in a way in which no real station fails (the cause is chained), there is no such
                gateway, or the testbed is not open.
        """
        chosen = self._gateway(gateway)
        observers.notify_poll()
        with self._run.clock_wait.polling():
            return chosen.poll(self.clock)

    def advance(self, seconds: float) -> None:
        """Move the clock forward. Each gateway polls when its waiting time is over.

        Nothing sleeps: the method returns when all these polls are done.

        A gateway whose station would not start is silent from then on, and its log says why. Once its files are
        repaired, ``poll`` makes it active again. Other gateways are not affected.

        Args:
            seconds: How far the clock moves, 0 or more.

        Raises:
            LabError: ``seconds`` is negative, the testbed is not open, or a poll failed in a way in which no real
                station fails. In the last case the clock and all other gateways have moved on.
        """
        self._gate.check()
        arguments.check_seconds(seconds)
        observers.notify_poll()
        with self._run.clock_wait.polling():
            run_until(self.clock.now_ms() + round(seconds * 1000), self._run.schedule, self.clock)

    def status(self, gateway: GatewayRef | None = None) -> TaskStatus:
        """Return the status of a gateway's update task.

        Args:
            gateway: The gateway. None means the first one.

        Raises:
            NotFound: The gateway has no task.
            LabError: There is no such gateway, or the testbed is not open.
        """
        chosen = self._gateway(gateway)
        return self.service.task(chosen.owner, chosen.id).status

    def explain(self, gateway: GatewayRef | None = None) -> Explanation:
        """Explain why a gateway is or is not being updated.

        Args:
            gateway: The gateway. None means the first one.

        Returns:
            The cause, with the definitions and the task that were considered. ``str()`` gives it as text.

        Raises:
            LabError: There is no such gateway, or the testbed is not open.
        """
        chosen = self._gateway(gateway)
        return self.service.explain(chosen.owner, chosen.id)

    def _gateway(self, reference: GatewayRef | None) -> TestbedGateway:
        """Return the gateway that ``reference`` means. Raises LabError if there is none."""
        self._gate.check()
        return find_gateway(self.gateways, reference)

    @property
    def log(self) -> list[LogRow]:
        """The status changes of all tasks, oldest first. Can be read after the testbed is closed.

        Raises:
            LabError: The testbed has never been opened.
        """
        return self.service.log

    def now(self) -> str:
        """Return the time of the clock in AWS's format, such as "2021-03-12T09:56:12.047Z"."""
        return format_iso(self.clock.now_ms())
