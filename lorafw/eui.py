"""The 64-bit EUI that identifies a gateway, in all common notations.

=============  ==========================  ==========================================================
form           example                     used by
=============  ==========================  ==========================================================
hex            ``5a11b0a85a11b0a8``        AWS's responses (sixteen lower-case digits), and lorafw
grouped        ``5A-11-B0-A8-5A-11-B0-A8`` requests to AWS: ``-``, ``:`` or a space between bytes, in
                                           upper or lower case
ID6            ``5a11:b0a8:5a11:b0a8``     ``router`` of Basics Station: four groups of 16 bits without
                                           leading zeros, and ``::`` for a run of zero groups
MAC            ``aa:bb:cc:dd:ee:ff``       station.conf; ``euiprefix`` says how it becomes an EUI
=============  ==========================  ==========================================================

Source: AWS's GatewayEui pattern (botocore 1.44.5) and requests recorded from Basics Station 2.0.6. AWS's pattern
accepts any white space between bytes; lorafw accepts only the space.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_AWS_FORM: Final = re.compile(r"(?:[0-9A-Fa-f]{2}(?P<sep>[-: ]?))(?:[0-9A-Fa-f]{2}(?P=sep)){6}[0-9A-Fa-f]{2}")
_GROUP: Final = re.compile(r"[0-9A-Fa-f]{1,4}")
_STATION_TEXT: Final = re.compile(r"[0-9A-Fa-f:-]*")
_SEPARATORS: Final = re.compile(r"[-: ]")

_MAC_BITS: Final = 48
_MAC_MASK: Final = (1 << _MAC_BITS) - 1
_ID6_GROUPS: Final = 4
_ID6_COLONS: Final = (2, 3)
"""The numbers of colons by which a station recognizes a routerid in ID6."""
_ID6_ZERO_RUNS: Final = ((0, 3), (1, 4), (0, 2), (1, 3), (2, 4))
"""The groups that ``::`` can replace, as the first group and the one behind the last. The longest runs come first."""
_MAX_SEPARATORS: Final = 7


@dataclass(frozen=True, slots=True, order=True)
class GatewayEui:
    """The EUI of a gateway. ``str()`` returns AWS's form and ``id6`` that of Basics Station.

    Raises:
        ValueError: The value does not fit into 64 bits.
    """

    value: int
    """The EUI as a number, most significant byte first."""

    def __post_init__(self) -> None:
        if not 0 <= self.value < 1 << 64:
            raise ValueError(f"a gateway EUI has 64 bits; {self.value:#x} does not fit")

    @classmethod
    def parse(cls, text: str) -> GatewayEui:
        """Return the EUI in a text in one of AWS's forms or in ID6. A MAC address is not accepted.

        Raises:
            ValueError: The text is in none of these forms.
        """
        if _AWS_FORM.fullmatch(text):
            return cls(int(_SEPARATORS.sub("", text), 16))
        return cls.from_id6(text)

    @classmethod
    def from_id6(cls, text: str) -> GatewayEui:
        """Return the EUI in a text in ID6, such as ``a::b`` or ``11:2233:4455:6677``.

        Raises:
            ValueError: The text is not in ID6.
        """
        return cls(_parse_id6(text))

    @classmethod
    def from_station_conf(cls, routerid: str, euiprefix: str = "::1") -> GatewayEui:
        """Return the EUI that a Basics Station derives from its configuration file station.conf.

        Args:
            routerid: The ``routerid`` of station.conf: an EUI or a MAC address.
            euiprefix: The ``euiprefix`` of station.conf, or the station's default. It turns a MAC address into an EUI.

        Raises:
            ValueError: ``routerid`` is zero, or one of the texts cannot be read.
        """
        value = _parse_routerid(routerid)
        if value == 0:
            raise ValueError(f"{routerid!r} is not a routerid: it must not be zero")
        if value > _MAC_MASK:
            return cls(value)
        return eui_from_mac(value, euiprefix)

    @property
    def hex(self) -> str:
        """The EUI as sixteen lower-case hex digits, as in AWS's responses."""
        return f"{self.value:016x}"

    @property
    def id6(self) -> str:
        """The EUI in ID6, the form that a Basics Station sends as ``router``, such as ``5a11:b0a8:5a11:b0a8``."""
        return _format_id6(self.value)

    def __bytes__(self) -> bytes:
        return self.value.to_bytes(8, "big")

    def __str__(self) -> str:
        return self.hex


def eui_from_mac(mac: int, euiprefix: str = "::1") -> GatewayEui:
    """Return the EUI that a Basics Station derives from a MAC address and the ``euiprefix`` of station.conf.

    If the low 48 bits of the prefix are zero, the prefix gives the top 16 bits of the EUI. With any other prefix, such
    as the default, FFFE is inserted in the middle of the address::

        MAC         aa bb cc       dd ee ff
        EUI         aa bb cc ff fe dd ee ff     euiprefix "::1"
        EUI   5a 11 aa bb cc       dd ee ff     euiprefix "5a11::"

    Args:
        mac: The MAC address as a number.
        euiprefix: The ``euiprefix`` of station.conf, or the station's default.

    Raises:
        ValueError: The prefix cannot be read.
    """
    prefix = _parse_routerid(euiprefix)
    if prefix & _MAC_MASK == 0:
        return GatewayEui(prefix | mac)
    manufacturer, device = divmod(mac, 1 << 24)
    return GatewayEui(manufacturer << 40 | 0xFFFE << 24 | device)


def _parse_id6(text: str) -> int:
    """Return the number that a text in ID6 spells. Raises ValueError if the text is not in ID6.

    ID6 has four groups of hex digits between colons. ``::`` stands for all groups that are missing, which are zero.
    """
    left, double_colon, right = text.partition("::")
    left_groups = left.split(":") if left else []
    right_groups = right.split(":") if right else []
    groups = left_groups + right_groups
    missing = _ID6_GROUPS - len(groups)
    has_right_count = missing >= 1 if double_colon else missing == 0
    has_valid_groups = len(groups) > 0 and all(_GROUP.fullmatch(group) for group in groups)
    if not has_right_count or not has_valid_groups:
        raise ValueError(
            f"{text!r} is not a gateway EUI: give sixteen hex digits (5a11b0a85a11b0a8, or with '-' or ':' "
            "between the bytes) or ID6 (5a11:b0a8:5a11:b0a8)"
        )
    all_groups = left_groups + ["0"] * missing + right_groups
    return int("".join(group.zfill(4) for group in all_groups), 16)


def _format_id6(value: int) -> str:
    """Return a number of 64 bits in ID6.

    Each group is 16 bits in hex without leading zeros. ``::`` replaces two or three groups in a row that are zero. So
    1 is written as ``::1``, and 0 as ``::0``.
    """
    digits = f"{value:016x}"
    groups = [digits[start : start + 4].lstrip("0") or "0" for start in (0, 4, 8, 12)]
    for start, stop in _ID6_ZERO_RUNS:
        if all(group == "0" for group in groups[start:stop]):
            return f"{':'.join(groups[:start])}::{':'.join(groups[stop:])}"
    return ":".join(groups)


def _parse_routerid(text: str) -> int:
    """Return the number in a routerid or an euiprefix, as a Basics Station reads it.

    A text with two or three colons is read as ID6, in which the first group may be missing. Any other text is read as
    hex digits, padded with leading zeros.

    Raises:
        ValueError: The station could not read the text either.
    """
    if not text or not _STATION_TEXT.fullmatch(text):
        raise ValueError(f"{text!r} is not a routerid: give hex digits, with '-' or ':' between them")
    colons = text.count(":")
    dashes = text.count("-")
    digits = _SEPARATORS.sub("", text)
    if digits and colons in _ID6_COLONS and not dashes:
        if text[0] == ":" and text[1] != ":":
            raise ValueError(f"{text!r} is not a routerid: a single ':' has nothing in front of it")
        if "::" not in text:
            missing_groups = "0:" * (3 - colons)
            text = missing_groups + text
        return _parse_id6(text)
    if not 0 < len(digits) <= 16 or (dashes and colons) or max(dashes, colons) > _MAX_SEPARATORS:
        raise ValueError(f"{text!r} is not a routerid: give 1 to 16 hex digits and one kind of separator")
    return int(digits, 16)
