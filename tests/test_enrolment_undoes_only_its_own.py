"""``gateway init`` undoes only its own changes, even if boto3 points elsewhere or others are at work."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from test_enrolment import EUI, Interrupted, Steps, Watched, clean, init, interrupt, registered, works

from lorafw.errors import HomeError
from lorafw.eui import GatewayEui
from lorafw.firmware.signing import KeyPair
from lorafw.gateway.enrolment_journal import JOURNAL_FILENAME, lock_folder
from lorafw.gateway.home import Home
from lorafw.gateway.provisioning import enrol_without_tls, plain_cups_uri
from lorafw.localaws.cloud import Cloud
from lorafw.signals import exit_on_signals

PLAIN: dict[str, Any] = {"eui": EUI, "name": None, "rf_region": "US915", "package": "1.0.0"}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(cups_tls_port=0, state_dir=tmp_path_factory.mktemp("state") / "state") as cloud:
        yield cloud


@pytest.fixture(scope="module")
def clients(cloud: Cloud) -> Watched:
    return Watched(cloud.client)


@pytest.fixture(autouse=True)
def empty(clients: Watched, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(rsa, "generate_private_key", lambda **_: ec.generate_private_key(ec.SECP256R1()))
    yield
    clients.steps = None
    clean(clients)


@pytest.fixture
def killed(clients: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Leave a home folder as a run that was killed at a step leaves it."""

    def run_until(step: str) -> Path:
        from lorafw.gateway.enrolment import EnrolmentTransaction

        with monkeypatch.context() as patch:
            patch.setattr(EnrolmentTransaction, "roll_back", lambda _: None)
            clients.steps = Steps(1, interrupt, only=step)
            with pytest.raises(Interrupted):
                init(tmp_path / "home", clients)
            clients.steps = None
        return tmp_path / "home"

    return run_until


def gateway_id(clients: Callable[[str], Any], eui: GatewayEui = EUI) -> str:
    found = clients("iotwireless").get_wireless_gateway(Identifier=eui.hex, IdentifierType="GatewayEui")
    return str(found["Id"])


BOUND = "after AssociateWirelessGatewayWithCertificate"
CREATED = "after CreateWirelessGateway"


@pytest.mark.parametrize("place", ["account", "Region", "endpoint"])
def test_an_init_refuses_to_undo_at_another_account_region_or_endpoint(
    cloud: Cloud, clients: Watched, killed: Callable[[str], Path], place: str
) -> None:
    home = killed(BOUND)

    def elsewhere(name: str) -> Any:
        client = cloud.client(name, "eu-west-1" if place == "Region" else "us-east-1")
        if place == "endpoint":
            client.meta._endpoint_url = "http://another.example:80"
        if place == "account" and name == "sts":
            client.get_caller_identity = lambda: {"Account": "999999999999"}
        return client

    words = {"account": ("123456789012", "999999999999"), "Region": ("us-east-1", "eu-west-1")}
    words["endpoint"] = (cloud.api.url, "http://another.example:80")
    with pytest.raises(HomeError) as refusal:
        init(home, elsewhere)
    assert all(word in str(refusal.value) for word in words[place]), "both sides are named"
    assert registered(clients) == (1, 1)
    assert (home / JOURNAL_FILENAME).exists()
    assert works(init(home, clients).home), "the earlier place undoes it"
    assert registered(clients) == (1, 1)


def test_an_init_for_another_gateway_refuses_to_undo(clients: Watched, killed: Callable[[str], Path]) -> None:
    home = killed(BOUND)
    another = GatewayEui(EUI.value + 1)
    with pytest.raises(HomeError, match=rf"for the gateway {EUI.hex}, and this one is for {another.hex}"):
        init(home, clients, eui=another)
    assert registered(clients) == (1, 1)


def test_an_init_in_a_copied_folder_refuses_to_undo(
    clients: Watched, killed: Callable[[str], Path], tmp_path: Path
) -> None:
    home = killed(BOUND)
    shutil.copytree(home, tmp_path / "copy")
    with pytest.raises(HomeError, match=rf"about the folder {home}, and this folder is {tmp_path}/copy"):
        init(tmp_path / "copy", clients)
    assert registered(clients) == (1, 1)


def test_a_gateway_that_somebody_else_registered_meanwhile_stays(
    clients: Watched, killed: Callable[[str], Path]
) -> None:
    home = killed("before CreateWirelessGateway")
    made = clients("iotwireless").create_wireless_gateway(LoRaWAN={"GatewayEui": EUI.hex, "RfRegion": "EU868"})
    enrolment = init(home, clients)
    assert not enrolment.registration.created
    assert enrolment.registration.id == made["Id"], "it was used and not deleted"


def test_a_gateway_that_somebody_else_took_over_stays(clients: Watched, killed: Callable[[str], Path]) -> None:
    home = killed(BOUND)
    taken = gateway_id(clients)
    clients("iotwireless").update_wireless_gateway(Id=taken, Description="in production")
    assert init(home, clients).registration.id == taken
    assert registered(clients) == (1, 1), "the certificate of the killed run is gone"


def test_a_certificate_that_somebody_else_bound_meanwhile_stays(
    clients: Watched, killed: Callable[[str], Path]
) -> None:
    home = killed(CREATED)
    taken = gateway_id(clients)
    other = clients("iot").create_keys_and_certificate(setAsActive=True)["certificateId"]
    clients("iotwireless").associate_wireless_gateway_with_certificate(Id=taken, IotCertificateId=other)
    with pytest.raises(HomeError, match="is being registered by another"):
        init(home, clients)
    bound = clients("iotwireless").get_wireless_gateway_certificate(Id=taken)
    assert bound["IotCertificateId"] == other


def test_an_init_whose_certificate_was_replaced_while_it_ran_fails_and_leaves_the_other_one(
    clients: Watched, tmp_path: Path
) -> None:
    wireless = clients("iotwireless")
    made = wireless.create_wireless_gateway(LoRaWAN={"GatewayEui": EUI.hex, "RfRegion": "EU868"})["Id"]
    other = clients("iot").create_keys_and_certificate(setAsActive=True)["certificateId"]

    def bind_other() -> None:
        wireless.associate_wireless_gateway_with_certificate(Id=made, IotCertificateId=other)

    clients.steps = Steps(1, bind_other, only=BOUND)
    with pytest.raises(HomeError, match=f"certificate {other} was bound to gateway {EUI.hex} while"):
        init(tmp_path / "home", clients)
    clients.steps = None
    assert wireless.get_wireless_gateway_certificate(Id=made)["IotCertificateId"] == other
    assert registered(clients) == (1, 1)
    assert not (tmp_path / "home").exists()


def test_a_gateway_with_a_certificate_keeps_it_unless_it_is_to_be_replaced(clients: Watched, tmp_path: Path) -> None:
    first = init(tmp_path / "first", clients)
    with pytest.raises(HomeError, match=f"certificate {first.certificate_id} is bound to it.*--replace-certificate"):
        init(tmp_path / "second", clients)
    assert works(first.home)
    assert registered(clients) == (1, 1)
    second = init(tmp_path / "second", clients, replace_certificate=True)
    assert second.replaced_certificate_id == first.certificate_id
    assert works(second.home)


def test_two_inits_in_one_folder_do_not_harm_each_other(clients: Watched, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    with lock_folder(tmp_path / "home"), pytest.raises(HomeError, match="another 'gateway init' is at work in"):
        init(tmp_path / "home", clients)
    assert works(init(tmp_path / "home", clients).home)


def test_two_inits_of_one_gateway_in_two_folders_do_not_harm_each_other(
    cloud: Cloud, clients: Watched, tmp_path: Path
) -> None:
    """The second runs as a whole at each step of the first. One of the two succeeds, and its home works."""
    other = Watched(cloud.client)
    at, winners = 0, []
    while True:
        at += 1
        folders = tmp_path / f"{at}-first", tmp_path / f"{at}-second"

        def run_second(folder: Path = folders[1]) -> None:
            with suppress(HomeError):
                init(folder, other)

        steps = clients.steps = Steps(at, run_second, only="(before|after) (Create|Associate|Update)")
        with suppress(HomeError):
            init(folders[0], clients)
        clients.steps = None
        if len(steps.names) < at:
            break
        homes = [folder for folder in folders if (folder / "station.conf").exists()]
        assert len(homes) == 1, steps.names[at - 1]
        assert works(Home(homes[0])), steps.names[at - 1]
        assert registered(clients) == (1, 1), steps.names[at - 1]
        winners.append(homes[0].name.partition("-")[2])
        clean(clients)
    assert set(winners) == {"first", "second"}


def test_many_plain_inits_of_one_gateway_at_once_leave_homes_that_work(
    cloud: Cloud, clients: Watched, tmp_path: Path
) -> None:
    def run(folder: Path) -> None:
        with suppress(HomeError):
            enrol_without_tls(folder, Watched(cloud.client), **PLAIN)

    threads = [threading.Thread(target=run, args=(tmp_path / str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    homes = [path.parent for path in tmp_path.glob("*/station.conf")]
    assert homes
    assert all(works(Home(home)) for home in homes)
    assert registered(clients) == (1, 0)


# --- files ---


def test_files_of_a_killed_init_are_not_trusted_by_the_next(
    clients: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lorafw.gateway import enrolment, enrolment_steps

    keys = [KeyPair.from_secret(number).public_key for number in (1, 2)]
    with monkeypatch.context() as patch:
        patch.setattr(enrolment.EnrolmentTransaction, "roll_back", lambda _: None)
        patch.setattr(enrolment_steps, "check_is_still_bound", interrupt_method)
        with pytest.raises(Interrupted):
            init(tmp_path / "home", clients, sig_keys=keys)
    assert (tmp_path / "home" / "sig-1.key").exists()
    assert (tmp_path / "home" / "version.txt").exists()
    home = init(tmp_path / "home", clients, package=None).home
    assert home.read_sig_keys() == []
    assert home.read_package_version() is None


def interrupt_method(_: object) -> None:
    raise Interrupted


@pytest.mark.parametrize("name", ["sig-1.key", "version.txt", "cups.key", "tc.uri", "cups-bak.crt", "tmp/update.bin"])
def test_a_folder_with_files_that_a_station_would_trust_is_refused(clients: Watched, tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("old")
    with pytest.raises(HomeError, match=rf"would read and trust: {name}; remove them"):
        init(tmp_path, clients)
    assert registered(clients) == (0, 0)
    assert (tmp_path / name).read_text() == "old"


def test_a_file_that_was_changed_after_the_kill_is_not_deleted(clients: Watched, killed: Callable[[str], Path]) -> None:
    home = killed(BOUND)
    (home / "cups.key").write_text("mine")
    journal = json.loads((home / JOURNAL_FILENAME).read_text())
    journal["file_sha256"] = {"cups.key": "0" * 64}
    (home / JOURNAL_FILENAME).write_text(json.dumps(journal))
    with pytest.raises(HomeError, match=r"would read and trust: cups\.key"):
        init(home, clients)
    assert (home / "cups.key").read_text() == "mine"


def test_a_journal_names_only_files_of_its_own_folder(clients: Watched, killed: Callable[[str], Path]) -> None:
    home = killed(BOUND)
    journal = json.loads((home / JOURNAL_FILENAME).read_text())
    journal["file_sha256"] = {"../precious": "0" * 64}
    (home / JOURNAL_FILENAME).write_text(json.dumps(journal))
    with pytest.raises(HomeError, match="is not the journal of"):
        init(home, clients)


# --- the API ---


def test_no_private_key_crosses_the_api(cloud: Cloud, tmp_path: Path) -> None:
    seen: list[str] = []

    def clients(name: str) -> Any:
        client = cloud.client(name)
        client.meta.events.register("before-call", lambda params, **_: seen.append(str(params["body"])))
        client.meta.events.register("after-call", lambda http_response, **_: seen.append(http_response.text))
        return client

    assert works(init(tmp_path / "home", clients).home)
    assert "BEGIN CERTIFICATE REQUEST" in "".join(seen)
    assert "PRIVATE KEY" not in "".join(seen)


def test_a_run_is_not_split_between_aws_and_the_lab(cloud: Cloud, tmp_path: Path) -> None:
    def clients(name: str) -> Any:
        client = cloud.client(name)
        if name == "iot":
            client.meta._endpoint_url = "https://iot.us-east-1.amazonaws.com"
        return client

    with pytest.raises(HomeError, match=r"finds iotwireless at http://127.*but iot at https://iot\.us-east-1\.amazon"):
        init(tmp_path / "home", clients)
    assert not (tmp_path / "home").exists()


def test_a_plain_init_leaves_the_callers_client_as_it_was(cloud: Cloud, clients: Watched) -> None:
    wireless = clients("iotwireless")
    assert plain_cups_uri(wireless) == cloud.cups.uri
    assert cloud.cups_tls is not None
    assert wireless.get_service_endpoint(ServiceType="CUPS")["ServiceEndpoint"] == cloud.cups_tls.uri


# --- real processes ---


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process that is killed is one of our own: os.fork")
def test_commands_that_end_in_several_ways_change_no_other_gateway() -> None:
    """A sample of the bench: real commands, a real server."""
    ends = "SIGKILL", "other folder at once"
    tries = bench().measure(2, seed=11, ends=ends, detours=("another EUI", "moved folder"), server_count=1)
    assert tries.total() == 2


def bench() -> Any:
    path = Path(__file__).parent / "bench" / "enrolment.py"
    spec = importlib.util.spec_from_file_location("enrolment_bench", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_termination_signal_undoes_at_once_what_was_made(clients: Watched, tmp_path: Path, name: str) -> None:
    number = getattr(signal, name)
    clients.steps = Steps(1, lambda: signal.raise_signal(number), only=BOUND)
    before = signal.signal(number, signal.SIG_DFL)  # a shell ignores SIGQUIT for what it starts in the background
    try:
        with pytest.raises(SystemExit) as end, exit_on_signals():
            init(tmp_path / "home", clients)
    finally:
        signal.signal(number, before)
    assert end.value.code == 128 + number
    clients.steps = None
    assert registered(clients) == (0, 0)
    assert not (tmp_path / "home").exists()


def test_a_signal_that_is_ignored_stays_ignored(clients: Watched, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        clients.steps = Steps(1, lambda: signal.raise_signal(signal.SIGHUP), only=BOUND)
        with exit_on_signals():
            assert works(init(tmp_path / "home", clients).home)
    finally:
        signal.signal(signal.SIGHUP, before)
