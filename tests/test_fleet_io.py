"""Fleets and plans from tables, files and accounts, and logs as Parquet. Errors name what is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from botocore.exceptions import ClientError
from fakes import FakeSource
from moto import mock_aws

from lorafw.clock import ManualClock
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.errors import FleetError
from lorafw.eui import GatewayEui
from lorafw.fleet import BetaBinomial, Threshold, canary_plan, mixed_fleet, replay, simulate
from lorafw.fleet.io import read_csv, read_fleet, read_parquet, read_plan, write_parquet
from lorafw.fleet.io.account import REQUESTS_PER_S, fleet_from_account
from lorafw.fleet.io.columns import COLUMNS, fleet_from_table
from lorafw.fleet.presets import typical_conditions
from lorafw.iotwireless import register
from lorafw.iotwireless.context import use_service
from lorafw.tasks.service import UpdateService

GOOD = (
    "gateway,poll_period_s,first_poll_s,backhaul,goodput_Mbps,region,isp,station,package,model,gone,has_key,restarts\n"
    "roof,86400,0,ethernet,16,eu,a,2.0.6,1.0,corecell,no,yes,yes\n"
    "mast,3600,12.5,3g,0.8,us,b,2.0.6,1.1,corecell,yes,no,0\n"
)


@pytest.fixture
def csv_file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "fleet.csv"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def toml_file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "rollout.toml"
        path.write_text(text)
        return path

    return write


def test_a_csv_file_can_set_every_property_of_a_gateway(csv_file: Callable[[str], Path]) -> None:
    fleet = read_csv(csv_file(GOOD))
    assert fleet.names["number"] == ("roof", "mast")
    assert fleet.period_ms.tolist() == [86_400_000, 3_600_000]
    assert fleet.phase_ms.tolist() == [0, 12_500]
    assert fleet.goodput_Bps.tolist() == [2_000_000, 100_000]
    assert [fleet.names["backhaul"][code] for code in fleet.backhaul] == ["ethernet", "3g"]
    assert [fleet.names["version"][code] for code in fleet.version] == [
        "2.0.6 / 1.0 / corecell",
        "2.0.6 / 1.1 / corecell",
    ]
    assert fleet.gone.tolist() == [False, True]
    assert fleet.refuses.tolist() == [False, True]
    assert fleet.restarts.tolist() == [True, False]
    assert "fleet.csv" in fleet.source


def test_a_dataframe_gives_the_same_fleet_as_its_csv_file(csv_file: Callable[[str], Path]) -> None:
    path = csv_file(GOOD)
    ours, theirs = read_csv(path), fleet_from_table(pd.read_csv(path))
    for name in ("number", "period_ms", "phase_ms", "goodput_Bps", "region", "isp", "version", "gone", "refuses"):
        assert getattr(ours, name).tolist() == getattr(theirs, name).tolist(), name
    assert ours.names == theirs.names


def test_gateways_keep_their_random_numbers_in_any_order_of_rows() -> None:
    forth = fleet_from_table({"gateway": [7, 3, 5]}, seed=4)
    back = fleet_from_table({"gateway": [5, 7, 3]}, seed=4)
    assert dict(zip(forth.number.tolist(), forth.phase_ms.tolist(), strict=True)) == dict(
        zip(back.number.tolist(), back.phase_ms.tolist(), strict=True)
    )


def test_missing_columns_are_drawn_over_the_period_and_about_the_median() -> None:
    fleet = fleet_from_table({"backhaul": ["3g"] * 20_000}, seed=1)
    assert abs(fleet.phase_ms.mean() / 86_400_000 - 0.5) < 4 / math.sqrt(12 * 20_000)
    # Lognormal: the mean of the logarithms is that of the median, 1 Mb/s, within four standard errors of sigma 0.6.
    assert abs(np.log(fleet.goodput_Bps * 8 / 1e6).mean()) < 4 * 0.6 / math.sqrt(20_000)


def test_each_column_has_an_explanation() -> None:
    assert all(COLUMNS.values())
    assert len(fleet_from_table({name: [_EXAMPLES.get(name, "1")] for name in COLUMNS})) == 1


_EXAMPLES = {"backhaul": "lte-cat1", "gateway": "g"}


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("", "csv", ["is empty", "first line names the columns"]),
        ("gateway\n", "fleet", ["no gateway", "at least one row"]),
        ("gateway,isp,isp\na,b,c\n", "column", ["'isp' is there twice"]),
        ("gateway;isp\na;b\n", "delimiter", ["divided by ';'", "commas"]),
        ("gateway\tisp\na\tb\n", "delimiter", ["divided by '\\t'", "commas"]),
        ("EUI,isp\na,b\n", "column", ["'EUI' is not known", "column 'gateway'"]),
        ("gateway,polperiod_s\na,1\n", "column", ["'polperiod_s' is not known", "did you mean 'poll_period_s'"]),
        ("gateway,poll_period_s\na,60\nb,\n", "poll_period_s", ["line 3", "'poll_period_s'", "no value", "fill it in"]),
        ("gateway,poll_period_s\na,60\nb,-5\n", "poll_period_s", ["line 3", "'-5'", "0.001 to"]),
        ("gateway,poll_period_s\na,nan\n", "poll_period_s", ["line 2", "'nan'", "is not a number from"]),
        ("gateway,first_poll_s\na,-1\n", "first_poll_s", ["line 2", "'-1'", "from 0 to"]),
        ("gateway,goodput_Mbps\na,0\n", "goodput_Mbps", ["line 2", "'0'"]),
        ("gateway,goodput_Mbps\na,1\n\nb,fast\n", "goodput_Mbps", ["line 4", "'fast'"]),
        ("gateway,backhaul\na,ethernet\nb,lte-cat2\n", "backhaul", ["line 3", "'lte-cat2'", "did you mean 'lte-cat"]),
        ("gateway,gone\na,perhaps\n", "gone", ["line 2", "'perhaps'", "true, false"]),
        ("gateway\na\nb\na\n", "gateway", ["line 4", "'a' is also in line 2"]),
        ("gateway,isp\na,b\nc\n", "row", ["line 3 has 1 values", "header has 2"]),
        ('gateway\n"a\n', "csv", ["line"]),
    ],
    ids=lambda value: value if isinstance(value, str) and "\n" not in value else "",
)
def test_the_error_of_a_bad_csv_file_names_line_and_column(
    csv_file: Callable[[str], Path], text: str, field: str, words: list[str]
) -> None:
    path = csv_file(text)
    with pytest.raises(FleetError) as caught:
        read_csv(path)
    assert caught.value.field == field
    for word in [*words, str(path)]:
        assert word in str(caught.value)


@pytest.mark.parametrize("missing", [None, math.nan, pd.NA, pd.NaT, "", "  "])
def test_the_error_of_any_kind_of_missing_value_names_row_and_column(missing: Any) -> None:
    table = pd.DataFrame({"isp": ["a", missing], "gone": [True, False]}, index=[10, 20])
    with pytest.raises(FleetError, match="row 20, column 'isp': there is no value"):
        fleet_from_table(table)


def test_a_table_with_columns_of_different_lengths_is_refused() -> None:
    with pytest.raises(FleetError, match="different lengths"):
        fleet_from_table({"isp": ["a"], "region": ["b", "c"]})


ROLLOUT = """
[fleet]
gateways = 1000
seed = 3
gone = 0.5
backhaul = { ethernet = 0.5, 3g = 0.5 }
conditions = { missed_poll = 0.25 }

[plan]
name = "careful"
order = "number"
abort = { threshold = 0.1, minimum_executed = 20 }
rate = { maximum_per_minute = 600, base_per_minute = 10, notified = 5 }

[plan.update]
fails = 0.03

[[plan.waves]]
size = 10
bake_s = 3600
gate = { kind = "threshold", success = 0.9 }

[[plan.waves]]
size = 990
gate = { kind = "beta-binomial", acceptable = 0.02 }
"""


def test_a_toml_file_describes_a_fleet_and_a_plan(toml_file: Callable[[str], Path]) -> None:
    path = toml_file(ROLLOUT)
    fleet, plan = read_fleet(path), read_plan(path)
    assert fleet.size == 1000
    assert fleet.names["backhaul"] == ("ethernet", "3g")
    assert fleet.conditions.missed_poll == 0.25
    assert fleet.conditions.power_cut == typical_conditions().power_cut
    assert abs(fleet.gone.mean() - 0.5) < 4 * 0.5 / math.sqrt(1000)
    assert (plan.name, plan.order, plan.update.fails) == ("careful", "number", 0.03)
    assert plan.waves[0].gate == Threshold(success=0.9)
    assert plan.waves[1].gate == BetaBinomial(acceptable=0.02)
    assert plan.rate is not None
    assert plan.rate.notified == 5
    assert plan.abort is not None
    assert plan.abort.minimum_executed == 20
    assert replay(simulate(fleet, plan)).tobytes() == simulate(read_fleet(path), read_plan(path)).tobytes()


def test_a_plan_can_start_from_a_preset_and_give_only_what_differs(toml_file: Callable[[str], Path]) -> None:
    plan = read_plan(toml_file('[plan]\npreset = "canary"\nupdate = { fails = 0.1 }\n'))
    assert plan.waves == canary_plan().waves
    assert plan.update == canary_plan(fails=0.1).update


def test_the_number_of_gateways_can_replace_that_of_the_file(toml_file: Callable[[str], Path]) -> None:
    path = toml_file(ROLLOUT)
    small, large = read_fleet(path), read_fleet(path, gateways=2000)
    assert large.size == 2000
    assert large.phase_ms[:1000].tobytes() == small.phase_ms.tobytes()


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("[plan]\nname = \n", "toml", ["not TOML", "line 2"]),
        ("[plans]\n", "table", ["'plans' is not known", "did you mean 'plan'"]),
        ("[fleet]\ngateways=1\n", "plan", ["there is no table [plan]"]),
        ("plan = 3\n", "plan", ["plan is a table"]),
        ("[plan]\npreset='canari'\n", "plan.preset", ["did you mean 'canary'"]),
        ("[plan]\nname=3\n", "plan.name", ["is a text"]),
        ("[plan]\nrandom_dealy_s=3\n", "plan", ["did you mean 'random_delay_s'"]),
        ("[plan]\nrandom_delay_s=-3\n", "plan.random_delay_s", ["-3", "0 or more"]),
        ("[plan]\nrandom_delay_s=nan\n", "plan.random_delay_s", ["nan", "0 or more"]),
        ("[plan]\nhorizon_s=0\n", "plan.horizon_s", ["more than 0"]),
        ("[plan]\norder='size'\n", "plan.order", ["random, number"]),
        ("[plan.update]\nfail=0.1\n", "plan.update", ["did you mean 'fails'"]),
        ("[plan.update]\nfails=1.5\n", "plan.update.fails", ["1.5", "from 0 to 1"]),
        ("[plan.update]\napply_s=-1\n", "plan.update.apply_s", ["-1"]),
        ("[plan.update]\nversion_given='no'\n", "plan.update.version_given", ["true or false"]),
        ("[plan]\nwaves=3\n", "plan.waves", ["[[plan.waves]]"]),
        ("[[plan.waves]]\nshare=0.3\n[[plan.waves]]\nshare=0.6\n", "plan.share", ["add up to 0.9, not to 1"]),
        ("[[plan.waves]]\nshare=0.5\n[[plan.waves]]\nshare=0.6\n", "plan.share", ["add up to 1.1"]),
        ("[[plan.waves]]\nshare=0.5\nsize=3\n", "plan.waves[1].wave", ["exactly one of share and size"]),
        ("[[plan.waves]]\nsize=3\nbake_s=-1\n", "plan.waves[1].bake_s", ["plan.waves[1]", "-1"]),
        ("[[plan.waves]]\nsize=1.5\n", "plan.waves[1].size", ["whole number"]),
        ("[[plan.waves]]\nsize=3\n[plan.waves.gate]\nsuccess=1\n", "plan.waves[1].gate.kind", ["threshold, beta"]),
        (
            "[[plan.waves]]\nsize=3\n[plan.waves.gate]\nkind='treshold'\n",
            "plan.waves[1].gate.kind",
            ["did you mean 'threshold'"],
        ),
        (
            "[[plan.waves]]\nsize=3\n[plan.waves.gate]\nkind='threshold'\nsucess=1\n",
            "plan.waves[1].gate",
            ["did you mean 'success'"],
        ),
        ("[plan.rate]\nmaximum_per_minutes=3\n", "plan.rate", ["did you mean 'maximum_per_minute'"]),
        ("[plan.rate]\nbase_per_minute=3\n", "plan.rate.rate", ["needs base_per_minute and notified"]),
        ("[plan.abort]\nminimum_executed=3\n", "plan.abort.threshold", ["is missing"]),
    ],
    ids=lambda value: value if isinstance(value, str) and "\n" not in value else "",
)
def test_the_error_of_a_bad_plan_names_the_path_of_the_value(
    toml_file: Callable[[str], Path], text: str, field: str, words: list[str]
) -> None:
    path = toml_file(text)
    with pytest.raises(FleetError) as caught:
        read_plan(path)
    assert caught.value.field == field
    for word in [*words, str(path)]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("seed=1\n", "fleet.gateways", ["is missing", "how many"]),
        ("gateways=0\n", "fleet.gateways", ["at least one"]),
        ("gateways=2.5\n", "fleet.gateways", ["whole number"]),
        ("gateways=1\nseed=-1\n", "fleet.seed", ["-1", "whole number from 0"]),
        ("gateways=1\npreset='referense'\n", "fleet.preset", ["did you mean 'reference'"]),
        ("gateways=1\npreset='reference'\nbackhaul={}\n", "fleet", ["'backhaul' is not known"]),
        ("gateways=1\ngon=0.1\n", "fleet", ["did you mean 'gone'"]),
        ("gateways=1\ngone=1.1\n", "fleet.gone", ["1.1", "from 0 to 1"]),
        ("gateways=1\nperiod_s=-1\n", "fleet.period_s", ["-1"]),
        ("gateways=1\nperiod_s=nan\n", "fleet.period_s", ["nan"]),
        ("gateways=1\nregions={eu=0.5, us=0.4}\n", "fleet.regions", ["add up to 0.9, not to 1"]),
        ("gateways=1\nregions=3\n", "fleet.regions", ["is a table"]),
        ("gateways=1\nbackhaul={etherent=1.0}\n", "fleet.backhaul", ["did you mean 'ethernet'"]),
        ("gateways=1\nconditions={missed=0.1}\n", "fleet.conditions", ["did you mean 'missed_poll'"]),
        ("gateways=1\nconditions={missed_poll=1}\n", "fleet.conditions.missed_poll", ["less than 1"]),
    ],
    ids=lambda value: value if isinstance(value, str) and "\n" not in value else "",
)
def test_the_error_of_a_bad_fleet_names_the_path_of_the_value(
    toml_file: Callable[[str], Path], text: str, field: str, words: list[str]
) -> None:
    path = toml_file("[fleet]\n" + text)
    with pytest.raises(FleetError) as caught:
        read_fleet(path)
    assert caught.value.field == field
    for word in [*words, str(path)]:
        assert word in str(caught.value)


def test_the_error_of_waves_larger_than_the_fleet_names_both_numbers(toml_file: Callable[[str], Path]) -> None:
    plan = read_plan(toml_file("[[plan.waves]]\nsize=11\n"))
    with pytest.raises(FleetError, match="the waves take 11 gateways; the fleet has 10"):
        simulate(mixed_fleet(10), plan)


def test_a_very_large_toml_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "huge.toml"
    with path.open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(FleetError, match="more than 262144 bytes"):
        read_plan(path)


def test_a_log_is_written_to_parquet_and_read_back_with_its_provenance(tmp_path: Path) -> None:
    result = simulate(mixed_fleet(3000, wrong_key=0.1), canary_plan(), seed=9)
    path = tmp_path / "log.parquet"
    assert write_parquet(result, path) == len(result.events)
    log, origin = read_parquet(path)
    assert log.tobytes() == result.events.tobytes()
    assert (origin["seed"], origin["version"], origin["plan"]["name"]) == (9, result.version, "canary")
    assert [tuple(row) for row in origin["assumptions"]] == result.assumptions()
    assert list(tmp_path.iterdir()) == [path]


def test_pandas_reads_the_parquet_file_as_the_dataframe_of_the_result(tmp_path: Path) -> None:
    result = simulate(mixed_fleet(500), canary_plan(), seed=2)
    write_parquet(result, tmp_path / "log.parquet")
    frame = pd.read_parquet(tmp_path / "log.parquet")
    for name, column in result.to_dataframe().items():
        theirs = frame[name]
        assert theirs.isna().tolist() == column.isna().tolist(), name
        assert theirs.dropna().tolist() == column.dropna().tolist(), name


def test_a_parquet_file_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), path)
    with pytest.raises(FleetError, match="no log that lorafw wrote"):
        read_parquet(path)
    path.write_bytes(b"PAR1 or not")
    with pytest.raises(FleetError, match=r"other\.parquet"):
        read_parquet(path)


class Seconds:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The real boto3 against our API in moto."""
    for name, text in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", text)
    register()
    service = UpdateService(source=FakeSource(), clock=ManualClock("2026-01-01T00:00:00Z"))
    with mock_aws(), use_service(service):
        yield boto3.client("iotwireless"), service


def test_an_account_is_read_as_a_fleet_with_at_most_ten_requests_a_second(account: Any) -> None:
    client, service = account
    ids = []
    for number in range(260):
        eui = f"58a0cbfffe{number:06x}"
        lorawan = {"GatewayEui": eui, "RfRegion": "EU868" if number % 2 else "US915"}
        ids.append(client.create_wireless_gateway(LoRaWAN=lorawan)["Id"])
    service.answer(
        UpdateInfoRequest(router=GatewayEui.parse("58a0cbfffe000001"), station="2.0.6(x/std)", package="1.0", model="m")
    )
    calls: list[tuple[float, str]] = []
    seconds, steps = Seconds(), []
    client.meta.events.register(
        "before-call.iot-wireless.*", lambda model, **_: calls.append((seconds.now, model.name))
    )
    fleet = fleet_from_account(
        client, clock=lambda: seconds.now, sleep=seconds.sleep, progress=lambda *step: steps.append(step)
    )
    assert sorted(fleet.names["number"]) == sorted(ids)
    place = fleet.names["number"].index(ids[1])
    assert fleet.names["version"][fleet.version[place]] == "2.0.6(x/std) / 1.0 / m"
    assert fleet.share("version")["unknown / unknown / unknown"] == 259 / 260
    assert fleet.share("region") == {"US915": 0.5, "EU868": 0.5}
    assert steps[-1] == (260, 260)
    assert [name for _, name in calls].count("ListWirelessGateways") == 2
    assert len(calls) == 262
    times = [time for time, _ in calls]
    assert all(late - early >= 1 / REQUESTS_PER_S - 1e-9 for early, late in pairwise(times))


def test_an_account_without_gateways_is_refused(account: Any) -> None:
    with pytest.raises(FleetError, match=r"no LoRaWAN gateway in us-east-1.*right Region"):
        fleet_from_account(account[0], sleep=lambda _: None)


def test_the_error_of_an_account_that_cannot_be_read_says_why(account: Any) -> None:
    client = boto3.client("iotwireless")
    client.meta.events.register("before-call.iot-wireless.*", _throttled)
    with pytest.raises(FleetError, match=r"cannot be read: .*ThrottlingException") as caught:
        fleet_from_account(client, sleep=lambda _: None)
    assert caught.value.field == "account"


def _throttled(model: Any, **_: Any) -> Any:
    raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, model.name)


class _Repeating:
    """An API that turns in circles."""

    class exceptions:  # noqa: N801 -- as boto3 has it
        ResourceNotFoundException = KeyError

    def list_wireless_gateways(self, **_: Any) -> dict[str, Any]:
        return {"WirelessGatewayList": [], "NextToken": "again"}


def test_a_next_token_that_is_repeated_is_refused() -> None:
    with pytest.raises(FleetError, match="NextToken before"):
        fleet_from_account(_Repeating(), sleep=lambda _: None)
