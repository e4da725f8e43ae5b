"""The wire inspector: the bytes of a CUPS message beside the names of its parts.

If the user chooses a part, its bytes are framed. If the user moves to a byte, the part that holds it is chosen.
``cups.annotate`` says which bytes form which part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Final

from lorafw import example
from lorafw.cups.annotate import Part, annotate_request, annotate_response, field_at
from lorafw.cups.codec import encode_request, encode_response
from lorafw.cups.messages import UpdateInfoRequest, UpdateInfoResponse
from lorafw.errors import LabError
from lorafw.firmware.signing import sign_update
from lorafw.lab.panels.base import Panel, button, dropdown, slider, wide
from lorafw.lab.panels.html import (
    SafeHtml,
    bold,
    break_anywhere,
    heading,
    highlight,
    html,
    inverse,
    keep_on_one_line,
    preformatted,
    side_by_side,
    table,
)
from lorafw.lab.panels.signature_workbench import TRUSTED_KEY

BYTES_PER_LINE: Final = 16
MAX_VALUE_CHARS: Final = 64
"""Number of characters of a part's value that are shown."""
MAX_LINES: Final = 18
"""Number of lines of the hex dump that are shown. A longer message is shown around the chosen part."""


RequestSource = bytes | UpdateInfoRequest | None
"""A request, the bytes of its body, or None for the request of AWS's example."""
ResponseSource = bytes | UpdateInfoResponse | None
"""A response, the bytes of its body, or None for the response of AWS's example."""


@dataclass(frozen=True, slots=True)
class MessageView:
    """A message of the CUPS protocol, and the byte that the user has moved to."""

    name: str
    body: bytes
    parts: tuple[Part, ...]
    """The parts of the body, in order and without gaps."""
    offset: int = 0
    """Number of the byte, from 0."""

    @property
    def part(self) -> Part:
        """The chosen part: the one that holds the byte."""
        return field_at(list(self.parts), self.offset)

    @property
    def part_index(self) -> int:
        """Number of the chosen part, from 0."""
        return self.parts.index(self.part)

    def move_to(self, offset: int) -> MessageView:
        """Return the view with another byte. An offset beyond the body becomes the first or last byte."""
        return replace(self, offset=max(0, min(offset, len(self.body) - 1)))

    def select(self, index: int) -> MessageView:
        """Return the view with the first byte of a part."""
        return self.move_to(self.parts[index].start)

    def select_previous(self) -> MessageView:
        """Return the view with the first byte of the previous part. The last part precedes the first one."""
        return self.select(self.part_index - 1)

    def select_next(self) -> MessageView:
        """Return the view with the first byte of the next part. The first part follows the last one."""
        return self.select((self.part_index + 1) % len(self.parts))

    @property
    def visible_range(self) -> range:
        """The bytes of the lines that are shown."""
        last_line = (len(self.body) - 1) // BYTES_PER_LINE
        # A third of the lines is above the chosen byte, unless the message begins or ends before.
        wanted_first = self.offset // BYTES_PER_LINE - MAX_LINES // 3
        first_line = max(0, min(wanted_first, last_line - MAX_LINES + 1))
        start = first_line * BYTES_PER_LINE
        stop = start + MAX_LINES * BYTES_PER_LINE
        return range(start, min(stop, len(self.body)))


def example_request() -> UpdateInfoRequest:
    """Return a request of the gateway in AWS's example, with the key that the lab trusts."""
    version = example.CURRENT_VERSION
    return UpdateInfoRequest(
        router=example.GATEWAY_EUI,
        cups_uri="http://localhost:7007",
        cups_cred_crc=2077607535,
        tc_cred_crc=2077607535,
        station=version.station,
        model=version.model,
        package=version.package,
        keys=(TRUSTED_KEY.public_key.crc,),
    )


def example_response() -> UpdateInfoResponse:
    """Return the response that sends a signed update to the gateway in AWS's example."""
    update = example.update_file()
    signed = sign_update(TRUSTED_KEY, update)
    return UpdateInfoResponse(key_crc=signed.key_crc, signature=signed.signature, update=update)


class WireInspector(Panel):
    """A notebook widget that shows the bytes of a request or its response beside the names of their parts."""

    def __init__(self, request: RequestSource = None, response: ResponseSource = None) -> None:
        """Create the controls, and draw the request.

        Args:
            request: The request, as a message or as the bytes of its body. None means that of AWS's example.
            response: The response, as a message or as the bytes of its body. None means that of AWS's example.

        Raises:
            LabError: The response is empty.
        """
        super().__init__()
        self._views = {"request": _view_request(request), "response": _view_response(response)}
        """Each message with the byte that the user has moved to, by name."""
        self._create_controls()
        self.build(
            (wide(self.message), wide(self.segment), self.previous, self.next),
            (wide(self.offset),),
        )

    def _create_controls(self) -> None:
        """Create the controls and connect them to their actions."""
        self.message = self.connect(dropdown("Message", list(self._views)))
        # A drop-down and buttons, not a list box: JupyterLab uses the arrow keys to go from cell to cell.
        # ``refresh`` replaces the options of the drop-down and the range of the slider with those of the message.
        self.segment = self.connect(dropdown("Part", ["?"]), self._select_part)
        self.previous = self.connect(button("Previous part", "Go to the part before it"), self._select_previous_part)
        self.next = self.connect(button("Next part", "Go to the part after it"), self._select_next_part)
        self.offset = self.connect(slider("Byte", value=0, minimum=0, maximum=1), self._move_to_byte)

    @property
    def shown_message(self) -> MessageView:
        """The message that is shown, with the byte that the user has moved to."""
        return self._views[self.message.value]

    def _show(self, view: MessageView) -> None:
        """Replace the view of a message. The caller draws the panel."""
        self._views[view.name] = view

    def _select_part(self) -> None:
        """Move to the part that was chosen in the drop-down. It has no choice while its options change."""
        if self.segment.index is not None:
            self._show(self.shown_message.select(self.segment.index))

    def _select_previous_part(self) -> None:
        """Move to the previous part."""
        self._show(self.shown_message.select_previous())

    def _select_next_part(self) -> None:
        """Move to the next part."""
        self._show(self.shown_message.select_next())

    def _move_to_byte(self) -> None:
        """Move to the byte of the slider."""
        self._show(self.shown_message.move_to(self.offset.value))

    def refresh(self) -> None:
        """Set the controls to the parts, the chosen part and the byte of the message."""
        view = self.shown_message
        options = tuple(f"{part.name}: bytes {part.start} to {part.stop - 1}" for part in view.parts)
        if tuple(self.segment.options) != options:
            self.segment.options = options
        self.segment.index = view.part_index
        self.offset.max = len(view.body) - 1
        self.offset.value = view.offset

    def html(self) -> SafeHtml:
        """Return the hex dump and a table of the parts, side by side."""
        return message_html(self.shown_message)

    def text(self) -> str:
        """Return the parts, and the first bytes of the chosen one."""
        return message_text(self.shown_message)


def message_html(view: MessageView) -> SafeHtml:
    """Return the hex dump of a message and a table of its parts, side by side.

    Args:
        view: The message, with the byte that the user has moved to.
    """
    visible = view.visible_range
    title = heading(f"{view.name}, {len(view.body)} bytes; shown {visible.start} to {visible.stop - 1}")
    dump = preformatted(_hex_dump(view))
    rows = [_part_row(part, is_chosen=part is view.part) for part in view.parts]
    parts = table(("part", "bytes", "value"), rows, "Its parts, in order")
    return side_by_side((SafeHtml(title + dump), 542), (parts, 270))


def message_text(view: MessageView) -> str:
    """Return the parts of a message, and the first bytes of the chosen part, as plain text.

    Args:
        view: The message, with the byte that the user has moved to.
    """
    lines = [f"{view.name}, {len(view.body)} bytes"]
    for part in view.parts:
        lines.append(f"{part.start:6} to {part.stop - 1:<6} {part.name:12} {_shorten(part.value)}")
    first_bytes = view.body[view.part.start : view.part.stop][:BYTES_PER_LINE]
    lines.append(f"chosen: {view.part.name} {first_bytes.hex(' ')}")
    return "\n".join(lines)


def _view_request(request: RequestSource) -> MessageView:
    """Return the view of a request. None stands for the example."""
    if request is None:
        request = example_request()
    body = encode_request(request) if isinstance(request, UpdateInfoRequest) else request
    return MessageView("request", body, tuple(annotate_request(body)))


def _view_response(response: ResponseSource) -> MessageView:
    """Return the view of a response. None stands for the example. Raises LabError if there are no bytes."""
    if response is None:
        response = example_response()
    body = encode_response(response) if isinstance(response, UpdateInfoResponse) else response
    if not body:
        raise LabError("response: there are no bytes to look at; a reply with nothing to do has 14")
    return MessageView("response", body, tuple(annotate_response(body)))


def _part_row(part: Part, *, is_chosen: bool) -> tuple[object, ...]:
    """Return the cells of a part: its name, its bytes and its value."""
    byte_range = keep_on_one_line(f"{part.start} to {part.stop - 1}")
    value = break_anywhere(_shorten(part.value))
    if is_chosen:
        return (highlight(keep_on_one_line(f"▶ {part.name}")), bold(byte_range), bold(value))
    return (part.name, byte_range, value)


def _shorten(text: str) -> str:
    """Return the text with at most ``MAX_VALUE_CHARS`` characters."""
    if len(text) <= MAX_VALUE_CHARS:
        return text
    return text[: MAX_VALUE_CHARS - 1] + "…"


def _hex_dump(view: MessageView) -> SafeHtml:
    """Return the visible lines: offset, bytes in hex, and characters.

    The chosen part is framed, and the byte that the user has moved to is white on black.
    """
    visible = view.visible_range
    lines = []
    for start in range(visible.start, visible.stop, BYTES_PER_LINE):
        offsets = range(start, min(start + BYTES_PER_LINE, visible.stop))
        hex_digits = _styled_runs(view, offsets, _hex_digits, " ")
        characters = _styled_runs(view, offsets, _printable, "")
        padding = "   " * (BYTES_PER_LINE - len(offsets))
        lines.append(f"{start:06x}  {hex_digits}{padding}  {characters}")
    return SafeHtml("\n".join(lines))


def _hex_digits(byte: int) -> str:
    return f"{byte:02x}"


def _printable(byte: int) -> str:
    """Return the ASCII character, or a dot for a byte that cannot be printed."""
    return chr(byte) if 0x20 <= byte < 0x7F else "."


def _styled_runs(view: MessageView, offsets: range, show: Callable[[int], str], separator: str) -> str:
    """Return the bytes of one line as HTML. Neighbours in the same style become one element.

    Args:
        view: The message.
        offsets: The bytes of the line.
        show: Returns the text of a byte.
        separator: The text between two bytes.
    """
    runs = []
    for style, run in groupby(offsets, partial(_style_of, view)):
        texts = [show(view.body[offset]) for offset in run]
        runs.append(style(separator.join(texts)))
    return separator.join(runs)


def _style_of(view: MessageView, offset: int) -> Callable[[object], SafeHtml]:
    """Return the function that formats this byte."""
    if offset == view.offset:
        return inverse
    if view.part.start <= offset < view.part.stop:
        return highlight
    return html
