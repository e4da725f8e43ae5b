"""The learner's working copy of the lessons.

The law: nothing that a learner wrote is lost. A lesson that was not touched since it was delivered follows the
installed version; one that was touched stays as it is, and ``reset`` moves it into a folder of its own, kept-1, kept-2
and so on, before a fresh one takes its place.
Opening and saving is not touching.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any, Final

from lorafw.atomic import write_atomic
from lorafw.errors import LabError
from lorafw.lab.panels.html import is_panel_html

PATTERN: Final = "[0-9][0-9]-*.ipynb"
FOLDER: Final = "lorafw-lessons"
STATE: Final = ".lab"
"""The folder in a working copy in which the lab and JupyterLab keep what is theirs."""


def packaged_lessons() -> list[Path]:
    """The lessons as they were written: in the package, or beside it in an editable installation. Raises LabError."""
    package = Path(__file__).parent
    for folder in (package / "notebooks", package.parent.parent / "notebooks"):
        if lessons := sorted(folder.glob(PATTERN)):
            return lessons
    raise LabError(f"no lessons are beside {package}: install lorafw from a wheel or from its repository")


def default_folder() -> Path:
    return Path.home() / FOLDER


@dataclass(frozen=True, slots=True)
class Kept:
    """A changed lesson, and the folder in the working copy in which it is now."""

    lesson: str
    folder: str


class WorkingCopy:
    """A folder with the lessons in it, at most one for each learner."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def state(self) -> Path:
        """Readable by its owner only: JupyterLab's token lies in it."""
        folder = self.path / STATE
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    @property
    def first(self) -> str:
        return packaged_lessons()[0].name

    def bring_up_to_date(self) -> list[str]:
        """Deliver what is missing or was not touched; gives the names of the lessons that are new or newer."""
        delivered, newer = self._delivered(), []
        for lesson in packaged_lessons():
            content, mine = strip_outputs(lesson.read_bytes()), self.path / lesson.name
            if not mine.exists() or (_digest(mine) == delivered.get(lesson.name) and mine.read_bytes() != content):
                self._deliver(lesson.name, content, delivered)
                newer.append(lesson.name)
        self._save_digests(delivered)
        return newer

    def reset(self) -> list[Kept]:
        """Fresh lessons; those that were changed are kept together in a new folder."""
        delivered = self._delivered()
        fresh_ones = {lesson.name: strip_outputs(lesson.read_bytes()) for lesson in packaged_lessons()}
        changed = [name for name, content in fresh_ones.items() if self._is_changed(name, content, delivered)]
        kept = self._move_to_kept_folder(changed) if changed else []
        for name, content in fresh_ones.items():
            self._deliver(name, content, delivered)
        self._save_digests(delivered)
        return kept

    def _is_changed(self, name: str, content: bytes, delivered: dict[str, str]) -> bool:
        mine = self.path / name
        return mine.exists() and _digest(mine) not in (digest(content), delivered.get(name))

    def _move_to_kept_folder(self, names: list[str]) -> list[Kept]:
        folder = next(
            folder for number in count(1) if not (folder := self.path / f"kept-{number}").exists()
        )  # never over what is there
        folder.mkdir()
        for name in names:
            (self.path / name).rename(folder / name)
        return [Kept(name, folder.name) for name in names]

    def _deliver(self, name: str, content: bytes, delivered: dict[str, str]) -> None:
        write_atomic(self.path / name, content)
        delivered[name] = digest(content)

    def unchanged(self) -> list[Path]:
        """The lessons that are byte for byte as the installed version delivers them."""
        mine = [(self.path / lesson.name, strip_outputs(lesson.read_bytes())) for lesson in packaged_lessons()]
        return [path for path, content in mine if path.exists() and path.read_bytes() == content]

    def _delivered(self) -> dict[str, str]:
        """Digests of the lessons as they were delivered. What cannot be read counts as not known."""
        try:
            known = json.loads((self.state / "delivered.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _save_digests(self, delivered: dict[str, str]) -> None:
        write_atomic(self.state / "delivered.json", json.dumps(delivered, indent=1).encode())


def _digest(path: Path) -> str:
    return digest(path.read_bytes())


_VOLATILE_METADATA: Final = ("kernelspec", "language_info", "widgets")
"""Metadata of a notebook that JupyterLab writes whenever it saves."""


def strip_outputs(lesson: bytes) -> bytes:
    """The lesson, not run yet. What is no notebook stays as it is."""
    notebook = _read(lesson)
    if notebook is None:
        return lesson
    notebook["metadata"] |= _kernel()
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["execution_count"] = None
            cell["outputs"] = [{**one, "execution_count": None} for one in cell["outputs"] if _is_static_view(one)]
    return _serialize(notebook)


def digest(lesson: bytes) -> str:
    """Equal for lessons between which the learner has changed nothing, saved or not."""
    notebook = _read(lesson)
    if notebook is None:
        return sha256(lesson).hexdigest()
    for name in _VOLATILE_METADATA:
        notebook["metadata"].pop(name, None)
    return sha256(_serialize(notebook)).hexdigest()


def _is_static_view(output: dict[str, Any]) -> bool:
    return output["output_type"] == "execute_result" and is_panel_html("".join(output["data"].get("text/html", "")))


def _kernel() -> dict[str, Any]:
    """The metadata that JupyterLab gives a notebook as soon as the kernel of this Python has answered."""
    try:
        from ipykernel.ipkernel import IPythonKernel  # noqa: PLC0415 -- only the lab has it
    except ImportError:
        return {}
    spec = {"name": "python3", "display_name": f"Python {sys.version_info.major} (ipykernel)", "language": "python"}
    return {"kernelspec": spec, "language_info": IPythonKernel.language_info}


def _read(content: bytes) -> dict[str, Any] | None:
    try:
        notebook = json.loads(content)
        return notebook if notebook["metadata"] is not None and isinstance(notebook["cells"], list) else None
    except (ValueError, TypeError, KeyError):
        return None


def _serialize(notebook: dict[str, Any]) -> bytes:
    """As JupyterLab writes it."""
    return (json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()
