"""The learner's working copy of the lessons.

Nothing that a learner wrote is lost. A lesson that the learner has not changed is replaced by the one of a newer
version; a changed one stays as it is. ``reset`` moves changed lessons into a new folder, ``kept-1``, ``kept-2`` and so
on, before it writes fresh ones. Opening and saving a lesson does not count as a change.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from lorafw.atomic import write_atomic
from lorafw.errors import LabError
from lorafw.lab.panels.html import is_panel_html

PATTERN: Final = "[0-9][0-9]-*.ipynb"
FOLDER: Final = "lorafw-lessons"
STATE: Final = ".lab"
"""The folder in a working copy that holds the files of the lab and of JupyterLab."""
_DIGESTS: Final = "delivered.json"


def packaged_lessons() -> list[Path]:
    """Return the paths of the lessons that lorafw was installed with, in order.

    They are in the package, or beside it in an editable installation.

    Raises:
        LabError: There are none.
    """
    package = Path(__file__).parent
    for folder in (package / "notebooks", package.parent.parent / "notebooks"):
        lessons = sorted(folder.glob(PATTERN))
        if lessons:
            return lessons
    raise LabError(f"no lessons are beside {package}: install lorafw from a wheel or from its repository")


def default_folder() -> Path:
    """Return the folder of the working copy if the learner names none."""
    return Path.home() / FOLDER


@dataclass(frozen=True, slots=True)
class KeptLesson:
    """A changed lesson that ``reset`` has moved."""

    lesson: str
    """Filename of the lesson."""
    folder: str
    """Name of the folder in the working copy that holds the lesson now."""


class WorkingCopy:
    """A folder with a learner's copies of the lessons."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def ensure_state_folder(self) -> Path:
        """Create the folder for the files of the lab if it does not exist, and return its path.

        Only its owner can read it, because JupyterLab's token is in it.
        """
        folder = self.path / STATE
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    @property
    def first(self) -> str:
        """Filename of the first lesson."""
        return packaged_lessons()[0].name

    def update(self) -> list[str]:
        """Write the lessons that are missing, and those that are outdated and that the learner has not changed.

        Returns:
            The filenames of the lessons that were written.
        """
        digests = self._read_digests()
        updated = []
        for lesson in packaged_lessons():
            content = strip_outputs(lesson.read_bytes())
            if self._is_missing_or_outdated(lesson.name, content, digests):
                self._write_lesson(lesson.name, content, digests)
                updated.append(lesson.name)
        self._save_digests(digests)
        return updated

    def reset(self) -> list[KeptLesson]:
        """Write all lessons anew. Move the changed ones into a new folder before.

        Returns:
            The lessons that were moved. All are in the same folder.
        """
        digests = self._read_digests()
        fresh_lessons = {lesson.name: strip_outputs(lesson.read_bytes()) for lesson in packaged_lessons()}
        changed = [name for name, content in fresh_lessons.items() if self._is_changed(name, content, digests)]
        kept: list[KeptLesson] = []
        if changed:
            kept = self._move_to_kept_folder(changed)
        for name, content in fresh_lessons.items():
            self._write_lesson(name, content, digests)
        self._save_digests(digests)
        return kept

    def unchanged(self) -> list[Path]:
        """Return the paths of the copies that are byte for byte the lessons of the installed version."""
        unchanged = []
        for lesson in packaged_lessons():
            local_path = self.path / lesson.name
            if local_path.exists() and local_path.read_bytes() == strip_outputs(lesson.read_bytes()):
                unchanged.append(local_path)
        return unchanged

    def _is_missing_or_outdated(self, name: str, content: bytes, digests: dict[str, str]) -> bool:
        """Return whether the lesson must be written. One that the learner has changed is never outdated."""
        local_path = self.path / name
        if not local_path.exists():
            return True
        if _file_digest(local_path) != digests.get(name):
            return False
        return local_path.read_bytes() != content

    def _is_changed(self, name: str, content: bytes, digests: dict[str, str]) -> bool:
        """Return whether the copy differs from the installed lesson and from the one that was written last."""
        local_path = self.path / name
        if not local_path.exists():
            return False
        return _file_digest(local_path) not in (digest(content), digests.get(name))

    def _move_to_kept_folder(self, names: list[str]) -> list[KeptLesson]:
        """Move changed lessons to a new folder, so that new ones can take their names."""
        folder = self._next_kept_folder()
        folder.mkdir()
        for name in names:
            (self.path / name).rename(folder / name)
        return [KeptLesson(name, folder.name) for name in names]

    def _next_kept_folder(self) -> Path:
        """Return the first of ``kept-1``, ``kept-2`` and so on that does not exist."""
        number = 1
        while (self.path / f"kept-{number}").exists():
            number += 1
        return self.path / f"kept-{number}"

    def _write_lesson(self, name: str, content: bytes, digests: dict[str, str]) -> None:
        """Write a lesson, and note its digest in ``digests``."""
        write_atomic(self.path / name, content)
        digests[name] = digest(content)

    def _read_digests(self) -> dict[str, str]:
        """Return the digest of each lesson as it was written last; empty if the file cannot be read."""
        try:
            digests = json.loads((self.ensure_state_folder() / _DIGESTS).read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return digests if isinstance(digests, dict) else {}

    def _save_digests(self, digests: dict[str, str]) -> None:
        """Save the digest of each lesson as it was written last."""
        write_atomic(self.ensure_state_folder() / _DIGESTS, json.dumps(digests, indent=1).encode())


def _file_digest(path: Path) -> str:
    """Return the digest of a file. See ``digest``."""
    return digest(path.read_bytes())


_VOLATILE_METADATA: Final = ("kernelspec", "language_info", "widgets")
"""Metadata of a notebook that JupyterLab writes whenever it saves."""


def strip_outputs(lesson: bytes) -> bytes:
    """Return the lesson without its outputs, except for the static views of panels.

    Args:
        lesson: The content of a notebook file. Returned as it is if it is not a notebook.
    """
    notebook = _parse_notebook(lesson)
    if notebook is None:
        return lesson
    notebook["metadata"] |= _kernel_metadata()
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["execution_count"] = None
            static_views = [output for output in cell["outputs"] if _is_static_view(output)]
            cell["outputs"] = [{**output, "execution_count": None} for output in static_views]
    return _serialize(notebook)


def digest(lesson: bytes) -> str:
    """Return a digest that changes only if the learner changes the lesson, not if JupyterLab saves it.

    Args:
        lesson: The content of a notebook file, or any other bytes.
    """
    notebook = _parse_notebook(lesson)
    if notebook is None:
        return sha256(lesson).hexdigest()
    for name in _VOLATILE_METADATA:
        notebook["metadata"].pop(name, None)
    return sha256(_serialize(notebook)).hexdigest()


def _is_static_view(output: dict[str, Any]) -> bool:
    """Return whether an output is what a panel shows of itself on a static page."""
    if output["output_type"] != "execute_result":
        return False
    return is_panel_html("".join(output["data"].get("text/html", "")))


def _kernel_metadata() -> dict[str, Any]:
    """Return the metadata that JupyterLab writes into a notebook as soon as this Python's kernel has answered."""
    try:
        from ipykernel.ipkernel import IPythonKernel  # noqa: PLC0415 -- only the lab has it
    except ImportError:
        return {}
    spec = {"name": "python3", "display_name": f"Python {sys.version_info.major} (ipykernel)", "language": "python"}
    return {"kernelspec": spec, "language_info": IPythonKernel.language_info}


def _parse_notebook(content: bytes) -> dict[str, Any] | None:
    """Return the notebook. Returns None if the content is not one."""
    try:
        notebook = json.loads(content)
        has_metadata = notebook["metadata"] is not None
        has_cells = isinstance(notebook["cells"], list)
    except (ValueError, TypeError, KeyError):
        return None
    return notebook if has_metadata and has_cells else None


def _serialize(notebook: dict[str, Any]) -> bytes:
    """Return the bytes that JupyterLab writes for this notebook."""
    return (json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()
