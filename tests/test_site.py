"""The website is built without a network and without a warning, and loads nothing from other servers."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest

import lorafw
import lorafw.fleet
import lorafw.lab
import lorafw.rollout

ROOT = Path(__file__).parent.parent
LESSONS = sorted((ROOT / "notebooks").glob("[0-9][0-9]-*.ipynb"))

WITHOUT_A_NETWORK = """
import socket, sys
from sphinx.cmd.build import main

def refuse(_socket, address):
    raise OSError(f"the site asked the network for {address}")

socket.socket.connect = refuse
sys.exit(main(sys.argv[1:]))
"""


def documented_command() -> list[str]:
    """The words of the command in CONTRIBUTING.md."""
    found = re.findall(r"^\.venv/bin/python -m sphinx .*$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert len(found) == 1
    return shlex.split(found[0])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as documented, but into a temporary folder and with no socket that connects."""
    _python, _m, _sphinx, *options, source, target = documented_command()
    assert "-W" in options
    assert target == "build/site"
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_A_NETWORK, *options, "-q", source, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder


class Loaded(HTMLParser):
    """What a page loads when it is opened, and the pictures that have no words."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.links: list[str] = []
        self.silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a":
            self.links.append(given.get("href") or "")
        elif tag == "link":
            self.addresses.append(given.get("href") or "")
        else:
            self.addresses.append(given.get("src") or "")
        if tag == "img" and not given.get("alt"):
            self.silent.append(self.get_starttag_text() or "")


def pages(site: Path) -> dict[str, Loaded]:
    result = {}
    for path in sorted(site.rglob("*.html")):
        result[str(path.relative_to(site))] = parser = Loaded()
        parser.feed(path.read_text())
    return result


def test_conf_names_the_documented_command() -> None:
    assert " ".join(documented_command()) in (ROOT / "notebooks" / "conf.py").read_text()


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    for name, page in pages(site).items():
        assert page.addresses, name
        assert not [address for address in page.addresses if re.match(r"(?:\w+:)?//", address)], name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import )['\"]?(?:https?:)?//", sheet.read_text()), sheet


def test_every_link_within_the_site_leads_to_a_page(site: Path) -> None:
    for name, page in pages(site).items():
        for link in page.links:
            path = link.partition("#")[0]
            if path and not re.match(r"\w+:", path):
                assert ((site / name).parent / path).resolve().is_file(), f"{name} links to {link}"


def test_every_picture_has_a_text_alternative(site: Path) -> None:
    for name, page in pages(site).items():
        assert not page.silent, name


def test_every_lesson_has_a_page_with_its_outputs(site: Path) -> None:
    front = (site / "index.html").read_text()
    assert LESSONS
    for path in LESSONS:
        assert f'href="{path.stem}.html"' in front
        has_code = any(cell.cell_type == "code" for cell in nbformat.read(path, as_version=4).cells)
        has_outputs = 'class="cell_output docutils container"' in (site / f"{path.stem}.html").read_text()
        assert has_outputs == has_code


MODULES = (lorafw, lorafw.fleet, lorafw.lab, lorafw.rollout)


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    """Once: what is public in two modules is described in one of them."""
    _, _, _, _, packed = (site / "objects.inv").read_bytes().split(b"\n", 4)
    described = {line.split(" ")[0] for line in zlib.decompress(packed).decode().splitlines()}
    for module in MODULES:
        for name in module.__all__:
            value = getattr(module, name)
            places = {f"{home.__name__}.{name}" for home in MODULES if getattr(home, name, None) is value}
            assert places & described, f"{module.__name__}.{name} needs a line in notebooks/reference/"


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("decisions", ["silence_timeout_s", "SECOND_RETRY", "CUPS_OKSYNC_INTV", "documented"]),
        ("commands", ["lorafw serve", "Usage: lorafw demo", "--seed"]),
        ("../trainers", ["Half a day", "0:25", "Afterwards you can"]),
        ("design", ["sigLen counts the CRC", "IllegalTransition"]),
    ],
)
def test_a_page_contains_the_text_that_is_generated_for_it(site: Path, page: str, words: list[str]) -> None:
    text = re.sub(r"<[^>]+>", "", (site / "reference" / f"{page}.html").read_text())
    assert "<!-- generated" not in text
    for word in words:
        assert word in text


def test_the_tables_on_the_trainers_page_are_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("conf", ROOT / "notebooks" / "conf.py")
    assert spec is not None
    assert spec.loader is not None
    conf = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = conf  # its dataclass looks for it there
    spec.loader.exec_module(conf)
    text = (ROOT / "notebooks" / "trainers.md").read_text()
    assert text.count("| Begins at |") == 3
    assert conf.with_tables(text) == text, "run: python notebooks/execute.py"


def test_the_shorter_workshops_take_no_longer_than_their_titles_say(site: Path) -> None:
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", (site / "trainers.html").read_text()))
    ends = [int(hours) * 60 + int(minutes) for hours, minutes in re.findall(r"(\d):(\d\d) end", text)]
    two_hours, half_a_day, full_day = ends
    assert two_hours <= 2 * 60
    assert half_a_day <= 4 * 60
    assert full_day <= 8 * 60
