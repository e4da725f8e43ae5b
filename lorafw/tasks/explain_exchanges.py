"""Describes the last CUPS exchanges of a gateway, and when the next one is expected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lorafw.clock import format_iso
from lorafw.tasks.decision import Evidence
from lorafw.tasks.explanation_text import format_duration, format_name
from lorafw.tasks.model import ExchangeRecord, ReplyState
from lorafw.tasks.snapshot import Snapshot

RESYNC_MS: Final = 60 * 1000
"""How long a station waits after a failed exchange before it tries again (observed)."""

OKSYNC_MS: Final = 24 * 3600 * 1000
"""How long a station waits after a successful exchange, unless its station.conf says otherwise (observed)."""


def exchange_lines(snapshot: Snapshot) -> Iterator[str]:
    """Describe the last exchanges, and when the next one is expected."""
    if not snapshot.exchanges:
        return
    yield f"Last {len(snapshot.exchanges)} exchange(s):"
    for exchange in snapshot.exchanges:
        package = _format_package(exchange.presented.package)
        yield f"  {format_iso(exchange.time_ms)} presented {package}, got {exchange.answer}"
    yield _next_exchange_line(snapshot.exchanges, snapshot.now_ms)


def _format_package(package: str | None) -> str:
    """Return a package as text. In quotes if it has characters that are easily overlooked."""
    if package is None:
        return "no PackageVersion"
    # Blanks at the ends or side by side, and control characters, can only be seen in the quoted form.
    is_plain = package.isprintable() and package == " ".join(package.split())
    return format_name(package) if is_plain else repr(package)


def _next_exchange_line(exchanges: tuple[ExchangeRecord, ...], now_ms: int) -> str:
    """Say when the next exchange is expected."""
    interval_ms, assumption = _expected_interval(exchanges)
    expected_ms = exchanges[-1].time_ms + interval_ms
    late_ms = now_ms - expected_ms
    distance = f"; that was {format_duration(late_ms)} ago" if late_ms > 0 else f", in {format_duration(-late_ms)}"
    return f"The next is due {format_iso(expected_ms)}{distance}, {assumption}."


def _expected_interval(exchanges: tuple[ExchangeRecord, ...]) -> tuple[int, str]:
    """Return the expected time between the last exchange and the next, in ms, and the assumption behind it.

    A request does not say how often the gateway polls, so this can only be inferred from the last two exchanges.
    """
    last = exchanges[-1]
    if last.answer is ReplyState.BROKEN:
        return RESYNC_MS, f"if it tries again as a station does after a broken reply ({Evidence.OBSERVED})"
    if len(exchanges) == 1:
        return OKSYNC_MS, f"if it keeps a station's regular check of 24 h ({Evidence.OBSERVED})"
    interval_ms = last.time_ms - exchanges[-2].time_ms
    return interval_ms, f"if it keeps the {format_duration(interval_ms)} between the last two"
