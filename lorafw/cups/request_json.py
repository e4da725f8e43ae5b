"""The JSON body of an update-info request: written as a Basics Station writes it, and read with every value checked.

``lorafw.cups.codec`` is the public place of these functions.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, Final, NoReturn

from lorafw.cups.messages import UpdateInfoRequest
from lorafw.errors import MalformedRequest
from lorafw.eui import GatewayEui
from lorafw.text import encode_lossless

MAX_REQUEST: Final = 8192
"""Largest request body in bytes. The station's own buffer has this size, for header and body together."""

_U32_MAX: Final = (1 << 32) - 1
_MAX_ERROR_VALUE_LENGTH: Final = 60
"""Longest value in characters that an error message quotes."""
_ESCAPE: Final = re.compile(r"\\u([0-9a-f]{4})|\\.")


def encode_request(request: UpdateInfoRequest) -> bytes:
    """Return the JSON body, byte for byte as a Basics Station writes it."""
    body = {
        "router": request.router.id6,
        "cupsUri": request.cups_uri,
        "tcUri": request.tc_uri,
        "cupsCredCrc": request.cups_cred_crc,
        "tcCredCrc": request.tc_cred_crc,
        "station": request.station,
        "model": request.model,
        "package": request.package,
        "keys": list(request.keys),
    }
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    text = _ESCAPE.sub(_upper_case_escape, text)
    # A station sends the bytes of version.txt as they are, even if they are not UTF-8.
    return encode_lossless(text)


def _upper_case_escape(escape: re.Match[str]) -> str:
    r"""Return a ``\u`` escape with upper-case digits, as a station writes it, and any other escape unchanged."""
    digits = escape[1]
    if digits is None:
        return escape[0]
    return f"\\u{digits.upper()}"


def decode_request(body: bytes) -> UpdateInfoRequest:
    """Return the request that a whole body contains.

    Raises:
        MalformedRequest: The body is too long, is not a JSON object, or has a member of the wrong type or range. The
            message names the member and its value.
    """
    check_request_length(len(body))
    try:
        # Decode UTF-8 here, because json.loads would accept UTF-16 too.
        members = _JSON_DECODER.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(f"the body is not JSON: {_truncate(str(error))}") from error
    if not isinstance(members, dict):
        raise MalformedRequest(f"the body is not a JSON object: {_truncate_repr(members)}")
    return UpdateInfoRequest(
        router=_read_router(members),
        cups_uri=_read_text(members, "cupsUri"),
        tc_uri=_read_text(members, "tcUri"),
        cups_cred_crc=_read_crc(members, "cupsCredCrc"),
        tc_cred_crc=_read_crc(members, "tcCredCrc"),
        station=_read_text(members, "station"),
        model=_read_text(members, "model"),
        package=_read_text(members, "package"),
        keys=_read_keys(members),
    )


def check_request_length(length: int) -> None:
    """Raise MalformedRequest if a body of ``length`` bytes is too long."""
    if length > MAX_REQUEST:
        raise MalformedRequest(f"the body has more than {MAX_REQUEST} bytes")


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dict. Raise MalformedRequest if two members have the same name.

    JSON parsers disagree about which of the two counts (RFC 8259, section 4).
    """
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        duplicate = next(name for name in members if names.count(name) > 1)
        raise MalformedRequest(f"{_truncate_repr(duplicate)} is there twice")
    return members


def _reject_constant(name: str) -> NoReturn:
    """Raise ValueError for ``NaN`` and ``Infinity``, which Python's JSON parser accepts by default."""
    raise ValueError(f"{name} is not a number")


_JSON_DECODER: Final = json.JSONDecoder(object_pairs_hook=_reject_duplicates, parse_constant=_reject_constant)

_parse_eui: Final = lru_cache(maxsize=4096)(GatewayEui.parse)
"""Cached, because a gateway sends the same text with each request."""


def _read_router(members: dict[str, Any]) -> GatewayEui:
    """Return the gateway's EUI from the required member ``router``."""
    router = _read_text(members, "router")
    if router is None:
        raise MalformedRequest("'router' is missing: it names the gateway")
    try:
        return _parse_eui(router)
    except ValueError as error:
        raise MalformedRequest(f"'router': {_truncate(str(error))}") from error


def _read_text(members: dict[str, Any], name: str) -> str | None:
    """Return a string member, or None if it is absent or null."""
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise MalformedRequest(f"{name!r} is {_truncate_repr(value)}, not a string")
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise MalformedRequest(f"{name!r} holds half of a surrogate pair") from error
    return value


def _read_crc(members: dict[str, Any], name: str) -> int | None:
    """Return a CRC member, or None if it is absent or null."""
    value = members.get(name)
    if value is None:
        return None
    return _check_u32(value, name)


def _read_keys(members: dict[str, Any]) -> tuple[int, ...]:
    """Return the CRCs in the member ``keys``, empty if it is absent or null."""
    keys = members.get("keys")
    if keys is None:
        return ()
    if not isinstance(keys, list):
        raise MalformedRequest(f"'keys' is {_truncate_repr(keys)}, not an array of CRCs")
    return tuple(_check_u32(key, f"keys[{index}]") for index, key in enumerate(keys))


def _check_u32(value: object, name: str) -> int:
    """Return ``value`` if it is an integer of 32 bits, otherwise raise MalformedRequest."""
    # bool is a subclass of int, but true and false are no CRCs.
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _U32_MAX:
        raise MalformedRequest(f"{name!r} is {_truncate_repr(value)}, not a CRC-32 (0 to {_U32_MAX})")
    return value


def _truncate_repr(value: object) -> str:
    """Return the repr of a value from the wire, cut to a length that fits into an error message."""
    return _truncate(repr(value))


def _truncate(text: str) -> str:
    """Return ``text``, cut to a length that fits into an error message."""
    if len(text) <= _MAX_ERROR_VALUE_LENGTH:
        return text
    return text[: _MAX_ERROR_VALUE_LENGTH - 3] + "..."
