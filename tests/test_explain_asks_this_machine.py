"""`lorafw explain` asks a lab on this machine, follows no redirect and uses no proxy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from click.testing import CliRunner

from lorafw.cli import main


class Redirecting(BaseHTTPRequestHandler):
    asked: list[tuple[str, str]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Authorization"]))
        self.send_response(302)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    Redirecting.asked.clear()
    with HTTPServer(("127.0.0.1", 0), Redirecting) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        for name in ("AWS_ENDPOINT_URL_IOT_WIRELESS", "NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        url = f"http://127.0.0.1:{served.server_port}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield url
        served.shutdown()


def test_a_redirect_is_not_followed_and_a_proxy_is_not_asked(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-real-key")
    result = CliRunner().invoke(main, ["explain", "a1b2c3d4e5f60718", "--region", "eu-west-1"])
    assert result.exit_code == 1
    assert "302" in result.output
    ((path, authorization),) = Redirecting.asked
    assert path == "/lorafw/explain/a1b2c3d4e5f60718"
    assert "Credential=testing/20210312/eu-west-1/iotwireless/" in authorization


@pytest.mark.parametrize("url", ["http://192.0.2.1:80", "https://iotwireless.us-east-1.amazonaws.com", "nonsense"])
def test_an_address_elsewhere_is_refused_before_anything_is_sent(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_IOT_WIRELESS", url)
    result = CliRunner().invoke(main, ["explain", "a1b2c3d4e5f60718"])
    assert result.exit_code == 1
    assert f"AWS_ENDPOINT_URL_IOT_WIRELESS is '{url}'" in result.output
    assert "not on this machine" in result.output
