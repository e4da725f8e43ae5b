"""``gateway init`` does everything or nothing, even if it is interrupted at any point and run again."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import load_pem_x509_certificate

from lorafw.atomic import write_atomic
from lorafw.cli import main
from lorafw.errors import HomeError
from lorafw.eui import GatewayEui
from lorafw.gateway import enrolment, enrolment_journal, enrolment_steps
from lorafw.gateway.enrolment_journal import JOURNAL_FILENAME
from lorafw.gateway.enrolment_rollback import DESCRIPTION
from lorafw.gateway.home import Home, check_cups_uri
from lorafw.gateway.provisioning import Enrolment, enrol, enrol_without_tls
from lorafw.gateway.transport import HttpTransport
from lorafw.gateway.virtual import VirtualGateway
from lorafw.localaws.cloud import Cloud
from lorafw.station.exchange import ExchangeOutcome

EUI = GatewayEui(0x58A0CBFFFE800001)


DECISIVE = r"(Create|Associate|Update|init\.json|cups\.key|station\.conf)"
"""Steps between which something is made or written down."""


class Interrupted(BaseException):
    """As Ctrl-C is."""


class Steps:
    """Counts every call of boto3, before it and after it, and every file that is written, likewise."""

    def __init__(self, at: int, interrupt: Callable[[], None], only: str = "") -> None:
        self.names: list[str] = []
        self._only = only
        self._at = at
        self._interrupt = interrupt

    def step(self, name: str) -> None:
        if not re.match(self._only, name):
            return
        self.names.append(name)
        if len(self.names) == self._at:
            self._interrupt()


class Watched:
    """Clients that are made once; ``steps`` is told of their calls."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        self.steps: Steps | None = None
        self._clients = {name: make(name) for name in ("iotwireless", "iot", "sts")}
        for client in self._clients.values():
            for when in ("before", "after"):
                client.meta.events.register(f"{when}-call", lambda model, when=when, **_: self._tell(when, model.name))

    def __call__(self, name: str) -> Any:
        return self._clients[name]

    def _tell(self, when: str, name: str) -> None:
        if self.steps is not None:
            self.steps.step(f"{when} {name}")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(cups_tls_port=0, state_dir=tmp_path_factory.mktemp("state") / "state") as cloud:
        yield cloud


def clean(client: Callable[[str], Any]) -> None:
    wireless, iot = client("iotwireless"), client("iot")
    for gateway in wireless.list_wireless_gateways()["WirelessGatewayList"]:
        wireless.delete_wireless_gateway(Id=gateway["Id"])
    for certificate in iot.list_certificates()["certificates"]:
        iot.update_certificate(certificateId=certificate["certificateId"], newStatus="INACTIVE")
        iot.delete_certificate(certificateId=certificate["certificateId"])


@pytest.fixture(autouse=True)
def empty(cloud: Cloud) -> Iterator[None]:
    yield
    clean(cloud.client)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[str], None]]:
    """Whoever is in this list is told of each file that is written, before and after."""
    told: list[Callable[[str], None]] = []

    def write(path: Path, content: bytes | str, **how: Any) -> None:
        for tell in told:
            tell(f"before {path.name}")
        write_atomic(path, content, **how)
        for tell in told:
            tell(f"after {path.name}")

    monkeypatch.setattr(enrolment_steps, "write_atomic", write)
    monkeypatch.setattr(enrolment_journal, "write_atomic", write)
    return told


@pytest.fixture
def fast_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make EC keys, where a test makes many keys and their kind does not matter."""
    monkeypatch.setattr(rsa, "generate_private_key", lambda **_: ec.generate_private_key(ec.SECP256R1()))


def init(path: Path, clients: Callable[[str], Any], **more: Any) -> Enrolment:
    return enrol(path, clients, **{"eui": EUI, "name": "roof", "rf_region": "US915", "package": "1.0.0", **more})


def registered(client: Callable[[str], Any]) -> tuple[int, int]:
    """So many gateways and certificates are there."""
    gateways = client("iotwireless").list_wireless_gateways()["WirelessGatewayList"]
    return len(gateways), len(client("iot").list_certificates()["certificates"])


def works(home: Home) -> bool:
    return VirtualGateway(home, HttpTransport()).poll().exchange is ExchangeOutcome.DONE


def interrupt() -> None:
    raise Interrupted


STEPS = {
    "after CreateWirelessGateway",
    "after CreateCertificateFromCsr",
    "after AssociateWirelessGatewayWithCertificate",
    "before cups.key",
    "after cups.key",
    "before station.conf",
}


def test_wherever_an_init_is_interrupted_nothing_is_left_and_it_can_be_made_again(
    cloud: Cloud, tmp_path: Path, writes: list[Callable[[str], None]], fast_keys: None
) -> None:
    seen: list[str] = []
    clients = Watched(cloud.client)
    for at in count(1):
        steps = clients.steps = Steps(at, interrupt, only=f"(before|after) {DECISIVE}")
        writes[:] = [steps.step]
        home = tmp_path / str(at)
        with suppress(Interrupted):
            init(home, clients)
            break
        writes.clear()
        clients.steps = None
        if steps.names[-1] == "after station.conf":
            break
        seen.append(steps.names[at - 1])
        assert registered(clients) == (0, 0), f"interrupted {seen[-1]}"
        assert not home.exists(), f"interrupted {seen[-1]}"
    assert set(seen) >= STEPS


@pytest.mark.parametrize("at", ["after station.conf", "before UpdateWirelessGateway", "after UpdateWirelessGateway"])
def test_an_init_that_is_interrupted_when_all_is_written_is_complete(
    cloud: Cloud, tmp_path: Path, writes: list[Callable[[str], None]], at: str
) -> None:
    clients = Watched(cloud.client)
    steps = clients.steps = Steps(1, interrupt, only=at)
    writes[:] = [steps.step]
    with pytest.raises(Interrupted):
        init(tmp_path / "home", clients)
    writes.clear()
    clients.steps = None
    with pytest.raises(HomeError, match=r"had written all files\. It is complete now"):
        init(tmp_path / "home", clients)
    assert works(Home(tmp_path / "home"))
    assert registered(clients) == (1, 1)
    assert description(clients) == DESCRIPTION
    with pytest.raises(HomeError, match="is the home of a gateway already; choose another folder"):
        init(tmp_path / "home", clients)


def description(clients: Callable[[str], Any]) -> str | None:
    gateway = clients("iotwireless").get_wireless_gateway(Identifier=EUI.hex, IdentifierType="GatewayEui")
    found: str | None = gateway.get("Description")
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process that is killed is one of our own: os.fork")
def test_wherever_the_process_is_killed_the_same_command_takes_back_what_was_made(
    cloud: Cloud, tmp_path: Path, writes: list[Callable[[str], None]], fast_keys: None
) -> None:
    clients, childs = Watched(cloud.client), Watched(cloud.client)  # no connection is in the hands of both
    for at in count(1):
        home = tmp_path / str(at)
        child = os.fork()
        if child == 0:
            childs.steps = Steps(at, lambda: os._exit(9), only=f"after {DECISIVE}")
            writes[:] = [childs.steps.step]
            try:
                init(home, childs)
            finally:
                os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            break
        if (home / "station.conf").exists():
            with pytest.raises(HomeError, match="already"):
                init(home, clients)
            assert works(Home(home)), "it was killed when all was done"
        else:
            assert works(init(home, clients).home)
        assert not (home / JOURNAL_FILENAME).exists()
        assert registered(clients) == (1, 1), "one gateway and its certificate, and no orphan"
        clean(clients)
    assert at > 10


def test_a_gateway_that_had_a_certificate_has_it_again_after_an_init_that_broke_off(
    cloud: Cloud, tmp_path: Path, writes: list[Callable[[str], None]]
) -> None:
    first = init(tmp_path / "first", cloud.client)
    writes[:] = [Steps(1, interrupt, only="before version.txt").step]
    with pytest.raises(Interrupted):
        init(tmp_path / "second", cloud.client, replace_certificate=True)
    assert registered(cloud.client) == (1, 1)
    bound = cloud.client("iotwireless").get_wireless_gateway_certificate(Id=first.registration.id)
    assert bound["IotCertificateId"] == first.certificate_id
    assert works(first.home)


def test_where_it_cannot_be_taken_back_at_once_the_next_attempt_does(cloud: Cloud, tmp_path: Path) -> None:
    class NoNetwork(Exception):
        pass

    def clients(name: str) -> Any:
        client = cloud.client(name)

        def refuse(model: Any, **_: Any) -> None:
            if down or model.name == "AssociateWirelessGatewayWithCertificate":
                down.append(True)
                raise NoNetwork

        client.meta.events.register("before-call", refuse)
        return client

    down: list[bool] = []
    with pytest.raises(NoNetwork):
        init(tmp_path / "home", clients)
    assert [file.name for file in (tmp_path / "home").iterdir()] == [JOURNAL_FILENAME]
    assert stat.S_IMODE((tmp_path / "home" / JOURNAL_FILENAME).stat().st_mode) == 0o600
    assert registered(cloud.client) == (1, 1)
    assert works(init(tmp_path / "home", cloud.client).home)
    assert registered(cloud.client) == (1, 1)


def test_files_that_were_in_the_folder_before_stay_there(
    cloud: Cloud, tmp_path: Path, writes: list[Callable[[str], None]]
) -> None:
    (tmp_path / "notes").write_text("mine")
    writes[:] = [Steps(1, interrupt, only="after cups.key").step]
    with pytest.raises(Interrupted):
        init(tmp_path, cloud.client)
    assert [file.name for file in tmp_path.iterdir()] == ["notes"]


def test_a_plain_init_leaves_nothing_either(cloud: Cloud, tmp_path: Path, writes: list[Callable[[str], None]]) -> None:
    writes[:] = [Steps(1, interrupt, only="before station.conf").step]
    words: dict[str, Any] = {"eui": EUI, "name": None, "rf_region": "US915", "package": "1.0.0"}
    with pytest.raises(Interrupted):
        enrol_without_tls(tmp_path / "home", cloud.client, **words)
    assert registered(cloud.client) == (0, 0)
    writes.clear()
    assert enrol_without_tls(tmp_path / "home", cloud.client, **words).created
    assert works(Home(tmp_path / "home"))


def test_a_record_that_cannot_be_read_is_named(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / JOURNAL_FILENAME).write_text('{"eui": 1, "what": 2}')
    with pytest.raises(HomeError, match=r"init\.json is not the journal of.*remove it"):
        init(tmp_path, cloud.client)


def test_the_home_is_one_that_a_station_takes_as_it_is(cloud: Cloud, tmp_path: Path) -> None:
    home = init(tmp_path / "home", cloud.client).home
    uri = (home.path / "cups.uri").read_text()
    check_cups_uri(uri)
    assert uri == uri.strip()
    assert uri.startswith("https://localhost:"), "a station looks for a name in the certificate"
    assert (home.path / "cups.trust").read_bytes().startswith(b"-----BEGIN CERTIFICATE-----")
    certificate = load_pem_x509_certificate((home.path / "cups.crt").read_bytes())
    key = serialization.load_pem_private_key((home.path / "cups.key").read_bytes(), None)
    spki = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    assert certificate.public_key().public_bytes(*spki) == key.public_key().public_bytes(*spki)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in home.path.iterdir()}
    assert modes.pop("cups.key") == 0o600
    assert set(modes.values()) == {0o644}
    assert home.read_conf().eui == EUI
    assert json.loads((home.path / "station.conf").read_text())["station_conf"]["routerid"] == EUI.id6


def test_the_command_says_what_to_do_where_something_could_not_be_taken_back(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_RETRY_MODE", "standard")
    home = tmp_path / "home"
    words = ["gateway", "init", str(home), "--eui", EUI.hex]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert "Is 'lorafw serve' running" in result.output
    assert not home.exists(), "nothing was made, so nothing is left"


def test_the_command_says_that_the_same_command_undoes_what_is_still_there(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: list[Callable[[str], None]]
) -> None:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    real = cloud.client("iotwireless")
    monkeypatch.setattr(enrolment, "roll_back_at_aws", fail)
    writes[:] = [Steps(1, fail, only="before cups.key").step]
    words = ["gateway", "init", str(tmp_path / "home"), "--eui", EUI.hex]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert "init.json names it: run the same command again" in result.output
    monkeypatch.undo()
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    assert CliRunner().invoke(main, words).exit_code == 0
    assert len(real.list_wireless_gateways()["WirelessGatewayList"]) == 1


def fail(*_: object) -> None:
    raise EndpointConnectionError(endpoint_url="http://localhost")
