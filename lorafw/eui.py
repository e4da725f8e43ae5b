"""The identity of a gateway: a 64-bit EUI, in every form in which the field writes it.

=============  ==========================  ==========================================================
form           example                     who writes it
=============  ==========================  ==========================================================
hex            ``5a11b0a85a11b0a8``        AWS in answers (sixteen lower-case digits); lorafw everywhere
grouped        ``5A-11-B0-A8-5A-11-B0-A8`` AWS accepts ``-``, ``:`` or a blank between bytes, either case
ID6            ``5a11:b0a8:5a11:b0a8``     Basics Station in ``router``: four groups of 16 bits, no leading
                                           zeros, ``::`` for a run of zero groups at the start, at the end
                                           or in the middle
MAC            ``aa:bb:cc:dd:ee:ff``       station.conf; becomes an EUI by its ``euiprefix``
=============  ==========================  ==========================================================

Source: AWS's GatewayEui pattern (botocore 1.44.5; any white space is a blank there, here only the blank itself);
requests recorded from Basics Station 2.0.6.
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
_MAX_SEPARATORS: Final = 7


@dataclass(frozen=True, slots=True, order=True)
class GatewayEui:
    """A gateway's EUI. ``str()`` gives AWS's form, ``id6`` the station's. Raises ValueError on anything else."""

    value: int

    def __post_init__(self) -> None:
        if not 0 <= self.value < 1 << 64:
            raise ValueError(f"a gateway EUI has 64 bits; {self.value:#x} does not fit")

    @classmethod
    def parse(cls, text: str) -> GatewayEui:
        """Read AWS's forms or ID6; a MAC is not enough to name a gateway."""
        if _AWS_FORM.fullmatch(text):
            return cls(int(_SEPARATORS.sub("", text), 16))
        return cls.from_id6(text)

    @classmethod
    def from_id6(cls, text: str) -> GatewayEui:
        """Read the station's form, for example ``a::b`` or ``11:2233:4455:6677``."""
        head, gap, tail = text.partition("::")
        front = head.split(":") if head else []
        back = tail.split(":") if tail else []
        missing = 4 - len(front) - len(back)
        has_no_group = not front and not back
        if (
            has_no_group
            or any(not _GROUP.fullmatch(group) for group in front + back)
            or (missing < 1 if gap else missing != 0)
        ):
            raise ValueError(
                f"{text!r} is not a gateway EUI: give sixteen hex digits (5a11b0a85a11b0a8, or with '-' or ':' "
                "between the bytes) or ID6 (5a11:b0a8:5a11:b0a8)"
            )
        value = 0
        for group in front + ["0"] * missing + back:
            value = value << 16 | int(group, 16)
        return cls(value)

    @classmethod
    def from_station_conf(cls, routerid: str, euiprefix: str = "::1") -> GatewayEui:
        """What a Basics Station makes of ``routerid`` in station.conf.

        Two or three colons mean ID6, where three groups are the last three; otherwise the hex digits count and
        missing ones are leading zeros.
        A value without its top 16 bits is a MAC: with the default prefix, FFFE goes into its middle;
        with a prefix whose low 48 bits are zero, the prefix goes in front.
        """
        value = _read_routerid(routerid)
        if value == 0:
            raise ValueError(f"{routerid!r} is not a routerid: it must not be zero")
        if value > _MAC_MASK:
            return cls(value)
        return cls.from_mac(value, euiprefix)

    @classmethod
    def from_mac(cls, mac: int, euiprefix: str = "::1") -> GatewayEui:
        """Return what a Basics Station makes of 48 bits and the ``euiprefix`` of station.conf."""
        prefix = _read_routerid(euiprefix)
        if prefix & _MAC_MASK:
            return cls((mac & 0xFFFFFF000000) << 16 | 0xFFFE000000 | mac & 0xFFFFFF)
        return cls(prefix | mac)

    @property
    def hex(self) -> str:
        """Sixteen lower-case hex digits, as AWS answers."""
        return f"{self.value:016x}"

    @property
    def id6(self) -> str:
        """The form that a Basics Station sends as ``router``."""
        a, b, c, d = (self.value >> shift & 0xFFFF for shift in (48, 32, 16, 0))
        if a == b == 0:
            return f"::{c:x}:{d:x}" if c else f"::{d:x}"
        if c == d == 0:
            return f"{a:x}:{b:x}::" if b else f"{a:x}::"
        if b == c == 0:
            return f"{a:x}::{d:x}"
        return f"{a:x}:{b:x}:{c:x}:{d:x}"

    @property
    def bytes(self) -> bytes:
        """Eight bytes, most significant first."""
        return self.value.to_bytes(8, "big")

    def __str__(self) -> str:
        return self.hex


def _read_routerid(text: str) -> int:
    """Basics Station's reader: lenient, since the file is written by hand."""
    if not text or not _STATION_TEXT.fullmatch(text):
        raise ValueError(f"{text!r} is not a routerid: give hex digits, with '-' or ':' between them")
    colons, dashes = text.count(":"), text.count("-")
    digits = _SEPARATORS.sub("", text)
    if digits and colons in _ID6_COLONS and not dashes:
        if text[0] == ":" and text[1] != ":":
            raise ValueError(f"{text!r} is not a routerid: a single ':' has nothing in front of it")
        return GatewayEui.from_id6(text if "::" in text else "0:" * (3 - colons) + text).value
    if not 0 < len(digits) <= 16 or (dashes and colons) or max(dashes, colons) > _MAX_SEPARATORS:
        raise ValueError(f"{text!r} is not a routerid: give 1 to 16 hex digits and one kind of separator")
    return int(digits, 16)
