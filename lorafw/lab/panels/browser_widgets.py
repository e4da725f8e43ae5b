"""The widgets of a panel that need code of their own in the browser, made with anywidget.

The sliders of ipywidgets have no accessible name, and none of its widgets can keep a key from JupyterLab's shortcuts.
"""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets

from lorafw.lab.panels.style import FRONTEND_FOLDER, STYLE_SHEET


class Frame(anywidget.AnyWidget):  # type: ignore[misc]  # its base class has no types
    """An invisible widget. It adds the style sheet to the page, and keeps keys in the panel that contains it."""

    _esm = (FRONTEND_FOLDER / "frame.js").read_text(encoding="utf-8")
    _css = STYLE_SHEET


class Slider(anywidget.AnyWidget):  # type: ignore[misc]  # its base class has no types
    """A slider for whole numbers with a number field beside it. It reports a value soon after the last change."""

    _esm = (FRONTEND_FOLDER / "slider.js").read_text(encoding="utf-8")

    description = traitlets.Unicode().tag(sync=True)
    value = traitlets.Int().tag(sync=True)
    min = traitlets.Int(0).tag(sync=True)
    max = traitlets.Int(100).tag(sync=True)
    step = traitlets.Int(1).tag(sync=True)

    @traitlets.validate("value")
    def _clip(self, proposal: Any) -> int:
        """Return the value, or the nearest one in the range."""
        return max(self.min, min(int(proposal["value"]), self.max))

    @traitlets.observe("min", "max")
    def _clip_again(self, _: object) -> None:
        """Bring the value into a range that has changed."""
        self.value = self._clip({"value": self.value})
