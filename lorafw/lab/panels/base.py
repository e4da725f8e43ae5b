"""The base class of panels (the lab's widgets), and the controls that panels use.

Every panel keeps these rules:

* The state is a plain value that does not depend on widgets.
* The view depends only on the state. It is drawn under a lock, because callbacks may run in other threads.
* Every control has a description. It reports a change only when the change is complete.
* On a static page, where no kernel runs, the panel shows the same view, and its numbers as text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from threading import RLock
from typing import Any

import ipywidgets

from lorafw.errors import LorafwError
from lorafw.lab.panels.html import SafeHtml, heading, preformatted

_LABEL_STYLE = {"description_width": "120px"}
# The line height of widgets is that of a button, which is too much for a table. If a table is wider than the page, it
# scrolls within the view instead of widening it. Long words break.
_VIEW_STYLE = "line-height:1.3;width:0;min-width:100%;overflow-x:auto;overflow-wrap:break-word"


def _no_action() -> None:
    """Do nothing. The action of a control whose value is read only when the panel is drawn."""


class Panel(ABC):
    """A group of controls with a view below them.

    A subclass creates its controls, connects them to actions that change its state, and calls ``build``.
    """

    root: ipywidgets.VBox
    """The widget that holds the controls and the view. Created by ``build``."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._is_refreshing = False
        self.error = ""
        """The error message of the last action. It is empty if the action succeeded."""
        self.notice = ""
        """A message about the last action, if the view does not show its effect."""

    @abstractmethod
    def html(self) -> SafeHtml:
        """Return the view, which is shown below the controls."""

    @abstractmethod
    def text(self) -> str:
        """Return the view as plain text. Tests of the notebook compare it."""

    def header_html(self) -> SafeHtml:
        """Return the part above the view. A static page does not show it."""
        if not self.notice:
            return SafeHtml("")
        return heading(self.notice)

    def refresh(self) -> None:  # noqa: B027 -- most panels have nothing to do here
        """Update the controls that depend on the state. Called by ``redraw``, under the lock."""

    def build(self, *rows: Any) -> None:
        """Arrange the controls above the view, and draw it. Sets ``root``.

        Args:
            *rows: Each is a widget, or a sequence of widgets to show in one row.
        """
        self._view = ipywidgets.HTML(layout=ipywidgets.Layout(width="99%"))
        boxes = [self._as_widget(row) for row in rows]
        self.root = ipywidgets.VBox([*boxes, self._view], layout=ipywidgets.Layout(width="100%"))
        self.redraw()

    def redraw(self) -> None:
        """Update the controls that depend on the state, then draw the view from the state. Holds the lock."""
        with self._lock:
            self._is_refreshing = True
            try:
                self.refresh()
            finally:
                self._is_refreshing = False
            content = f"{self._error_html()}{self.header_html()}{self.html()}"
            self._view.value = f'<div role="status" aria-live="polite" style="{_VIEW_STYLE}">{content}</div>'

    def connect(self, control: Any, action: Callable[[], object] = _no_action) -> Any:
        """Run an action and redraw whenever the control is used.

        Args:
            control: A button, or a widget with a value.
            action: Called when the button is clicked, or when the value changes. If it raises an error of lorafw or of
                the operating system, the panel shows the error.

        Returns:
            The control.
        """

        def handle(_: object) -> None:
            if self._is_refreshing:
                return
            with self._lock:
                self._run_action(action)
                self.redraw()

        if isinstance(control, ipywidgets.Button):
            control.on_click(handle)
        else:
            control.observe(handle, "value")
        return control

    def controls(self) -> Iterator[Any]:
        """Yield the controls that a user can operate, in the order in which they are shown."""
        pending = [self.root]
        while pending:
            widget = pending.pop(0)
            pending[:0] = getattr(widget, "children", ())
            if hasattr(widget, "description") and not isinstance(widget, ipywidgets.HTML | ipywidgets.FloatProgress):
                yield widget

    def _run_action(self, action: Callable[[], object]) -> None:
        """Call the action. Clears ``notice``, and sets ``error`` if the action fails."""
        self.error = ""
        self.notice = ""
        try:
            action()
        except (LorafwError, OSError) as error:
            self.error = str(error)

    def _error_html(self) -> SafeHtml:
        """Return the error message of the last action, or nothing."""
        if not self.error:
            return SafeHtml("")
        return SafeHtml(f'<div role="alert">{preformatted("✖ " + self.error)}</div>')

    def _as_widget(self, row: Any) -> Any:
        """Return a widget unchanged, and a sequence of widgets as a row that wraps if the page is narrow."""
        if isinstance(row, ipywidgets.Widget):
            return row
        return ipywidgets.HBox(list(row), layout=ipywidgets.Layout(flex_flow="row wrap", align_items="center"))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """Return the widget for a running notebook, and the view as text and HTML for a static page."""
        bundle = self.root._repr_mimebundle_(include=include, exclude=exclude)
        with self._lock:
            return {**bundle, "text/plain": self.text(), "text/html": str(self.html())}


def hbox(*controls: Any) -> Any:
    """Return a group of controls that stay together if the row wraps."""
    return ipywidgets.HBox(list(controls), layout=ipywidgets.Layout(align_items="center"))


def button(description: str, tooltip: str) -> Any:
    """Return a button that is as wide as its text."""
    return ipywidgets.Button(description=description, tooltip=tooltip, layout=ipywidgets.Layout(width="auto"))


def dropdown(
    description: str, options: Any, width: str = "auto", *, description_width: str = "120px", **settings: Any
) -> Any:
    """Return a control to choose one of several options.

    Args:
        description: The text beside the control.
        options: The options, as ``ipywidgets.Dropdown`` takes them.
        width: Width of the whole control, in CSS units.
        description_width: Width of the description, in CSS units.
        **settings: Further arguments of ``ipywidgets.Dropdown``.
    """
    return ipywidgets.Dropdown(
        description=description,
        options=options,
        style={"description_width": description_width},
        layout=ipywidgets.Layout(width=width),
        **settings,
    )


def text_input(description: str, value: str, width: str = "520px", **settings: Any) -> Any:
    """Return a text field. It reports a change when the user presses Enter or leaves the field.

    Args:
        description: The text beside the field.
        value: The first content.
        width: Width of the whole control, in CSS units.
        **settings: Further arguments of ``ipywidgets.Text``.
    """
    return ipywidgets.Text(
        description=description,
        value=value,
        continuous_update=False,
        style=_LABEL_STYLE,
        layout=ipywidgets.Layout(width=width),
        **settings,
    )


def slider(description: str, value: int, minimum: int, maximum: int, step: int = 1, **settings: Any) -> Any:
    """Return a slider for whole numbers. Arrow keys move it.

    Args:
        description: The text beside the slider.
        value: The first value.
        minimum: The lowest value.
        maximum: The highest value.
        step: The distance between two values.
        **settings: Further arguments of ``ipywidgets.IntSlider``.
    """
    return ipywidgets.IntSlider(
        description=description,
        value=value,
        min=minimum,
        max=maximum,
        step=step,
        continuous_update=False,
        style=_LABEL_STYLE,
        layout=ipywidgets.Layout(width="370px"),
        **settings,
    )


def integer_input(description: str, value: int, minimum: int, maximum: int) -> Any:
    """Return a field to type a whole number into.

    Args:
        description: The text beside the field.
        value: The first value.
        minimum: The lowest value that the field accepts.
        maximum: The highest value that the field accepts.
    """
    return ipywidgets.BoundedIntText(
        description=description,
        value=value,
        min=minimum,
        max=maximum,
        continuous_update=False,
        style=_LABEL_STYLE,
        layout=ipywidgets.Layout(width="240px"),
    )
