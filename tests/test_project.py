"""The files of the project: what the README promises, what a machine needs, and how fast the import is."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONDA_NAME = {"matplotlib": "matplotlib-base", "moto[s3]": "moto", "dask[distributed]": "dask"}


def requirements() -> set[str]:
    project = PYPROJECT["project"]
    listed = [
        *project["dependencies"],
        *project["optional-dependencies"]["lab"],
        *project["optional-dependencies"]["test"],
    ]
    return set(listed)


def test_environment_yml_mirrors_pyproject_one_for_one() -> None:
    text = (ROOT / "environment.yml").read_text()
    listed = set(re.findall(r"^ +- ([^\s#].*)$", text, re.MULTILINE)) - {
        "conda-forge",
        "pip",
        "pip:",
        "-e .",
        "python>=3.11",
    }
    wanted = set()
    for requirement in requirements():
        name, bounds = re.match(r"([\w.-]+(?:\[\w+\])?)(.*)", requirement).groups()
        wanted.add(CONDA_NAME.get(name, name) + bounds)
    assert listed == wanted
    assert f"python{PYPROJECT['project']['requires-python']}" in text


def test_every_requirement_is_pinned_in_constraints() -> None:
    pins = {
        line.split("==")[0].split("[")[0]
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    missing = {re.match(r"[\w.-]+", requirement)[0] for requirement in requirements()} - pins
    assert not missing


MODULE_OF = {
    "awscli": None,
    "axe-playwright-python": "axe_playwright_python",
    "boto3-stubs": "mypy_boto3",
    "cfn-lint": "cfnlint",
    "flask-cors": "flask_cors",
    "pytest-xdist": "xdist",
}
PROVIDED = {
    "botocore": "boto3",
    "yarl": "aiohttp",
    "distributed": "dask",
    "werkzeug": "flask",
    "IPython": "ipykernel",
    "nbformat": "jupyterlab",
    "jupyter_client": "jupyterlab",
    "jsonschema": "nbformat",
    "jupyter_core": "jupyterlab",
    "jupyter_server": "jupyterlab",
    "tornado": "jupyterlab",
    "pytest_socket": "pytest-socket",
    "requests": "moto",
    "urllib3": "boto3",
    "pygments": "sphinx",
    "traitlets": "ipywidgets",
    "yaml": "myst-nb",
    "markdown_it": "myst-nb",
    "_pytest": "pytest",
}
LOADS_A_PLUGIN = {"pytest"}
"""Programs that load a plugin of lorafw. They are always there when the plugin is."""


def imported_by(folder: str, *, for_types: bool = False) -> set[str]:
    """The top-level names that the modules under a folder import when they run, or for type checkers only."""
    names = set()
    for path in (ROOT / folder).rglob("*.py"):
        tree = ast.parse(path.read_text())
        blocks = [
            node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        ]
        typing_only = {id(node) for block in blocks for node in ast.walk(block)}
        for node in ast.walk(tree):
            if (id(node) in typing_only) != for_types:
                continue
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    own = {path.stem for path in ROOT.joinpath(folder).rglob("*")} | {"lorafw"}
    return names - set(sys.stdlib_module_names) - own


def declared(*extras: str) -> set[str | None]:
    project = PYPROJECT["project"]
    listed = [*project["dependencies"], *(name for extra in extras for name in project["optional-dependencies"][extra])]
    names = [re.match(r"[\w-]+", requirement)[0] for requirement in listed]
    return {MODULE_OF.get(name, name) for name in names}


@pytest.mark.parametrize(
    ("folder", "extras"), [("lorafw", ("lab",)), ("tests", ("test",)), ("notebooks", ("test",))], ids=str
)
def test_whatever_is_imported_is_a_declared_requirement(folder: str, extras: tuple[str, ...]) -> None:
    """What happens to be installed by hand here is not there on a new machine."""
    missing = {PROVIDED.get(name, name) for name in imported_by(folder)} - declared(*extras) - LOADS_A_PLUGIN
    assert not missing


def test_what_is_imported_for_types_only_is_a_requirement_of_the_tests() -> None:
    stubs = {name.replace("_", "-") for name in imported_by("lorafw", for_types=True) if name.startswith("mypy_")}
    assert stubs
    assert stubs <= declared("test")


def commands_of_the_readme() -> list[str]:
    screen = (ROOT / "README.md").read_text().split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)\n```", screen, re.DOTALL)


def test_the_first_screen_of_the_readme_has_two_commands_that_are_complete() -> None:
    run, test = commands_of_the_readme()
    for command in (run, test):
        assert re.match(r"python3 -m venv (--upgrade-deps )?\.venv && \.venv/bin/pip install ", command)
        assert "\n" not in command
    assert run.endswith("&& .venv/bin/lorafw lab")
    assert "pytest" in test


def test_ci_calls_exactly_the_test_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert script.rstrip().splitlines()[-1] == commands_of_the_readme()[1]


def test_importing_lorafw_loads_nothing_heavy() -> None:
    heavy = ["pandas", "matplotlib", "boto3", "moto", "ipywidgets", "aiohttp"]
    code = f"import lorafw, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_can_be_imported_and_is_listed() -> None:
    import lorafw

    assert set(lorafw.__all__) <= set(dir(lorafw))
    for name in lorafw.__all__:
        assert getattr(lorafw, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        lorafw.no_such_name  # noqa: B018


@pytest.mark.parametrize(
    "command", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]], ids=" ".join
)
def test_lint_and_types_are_clean(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_diagram_in_the_readme_is_the_table() -> None:
    from lorafw.tasks.lifecycle import to_mermaid

    assert f"```mermaid\n{to_mermaid()}\n```" in (ROOT / "README.md").read_text()


def test_the_page_on_the_measurements_names_every_file_beside_it() -> None:
    folder = ROOT / "tests" / "bench"
    named = set(re.findall(r"`(\w+\.py)", (folder / "README.md").read_text()))
    assert named == {path.name for path in folder.glob("*.py")}
