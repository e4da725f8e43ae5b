"""The AWS of a testbed, as its user sees it: clients, the API over HTTP, failures and rates of calls."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

from lorafw.failures.arguments import plan_failure
from lorafw.failures.over_http import FailureMiddleware
from lorafw.failures.registry import DOCUMENTED_RATE, FailureRegistry
from lorafw.iotwireless.cloudformation import check_requirements
from lorafw.isolation.accounts import access_key_of, check_account
from lorafw.isolation.environment import aws_variables
from lorafw.isolation.guard import send_through_guards_only
from lorafw.isolation.regions import check_region
from lorafw.isolation.sessions import make_client
from lorafw.tasks.model import AccountRegion
from lorafw.testbed.gate import OpenGate, not_open_error

if TYPE_CHECKING:
    from mypy_boto3_iam.client import IAMClient
    from mypy_boto3_iot.client import IoTClient
    from mypy_boto3_iotwireless.client import IoTWirelessClient
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_sts.client import STSClient


def choose_owner(home: AccountRegion, region: str | None, account: str | None) -> AccountRegion:
    """Return the account and Region in which a user of a testbed wants something.

    Args:
        home: The account and Region of the testbed. They have been checked.
        region: The Region that the user names. None means the one of the testbed.
        account: The account that the user names. None means the one of the testbed.

    Raises:
        LabError: There is no such account, or the Region has no AWS IoT Core for LoRaWAN.
    """
    if account is not None:
        check_account(account)
    if region is not None and region != home.region:
        check_region(region)
    return AccountRegion(account or home.account, region or home.region)


class AwsSide:
    """The part of ``Testbed`` that concerns AWS's API."""

    owner: AccountRegion
    """The AWS account and Region of the testbed: the ones of gateways, clients and updates that name no others."""
    _gate: OpenGate
    """Refuses calls while the testbed is not open."""
    _failures: FailureRegistry
    """Decides which calls of AWS fail. It exists once the testbed has been opened."""

    @property
    def is_open(self) -> bool:
        """Whether the testbed is open."""
        return self._gate.is_open

    @overload
    def client(
        self, name: Literal["iotwireless"], region: str | None = None, *, account: str | None = None
    ) -> IoTWirelessClient: ...
    @overload
    def client(self, name: Literal["iot"], region: str | None = None, *, account: str | None = None) -> IoTClient: ...
    @overload
    def client(self, name: Literal["s3"], region: str | None = None, *, account: str | None = None) -> S3Client: ...
    @overload
    def client(self, name: Literal["iam"], region: str | None = None, *, account: str | None = None) -> IAMClient: ...
    @overload
    def client(self, name: Literal["sts"], region: str | None = None, *, account: str | None = None) -> STSClient: ...
    @overload
    def client(self, name: str, region: str | None = None, *, account: str | None = None) -> Any: ...

    def client(self, name: str, region: str | None = None, *, account: str | None = None) -> Any:
        """Return a boto3 client of the testbed's AWS. It ignores AWS_ENDPOINT_URL.

        Type checkers know the methods of the client if ``boto3-stubs`` and the stubs of its service are installed.

        Args:
            name: Name of the service, such as "iotwireless" or "s3".
            region: AWS Region of the client. None means the testbed's.
            account: AWS account of the client. None means the testbed's.

        Raises:
            LabError: The Region has no AWS IoT Core for LoRaWAN (of an "iotwireless" client), the account is no
                account id, or the testbed is not open. Calls of the client raise it too, once the testbed is closed.
            MissingExtra: The client is for CloudFormation, and the extra ``cloudformation`` is not installed.
        """
        self._gate.check()
        if account is not None:
            check_account(account)
        if name == "iotwireless" and region is not None:
            check_region(region)
        if name == "cloudformation":
            check_requirements()
        client = make_client(name, region=region or self.owner.region, account=account)
        # botocore calls this before each request: a client that is used after the testbed is closed is refused too.
        client.meta.events.register_first("before-call", self._gate.check)
        send_through_guards_only(client, not_open_error)
        return client

    @contextlib.contextmanager
    def api_over_http(self, *, region: str | None = None, account: str | None = None) -> Iterator[dict[str, str]]:
        """Serve the AWS API on a free port of loopback while the block runs.

        Args:
            region: AWS Region in the variables. None means the testbed's.
            account: AWS account whose keys are in the variables. None means the testbed's.

        Yields:
            The environment variables that make the AWS CLI and boto3 use this server.

        Raises:
            LabError: The account is no account id, the Region has no AWS IoT Core for LoRaWAN, or the testbed is not
                open.
        """
        self._gate.check()
        owner = choose_owner(self.owner, region, account)
        from lorafw.localaws.api_server import ApiServer  # noqa: PLC0415

        with ApiServer(wrap=partial(FailureMiddleware, registry=self._failures)) as api:
            variables = aws_variables(api.url, owner.region)
            if account is not None:
                variables["AWS_ACCESS_KEY_ID"] = access_key_of(account)
            yield variables

    def fail_next(
        self,
        operation: str,
        code: str,
        *,
        times: int = 1,
        after: int = 0,
        where: Mapping[str, Any] | None = None,
        message: str | None = None,
    ) -> None:
        """Make the next calls of an operation fail, in process and over HTTP.

        For example ``bed.fail_next("GetWirelessGatewayTask", "AccessDeniedException", where={"Id": gateway.id})``. The
        services are iotwireless, iot, s3, iam and sts. Calls that the testbed itself makes, in ``add_gateway``,
        ``upload`` and ``define_update``, do not fail.

        With "timeout-after-effect" and "reset-after-effect", AWS carries out the call, but the reply is lost. A call in
        process that times out moves the clock by the client's ``read_timeout``.

        Args:
            operation: Name of the operation in AWS's API. If two services have it, write "iam:CreatePolicy".
            code: Error code as the service spells it: one of the operation's own, or one that is common to all its
                operations, such as "ThrottlingException" (iotwireless, iot), "Throttling" (iam, sts) or "SlowDown"
                (s3). Or "timeout-before-effect", "timeout-after-effect", "reset-before-effect", "reset-after-effect".
            times: Number of requests that fail. boto3 repeats a request after throttling, errors of the server,
                timeouts and resets. How many requests it sends for a call depends on its release and its ``retries``
                setting: three in the mode "standard", five in the mode "legacy".
            after: Number of requests that succeed before the first one fails.
            where: Members that a request must have to fail or to count. None means all requests of the operation.
            message: Text of the error, or None for a default text.

        Raises:
            LabError: The operation, the code or a member does not exist, a number is out of range, or the testbed is
                not open.
        """
        self._gate.check()
        plan = plan_failure(operation, code, times=times, after=after, where=where, message=message)
        self._failures.add(plan)

    def throttle(
        self, per_second: float | None = DOCUMENTED_RATE, *, operation: str | None = None, burst: int | None = None
    ) -> None:
        """Throttle calls above a rate, measured on the testbed's clock.

        The clock stands still between two calls, unless boto3 waits before it repeats one. So more calls than
        ``burst`` are throttled, and boto3's waiting moves the clock until they are admitted.

        Args:
            per_second: Calls of one operation that are admitted in a second, for each Region and access key. The
                default is AWS's documented quota for gateways. None means no limit.
            operation: Name of the operation, as in ``fail_next``. None means each operation of iotwireless.
            burst: Calls that are admitted at once after a pause. None means as many as in a second (assumed).

        Raises:
            LabError: The operation does not exist, a number is out of range, or the testbed is not open.
        """
        self._gate.check()
        self._failures.throttle(per_second, operation=operation, burst=burst)
