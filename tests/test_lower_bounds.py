"""Packages that read what comes from a network are at least as new as the versions that are tested."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READS_FROM_A_NETWORK = ("aiohttp", "cryptography", "flask", "flask-cors", "jupyterlab", "voila")


def declared_bounds() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    pairs = (re.match(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", line) for lines in lists for line in lines)
    return {pair[1]: pair[2] for pair in pairs if pair}


@pytest.mark.parametrize("package", READS_FROM_A_NETWORK)
def test_the_lowest_version_that_is_admitted_is_the_one_that_is_tested(package: str) -> None:
    pins = dict(re.findall(r"^([\w-]+)==([\d.]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert declared_bounds()[package] == pins[package]
