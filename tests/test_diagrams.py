"""The diagrams are drawn from the tables of the code, can be read without seeing them, and display everywhere."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lorafw.cups.codec import encode_response
from lorafw.cups.messages import EMPTY_RESPONSE, UpdateInfoResponse
from lorafw.cups.parser import Segment
from lorafw.errors import LabError
from lorafw.fleet.presets import canary_plan, typical_plan, waves_plan
from lorafw.lab import diagrams
from lorafw.lab.diagrams import canvas
from lorafw.lab.diagrams.canvas import Diagram
from lorafw.tasks.lifecycle import TRANSITIONS, TaskEvent, TaskStatus
from lorafw.tasks.policy import Policy

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(params=diagrams.__all__)
def draw(request: pytest.FixtureRequest) -> Callable[[], Diagram]:
    return getattr(diagrams, request.param)


def texts(diagram: Diagram) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(diagram.svg).iter(f"{SVG}text")]


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours, as WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
        return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_a_diagram_has_a_title_and_a_text_alternative_inside_and_outside(draw: Callable[[], Diagram]) -> None:
    diagram = draw()
    root = ElementTree.fromstring(diagram.svg)
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert description is not None
    assert (root.get("role"), root.get("aria-labelledby")) == ("img", f"{title.get('id')} {description.get('id')}")
    assert (title.text, description.text) == (diagram.title, diagram.alt)
    bundle = diagram._repr_mimebundle_()
    assert bundle["text/plain"] == diagram.alt == repr(diagram)
    source = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', bundle["text/html"])
    assert source is not None
    assert base64.b64decode(source[1]).decode() == diagram.svg


def test_a_diagram_drawn_twice_is_the_same_and_can_be_saved(draw: Callable[[], Diagram], tmp_path: Path) -> None:
    diagram = draw()
    diagram.save(tmp_path / "diagram.svg")
    assert (tmp_path / "diagram.svg").read_text() == draw().svg


def test_a_diagram_has_its_own_background_on_which_all_its_text_can_be_read(draw: Callable[[], Diagram]) -> None:
    root = ElementTree.fromstring(draw().svg)
    background, *boxes = root.findall(f"{SVG}rect")
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    assert float(background.get("width", 0)) >= width - 1
    assert float(background.get("height", 0)) >= height - 1
    inks = {element.get("fill", "") for element in root.iter(f"{SVG}text")}
    fills = {box.get("fill", "") for box in (background, *boxes)}
    assert all(contrast(ink, fill) >= 7 for ink in inks for fill in fills)


def test_every_text_and_box_is_inside_the_picture(draw: Callable[[], Diagram]) -> None:
    root = ElementTree.fromstring(draw().svg)
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for text in root.iter(f"{SVG}text"):
        half = len(text.text or "") * float(text.get("font-size", 0)) * 0.56 / 2
        middle = float(text.get("x", 0)) + {"start": half, "middle": 0, "end": -half}[text.get("text-anchor", "")]
        assert middle - half >= 0, text.text
        assert middle + half <= width, text.text
        assert 0 < float(text.get("y", 0)) < height, text.text
    for box in root.iter(f"{SVG}rect"):
        assert float(box.get("x", 0)) + float(box.get("width", 0)) <= width
        assert float(box.get("y", 0)) + float(box.get("height", 0)) <= height


def test_the_overview_has_the_five_steps_in_order_and_the_versions_that_are_given() -> None:
    diagram = diagrams.update_overview("2.0.0", "2.1.0")
    steps = [text for text in texts(diagram) if re.match(r"\d\. ", text)]
    assert sorted(steps) == ["1. upload", "2. define", "3. CUPS: I run 2.0.0", "4. CUPS: 2.1.0, signed", "5. status"]
    assert "version.txt: 2.0.0" in texts(diagram)
    assert re.findall(r"\. (\d)\. ", diagram.alt) == list("12345")


def test_the_states_are_those_of_the_transition_table() -> None:
    diagram = diagrams.task_states()
    assert set(TaskStatus) <= set(texts(diagram))
    for (source, event), target in TRANSITIONS.items():
        assert re.search(rf"{source}: [^;]*{event}[^;]* leads to {target}", diagram.alt)


def test_a_transition_that_is_added_or_removed_changes_the_states() -> None:
    silence = (TaskStatus.PENDING, TaskEvent.SILENCE)
    more = diagrams.task_states({**TRANSITIONS, silence: TaskStatus.FAILED})
    assert "PENDING: silence leads to FAILED" in more.alt
    assert more.svg.count("<line") == diagrams.task_states().svg.count("<line") + 1
    fewer = diagrams.task_states({edge: end for edge, end in TRANSITIONS.items() if edge[1] != TaskEvent.SILENCE})
    assert "silence" not in fewer.alt + " ".join(texts(fewer))


def test_sends_are_at_0_24_and_48_hours_and_the_task_fails_at_72() -> None:
    diagram = diagrams.send_timeline()
    assert "send 1 at 0 h (IN_PROGRESS), send 2 at 24 h (FIRST_RETRY), send 3 at 48 h (SECOND_RETRY)" in diagram.alt
    assert "FAILED at 72 h if the gateway polls again, or at 96 h if it is silent" in diagram.alt
    assert {"0 h", "24 h", "48 h", "72 h", "96 h"} <= set(texts(diagram))


def test_another_interval_policy_or_table_changes_the_timeline() -> None:
    assert "send 3 at 12 h" in diagrams.send_timeline(6 * 3600).alt
    assert "or at 58 h" in diagrams.send_timeline(policy=Policy(silence_timeout_s=10 * 3600)).alt
    end_after_two = {**TRANSITIONS, (TaskStatus.FIRST_RETRY, TaskEvent.ATTEMPT_FAILED): TaskStatus.FAILED}
    shorter = diagrams.send_timeline(transitions=end_after_two)
    assert "FAILED at 48 h if the gateway polls again" in shorter.alt
    assert "send 3" not in shorter.alt


def test_the_exchange_shows_the_members_of_the_request_and_what_the_station_logs() -> None:
    diagram = diagrams.cups_exchange()
    assert "router, cupsUri, tcUri, cupsCredCrc, tcCredCrc, station, model, package, keys" in diagram.alt
    assert "200: keyCRC, sig, updData" in diagram.alt
    assert "ECDSA key#0 -> VERIFIED" in texts(diagram)
    unsigned = diagrams.cups_exchange(response=UpdateInfoResponse(update=b"update"))
    assert "200: updData;" in unsigned.alt
    assert "Keyfile present, but no signature provided" in unsigned.alt
    assert "VERIFIED" not in unsigned.alt


def test_the_layout_has_every_segment_of_the_codec_with_its_length() -> None:
    diagram = diagrams.reply_layout()
    lengths = [int(size) for size in re.findall(r"Len (\d) bytes? from", diagram.alt)]
    assert lengths == [segment.length_bytes for segment in Segment]
    nothing = diagrams.reply_layout(encode_response(EMPTY_RESPONSE))
    assert nothing.alt.startswith("The layout of a CUPS response of 14 bytes")
    assert "updData" not in nothing.alt


def test_trust_and_permission_are_those_of_the_policies() -> None:
    diagram = diagrams.trust_and_permission()
    assert {"iotwireless.amazonaws.com", "sts:AssumeRole", "s3:GetObject"} <= set(texts(diagram))
    other = {"Statement": {"Effect": "Allow", "Action": "s3:GetObjectVersion", "Resource": "arn:aws:s3:::other/file"}}
    changed = diagrams.trust_and_permission(permission_policy=json.dumps(other))
    assert {"s3:GetObjectVersion", "other/file"} <= set(texts(changed))
    assert "s3:GetObject" not in texts(changed)


def test_the_waves_are_those_of_the_plan() -> None:
    canary = diagrams.rollout_waves(canary_plan())
    assert [text for text in texts(canary) if text.startswith("wave ")] == [
        "wave 1: 1 %",
        "wave 2: 10 %",
        "wave 3: 89 %",
    ]
    waves = diagrams.rollout_waves(waves_plan())
    assert "go at 90 % COMPLETED, stop at 10 % FAILED" in waves.alt
    assert texts(waves).count("gate") == 3
    with pytest.raises(LabError, match="has no waves"):
        diagrams.rollout_waves(typical_plan())


def test_a_status_has_the_colour_of_its_chip_and_every_status_has_one() -> None:
    assert set(canvas.STATUS_FILLS) == set(TaskStatus)
