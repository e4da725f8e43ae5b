"""Execute the notebooks and write them back in the form in which they are committed.

    python notebooks/execute.py [NOTEBOOK ...]

The committed form has stable cell ids, the kernelspec ``python3``, execution counts from 1, no widget state and no
timestamps, and each tag is linked to its source. So executing a notebook again changes nothing, and a difference between
two commits is a difference in the lesson. The script also updates the tables of the trainers' page, which are generated from the lessons.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from lorafw.lab.evidence import link_sources

HERE = Path(__file__).parent
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
KEPT_CELL_METADATA = ("tags",)


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Bring a notebook into the committed form. Changes ``notebook`` and returns it."""
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC, "language_info": {"name": "python"}})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index:02d}"
        if cell.cell_type == "markdown":
            cell.source = link_sources(cell.source)
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in KEPT_CELL_METADATA})
        for output in cell.get("outputs", []):
            output.pop("transient", None)
            # A widget needs a kernel. Without one, the page shows the picture that the output also contains.
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
            if "metadata" in output:
                output.metadata = nbformat.from_dict({})
    return notebook


def merge_streams(notebook: nbformat.NotebookNode) -> None:
    """Join the pieces of text that each cell printed, because how the kernel splits them varies. Changes ``notebook``."""
    for cell in notebook.cells:
        merged: list[nbformat.NotebookNode] = []
        for output in cell.get("outputs", []):
            last = merged[-1] if merged else None
            if last is not None and output.output_type == last.output_type == "stream" and output.name == last.name:
                last.text += output.text
            else:
                merged.append(output)
        if "outputs" in cell:
            cell.outputs = merged


def execute(path: Path) -> None:
    """Run all cells of a notebook and overwrite the file with the result."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(HERE)}}).execute()
    merge_streams(notebook)
    normalise(notebook)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(map(str, HERE.glob("[0-9][0-9]-*.ipynb"))):
        print(name)
        execute(Path(name))
    from conf import with_tables

    trainers = HERE / "trainers.md"
    trainers.write_text(with_tables(trainers.read_text()))
