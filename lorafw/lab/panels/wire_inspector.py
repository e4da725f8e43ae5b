"""The wire inspector: bytes on one side, their names on the other, linked both ways.

Choose a part, and its bytes are framed; move to a byte, and the part in which it lies is chosen. Which bytes are what
is told by ``cups.annotate``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

import ipywidgets

from lorafw import example
from lorafw.cups.annotate import Part, annotate_request, annotate_response, field_at
from lorafw.cups.codec import encode_request, encode_response
from lorafw.cups.messages import UpdateInfoRequest, UpdateInfoResponse
from lorafw.errors import LabError
from lorafw.firmware.signing import KeyPair, sign_update
from lorafw.lab.panels.base import Panel, button, dropdown, slider
from lorafw.lab.panels.html import (
    SafeHtml,
    bold,
    break_anywhere,
    heading,
    highlight,
    html,
    inverse,
    preformatted,
    side_by_side,
    table,
)
from lorafw.lab.panels.signature_workbench import KEYS

WIDTH: Final = 16
"""Bytes in a line."""
MAX_LINES: Final = 18
"""So many lines are shown, around the chosen part; what a long update holds is elsewhere to be seen."""


@dataclass(frozen=True, slots=True)
class MessageView:
    """One message and the byte that is looked at."""

    name: str
    body: bytes
    parts: tuple[Part, ...]
    offset: int = 0

    @property
    def part(self) -> Part:
        return field_at(list(self.parts), self.offset)

    def at(self, offset: int) -> MessageView:
        return replace(self, offset=max(0, min(offset, len(self.body) - 1)))

    def choose(self, index: int) -> MessageView:
        """Look at the first byte of a part."""
        return self.at(self.parts[index].start)

    @property
    def window(self) -> range:
        """The bytes of the lines that are shown."""
        last_line = (len(self.body) - 1) // WIDTH
        first = max(0, min(self.offset // WIDTH - MAX_LINES // 3, last_line - MAX_LINES + 1))
        return range(first * WIDTH, min(len(self.body), (first + MAX_LINES) * WIDTH))


def example_request() -> UpdateInfoRequest:
    """What the documented gateway presents; its key is the lab's."""
    version = example.CURRENT_VERSION
    return UpdateInfoRequest(
        router=example.GATEWAY_EUI,
        cups_uri="http://localhost:7007",
        cups_cred_crc=2077607535,
        tc_cred_crc=2077607535,
        station=version.station,
        model=version.model,
        package=version.package,
        keys=(_key().public_key.crc,),
    )


def example_response() -> UpdateInfoResponse:
    """The reply that sends it a signed update."""
    update = example.update_file()
    signed = sign_update(_key(), update)
    return UpdateInfoResponse(key_crc=signed.key_crc, signature=signed.signature, update=update)


def _key() -> KeyPair:
    return next(iter(KEYS.values()))


class WireInspector(Panel):
    """``wire`` is the state. Give bytes or messages; without any, it shows the documented gateway's."""

    def __init__(
        self,
        request: bytes | UpdateInfoRequest | None = None,
        response: bytes | UpdateInfoResponse | None = None,
    ) -> None:
        super().__init__()
        request = example_request() if request is None else request
        response = example_response() if response is None else response
        sent = encode_request(request) if isinstance(request, UpdateInfoRequest) else request
        got = encode_response(response) if isinstance(response, UpdateInfoResponse) else response
        if not got:
            raise LabError("response: there are no bytes to look at; a reply with nothing to do has 14")
        self._wires = {
            "request": MessageView("request", sent, tuple(annotate_request(sent))),
            "response": MessageView("response", got, tuple(annotate_response(got))),
        }
        self.wire = self._wires["request"]
        self.message = self.reacts(
            ipywidgets.ToggleButtons(description="Message", options=list(self._wires), style={"button_width": "120px"}),
            self._choose_message,
        )
        # A drop-down and buttons: a list box's arrow keys would be taken by JupyterLab, to go from cell to cell.
        self.segment = self.reacts(dropdown("Part", ["?"], "380px"), self._choose_part)
        self.previous = self.reacts(button("Previous part", "Go to the part before"), lambda: self._step(-1))
        self.next = self.reacts(button("Next part", "Go to the part behind"), lambda: self._step(1))
        self.offset = self.reacts(slider("Byte", 0, 0, 1), self._move)
        self.assemble(self.message, (self.segment, self.previous, self.next), (self.offset,))

    def _choose_message(self) -> None:
        self._wires[self.wire.name] = self.wire
        self.wire = self._wires[self.message.value]

    def _choose_part(self) -> None:
        if self.segment.index is not None:
            self.wire = self.wire.choose(self.segment.index)

    def _step(self, by: int) -> None:
        self.wire = self.wire.choose((self.wire.parts.index(self.wire.part) + by) % len(self.wire.parts))

    def _move(self) -> None:
        self.wire = self.wire.at(self.offset.value)

    def refresh(self) -> None:
        options = [f"{part.name}: bytes {part.start} to {part.stop - 1}" for part in self.wire.parts]
        if tuple(self.segment.options) != tuple(options):
            self.segment.options = options
        self.segment.index = self.wire.parts.index(self.wire.part)
        self.offset.max = len(self.wire.body) - 1
        self.offset.value = self.wire.offset

    def html(self) -> SafeHtml:
        wire = self.wire
        parts = table(("part", "bytes", "value"), (_row(wire, part) for part in wire.parts), "Its parts, in order")
        shown = f"{wire.name}, {len(wire.body)} bytes; shown {wire.window.start} to {wire.window.stop - 1}"
        return SafeHtml(heading(shown) + side_by_side((preformatted(_dump(wire)), 560), (parts, 470)))

    def text(self) -> str:
        wire = self.wire
        rows = [f"{part.start:6} to {part.stop - 1:<6} {part.name:12} {_short(part.value)}" for part in wire.parts]
        chosen = wire.body[wire.part.start : wire.part.stop][:WIDTH].hex(" ")
        return "\n".join((f"{wire.name}, {len(wire.body)} bytes", *rows, f"chosen: {wire.part.name} {chosen}"))


def _row(wire: MessageView, part: Part) -> tuple[object, ...]:
    where = f"{part.start} to {part.stop - 1}"
    cells = (part.name, where, break_anywhere(_short(part.value)))
    return (highlight(f"▶ {part.name}"), bold(where), bold(cells[2])) if part is wire.part else cells


def _short(text: str) -> str:
    return text if len(text) <= 64 else text[:63] + "…"


def _dump(wire: MessageView) -> SafeHtml:
    """Offset, bytes and characters; the chosen part is framed, and white on black the byte that is looked at."""
    lines = []
    for start in range(wire.window.start, wire.window.stop, WIDTH):
        places = range(start, min(start + WIDTH, wire.window.stop))
        pairs = _runs(wire, places, lambda at: f"{wire.body[at]:02x}", " ")
        signs = _runs(wire, places, lambda at: _sign(wire.body[at]), "")
        lines.append(f"{start:06x}  {pairs}{'   ' * (WIDTH - len(places))}  {signs}")
    return SafeHtml("\n".join(lines))


def _sign(byte: int) -> str:
    return chr(byte) if 0x20 <= byte < 0x7F else "."


def _runs(wire: MessageView, places: range, show: Callable[[int], str], between: str) -> str:
    """One line's bytes; those that look alike in one piece."""

    def look(at: int) -> Callable[[object], SafeHtml]:
        if at == wire.offset:
            return inverse
        return highlight if wire.part.start <= at < wire.part.stop else html

    pieces = [(kind, between.join(map(show, group))) for kind, group in groupby(places, look)]
    return between.join(kind(text) for kind, text in pieces)
