"""A picture is a figure and the words that say the same: who cannot see it reads its numbers.

Figures are made without pyplot, so nothing is kept between them and any thread may draw. Colours are petroff8
(Petroff, Accessible color sequences for data visualization, 2021); hatches and markers say the same without colour.
"""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

from lorafw.atomic import write_atomic
from lorafw.errors import FleetError
from lorafw.fleet.result import Result
from lorafw.tasks.lifecycle import TaskStatus

BLUE, ORANGE, RED, PINK, OLIVE, SKY, LIGHT_BLUE, GREY = (
    *("#1845fb", "#ff5e02", "#c91f16", "#c849a9"),
    *("#adad7d", "#86c8dd", "#578dff", "#656364"),
)
NO_TASK_COLOUR: Final = "#f2f2f2"
"""No task."""

Style = dict[str, Any]
STATUS_STYLES: Final[dict[str, Style]] = {
    TaskStatus.COMPLETED: {"facecolor": BLUE},
    TaskStatus.FAILED: {"facecolor": RED, "hatch": "xxx"},
    TaskStatus.SECOND_RETRY: {"facecolor": ORANGE, "hatch": "\\\\\\"},
    TaskStatus.FIRST_RETRY: {"facecolor": OLIVE, "hatch": "///"},
    TaskStatus.IN_PROGRESS: {"facecolor": LIGHT_BLUE, "hatch": "---"},
    TaskStatus.PENDING: {"facecolor": SKY, "hatch": "..."},
    "none": {"facecolor": NO_TASK_COLOUR},
}
"""How each status is drawn wherever it is drawn, in the order in which they are stacked."""

BAR_EDGE_STYLE: Final[Style] = {"edgecolor": "white", "linewidth": 0.5}
ANNOTATION_STYLE: Final[Style] = {"textcoords": "offset points"}

SIZE: Final = (8.0, 5.0)
DPI: Final = 160
FORMATS: Final = {
    ".png": lambda alt: {"Description": alt, "Software": None},
    ".svg": lambda alt: {"Description": alt, "Date": None},
    ".pdf": lambda alt: {"Subject": alt, "CreationDate": None},
}
"""What can be written, and how the words go into it."""


@dataclass(frozen=True, eq=False)
class AccessibleFigure:
    """``figure`` is matplotlib's; ``alt`` states what it shows, with its numbers."""

    figure: Figure
    alt: str

    def png(self) -> bytes:
        """1280 x 800."""
        return self._written(".png")

    def save(self, path: Path | str) -> None:
        """Write .png, .svg or .pdf, with the words inside. Raises FleetError, OSError."""
        path = Path(path)
        write_atomic(path, self._written(check_format(path)))

    def _written(self, suffix: str) -> bytes:
        content = io.BytesIO()
        self.figure.savefig(content, format=suffix[1:], dpi=DPI, metadata=FORMATS[suffix](self.alt))
        return content.getvalue()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """For notebooks: an image with its words, and the words alone."""
        source = base64.b64encode(self.png()).decode()
        image = f'<img alt="{html.escape(self.alt)}" src="data:image/png;base64,{source}" style="max-width: 100%">'
        return {"text/html": image, "text/plain": self.alt}

    def __repr__(self) -> str:
        return self.alt


def check_format(path: Path) -> str:
    """The suffix, if it can be written. Raises FleetError."""
    if path.suffix not in FORMATS:
        raise FleetError("plot", str(path), f"{path}: a picture is written as {', '.join(FORMATS)}; name one of these")
    return path.suffix


def new_axes(title: str, xlabel: str, ylabel: str) -> tuple[Figure, Any]:
    """A figure with one pair of axes."""
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def percent(share: float) -> str:
    return f"{share * 100:.4g} %"


def describe_subject(result: Result, *, first: bool = False) -> str:
    """What a picture is of, in words."""
    rollouts = f", {result.replications:,} rollouts" if result.replications > 1 else ""
    if first and rollouts:
        rollouts = ", the first rollout"
    return f"{result.fleet.size:,} gateways, plan '{result.plan.name}'{rollouts}"
