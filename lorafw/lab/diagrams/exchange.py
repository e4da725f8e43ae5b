"""The sequence of a CUPS exchange, drawn from a request and a response that are encoded, and from the station's log."""

from __future__ import annotations

import json
import textwrap
from typing import Final

from lorafw.cups.annotate import annotate_response
from lorafw.cups.codec import encode_request, encode_response
from lorafw.cups.messages import UpdateInfoRequest, UpdateInfoResponse
from lorafw.firmware.signing import UpdateSignature
from lorafw.lab.diagrams.canvas import BLUE, GREEN, SMALL, YELLOW, Canvas, Diagram
from lorafw.lab.panels.signature_workbench import TRUSTED_KEY, WorkbenchState
from lorafw.lab.panels.wire_inspector import example_request, example_response
from lorafw.station.log import Level

_COLUMNS: Final = {"gateway": 130, "CUPS server": 480, "update service": 690, "S3": 880}
"""The participants, each with the x coordinate of its line."""
_FILLS: Final = {"gateway": YELLOW, "CUPS server": BLUE, "update service": BLUE, "S3": GREEN}
_NOTE_CHARS: Final = 52
"""Number of characters after which a note is wrapped."""
_MIN_LABEL_CHARS: Final = 20
_PX_PER_CHAR: Final = 7
"""Width of a small letter, rounded up, so that a label is not longer than its arrow."""
_FIRST_MESSAGE_Y: Final = 115.0
_LINE_HEIGHT: Final = 16
_ARROW_RISE: Final = 2
"""Distance from the next line of text up to an arrow."""
_STEP_PX: Final = 22
"""Distance from an arrow down to the next text."""
_NOTE_GAP: Final = 12
"""Distance from a participant's line to its note."""
_WIDTH: Final = 960
_HEIGHT_WITHOUT_LOG: Final = 380
_BOX_TOP: Final = 52
_BOX_WIDTH: Final = 130
_BOX_HEIGHT: Final = 38
_BOTTOM_MARGIN: Final = 20


class _Sequence:
    """Draws the messages of a sequence diagram from top to bottom, and collects them as sentences.

    Each participant has a vertical line. A message is an arrow from the line of its sender to that of its receiver.
    """

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas
        self._y = _FIRST_MESSAGE_Y
        """Where the next text is drawn."""
        self.sentences: list[str] = []
        """What was drawn so far, in words."""

    def add_message(self, sender: str, receiver: str, text: str) -> None:
        """Draw an arrow with a text above it, in as many lines as it needs to be no wider than the arrow."""
        start_x, end_x = _COLUMNS[sender], _COLUMNS[receiver]
        middle_x = (start_x + end_x) / 2
        max_chars = max(_MIN_LABEL_CHARS, abs(end_x - start_x) // _PX_PER_CHAR)
        for line in textwrap.wrap(text, max_chars):
            self._canvas.label((middle_x, self._y), line)
            self._y += _LINE_HEIGHT
        arrow_y = self._y - _ARROW_RISE
        self._canvas.line((start_x, arrow_y), (end_x, arrow_y), arrow=True)
        self._y += _STEP_PX
        self.sentences.append(f"{sender} to {receiver}: {text}")

    def add_notes(self, participant: str, notes: list[str]) -> None:
        """Draw what a participant does: notes below each other, to the right of its line. A long note is wrapped."""
        note_x = _COLUMNS[participant] + _NOTE_GAP
        for note in notes:
            for line in textwrap.wrap(note, _NOTE_CHARS, subsequent_indent="    "):
                self._canvas.text((note_x, self._y), line, anchor="start", size=SMALL)
                self._y += _LINE_HEIGHT
        self.sentences.append(f"{participant}: {', '.join(notes)}")


def cups_exchange(request: UpdateInfoRequest | None = None, response: UpdateInfoResponse | None = None) -> Diagram:
    """Return a sequence diagram of an exchange in which an update is sent.

    Args:
        request: The request. None means that of AWS's example.
        response: The response, which contains an update. None means that of AWS's example.
    """
    request = request or example_request()
    response = response or example_response()
    log = _station_log(response)
    height = _HEIGHT_WITHOUT_LOG + _LINE_HEIGHT * len(log)
    canvas = Canvas("A CUPS exchange that sends an update", _WIDTH, height)
    _draw_participants(canvas, height)
    sequence = _Sequence(canvas)
    request_members = ", ".join(json.loads(encode_request(request)))
    sequence.add_message("gateway", "CUPS server", f"POST /update-info: {request_members}")
    sequence.add_message("CUPS server", "update service", "Station, PackageVersion, Model")
    sequence.add_message("update service", "S3", "GetObject, through the role")
    sequence.add_message("S3", "update service", "update file")
    sequence.add_message("update service", "CUPS server", "update and signature")
    sequence.add_message("CUPS server", "gateway", f"200: {', '.join(_content_names(response))}")
    sequence.add_notes("gateway", log)
    return canvas.finish(f"A CUPS exchange that sends an update, in order. {'; '.join(sequence.sentences)}.")


def _draw_participants(canvas: Canvas, height: int) -> None:
    """Draw a box for each participant, and a dashed line from it to the lower edge of the diagram."""
    for name, x in _COLUMNS.items():
        canvas.line((x, _BOX_TOP + _BOX_HEIGHT), (x, height - _BOTTOM_MARGIN), dashed=True)
        canvas.box(x - _BOX_WIDTH / 2, _BOX_TOP, _BOX_WIDTH, _BOX_HEIGHT, [name], _FILLS[name])


def _content_names(response: UpdateInfoResponse) -> list[str]:
    """Return the names of the parts of a response, without the lengths that stand before them."""
    parts = annotate_response(encode_response(response))
    return [part.name for part in parts if not part.name.endswith("Len")]


def _station_log(response: UpdateInfoResponse) -> list[str]:
    """Return what a station with the lab's key logs about the response at the level INFO."""
    signed = None
    if response.signature:
        signed = UpdateSignature(response.signature, response.key_crc)
    state = WorkbenchState(response.update, signed, sig_keys=(TRUSTED_KEY.public_key.sig_key,))
    result, _ = state.evaluate()
    return [line.text for line in result.log if line.level >= Level.INFO]
