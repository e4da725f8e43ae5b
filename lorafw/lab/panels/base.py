"""The base class of panels (the lab's widgets), and the controls that panels use.

Every panel keeps these rules:

* Its state is a plain value that does not depend on widgets.
* Its view is drawn from the state alone, under one lock, because callbacks may run in other threads.
* Every control has a description, which is its accessible name, and acts while the user types or moves it.
* A key that is pressed in the panel does not reach the notebook.
* Before the notebook runs, the panel shows the same on a static page, with its numbers as text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from threading import RLock
from typing import Any

import ipywidgets

from lorafw.errors import LorafwError
from lorafw.lab.panels.browser_widgets import Frame, Slider
from lorafw.lab.panels.html import SafeHtml, heading, preformatted, view


class PanelLayout:
    """The widgets of a panel: its controls, the view below or beside them, and the details below everything."""

    def __init__(self, rows: Sequence[Sequence[Any]], *, beside: bool) -> None:
        """Arrange the widgets. The view and the details are empty.

        Args:
            rows: The controls of each row.
            beside: Whether the view is beside the controls, not below them.
        """
        controls: list[Any] = []
        for row in rows:
            row[0].add_class("lorafw-first")
            controls += row
        self.view = _add_class(ipywidgets.HTML(), "lorafw-main")
        self.details = _add_class(ipywidgets.HTML(), "lorafw-details")
        controls_box = _add_class(ipywidgets.Box(controls), "lorafw-controls")
        body = _add_class(ipywidgets.Box([controls_box, self.view, self.details]), "lorafw-body")
        arrangement = "lorafw-beside" if beside else "lorafw-above"
        _add_class(body, arrangement)
        self.root = _add_class(ipywidgets.Box([Frame(), body]), "lorafw-panel")
        """The widget that holds all others."""

    def show(self, content: str, details: str) -> None:
        """Show the view and the details.

        Args:
            content: The view as HTML.
            details: What is shown below the controls and the view, as HTML.
        """
        self.view.value = view(content)
        self.details.value = view(details)

    def controls(self) -> Iterator[Any]:
        """Yield the controls that a user can operate, in the order in which they are shown."""
        for widget in _walk_widgets(self.root):
            # ipywidgets has no base class for controls. A control has a description. So have texts and progress bars,
            # but a user cannot operate these.
            has_description = hasattr(widget, "description")
            is_only_shown = isinstance(widget, ipywidgets.HTML | ipywidgets.FloatProgress)
            if has_description and not is_only_shown:
                yield widget


def _walk_widgets(widget: Any) -> Iterator[Any]:
    """Yield a widget and all widgets in it, in the order in which they are shown."""
    yield widget
    if isinstance(widget, ipywidgets.Box):
        for child in widget.children:
            yield from _walk_widgets(child)


def _add_class(widget: Any, name: str) -> Any:
    """Add a class of the style sheet to a widget, and return the widget."""
    widget.add_class(name)
    return widget


def _no_action() -> None:
    """Do nothing. The action of a control whose value is read only when the panel is drawn."""


class Panel(ABC):
    """A group of controls with a view.

    A subclass creates its controls, connects them to actions that change its state, and calls ``build``. It says with
    ``html`` and ``text`` what the view shows.
    """

    layout: PanelLayout
    """The widgets. Created by ``build``."""

    def __init__(self) -> None:
        """Begin without controls. The subclass creates them."""
        self._lock = RLock()
        """Held while an action runs and while the panel is drawn, because callbacks may run in several threads."""
        self._is_refreshing = False
        """Whether ``refresh`` is setting controls. Such a change is not one of the user, so it starts no action."""
        self.error = ""
        """The error message of the last action. It is empty if the action succeeded."""
        self.notice = ""
        """A message about the last action, if the view does not show its effect."""

    # --- what a subclass defines ---

    @abstractmethod
    def html(self) -> SafeHtml:
        """Return the view, which is shown below or beside the controls."""

    @abstractmethod
    def text(self) -> str:
        """Return the view as plain text. Tests of the notebook compare it."""

    def headline_html(self) -> SafeHtml:
        """Return the few figures that matter most. The view begins with them, and a screen reader reads them out."""
        return SafeHtml("")

    def details_html(self) -> SafeHtml:
        """Return what is shown below the controls and the view, in the whole width of the panel."""
        return SafeHtml("")

    def header_html(self) -> SafeHtml:
        """Return the part above the view. A static page does not show it."""
        if not self.notice:
            return SafeHtml("")
        return heading(self.notice)

    def refresh(self) -> None:  # noqa: B027 -- most panels have nothing to do here
        """Update the controls that depend on the state. ``redraw`` calls this method."""

    # --- what a subclass uses ---

    def build(self, *rows: Sequence[Any], beside: bool = False) -> None:
        """Arrange the controls, and draw the view. The subclass calls this method when it has created its controls.

        Args:
            *rows: The controls of each row. A row breaks if the panel is narrow.
            beside: Whether the view is beside the controls, not below them.
        """
        self.layout = PanelLayout(rows, beside=beside)
        self.redraw()

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
            if not self._is_refreshing:
                self.perform(action)

        if isinstance(control, ipywidgets.Button):
            control.on_click(handle)
        else:
            control.observe(handle, "value")
        return control

    def perform(self, action: Callable[[], object]) -> None:
        """Run an action, and draw the panel. No other thread can draw the panel in between.

        Args:
            action: Changes the state of the panel. If it raises an error of lorafw or of the operating system, the
                panel shows the error.
        """
        with self._lock:
            self._run_action(action)
            self.redraw()

    def redraw(self) -> None:
        """Update the controls that depend on the state, then draw the view from the state."""
        with self._lock:
            self._refresh_controls()
            status = f'<div role="status">{self.headline_html()}{self.header_html()}</div>'
            self.layout.show(f"{error_html(self.error)}{status}{self.html()}", self.details_html())

    def _refresh_controls(self) -> None:
        """Update the controls that depend on the state. The changes start no actions."""
        self._is_refreshing = True
        try:
            self.refresh()
        finally:
            self._is_refreshing = False

    def _run_action(self, action: Callable[[], object]) -> None:
        """Call the action. Clears ``notice``, and sets ``error`` if the action fails."""
        self.error = ""
        self.notice = ""
        try:
            action()
        except (LorafwError, OSError) as error:
            self.error = str(error)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """Return the widget for a running notebook, and the view as text and HTML for a static page."""
        bundle: dict[str, Any] = self.layout.root._repr_mimebundle_(include=include, exclude=exclude)
        with self._lock:
            content = self.headline_html() + self.html() + self.details_html()
            bundle["text/plain"] = self.text()
            bundle["text/html"] = str(view(content))
        return bundle


def error_html(message: str) -> SafeHtml:
    """Return an error message, which a screen reader reads out at once. Returns nothing if the message is empty."""
    if not message:
        return SafeHtml("")
    return SafeHtml(f'<div role="alert">{preformatted("✖ " + message)}</div>')


def wide(control: Any) -> Any:
    """Let the control fill two columns of the grid if the panel is wide enough, and return it."""
    control.add_class("lorafw-wide")
    return control


def button(description: str, tooltip: str) -> Any:
    """Return a button."""
    return ipywidgets.Button(description=description, tooltip=tooltip)


def dropdown(description: str, options: Any, **settings: Any) -> Any:
    """Return a control to choose one of several options.

    Args:
        description: The text above the control.
        options: The options, as ``ipywidgets.Dropdown`` takes them.
        **settings: Further arguments of ``ipywidgets.Dropdown``.
    """
    return ipywidgets.Dropdown(description=description, options=options, **settings)


def text_input(description: str, value: str, **settings: Any) -> Any:
    """Return a text field. It acts while the user types.

    Args:
        description: The text above the field.
        value: The first content.
        **settings: Further arguments of ``ipywidgets.Text``.
    """
    return ipywidgets.Text(description=description, value=value, **settings)


def slider(description: str, value: int, minimum: int, maximum: int, step: int = 1) -> Any:
    """Return a slider for whole numbers, with a number field. Arrow keys move it.

    Args:
        description: The text above the slider.
        value: The first value.
        minimum: The lowest value.
        maximum: The highest value.
        step: How far an arrow key moves the slider. Any whole number can be typed.
    """
    return Slider(description=description, value=value, min=minimum, max=maximum, step=step)


def integer_input(description: str, value: int, minimum: int, maximum: int) -> Any:
    """Return a field to type a whole number into.

    Args:
        description: The text above the field.
        value: The first value.
        minimum: The lowest value that the field accepts.
        maximum: The highest value that the field accepts.
    """
    return ipywidgets.BoundedIntText(
        description=description, value=value, min=minimum, max=maximum, continuous_update=True
    )
