"""Fleets and plans from documents: nested tables as TOML gives them, checked name by name.

A document has the tables ``fleet`` and ``plan``, or one of them. Each may start from a ``preset`` and say what differs.
Where something is wrong, the error names it by its path, ``plan.waves[2].share``, and offers the nearest right name.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from lorafw.errors import FleetError
from lorafw.fleet._validation import require_known_name
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.io.csv import read_csv as read_csv  # noqa: PLC0414 -- exported here as well
from lorafw.fleet.plan import Abort, BetaBinomial, Plan, Rate, Threshold, Update, Wave
from lorafw.fleet.presets import FLEETS, PLANS, typical_conditions

Table = Mapping[str, Any]
T = TypeVar("T")

GATES: Final[Mapping[str, type[Threshold | BetaBinomial]]] = {"threshold": Threshold, "beta-binomial": BetaBinomial}
TABLES: Final = ("fleet", "plan")
_MIXES: Final = ("backhaul", "regions", "isps")
_FLEET_KEYS: Final = {
    "mixed": (
        *("gateways", "seed", *_MIXES, "period_s", "gone", "wrong_key", "no_restart", "version_differs"),
        "conditions",
    ),
    "reference": ("gateways", "seed", "missed_poll", "download_s"),
}


def parse_plan(document: Table) -> Plan:
    """The plan that the document's table ``plan`` describes. Raises FleetError."""
    table = dict(_table(document, "plan"))
    base = Plan()
    if "preset" in table:
        base = PLANS[require_known_name("plan.preset", table.pop("preset"), PLANS)]()
    given: dict[str, Any] = {}
    for name, content in table.items():
        path = f"plan.{name}"
        require_known_name("plan", name, [field.name for field in fields(Plan)])
        reader = _FIELD_READERS.get(name)
        given[name] = content if reader is None else reader(path, content, base)
    if "name" in given and not isinstance(given["name"], str):
        raise FleetError("plan.name", given["name"], "plan.name is a text")
    return _error_path("plan", lambda: replace(base, **given))


def parse_fleet(document: Table, *, gateways: int | None = None) -> Fleet:
    """The fleet that the document's table ``fleet`` describes; ``gateways`` replaces the number there."""
    table = dict(_table(document, "fleet"))
    preset = require_known_name("fleet.preset", table.pop("preset", "mixed"), FLEETS)
    for name in table:
        require_known_name("fleet", name, _FLEET_KEYS[preset])
    for name in _MIXES:
        if name in table:
            table[name] = _mapping(f"fleet.{name}", table[name])
    if "conditions" in table:
        conditions = _mapping("fleet.conditions", table["conditions"])
        table["conditions"] = _replace_fields("fleet.conditions", typical_conditions(), conditions)
    if gateways is not None:
        table["gateways"] = gateways
    if "gateways" not in table:
        raise FleetError("fleet.gateways", None, "fleet.gateways is missing: how many gateways has the fleet?")
    return _error_path("fleet", lambda: FLEETS[preset](table.pop("gateways"), **table))


def check_tables(document: Table) -> None:
    """There are no other tables than those that a document can have, and at least one. Raises FleetError."""
    for key in document:
        require_known_name("table", key, TABLES)
    if not document:
        raise FleetError("table", None, "there is neither a table [fleet] nor a table [plan]")


def _table(document: Table, name: str) -> Table:
    check_tables(document)
    if name not in document:
        raise FleetError(name, None, f"there is no table [{name}]")
    return _mapping(name, document[name])


def _mapping(path: str, content: Any) -> dict[str, Any]:
    if not isinstance(content, Mapping):
        raise FleetError(path, content, f"{path} is a table: write [{path}] and its values below")
    return dict(content)


def _error_path(path: str, make: Callable[[], T]) -> T:
    """The value, or the error with the path to it."""
    try:
        return make()
    except FleetError as error:
        raise FleetError(f"{path}.{error.field}", error.value, f"{path}: {error}") from error


def _build_dataclass(cls: Callable[..., T], path: str, content: Any) -> T:
    """A value from a table whose keys are its fields."""
    table = _mapping(path, content)
    known = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]
    for name in table:
        require_known_name(path, name, known)
    missing = [
        name for name, field in known.items() if field.default is field.default_factory is MISSING and name not in table
    ]
    if missing:
        raise FleetError(f"{path}.{missing[0]}", None, f"{path}.{missing[0]} is missing")
    return _error_path(path, lambda: cls(**table))


def _replace_fields(path: str, base: T, table: Table) -> T:
    """A value like ``base`` but for what the table says."""
    for name in table:
        require_known_name(path, name, [field.name for field in fields(base)])  # type: ignore[arg-type]
    return _error_path(path, lambda: replace(base, **table))  # type: ignore[type-var]


def _update(path: str, content: Any, base: Plan) -> Update:
    table = _mapping(path, content)
    if not isinstance(table.get("version_given", True), bool):
        raise FleetError(f"{path}.version_given", table["version_given"], f"{path}.version_given is true or false")
    return _replace_fields(path, base.update, table)


def _waves(path: str, content: Any, _: Plan) -> tuple[Wave, ...]:
    if not isinstance(content, list):
        raise FleetError(path, content, f"{path} is a list of tables: write [[{path}]] for each wave")
    return tuple(_wave(f"{path}[{number}]", wave) for number, wave in enumerate(content, 1))


def _wave(path: str, content: Any) -> Wave:
    table = _mapping(path, content)
    if "gate" in table:
        gate = _mapping(f"{path}.gate", table["gate"])
        kind = require_known_name(f"{path}.gate.kind", gate.pop("kind", None), GATES)
        table["gate"] = _build_dataclass(GATES[kind], f"{path}.gate", gate)
    return _build_dataclass(Wave, path, table)


def _rate(path: str, content: Any, _: Plan) -> Rate:
    return _build_dataclass(Rate, path, content)


def _abort(path: str, content: Any, _: Plan) -> Abort:
    return _build_dataclass(Abort, path, content)


_FIELD_READERS: Final[Mapping[str, Callable[[str, Any, Plan], Any]]] = {
    "update": _update,
    "waves": _waves,
    "rate": _rate,
    "abort": _abort,
}
assert set(_FLEET_KEYS) == set(FLEETS)


LARGEST_DOCUMENT: Final = 256 * 1024
"""Bytes of a TOML file: a plan is a page of text."""

MOST_KEY_PARTS: Final = 32
"""Parts of a dotted key: tomllib takes quadratic time and memory for long ones."""

_STRINGS_AND_COMMENTS: Final = re.compile(
    r"""\"{3}[\s\S]*?\"{3}|'{3}[\s\S]*?'{3}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*"""
)
_LONG_KEY: Final = re.compile(rf"(?:\.[^.\n=,\[\]{{}}]*){{{MOST_KEY_PARTS}}}")


def read_document(path: Path | str) -> dict[str, Any]:
    """The tables of a TOML file, ``fleet`` or ``plan`` or both. Raises FleetError, OSError."""
    path = Path(path)
    with path.open("rb") as file:
        content = file.read(LARGEST_DOCUMENT + 1)
    if len(content) > LARGEST_DOCUMENT:
        raise FleetError("toml", len(content), f"{path}: more than {LARGEST_DOCUMENT} bytes are no plan")
    try:
        text = content.decode()
        _check_keys(text)
        document = tomllib.loads(text)
        check_tables(document)
        return document
    except FleetError as error:
        raise FleetError(error.field, error.value, f"{path}: {error}") from error
    except RecursionError as error:
        raise FleetError("toml", str(path), f"{path}: not a plan: tables or lists are nested too deeply") from error
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError, and that of a number of thousands of digits
        raise FleetError("toml", str(path), f"{path}: not TOML: {shown_error(error)}") from error


def _check_keys(text: str) -> None:
    if _LONG_KEY.search(_STRINGS_AND_COMMENTS.sub("s", text)):
        raise FleetError("toml", None, f"not a plan: a key has more than {MOST_KEY_PARTS} parts")


def shown_error(error: Exception) -> str:
    """Return the message of a library, cut to a line."""
    text = str(error)
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}..."


_LONGEST_MESSAGE: Final = 200


def read_plan(path: Path | str) -> Plan:
    """The plan of a TOML file. Raises FleetError, OSError."""
    return _parse_file(path, parse_plan)


def read_fleet(path: Path | str, *, gateways: int | None = None) -> Fleet:
    """The fleet of a TOML file; ``gateways`` replaces the number there. Raises FleetError, OSError."""
    return _parse_file(path, lambda document: parse_fleet(document, gateways=gateways))


def _parse_file(path: Path | str, make: Callable[[Mapping[str, Any]], T]) -> T:
    document = read_document(path)
    try:
        return make(document)
    except FleetError as error:
        raise FleetError(error.field, error.value, f"{path}: {error}") from error
