"""The layout of the package: imports go only to lower levels, modules have docstrings, errors form one tree."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from levels_table import CONTRIBUTING, levels_table, table_in

import lorafw.errors

PACKAGE = Path(lorafw.errors.__file__).parent

LEVELS = {
    5: ("cli", "lab", "pytest_plugin", "__main__"),
    4: ("doctor", "localaws", "rollout", "testbed"),
    3: ("failures", "server", "gateway", "iotwireless", "isolation", "sources", "fleet.io", "persistence"),
    2: ("station", "tasks", "fleet", "example"),
    1: ("cups", "firmware"),
    0: ("atomic", "clock", "errors", "eui", "fault", "faults", "scratch", "signals", "text", "version", "_lazy"),
}
SAME_LEVEL = {
    ("__main__", "cli"): "`python -m lorafw` runs the command",
    ("cli", "lab"): "the lab and simulate commands show what the lab draws",
    ("doctor", "localaws"): "the account to look at may be a running lab",
    ("fleet", "tasks"): "the simulator uses the transition table, the statuses and the causes of the service",
    ("gateway", "iotwireless"): "enrolment reads the name of the endpoint's service type",
    ("gateway", "server"): "a virtual gateway tells the in-process server which gateway it is",
    ("iotwireless", "server"): "IoT certificates decide which gateway may speak over TLS",
    ("iotwireless", "sources"): "the API reads update files through the caller's role",
    ("pytest_plugin", "lab"): "the fixture lorafw_server is the server process that the lessons use",
    ("rollout", "doctor"): "a plan is checked by the doctor before it is saved",
    ("rollout", "localaws"): "a plan for the lab reaches the lab that runs on this machine, and nothing else",
    ("testbed", "localaws"): "a testbed is a local AWS with gateways",
}
"""Imports between packages of one level, each with its reason. They must not form a cycle."""

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
    "anywidget": 5,
    "ipywidgets": 5,
}
MODULES = sorted(path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
NAMES = {f"lorafw.{'.'.join(part for part in path.parts if part != '__init__')}": path for path in MODULES}


def package_of(module: str) -> str:
    """Return the longest name in LEVELS that is ``module`` or contains it."""
    packages = {name for names in LEVELS.values() for name in names}
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        if ".".join(parts[:end]) in packages:
            return ".".join(parts[:end])
    raise LookupError(f"{module} has no level: give its package one in LEVELS")


def level_of(module: str) -> int:
    """Return the level of the package that contains a module."""
    package = package_of(module)
    return next(level for level, names in LEVELS.items() if package in names)


def dotted(path: Path) -> str:
    return ".".join(part for part in path.parts if part != "__init__")


def imports(path: Path, *, for_types: bool = False) -> set[str]:
    """Return what a module imports when it runs and, with ``for_types``, what it imports for type checkers."""
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


def package_imports() -> dict[str, set[str]]:
    """Return for each package the other packages that its modules import."""
    found: dict[str, set[str]] = {}
    for path in MODULES:
        if not dotted(path):
            continue
        package = package_of(dotted(path))
        others = {package_of(name.removeprefix("lorafw.")) for name in imports(path) if name.startswith("lorafw.")}
        found.setdefault(package, set()).update(others - {package})
    return found


@pytest.mark.parametrize("path", [path for path in MODULES if dotted(path)], ids=dotted)
def test_a_module_imports_only_from_its_own_level_or_below(path: Path) -> None:
    level = level_of(dotted(path))
    for name in imports(path):
        if name.startswith("lorafw."):
            assert level_of(name.removeprefix("lorafw.")) <= level, f"{dotted(path)} imports {name} from a higher level"
        top = name.split(".")[0]
        assert OUTSIDE_ONLY_FROM.get(top, 0) <= level, f"{dotted(path)} at level {level} uses {top}"


def test_imports_between_packages_of_one_level_are_listed_with_a_reason_and_form_no_cycle() -> None:
    found = package_imports()
    level_0 = set(LEVELS[0])
    same_level = {
        (package, other)
        for package, others in found.items()
        for other in others
        if level_of(package) == level_of(other) and package not in level_0
    }
    assert same_level == set(SAME_LEVEL)
    assert list(TopologicalSorter(found).static_order())


def test_no_chain_of_imports_returns_to_the_module_where_it_started() -> None:
    """Imports for types and imports inside functions are included. A package's table of lazy names is not an import."""
    found = {name: imports(path, for_types=path.name != "__init__") & set(NAMES) for name, path in NAMES.items()}
    assert len(list(TopologicalSorter(found).static_order())) == len(NAMES) > 100


@pytest.mark.parametrize("path", MODULES, ids=lambda path: dotted(path) or "lorafw")
def test_a_module_opens_with_a_docstring(path: Path) -> None:
    tree = ast.parse((PACKAGE / path.with_suffix(".py")).read_text())
    assert ast.get_docstring(tree), f"{path} has no docstring"


def conditional_arguments(source: str) -> set[int]:
    """Return the lines of conditional expressions that are in the argument of a call."""
    lines = set()
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call):
            for argument in (*call.args, *(keyword.value for keyword in call.keywords)):
                lines |= {node.lineno for node in ast.walk(argument) if isinstance(node, ast.IfExp)}
    return lines


def test_no_argument_of_a_call_has_a_conditional_expression() -> None:
    """A reader should meet one decision in each statement. Give the value a name before the call."""
    sources = {path: (PACKAGE / path.with_suffix(".py")).read_text() for path in MODULES}
    found = {str(path): sorted(lines) for path, source in sources.items() if (lines := conditional_arguments(source))}
    assert not found, "assign the value to a name first"


def test_a_conditional_expression_in_an_argument_is_found() -> None:
    assert conditional_arguments("x = 1 if a else 2\nf(x)\n") == set()
    assert conditional_arguments("f(1 if a else 2)\nf(*[b if a else c])\nf(k=(b if a else c))\n") == {1, 2, 3}


def test_the_table_in_contributing_shows_the_levels() -> None:
    """``python tests/levels_table.py`` writes it."""
    assert table_in(CONTRIBUTING.read_text()) == levels_table(LEVELS)


def test_every_error_is_drawn_in_the_tree() -> None:
    tree = lorafw.errors.__doc__ or ""
    errors = [name for name, value in vars(lorafw.errors).items() if isinstance(value, type)]
    assert errors
    for name in errors:
        if issubclass(getattr(lorafw.errors, name), Exception):
            assert name in tree
            assert issubclass(getattr(lorafw.errors, name), lorafw.errors.LorafwError)
