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
        left, double_colon, right = text.partition("::")
        left_groups = left.split(":") if left else []
        right_groups = right.split(":") if right else []
        groups = left_groups + right_groups
        zero_count = 4 - len(groups)
        has_right_count = zero_count == 0
        if double_colon:
            has_right_count = zero_count >= 1
        has_valid_groups = len(groups) > 0 and all(_GROUP.fullmatch(group) for group in groups)
        if not has_right_count or not has_valid_groups:
            raise ValueError(
                f"{text!r} is not a gateway EUI: give sixteen hex digits (5a11b0a85a11b0a8, or with '-' or ':' "
                "between the bytes) or ID6 (5a11:b0a8:5a11:b0a8)"
            )
        value = 0
        for group in left_groups + ["0"] * zero_count + right_groups:
            value = value << 16 | int(group, 16)
        return cls(value)

    @classmethod
    def from_station_conf(cls, routerid: str, euiprefix: str = "::1") -> GatewayEui:
        """Return the EUI that a Basics Station derives from station.conf.

        A routerid with two or three colons is read as ID6, in which the first group may be missing. Any other text is
        read as hex digits, padded with leading zeros. A value of at most 48 bits is a MAC address; see ``from_mac``.

        Args:
            routerid: The ``routerid`` of station.conf.
            euiprefix: The ``euiprefix`` of station.conf, or the station's default.

        Raises:
            ValueError: ``routerid`` is zero, or one of the texts cannot be read.
        """
        value = _read_routerid(routerid)
        if value == 0:
            raise ValueError(f"{routerid!r} is not a routerid: it must not be zero")
        if value > _MAC_MASK:
            return cls(value)
        return cls.from_mac(value, euiprefix)

    @classmethod
    def from_mac(cls, mac: int, euiprefix: str = "::1") -> GatewayEui:
        """Return the EUI that a Basics Station derives from a MAC address and the ``euiprefix`` of station.conf.

        If the low 48 bits of the prefix are zero, the prefix gives the top 16 bits of the EUI. With any other prefix,
        such as the default, FFFE is inserted in the middle of the address.

        Args:
            mac: The MAC address as a number.
            euiprefix: The ``euiprefix`` of station.conf, or the station's default.
        """
        prefix = _read_routerid(euiprefix)
        if prefix & _MAC_MASK:
            return cls((mac & 0xFFFFFF000000) << 16 | 0xFFFE000000 | mac & 0xFFFFFF)
        return cls(prefix | mac)

    @property
    def hex(self) -> str:
        """The EUI as sixteen lower-case hex digits, as in AWS's responses."""
        return f"{self.value:016x}"

    @property
    def id6(self) -> str:
        """The EUI in ID6, the form that a Basics Station sends as ``router``.

        These are four groups of 16 bits in hex without leading zeros. ``::`` replaces two or three groups in a row that
        are zero, so 0 is written as ``::0``.
        """
        groups = [f"{self.value >> shift & 0xFFFF:x}" for shift in (48, 32, 16, 0)]
        for start, stop in _ID6_ZERO_RUNS:
            if all(group == "0" for group in groups[start:stop]):
                return f"{':'.join(groups[:start])}::{':'.join(groups[stop:])}"
        return ":".join(groups)

    @property
    def bytes(self) -> bytes:
        """The EUI as eight bytes in network byte order (most significant byte first)."""
        return self.value.to_bytes(8, "big")

    def __str__(self) -> str:
        return self.hex


def _read_routerid(text: str) -> int:
    """Return the number in a routerid or an euiprefix, as a Basics Station reads it."""
    if not text or not _STATION_TEXT.fullmatch(text):
        raise ValueError(f"{text!r} is not a routerid: give hex digits, with '-' or ':' between them")
    colons = text.count(":")
    dashes = text.count("-")
    digits = _SEPARATORS.sub("", text)
    if digits and colons in _ID6_COLONS and not dashes:
        if text[0] == ":" and text[1] != ":":
            raise ValueError(f"{text!r} is not a routerid: a single ':' has nothing in front of it")
        if "::" not in text:
            # The station lets the first group be missing.
            text = "0:" * (3 - colons) + text
        return GatewayEui.from_id6(text).value
    if not 0 < len(digits) <= 16 or (dashes and colons) or max(dashes, colons) > _MAX_SEPARATORS:
        raise ValueError(f"{text!r} is not a routerid: give 1 to 16 hex digits and one kind of separator")
    return int(digits, 16)
