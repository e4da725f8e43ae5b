"""Check in many hostile environments that a customer's script sees only the testbed, and that `lorafw demo` completes.

Each row is a process of its own (`customer.py` beside this file) with the variables, files, import order and limits of
the row. The process notes every look-up, connection and program through ``sys.addaudithook``. Where the machine permits
it, the process runs in a network namespace in which only loopback is up, so that nothing could leave it at all.

    python tests/bench/isolation.py                 # the whole table
    python tests/bench/isolation.py --only fips     # the rows whose names have this text
    python tests/bench/isolation.py --no-namespace  # the audit hook alone
    python tests/bench/isolation.py --cli           # the demo with the AWS CLI, and not with boto3 in its place

It fails without namespaces if CI=true.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

CUSTOMER = Path(__file__).with_name("customer.py")
ELSEWHERE = "http://aws.example.com:4566"
HERE = "http://127.0.0.1:9"
FILES = {"AWS_CONFIG_FILE": "config", "AWS_SHARED_CREDENTIALS_FILE": "credentials"}


@dataclass(frozen=True)
class Row:
    """One hostile environment."""

    name: str
    variables: Mapping[str, str] = field(default_factory=dict)
    config: str | bytes = ""
    credentials: str | bytes = ""
    order: str = "script-first"
    """When the customer's script is imported: see customer.py."""
    options: tuple[str, ...] = ()
    why_not: str = ""
    """What the script itself says where botocore makes no client with these settings, lorafw or not."""
    no_demo: bool = False
    unset: tuple[str, ...] = ()


PROCESS = "credential_process = /bin/sh -c 'touch {folder}/ran'\n"
SSO = (
    "sso_session = work\nsso_account_id = 111122223333\nsso_role_name = Admin\n"
    "[sso-session work]\nsso_region = eu-west-1\nsso_start_url = https://work.awsapps.com/start\n"
)
ROLE = (
    "role_arn = arn:aws:iam::999999999999:role/deploy\nsource_profile = base\n"
    "[profile base]\naws_access_key_id = A\naws_secret_access_key = B\n"
)

ROWS = [
    Row("nothing special"),
    *(Row(f"import order: {order}", order=order) for order in ("testbed-first", "moto-first", "inside")),
    # Endpoint variables
    Row("AWS_ENDPOINT_URL elsewhere", {"AWS_ENDPOINT_URL": ELSEWHERE}),
    Row("AWS_ENDPOINT_URL here", {"AWS_ENDPOINT_URL": HERE}),
    Row("AWS_ENDPOINT_URL here, testbed first", {"AWS_ENDPOINT_URL": HERE}, order="testbed-first"),
    Row("AWS_ENDPOINT_URL here, imported inside", {"AWS_ENDPOINT_URL": HERE}, order="inside"),
    Row("AWS_ENDPOINT_URL with a path", {"AWS_ENDPOINT_URL": f"{HERE}/aws/"}),
    Row("AWS_ENDPOINT_URL of localhost", {"AWS_ENDPOINT_URL": "http://localhost:4566"}),
    Row("AWS_ENDPOINT_URL_S3", {"AWS_ENDPOINT_URL_S3": "http://minio.example.com:9000"}),
    Row("AWS_ENDPOINT_URL_IOT_WIRELESS", {"AWS_ENDPOINT_URL_IOT_WIRELESS": HERE}),
    Row("AWS_ENDPOINT_URL_IAM and _STS", {"AWS_ENDPOINT_URL_IAM": ELSEWHERE, "AWS_ENDPOINT_URL_STS": ELSEWHERE}),
    Row("configured endpoints ignored", {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}),
    Row("an endpoint that is no URL", {"AWS_ENDPOINT_URL": "nonsense"}, why_not="Invalid endpoint"),
    # Variants of AWS's own addresses
    Row("dual stack", {"AWS_USE_DUALSTACK_ENDPOINT": "true"}),
    Row("FIPS", {"AWS_USE_FIPS_ENDPOINT": "true"}),
    Row("dual stack and FIPS", {"AWS_USE_DUALSTACK_ENDPOINT": "true", "AWS_USE_FIPS_ENDPOINT": "true"}),
    Row("another Region", {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_REGION": "eu-west-1"}),
    # Files
    Row("endpoint_url in the file", config=f"[default]\nendpoint_url = {ELSEWHERE}\n"),
    Row(
        "services in the file",
        config="[default]\nservices = local\n[services local]\n"
        f"iot_wireless =\n  endpoint_url = {HERE}\ns3 =\n  endpoint_url = {ELSEWHERE}\n",
    ),
    Row("services that are not there", config="[default]\nservices = gone\n", why_not="services configuration"),
    Row("dual stack in the file", config="[default]\nuse_dualstack_endpoint = true\n"),
    Row("FIPS in the file", config="[default]\nuse_fips_endpoint = true\n"),
    Row("S3 accelerate in the file", config="[default]\ns3 =\n  use_accelerate_endpoint = true\n"),
    Row("S3 dual stack in the file", config="[default]\ns3 =\n  use_dualstack_endpoint = true\n"),
    Row("S3 paths in the file", config="[default]\ns3 =\n  addressing_style = path\n"),
    Row("a broken config file", config="[default\nregion eu\n", why_not="Unable to parse config file"),
    Row("a config file of another encoding", config=b"\xff\xfe[\x00d\x00", why_not="Unable to parse config file"),
    Row("a broken credentials file", credentials="keys\n[", why_not="Unable to parse config file"),
    # Profiles and credentials
    Row("a profile that is not there", {"AWS_PROFILE": "gone"}, why_not="could not be found"),
    Row("AWS_DEFAULT_PROFILE", {"AWS_DEFAULT_PROFILE": "work"}, config="[profile work]\nregion = eu-west-1\n"),
    Row(
        "a script that names a profile",
        config=f"[profile work]\n{ROLE}",
        options=("--profile", "work"),
        order="session-first",
    ),
    Row("credential_process", config=f"[default]\n{PROCESS}", order="session-first"),
    Row(
        "credential_process of a named profile",
        config=f"[profile work]\n{PROCESS}",
        options=("--profile", "work"),
        order="session-first",
    ),
    Row("single sign-on", config=f"[default]\n{SSO}", order="session-first"),
    Row("a role of another account", config=f"[default]\n{ROLE}", order="session-first"),
    Row(
        "a container's credentials",
        {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/x"},
        order="session-first",
    ),
    Row(
        "a container's credentials elsewhere",
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "https://keys.example.com/x", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "t"},
        order="session-first",
    ),
    Row(
        "web identity",
        {"AWS_ROLE_ARN": "arn:aws:iam::1:role/x", "AWS_WEB_IDENTITY_TOKEN_FILE": "/dev/null"},
        order="session-first",
    ),
    Row(
        "expired credentials",
        {
            "AWS_ACCESS_KEY_ID": "A",
            "AWS_SECRET_ACCESS_KEY": "s",
            "AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z",
        },
        why_not="still expired",
    ),
    Row("real keys", {"AWS_ACCESS_KEY_ID": "AKIAREAL", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}),
    Row(
        "metadata service elsewhere",
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://imds.example.com"},
        order="session-first",
    ),
    # Other variables of botocore
    Row("defaults mode auto", {"AWS_DEFAULTS_MODE": "auto"}, order="inside"),
    Row("monitoring", {"AWS_CSM_ENABLED": "true", "AWS_CSM_HOST": "csm.example.com"}),
    Row("a proxy", {"HTTP_PROXY": "http://proxy.example.com:3128", "HTTPS_PROXY": "http://proxy.example.com:3128"}),
    Row("a CA bundle that is not there", {"AWS_CA_BUNDLE": "/nonexistent"}),
    Row("a retry mode that is none", {"AWS_RETRY_MODE": "x"}, why_not="Invalid value provided"),
    Row("attempts that are no number", {"AWS_MAX_ATTEMPTS": "x"}, why_not="invalid literal"),
    Row("models elsewhere", {"AWS_DATA_PATH": "/nonexistent"}),
    # moto's switches
    Row("moto: TEST_SERVER_MODE", {"TEST_SERVER_MODE": "true"}),
    Row("moto: TEST_SERVER_MODE, moto first", {"TEST_SERVER_MODE": "true"}, order="moto-first"),
    Row("moto: TEST_PROXY_MODE", {"TEST_PROXY_MODE": "true"}),
    Row("moto: MOTO_ACCOUNT_ID", {"MOTO_ACCOUNT_ID": "999999999999"}),
    Row("moto: INITIAL_NO_AUTH_ACTION_COUNT", {"INITIAL_NO_AUTH_ACTION_COUNT": "0"}),
    Row("moto: S3_IGNORE_SUBDOMAIN_BUCKETNAME", {"S3_IGNORE_SUBDOMAIN_BUCKETNAME": "true"}),
    Row("moto: MOTO_S3_CUSTOM_ENDPOINTS", {"MOTO_S3_CUSTOM_ENDPOINTS": "https://s3.example.com"}),
    # The machine
    Row("Jupyter's settings", {"JUPYTER_CONFIG_DIR": "/nonexistent", "JUPYTER_TOKEN": "", "MPLBACKEND": "none"}),
    Row("umask 0", options=("--umask", "0")),
    Row("LANG=C", {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    Row("no HOME", unset=("HOME",)),
    Row("frozen time", options=("--frozen",)),
    Row("blocked sockets", options=("--no-sockets",), no_demo=True),
]
SAMPLE = (
    "AWS_ENDPOINT_URL elsewhere",
    "credential_process of a named profile",
)


def rows_of(text: str) -> list[Row]:
    """Return the rows whose names have this text."""
    return [row for row in ROWS if text in row.name]


def can_unshare() -> bool:
    """Return whether this machine permits a network namespace with loopback alone."""
    command = ["unshare", "-rn", "sh", "-c", "ip link set lo up"]
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0
    except OSError:
        return False


def run(row: Row, *, demo: bool, namespace: bool, cli: bool = False) -> list[str]:
    """Run one row in a process of its own and return its faults."""
    with tempfile.TemporaryDirectory(prefix="lorafw-isolation-") as folder:
        command = [sys.executable, str(CUSTOMER), "--order", row.order, *row.options]
        if demo and not row.no_demo:
            command += ["--demo", "--cli"] if cli else ["--demo"]
        if namespace:
            command = ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command]
        done = subprocess.run(
            command,
            env=_environment(row, Path(folder)),
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        ran = (Path(folder) / "ran").exists()
    faults = ["credential_process was run"] if ran else []
    try:
        report = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return [*faults, f"no report, exit status {done.returncode}: {done.stderr[-800:]}"]
    return faults + list(_faults_of(row, report, with_demo=demo and not row.no_demo))


def _faults_of(row: Row, report: Mapping[str, object], *, with_demo: bool) -> Iterator[str]:
    if report["left"]:
        yield f"left this machine: {report['left']}"
    if report["seen"] != report["expected"]:
        yield f"saw {report['seen']}, and not {report['expected']}"
    why_not = str(report["why_not"])
    if bool(why_not) != bool(row.why_not) or row.why_not not in why_not:
        yield f"the script said {why_not!r}, and not {row.why_not!r}"
    if not report["restored"]:
        yield "variables or classes of botocore are not as they were"
    if with_demo and report["demo"] != "COMPLETED":
        yield f"demo: {report['demo']}"


def _environment(row: Row, folder: Path) -> dict[str, str]:
    """Return the variables of a row: those that Python needs, and its own."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TMPDIR") if name in os.environ}
    variables = {**kept, "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **row.variables}
    for (name, file), text in zip(FILES.items(), (row.config, row.credentials), strict=True):
        if text:
            content = text.encode() if isinstance(text, str) else text
            (folder / file).write_bytes(content.replace(b"{folder}", str(folder).encode()))
            variables[name] = str(folder / file)
    return {name: value for name, value in variables.items() if name not in row.unset}


def main() -> int:
    """Run the table and print it. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="TEXT")
    parser.add_argument("--no-demo", action="store_true", help="the customer's script alone")
    parser.add_argument("--no-namespace", action="store_true")
    parser.add_argument("--cli", action="store_true", help="the demo with the AWS CLI")
    options = parser.parse_args()
    namespace = not options.no_namespace and can_unshare()
    if not namespace and not options.no_namespace and os.environ.get("CI") == "true":
        print("network namespaces are forbidden here, and CI=true: run it where `unshare -rn` works")
        return 1
    failed = 0
    rows = rows_of(options.only)
    for row in rows:
        started = time.monotonic()
        faults = run(row, demo=not options.no_demo, namespace=namespace, cli=options.cli)
        failed += bool(faults)
        passed = f"ok; before the testbed is open, boto3 says: {row.why_not}" if row.why_not else "ok"
        verdict = "; ".join(faults) or passed
        print(f"{row.name:42} {time.monotonic() - started:5.1f} s  {verdict}", flush=True)
    where = "with loopback alone" if namespace else "without a namespace"
    print(f"{len(rows) - failed} of {len(rows)} environments, {where}")
    return min(failed, 1)


if __name__ == "__main__":
    raise SystemExit(main())
