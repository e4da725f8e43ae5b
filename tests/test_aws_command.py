"""`lorafw aws` runs the AWS CLI that is installed against a running lab, and against nothing else."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socketserver
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from botocore.utils import should_bypass_proxies
from outside import World
from processes import killed_at_the_end

import lorafw.localaws.walkthrough
from lorafw.errors import LabError
from lorafw.lab.serve_process import ServeProcess
from lorafw.localaws.aws_cli import aws_command, aws_environment, find_aws_cli
from lorafw.localaws.lab_endpoint import LabEndpoint, check_is_lab, endpoint_of_environment, endpoint_of_ready_file

ENDPOINT = LabEndpoint("http://127.0.0.1:5000", "us-east-1")
LIST = ("iotwireless", "list-wireless-gateways", "--query", "length(WirelessGatewayList)")
REAL = find_aws_cli()
# The AWS CLI before 1.29 and 2.13 does not know AWS_ENDPOINT_URL. This switch makes a newer one ignore it.
OLD_CLI = f'#!/bin/sh\nAWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true exec {shlex.quote(str(REAL))} "$@"\n'
SHOW_ARGUMENTS = '#!/bin/sh\nprintf "%s\\n" "$@"\nexit 42\n'
DAILY_WORK = "[default]\nregion = eu-west-1\n[profile prod]\nregion = eu-west-2\n"


@pytest.fixture(scope="module")
def lab() -> Iterator[ServeProcess]:
    with ServeProcess() as server:
        yield server


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """The home folder of somebody who uses AWS."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(DAILY_WORK)
    (tmp_path / ".aws" / "credentials").write_text("[default]\naws_access_key_id = A\naws_secret_access_key = B\n")
    return tmp_path


def install(folder: Path, script: str | None) -> Path:
    """Return a Python beside which ``script`` is the AWS CLI. Nothing else is there."""
    folder.mkdir()
    python = folder / "python"
    python.symlink_to(sys.executable)
    if script is not None:
        (folder / "aws").write_text(script)
        (folder / "aws").chmod(0o755)
    return python


def run(
    *arguments: str, user: Path, variables: Mapping[str, str], python: Path | str = sys.executable, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run ``lorafw aws`` in a terminal whose other variables are those of daily work."""
    packages = os.pathsep.join([str(Path(lorafw.__file__).parent.parent), sysconfig.get_path("purelib")])
    terminal = {"HOME": str(user), "PATH": str(user), "PYTHONPATH": packages, "AWS_PROFILE": "prod"}
    return subprocess.run(
        [str(python), "-m", "lorafw", "aws", *arguments],
        env=terminal | dict(variables),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def server_that_answers(status: int, body: str, location: str = "") -> Iterator[str]:
    """Serve one answer on loopback for each request."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(body.replace("NONCE", self.path.rpartition("/")[2]).encode())

        def log_message(self, *_: object) -> None:
            pass

    with socketserver.TCPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("script", [None, OLD_CLI], ids=["the CLI here", "a CLI that ignores AWS_ENDPOINT_URL"])
def test_the_aws_cli_reaches_the_lab_whatever_the_user_has_set(
    lab: ServeProcess, user: Path, tmp_path: Path, script: str | None
) -> None:
    python = sys.executable if script is None else install(tmp_path / "bin", script)
    with World() as world:
        elsewhere = {"AWS_ENDPOINT_URL_IOT_WIRELESS": world.address, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "https_proxy"), world.address)
        variables = {"AWS_ENDPOINT_URL": lab.api, **elsewhere, **proxies}
        done = run(*LIST, user=user, variables=variables, python=python)
        assert (done.stdout, done.stderr, done.returncode) == ("0\n", "", 0)
        # The version 1 fetches a parameter that is a URL, and asks no proxy for it.
        name = ("iotwireless", "create-wireless-gateway", "--lorawan", "{}", "--name", f"{world.address}/name")
        done = run(*name, user=user, variables=variables, python=python)
        assert "GatewayEui" in done.stderr
        assert "Unable to retrieve" not in done.stderr
    assert world.asked == []
    assert (user / ".aws" / "config").read_text() == DAILY_WORK


def test_the_stand_in_for_old_versions_leaves_without_lorafw(lab: ServeProcess, user: Path, tmp_path: Path) -> None:
    install(tmp_path / "bin", OLD_CLI)
    with World() as world:
        variables = {**lab.environment, "HOME": str(user), "HTTPS_PROXY": world.address, "AWS_MAX_ATTEMPTS": "1"}
        subprocess.run([tmp_path / "bin" / "aws", *LIST], env=variables, capture_output=True, check=False)
    assert world.asked[0].startswith("CONNECT api.iotwireless.us-east-1.amazonaws.com:443")


def test_the_demo_reaches_its_lab_with_an_old_aws_cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(tmp_path / "bin", OLD_CLI)
    monkeypatch.setattr(lorafw.localaws.walkthrough, "find_aws_cli", lambda: str(tmp_path / "bin" / "aws"))
    with (
        World() as world,
        lorafw.localaws.walkthrough.DocumentedWalkthrough(lambda _: None, package="1.0.1") as procedure,
    ):
        monkeypatch.setenv("HTTPS_PROXY", world.address)
        assert procedure._commands.run("list-wireless-gateways") == {"WirelessGatewayList": []}
    assert world.asked == []


def test_input_output_and_exit_status_are_those_of_the_aws_cli(lab: ServeProcess, user: Path, tmp_path: Path) -> None:
    variables = {"AWS_ENDPOINT_URL": lab.api}
    missing = run("s3api", "get-bucket-location", "--bucket", "none", user=user, variables=variables)
    assert "NoSuchBucket" in missing.stderr
    assert missing.returncode > 1
    python = install(tmp_path / "bin", "#!/bin/sh\n/bin/cat\necho error >&2\nexit 7\n")
    done = run("s3", "cp", "-", "s3://b/k", user=user, variables=variables, python=python, stdin="through the input")
    assert (done.stdout, done.stderr, done.returncode) == ("through the input", "error\n", 7)


def test_arguments_are_passed_on_unchanged(lab: ServeProcess, user: Path, tmp_path: Path) -> None:
    given = [
        "--region",
        "eu-west-1",
        "iotwireless",
        "--help",
        "--ready-file",
        "x",
        "-h",
        "",
        "a b",
        "--",
        "*",
        "--query=[?a]",
    ]
    python = install(tmp_path / "bin", SHOW_ARGUMENTS)
    done = run(*given, user=user, variables={"AWS_ENDPOINT_URL": lab.api}, python=python)
    assert done.stdout.splitlines() == ["--endpoint-url", lab.api, *given]
    assert done.returncode == 42


def test_a_signal_ends_the_aws_cli_itself(lab: ServeProcess, user: Path, tmp_path: Path) -> None:
    python = install(tmp_path / "bin", "#!/bin/sh\necho started\nexec /bin/sleep 60\n")
    packages = os.pathsep.join([str(Path(lorafw.__file__).parent.parent), sysconfig.get_path("purelib")])
    environment = {"AWS_ENDPOINT_URL": lab.api, "PYTHONPATH": packages, "HOME": str(user)}
    command = [str(python), "-m", "lorafw", "aws", "s3", "ls"]
    with (
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process,
        killed_at_the_end(process),
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM


def test_the_ready_file_of_serve_names_the_lab(lab: ServeProcess, user: Path) -> None:
    ready_file = Path(lab._folder.name) / "ready.json"
    assert endpoint_of_ready_file(ready_file) == LabEndpoint(lab.api, "us-east-1")
    done = run("--ready-file", str(ready_file), *LIST, user=user, variables={"AWS_ENDPOINT_URL": "https://example.com"})
    assert done.stdout == "0\n"


def test_without_an_aws_cli_the_command_says_how_to_install_it(lab: ServeProcess, user: Path, tmp_path: Path) -> None:
    python = install(tmp_path / "bin", None)
    done = run(*LIST, user=user, variables={"AWS_ENDPOINT_URL": lab.api}, python=python)
    assert done.stderr == "Error: the AWS CLI is not installed: pip install awscli, or pip install 'lorafw[lab]'\n"
    assert done.returncode == 1


def test_the_aws_cli_on_the_path_is_used_if_none_is_beside_python(
    lab: ServeProcess, user: Path, tmp_path: Path
) -> None:
    python = install(tmp_path / "bin", None)
    install(tmp_path / "path", SHOW_ARGUMENTS)
    variables = {"AWS_ENDPOINT_URL": lab.api, "PATH": str(tmp_path / "path")}
    assert run("s3", "ls", user=user, variables=variables, python=python).stdout.endswith("s3\nls\n")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "AWS_ENDPOINT_URL is not set, so no lab is known: start 'lorafw serve'"),
        ("https://iotwireless.us-east-1.amazonaws.com", "not on this machine"),
        ("http://0.0.0.0:5000", "not on this machine"),
        ("http://10.0.0.1:5000", "not on this machine"),
        ("http://127.0.0.1:5000@example.com", "not on this machine"),
        ("http://127.0.0.1.example.com:5000", "not on this machine"),
        ("http://127.0.0.1\\@example.com", "not on this machine"),
        ("//127.0.0.1", "a lab is at http://127.0.0.1:PORT"),
        ("https://127.0.0.1:5000", "a lab is at http://127.0.0.1:PORT"),
        ("http://user@127.0.0.1:5000", "a lab is at http://127.0.0.1:PORT"),
        ("http://127.0.0.1:5000/path", "a lab is at http://127.0.0.1:PORT"),
        ("http://127.0.0.1:99999", "not an address"),
        ("http://[::1", "not an address"),
    ],
)
def test_an_address_that_is_no_lab_on_this_machine_is_refused(url: str, message: str) -> None:
    with pytest.raises(LabError) as refused:
        endpoint_of_environment({"AWS_ENDPOINT_URL": url})
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("url", "region", "endpoint"),
    [
        ("http://127.0.0.1:5000/", "", LabEndpoint("http://127.0.0.1:5000", "us-east-1")),
        ("http://localhost:5000", "eu-west-1", LabEndpoint("http://localhost:5000", "eu-west-1")),
        ("http://[::1]:5000", "", LabEndpoint("http://[::1]:5000", "us-east-1")),
    ],
)
def test_an_address_of_this_machine_is_taken(url: str, region: str, endpoint: LabEndpoint) -> None:
    assert endpoint_of_environment({"AWS_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": region}) == endpoint


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"api": 5}', b'{"api": "x", "environment": 1}', b"\xff", b"[" * 9999]
)
def test_a_file_that_is_no_ready_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ready.json"
    path.write_bytes(content)
    with pytest.raises(LabError, match="is not a file that 'lorafw serve --ready-file' wrote"):
        endpoint_of_ready_file(path)


def test_a_ready_file_that_is_missing_or_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    with pytest.raises(LabError, match="is not there: is 'lorafw serve --ready-file"):
        endpoint_of_ready_file(path)
    path.write_text(json.dumps({"api": "https://example.com", "environment": {}}))
    with pytest.raises(LabError, match="not on this machine"):
        endpoint_of_ready_file(path)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, ""),
        (200, "hello"),
        (200, '{"lorafw": "1"}'),
        (200, '{"lorafw": "NONCE", "more": 1}'),
        (404, '{"Message": "NONCE does not exist"}'),
        (500, ""),
    ],
)
def test_another_server_on_this_machine_is_no_lab(status: int, body: str) -> None:
    with server_that_answers(status, body) as url, pytest.raises(LabError, match="is not a lab"):
        check_is_lab(LabEndpoint(url, "us-east-1"))


def test_a_server_that_redirects_to_a_lab_is_no_lab(lab: ServeProcess) -> None:
    location = f"{lab.api}/lorafw/about/1"
    with server_that_answers(302, "", location) as url, pytest.raises(LabError, match="is not a lab"):
        check_is_lab(LabEndpoint(url, "us-east-1"))


def test_where_nothing_answers_there_is_no_lab(lab: ServeProcess) -> None:
    check_is_lab(LabEndpoint(lab.api, "us-east-1"))
    with pytest.raises(LabError, match=r"no lab answers at http://127\.0\.0\.1:9"):
        check_is_lab(LabEndpoint("http://127.0.0.1:9", "us-east-1"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--endpoint-url", "https://example.com", "s3", "ls"],
        ["s3", "ls", "--endpoint-url=https://example.com"],
        ["s3", "ls", "--endpoint", "https://example.com"],
        ["s3", "ls", "--end=https://example.com"],
        ["s3", "ls", "--profile", "prod"],
        ["s3", "ls", "--prof=prod"],
        ["s3", "ls", "--profile"],
        ["configure"],
        ["configure", "set", "region", "x"],
        ["--region", "us-east-1", "sso", "login"],
        ["--reg", "us-east-1", "configure", "set", "cli_follow_urlparam", "true"],
        ["--", "configure", "set", "region", "x"],
        ["--debug", "login"],
        ["logout"],
    ],
    ids=" ".join,
)
def test_arguments_that_lead_elsewhere_are_refused(arguments: list[str]) -> None:
    with pytest.raises(LabError, match="is refused"):
        aws_command("aws", ENDPOINT, arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["s3", "ls", "--endpoint-url", "http://127.0.0.1:5000/"],
        ["iotwireless", "create-wireless-gateway", "--name", "configure"],
        ["iam", "create-instance-profile", "--profile-name", "x"],
        ["--version"],
        [],
    ],
    ids=" ".join,
)
def test_other_arguments_are_taken_as_they_are(arguments: list[str]) -> None:
    assert aws_command("aws", ENDPOINT, arguments) == ["aws", "--endpoint-url", ENDPOINT.url, *arguments]


ALIASES = """
[toplevel]
s3api = s3api --endpoint-url http://127.0.0.1:4566
who = !curl http://127.0.0.1:4566
[command sts]
get-caller-identity = get-caller-identity --endpoint-url http://127.0.0.1:4566
"""


@pytest.fixture
def aliases(user: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with aliases of the AWS CLI, in the home folder of somebody who uses LocalStack."""
    monkeypatch.setenv("HOME", str(user))
    (user / ".aws" / "cli").mkdir()
    path = user / ".aws" / "cli" / "alias"
    path.write_text(ALIASES)
    return path


@pytest.mark.parametrize(
    "line", ["s3api list-buckets", "who", "--reg us-east-1 --debug who", "sts --output json get-caller-identity"]
)
def test_an_alias_of_the_user_is_refused_because_it_may_lead_elsewhere(aliases: Path, line: str) -> None:
    with pytest.raises(LabError, match=r"is refused: '\S+' is an alias in ~/\.aws/cli/alias"):
        aws_command("aws", ENDPOINT, line.split())


@pytest.mark.parametrize("line", ["s3 ls who", "iam list-users --query who", "sts get-session-token", "--version"])
def test_a_command_that_is_no_alias_is_taken_beside_aliases(aliases: Path, line: str) -> None:
    assert aws_command("aws", ENDPOINT, line.split())[3:] == line.split()


def test_a_file_of_aliases_that_cannot_be_read_is_refused(aliases: Path) -> None:
    aliases.write_text("who = am I")
    with pytest.raises(LabError, match=r"~/\.aws/cli/alias cannot be read"):
        aws_command("aws", ENDPOINT, LIST)


def test_the_aws_cli_itself_would_follow_such_an_alias(aliases: Path, user: Path) -> None:
    assert REAL is not None
    aliases.write_text("[toplevel]\nsts = !echo an alias ran\n")
    environment = aws_environment({"HOME": str(user), "PATH": os.environ["PATH"]}, ENDPOINT)
    done = subprocess.run([REAL, "sts"], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "an alias ran\n"


def test_a_lab_on_ipv6_is_reached_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = LabEndpoint("http://[::1]:5000", "us-east-1")
    monkeypatch.setattr(os, "environ", aws_environment({}, endpoint))
    assert should_bypass_proxies(endpoint.url)
    assert not should_bypass_proxies("https://sts.amazonaws.com")


def test_a_command_that_ignores_the_endpoint_cannot_leave_this_machine(user: Path) -> None:
    """The environment alone keeps an old version here, even without the option and the refusals."""
    environment = aws_environment({"HOME": str(user)}, ENDPOINT)
    assert REAL is not None
    done = subprocess.run(
        [REAL, "sts", "get-caller-identity"],
        env={**environment, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_MAX_ATTEMPTS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Failed to connect to proxy URL" in done.stderr
    assert done.returncode != 0
