"""The lessons and the reference as a site.

    .venv/bin/python -m sphinx -W --keep-going -b html notebooks build/site

Nothing is executed and the network is not asked; a warning is an error. Notebooks are shown as they were committed, and
the tests prove that they are true. In a page ``<!-- made: decisions -->`` stands for what is made from the package while
the site is built, so that nothing is told twice.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, ClassVar

import click
import nbformat
from pygments.lexer import bygroups, inherit, using
from pygments.lexers import find_lexer_class_by_name
from pygments.lexers.shell import BashLexer
from pygments.token import Operator, Whitespace

from lorafw.cli import main
from lorafw.fleet.defaults import DEFAULTS
from lorafw.tasks.lifecycle import TRANSITIONS
from lorafw.tasks.policy import all_decisions

project = "lorafw"
author = "the authors of lorafw"
version = release = version_of("lorafw")
html_title = f"lorafw {release}"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["**.ipynb_checkpoints", "*-mine-*"]

nb_execution_mode = "off"
nb_merge_streams = True
# A widget needs a kernel; the page shows its picture, which stands beside it in the notebook.
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints = "description"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
python_use_unqualified_type_names = True
add_module_names = False

html_theme = "furo"
html_show_sourcelink = False
html_show_copyright = False
html_static_path = ["reference/site.css"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": True}


HERE = Path(__file__).parent


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; a bar in a cell is a bar."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


@dataclass(frozen=True)
class Lesson:
    """What its first cell says of a lesson."""

    page: str
    title: str
    minutes: int
    objectives: tuple[str, ...]

    @property
    def number(self) -> str:
        return self.page[:2]

    @property
    def link(self) -> str:
        """From a page beside it."""
        return f"[{self.title}]({self.page}.ipynb)"


def all_lessons() -> list[Lesson]:
    found = []
    for path in sorted(HERE.glob("[0-9][0-9]-*.ipynb")):
        first = nbformat.read(path, as_version=4).cells[0].source
        title = first.splitlines()[0].removeprefix("# ")
        minutes = int(re.findall(r"\*\*(\d+) minutes", first)[0])
        bullets = re.findall(r"^\* (.*(?:\n  .*)*)", first, re.MULTILINE)
        found.append(Lesson(path.stem, title, minutes, tuple(" ".join(bullet.split()) for bullet in bullets)))
    return found


def lessons() -> str:
    """The lessons with their minutes, and the same for the side bar."""
    rows = [(lesson.number, lesson.link, lesson.minutes) for lesson in all_lessons()]
    entries = [f"{lesson.number} {lesson.title} <{lesson.page}>" for lesson in all_lessons()]
    toctree = ["```{toctree}", ":caption: Lessons", ":hidden:", "", *entries, "```"]
    return "\n".join([table(("", "Lesson", "Minutes"), rows), "", *toctree])


def objectives() -> str:
    """Minutes of each lesson, and what one can do after it."""
    rows = [(lesson.number, lesson.link, lesson.minutes, " ".join(lesson.objectives)) for lesson in all_lessons()]
    total = ("", "all together", sum(lesson.minutes for lesson in all_lessons()), "")
    return table(("", "Lesson", "Minutes", "Afterwards one can"), [*rows, total])


def timetable(parts: str) -> str:
    """When each lesson begins: numbers of lessons, and pauses as ``pause:15``, with commas between them."""
    of = {lesson.number: (lesson.link, lesson.minutes) for lesson in all_lessons()}
    minute, rows = 0, []
    for part in parts.split(","):
        name, _, minutes = part.partition(":")
        what, length = (name, int(minutes)) if minutes else of[name]
        rows.append((f"{minute // 60}:{minute % 60:02}", "" if minutes else name, what, length))
        minute += length
    return table(("Begins at", "", "Lesson", "Minutes"), [*rows, (f"{minute // 60}:{minute % 60:02}", "", "end", "")])


def decisions() -> str:
    return table(
        ("Question", "Answer of lorafw", "Tag", "Reason"),
        (
            (
                d.question,
                f"`{d.name}` = {d.value}" if d.choices or isinstance(d.value, float) else d.value,
                f"*{d.tag}*",
                d.reason,
            )
            for d in all_decisions()
        ),
    )


def transitions() -> str:
    rows = ((f"`{status}`", event, f"`{after}`") for (status, event), after in TRANSITIONS.items())
    return table(("Status", "What happens", "Status after it"), rows)


def defaults() -> str:
    return table(("Quantity", "Default", "Source"), ((f"`{d.name}`", d.value, d.source) for d in DEFAULTS.values()))


def commands() -> str:
    """Every command with what its ``--help`` says."""
    return "\n\n".join(f"## {path}\n\n```text\n{text}\n```" for path, text in helps(main, "lorafw"))


def helps(command: click.Command, path: str) -> Iterator[tuple[str, str]]:
    context = click.Context(command, info_name=path, max_content_width=100, terminal_width=100)
    yield path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            part = command.get_command(context, name)
            assert part is not None
            yield from helps(part, f"{path} {name}")


def law(module: str) -> str:
    """The docstring with which a module opens."""
    return f"### {module}\n\n```{{eval-rst}}\n.. automodule:: lorafw.{module}\n   :no-members:\n```"


def public(module: str) -> str:
    """The public names of ``lorafw.fleet`` that a module defines, functions first."""
    package = importlib.import_module("lorafw.fleet")
    names = [name for name in package.__all__ if getattr(package, name).__module__ == f"lorafw.{module}"]
    if not names:
        raise ValueError(f"lorafw.{module} defines no public name of lorafw.fleet; correct the mark in the page")
    classes = [name for name in names if inspect.isclass(getattr(package, name))]
    functions = [name for name in names if name not in classes]
    lines = [f".. autofunction:: lorafw.fleet.{name}" for name in functions]
    lines += [f".. autoclass:: lorafw.fleet.{name}{fields_of(getattr(package, name))}" for name in classes]
    return "\n".join(("```{eval-rst}", *lines, "```"))


def fields_of(cls: type) -> str:
    """A signature without types for a dataclass of arrays, whose types say nothing; otherwise Sphinx finds it."""
    if not is_dataclass(cls) or not any(field.type == "Column" for field in fields(cls)):
        return ""
    return f"(*, {', '.join(field.name for field in fields(cls))})"


MADE = {
    "public": public,
    "lessons": lessons,
    "objectives": objectives,
    "timetable": timetable,
    "decisions": decisions,
    "transitions": transitions,
    "defaults": defaults,
    "commands": commands,
    "law": law,
}


MARK = re.compile(r"<!-- made: (\w+) ?(\S*) -->(?:\n\n\|(?:.*\|\n)+)?")


def make(_app: Any, _page: str, source: list[str]) -> None:
    source[0] = MARK.sub(lambda found: MADE[found[1]](*filter(None, [found[2]])) + "\n", source[0])


def with_tables(text: str) -> str:
    """A page with its tables made anew and their marks kept, for whoever reads it elsewhere than on the site."""
    return MARK.sub(
        lambda found: (
            f"<!-- made: {' '.join(filter(None, found.groups()))} -->\n\n"
            + MADE[found[1]](*filter(None, [found[2]]))
            + "\n"
        ),
        text,
    )


class LessonLexer(find_lexer_class_by_name("ipython3")):  # type: ignore[misc]  # found at run time
    """Python with commands: ``!aws ...`` goes on over lines that end in a backslash."""

    name, aliases = "Lesson", ("lesson",)
    tokens: ClassVar = {
        "root": [(r"^(\s*)(!)((?:.*\\\n)*.*)", bygroups(Whitespace, Operator, using(BashLexer))), inherit]
    }


def setup(app: Any) -> None:
    app.connect("source-read", make)
    app.add_lexer("python", LessonLexer)
