"""A panel: a widget of the lab.

The law of every panel: its state is a plain value and knows nothing of widgets; the view is drawn from the state alone,
under one lock, because callbacks may come in another thread; every control has a description and reports only when a
change is complete. Before anything has run, a panel shows the same as a static page, with its numbers as text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from threading import RLock
from typing import Any

import ipywidgets

from lorafw.errors import LorafwError
from lorafw.lab.panels.html import SafeHtml, heading, preformatted

_WIDE = {"description_width": "120px"}
# Widgets have lines as high as a button; a table does not. A table that is too wide for the page scrolls in its place,
# which must not grow with it; long words break.
_VIEW = "line-height:1.3;width:0;min-width:100%;overflow-x:auto;overflow-wrap:break-word"


class Panel(ABC):
    """Subclasses make their controls, then ``assemble`` them; ``redraw`` shows what has become of the state."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._is_refreshing = False
        self.problem = ""
        """What the last action was refused for; empty where it was not."""
        self.told = ""
        """What the last action did, where nobody would see it otherwise."""

    @abstractmethod
    def html(self) -> SafeHtml:
        """What is shown below the controls."""

    @abstractmethod
    def text(self) -> str:
        """The same in plain text: what a test of the notebook compares."""

    def aside(self) -> SafeHtml:
        """What stands above the content of a panel that lives, and not on its static face."""
        return heading(self.told) if self.told else SafeHtml("")

    def refresh(self) -> None:  # noqa: B027 -- most panels have nothing to do here
        """Bring controls that depend on the state up to date. Called within ``redraw``."""

    def assemble(self, *rows: Any) -> None:
        """The controls, row by row, above the view."""
        self._view = ipywidgets.HTML(layout=ipywidgets.Layout(width="99%"))
        boxes = [row if isinstance(row, ipywidgets.Widget) else self._row(row) for row in rows]
        self.root = ipywidgets.VBox([*boxes, self._view], layout=ipywidgets.Layout(width="100%"))
        self.redraw()

    def redraw(self) -> None:
        with self._lock:
            self._is_refreshing = True
            try:
                self.refresh()
            finally:
                self._is_refreshing = False
            alert = f'<div role="alert">{preformatted("✖ " + self.problem)}</div>' if self.problem else ""
            content = f"{alert}{self.aside()}{self.html()}"
            self._view.value = f'<div role="status" aria-live="polite" style="{_VIEW}">{content}</div>'

    def reacts(self, control: Any, action: Callable[[], object]) -> Any:
        """Let a button's click, or a new value of a control, call ``action`` and redraw; gives the control."""

        def run(_: object) -> None:
            if self._is_refreshing:
                return
            with self._lock:
                self._run_action(action)
                self.redraw()

        if isinstance(control, ipywidgets.Button):
            control.on_click(run)
        else:
            control.observe(run, "value")
        return control

    def controls(self) -> Iterator[Any]:
        """Everything that a person can operate."""
        pending = [self.root]
        while pending:
            widget = pending.pop(0)
            pending[:0] = getattr(widget, "children", ())
            if hasattr(widget, "description") and not isinstance(widget, ipywidgets.HTML | ipywidgets.FloatProgress):
                yield widget

    def _run_action(self, action: Callable[[], object]) -> None:
        self.problem = self.told = ""
        try:
            action()
        except (LorafwError, OSError) as error:
            self.problem = str(error)

    def _row(self, row: Any) -> Any:
        return ipywidgets.HBox(list(row), layout=ipywidgets.Layout(flex_flow="row wrap", align_items="center"))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        bundle = self.root._repr_mimebundle_(include=include, exclude=exclude)
        with self._lock:
            return {**bundle, "text/plain": self.text(), "text/html": str(self.html())}


def hbox(*controls: Any) -> Any:
    """Controls that come into the next row together, where there is no room for them."""
    return ipywidgets.HBox(list(controls), layout=ipywidgets.Layout(align_items="center"))


def button(description: str, tooltip: str) -> Any:
    """A button as wide as its words."""
    return ipywidgets.Button(description=description, tooltip=tooltip, layout=ipywidgets.Layout(width="auto"))


def dropdown(description: str, options: Any, width: str = "auto", *, words: str = "120px", **settings: Any) -> Any:
    """One of several; ``words``: how wide its description is."""
    return ipywidgets.Dropdown(
        description=description,
        options=options,
        style={"description_width": words},
        layout=ipywidgets.Layout(width=width),
        **settings,
    )


def text_input(description: str, value: str, width: str = "520px", **settings: Any) -> Any:
    """One line of text that reports when it is complete: at Enter, or when one leaves it."""
    return ipywidgets.Text(
        description=description,
        value=value,
        continuous_update=False,
        style=_WIDE,
        layout=ipywidgets.Layout(width=width),
        **settings,
    )


def slider(description: str, value: int, least: int, most: int, step: int = 1, **settings: Any) -> Any:
    """A whole number; arrow keys move it."""
    return ipywidgets.IntSlider(
        description=description,
        value=value,
        min=least,
        max=most,
        step=step,
        continuous_update=False,
        style=_WIDE,
        layout=ipywidgets.Layout(width="370px"),
        **settings,
    )


def integer_input(description: str, value: int, least: int, most: int) -> Any:
    """A whole number to type, from ``least`` to ``most``."""
    return ipywidgets.BoundedIntText(
        description=description,
        value=value,
        min=least,
        max=most,
        continuous_update=False,
        style=_WIDE,
        layout=ipywidgets.Layout(width="240px"),
    )
