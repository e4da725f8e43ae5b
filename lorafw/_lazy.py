"""Load the public names of a package at their first use (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def attach(package: str, module_by_name: Mapping[str, str]) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a package whose public names are loaded at their first use.

    Args:
        package: Full name of the package.
        module_by_name: For each public name, the module that defines it, relative to the package. A leading dot stands
            for the package above.

    Returns:
        The two functions. Assign them to ``__getattr__`` and ``__dir__`` in the package's ``__init__.py``.
    """

    def load_name(name: str) -> object:
        if name not in module_by_name:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(f".{module_by_name[name]}", package)
        return getattr(module, name)

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *module_by_name})

    return load_name, list_names
