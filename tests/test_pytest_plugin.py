"""The pytest plugin in test suites of its own: fixtures, marker, guard, explanations, and what it costs if unused."""

from __future__ import annotations

import importlib.metadata
import os
import re

import pytest
from botocore.httpsession import URLLib3Session

import lorafw
from lorafw import Testbed
from lorafw.pytest_plugin.guard import server_guard

pytest_plugins = ["pytester"]
lorafw.register()  # Import moto once here, and not in every suite that runs in this process.


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty test suite in an environment with AWS settings that lead elsewhere."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://aws.example.com:4566")
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    monkeypatch.delenv("NO_PROXY", raising=False)
    return pytester


WITHOUT = ("-p", "no:nbval", "-p", "no:cacheprovider")
"""Options that switch off plugins that the suites do not use."""


def run(suite: pytest.Pytester, *options: str) -> pytest.RunResult:
    """Run the suite in this process."""
    return suite.runpytest_inprocess(*WITHOUT, *options)


def run_apart(suite: pytest.Pytester, *options: str) -> pytest.RunResult:
    """Run the suite in a process of its own, where nothing is imported yet."""
    return suite.runpytest_subprocess(*WITHOUT, *options)


def section_of(result: pytest.RunResult, name: str) -> str:
    """Return what the report says about a failed test."""
    return re.split(r"^_+ .* _+$", result.stdout.str().split(f"_ {name} _")[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_a_suite_that_uses_nothing_of_lorafw_imports_neither_botocore_nor_the_testbed(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import sys

        def test_nothing_is_imported():
            heavy = {"boto3", "botocore", "moto", "aiohttp", "cryptography", "numpy", "lorafw.testbed.testbed"}
            assert "lorafw.pytest_plugin" in sys.modules
            assert heavy & set(sys.modules) == set()

        def test_that_fails():
            assert False
        """
    )
    result = run_apart(suite, "-p", "no:hypothesispytest")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.no_fnmatch_line("*lorafw explain*")


def test_the_plugin_can_be_turned_off(suite: pytest.Pytester) -> None:
    suite.makepyfile("def test_there_is_no_fixture(lorafw_testbed): pass")
    result = run(suite, "-p", "no:lorafw")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'lorafw_testbed' not found*"])


def test_the_testbed_has_the_options_of_the_closest_marker(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import boto3
        import pytest

        pytestmark = pytest.mark.lorafw(gateways=2, policy={"settle_s": 30})

        @pytest.mark.lorafw(gateways=3)
        def test_marked(lorafw_testbed):
            assert len(lorafw_testbed.gateways) == 3
            assert lorafw_testbed.service.policy.settle_s == 30

        def test_the_mark_alone_opens_a_testbed():
            assert len(boto3.client("iotwireless").list_wireless_gateways()["WirelessGatewayList"]) == 2
        """
    )
    run(suite).assert_outcomes(passed=2)


WRONG_OPTIONS = {
    "gateway=3": "gateway: lorafw_testbed has no such option; did you mean gateways?",
    "3": "3 has no name; write the options by name, such as lorafw(gateways=3)",
    "policy={'setle_s': 3}": "policy: 'setle_s' is not a policy; did you mean settle_s?",
    "policy={'comparison': 'loose'}": "comparison: 'loose' is not one of: exact, trimmed",
    "colour=1": "colour: lorafw_testbed has no such option; known: gateways, package",
    "serve=['--no-plain']": "serve: this is an option of the fixture lorafw_server, which the test does not use",
}


def test_a_wrong_option_of_the_marker_is_an_error_that_names_it(suite: pytest.Pytester) -> None:
    tests = [
        f"@pytest.mark.lorafw({marker})\ndef test_{number}(lorafw_testbed): pass"
        for number, marker in enumerate(WRONG_OPTIONS)
    ]
    suite.makeini("[pytest]\nlorafw_server_scope = session\n")
    suite.makepyfile(
        "import pytest",
        *tests,
        "@pytest.mark.lorafw(policy={'settle_s': 30})\ndef test_served(lorafw_server): pass",
        "@pytest.mark.lorafw(gateways=-1)\ndef test_value(lorafw_testbed): pass",
    )
    result = run(suite)
    result.assert_outcomes(errors=len(WRONG_OPTIONS) + 2)
    for number, message in enumerate(WRONG_OPTIONS.values()):
        assert f"@pytest.mark.lorafw: {message}" in section_of(result, f"ERROR at setup of test_{number}")
    shared = "policy: lorafw_server is shared by the tests of a session, so a test cannot set it; set"
    assert shared in section_of(result, "ERROR at setup of test_served")
    assert "gateways: -1 is not a number of gateways" in section_of(result, "ERROR at setup of test_value")


def test_a_failed_test_explains_every_gateway_whose_task_did_not_complete(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest
        from lorafw import Testbed

        @pytest.mark.lorafw(gateways=2)
        def test_with_the_fixture(lorafw_testbed):
            lorafw_testbed.inject("wrong-key", 1)
            lorafw_testbed.define_update("1.0.1")
            lorafw_testbed.advance(20)
            assert lorafw_testbed.status(1) == "COMPLETED"

        def test_with_a_block():
            with Testbed(gateways=22) as bed:
                assert bed.status(0) == "COMPLETED"

        def test_that_expects_an_error():
            with pytest.raises(ZeroDivisionError), Testbed():
                1 / 0
        """
    )
    result = run(suite, "-rA")
    result.assert_outcomes(passed=1, failed=2)
    report = section_of(result, "test_with_the_fixture")
    assert report.count("- lorafw explain -") == 1
    assert "the gateway has the keys" in report
    assert "5a11b0a85a11b0a9" in report
    assert "5a11b0a85a11b0a8" not in report, "its task completed"
    beyond = "2 more gateways, from 5a11b0a85a11b0bc to 5a11b0a85a11b0bd, are not explained here: 2 with no task."
    assert beyond in section_of(result, "test_with_a_block")
    assert result.stdout.str().count("- lorafw explain -") == 2, "none for an error that a test expects"


def test_the_guard_of_the_session_keeps_in_what_no_testbed_answers(suite: pytest.Pytester) -> None:
    suite.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        lorafw_guard = true
        lorafw_allow_hosts = ["minio.invalid:9000"]
        """
    )
    suite.makeconftest(
        """
        import boto3
        from lorafw.errors import LabError

        try:
            boto3.client("iotwireless").list_wireless_gateways()
        except LabError as error:
            REFUSAL = str(error)
        """
    )
    suite.makepyfile(
        """
        import os

        import boto3
        import pytest
        from botocore.config import Config
        from botocore.exceptions import EndpointConnectionError
        from conftest import REFUSAL
        from moto import mock_aws
        from lorafw.errors import LabError

        EARLY = boto3.client("iotwireless")
        ELSEWHERE = boto3.client("s3", endpoint_url="http://minio.example.com:9000")
        DAILY = boto3.client("s3", endpoint_url="http://aws.example.com:4566")
        DIRECT = Config(proxies={}, retries={"total_max_attempts": 1})
        ALLOWED = boto3.client("s3", endpoint_url="http://minio.invalid:9000", config=DIRECT)

        def test_a_client_is_refused():
            for call in (EARLY.list_wireless_gateways, ELSEWHERE.list_buckets, DAILY.list_buckets):
                with pytest.raises(LabError, match="while lorafw_guard is on, and was kept back"):
                    call()

        def test_a_conftest_is_refused_too():
            assert REFUSAL.startswith("iotwireless ListWirelessGateways would be sent to api.iotwireless.us-east-1.")
            assert "use the fixture lorafw_testbed or lorafw_server, or allow the host with" in REFUSAL

        def test_a_testbed_answers(lorafw_testbed):
            assert len(EARLY.list_wireless_gateways()["WirelessGatewayList"]) == 1
            assert len(DAILY.list_buckets()["Buckets"]) == 1
            with pytest.raises(LabError, match="minio.example.com, .* while a Testbed is open"):
                ELSEWHERE.list_buckets()

        def test_moto_answers():
            with mock_aws():
                assert boto3.client("iotwireless").list_wireless_gateways()["WirelessGatewayList"] == []

        @pytest.mark.parametrize("fixture", ["tmp_path", "lorafw_testbed"])
        def test_an_allowed_host_is_looked_up(fixture, request):
            request.getfixturevalue(fixture)
            with pytest.raises(EndpointConnectionError):
                ALLOWED.list_buckets()
        """
    )
    profile = os.environ["AWS_PROFILE"]
    run(suite).assert_outcomes(passed=6)
    assert os.environ["AWS_PROFILE"] == profile


def test_a_test_can_use_a_served_lab_with_boto3_and_with_other_programs(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import os
        import urllib.request

        import boto3
        import pytest
        from botocore.exceptions import HTTPClientError
        from lorafw.errors import LabError

        AWS = "https://iotwireless.us-east-1.amazonaws.com"

        @pytest.mark.allow_hosts(["127.0.0.1"])
        @pytest.mark.lorafw(policy={"unknown_gateway_status": 404}, serve=["--seed", "documented"])
        def test_served(lorafw_server, lorafw_testbed):
            assert os.environ["AWS_ENDPOINT_URL"] != lorafw_server.api, "the testbed is the inner one"
            served = boto3.client("iotwireless", endpoint_url=lorafw_server.api)
            assert len(served.list_wireless_gateways()["WirelessGatewayList"]) == 2
            assert len(boto3.client("iotwireless").list_wireless_gateways()["WirelessGatewayList"]) == 1
            assert lorafw_server.api in lorafw_server.output
            assert False, "show the sections"

        def test_without_sockets(lorafw_server):
            assert os.environ["AWS_ENDPOINT_URL"] == lorafw_server.api
            with pytest.raises(HTTPClientError, match="A test tried to use socket"):
                boto3.client("iotwireless").list_wireless_gateways()
            with pytest.raises(LabError, match="while lorafw_server is in use"):
                boto3.client("iotwireless", endpoint_url=AWS).list_wireless_gateways()
            assert False, "show the sections"

        def test_a_testbed_opens_no_socket(lorafw_testbed):
            lorafw_testbed.define_update("1.0.1")
            lorafw_testbed.advance(20)
            assert lorafw_testbed.status() == "COMPLETED"
        """
    )
    result = run(suite, "--disable-socket", "--allow-unix-socket")
    result.assert_outcomes(passed=1, failed=2)
    report = section_of(result, "test_served")
    assert "AssertionError: show the sections" in report
    assert report.count("- lorafw explain -") == 2, "one of the testbed, one of the server"
    assert "- lorafw serve -" in report
    assert "5a11b0a85a11b0a9" in report, "the server's second gateway"
    assert "explain failed: HTTPClientError" in section_of(result, "test_without_sockets")


def test_the_installed_package_announces_the_plugin() -> None:
    found = importlib.metadata.entry_points(group="pytest11", name="lorafw")
    assert [entry.value for entry in found] == ["lorafw.pytest_plugin"]


def test_a_testbed_that_is_started_beside_a_server_and_not_stopped_ends_with_it(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://aws.example.com:4566")
    send = URLLib3Session.send
    with server_guard(pytestconfig, "us-east-1", "http://127.0.0.1:9"):
        Testbed(gateways=0).start()
    assert Testbed.current() is None
    assert URLLib3Session.send is send
    assert os.environ["AWS_ENDPOINT_URL"] == "http://aws.example.com:4566"
