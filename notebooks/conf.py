"""The Sphinx configuration of the site, which contains the lessons and the reference.

    .venv/bin/python -m sphinx -W --keep-going -b html notebooks build/site

The build executes no notebook, uses no network, and treats each warning as an error. It shows the notebooks with the
outputs that are committed, and the tests check that these outputs are right.

Parts of the pages are generated from the package while the site is built, so that no fact is written twice. A page has
a mark for each such part, for example ``<!-- generated: decisions -->``.
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
from lorafw.lab import diagrams
from lorafw.tasks.lifecycle import TRANSITIONS
from lorafw.tasks.decision import BehaviourDecision
from lorafw.tasks.policy import all_decisions

project = "lorafw"
author = "the authors of lorafw"
version = release = version_of("lorafw")
html_title = f"lorafw {release}"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["**.ipynb_checkpoints", "*-mine-*"]

nb_execution_mode = "off"
nb_merge_streams = True
# A widget needs a kernel. The notebook also contains a picture of it, and the page shows that.
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
html_static_path = ["reference/site.css", "../lorafw/lab/panels/frontend/panel.css"]
html_css_files = ["site.css", "panel.css"]
html_theme_options = {"navigation_with_keys": True}


HERE = Path(__file__).parent


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table. Bars in cells are escaped."""
    return "\n".join(table_row(cells) for cells in [header, ["---"] * len(header), *rows])


def table_row(cells: Sequence[object]) -> str:
    """Return one line of a Markdown table."""
    escaped = [str(cell).replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


@dataclass(frozen=True)
class Lesson:
    """A lesson, as described in its first cell."""

    page: str
    """The file name without its suffix."""
    title: str
    minutes: int
    """The minutes that the first cell states. 0 if it states none."""
    objectives: tuple[str, ...]

    @property
    def number(self) -> str:
        """The two digits at the beginning of the file name."""
        return self.page[:2]

    @property
    def link(self) -> str:
        """A Markdown link to the lesson, relative to the folder of the lessons."""
        return f"[{self.title}]({self.page}.ipynb)"


COMPANIONS = ("12", "13", "14", "15")
"""The numbers of the notebooks that are no lessons: the ten questions, the capstone and the appendices."""


def all_notebooks() -> list[Lesson]:
    """Read the first cell of every notebook and return the notebooks in order."""
    return [read_lesson(path) for path in sorted(HERE.glob("[0-9][0-9]-*.ipynb"))]


def all_lessons() -> list[Lesson]:
    """Return the lessons in order."""
    return [notebook for notebook in all_notebooks() if notebook.number not in COMPANIONS]


def all_companions() -> list[Lesson]:
    """Return the notebooks that are no lessons, in order."""
    return [notebook for notebook in all_notebooks() if notebook.number in COMPANIONS]


def read_lesson(path: Path) -> Lesson:
    """Read the title, the minutes and the objectives from the first cell of a lesson."""
    first_cell = nbformat.read(path, as_version=4).cells[0].source
    title = first_cell.splitlines()[0].removeprefix("# ")
    stated = re.search(r"\*\*(\d+) minutes", first_cell)
    minutes = int(stated[1]) if stated else 0
    bullets = re.findall(r"^\* (.*(?:\n  .*)*)", first_cell, re.MULTILINE)
    objectives = tuple(" ".join(bullet.split()) for bullet in bullets)
    return Lesson(path.stem, title, minutes, objectives)


def lessons() -> str:
    """Return the table of lessons with their minutes, and a hidden table of contents for the side bar."""
    rows = [(lesson.number, lesson.link, lesson.minutes) for lesson in all_lessons()]
    rows += [(companion.number, companion.link, companion.minutes or "") for companion in all_companions()]
    entries = [f"{each.number} {each.title} <{each.page}>" for each in [*all_lessons(), *all_companions()]]
    toctree = ["```{toctree}", ":caption: Lessons", ":hidden:", "", *entries, "```"]
    return "\n".join([table(("", "Lesson", "Minutes"), rows), "", *toctree])


def objectives() -> str:
    """Return a table of the lessons with their minutes and objectives."""
    rows = [(lesson.number, lesson.link, lesson.minutes, " ".join(lesson.objectives)) for lesson in all_lessons()]
    total = ("", "total", sum(lesson.minutes for lesson in all_lessons()), "")
    return table(("", "Lesson", "Minutes", "Afterwards you can"), [*rows, total])


def timetable(entries: str) -> str:
    """Return a table of the times at which the lessons begin.

    Args:
        entries: Numbers of lessons and breaks in order, separated by commas: ``00,01,break:15,02``.
    """
    lesson_by_number = {lesson.number: lesson for lesson in all_notebooks()}
    minute = 0
    rows = []
    for entry in entries.split(","):
        name, _, break_minutes = entry.partition(":")
        if break_minutes:
            number, title, duration = "", name, int(break_minutes)
        else:
            lesson = lesson_by_number[name]
            number, title, duration = name, lesson.link, lesson.minutes
        rows.append((clock_time(minute), number, title, duration))
        minute += duration
    end = (clock_time(minute), "", "end", "")
    return table(("Begins at", "", "Lesson", "Minutes"), [*rows, end])


def clock_time(minute: int) -> str:
    """Return minutes as hours and minutes, for example ``1:05``."""
    return f"{minute // 60}:{minute % 60:02}"


def decisions() -> str:
    """Return a table of lorafw's decisions about the behaviour of AWS."""
    rows = [(d.question, decision_answer(d), f"*{d.tag}*", d.reason) for d in all_decisions()]
    return table(("Question", "Answer of lorafw", "Tag", "Reason"), rows)


def decision_answer(decision: BehaviourDecision) -> str:
    """Return the answer to a decision's question, with the name of the policy setting if it can be changed."""
    if decision.choices or isinstance(decision.value, float):
        return f"`{decision.name}` = {decision.value}"
    return str(decision.value)


def transitions() -> str:
    """Return a table of the transitions between the statuses of a task."""
    rows = [(f"`{status}`", event, f"`{next_status}`") for (status, event), next_status in TRANSITIONS.items()]
    return table(("Status", "Event", "Next status"), rows)


def defaults() -> str:
    """Return a table of the simulator's defaults with their sources."""
    rows = [(f"`{default.name}`", default.value, default.source) for default in DEFAULTS.values()]
    return table(("Quantity", "Default", "Source"), rows)


def commands() -> str:
    """Return a section for each command, with the text that its ``--help`` prints."""
    sections = [f"## {path}\n\n```text\n{text}\n```" for path, text in help_texts(main, "lorafw")]
    return "\n\n".join(sections)


def help_texts(command: click.Command, path: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the help text of a command and of all its subcommands."""
    context = click.Context(command, info_name=path, max_content_width=100, terminal_width=100)
    yield path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            subcommand = command.get_command(context, name)
            assert subcommand is not None
            yield from help_texts(subcommand, f"{path} {name}")


def module(name: str) -> str:
    """Return a section with the docstring of a module of lorafw."""
    return f"### {name}\n\n```{{eval-rst}}\n.. automodule:: lorafw.{name}\n   :no-members:\n```"


def public(module_name: str) -> str:
    """Return the public names of ``lorafw.fleet`` that a module defines, functions first.

    Raises:
        ValueError: The module defines none of them, so the mark in the page is out of date.
    """
    package = importlib.import_module("lorafw.fleet")
    names = [name for name in package.__all__ if getattr(package, name).__module__ == f"lorafw.{module_name}"]
    if not names:
        raise ValueError(f"lorafw.{module_name} defines no public name of lorafw.fleet; correct the mark in the page")
    classes = [name for name in names if inspect.isclass(getattr(package, name))]
    functions = [name for name in names if name not in classes]
    lines = [f".. autofunction:: lorafw.fleet.{name}" for name in functions]
    lines += [f".. autoclass:: lorafw.fleet.{name}{column_signature(getattr(package, name))}" for name in classes]
    return "\n".join(("```{eval-rst}", *lines, "```"))


def column_signature(cls: type) -> str:
    """Return a signature without types for a dataclass of arrays, whose types tell the reader nothing.

    For any other class, return an empty string, and Sphinx finds the signature itself.
    """
    if not is_dataclass(cls):
        return ""
    names = [field.name for field in fields(cls)]
    if not any(field.type == "Column" for field in fields(cls)):
        return ""
    return f"(*, {', '.join(names)})"


def diagram(name: str) -> str:
    """Return a diagram of the lab as an image."""
    image: str = getattr(diagrams, name)().to_html()
    return image


GENERATORS = {
    "diagram": diagram,
    "public": public,
    "lessons": lessons,
    "objectives": objectives,
    "timetable": timetable,
    "decisions": decisions,
    "transitions": transitions,
    "defaults": defaults,
    "commands": commands,
    "module": module,
}
"""The functions that generate parts of pages, by the name that their marks use."""

# A mark, its argument if there is one, and the table that an earlier run has written below it.
MARK = re.compile(r"<!-- generated: (\w+) ?(\S*) -->(?:\n\n\|(?:.*\|\n)+)?")


def generated_text(mark: re.Match[str]) -> str:
    """Return the text that belongs in the place of a mark."""
    name, argument = mark.groups()
    if argument:
        return GENERATORS[name](argument) + "\n"
    return GENERATORS[name]() + "\n"


def replace_marks(_app: Any, _page: str, source: list[str]) -> None:
    """Replace the marks in a page by generated text. Sphinx calls this function, which changes ``source``."""
    source[0] = MARK.sub(generated_text, source[0])


def with_tables(text: str) -> str:
    """Return a page with fresh tables below its marks, for people who read the page outside the site."""
    return MARK.sub(mark_with_text, text)


def mark_with_text(mark: re.Match[str]) -> str:
    """Return a mark followed by its generated text."""
    words = [word for word in mark.groups() if word]
    return f"<!-- generated: {' '.join(words)} -->\n\n{generated_text(mark)}"


class LessonLexer(find_lexer_class_by_name("ipython3")):  # type: ignore[misc]  # the class is found at run time
    """A lexer for Python with shell commands: a command such as ``!aws ...`` may continue after a backslash."""

    name, aliases = "Lesson", ("lesson",)
    tokens: ClassVar = {
        "root": [(r"^(\s*)(!)((?:.*\\\n)*.*)", bygroups(Whitespace, Operator, using(BashLexer))), inherit]
    }


def setup(app: Any) -> None:
    """Register the lexer and the replacement of marks. Sphinx calls this function."""
    app.connect("source-read", replace_marks)
    app.add_lexer("python", LessonLexer)
