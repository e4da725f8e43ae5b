"""A customer's script, which `isolation.py` runs in one hostile environment. It prints one line of JSON.

From its first line on, it notes name look-ups, connections and datagrams to other machines, and programs that are
started. It makes clients before the testbed is open, but sends nothing with them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

LEFT: list[str] = []
OURS = ("aws", "lorafw")
LOOPBACK = ("127.0.0.1", "::1", "localhost", None, "")


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Note what would leave this machine."""
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        host = arguments[0]
        host = host.decode() if isinstance(host, bytes) else host
        if host not in LOOPBACK:
            LEFT.append(f"{event} {host}")
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        if isinstance(address, tuple) and address[0] not in LOOPBACK:
            LEFT.append(f"{event} {address}")
    elif event == "subprocess.Popen" and not str(arguments[1][0]).endswith(OURS):
        LEFT.append(f"{event} {arguments[1]}")


class Script:
    """What a customer has at the top of a module: a client and a session, made when the module is imported."""

    def __init__(self, profile: str | None) -> None:
        import boto3

        self.session = boto3.Session(profile_name=profile, region_name="us-east-1")
        self.profile = profile

    def make_clients(self) -> None:
        """Make the clients of the module."""
        import boto3

        self.iot = self.session.client("iotwireless")
        self.s3 = self.session.client("s3")
        self.plain = boto3.client("iotwireless", region_name="us-east-1")

    def look(self) -> list[object]:
        """Return what each client sees: three ways to the gateways, and an object that goes and comes back."""
        import boto3

        clients = (self.iot, self.plain, self.session.client("iotwireless"), boto3.client("iotwireless"))
        seen: list[object] = [
            [gateway["Id"] for gateway in client.list_wireless_gateways()["WirelessGatewayList"]] for client in clients
        ]
        self.s3.put_object(Bucket="iotwirelessfwupdate", Key="a/b c", Body=b"update")
        for s3 in (self.s3, boto3.Session().client("s3")):
            seen.append(s3.get_object(Bucket="iotwirelessfwupdate", Key="a/b c")["Body"].read().decode())
        roles = boto3.client("iam").list_roles()["Roles"]
        return [*seen, [role["RoleName"] for role in roles]]


def make_script(profile: str | None, *, with_clients: bool) -> tuple[Script | None, str]:
    """Return the script, or what botocore says where it makes no client with the user's settings.

    The metadata service is switched off meanwhile: lorafw is not open, and this is not its doing.
    """
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    try:
        script = Script(profile)
        if with_clients:
            script.make_clients()
            try_to_call(script.iot)
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"
    finally:
        del os.environ["AWS_EC2_METADATA_DISABLED"]
    return script, ""


def try_to_call(client: Any) -> None:
    """Make a call up to the point at which it would be sent, so that botocore looks at all settings."""
    from botocore.exceptions import NoCredentialsError

    client.meta.events.register_first("before-send", refuse)
    try:
        client.list_wireless_gateways()
    except (InterruptedError, NoCredentialsError):
        client.meta.events.unregister("before-send", refuse)


def refuse(**_: Any) -> None:
    """Let a client send nothing."""
    raise InterruptedError


def shape() -> dict[str, Any]:
    """Return what lorafw may change in this process for a while: variables, and attributes of botocore's classes."""
    from botocore import configprovider, credentials, endpoint, httpsession, monitoring, regions, session, signers

    classes = (
        httpsession.URLLib3Session,
        endpoint.Endpoint,
        session.Session,
        signers.RequestSigner,
        credentials.ProcessProvider,
        configprovider.ConfiguredEndpointProvider,
        monitoring.SocketPublisher,
        regions.EndpointRulesetResolver,
    )
    return {"variables": dict(os.environ), **{one.__qualname__: dict(vars(one)) for one in classes}}


@contextlib.contextmanager
def conditions(options: argparse.Namespace) -> Iterator[None]:
    """The row's conditions that are not variables: time that stands still, sockets that nobody may open."""
    with contextlib.ExitStack() as stack:
        if options.frozen:
            import freezegun

            stack.enter_context(freezegun.freeze_time("2026-11-25"))
        if options.no_sockets:
            import pytest_socket

            pytest_socket.disable_socket()
            stack.callback(pytest_socket.enable_socket)
        yield


def demo(*, with_cli: bool) -> str:
    """Return the last status of `lorafw demo`, or why there is none. Without the AWS CLI, boto3 asks in its place."""
    from click.testing import CliRunner

    import lorafw.localaws.walkthrough
    from lorafw.cli import main

    if not with_cli:
        lorafw.localaws.walkthrough.find_aws_cli = lambda: None

    done = CliRunner().invoke(main, ["demo"])
    if done.exit_code != 0:
        return f"exit status {done.exit_code}: {done.output[-300:]} {done.exception!r}"
    return "COMPLETED" if "COMPLETED: the gateway runs" in done.output else done.output[-300:]


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Import in the row's order, open a testbed, look, and close it."""
    script, why_not = None, ""
    if options.order == "moto-first":
        import moto.core.models  # noqa: F401
    if options.order == "testbed-first":
        from lorafw import Testbed
    if options.order != "inside":
        script, why_not = make_script(options.profile, with_clients=options.order != "session-first")
    from lorafw import Testbed

    before = shape()
    with Testbed(gateways=2) as bed:
        if script is None:
            script = Script(options.profile)
        if not hasattr(script, "iot"):
            script.make_clients()
        seen = script.look()
        bed.define_update("1.0.1")
        bed.advance(20)
        seen.append(bed.status())
        ids = [gateway.id for gateway in bed.gateways]
    expected = [ids] * 4 + ["update"] * 2 + [["IoTWirelessFwUpdateRole"], "COMPLETED"]
    return {"seen": seen, "expected": expected, "why_not": why_not, "restored": shape() == before}


def main() -> None:
    """Run one row and print its report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--order", choices=["script-first", "session-first", "testbed-first", "moto-first", "inside"])
    parser.add_argument("--profile")
    parser.add_argument("--umask", type=int)
    for name in ("--demo", "--frozen", "--no-sockets", "--cli"):
        parser.add_argument(name, action="store_true")
    options = parser.parse_args()
    if options.umask is not None:
        os.umask(options.umask)
    sys.addaudithook(watch)
    with conditions(options), contextlib.redirect_stdout(io.StringIO()):
        report = run(options)
        if options.demo:
            report["demo"] = demo(with_cli=options.cli)
    print(json.dumps({**report, "left": LEFT}, default=str))


if __name__ == "__main__":
    main()
