"""What a Basics Station logs of a credential segment that it was given."""

from __future__ import annotations

from collections.abc import Iterable

from lorafw.cups.credentials import Layout


def credential_lines(segment: bytes, found: Layout) -> Iterable[str]:
    """What the station tells of the three parts: offset, length, and the bytes around the beginning.

    It looks beyond the end of a short segment; what it finds there counts as zero here.
    """

    def shown(start: int, groups: int) -> str:
        return "  ".join(
            " ".join(f"{segment[at] if 0 <= at < len(segment) else 0:02x}" for at in range(first, first + 4))
            for first in range(start, start + 4 * groups, 4)
        )

    trust_at, trust_length = found.trust
    yield f" credComplete - trust_off={trust_at:4d}, trust_len={trust_length:4d}               {shown(trust_at, 2)}"
    for at_name, length_name, (at, length) in (
        ("cert_off =", "cert_len =", found.certificate),
        ("key_off  =", "key_len  =", found.key),
    ):
        yield f" credComplete - {at_name}{at:4d}, {length_name}{length:4d}  {shown(at - 4, 3)}"
