"""Fleets and plans refuse values that cannot work, and name them."""

from __future__ import annotations

import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lorafw.cli.report import format_report
from lorafw.errors import FleetError
from lorafw.eui import GatewayEui
from lorafw.fleet import Plan, Threshold, Update, Wave, io, make_fleet, simulate
from lorafw.fleet.io.columns import fleet_from_table
from lorafw.fleet.io.toml import parse_fleet, parse_plan
from lorafw.fleet.simulation import numpy_memory as pages
from lorafw.lab.plots import waves

HOUR_S = 3600.0


def write(folder: Path, content: bytes, name: str = "given") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


# --- plans ---


def test_a_gate_that_is_undecided_at_the_horizon_is_reported_and_drawn_up_to_it() -> None:
    gate = Threshold(success=1.0, error=1.0)
    plan = Plan(
        update=Update(fails=1.0),
        waves=(Wave(size=5, bake_s=HOUR_S, gate=gate, give_up_s=90 * 86400), Wave(size=5)),
        horizon_s=48 * HOUR_S,
    )
    result = simulate(make_fleet(10), plan)
    text = format_report(result, result.summary(), [])
    assert "had not decided when the plan's horizon came, after 2 d 00 h" in text
    assert "stopped" not in text
    assert "wave 1, 5 gateways: 0.0 to 48.0 h; gate: hold" in waves(result).alt


@pytest.mark.parametrize("again_s", [0, 0.0004, 1e-9])
def test_a_gate_cannot_be_checked_twice_within_a_millisecond(again_s: float) -> None:
    with pytest.raises(FleetError, match=r"again_s .* is less than 0\.001 s"):
        Wave(share=1.0, gate=Threshold(), again_s=again_s, give_up_s=0)


def test_a_plan_without_a_silence_timeout_says_never_and_zero_is_refused() -> None:
    for timeout_s in (0, 0.0, 1e-9):
        with pytest.raises(FleetError, match="give 'never' for no timeout"):
            Plan(silence_timeout_s=timeout_s)
    with pytest.raises(FleetError, match="neither a number of seconds nor 'never'"):
        Plan(silence_timeout_s="always")  # type: ignore[arg-type]
    assert Plan(silence_timeout_s="never").silence_timeout_ms is None
    assert parse_plan({"plan": {"silence_timeout_s": "never"}}).silence_timeout_s == "never"
    assert Plan(silence_timeout_s=60).silence_timeout_ms == 60_000


# --- documents ---

HUGE = 10**4299


@pytest.mark.parametrize(
    ("fleet", "said"),
    [
        ({"preset": ["x"], "gateways": 5}, "fleet.preset .* is not a text; known: reference, mixed"),
        ({"preset": "reference", "gateways": 5, "download_s": 0}, "download_s 0 is not a number, more than 0"),
        ({"gateways": 10**13}, "at most 1,000,000,000"),
        ({"preset": "reference", "gateways": HUGE}, "at most 1,000,000,000"),
        ({"gateways": 5, "seed": HUGE}, "seed .* is not a whole number"),
        ({"gateways": 5, "gone": HUGE}, "is not a share"),
        ({"gateways": 5, "conditions": {"download": ["x"]}}, "download|not one of"),
        ({"gateways": 5, "backhaul": {"ethernet": "x"}}, "is not a share"),
    ],
)
def test_the_error_of_an_impossible_value_names_it(fleet: dict[str, object], said: str) -> None:
    with pytest.raises(FleetError, match=said) as caught:
        parse_fleet({"fleet": fleet})
    assert len(str(caught.value)) < 300


def test_a_preset_or_kind_that_is_no_text_is_refused() -> None:
    with pytest.raises(FleetError, match=r"plan.preset .* is not a text"):
        parse_plan({"plan": {"preset": ["x"]}})
    with pytest.raises(FleetError, match="kind is missing; known: threshold, beta-binomial"):
        parse_plan({"plan": {"waves": [{"share": 1.0, "gate": {}}]}})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[plan]\nname = " + b"[" * 5000, "nested too deeply"),
        (b"[plan]\nname = " + b"{a=" * 5000, "nested too deeply"),
        (b".".join([b"a"] * 100_000) + b" = 1", "more than 32 parts"),
        (b"[" + b'."a"' * 50_000 + b"]", "more than 32 parts"),
        (b"[fleet]\ngateways = " + b"9" * 5000, "not TOML"),
        (b"\xff\xfe[\0f\0", "not TOML"),
    ],
    ids=["lists", "tables", "dotted key", "quoted key", "digits", "UTF-16"],
)
def test_a_hostile_document_is_refused_with_a_short_error(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(FleetError, match=said) as caught:
        io.read_document(write(tmp_path, content))
    assert len(str(caught.value)) < 400


def test_many_dots_in_a_text_or_a_comment_do_not_count_as_a_long_key(tmp_path: Path) -> None:
    dots = b"." * 100
    content = b'# %s\n[plan]\nname = "%s"\n' % (dots, dots)
    assert io.read_plan(write(tmp_path, content)).name == dots.decode()


# --- CSV ---


def test_names_that_differ_in_leading_zeros_are_different_gateways() -> None:
    fleet = fleet_from_table({"gateway": ["7", "07", "007"]})
    assert fleet.names["number"] == ("7", "07", "007")
    assert fleet.number.tolist() == [0, 1, 2]
    assert fleet_from_table({"gateway": ["7", "0", "70"]}).number.tolist() == [7, 0, 70]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("gateway,isp\na,é\n".encode("utf-16"), "line 1: the file is UTF-16, not UTF-8; save it as 'CSV UTF-8'"),
        ("gateway,isp\na,b\n".encode("utf-16-le"), "line 1: there are NUL bytes, so the file is UTF-16"),
        ("gateway,isp\na,b\nc,é\n".encode("latin-1"), "line 3: the byte 0xe9 is not UTF-8 .Latin-1"),
        (b'gateway,isp\na,"b\nc,d\n', "line 3: unexpected end of data"),
        (b",".join(b"c%d" % n for n in range(600)), "there are 600 columns; at most 500"),
    ],
)
def test_the_error_of_an_unreadable_csv_file_names_the_line_and_the_remedy(
    tmp_path: Path, content: bytes, said: str
) -> None:
    with pytest.raises(FleetError, match=said):
        io.read_csv(write(tmp_path, content))


def test_an_endless_file_is_read_only_up_to_the_limit() -> None:
    with pytest.raises(FleetError, match="line 1: it is longer than 65536 bytes"):
        io.read_csv("/dev/zero")
    with pytest.raises(FleetError, match="more than 262144 bytes"):
        io.read_document("/dev/zero")


EXPORT = "Asset tag,gateway,owner,backhaul,goodput_Mbps,gone,region\nA1,a,me,3g,,true,\nA2,b,you,,5,,eu\n"


def test_an_asset_export_is_read_if_unknown_columns_and_empty_cells_are_allowed(tmp_path: Path) -> None:
    path = write(tmp_path, EXPORT.encode("utf-8-sig"))
    with pytest.raises(FleetError, match="column 'Asset tag' is not known"):
        io.read_csv(path)
    with pytest.raises(FleetError, match="line 3, column 'backhaul': there is no value"):
        io.read_csv(path, ignore_unknown=True)
    fleet = io.read_csv(path, ignore_unknown=True, fill_empty=True)
    assert [fleet.names["backhaul"][code] for code in fleet.backhaul] == ["3g", "ethernet"]
    assert [fleet.names["region"][code] for code in fleet.region] == ["unknown", "eu"]
    assert fleet.gone.tolist() == [True, False]
    drawn = io.read_csv(write(tmp_path, b"gateway,backhaul\na,3g\nb,ethernet\n"))
    assert fleet.goodput_Bps.tolist() == [drawn.goodput_Bps[0], 5e6 / 8]


def test_a_table_without_any_known_column_is_refused() -> None:
    with pytest.raises(FleetError, match="no column is known"):
        fleet_from_table({"owner": ["me"]}, ignore_unknown=True)


def test_an_empty_name_of_a_gateway_is_refused_even_if_empty_cells_are_filled() -> None:
    with pytest.raises(FleetError, match="there is no value"):
        fleet_from_table({"gateway": ["a", ""]}, fill_empty=True)


# --- Parquet ---


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    io.write_parquet(simulate(make_fleet(20), Plan()), tmp_path / "log.parquet")
    return tmp_path / "log.parquet"


def test_a_written_log_has_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        io.write_parquet(simulate(make_fleet(2), Plan()), tmp_path / "log.parquet")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "log.parquet").stat().st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["log.parquet"]


def rewritten(path: Path, column: str, values: object) -> Path:
    """The same log with another column."""
    import pyarrow.parquet as parquet  # type: ignore[import-untyped]

    table = parquet.read_table(path)
    place = table.column_names.index(column)
    parquet.write_table(table.set_column(place, column, values), path)
    return path


def test_a_log_with_unknown_labels_other_types_or_missing_values_is_refused(log_file: Path) -> None:
    import pyarrow as pa  # type: ignore[import-untyped]

    rows = len(io.read_parquet(log_file)[0])
    content = log_file.read_bytes()
    words = pa.array(["LOST"] * rows).dictionary_encode()
    with pytest.raises(FleetError, match="column 'to_status' holds 'LOST'; known: PENDING"):
        io.read_parquet(rewritten(log_file, "to_status", words))
    log_file.write_bytes(content)
    with pytest.raises(FleetError, match="other types"):
        io.read_parquet(rewritten(log_file, "cause", pa.array(["x"] * rows)))
    log_file.write_bytes(content)
    with pytest.raises(FleetError, match="without a value"):
        io.read_parquet(rewritten(log_file, "time", pa.array([None] * rows, pa.int64())))


def test_a_log_that_is_broken_at_any_byte_is_refused(log_file: Path) -> None:
    content = log_file.read_bytes()
    for place in [*range(0, len(content), 97), len(content) - 6]:
        log_file.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        with suppress(FleetError):
            io.read_parquet(log_file)
        log_file.write_bytes(content[:place])
        with pytest.raises(FleetError):
            io.read_parquet(log_file)


# --- any bytes ---

TOML_PIECES = st.sampled_from([b"[plan]\n", b"[fleet]\n", b"gateways = 5\n", b"a.", b"=", b"[", b"{", b'"', b"9" * 50])
CSV_PIECES = st.sampled_from([b"gateway", b"isp", b",", b"\n", b'"', b"\r", b"\x00", b"\xe9", b"7", b"region,gone\n"])


@settings(max_examples=60, deadline=None)
@given(st.lists(TOML_PIECES | st.binary(max_size=9), max_size=30).map(b"".join))
def test_any_bytes_give_a_document_or_a_fleet_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = write(tmp_path_factory.getbasetemp(), content, "any.toml")
    for read in (io.read_plan, io.read_fleet):
        with suppress(FleetError):
            read(path)


@settings(max_examples=60, deadline=None)
@example(b"gateway\n" + b"9" * 15, False, False)
@given(st.lists(CSV_PIECES | st.binary(max_size=9), max_size=30).map(b"".join), st.booleans(), st.booleans())
def test_any_bytes_give_a_fleet_or_a_fleet_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, ignore_unknown: bool, fill_empty: bool
) -> None:
    path = write(tmp_path_factory.getbasetemp(), content, "any.csv")
    with suppress(FleetError):
        assert io.read_csv(path, ignore_unknown=ignore_unknown, fill_empty=fill_empty).size


# --- the rest ---


@pytest.mark.parametrize("level", ["x", None, True, 0, 1, float("nan")])
def test_a_confidence_level_out_of_range_is_refused(level: object) -> None:
    result = simulate(make_fleet(3), Plan())
    with pytest.raises(FleetError, match="is not a number between 0 and 1"):
        result.summary(level)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["::", ""])
def test_an_eui_without_digits_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a gateway EUI"):
        GatewayEui.parse(text)


def test_overlapping_simulations_restore_the_huge_page_setting_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"on": True}

    def switch(on: bool) -> bool:
        before, state["on"] = state["on"], on
        return before

    monkeypatch.setattr(pages, "_set_hugepage_advice", switch)
    first, second = pages.huge_pages_disabled(), pages.huge_pages_disabled()
    with first:
        thread = threading.Thread(target=second.__enter__)
        thread.start()
        thread.join()
        assert not state["on"]
    assert not state["on"], "the second still needs small pages"
    second.__exit__(None, None, None)
    assert state["on"]
