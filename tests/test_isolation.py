"""While a testbed is open, nothing leaves the machine, and no settings of the user affect it.

The whole table of hostile environments is `tests/bench/isolation.py`; two of its rows run here.
"""

from __future__ import annotations

import contextlib
import os
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from bench import isolation
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import ProcessProvider
from botocore.httpsession import URLLib3Session
from botocore.session import Session
from botocore.utils import ContainerMetadataFetcher
from moto import mock_aws
from moto.core.models import MockAWS, botocore_stubber
from requests.adapters import HTTPAdapter

from lorafw import Testbed
from lorafw.errors import LabError
from lorafw.isolation.opening import kept_in
from lorafw.isolation.reach import Place, make_reach
from lorafw.isolation.regions import lorawan_regions
from lorafw.localaws.cloud import Cloud
from lorafw.signals import ctrl_c_postponed

REDIRECT = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def nothing_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if botocore's own method would send anything to another host. Clients that are made before have no keys."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    send = URLLib3Session.send

    def checked(self: Any, request: Any) -> Any:
        assert request.url.startswith(("http://127.0.0.1:", "http://localhost:")), f"sent to {request.url}"
        return send(self, request)

    monkeypatch.setattr(URLLib3Session, "send", checked)


def gateways_seen(client: Any) -> list[str]:
    return [gateway["Id"] for gateway in client.list_wireless_gateways()["WirelessGatewayList"]]


def ids_of(bed: Testbed) -> list[str]:
    return [gateway.id for gateway in bed.gateways]


@pytest.mark.parametrize("name", isolation.SAMPLE)
def test_a_script_sees_the_testbed_and_nothing_else_in_a_hostile_environment(name: str) -> None:
    (row,) = [row for row in isolation.ROWS if row.name == name]
    assert isolation.run(row, demo=False, namespace=isolation.can_unshare()) == []


def test_the_table_has_forty_environments_and_no_name_twice() -> None:
    names = [row.name for row in isolation.ROWS]
    assert len(names) == len(set(names)) >= 40


def test_a_machine_that_permits_namespaces_is_required_in_ci() -> None:
    if os.environ.get("CI") != "true":
        pytest.skip("CI is not true here")
    assert isolation.can_unshare()


def test_importing_lorafw_stays_light() -> None:
    code = "import sys, lorafw; print([name for name in ('boto3', 'botocore', 'moto') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_client_that_is_older_than_moto_reaches_the_testbed() -> None:
    client = boto3.client("iotwireless", region_name="us-east-1")
    for hook in ("before-send",):
        client.meta.events._emitter._handlers._root["children"].pop(hook, None)  # as if moto had not been imported
        client.meta.events._emitter._lookup_cache.clear()
    with Testbed() as bed:
        assert gateways_seen(client) == ids_of(bed)


def test_a_client_without_credentials_reaches_the_testbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "get_credentials", lambda _: None)
    client = boto3.Session().client("iotwireless", region_name="us-east-1")
    with Testbed() as bed:
        assert gateways_seen(client) == ids_of(bed)


@pytest.mark.parametrize(
    ("variable", "address"),
    [
        ("AWS_ENDPOINT_URL", REDIRECT),
        ("AWS_ENDPOINT_URL", "https://aws.example.com"),
        ("AWS_ENDPOINT_URL_IOT_WIRELESS", "http://localhost:4566/aws"),
    ],
)
def test_an_endpoint_variable_does_not_lead_out_of_the_testbed(
    monkeypatch: pytest.MonkeyPatch, variable: str, address: str
) -> None:
    monkeypatch.setenv(variable, address)
    before = boto3.client("iotwireless", region_name="us-east-1")
    with Testbed() as bed:
        assert gateways_seen(before) == ids_of(bed)
        assert gateways_seen(boto3.client("iotwireless")) == ids_of(bed)
        monkeypatch.setenv("AWS_ENDPOINT_URL_IOT_WIRELESS", "http://127.0.0.1:10")
        assert gateways_seen(boto3.client("iotwireless")) == ids_of(bed)


@pytest.mark.parametrize("address", ["http://localhost:4566", REDIRECT])
def test_a_bucket_is_found_behind_a_redirect_whatever_its_place_in_the_address(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
    s3 = [
        boto3.client("s3", region_name="us-east-1", config=Config(s3={"addressing_style": style}))
        for style in ("path", "virtual", "auto")
    ]
    with Testbed() as bed:
        for number, client in enumerate(s3):
            client.put_object(Bucket="iotwirelessfwupdate", Key=f"a/{number}", Body=b"update")
        listed = bed.client("s3").list_objects_v2(Bucket="iotwirelessfwupdate")["Contents"]
        assert [entry["Key"] for entry in listed] == ["a/0", "a/1", "a/2"]


def test_dual_stack_and_fips_addresses_are_the_testbeds_too() -> None:
    operations = {
        "iotwireless": "list_wireless_gateways",
        "s3": "list_buckets",
        "iam": "list_roles",
        "sts": "get_caller_identity",
    }
    options = (Config(use_dualstack_endpoint=True), Config(use_fips_endpoint=True))
    clients = [
        (boto3.client(service, region_name="us-east-1", config=option), operation)
        for option in options
        for service, operation in operations.items()
    ]
    with Testbed(gateways=0):
        for client, operation in clients:
            assert getattr(client, operation)()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_client_with_an_http_client_of_its_own_sends_nothing_but_to_this_machine() -> None:
    """aiobotocore's endpoints prepare their requests with botocore's method and send them with aiohttp."""

    class OtherHttpClient:
        def send(self, request: Any) -> Any:
            raise OSError(f"sent to {request.url}")

    with Testbed(gateways=0) as bed:
        sts = boto3.client("sts", config=Config(retries={"total_max_attempts": 1}))
        sts._endpoint.http_session = OtherHttpClient()
        with pytest.raises(LabError, match=r"sts GetCallerIdentity would be sent .*api_over_http\(\) as endpoint_url"):
            sts.get_caller_identity()
        with bed.api_over_http() as variables:
            local = boto3.client("sts", endpoint_url=variables["AWS_ENDPOINT_URL"])
            local._endpoint.http_session = OtherHttpClient()
            with pytest.raises(OSError, match=r"^sent to http://127\.0\.0\.1:"):
                local.get_caller_identity()


def test_motos_account_switch_does_not_move_the_testbed_nor_the_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_ACCOUNT_ID", "999999999999")
    with Testbed() as bed:
        assert gateways_seen(boto3.client("iotwireless")) == ids_of(bed)
    with Cloud() as cloud:
        assert cloud.client("sts").get_caller_identity()["Account"] == "123456789012"
    assert os.environ["MOTO_ACCOUNT_ID"] == "999999999999"


def test_motos_server_mode_resets_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moto.settings.TEST_SERVER_MODE", True)
    monkeypatch.setattr("requests.post", lambda *_, **__: pytest.fail("a server was reset"))
    with Testbed() as bed:
        assert gateways_seen(boto3.client("iotwireless")) == ids_of(bed)


@pytest.mark.parametrize("passthrough", [{"services": ["iotwireless"], "urls": []}, {"services": [], "urls": [".*"]}])
def test_motos_passthrough_is_refused(passthrough: Any) -> None:
    with Testbed(), mock_aws(config={"core": {"passthrough": passthrough}}):
        client = boto3.client("iotwireless")
        with pytest.raises(LabError, match=r"ListWirelessGateways would be sent to .*moto's passthrough"):
            client.list_wireless_gateways()


def test_the_own_clients_of_a_cloud_read_no_setting_of_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text("[default\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    monkeypatch.setenv("AWS_RETRY_MODE", "none of them")
    with Cloud() as cloud:
        cloud.client("s3").create_bucket(Bucket="some-bucket")
        assert cloud.client("iotwireless").list_wireless_gateways()["WirelessGatewayList"] == []


def test_another_host_is_refused_by_name_before_a_byte_leaves() -> None:
    client = boto3.client("s3", region_name="us-east-1", endpoint_url="http://minio.example.com:9000")
    with Testbed(), pytest.raises(LabError) as refused:
        client.list_buckets()
    assert "s3 ListBuckets would be sent to minio.example.com" in str(refused.value)
    assert "allow_hosts" in str(refused.value)


def test_a_service_that_the_testbed_has_not_is_refused_by_name() -> None:
    with Testbed(), pytest.raises(LabError, match=r"outposts ListSites would be sent to outposts\.us-east-1"):
        boto3.client("outposts").list_sites()


def test_an_allowed_host_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def record(_: Any, request: Any) -> Any:
        asked.append(request.url)
        raise InterruptedError

    monkeypatch.setattr(URLLib3Session, "send", record)
    client = boto3.client("s3", region_name="us-east-1", endpoint_url="http://minio:9000")
    for allowed in ("minio", "MinIO:9000"):
        with Testbed(allow_hosts=[allowed]), pytest.raises(InterruptedError):
            client.list_buckets()
    assert asked == ["http://minio:9000/"] * 2
    with Testbed(allow_hosts=["minio:9001"]), pytest.raises(LabError, match="would be sent to minio"):
        client.list_buckets()


@pytest.mark.parametrize("hosts", [["http://minio:9000"], [""], "minio", ["*"], [1]])
def test_an_allowed_host_that_is_none_is_refused(hosts: Any) -> None:
    with pytest.raises(LabError, match=r"^allow_hosts: "):
        Testbed(allow_hosts=hosts)


def test_an_endpoint_of_this_machine_that_code_names_is_reached() -> None:
    with Testbed() as bed, bed.api_over_http() as variables:
        client = boto3.client("iotwireless", endpoint_url=variables["AWS_ENDPOINT_URL"])
        assert gateways_seen(client) == ids_of(bed)


def test_a_proxy_on_another_machine_is_not_used() -> None:
    proxied = Config(proxies={"http": "http://proxy.example.com:3128"})
    with Testbed(), pytest.raises(LabError, match=r"the proxy proxy\.example\.com"):
        boto3.client("s3", endpoint_url="http://127.0.0.1:10", config=proxied).list_buckets()


DIFFERENT_HOSTS = r"://aws.example.org\@127.0.0.1:10"
"""urllib3 connects to aws.example.org. Python's urlsplit finds 127.0.0.1."""


def test_an_address_in_which_two_programs_find_different_hosts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda host, *_, **__: pytest.fail(f"{host} was looked up"))
    with Testbed(gateways=0):
        with pytest.raises(LabError, match="in which two programs find different hosts"):
            boto3.client("s3", endpoint_url=f"http{DIFFERENT_HOSTS}").list_buckets()
        proxied = Config(proxies={"http": f"http{DIFFERENT_HOSTS}"})
        with pytest.raises(LabError, match=r"ListBuckets would be sent to 127\.0\.0\.1, while .* through the proxy"):
            boto3.client("s3", endpoint_url="http://127.0.0.1:10", config=proxied).list_buckets()


def test_a_guard_without_a_testbed_lets_code_reach_the_server_on_this_machine_that_a_variable_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:4566")
    sent: list[str] = []

    def record(_: Any, request: Any) -> Any:
        sent.append(request.url)
        raise InterruptedError

    monkeypatch.setattr(URLLib3Session, "send", record)
    with kept_in("us-east-1", occasion="a test runs", remedy="do nothing"):
        with pytest.raises(InterruptedError):
            boto3.client("sts", endpoint_url="http://localhost:4566").get_caller_identity()
        with pytest.raises(LabError, match=r"sts GetCallerIdentity would be sent to sts\."):
            boto3.client("sts").get_caller_identity()
    assert sent == ["http://localhost:4566/"]


@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_DATA_PATH", "AWS_CONFIG_FILE"])
def test_the_users_settings_do_not_change_the_regions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    (tmp_path / "endpoints.json").write_text('{"partitions": [], "version": 3}')
    (tmp_path / "broken").write_text("[default")
    values = {"AWS_PROFILE": "gone", "AWS_DATA_PATH": str(tmp_path), "AWS_CONFIG_FILE": str(tmp_path / "broken")}
    monkeypatch.setenv(variable, values[variable])
    regions = lorawan_regions.__wrapped__()
    assert "us-east-1" in regions
    assert "eu-west-1" in regions


def test_no_credential_provider_asks_or_runs_anything(tmp_path: Path) -> None:
    profile = {"profiles": {"work": {"credential_process": f"touch {tmp_path / 'ran'}"}}}
    provider = ProcessProvider("work", lambda: profile)
    with Testbed():
        with pytest.raises(LabError, match="credential_process of the profile 'work' would run a command"):
            provider.load()
        with pytest.raises(LabError, match=r"would be sent to 169\.254\.170\.2"):
            ContainerMetadataFetcher().retrieve_uri("/v2/credentials")
        with pytest.raises(LabError, match=r"GET /latest would be sent to imds\.example\.com"):
            URLLib3Session().send(AWSRequest("GET", "http://imds.example.com/latest").prepare())
    assert not (tmp_path / "ran").exists()


def test_no_credential_provider_is_asked_for_the_account_in_an_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The profile asks for a code at the terminal. Addresses of DynamoDB have the account in them."""
    config = tmp_path / "config"
    role = "role_arn = arn:aws:iam::111122223333:role/x\nsource_profile = base\nmfa_serial = arn:aws:iam::1:mfa/x\n"
    keys = "[profile base]\naws_access_key_id = A\naws_secret_access_key = B\n"
    config.write_text(f"[default]\naccount_id_endpoint_mode = required\n{role}{keys}")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setattr("getpass.getpass", lambda _: pytest.fail("a code was asked for"))
    client = boto3.Session().client("dynamodb", region_name="us-east-1")
    with Testbed(gateways=0):
        assert client.list_tables()["TableNames"] == []


def test_afterwards_everything_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", REDIRECT)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    variables, send = dict(os.environ), URLLib3Session.send
    with Testbed():
        assert URLLib3Session.send is not send
        assert "AWS_SESSION_TOKEN" not in os.environ
    assert URLLib3Session.send is send
    assert dict(os.environ) == variables


def test_a_refused_testbed_inside_another_leaves_the_guard_of_the_outer_one() -> None:
    client = boto3.client("s3", region_name="us-east-1", endpoint_url="http://minio.example.com:9000")
    with Testbed():
        with pytest.raises(LabError, match="end that one first"), Testbed():
            pass
        with pytest.raises(LabError, match="kept back"):
            client.list_buckets()


def test_a_program_that_a_test_starts_finds_no_aws_unless_it_is_given_one(tmp_path: Path) -> None:
    code = "import boto3; print(boto3.client('sts').meta.endpoint_url)"
    with Testbed() as bed:
        alone = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        with bed.api_over_http() as variables:
            given = subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, **variables},
                capture_output=True,
                text=True,
                check=True,
            )
    assert alone.stdout.strip() == REDIRECT
    assert given.stdout.strip() == variables["AWS_ENDPOINT_URL"]


def test_a_call_that_is_under_way_when_the_testbed_closes_is_not_sent() -> None:
    bed = Testbed(gateways=0).start()
    client = bed.client("s3")
    client.meta.events.register_last("before-send", lambda **_: bed.stop())
    with pytest.raises(LabError, match="this Testbed is not open"):
        client.list_buckets()


def test_code_that_wraps_the_sending_of_botocore_inside_a_testbed_sees_its_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Testbed(gateways=0) as bed, monkeypatch.context() as patches:
        send = URLLib3Session.send
        seen: list[str] = []

        def wrapped(self: Any, request: Any) -> Any:
            seen.append(request.url)
            return send(self, request)

        patches.setattr(URLLib3Session, "send", wrapped)
        bed.client("s3").list_buckets()
    assert seen == ["https://s3.amazonaws.com/"]


def test_testbeds_in_one_mock_of_moto_share_its_s3_and_nothing_of_their_own() -> None:
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="of-the-project")
        for count in (2, 1):
            with Testbed(gateways=count, region="eu-west-1") as bed:
                assert gateways_seen(boto3.client("iotwireless")) == ids_of(bed)
                wireless = bed.client("iotwireless")
                arn = wireless.get_wireless_gateway(Identifier=bed.gateways[0].id, IdentifierType="WirelessGatewayId")
                assert wireless.list_tags_for_resource(ResourceArn=arn["Arn"])["Tags"] == []
                wireless.tag_resource(ResourceArn=arn["Arn"], Tags=[{"Key": "site", "Value": "roof"}])
                bed.define_update("1.0.1")
                bed.advance(20)
                assert bed.status() == "COMPLETED"
        assert {"of-the-project", "iotwirelessfwupdate"} == {one["Name"] for one in s3.list_buckets()["Buckets"]}


def test_a_session_that_boto3_keeps_does_not_outlive_a_guard() -> None:
    before = boto3.DEFAULT_SESSION
    with kept_in("us-east-1", occasion="a test runs", remedy="do nothing"):
        boto3.client("s3")
        assert boto3.DEFAULT_SESSION is not before
    assert boto3.DEFAULT_SESSION is before


@pytest.mark.parametrize("interrupted", ["lorafw.isolation.environment._put", "moto.core.models.responses_mock.add"])
def test_ctrl_c_while_a_testbed_opens_leaves_everything_as_it_was(
    monkeypatch: pytest.MonkeyPatch, interrupted: str
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    before = process_state()
    with monkeypatch.context() as patches:
        patches.setattr(interrupted, interrupt_once(pkgutil.resolve_name(interrupted)))
        with pytest.raises(KeyboardInterrupt):
            Testbed(gateways=0).start()
    assert process_state() == before
    assert Testbed.current() is None


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Python's own handler of Ctrl-C, which is not there if this process runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_while_a_testbed_closes_waits_until_everything_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    before = process_state()
    stop = MockAWS.stop

    def interrupted_stop(mock: MockAWS) -> None:
        signal.raise_signal(signal.SIGINT)
        stop(mock)

    bed = Testbed(gateways=0).start()
    monkeypatch.setattr(MockAWS, "stop", interrupted_stop)
    with pytest.raises(KeyboardInterrupt):
        bed.stop()
    assert process_state() == before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("ctrl_c")
def test_a_second_ctrl_c_does_not_wait() -> None:
    steps: list[str] = []
    with contextlib.suppress(KeyboardInterrupt), ctrl_c_postponed():
        signal.raise_signal(signal.SIGINT)
        steps.append("the first waits")
        signal.raise_signal(signal.SIGINT)
        steps.append("the second waits")
    assert steps == ["the first waits"]


def process_state() -> tuple[Any, ...]:
    """Return what a testbed changes in this process while it is open: variables, and the state of moto."""
    moto_state = (HTTPAdapter.send, MockAWS._nested_count, botocore_stubber.enabled, boto3.DEFAULT_SESSION)
    return dict(os.environ), *moto_state


def interrupt_once(function: Any) -> Any:
    """Return the function with a Ctrl-C after its first call."""
    calls: list[Any] = []

    def interrupted(*arguments: Any, **options: Any) -> Any:
        function(*arguments, **options)
        calls.append(arguments)
        if len(calls) == 1:
            raise KeyboardInterrupt

    return interrupted


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://s3.us-east-1.amazonaws.com/", Place.TESTBED),
        ("https://iam.global.api.aws/", Place.TESTBED),
        ("http://work.example.com:4566/aws/x", Place.TESTBED),
        ("http://bucket.work.example.com:4566/x", Place.TESTBED),
        ("http://127.0.0.1:5000/", Place.NETWORK),
        ("http://[::1]:5000/", Place.NETWORK),
        ("http://LOCALHOST/", Place.NETWORK),
        ("http://minio:9000/", Place.NETWORK),
        ("http://minio:9001/", Place.NOWHERE),
        ("http://work.example.com:80/", Place.NOWHERE),
        ("http://0.0.0.0:80/", Place.NOWHERE),
        ("http://127.0.0.1.example.com/", Place.NOWHERE),
        ("http://2130706433/", Place.NOWHERE),
        ("http://bucket.localhost/", Place.NOWHERE),
        ("http://amazonaws.com.example.com/", Place.NOWHERE),
        ("http://169.254.169.254/latest", Place.NOWHERE),
        (r"http://aws.example.org\@127.0.0.1/", Place.NOWHERE),
        (r"http://aws.example.org\@minio:9000/", Place.NOWHERE),
    ],
)
def test_the_place_of_a_request_follows_from_its_address_alone(url: str, place: Place) -> None:
    reach = make_reach(["minio:9000"], ["http://work.example.com:4566/aws", "no address", "http://[x"])
    assert reach.place_of(url) is place
