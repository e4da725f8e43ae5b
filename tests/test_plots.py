"""Plots of rollouts: their alt texts state the numbers of the result, and they can be read without colour."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from threading import Thread

import pytest
from matplotlib import color_sequences, colormaps
from matplotlib.colors import to_hex, to_rgb

from lorafw.errors import FleetError
from lorafw.fleet import (
    Abort,
    Conditions,
    Plan,
    Result,
    Threshold,
    Update,
    Wave,
    make_fleet,
    mixed_fleet,
    replay,
    simulate,
    typical_plan,
    waves_plan,
)
from lorafw.lab.plots import PICTURES, causes, completion, load, paired_timelines, retries, timeline, waves
from lorafw.lab.plots.figure import BLUE, GREY, ORANGE, SKY, STATUS_STYLES

HOUR_S = 3600


@pytest.fixture(scope="module")
def rollout() -> Result:
    """A thousand gateways, some of each fate."""
    fleet = mixed_fleet(1000, seed=1, wrong_key=0.1, version_differs=0.05)
    return simulate(fleet, typical_plan(fails=0.3), seed=2)


@pytest.fixture(scope="module")
def clockwork() -> Result:
    """Four gateways that poll at 0, 6, 12 and 18 h; nothing goes wrong but for the third, which has not the key."""
    fleet = make_fleet(
        4, phase_ms=[hour * 3_600_000 for hour in (0, 6, 12, 18)], refuses=[False, False, True, False], goodput_Bps=1e6
    )
    return simulate(fleet, Plan(update=Update(size_bytes=1_800_000_000, apply_s=0), silence_timeout_s="never"))


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_an_image_of_1280_by_800_with_its_words(rollout: Result, name: str) -> None:
    picture = PICTURES[name](rollout)
    bundle = picture._repr_mimebundle_()

    class Image(HTMLParser):
        attributes: dict[str, str | None] = {}

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag == "img"
            self.attributes = dict(attrs)

    image = Image()
    image.feed(bundle["text/html"])
    assert bundle["text/plain"] == picture.alt == repr(picture) == image.attributes["alt"]
    png = base64.b64decode((image.attributes["src"] or "").partition(",")[2])
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")) == (1280, 800)
    assert picture.alt.encode() in png
    assert "1,000 gateways" in picture.alt
    assert re.search(r"\d", picture.alt.partition("1,000")[2])
    assert " 0x" not in picture.alt


@pytest.mark.parametrize("name", PICTURES)
def test_equal_results_give_equal_pictures(rollout: Result, name: str) -> None:
    assert PICTURES[name](rollout).png() == PICTURES[name](replay(rollout)).png()


@pytest.mark.parametrize("name", PICTURES)
def test_several_replications_are_said(name: str) -> None:
    alt = PICTURES[name](simulate(mixed_fleet(50), waves_plan(fails=0.5), replications=3)).alt
    assert "3 rollouts" in alt or "the first rollout" in alt


def test_the_timeline_says_the_counts_of_the_result(rollout: Result) -> None:
    alt = timeline(rollout).alt
    hours = [int(hour) for hour in re.findall(r"after (\d+) h", alt)]
    assert len(hours) == 3
    counts = rollout.counts([hours[-1] * HOUR_S])
    last = alt.rpartition("after")[2]
    for name, said in (("COMPLETED", "COMPLETED"), ("FAILED", "FAILED"), ("none", "no task")):
        assert f"{counts[name][0] / 10:.4g} % {said}" in last


def test_the_completion_curve_says_what_never_completes(clockwork: Result) -> None:
    alt = completion(clockwork).alt
    # Three complete half an hour after their polls at 0, 6 and 18 h; a quarter never does. FAILED comes at 84 h.
    assert "75.00 % after 84 h" in alt
    assert "25.00 % never" in alt
    assert "50 % of these after 6.5 h" in alt
    assert "95 % of these after 18.5 h" in alt


def test_the_band_of_the_completion_curve_holds_the_truth_of_the_whole_fleet() -> None:
    fleet = mixed_fleet(200, gone=0.0, conditions=Conditions())
    alt = completion(simulate(fleet, typical_plan(fails=0.5), seed=1, replications=30), level=0.9999).alt
    low, high = map(float, re.findall(r"band ([\d.]+) to ([\d.]+) %", alt)[0])
    assert low < 100 * (1 - 0.5**3) < high
    assert high - low < 5


def test_retries_say_how_many_sends_each_gateway_had(clockwork: Result) -> None:
    alt = retries(clockwork).alt
    assert "1.5 on average" in alt
    assert "COMPLETED 75.00 % at 1" in alt
    assert "FAILED 25.00 % at 3" in alt


def test_causes_say_what_went_wrong_and_how_it_ended(clockwork: Result) -> None:
    assert "wrong-key, 25 % FAILED" in causes(clockwork).alt
    nothing = simulate(make_fleet(3), Plan())
    assert causes(nothing).alt.endswith("nothing went wrong.")
    assert causes(nothing).png()


def test_gone_gateways_are_a_cause_of_their_own() -> None:
    alt = causes(simulate(make_fleet(4, gone=[True, False, False, False]), Plan())).alt
    assert "never polls, 25 % neither" in alt


def test_the_load_counts_the_sends_of_the_busiest_hour(clockwork: Result) -> None:
    alt = load(clockwork).alt
    # One send a gateway, and two more to the one that refuses; 1.8 GB in an hour are 0.5 MB/s.
    assert "6 in all, at most 1 in the hour from 0 h (0.5 MB/s)" in alt


def test_waves_show_when_each_ran_and_what_its_gate_said() -> None:
    gate = Threshold(success=0.9, error=0.5)
    plan = Plan(waves=(Wave(size=10, bake_s=30 * HOUR_S, gate=gate), Wave(size=30)), order="number")
    going = waves(simulate(make_fleet(40), plan)).alt
    assert "wave 1, 10 gateways: 0.0 to 30.0 h; gate: go" in going
    assert "wave 2, 30 gateways: 30.0 to" in going
    bad = simulate(make_fleet(40, refuses=True), plan)
    assert "wave 1, 10 gateways: 0.0 to 72.0 h; gate: abort; wave 2, 30 gateways: did not begin" in waves(bad).alt


def test_a_rollout_that_its_criterion_stops_is_drawn_to_its_end() -> None:
    plan = Plan(abort=Abort(threshold=0.1), waves=(Wave(size=10, bake_s=90 * HOUR_S), Wave(size=10)), order="number")
    result = simulate(make_fleet(20, refuses=True), plan)
    for draw in PICTURES.values():
        assert draw(result).png()
    assert "wave 2, 10 gateways: did not begin" in waves(result).alt


def test_a_fleet_in_which_no_gateway_completes_is_drawn() -> None:
    result = simulate(make_fleet(5, gone=True), Plan())
    for draw in PICTURES.values():
        assert draw(result).png()


def test_areas_have_the_colours_of_rdylbu_and_each_status_has_another_hatch_or_none() -> None:
    steps = [colormaps["RdYlBu"](step / 10) for step in range(11)]
    for name, style in STATUS_STYLES.items():
        if name != "none":
            assert any(to_rgb(style["facecolor"]) == pytest.approx(step[:3], abs=0.01) for step in steps), name
    hatches = [style.get("hatch") for name, style in STATUS_STYLES.items() if name not in ("none", "COMPLETED")]
    assert len(set(hatches)) == len(hatches)
    assert None not in hatches


def test_lines_and_markers_have_the_colours_of_petroff8() -> None:
    assert {BLUE, ORANGE, GREY, SKY} <= {to_hex(colour) for colour in color_sequences["petroff8"]}


def test_rollouts_side_by_side_share_one_time_axis_and_one_scale(rollout: Result, clockwork: Result) -> None:
    picture = paired_timelines([rollout, clockwork], ["First plan: a", "Second plan: b"])
    first, second = picture.figure.axes
    assert first.get_xlim() == second.get_xlim()
    assert first.get_ylim() == second.get_ylim() == (0, 100)
    assert first.get_position().y0 == second.get_position().y0
    end = f"after {first.get_xlim()[1]:.0f} h"
    for title in ("First plan: a", "Second plan: b"):
        assert end in picture.alt.partition(title)[2]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_file_holds_the_words_too(rollout: Result, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture.{suffix}"
    picture = retries(rollout)
    picture.save(path)
    if suffix != "pdf":
        assert (
            picture.alt.replace("'", "&apos;").encode() in path.read_bytes()
            or picture.alt.encode() in path.read_bytes()
        )
    assert path.stat().st_size > 5000


def test_another_suffix_is_refused_with_those_that_can_be_written(rollout: Result, tmp_path: Path) -> None:
    path = tmp_path / "picture.gif"
    with pytest.raises(FleetError, match=r"\.png, \.svg, \.pdf") as caught:
        retries(rollout).save(path)
    assert caught.value.field == "plot"
    assert not path.exists()


def test_nothing_is_kept_by_pyplot_and_threads_draw_the_same(rollout: Result) -> None:
    pictures: list[bytes] = []
    threads = [Thread(target=lambda: pictures.append(causes(rollout).png())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(pictures) == {causes(rollout).png()}


def test_pictures_do_without_pyplot() -> None:
    code = (
        "import sys; from lorafw.fleet import *; from lorafw.lab.plots import PICTURES\n"
        "result = simulate(mixed_fleet(50), typical_plan())\n"
        "[draw(result).png() for draw in PICTURES.values()]\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
