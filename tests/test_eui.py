"""GatewayEui, compared with what a real station and AWS write and read."""

from __future__ import annotations

import re
from typing import Any

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorafw.eui import GatewayEui

VALUES = st.integers(0, 2**64 - 1)
AWS_PATTERN = re.compile(
    botocore.session.get_session().get_service_model("iotwireless").shape_for("GatewayEui").metadata["pattern"]
)

# From the requests of the real client; the last three from its source (uj.c, encId6): they occur with euiprefix "::0".
ID6 = {
    "58a0cbfffe800001": "58a0:cbff:fe80:1",
    "0011223344556677": "11:2233:4455:6677",
    "000a00000000000b": "a::b",
    "0001000000000000": "1::",
    "000a000b00000000": "a:b::",
    "000a0000000b000c": "a:0:b:c",
    "000a000b000c0000": "a:b:c:0",
    "000a000b0000000c": "a:b:0:c",
    "000a0000000b0000": "a:0:b:0",
    "000000ff00fe0001": "0:ff:fe:1",
    "0000aabbccddeeff": "0:aabb:ccdd:eeff",
    "ffffffffffffffff": "ffff:ffff:ffff:ffff",
    "00000000000a000b": "::a:b",
    "0000000000000001": "::1",
    "0000000000000000": "::0",
}

NOT_AN_EUI = {
    "nothing": "",
    "a blank": " ",
    "a MAC": "aa:bb:cc:dd:ee:ff",
    "fifteen digits": "5a11b0a85a11b0a",
    "seventeen digits": "5a11b0a85a11b0a80",
    "mixed separators": "5a-11:b0-a8:5a-11:b0-a8",
    "some separators": "5a-11b0a85a11b0a8",
    "two separators": "5a--11--b0--a8--5a--11--b0--a8",
    "a separator at the end": "5a-11-b0-a8-5a-11-b0-a8-",
    "no hex": "5a11b0a85a11b0ag",
    "a prefix": "0x5a11b0a85a11b0a8",
    "underscores": "5a11_b0a8_5a11_b0a",
    "blanks around": " 5a11b0a85a11b0a8 ",
    "a line end behind": "5a11b0a85a11b0a8\n",
    "a line end behind ID6": "5a11:b0a8:5a11:b0a8\n",
    "a line end before": "\n5a11b0a85a11b0a8",
    "line ends between": "5a\n11\nb0\na8\n5a\n11\nb0\na8",
    "tabs between": "5a\t11\tb0\ta8\t5a\t11\tb0\ta8",
    "no-break spaces between": "5a\xa011\xa0b0\xa0a8\xa05a\xa011\xa0b0\xa0a8",
    "a NUL behind": "5a11b0a85a11b0a8\0",
    "Arabic digits": "٥a11b0a85a11b0a8",
    "fullwidth digits": "５a11b0a85a11b0a8",
    "fullwidth letters in ID6": "ａ::b",
    "superscript in ID6": "a::²",
    "three groups": "a:b:c",
    "five groups": "a:b:c:d:e",
    "a group of five": "00001:2:3:4",
    "an empty group": "a:b:c:",
    "an empty first group": ":a:b:c",
    "two ::": "a::b::",
    "two :: in the middle": "::a::",
    ":::": "a:::b",
    ":: for no group": "a:b::c:d",
    ":: for no group at the end": "a:b:c:d::",
    ":: for no group at the start": "::a:b:c:d",
    "a sign": "-1::",
    "a plus": "+1::1",
    "brackets": "[a::b]",
}


@pytest.mark.parametrize(("hexadecimal", "id6"), ID6.items())
def test_id6_is_written_and_read_as_the_station_does(hexadecimal: str, id6: str) -> None:
    eui = GatewayEui(int(hexadecimal, 16))
    assert eui.id6 == id6
    assert GatewayEui.from_id6(id6) == eui
    assert GatewayEui.parse(id6) == eui
    assert eui.hex == str(eui) == hexadecimal
    assert bytes(eui) == bytes.fromhex(hexadecimal)


def test_every_recorded_router_follows_from_station_conf(recorded_request: Any) -> None:
    prefix = "::0" if recorded_request.name == "eui_mac_prefix0" else "::1"
    eui = GatewayEui.from_station_conf(recorded_request.routerid, prefix)
    (router,) = re.findall(rb'^{"router":"([^"]*)"', recorded_request.body)
    assert eui.id6 == router.decode()
    assert GatewayEui.from_id6(router.decode()) == eui


def test_the_default_prefix_is_the_station_s() -> None:
    assert GatewayEui.from_station_conf("aa:bb:cc:dd:ee:ff").id6 == "aabb:ccff:fedd:eeff"


def test_a_prefix_goes_in_front_of_a_mac() -> None:
    assert GatewayEui.from_station_conf("aa:bb:cc:dd:ee:ff", "5a11::").hex == "5a11aabbccddeeff"


@pytest.mark.parametrize(
    ("routerid", "hexadecimal"),
    [
        ("58-A0-CB-FF-FE-80-00-01", "58a0cbfffe800001"),
        ("58:a0:cb:ff:fe:80:00:01", "58a0cbfffe800001"),
        ("58A0CBFFFE800001", "58a0cbfffe800001"),
        ("58a0-cbff-fe80-1", "00058a0cbfffe801"),
        ("::a:b:c", "000000fffe000abc"),
        ("a:b:c", "000a00fffe0b000c"),
    ],
)
def test_a_routerid_is_read_as_leniently_as_the_station_does(routerid: str, hexadecimal: str) -> None:
    # rt.c, rt_readEui: two or three colons are ID6; else the separators do not count and zeros are put in front.
    assert GatewayEui.from_station_conf(routerid).hex == hexadecimal


@pytest.mark.parametrize(
    "routerid",
    [
        "",
        "0",
        "::",
        "::0",
        "-",
        "0:0:0:0",
        "xyz",
        "a::b\n",
        " a::b",
        "a-b:c",
        "1" * 17,
        "a:::b",
        "1-" * 8 + "1",
        "00001::1",
    ],
)
def test_a_routerid_that_the_station_refuses_is_refused(routerid: str) -> None:
    with pytest.raises(ValueError, match="is not a") as caught:
        GatewayEui.from_station_conf(routerid)
    assert repr(routerid) in str(caught.value)


@pytest.mark.parametrize("separator", ["", "-", ":", " "])
def test_aws_forms_are_read_in_either_case(separator: str) -> None:
    for text in ("5a11b0a85a11b0a8", "5A11B0A85A11B0A8", "5a11B0A85A11b0a8"):
        grouped = separator.join(text[at : at + 2] for at in range(0, 16, 2))
        assert GatewayEui.parse(grouped).hex == "5a11b0a85a11b0a8"


@given(VALUES, st.sampled_from(["", "-", ":", " "]), st.booleans())
def test_what_lorafw_reads_as_an_aws_form_matches_aws_s_own_pattern(value: int, separator: str, upper: bool) -> None:
    text = separator.join(f"{byte:02X}" if upper else f"{byte:02x}" for byte in value.to_bytes(8, "big"))
    assert AWS_PATTERN.fullmatch(text)
    assert GatewayEui.parse(text).value == value


@pytest.mark.parametrize("text", NOT_AN_EUI.values(), ids=NOT_AN_EUI)
def test_what_is_not_an_eui_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="is not a gateway EUI") as caught:
        GatewayEui.parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("value", [-1, 2**64])
def test_a_value_has_64_bits(value: int) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        GatewayEui(value)


@given(VALUES)
def test_every_form_of_an_eui_names_the_same_gateway(value: int) -> None:
    eui = GatewayEui(value)
    assert (
        GatewayEui.parse(eui.hex)
        == GatewayEui.from_id6(eui.id6)
        == GatewayEui(int.from_bytes(bytes(eui), "big"))
        == eui
    )
    if value >> 48:
        assert GatewayEui.from_station_conf(eui.id6) == GatewayEui.from_station_conf(eui.hex) == eui


@given(st.lists(st.sampled_from([0, 0, 0, 1, 0xA, 0xFFFF]), min_size=4, max_size=4))
def test_id6_of_zero_groups_round_trips_and_is_never_ambiguous(groups: list[int]) -> None:
    value = int("".join(f"{group:04x}" for group in groups), 16)
    text = GatewayEui(value).id6
    assert GatewayEui.from_id6(text).value == value
    assert text.count("::") <= 1
    # A "::" that stands for less than all its zeros would name another gateway.
    assert GatewayEui.from_id6(":".join(f"{group:x}" for group in groups)).value == value


@given(st.text(alphabet="0123456789abcdefABCDEF:- \n", max_size=25))
def test_any_text_is_an_eui_or_a_value_error(text: str) -> None:
    for read in (GatewayEui.parse, GatewayEui.from_id6, GatewayEui.from_station_conf):
        try:
            eui = read(text)
        except ValueError:
            continue
        assert 0 <= eui.value < 2**64
