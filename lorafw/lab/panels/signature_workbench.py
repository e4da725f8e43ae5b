"""The signature workbench: sign an update, tamper with it, and see how a Basics Station reacts.

The response is encoded and decoded by ``cups.codec`` and handled by ``station.exchange``, as on a gateway. Only the
station's files are in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from lorafw import example
from lorafw.cups.codec import encode_response
from lorafw.cups.credentials import Credentials
from lorafw.cups.messages import UpdateInfoResponse
from lorafw.cups.parser import ResponseDecoder
from lorafw.errors import BadSignature, InvalidValue
from lorafw.firmware.signing import KeyPair, UpdateSignature, sign_update
from lorafw.lab.panels.base import Panel, button, dropdown, slider, text_input, wide
from lorafw.lab.panels.html import (
    Mood,
    SafeHtml,
    break_anywhere,
    chip,
    heading,
    preformatted,
    quiet,
    side_by_side,
    table,
    text_table,
)
from lorafw.station.exchange import CupsExchange, ExchangeResult, UpdateAction
from lorafw.station.log import Level, LogLine

TRUSTED_KEY_NAME: Final = "the key that sig-0.key belongs to"
TRUSTED_KEY: Final = KeyPair.from_secret(0x10AF)
"""The key that the gateway trusts: its public part is in sig-0.key."""
KEYS: Final = {TRUSTED_KEY_NAME: TRUSTED_KEY, "another key": KeyPair.from_secret(4711)}
"""The keys that an update can be signed with, by name."""
GATEWAY_KEYS: Final[Mapping[str, tuple[bytes, ...]]] = {
    "sig-0.key": (TRUSTED_KEY.public_key.sig_key,),
    "no key at all": (),
}
"""The public keys on the gateway, by the name of the choice."""
HEAD: Final = ("property", "value")

_MOODS: Final[dict[UpdateAction, Mood]] = {
    UpdateAction.RUN: "good",
    UpdateAction.REFUSED: "bad",
    UpdateAction.NONE: "idle",
}
_OUTCOMES: Final = {
    UpdateAction.RUN: "✔ RUN: the station runs the update",
    UpdateAction.REFUSED: "✖ REFUSED: the station does not run the update",
    UpdateAction.NONE: "○ NONE: no update arrived",
}


@dataclass(slots=True)
class UpdateStorage:
    """The disk of a station, in memory. It keeps updates only: settings and credentials are ignored."""

    update: bytes | None = None
    """Content of update.bin. None means that there is no such file."""
    executed: list[bytes] = field(default_factory=list)
    """The updates that were executed."""
    _partial: bytearray = field(default_factory=bytearray)
    """The update that is being received."""

    def reset_config(self) -> None:
        """Do nothing: settings are not kept."""

    def save_uri(self, category: str, uri: str) -> None:
        """Do nothing: URIs are not kept."""

    def save_credentials(self, category: str, credentials: Credentials) -> None:
        """Do nothing: credentials are not kept."""

    def commit_config(self) -> None:
        """Do nothing: settings are not kept."""

    def begin_update(self, length: int) -> Iterable[LogLine]:
        """Begin to receive an update. There is room for any length."""
        self._partial.clear()
        return ()

    def write_update(self, data: bytes) -> Iterable[LogLine]:
        """Append bytes to the update that is being received."""
        self._partial += data
        return ()

    def commit_update(self) -> bool:
        """Make the received bytes update.bin. Returns True, because memory is never full."""
        self.update = bytes(self._partial)
        return True

    def discard_update(self) -> None:
        """Remove update.bin."""
        self.update = None

    def run_update(self) -> Iterable[LogLine]:
        """Note that update.bin is executed. Nothing is executed."""
        if self.update is not None:
            self.executed.append(self.update)
        return ()


@dataclass(frozen=True, slots=True)
class WorkbenchState:
    """An update, its signature, and the keys on the gateway. Each step returns a new state."""

    update: bytes
    signed: UpdateSignature | None = None
    """The signature that is sent with the update. None means that there is none."""
    sig_keys: tuple[bytes, ...] = ()
    """The public keys on the gateway."""
    steps: tuple[str, ...] = ()
    """What was done, in words."""
    built: bytes | None = None
    """The update as it was built. If it is None, it is not known, and the update counts as unchanged."""

    @property
    def is_changed(self) -> bool:
        """Whether the update differs from the one that was built."""
        return self.built is not None and self.update != self.built

    def sign(self, key: KeyPair, name: str) -> WorkbenchState:
        """Return the state with a new signature.

        Args:
            key: The key to sign with.
            name: Name of the key, for ``steps``.
        """
        signed = sign_update(key, self.update)
        return replace(self, signed=signed, steps=(*self.steps, f"signed with {name}"))

    def tamper(self, offset: int) -> WorkbenchState:
        """Return the state with the lowest bit of one byte of the update inverted.

        Args:
            offset: Number of the byte, from 0.

        Raises:
            InvalidValue: The update has no such byte.
        """
        if not 0 <= offset < len(self.update):
            raise InvalidValue("offset", offset, f"the update has bytes 0 to {len(self.update) - 1}")
        changed = bytearray(self.update)
        changed[offset] ^= 1
        step = f"byte {offset} changed from 0x{self.update[offset]:02X} to 0x{changed[offset]:02X}"
        return replace(self, update=bytes(changed), steps=(*self.steps, step))

    def strip(self) -> WorkbenchState:
        """Return the state without a signature."""
        return replace(self, signed=None, steps=(*self.steps, "signature taken off"))

    def response(self) -> UpdateInfoResponse:
        """Return the response that sends the update with its signature."""
        if self.signed is None:
            return UpdateInfoResponse(update=self.update)
        return UpdateInfoResponse(key_crc=self.signed.key_crc, signature=self.signed.signature, update=self.update)

    def evaluate(self) -> tuple[ExchangeResult, UpdateStorage]:
        """Let a station handle the response. Return what it did, and its disk afterwards."""
        body = encode_response(self.response())
        decoder = ResponseDecoder(len(body))
        storage = UpdateStorage()
        exchange = CupsExchange(storage, self.sig_keys)
        exchange.feed([*decoder.feed(body), *decoder.finish()])
        return exchange.finish(), storage


def verifies(key: KeyPair, update: bytes, signed: UpdateSignature | None) -> bool:
    """Return whether the signature of an update was made with a key.

    Checks as ``lorafw firmware verify`` does. A station accepts more: it runs an update without a signature if it has
    no key.

    Args:
        key: The key.
        update: The update as it is sent.
        signed: The signature. None means that there is none, so no key can have made it.
    """
    if signed is None:
        return False
    try:
        key.public_key.verify(update, signed.signature)
    except BadSignature:
        return False
    return True


def property_rows(update: bytes, signed: UpdateSignature | None) -> list[tuple[str, str]]:
    """Return the properties of an update and its signature, as pairs of a name and a value.

    Args:
        update: The update as it is sent.
        signed: Its signature, or None.
    """
    signature, crc = "none", "none"
    if signed is not None:
        signature = signed.base64
        crc = f"{signed.key_crc} ({signed.key_crc:08X})"
    rows = [
        ("update file", f"{len(update)} bytes"),
        ("SHA-512", hashlib.sha512(update).hexdigest()[:32] + "…"),
        ("UpdateSignature", signature),
        ("SigKeyCrc", crc),
    ]
    for name, key in KEYS.items():
        answer = "✔ yes" if verifies(key, update, signed) else "✖ no"
        rows.append((f"verifies with {name}", answer))
    return rows


def describe_leftover(storage: UpdateStorage) -> str:
    """Return in words what has become of update.bin.

    Args:
        storage: The disk of the station after the exchange.
    """
    if storage.update is None:
        return "update.bin afterwards: removed"
    return f"update.bin afterwards: {len(storage.update)} bytes, until the update removes it itself"


def outcome_html(bench: WorkbenchState) -> SafeHtml:
    """Return what the station does with the update, as a chip."""
    result, _ = bench.evaluate()
    return chip(_OUTCOMES[result.update], _MOODS[result.update], large=True)


def workbench_html(bench: WorkbenchState) -> SafeHtml:
    """Return the properties of the update, the steps and the station's log.

    Args:
        bench: The update, its signature, and the keys on the gateway.
    """
    result, storage = bench.evaluate()
    rows = [(name, break_anywhere(value)) for name, value in property_rows(bench.update, bench.signed)]
    properties = table(HEAD, rows, "The update as it is sent")
    numbered_steps = [f"{number}. {step}" for number, step in enumerate(bench.steps, 1)]
    steps = heading("What was done") + preformatted("\n".join(numbered_steps))
    log = heading("What the station logs") + preformatted("\n".join(_log_lines(result)))
    columns = side_by_side((properties, 380), (SafeHtml(steps + log), 380))
    leftover = quiet(f"{describe_leftover(storage)}. The next check comes after the regular interval.")
    return SafeHtml(columns + leftover)


def workbench_text(bench: WorkbenchState) -> str:
    """Return the outcome, the steps, the properties of the update and the station's log as plain text.

    Args:
        bench: The update, its signature, and the keys on the gateway.
    """
    result, storage = bench.evaluate()
    lines = [_OUTCOMES[result.update], *bench.steps]
    lines.append(text_table(HEAD, property_rows(bench.update, bench.signed)))
    lines += _log_lines(result)
    lines.append(describe_leftover(storage))
    return "\n".join(lines)


def _log_lines(result: ExchangeResult) -> list[str]:
    """Return what a station logs at the level INFO."""
    return [str(line) for line in result.log if line.level >= Level.INFO]


class SignatureWorkbench(Panel):
    """A notebook widget to sign an update, to tamper with it, and to see how a gateway reacts."""

    bench: WorkbenchState
    """The state. Each button replaces it with a new one."""

    def __init__(self, package: str = example.NEXT_PACKAGE) -> None:
        """Build and sign an update, and create the controls.

        Args:
            package: The PackageVersion of the update.
        """
        super().__init__()
        self._create_controls(package)
        self._start_over()
        self.build(
            (wide(self.package), wide(self.on_gateway), self.start_over),
            (wide(self.key), self.sign, self.strip),
            (wide(self.offset), self.tamper),
        )

    def _create_controls(self, package: str) -> None:
        """Create the controls and connect them to their actions. The field for the version begins with ``package``."""
        self.package = self.connect(text_input("PackageVersion", package), self._start_over)
        self.on_gateway = self.connect(dropdown("Gateway has", list(GATEWAY_KEYS)), self._change_gateway_keys)
        self.start_over = button("Start over", "The update as built, signed with the right key")
        self.connect(self.start_over, self._start_over)
        self.key = dropdown("Sign with", list(KEYS))
        self.sign = self.connect(button("Sign", "Sign the update as it is now"), self._sign_update)
        self.strip = self.connect(button("Strip signature", "Send the update without one"), self._take_signature_off)
        self.offset = slider("Byte", value=0, minimum=0, maximum=1)  # ``refresh`` sets the maximum.
        self.tamper = self.connect(button("Tamper this byte", "Turn over one bit of it"), self._invert_bit)

    def refresh(self) -> None:
        """Let the slider reach the last byte of the update."""
        self.offset.max = len(self.bench.update) - 1

    # --- actions ---

    def _start_over(self) -> None:
        """Build the update anew, and sign it with the key that the gateway trusts."""
        update = example.update_file(self.package.value)
        unsigned = WorkbenchState(update, sig_keys=GATEWAY_KEYS[self.on_gateway.value], built=update)
        self.bench = unsigned.sign(TRUSTED_KEY, TRUSTED_KEY_NAME)

    def _change_gateway_keys(self) -> None:
        self.bench = replace(self.bench, sig_keys=GATEWAY_KEYS[self.on_gateway.value])

    def _sign_update(self) -> None:
        name = self.key.value
        self.bench = self.bench.sign(KEYS[name], name)

    def _take_signature_off(self) -> None:
        self.bench = self.bench.strip()

    def _invert_bit(self) -> None:
        self.bench = self.bench.tamper(self.offset.value)

    # --- what is shown ---

    def headline_html(self) -> SafeHtml:
        """Return what the station does with the update, as a chip."""
        return outcome_html(self.bench)

    def html(self) -> SafeHtml:
        """Return the properties of the update, the steps and the station's log."""
        return workbench_html(self.bench)

    def text(self) -> str:
        """Return the same as plain text."""
        return workbench_text(self.bench)
