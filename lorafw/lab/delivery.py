"""A lesson as the learner gets it: nothing has run, so that nobody reads the answer before the question.

The lessons are committed with what they print, for tests compare it. A copy comes without, but for the face of a panel,
which stands there until the panel lives. It names kernel and language as JupyterLab would write them here, or every
page that is opened would count as changed.
"""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from typing import Any, Final

from lorafw.lab.markup import is_face

_NOT_THE_LEARNERS: Final = ("kernelspec", "language_info", "widgets")
"""Metadata of a notebook that JupyterLab writes whenever it saves."""


def fresh(lesson: bytes) -> bytes:
    """The lesson, not run yet. What is no notebook stays as it is."""
    notebook = _read(lesson)
    if notebook is None:
        return lesson
    notebook["metadata"] |= _kernel()
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["execution_count"] = None
            cell["outputs"] = [{**one, "execution_count": None} for one in cell["outputs"] if _is_face(one)]
    return _written(notebook)


def digest(lesson: bytes) -> str:
    """Equal for lessons between which the learner has changed nothing, saved or not."""
    notebook = _read(lesson)
    if notebook is None:
        return sha256(lesson).hexdigest()
    for name in _NOT_THE_LEARNERS:
        notebook["metadata"].pop(name, None)
    return sha256(_written(notebook)).hexdigest()


def _is_face(output: dict[str, Any]) -> bool:
    return output["output_type"] == "execute_result" and is_face("".join(output["data"].get("text/html", "")))


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


def _written(notebook: dict[str, Any]) -> bytes:
    """As JupyterLab writes it."""
    return (json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()
