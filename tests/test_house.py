"""The house: imports go downwards only, modules stay small, and errors are all in one tree."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from house_table import CONTRIBUTING, house_table, table_in

import lorafw.errors

PACKAGE = Path(lorafw.errors.__file__).parent

LEVELS = {
    5: ("cli", "lab", "__main__"),
    4: (
        "testbed",
        "procedure",
        "world",
        "cloud",
        "staging",
        "environment",
        "lab_endpoint",
        "aws_cli",
        "isolation",
        "scratch",
    ),
    3: (
        "file_budget",
        "loopback",
        "cups.limits",
        "cups.listener",
        "cups.tally",
        "cups.tls",
        "cups.server",
        "cups.client",
        "cups.refusal",
        "cups.authority",
        "cups.identity",
        "cups.delivery",
        "cups.connections",
        "cups.client_tls",
        "cups.certificate_chain",
        "gateway.home",
        "gateway.storage",
        "gateway.runner",
        "gateway.virtual",
        "gateway.faults",
        "gateway.setup",
        "gateway.enrolment",
        "gateway.enrolment_journal",
        "gateway.enrolment_rollback",
        "firmware.source",
        "firmware.object_store",
        "firmware.spool",
        "firmware.flights",
        "fleet.io",
        "fleet.csv_table",
        "fleet.account",
        "iotwireless",
        "isolation.sessions",
    ),
    2: (
        "tasks",
        "fleet",
        "gateway.station",
        "gateway.station_conf",
        "gateway.signature",
        "gateway.intake",
        "gateway.judgement",
        "gateway.launch",
        "example",
    ),
    1: ("cups", "firmware", "gateway", "tasks.lifecycle"),
    0: ("admission", "atomic", "errors", "eui", "version", "clock", "fault", "lazy", "station_log", "text"),
}
OUTSIDE_ONLY_FROM = {
    "aiohttp": 3,
    "boto3": 3,
    "botocore": 3,
    "moto": 3,
    "socket": 3,
    "http": 3,
    "click": 5,
    "pandas": 2,
    "matplotlib": 5,
    "ipywidgets": 5,
}
MODULES = sorted(path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
NAMES = {f"lorafw.{'.'.join(part for part in path.parts if part != '__init__')}": path for path in MODULES}


def level_of(module: str) -> int:
    """The level of the longest name in LEVELS that ``module`` is or lies in."""
    names = {name: level for level, names in LEVELS.items() for name in names}
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        if ".".join(parts[:end]) in names:
            return names[".".join(parts[:end])]
    raise LookupError(f"{module} has no room in the house: give it one in LEVELS")


def dotted(path: Path) -> str:
    return ".".join(part for part in path.parts if part != "__init__")


def imports(path: Path, *, for_types: bool = False) -> set[str]:
    """What a module imports when it runs; with ``for_types`` names under TYPE_CHECKING, too."""
    tree = ast.parse((PACKAGE / path.with_suffix(".py")).read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if not for_types and isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {name if (name := f"{node.module}.{alias.name}") in NAMES else node.module for alias in node.names}
    return found


@pytest.mark.parametrize("path", [path for path in MODULES if dotted(path)], ids=dotted)
def test_a_module_imports_downwards_only(path: Path) -> None:
    level = level_of(dotted(path))
    for name in imports(path):
        if name.startswith("lorafw."):
            assert level_of(name.removeprefix("lorafw.")) <= level, f"{dotted(path)} reaches up to {name}"
        top = name.split(".")[0]
        assert OUTSIDE_ONLY_FROM.get(top, 0) <= level, f"{dotted(path)} at level {level} uses {top}"


def test_no_path_of_imports_comes_back_to_where_it_began() -> None:
    """Imports for types and imports inside functions included; a package's table of lazy names is not a path."""
    found = {name: imports(path, for_types=path.name != "__init__") & set(NAMES) for name, path in NAMES.items()}
    assert len(list(TopologicalSorter(found).static_order())) == len(NAMES) > 100


def test_the_table_in_contributing_is_the_one_that_holds() -> None:
    """``python tests/house_table.py`` writes it anew."""
    assert table_in(CONTRIBUTING.read_text()) == house_table(LEVELS)


def test_each_room_of_the_house_is_there() -> None:
    modules = [dotted(path) for path in MODULES]
    for rooms in LEVELS.values():
        for room in rooms:
            assert any(module == room or module.startswith(f"{room}.") for module in modules), f"there is no {room}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: dotted(path) or "lorafw")
def test_a_module_opens_with_its_law(path: Path) -> None:
    tree = ast.parse((PACKAGE / path.with_suffix(".py")).read_text())
    assert ast.get_docstring(tree), f"{path} has no docstring"


def test_every_error_is_drawn_in_the_tree() -> None:
    tree = lorafw.errors.__doc__ or ""
    errors = [name for name, value in vars(lorafw.errors).items() if isinstance(value, type)]
    assert errors
    for name in errors:
        if issubclass(getattr(lorafw.errors, name), Exception):
            assert name in tree
            assert issubclass(getattr(lorafw.errors, name), lorafw.errors.LorafwError)
