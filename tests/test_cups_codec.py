"""The codec, compared with bytes and verdicts of the real client."""

from __future__ import annotations

import json
import random
import re
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lorafw.cups.codec import (
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    encode_response_header,
    response_from_events,
)
from lorafw.cups.messages import EMPTY_RESPONSE, NO_CREDENTIALS_CRC, UpdateInfoRequest, UpdateInfoResponse
from lorafw.cups.parser import (
    MAX_REQUEST,
    Complete,
    ProtocolError,
    RequestDecoder,
    ResponseDecoder,
    ResponseEvent,
    Segment,
    SegmentBegin,
    SegmentData,
    SegmentEnd,
)
from lorafw.errors import InvalidFieldLength, MalformedRequest, MalformedResponse
from lorafw.eui import GatewayEui

U32 = st.integers(0, 2**32 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
EUIS = st.builds(GatewayEui, st.integers(0, 2**64 - 1))
REQUESTS = st.builds(
    UpdateInfoRequest,
    router=EUIS,
    cups_uri=st.none() | TEXT,
    tc_uri=st.none() | TEXT,
    cups_cred_crc=st.none() | U32,
    tc_cred_crc=st.none() | U32,
    station=st.none() | TEXT,
    model=st.none() | TEXT,
    package=st.none() | TEXT,
    keys=st.lists(U32, max_size=5).map(tuple),
)
URIS = st.binary(max_size=127).map(lambda uri: uri.decode("utf-8", "surrogateescape"))


def response(signature: bytes, key_crc: int, **fields: Any) -> UpdateInfoResponse:
    """Without a signature there is no place for a key CRC on the wire."""
    return UpdateInfoResponse(signature=signature, key_crc=key_crc if signature else 0, **fields)


RESPONSES = st.builds(
    response,
    signature=st.just(b"") | st.binary(min_size=4, max_size=128),
    key_crc=U32,
    cups_uri=URIS,
    tc_uri=URIS,
    cups_cred=st.binary(max_size=300),
    tc_cred=st.binary(max_size=300),
    update=st.binary(max_size=600),
)


def pieces(data: bytes, seed: object) -> Iterator[list[bytes]]:
    """The same bytes whole, byte by byte, and a few times in pieces of any size (also of none)."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    chance = random.Random(repr(seed))
    for _ in range(5):
        cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(1, 12)))
        yield [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


# --- requests of the real client ---


def test_every_recorded_request_is_decoded_to_its_values(recorded_request: Any) -> None:
    if recorded_request.json is None:
        with pytest.raises(MalformedRequest, match="not JSON"):
            decode_request(recorded_request.body)
        return
    request, sent = decode_request(recorded_request.body), recorded_request.json
    assert request == UpdateInfoRequest(
        router=GatewayEui.from_id6(sent["router"]),
        cups_uri=sent["cupsUri"],
        tc_uri=sent["tcUri"],
        cups_cred_crc=sent["cupsCredCrc"],
        tc_cred_crc=sent["tcCredCrc"],
        station=sent["station"],
        model=sent["model"],
        package=sent["package"],
        keys=tuple(sent["keys"]),
    )
    assert (request.version.station, request.version.package, request.version.model) == (
        sent["station"],
        sent["package"],
        sent["model"],
    )


def test_every_recorded_request_is_encoded_to_the_same_bytes(recorded_request: Any) -> None:
    if recorded_request.json is not None:
        assert encode_request(decode_request(recorded_request.body)) == recorded_request.body


def test_every_recorded_request_is_the_same_in_pieces_of_any_size(recorded_request: Any) -> None:
    for sizes in pieces(recorded_request.body, recorded_request.name):
        decoder = RequestDecoder()
        for piece in sizes:
            decoder.feed(piece)
        if recorded_request.json is None:
            with pytest.raises(MalformedRequest):
                decoder.finish()
        else:
            assert decoder.finish() == decode_request(recorded_request.body)


def test_a_station_without_credentials_sends_the_crc_of_twelve_zeros(requests_by_name: Any) -> None:
    request = decode_request(requests_by_name["keys0"].body)
    assert request.cups_cred_crc == request.tc_cred_crc == NO_CREDENTIALS_CRC


def test_text_is_escaped_as_the_station_escapes_it() -> None:
    # uj.c, uj_encStr: five short escapes, \u00XX with upper-case digits below 0x20, all else raw.
    text = '"\\/\b\f\n\r\t\0\x0b\x1f\x7f ä✓ \\u001f'
    sent = encode_request(UpdateInfoRequest(GatewayEui(1), package=text))
    assert rb'"package":"\"\\/\b\f\n\r\t\u0000\u000B\u001F' + '\x7f ä✓ \\\\u001f",'.encode() in sent
    assert decode_request(sent).package == text


def test_a_version_that_is_not_utf8_goes_out_raw_and_is_refused_when_it_comes_in() -> None:
    package = b"v\xff1".decode("utf-8", "surrogateescape")
    sent = encode_request(UpdateInfoRequest(GatewayEui(1), package=package))
    assert b'"package":"v\xff1"' in sent
    with pytest.raises(MalformedRequest, match="utf-8"):
        decode_request(sent)


@given(REQUESTS)
def test_a_request_survives_the_wire(request_: UpdateInfoRequest) -> None:
    assert decode_request(encode_request(request_)) == request_


# --- requests that no station sends ---

GOOD: dict[str, Any] = {
    "router": "11:2233:4455:6677",
    "cupsUri": "http://localhost:34783",
    "tcUri": None,
    "cupsCredCrc": 2077607535,
    "tcCredCrc": 2077607535,
    "station": "2.0.6(linux/std) 2026-11-23 15:58:28",
    "model": "linux",
    "package": "1.0.0",
    "keys": [2373853496],
}
NOT_TEXT = {"an integer": 17, "a float": 1.5, "true": True, "an array": ["x"], "an object": {"x": 1}}
NOT_A_CRC = {
    "negative": -1,
    "33 bits": 2**32,
    "4000 digits": 10**4000,
    "a float": 1.0,
    "true": True,
    "false": False,
    "text": "2077607535",
    "an array": [1],
    "an object": {},
}
NOT_KEYS = {"an integer": 5, "text": "5", "an object": {"0": 5}, "true": True}

WRONG_MEMBERS = [
    *(
        pytest.param(name, name, value, id=f"{name} is {kind}")
        for name in ("router", "cupsUri", "tcUri", "station", "model", "package")
        for kind, value in NOT_TEXT.items()
    ),
    *(
        pytest.param(name, name, value, id=f"{name} is {kind}")
        for name in ("cupsCredCrc", "tcCredCrc")
        for kind, value in NOT_A_CRC.items()
    ),
    *(pytest.param("keys", "keys", value, id=f"keys is {kind}") for kind, value in NOT_KEYS.items()),
    *(pytest.param("keys[1]", "keys", [7, value], id=f"keys[1] is {kind}") for kind, value in NOT_A_CRC.items()),
    pytest.param("keys[0]", "keys", [None], id="keys[0] is null"),
    pytest.param("router", "router", "", id="router is empty"),
    pytest.param("router", "router", "x" * 7000, id="router is long"),
    pytest.param("router", "router", "\n" * 3000, id="router is of line ends"),
    pytest.param("router", "router", "a:b:c:d:e", id="router has five groups"),
    pytest.param("router", "router", "５a11:b0a8:5a11:b0a8", id="router has a fullwidth digit"),
]

BAD_BODIES = {
    "nothing": (b"", "not JSON"),
    "no JSON": (b"router=1", "not JSON"),
    "half of it": (b'{"router":"a::b"', "not JSON"),
    "two of them": (b'{"router":"a::b"}{"router":"a::b"}', "not JSON"),
    "single quotes": (b"{'router':'a::b'}", "not JSON"),
    "a trailing comma": (b'{"router":"a::b",}', "not JSON"),
    "a raw line end in text": (b'{"router":"a::b","package":"1\n2"}', "not JSON"),
    "a NUL behind": (b'{"router":"a::b"}\0', "not JSON"),
    "invalid UTF-8": (b'{"router":"a::b","package":"\xff"}', "utf-8"),
    "overlong UTF-8": (b'{"router":"a::b","package":"\xc0\x80"}', "utf-8"),
    "a surrogate in UTF-8": (b'{"router":"a::b","other":"\xed\xa0\x80"}', "utf-8"),
    "a byte order mark": (b'\xef\xbb\xbf{"router":"a::b"}', "not JSON"),
    "UTF-16": ('{"router":"a::b"}'.encode("utf-16"), "not JSON"),
    "UTF-16 without a mark": ('{"router":"a::b"}'.encode("utf-16-le"), "not JSON"),
    "UTF-32": ('{"router":"a::b"}'.encode("utf-32-be"), "not JSON"),
    "NaN": (b'{"router":"a::b","cupsCredCrc":NaN}', "NaN"),
    "NaN where nobody looks": (b'{"router":"a::b","other":[NaN]}', "NaN"),
    "Infinity": (b'{"router":"a::b","cupsCredCrc":-Infinity}', "-Infinity"),
    "an infinite float": (b'{"router":"a::b","cupsCredCrc":1e999}', "'cupsCredCrc' is inf"),
    "5000 digits": (b'{"router":"a::b","cupsCredCrc":' + b"9" * 5000 + b"}", "not JSON"),
    "5000 digits where nobody looks": (b'{"router":"a::b","other":' + b"9" * 5000 + b"}", "not JSON"),
    "an array": (b'[{"router":"a::b"}]', "not a JSON object: [{"),
    "text": (b'"router"', "not a JSON object: 'router'"),
    "null": (b"null", "not a JSON object: None"),
    "a number": (b"1", "not a JSON object: 1"),
    "an empty object": (b"{}", "'router'"),
    "no router": (b'{"package":"1.0.0"}', "'router' is missing"),
    "router null": (b'{"router":null}', "'router' is missing"),
    "Router": (b'{"Router":"a::b"}', "'router' is missing"),
    "router twice": (b'{"router":"a::b","router":"c::d"}', "'router'"),
    "package twice": (b'{"router":"a::b","package":"1","package":null}', "'package'"),
    "a long name twice": (b'{"router":"a::b"' + (b',"' + b"x" * 3000 + b'":1') * 2 + b"}", "'xxx"),
    "half a surrogate pair": (rb'{"router":"a::b","package":"\ud800"}', "'package'"),
    "the other half": (rb'{"router":"a::b","station":"x\udfff"}', "'station'"),
    "half a pair in router": (rb'{"router":"\ud83d"}', "'router'"),
    "half a pair in a list": (rb'{"router":"a::b","keys":["\ud83d"]}', "keys[0]"),
    "8000 brackets": (b"[" * 8000, "not JSON"),
    "8000 braces": (b'{"":' * 2000, "not JSON"),
    "too long by a blank": (b'{"router":"a::b"}'.ljust(MAX_REQUEST + 1), "8192"),
    "1 MB": (bytes(2**20), "8192"),
}


def feed_all(body: bytes) -> UpdateInfoRequest:
    decoder = RequestDecoder()
    for at in range(0, len(body), 1000):
        decoder.feed(body[at : at + 1000])
    return decoder.finish()


def request_or_error(body: bytes) -> UpdateInfoRequest | MalformedRequest:
    try:
        return decode_request(body)
    except MalformedRequest as error:
        return error


def refusal(body: bytes) -> str:
    """The message for a body, which must be the same when it is fed in pieces."""
    with pytest.raises(MalformedRequest) as whole:
        decode_request(body)
    with pytest.raises(MalformedRequest) as fed:
        feed_all(body)
    assert str(fed.value) == str(whole.value)
    return str(whole.value)


@pytest.mark.parametrize(("field", "name", "value"), WRONG_MEMBERS)
def test_a_wrong_member_is_refused_by_name_and_value(field: str, name: str, value: object) -> None:
    message = refusal(json.dumps(GOOD | {name: value}, ensure_ascii=False).encode())
    assert message.startswith(f"'{field}'")
    shown = value[-1] if isinstance(value, list) and field != name else value
    assert repr(shown)[:20] in message
    assert len(message) < 200
    assert message.isprintable()


@pytest.mark.parametrize(("body", "words"), BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_body_that_no_station_sends_is_refused_in_a_short_line(body: bytes, words: str) -> None:
    message = refusal(body)
    assert words in message
    assert len(message) < 200
    assert message.isprintable()


def test_a_body_may_have_8192_bytes_and_no_more() -> None:
    body = json.dumps(GOOD).encode()
    assert decode_request(body.ljust(MAX_REQUEST)) == decode_request(body)
    decoder = RequestDecoder()
    decoder.feed(body.ljust(MAX_REQUEST))
    with pytest.raises(MalformedRequest, match="more than 8192 bytes"):
        decoder.feed(b" ")
    assert decoder.finish() == decode_request(body)


@pytest.mark.parametrize("shape", [b"%s", b'{"router":%s}', b'{"router":"a::b","keys":[%s]}'])
def test_no_depth_of_nesting_breaks_the_decoder(shape: bytes) -> None:
    # The parser and the printing of the value each have a limit of their own.
    for depth in [*range(1, 1100), *range(1100, 4080, 97)]:
        with pytest.raises(MalformedRequest) as caught:
            decode_request(shape % (b"[" * depth + b"]" * depth))
        assert len(str(caught.value)) < 200


def test_members_that_only_a_newer_station_sends_are_ignored() -> None:
    assert decode_request(json.dumps(GOOD | {"os": {"name": "Linux"}}).encode()) == decode_request(
        json.dumps(GOOD).encode()
    )


def test_only_the_router_must_be_there() -> None:
    assert decode_request(b'{"router":"a::b"}') == UpdateInfoRequest(GatewayEui.from_id6("a::b"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@given(
    st.binary(max_size=200)
    | st.dictionaries(st.sampled_from(sorted(GOOD)), JSON).map(lambda body: json.dumps(GOOD | body).encode())
)
@example(b"[" * 8192)
def test_any_bytes_are_a_request_or_a_malformed_one(body: bytes) -> None:
    request = request_or_error(body)
    if isinstance(request, MalformedRequest):
        assert len(str(request)) < 200
    else:
        assert decode_request(encode_request(request)) == request


@given(st.binary(min_size=1, max_size=4), st.integers(0, 228), st.integers(0, 4))
def test_a_recorded_request_with_some_bytes_changed_is_a_request_or_a_malformed_one(
    requests_by_name: Any, change: bytes, at: int, removed: int
) -> None:
    body = requests_by_name["eui_02"].body
    request = request_or_error(body[:at] + change + body[at + removed :])
    assert isinstance(request, UpdateInfoRequest) or len(str(request)) < 200


# --- responses to the real client ---

LABELS = {
    Segment.CUPS_URI: "CUPS URI",
    Segment.TC_URI: "TC URI",
    Segment.CUPS_CRED: "CUPS Credentials",
    Segment.TC_CRED: "TC Credentials",
    Segment.SIGNATURE: "FW Signature",
    Segment.UPDATE: "FW Update",
}
STALE = re.compile(r"URI segments lengths \(\d+\)")
"""A length byte that was never sent, the real client reads from its buffer as the last exchange left it."""
TRAILING = {"trailing_1": 1, "nothing_trailing": 1, "ttn_empty": 4, "updlen_too_short": 10}
"""Bytes that the server sent behind the update."""


def read(chunks: Iterable[bytes], content_length: int) -> list[ResponseEvent]:
    """The events of a body, the data of a segment as one event."""
    decoder = ResponseDecoder(content_length)
    events: list[ResponseEvent] = []
    for chunk in chunks:
        events += decoder.feed(chunk)
    events += decoder.finish()
    joined: list[ResponseEvent] = []
    for event in events:
        last = joined[-1] if joined else None
        if isinstance(event, SegmentData) and isinstance(last, SegmentData):
            assert event.segment is last.segment
            joined[-1] = SegmentData(event.segment, last.data + event.data)
        else:
            joined.append(event)
    return joined


def told(events: list[ResponseEvent]) -> Iterator[str]:
    """What the station's log says of the events."""
    for at, event in enumerate(events):
        match event:
            case SegmentBegin(Segment.CUPS_URI | Segment.TC_URI as segment):
                data = events[at + 1]
                assert isinstance(data, SegmentData)
                text = data.data.split(b"\0")[0].decode()
                yield f"[CUP:INFO] [Segment] {LABELS[segment]}: {text}"
            case SegmentBegin(segment, length):
                yield f"[CUP:INFO] [Segment] {LABELS[segment]} ({length} bytes)"
            case SegmentEnd(Segment.CUPS_CRED | Segment.TC_CRED as segment, length):
                yield f"[CUP:INFO] [Segment] {LABELS[segment]} update completed ({length} bytes)"
            case SegmentEnd(Segment.UPDATE, length):
                yield f"[CUP:INFO] [Segment] Update committed ({length} bytes)"
            case ProtocolError(log):
                yield f"[CUP:ERRO] {log}"


def test_every_recorded_response_is_read_as_the_station_read_it(recorded_response: Any) -> None:
    wanted = [line for line in recorded_response.verdict["log"] if "[Segment]" in line]
    if recorded_response.failed:
        errors = [line for line in recorded_response.verdict["log"] if line.startswith("[CUP:ERRO]")]
        assert errors[1] == "[CUP:ERRO] CUPS Protocol error. Closing connection."
        wanted.append(errors[0])
    for chunks in pieces(recorded_response.body, recorded_response.name):
        events = read(chunks, len(recorded_response.body))
        assert isinstance(events[-1], ProtocolError if recorded_response.failed else Complete)
        assert [STALE.sub("?", line) for line in told(events)] == [STALE.sub("?", line) for line in wanted]


def test_what_follows_the_update_changes_nothing(recorded_response: Any) -> None:
    if recorded_response.failed:
        return
    plain = read([recorded_response.body], len(recorded_response.body))
    body = recorded_response.body + b"\x30\x00trailing"
    for chunks in pieces(body, recorded_response.name):
        assert read(chunks, len(body)) == plain


def test_a_recorded_response_as_a_value_says_what_the_log_says(recorded_response: Any) -> None:
    if recorded_response.failed:
        with pytest.raises(MalformedResponse) as caught:
            decode_response(recorded_response.body)
        line = STALE.sub("?", f"[CUP:ERRO] {caught.value}")
        assert line in [STALE.sub("?", line) for line in recorded_response.verdict["log"]]
        return
    value, log = decode_response(recorded_response.body), recorded_response.verdict["log"]
    said = f"[CUP:INFO] CUPS provided signature len={len(value.signature)} keycrc={value.key_crc:08X}"
    assert (said in log) == bool(value.update and value.signature)
    assert (value.tc_uri or None) == recorded_response.verdict["tc_uri"]
    assert ("[CUP:INFO] CUPS provided update.bin" in log) == bool(value.update)
    assert any("(no updates)" in line for line in log) == value.is_empty


def test_a_recorded_response_is_encoded_to_the_same_bytes(recorded_response: Any) -> None:
    if not recorded_response.failed:
        encoded = encode_response(decode_response(recorded_response.body))
        assert recorded_response.body.startswith(encoded)
        assert len(recorded_response.body) - len(encoded) == TRAILING.get(recorded_response.name, 0)


def test_the_recorded_update_is_encoded_from_its_parts(responses_by_name: Any) -> None:
    # The parts are cut out by hand, so that encoder and decoder cannot agree on the same mistake.
    body = responses_by_name["tc_uri_and_update"].body
    assert (
        encode_response(
            UpdateInfoResponse(
                tc_uri="wss://lns.example.org:443",
                key_crc=0x8D7E2138,
                signature=body[-118 - 71 : -118],
                update=body[-114:],
            )
        )
        == body
    )
    assert body[-118 - 71 - 8 : -118 - 71] == b"\x4b\0\0\0\x38\x21\x7e\x8d"


def test_nothing_to_do_is_fourteen_zero_bytes(responses_by_name: Any) -> None:
    assert responses_by_name["nothing"].body == bytes(14)
    assert encode_response(EMPTY_RESPONSE) == bytes(14)
    assert decode_response(bytes(14)) is not EMPTY_RESPONSE
    assert decode_response(bytes(14)) == EMPTY_RESPONSE


def test_a_sig_len_without_the_crc_is_refused(responses_by_name: Any) -> None:
    """What The Things Stack sends: its own decoder reads it, and the real client never runs it."""
    good, bad = responses_by_name["signed"].body, responses_by_name["ttn_layout"].body
    assert bad == good[:6] + struct.pack("<I", 71) + good[10:]
    assert good[6:10] == struct.pack("<I", 75)
    with pytest.raises(
        MalformedResponse, match=re.escape("Segment 5 length not allowed (must be <2GB): 0xa83660a6 bytes")
    ):
        decode_response(bad)
    assert encode_response(decode_response(good)) == good


def test_a_broken_off_response_fails_wherever_it_ends(responses_by_name: Any) -> None:
    body = responses_by_name["tc_uri_and_update"].body
    for length in range(len(body)):
        for content_length in (length, len(body)):
            events = read([body[:length]], content_length)
            assert isinstance(events[-1], ProtocolError)
            assert [type(event) for event in events].count(ProtocolError) == 1
        # The station saw at once that the URIs cannot be in a body as short as that; else it waited for more.
        uris_cut = length < 2 + 25 + 1
        assert events[-1].log.startswith("Malformed CUPS response" if length < 2 + 25 else "Unexpected end of data")
        assert read([body[:length]], length)[-1].log.startswith(
            "Malformed CUPS response" if uris_cut else "Unexpected end of data"
        )


def test_a_decoder_reports_and_keeps_nothing_after_its_end() -> None:
    for body, last in ((bytes(14), Complete), (bytes(6) + b"\7\0\0\0", ProtocolError)):
        decoder = ResponseDecoder(2**20)
        assert isinstance(decoder.feed(body)[-1], last)
        assert decoder.is_finished
        assert decoder.feed(bytes(2**16)) == []
        assert decoder.finish() == []
        assert len(decoder._buffer.data) == 0


@pytest.mark.parametrize(("length", "taken"), [(7, False), (8, True), (132, True), (133, False), (2**31 - 1, False)])
def test_a_sig_len_from_8_to_132_is_taken(length: int, taken: bool) -> None:
    events = read([bytes(6), struct.pack("<I", length), bytes(length if taken else 0), bytes(4)], 14 + length)
    assert events[0] == SegmentBegin(Segment.SIGNATURE, length)
    if taken:
        assert isinstance(events[-1], Complete)
    else:
        assert events[1:] == [ProtocolError(f"Illegal signature segment length (must be 8-132 bytes): {length}")]


@pytest.mark.parametrize(("length", "taken"), [(2**31 - 1, True), (2**31, False), (2**32 - 1, False)])
def test_a_segment_of_2_gb_is_refused_before_it_begins(length: int, taken: bool) -> None:
    events = ResponseDecoder(2**40).feed(bytes(10) + struct.pack("<I", length))
    assert events == [
        SegmentBegin(Segment.UPDATE, length)
        if taken
        else ProtocolError(f"Segment 5 length not allowed (must be <2GB): 0x{length:08x} bytes")
    ]


def test_both_uris_and_one_byte_more_must_be_in_the_body() -> None:
    uris = b"\4http\3wss"
    assert read([uris], len(uris)) == [
        ProtocolError("Malformed CUPS response: URI segments lengths (9) exceed available data (9)")
    ]
    assert [type(event) for event in read([uris + b"\0"], len(uris) + 1)].count(SegmentEnd) == 2


def test_lengths_of_uris_that_the_body_does_not_have_are_read_behind_it() -> None:
    decoder = ResponseDecoder(2, leftover=b"abc")
    assert decoder.feed(b"\3\0") == [
        ProtocolError("Malformed CUPS response: URI segments lengths (104) exceed available data (2)")
    ]
    assert ResponseDecoder(0, leftover=b"\1ab").feed(b"") == [
        ProtocolError("Malformed CUPS response: URI segments lengths (101) exceed available data (0)")
    ]
    assert ResponseDecoder(1, leftover=b"").feed(b"\xff") == [
        ProtocolError("Malformed CUPS response: URI segments lengths (257) exceed available data (1)")
    ]


def test_a_uri_that_is_not_text_is_carried_as_it_is() -> None:
    body = b"\0\3a\xff\0" + bytes(12)
    assert encode_response(decode_response(body)) == body


# --- what may be encoded ---


@pytest.mark.parametrize(
    ("member", "field", "maximum"),
    [
        ("cups_uri", "cupsUri", 127),
        ("tc_uri", "tcUri", 127),
        ("cups_cred", "cupsCred", 65535),
        ("tc_cred", "tcCred", 65535),
        ("signature", "signature", 128),
    ],
)
def test_a_field_may_be_as_long_as_the_station_takes_it(member: str, field: str, maximum: int) -> None:
    def of(length: int) -> Any:
        return "x" * length if member.endswith("uri") else bytes(length)

    fits = UpdateInfoResponse(**{member: of(maximum)})
    assert decode_response(encode_response(fits)) == fits
    with pytest.raises(
        InvalidFieldLength, match=rf"{field} has {maximum + 1} bytes; the station takes at most {maximum}$"
    ) as caught:
        encode_response(UpdateInfoResponse(**{member: of(maximum + 1)}))
    assert (caught.value.field, caught.value.length, caught.value.maximum) == (field, maximum + 1, maximum)


def test_a_uri_is_measured_in_bytes() -> None:
    assert encode_response(UpdateInfoResponse(tc_uri="ä" * 63))[1] == 126
    with pytest.raises(InvalidFieldLength) as caught:
        encode_response(UpdateInfoResponse(tc_uri="ä" * 64))
    assert caught.value.length == 128


def test_a_signature_has_at_least_four_bytes() -> None:
    assert encode_response(UpdateInfoResponse(signature=bytes(4)))[6:10] == struct.pack("<I", 8)
    with pytest.raises(InvalidFieldLength, match=r"signature has 3 bytes; the station takes at least 4$") as caught:
        encode_response(UpdateInfoResponse(signature=bytes(3)))
    assert (caught.value.field, caught.value.length, caught.value.minimum) == ("signature", 3, 4)


def test_an_update_may_have_one_byte_less_than_2_gb() -> None:
    assert encode_response_header(EMPTY_RESPONSE, 2**31 - 1) == bytes(10) + b"\xff\xff\xff\x7f"
    for length in (2**31, -1):
        with pytest.raises(InvalidFieldLength) as caught:
            encode_response_header(EMPTY_RESPONSE, length)
        assert (caught.value.field, caught.value.length, caught.value.maximum) == ("update", length, 2**31 - 1)


@given(RESPONSES)
def test_a_response_survives_the_wire(value: UpdateInfoResponse) -> None:
    body = encode_response(value)
    assert decode_response(body) == value
    assert encode_response_header(value, len(value.update)) + value.update == body


@given(RESPONSES, st.randoms(use_true_random=False))
def test_pieces_of_any_size_give_the_same_response(value: UpdateInfoResponse, chance: random.Random) -> None:
    body = encode_response(value)
    events = [read(chunks, len(body)) for chunks in pieces(body, chance.random())]
    assert all(response_from_events(each) == value for each in events)
    assert all(each == events[0] for each in events)


@given(
    st.binary(max_size=80) | st.lists(st.sampled_from([b"\0", b"\1", b"\x08\0\0\0", b"\x80", bytes(8)])).map(b"".join)
)
def test_any_bytes_are_a_response_or_a_malformed_one(body: bytes) -> None:
    try:
        value = decode_response(body)
    except MalformedResponse:
        return
    # The length field of a URI holds 255, and a station reads as many; but it cannot use them, so they are not written.
    if (
        len(value.cups_uri.encode("utf-8", "surrogateescape"))
        <= 127
        >= len(value.tc_uri.encode("utf-8", "surrogateescape"))
    ):
        assert body.startswith(encode_response(value))
