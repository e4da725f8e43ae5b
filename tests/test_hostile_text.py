"""No text from outside reaches a terminal, a log or a page with control characters or reversed direction."""

from __future__ import annotations

import json
import logging
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fakes import OLD, World

from lorafw.cli import _VisibleFormatter, main
from lorafw.firmware.image import build_image
from lorafw.lab.panels.html import html
from lorafw.text import visible
from lorafw.version import GatewayVersion

HOSTILE = "a\x1b[2K\x1b]0;title\x07\x9b1A\x7f\u202egnp.exe\u2066\u200b\ud800b"
HIDING = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def hidden_in(text: str) -> set[str]:
    return {c for c in text if unicodedata.category(c) in HIDING} - {"\n", "\t"}


def test_every_character_that_cannot_be_seen_is_escaped() -> None:
    every = "".join(map(chr, range(0x110000)))
    shown = visible(every)
    assert hidden_in(shown) == set()
    assert "\n" not in shown
    assert visible("a\nb\tc", keep_lines=True) == "a\nb\tc"
    assert visible("a\x1b\nb") == r"a\u001b\u000ab"
    assert visible("Dach, größer, 屋根") == "Dach, größer, 屋根"


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, list(arguments))
    assert hidden_in(result.output) == set(), (arguments, result.output)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


@pytest.mark.parametrize("command", sorted(main.list_commands(None)))  # type: ignore[arg-type]
def test_a_hostile_argument_comes_back_without_control_characters(command: str, monkeypatch: Any) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    hostile = HOSTILE.replace("\ud800", "")
    assert run(command, f"--{hostile}").exit_code != 0
    group: Any = main.get_command(None, command)  # type: ignore[arg-type]
    for name in getattr(group, "commands", {}):
        assert run(command, name, f"--{hostile}").exit_code != 0
    if command != "aws":
        assert run(command, hostile).exit_code != 0


def test_inspect_shows_the_restart_command_in_full(tmp_path: Path, monkeypatch: Any) -> None:
    update = tmp_path / "update"
    update.write_bytes(build_image(package_version="1.0.1", files={}, restart="reboot"))
    from lorafw.cli import firmware

    unpack = firmware.unpack_image

    def unpack_hostile(data: bytes) -> Any:
        from dataclasses import replace

        return replace(unpack(data), restart="rm -rf /\x1b[2K\rRestart none\n")

    monkeypatch.setattr(firmware, "unpack_image", unpack_hostile)
    output = run("firmware", "inspect", str(update)).output
    assert r"Restart         rm -rf /\u001b[2K\u000dRestart none\u000a" in output


def test_names_and_versions_of_a_hostile_gateway_are_shown_escaped(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "station.conf").write_text('{"station_conf": {"routerid": "a1b2c3d4e5f60718"}}')
    (home / "version.txt").write_text("1.0.0\x1b[2J\u202e")
    run("gateway", "info", "--home", str(home))
    request = {"router": "a1b2:c3d4:e5f6:718", "station": HOSTILE[:-2], "model": "m\x1b[1A", "package": "\x9b"}
    members = {"cupsUri": "", "tcUri": "", "cupsCredCrc": 0, "tcCredCrc": 0, "keys": []}
    body = tmp_path / "body"
    body.write_text(json.dumps(request | members))
    run("cups", "decode-request", str(body))
    run("firmware", "inspect", str(body))


def test_an_explanation_of_a_hostile_gateway_is_escaped_in_text_and_in_html() -> None:
    world = World()
    gateway = world.gateway(name=HOSTILE)
    world.definition(name=HOSTILE, source=None)
    world.poll(gateway, GatewayVersion(HOSTILE, HOSTILE, OLD.model))
    explanation = world.service.explain(gateway.owner, gateway.id)
    assert hidden_in(str(explanation)) == set()
    assert hidden_in(explanation._repr_html_()) == set()
    assert len(str(explanation).splitlines()) == len(explanation.lines)


def test_a_panel_shows_hostile_text_without_control_characters() -> None:
    assert hidden_in(html(HOSTILE)) == set()
    assert html("<b>\u202e") == r"&lt;b&gt;\u202e"


def test_a_log_line_has_no_control_characters() -> None:
    record = logging.LogRecord("lorafw", logging.WARNING, "", 0, "gateway %s", (HOSTILE,), None)
    assert hidden_in(_VisibleFormatter("%(message)s").format(record)) == set()
