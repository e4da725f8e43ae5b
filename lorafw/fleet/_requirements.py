"""Tell which extra to install if NumPy or SciPy is missing.

``lorafw.fleet`` imports this module before all others. Everything else in lorafw, apart from ``lorafw.lab``, works
without the two libraries.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from lorafw.errors import MissingExtra

REQUIRED: Final = {"numpy": "NumPy", "scipy": "SciPy"}
"""The modules that the simulator imports, with the names of their libraries."""


def check_requirements() -> None:
    """Raise MissingExtra if a library of the simulator is not installed."""
    missing = [library for module, library in REQUIRED.items() if find_spec(module) is None]
    if missing:
        raise MissingExtra(f"the simulator of rollouts needs {' and '.join(missing)}", "fleet")


check_requirements()
