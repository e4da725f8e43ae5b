"""Read plans and fleets from TOML files.

A document has a table ``fleet``, a table ``plan``, or both. Each can start from a ``preset`` and give only what
differs. All names are checked: an error names the path of the value, such as ``plan.waves[2].share``, and suggests the
most similar known name.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, asdict, fields, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from lorafw.errors import FleetError
from lorafw.fleet._validation import require_known_name
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Abort, BetaBinomial, Gate, Manual, Plan, Rate, Threshold, Update, Wave
from lorafw.fleet.presets import FLEETS, PLANS, typical_conditions

Table = Mapping[str, Any]
T = TypeVar("T")

LARGEST_DOCUMENT: Final = 256 * 1024
"""The largest number of bytes in a TOML file. A plan takes less than a page of text."""

MOST_KEY_PARTS: Final = 32
"""The largest number of parts of a dotted key. tomllib takes quadratic time and memory for long ones."""

GATES: Final[Mapping[str, type[Gate]]] = {
    "threshold": Threshold,
    "beta-binomial": BetaBinomial,
    "manual": Manual,
}
"""The gates by the name of their ``kind``."""

TABLES: Final = ("fleet", "plan")
"""The tables that a document may have."""

_MIXES: Final = ("backhaul", "regions", "isps")
_FLEET_KEYS: Final = {
    "mixed": (
        *("gateways", "seed", *_MIXES, "period_s", "gone", "wrong_key", "no_restart", "version_differs"),
        "conditions",
    ),
    "reference": ("gateways", "seed", "missed_poll", "download_s"),
}
"""The keys of the table ``fleet``, by preset."""
assert set(_FLEET_KEYS) == set(FLEETS)

_MAX_MESSAGE_CHARS: Final = 200
"""Characters of another library's message that an error shows."""

_STRINGS_AND_COMMENTS: Final = re.compile(
    r"""\"{3}[\s\S]*?\"{3}|'{3}[\s\S]*?'{3}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*"""
)
_LONG_KEY: Final = re.compile(rf"(?:\.[^.\n=,\[\]{{}}]*){{{MOST_KEY_PARTS}}}")


def read_plan(path: Path | str) -> Plan:
    """Read a plan from the table ``plan`` of a TOML file.

    Args:
        path: The file.

    Returns:
        The plan.

    Raises:
        FleetError: The file is not TOML, has no plan, or has a value that is wrong. The message names it.
        OSError: The file cannot be opened.
    """
    document = read_document(path)
    with _prefix_errors(path):
        return parse_plan(document)


def read_fleet(path: Path | str, *, gateways: int | None = None) -> Fleet:
    """Read a fleet from the table ``fleet`` of a TOML file.

    Args:
        path: The file.
        gateways: Number of gateways. None for the number in the file.

    Returns:
        The fleet.

    Raises:
        FleetError: The file is not TOML, has no fleet, or has a value that is wrong. The message names it.
        OSError: The file cannot be opened.
    """
    document = read_document(path)
    with _prefix_errors(path):
        return parse_fleet(document, gateways=gateways)


def read_document(path: Path | str) -> dict[str, Any]:
    """Read the tables of a TOML file.

    Args:
        path: The file.

    Returns:
        The tables by name: ``fleet``, ``plan``, or both.

    Raises:
        FleetError: The file is too large, not TOML, or has other tables.
        OSError: The file cannot be opened.
    """
    path = Path(path)
    with path.open("rb") as file:
        content = file.read(LARGEST_DOCUMENT + 1)
    if len(content) > LARGEST_DOCUMENT:
        raise FleetError("toml", len(content), f"{path}: the file has more than {LARGEST_DOCUMENT} bytes")
    with _prefix_errors(path):
        document = _parse_toml(path, content)
        check_tables(document)
        return document


def _parse_toml(path: Path, content: bytes) -> dict[str, Any]:
    """Parse the content of a TOML file. ``path`` is the value of the errors."""
    try:
        text = content.decode()
        _check_keys(text)
        return tomllib.loads(text)
    except RecursionError as error:
        raise FleetError("toml", str(path), "not a plan: tables or lists are nested too deeply") from error
    # UnicodeDecodeError and TOMLDecodeError are ValueErrors. An integer of thousands of digits raises a plain one.
    except ValueError as error:
        raise FleetError("toml", str(path), f"not TOML: {shown_error(error)}") from error


def _check_keys(text: str) -> None:
    """Refuse a document with a very long dotted key."""
    if _LONG_KEY.search(_STRINGS_AND_COMMENTS.sub("s", text)):
        raise FleetError("toml", None, f"not a plan: a key has more than {MOST_KEY_PARTS} parts")


def shown_error(error: Exception) -> str:
    """Return the message of another library's error, cut to a line."""
    text = str(error)
    if len(text) <= _MAX_MESSAGE_CHARS:
        return text
    return f"{text[:_MAX_MESSAGE_CHARS]}..."


def check_tables(document: Table) -> None:
    """Check the names of a document's tables.

    Args:
        document: The tables of the document.

    Raises:
        FleetError: The document has no table, or one that is neither ``fleet`` nor ``plan``.
    """
    for key in document:
        require_known_name("table", key, TABLES)
    if not document:
        raise FleetError("table", None, "there is neither a table [fleet] nor a table [plan]")


def parse_plan(document: Table) -> Plan:
    """Return the plan that the table ``plan`` of a document describes.

    Args:
        document: The tables of the document.

    Raises:
        FleetError: There is no such table, a key is not known, or a value is wrong.
    """
    table = _get_table(document, "plan")
    base = Plan()
    if "preset" in table:
        preset = require_known_name("plan.preset", table.pop("preset"), PLANS)
        base = PLANS[preset]()
    plan_fields = [field.name for field in fields(Plan)]
    values: dict[str, Any] = {}
    for name, content in table.items():
        require_known_name("plan", name, plan_fields)
        read_field = _FIELD_READERS.get(name, _read_plain_value)
        values[name] = read_field(f"plan.{name}", content, base)
    if not isinstance(values.get("name", ""), str):
        raise FleetError("plan.name", values["name"], "plan.name is a text")
    with _prefix_path("plan"):
        return replace(base, **values)


def plan_to_table(plan: Plan) -> dict[str, Any]:
    """Return a plan as the table ``plan`` of a document. ``parse_plan`` reads it back.

    Args:
        plan: The plan.
    """
    kinds = {cls: kind for kind, cls in GATES.items()}
    table = {name: value for name, value in asdict(plan).items() if value is not None}
    table["waves"] = [_drop_none(asdict(wave)) for wave in plan.waves]
    for wave, wave_table in zip(plan.waves, table["waves"], strict=True):
        if wave.gate is not None:
            wave_table["gate"] = {"kind": kinds[type(wave.gate)], **asdict(wave.gate)}
    table["update"] = _drop_none(table["update"])
    if plan.rate is not None:
        table["rate"] = _drop_none(table["rate"])
    return table


def _drop_none(table: Table) -> dict[str, Any]:
    """Return a table without the values that are None, which TOML cannot write."""
    return {name: value for name, value in table.items() if value is not None}


def parse_fleet(document: Table, *, gateways: int | None = None) -> Fleet:
    """Return the fleet that the table ``fleet`` of a document describes.

    Args:
        document: The tables of the document.
        gateways: Number of gateways. None for the number in the document.

    Raises:
        FleetError: There is no such table, a key is not known, or a value is wrong.
    """
    table = _get_table(document, "fleet")
    preset = require_known_name("fleet.preset", table.pop("preset", "mixed"), FLEETS)
    for name in table:
        require_known_name("fleet", name, _FLEET_KEYS[preset])
    for name in _MIXES:
        if name in table:
            table[name] = _to_table(f"fleet.{name}", table[name])
    if "conditions" in table:
        changes = _to_table("fleet.conditions", table["conditions"])
        table["conditions"] = _replace_fields("fleet.conditions", typical_conditions(), changes)
    if gateways is not None:
        table["gateways"] = gateways
    if "gateways" not in table:
        raise FleetError("fleet.gateways", None, "fleet.gateways is missing: how many gateways has the fleet?")
    size = table.pop("gateways")
    with _prefix_path("fleet"):
        return FLEETS[preset](size, **table)


def _get_table(document: Table, name: str) -> dict[str, Any]:
    """Return a copy of one of the document's tables."""
    check_tables(document)
    if name not in document:
        raise FleetError(name, None, f"there is no table [{name}]")
    return _to_table(name, document[name])


def _to_table(path: str, content: Any) -> dict[str, Any]:
    """Return a copy of a table, or refuse a value that is none."""
    if not isinstance(content, Mapping):
        raise FleetError(path, content, f"{path} is a table: write [{path}] and its values below")
    return dict(content)


@contextmanager
def _prefix_path(path: str) -> Iterator[None]:
    """Add the path of a table to the field and the message of an error that is raised in the block."""
    try:
        yield
    except FleetError as error:
        raise FleetError(f"{path}.{error.field}", error.value, f"{path}: {error}") from error


@contextmanager
def _prefix_errors(path: Path | str) -> Iterator[None]:
    """Add the path of a file to the message of an error that is raised in the block."""
    try:
        yield
    except FleetError as error:
        raise FleetError(error.field, error.value, f"{path}: {error}") from error


def _build_dataclass(cls: Callable[..., T], path: str, content: Any) -> T:
    """Return a dataclass object from a table whose keys are the names of its fields."""
    table = _to_table(path, content)
    known = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]
    for name in table:
        require_known_name(path, name, known)
    for name, field in known.items():
        if name not in table and _is_required(field):
            raise FleetError(f"{path}.{name}", None, f"{path}.{name} is missing")
    with _prefix_path(path):
        return cls(**table)


def _is_required(field: Field[Any]) -> bool:
    """Return whether a field of a dataclass has no default."""
    return field.default is MISSING and field.default_factory is MISSING


def _replace_fields(path: str, base: T, changes: Table) -> T:
    """Return a copy of a dataclass object with some fields changed."""
    known = [field.name for field in fields(base)]  # type: ignore[arg-type]
    for name in changes:
        require_known_name(path, name, known)
    with _prefix_path(path):
        return replace(base, **changes)  # type: ignore[type-var]


# The readers of the values in the table ``plan``: each takes the path of the value, the value, and the preset.


def _read_plain_value(_path: str, content: Any, _base: Plan) -> Any:
    """Return a value that needs no conversion. The plan checks it."""
    return content


def _read_update(path: str, content: Any, base: Plan) -> Update:
    """Return the update of the preset with the changes in the table."""
    table = _to_table(path, content)
    if not isinstance(table.get("version_given", True), bool):
        raise FleetError(f"{path}.version_given", table["version_given"], f"{path}.version_given is true or false")
    return _replace_fields(path, base.update, table)


def _read_waves(path: str, content: Any, _base: Plan) -> tuple[Wave, ...]:
    """Return the waves of a list of tables."""
    if not isinstance(content, list):
        raise FleetError(path, content, f"{path} is a list of tables: write [[{path}]] for each wave")
    return tuple(_read_wave(f"{path}[{number}]", wave) for number, wave in enumerate(content, 1))


def _read_wave(path: str, content: Any) -> Wave:
    """Return the wave of a table."""
    table = _to_table(path, content)
    if "gate" in table:
        gate = _to_table(f"{path}.gate", table["gate"])
        kind = require_known_name(f"{path}.gate.kind", gate.pop("kind", None), GATES)
        table["gate"] = _build_dataclass(GATES[kind], f"{path}.gate", gate)
    return _build_dataclass(Wave, path, table)


def _read_rate(path: str, content: Any, _base: Plan) -> Rate:
    """Return the rate of a table."""
    return _build_dataclass(Rate, path, content)


def _read_abort(path: str, content: Any, _base: Plan) -> Abort:
    """Return the abort criterion of a table."""
    return _build_dataclass(Abort, path, content)


_FIELD_READERS: Final[Mapping[str, Callable[[str, Any, Plan], Any]]] = {
    "update": _read_update,
    "waves": _read_waves,
    "rate": _read_rate,
    "abort": _read_abort,
}
"""The readers of the keys of the table ``plan`` whose values are tables."""
