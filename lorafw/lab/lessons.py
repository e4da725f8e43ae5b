"""The learner's working copy of the lessons.

Nothing that a learner wrote is lost. A lesson that the learner has not changed is replaced by the one of a newer
version; a changed one stays as it is. ``reset`` moves changed lessons into a new folder, ``kept-1``, ``kept-2`` and so
on, before it writes fresh ones. Opening and saving a lesson does not count as a change.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
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
        """Name the folder. It is created when something is written into it.

        Args:
            path: The folder.
        """
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
        record = DeliveryRecord(self.ensure_state_folder())
        updated = []
        for name, content in installed_lessons().items():
            if is_missing_or_outdated(self.path / name, content, record.digest_of(name)):
                write_atomic(self.path / name, content)
                record.note(name, content)
                updated.append(name)
        record.save()
        return updated

    def reset(self) -> list[KeptLesson]:
        """Write all lessons anew. Move the changed ones into a new folder before.

        Returns:
            The lessons that were moved. All are in the same folder.
        """
        record = DeliveryRecord(self.ensure_state_folder())
        lessons = installed_lessons()
        changed = []
        for name, content in lessons.items():
            if is_changed(self.path / name, content, record.digest_of(name)):
                changed.append(name)
        kept = _move_to_kept_folder(self.path, changed)
        for name, content in lessons.items():
            write_atomic(self.path / name, content)
            record.note(name, content)
        record.save()
        return kept

    def unchanged(self) -> list[Path]:
        """Return the paths of the copies that are byte for byte the lessons of the installed version."""
        unchanged = []
        for name, content in installed_lessons().items():
            path = self.path / name
            if path.exists() and path.read_bytes() == content:
                unchanged.append(path)
        return unchanged


def installed_lessons() -> dict[str, bytes]:
    """Return the content of each lesson of the installed version, without its outputs, by filename."""
    return {lesson.name: strip_outputs(lesson.read_bytes()) for lesson in packaged_lessons()}


class DeliveryRecord:
    """Remembers the digest of each lesson as it was written into a working copy last.

    A copy with another digest was changed by the learner.
    """

    def __init__(self, state_folder: Path) -> None:
        """Read the record. It is empty if its file does not exist or cannot be read.

        Args:
            state_folder: The folder that holds the files of the lab.
        """
        self._path = state_folder / "delivered.json"
        self._digests: dict[str, str] = {}
        with suppress(FileNotFoundError, ValueError):
            content = json.loads(self._path.read_text())
            if isinstance(content, dict):
                self._digests = content

    def digest_of(self, name: str) -> str | None:
        """Return the digest of a lesson as it was written last. None if it is not known."""
        return self._digests.get(name)

    def note(self, name: str, content: bytes) -> None:
        """Remember that a lesson was written. ``save`` makes it last."""
        self._digests[name] = digest(content)

    def save(self) -> None:
        """Write the record to its file."""
        write_atomic(self._path, json.dumps(self._digests, indent=1).encode())


def is_missing_or_outdated(copy: Path, installed: bytes, delivered_digest: str | None) -> bool:
    """Return whether a lesson must be written into a working copy.

    A copy that the learner has changed is never outdated.

    Args:
        copy: The file of the copy. It may not exist.
        installed: The content of the installed version.
        delivered_digest: The digest of the copy as it was written last. None if it is not known.
    """
    if not copy.exists():
        return True
    content = copy.read_bytes()
    has_learner_changed_it = digest(content) != delivered_digest
    return not has_learner_changed_it and content != installed


def is_changed(copy: Path, installed: bytes, delivered_digest: str | None) -> bool:
    """Return whether a copy holds work of the learner.

    If it does, it differs from the installed version and from the version that was written last.

    Args:
        copy: The file of the copy. It may not exist.
        installed: The content of the installed version.
        delivered_digest: The digest of the copy as it was written last. None if it is not known.
    """
    if not copy.exists():
        return False
    return digest(copy.read_bytes()) not in (digest(installed), delivered_digest)


def _move_to_kept_folder(folder: Path, names: list[str]) -> list[KeptLesson]:
    """Move lessons of a working copy into the first of ``kept-1``, ``kept-2`` and so on that does not exist.

    Creates no folder if there is nothing to move.
    """
    if not names:
        return []
    number = 1
    while (folder / f"kept-{number}").exists():
        number += 1
    kept_folder = folder / f"kept-{number}"
    kept_folder.mkdir()
    for name in names:
        (folder / name).rename(kept_folder / name)
    return [KeptLesson(name, kept_folder.name) for name in names]


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
            cell["outputs"] = [output for output in cell["outputs"] if _is_static_view(output)]
            for output in cell["outputs"]:
                output["execution_count"] = None
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
