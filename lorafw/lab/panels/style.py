"""The style sheet of all panels, which running panels and the website use."""

from __future__ import annotations

from pathlib import Path
from typing import Final

FRONTEND_FOLDER: Final = Path(__file__).parent / "frontend"
"""The files that the browser uses."""
STYLE_SHEET: Final = (FRONTEND_FOLDER / "panel.css").read_text(encoding="utf-8")
"""The CSS."""
