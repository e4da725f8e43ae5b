"""Connect to the lab on this machine, or to the AWS account whose number the user has typed. Nothing else is possible.

The lab is found in the same way as by ``lorafw aws``. For an account, boto3's own settings are used, and three things
are checked: the endpoints are AWS's, STS says that the credentials belong to the account that was typed, and there is
a Region.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, Protocol
from urllib.parse import urlsplit

from lorafw.errors import LabError, RolloutError, WrongTarget
from lorafw.isolation.reach import is_aws, is_unambiguous
from lorafw.isolation.sessions import make_client
from lorafw.localaws.lab_endpoint import check_is_lab, find_endpoint

_CONNECT_TIMEOUT_S: Final = 10
_READ_TIMEOUT_S: Final = 30
_TRIES: Final = 3
_SERVICES: Final = ("iotwireless", "s3", "sts", "iam")
_ACCOUNT_DIGITS: Final = 12


class Clients(Protocol):
    """Returns boto3 clients, as ``bed.client`` does."""

    def __call__(self, service: str, region: str | None = None, /) -> Any:
        """Return a client of a service, such as "s3". ``region`` None means the Region of the gateways."""
        ...


TargetKind = Literal["lab", "account"]


@dataclass(frozen=True, slots=True)
class Target:
    """One account in one Region, emulated or real."""

    kind: TargetKind
    """"lab" for a running ``lorafw serve`` or a testbed, "account" for an account of AWS."""
    account: str
    region: str

    def __str__(self) -> str:
        where = "the lab" if self.kind == "lab" else "AWS"
        return f"account {self.account}, {self.region}, at {where}"


@dataclass(frozen=True, slots=True)
class Connection:
    """A way to one AWS account in one Region, which was checked."""

    clients: Clients
    target: Target
    actor: str
    """The ARN of the caller, as STS returns it."""
    lab_url: str | None = None
    """The API of the lab. None for a testbed and for an account of AWS."""


def connect_lab(environ: Mapping[str, str], ready_file: Path | None = None, region: str | None = None) -> Connection:
    """Connect to the running lab that the variables or the ready file name.

    Args:
        environ: The environment variables.
        ready_file: The file that ``lorafw serve --ready-file`` has written. None if only the variables count.
        region: The Region. None means the one that the variables or the file name.

    Returns:
        The connection.

    Raises:
        WrongTarget: No lab is named, it is not on this machine, or something else answers there.
    """
    try:
        endpoint = find_endpoint(environ, ready_file)
        check_is_lab(endpoint)
    except LabError as error:
        raise WrongTarget(str(error)) from error

    def client(service: str, other_region: str | None = None) -> Any:
        """Return a client of the lab, whatever boto3's settings are."""
        return make_client(service, region=other_region or lab_region, endpoint_url=endpoint.url, config=_config())

    lab_region = region or endpoint.region
    return replace(connect_clients(client, "lab"), lab_url=endpoint.url)


def connect_account(account: str, region: str | None = None) -> Connection:
    """Connect to an account of AWS with boto3's settings.

    Args:
        account: The account's number, as a person typed it.
        region: The Region. None means the one that boto3's settings name.

    Returns:
        The connection.

    Raises:
        WrongTarget: The settings lead to another account, or to something else than AWS.
        RolloutError: There are no credentials, there is no Region, or AWS does not answer.
    """
    import boto3  # noqa: PLC0415 -- takes a tenth of a second

    if len(account) != _ACCOUNT_DIGITS or not account.isdecimal():
        raise WrongTarget(f"--account {account!r} is not the number of an account, which has {_ACCOUNT_DIGITS} digits")

    def create_session(other_region: str | None = None) -> Any:
        """Return a session of boto3, which reads the credentials anew."""
        return boto3.Session(region_name=other_region or region)

    def create_client(service: str, session: Any) -> Any:
        """Return a client of AWS."""
        client = session.client(service, config=_config())
        _check_endpoint(service, client.meta.endpoint_url)
        return client

    def create_unchecked_client(service: str, other_region: str | None = None) -> Any:
        """Return a client of AWS whose credentials may belong to any account."""
        return create_client(service, create_session(other_region))

    def create_checked_client(service: str, other_region: str | None = None) -> Any:
        """Return a client of AWS whose credentials belong to the account. They may have been replaced meanwhile."""
        session = create_session(other_region)
        identity = create_client("sts", session).get_caller_identity()
        _check_account(account, identity["Account"], identity["Arn"])
        return create_client(service, session)

    # Check the endpoints of all services before the first call.
    for service in _SERVICES:
        with _errors_as_rollout_error(service):
            create_unchecked_client(service)
    connection = connect_clients(create_unchecked_client, "account")
    _check_account(account, connection.target.account, connection.actor)
    return replace(connection, clients=create_checked_client)


def _check_account(typed: str, found: str, actor: str) -> None:
    """Raise WrongTarget if credentials belong to another account than the one that a person has typed."""
    if found != typed:
        raise WrongTarget(
            f"the credentials belong to account {found}, not to {typed} ({actor}); "
            "choose another AWS_PROFILE, or type the account that you mean"
        )


def connect_clients(clients: Clients, kind: TargetKind) -> Connection:
    """Return the connection of some clients, with the account that STS names.

    Args:
        clients: Returns boto3 clients, such as ``bed.client`` of a testbed.
        kind: "lab" for clients of the lab or of a testbed, "account" for those of AWS.

    Raises:
        RolloutError: STS does not answer.
    """
    with _errors_as_rollout_error("sts"):
        identity = clients("sts").get_caller_identity()
    region = clients("iotwireless").meta.region_name
    return Connection(clients, Target(kind, identity["Account"], region), identity["Arn"])


@contextmanager
def _errors_as_rollout_error(service: str) -> Iterator[None]:
    """Raise RolloutError for each error of botocore in the block. ``service`` is the service that is called."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise RolloutError(f"{service} cannot be reached: {error}") from error


def _check_endpoint(service: str, url: str) -> None:
    """Refuse an endpoint that is not AWS's, whichever variable or file names it."""
    parts = urlsplit(url)
    if parts.scheme == "https" and is_aws(parts.hostname) and is_unambiguous(url):
        return
    raise WrongTarget(
        f"{service} would be called at {url}, which is not AWS; unset AWS_ENDPOINT_URL and endpoint_url in the "
        "profile, or use --lab"
    )


def _config() -> Any:
    """Return the settings of the clients: short timeouts, and few tries of botocore's own."""
    from botocore.config import Config  # noqa: PLC0415

    return Config(
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": _TRIES},
    )
