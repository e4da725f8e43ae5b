"""What the `lorafw` command prints, and what it does with bad input."""

from __future__ import annotations

import base64
import json
import stat
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from lorafw.cli import main
from lorafw.cli.console import echo_highlighted
from lorafw.firmware.signing import KeyPair
from lorafw.tasks.policy import all_decisions

Cli = Callable[..., Result]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, status: int = 0) -> Result:
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        return result

    return run


@pytest.fixture
def signed(cli: Cli) -> dict[str, str]:
    """keygen, build, sign; gives what sign printed."""
    cli("firmware", "keygen")
    cli("firmware", "build", "--package", "1.0.1")
    return json.loads(cli("firmware", "sign", "fwstation", "--key", "private.pem", "--json").stdout)


def test_every_command_has_a_help_that_says_what_it_does(cli: Cli) -> None:
    def walk(command: object, path: list[str]) -> None:
        text = cli(*path, "--help").stdout
        assert "Usage:" in text
        assert len(text.splitlines()) > 4
        walked.append(" ".join(path))
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                walk(command.get_command(context, name), [*path, name])

    walked: list[str] = []
    walk(main, [])
    assert {"aws", "serve", "gateway init", "firmware sign", "lab reset"} <= set(walked)


def test_keygen_keeps_the_private_key_private_and_overwrites_nothing(cli: Cli) -> None:
    text = cli("firmware", "keygen").stdout
    private, public = Path("private.pem"), Path("sig-0.key")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert f"SigKeyCrc    {zlib.crc32(public.read_bytes())}" in text
    before = private.read_bytes(), public.read_bytes()
    assert "exists" in cli("firmware", "keygen", status=1).output
    assert (private.read_bytes(), public.read_bytes()) == before


@pytest.mark.parametrize("sig_key", ["private.pem", "no-such-folder/sig-0.key"])
def test_keygen_leaves_both_keys_or_none(cli: Cli, sig_key: str) -> None:
    cli("firmware", "keygen", "--sig-key", sig_key, status=1)
    assert not Path("private.pem").exists()
    cli("firmware", "keygen")


def test_openssl_verifies_what_the_command_signs(cli: Cli, signed: dict[str, str]) -> None:
    Path("sig").write_bytes(base64.b64decode(signed["UpdateSignature"]))
    Path("pub.pem").write_bytes(KeyPair.load(Path("private.pem")).public_key.pem)
    done = subprocess.run(
        ["openssl", "dgst", "-sha512", "-verify", "pub.pem", "-signature", "sig", "fwstation"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "Verified OK\n"


def test_a_task_definition_names_the_version_that_completes_it_only_where_it_is_asked_to(cli: Cli) -> None:
    cli("firmware", "keygen")
    cli("firmware", "build", "--package", "1.0.1")
    words = ("firmware", "task-definition", "--file", "fwstation", "--key", "private.pem")
    assert "UpdateVersion" not in json.loads(cli(*words).stdout)["Update"]["LoRaWAN"]
    lorawan = json.loads(cli(*words, "--update-version", "1.0.1").stdout)["Update"]["LoRaWAN"]
    assert lorawan["UpdateVersion"] == {"PackageVersion": "1.0.1"}


def test_a_signature_of_openssl_becomes_a_task_definition_without_the_private_key(cli: Cli) -> None:
    cli("firmware", "build", "--package", "1.0.1")
    subprocess.run(
        "openssl ecparam -name prime256v1 -genkey -noout -out k.pem && openssl ec -in k.pem -pubout -out pub.pem"
        " && openssl dgst -sha512 -sign k.pem -out sig fwstation",
        shell=True,
        check=True,
        capture_output=True,
    )
    signature = base64.b64encode(Path("sig").read_bytes()).decode()
    text = cli("firmware", "task-definition", "--file", "fwstation", "--signature", signature, "--sig-key", "pub.pem")
    lorawan = json.loads(text.stdout)["Update"]["LoRaWAN"]
    assert lorawan["UpdateSignature"] == signature
    assert lorawan["SigKeyCrc"] == zlib.crc32(
        subprocess.run(
            ["openssl", "ec", "-pubin", "-in", "pub.pem", "-outform", "DER"], capture_output=True, check=True
        ).stdout[-64:]
    )


def test_verify_says_which_key_it_was_and_refuses_another_file(cli: Cli, signed: dict[str, str]) -> None:
    KeyPair.from_secret(1).save(Path("other.pem"))
    Path("sig-1.key").write_bytes(KeyPair.from_secret(1).public_key.sig_key)
    arguments = ["--signature", signed["UpdateSignature"], "--sig-key", "sig-1.key", "--sig-key", "sig-0.key"]
    assert "VERIFIED with sig-0.key" in cli("firmware", "verify", "fwstation", *arguments).stdout
    Path("fwstation").write_bytes(Path("fwstation").read_bytes() + b"\n")
    assert "no key verifies" in cli("firmware", "verify", "fwstation", *arguments, status=1).output


def test_inspect_shows_what_a_file_would_do(cli: Cli) -> None:
    Path("station.bin").write_bytes(b"\x7fELF")
    cli("firmware", "build", "--package", "2.0", "--station", "station.bin", "--restart", "systemctl restart station")
    text = cli("firmware", "inspect", "fwstation").stdout
    assert "PackageVersion  2.0" in text
    assert "systemctl restart station" in text
    assert "station  4 bytes  mode 755" in text
    assert json.loads(cli("firmware", "inspect", "fwstation", "--json").stdout)


@pytest.mark.parametrize(
    ("arguments", "notes"),
    [
        (("--station-conf", "new.conf"), ["a station reads station.conf only when it starts"]),
        (("--file", "station.conf=new.conf"), ["a station reads station.conf only when it starts"]),
        (("--station", "new.conf"), ["a new station runs only after a restart"]),
        (("--station-conf", "new.conf", "--restart", "reboot"), []),
        ((), []),
    ],
)
def test_build_notes_that_nothing_changes_without_a_restart(
    cli: Cli, arguments: tuple[str, ...], notes: list[str]
) -> None:
    Path("new.conf").write_text("{}")
    built = cli("firmware", "build", "--package", "2.0", *arguments)
    assert [line.partition("Note: ")[2].partition(";")[0] for line in built.stderr.splitlines()] == notes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["firmware", "build", "--package", ""], "package_version"),
        (["firmware", "build", "--package", "1", "--file", "noequals"], "NAME=PATH"),
        (["firmware", "sign", "empty", "--key", "private.pem"], "has 0 bytes"),
        (["firmware", "sign", "huge", "--key", "private.pem"], "1 to 2147483647"),
        (["firmware", "sign", "fwstation", "--key", "other-curve.pem"], "secp384r1"),
        (["firmware", "sign", "fwstation", "--key", "fwstation"], "not a private key in PEM"),
        (["firmware", "verify", "fwstation", "--signature", "no base64!", "--sig-key", "sig-0.key"], "not base64"),
        (["firmware", "verify", "fwstation", "--signature", "QUFB" * 60, "--sig-key", "sig-0.key"], "4 to 128"),
        (["firmware", "inspect", "private.pem"], "not an update file that lorafw built"),
        (["gateway", "info", "nowhere"], "station.conf is missing"),
        (["gateway", "run", "nowhere", "--polls", "1"], "station.conf is missing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_named_with_a_remedy(cli: Cli, signed: dict[str, str], arguments: list[str], words: str) -> None:
    Path("empty").touch()
    with Path("huge").open("wb") as file:
        file.truncate(1 << 31)
    subprocess.run(
        ["openssl", "ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", "other-curve.pem"],
        check=True,
        capture_output=True,
    )
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code in (1, 2), result.output
    assert words in result.output
    assert "Traceback" not in result.output


def test_init_without_a_server_says_what_to_start_and_writes_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    result = cli("gateway", "init", "home", "--eui", "58a0cbfffe800001", "--plain", status=1)
    assert "Is 'lorafw serve' running" in result.output
    assert not Path("home").exists()


def test_init_refuses_what_is_no_eui(cli: Cli) -> None:
    assert "sixteen hex digits" in cli("gateway", "init", "home", "--eui", "12", "--plain", status=2).output


def test_a_reader_that_has_enough_ends_a_command_in_silence() -> None:
    command = [sys.executable, "-m", "lorafw", "serve", "--policies"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode != 0


def test_serve_lists_every_decision_with_its_tag(cli: Cli) -> None:
    text = cli("serve", "--policies").stdout
    for decision in all_decisions():
        assert decision.name in text
        assert f"{decision.tag}: " in text


def test_no_color_turns_the_colours_of_a_terminal_off(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def command() -> None:
        echo_highlighted("gateway: COMPLETED")

    def printed() -> str:
        return CliRunner().invoke(command, color=True).output

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in printed()
    monkeypatch.setenv("NO_COLOR", "1")
    assert printed() == "gateway: COMPLETED\n"
