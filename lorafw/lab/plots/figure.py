"""Figures with alternative text, and the styles that all plots share.

The alternative text states the numbers of a figure, for people who cannot see it. Figures are made without pyplot, so
nothing is kept between them, and any thread may draw. Lines and markers have the colours of petroff8 (Petroff,
Accessible color sequences for data visualization, 2021). The areas of the statuses have the softer colours of RdYlBu
(ColorBrewer), which colour-blind people can tell apart, too. Hatches and markers say the same without colour.
"""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from matplotlib import rc_context
from matplotlib.figure import Figure

from lorafw.atomic import write_atomic
from lorafw.errors import FleetError
from lorafw.fleet.result import Result
from lorafw.tasks.lifecycle import TaskStatus

BLUE, ORANGE, SKY, GREY = "#1845fb", "#ff5e02", "#86c8dd", "#656364"
NO_TASK_COLOUR: Final = "#f2f2f2"
"""Colour of the gateways that have no task."""

Style = dict[str, Any]
_HATCH_STYLE: Final[Style] = {"edgecolor": "#4c5866"}
"""Hatches on a light area are dark."""
STATUS_STYLES: Final[dict[str, Style]] = {
    TaskStatus.COMPLETED: {"facecolor": "#abd9e9", "edgecolor": "white"},
    TaskStatus.FAILED: {"facecolor": "#d73027", "edgecolor": "white", "hatch": "xxx"},
    TaskStatus.SECOND_RETRY: {"facecolor": "#fdae61", "hatch": "\\\\\\", **_HATCH_STYLE},
    TaskStatus.FIRST_RETRY: {"facecolor": "#fee090", "hatch": "///", **_HATCH_STYLE},
    TaskStatus.IN_PROGRESS: {"facecolor": "#74add1", "hatch": "---", **_HATCH_STYLE},
    TaskStatus.PENDING: {"facecolor": "#e0f3f8", "hatch": "...", **_HATCH_STYLE},
    "none": {"facecolor": NO_TASK_COLOUR, "edgecolor": "white"},
}
"""How each status is drawn in every plot, in the order in which statuses are stacked."""

BAR_EDGE_STYLE: Final[Style] = {"edgecolor": "white", "linewidth": 0.5}
ANNOTATION_STYLE: Final[Style] = {"textcoords": "offset points"}

FIGURE_SIZE_IN: Final = (8.0, 5.0)
"""Width and height."""
DPI: Final = 160
FORMATS: Final = {
    ".png": ("Description", "Software"),
    ".svg": ("Description", "Date"),
    ".pdf": ("Subject", "CreationDate"),
}
"""The file formats, by suffix: the metadata field for the alternative text, and one to leave out.

The field that is left out would hold a date or a version, and equal figures would give different files.
"""


@dataclass(frozen=True, eq=False)
class AccessibleFigure:
    """A figure of matplotlib with an alternative text."""

    figure: Figure
    alt: str
    """What the figure shows, with its numbers."""

    def png(self) -> bytes:
        """Return the figure as a PNG image of 1280 x 800 pixels."""
        return self._render(".png")

    def svg(self) -> bytes:
        """Return the figure as an SVG image of 8 x 5 inches."""
        return self._render(".svg")

    def save(self, path: Path | str) -> None:
        """Write the figure to a file, with the alternative text in its metadata.

        Args:
            path: The file. Its suffix is ``.png``, ``.svg`` or ``.pdf``.

        Raises:
            FleetError: The suffix is another one.
            OSError: The file cannot be written.
        """
        path = Path(path)
        write_atomic(path, self._render(check_format(path)))

    def _render(self, suffix: str) -> bytes:
        """Return the content of a file with this suffix. Equal figures give equal bytes."""
        text_field, omitted_field = FORMATS[suffix]
        metadata = {text_field: self.alt, omitted_field: None}
        content = io.BytesIO()
        # Without this salt, an SVG has other random ids each time.
        with rc_context({"svg.hashsalt": "lorafw"}):
            self.figure.savefig(content, format=suffix[1:], dpi=DPI, metadata=metadata)
        return content.getvalue()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Return the figure for a notebook: as an image with its alternative text, and as the text alone."""
        source = base64.b64encode(self.png()).decode()
        image = f'<img alt="{html.escape(self.alt)}" src="data:image/png;base64,{source}" style="max-width: 100%">'
        return {"text/html": image, "text/plain": self.alt}

    def __repr__(self) -> str:
        return self.alt


def check_format(path: Path) -> str:
    """Return the suffix of a file for a figure.

    Raises:
        FleetError: A figure cannot be written in this format.
    """
    if path.suffix not in FORMATS:
        raise FleetError("plot", str(path), f"{path}: a picture is written as {', '.join(FORMATS)}; name one of these")
    return path.suffix


def new_axes(title: str, xlabel: str, ylabel: str) -> tuple[Figure, Any]:
    """Return a figure with one pair of axes, and the axes.

    Args:
        title: The title of the figure.
        xlabel: The label of the x axis.
        ylabel: The label of the y axis.
    """
    figure = Figure(figsize=FIGURE_SIZE_IN, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def percent(share: float) -> str:
    """Return a share as a percentage with four significant digits."""
    return f"{share * 100:.4g} %"


def describe_subject(result: Result, *, first: bool = False) -> str:
    """Return in words what a figure is about: the fleet, the plan and the rollouts.

    Args:
        result: The result that is plotted.
        first: The figure shows the first rollout only.
    """
    if result.replications == 1:
        rollouts = ""
    elif first:
        rollouts = ", the first rollout"
    else:
        rollouts = f", {result.replications:,} rollouts"
    return f"{result.fleet.size:,} gateways, plan '{result.plan.name}'{rollouts}"
