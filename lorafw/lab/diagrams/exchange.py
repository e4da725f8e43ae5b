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
from lorafw.lab.panels.signature_workbench import KEYS, WorkbenchState
from lorafw.lab.panels.wire_inspector import example_request, example_response

_COLUMNS: Final = {"gateway": 130, "CUPS server": 480, "update service": 690, "S3": 880}
"""The participants, each with the x coordinate of its line."""
_FILLS: Final = {"gateway": YELLOW, "CUPS server": BLUE, "update service": BLUE, "S3": GREEN}
_NOTE_WIDTH: Final = 52
_STEP_PX: Final = 22


class _Sequence:
    """Draws messages and notes below each other, and collects them as sentences."""

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas
        self._y = 115.0
        self.sentences: list[str] = []

    def message(self, sender: str, receiver: str, text: str) -> None:
        """Draw an arrow with a text above it."""
        start, end = _COLUMNS[sender], _COLUMNS[receiver]
        lines = textwrap.wrap(text, max(20, abs(end - start) // 7))
        for line in lines:
            self._canvas.label(((start + end) / 2, self._y), line)
            self._y += 16
        self._canvas.line((start, self._y - 2), (end, self._y - 2), arrow=True)
        self._y += _STEP_PX
        self.sentences.append(f"{sender} to {receiver}: {text}")

    def note(self, who: str, texts: list[str]) -> None:
        """Draw what a participant does, below each other beside its line."""
        for text in texts:
            for line in textwrap.wrap(text, _NOTE_WIDTH, subsequent_indent="    "):
                self._canvas.text((_COLUMNS[who] + 12, self._y), line, anchor="start", size=SMALL)
                self._y += 16
        self.sentences.append(f"{who}: {', '.join(texts)}")


def cups_exchange(request: UpdateInfoRequest | None = None, response: UpdateInfoResponse | None = None) -> Diagram:
    """Return a sequence diagram of an exchange in which an update is sent.

    Args:
        request: The request. None means that of AWS's example.
        response: The response, which contains an update. None means that of AWS's example.
    """
    request = request or example_request()
    response = response or example_response()
    log = _station_log(response)
    height = 380 + 16 * len(log)
    canvas = Canvas("A CUPS exchange that sends an update", 960, height)
    for name, x in _COLUMNS.items():
        canvas.line((x, 90), (x, height - 20), dashed=True)
        canvas.box(x - 65, 52, 130, 38, [name], _FILLS[name])
    sequence = _Sequence(canvas)
    members = ", ".join(json.loads(encode_request(request)))
    sequence.message("gateway", "CUPS server", f"POST /update-info: {members}")
    sequence.message("CUPS server", "update service", "Station, PackageVersion, Model")
    sequence.message("update service", "S3", "GetObject, through the role")
    sequence.message("S3", "update service", "update file")
    sequence.message("update service", "CUPS server", "update and signature")
    parts = [part.name for part in annotate_response(encode_response(response)) if not part.name.endswith("Len")]
    sequence.message("CUPS server", "gateway", f"200: {', '.join(parts)}")
    sequence.note("gateway", log)
    return canvas.finish(f"A CUPS exchange that sends an update, in order. {'; '.join(sequence.sentences)}.")


def _station_log(response: UpdateInfoResponse) -> list[str]:
    """Return what a station with the lab's key logs about the response."""
    key = next(iter(KEYS.values()))
    signed = None
    if response.signature:
        signed = UpdateSignature(response.signature, response.key_crc)
    state = WorkbenchState(response.update, signed, sig_keys=(key.public_key.sig_key,))
    result, _ = state.evaluate()
    return [line.text for line in result.log]
