"""The signature workbench: sign an update, tamper with it, and see how a Basics Station reacts.

The response is encoded and decoded by ``cups.codec`` and handled by ``station.exchange``, as on a gateway. Only the
station's files are in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
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
from lorafw.station.log import LogLine

KEYS: Final = {
    "the key that sig-0.key belongs to": KeyPair.from_secret(0x10AF),
    "another key": KeyPair.from_secret(4711),
}
GATEWAYS: Final = {"sig-0.key": True, "no key at all": False}
HEAD: Final = ("property", "value")


@dataclass(slots=True)
class InMemoryStorage:
    """A station's files in memory. Settings and credentials are ignored."""

    update: bytes | None = None
    """Content of update.bin. None means that there is no such file."""
    executed: list[bytes] = field(default_factory=list)
    """The updates that were executed."""
    _partial: bytearray = field(default_factory=bytearray)

    def reset_config(self) -> None:
        """Ignore it."""

    def save_uri(self, category: str, uri: str) -> None:
        """Ignore the URI."""

    def save_credentials(self, category: str, credentials: Credentials) -> None:
        """Ignore the credentials."""

    def commit_config(self) -> None:
        """Ignore it."""

    def begin_update(self, length: int) -> Iterable[LogLine]:
        """Begin a new file."""
        self._partial.clear()
        return ()

    def write_update(self, data: bytes) -> Iterable[LogLine]:
        """Append to the file."""
        self._partial += data
        return ()

    def commit_update(self) -> bool:
        """Make the file update.bin. Returns True: a file in memory can always be made."""
        self.update = bytes(self._partial)
        return True

    def discard_update(self) -> None:
        """Remove update.bin."""
        self.update = None

    def run_update(self) -> Iterable[LogLine]:
        """Note that update.bin is executed."""
        if self.update is not None:
            self.executed.append(self.update)
        return ()


@dataclass(frozen=True, slots=True)
class WorkbenchState:
    """The state of the workbench: an update, its signature, and the gateway's keys. Each step returns a new state."""

    update: bytes
    signed: UpdateSignature | None = None
    """The signature of the update. None means that there is none."""
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
        return self._step(f"signed with {name}", signed=sign_update(key, self.update))

    def tamper(self, offset: int) -> WorkbenchState:
        """Return the state with one bit of the update inverted.

        Args:
            offset: Number of the byte, from 0. Its lowest bit is inverted.

        Raises:
            InvalidValue: The update has no such byte.
        """
        if not 0 <= offset < len(self.update):
            raise InvalidValue("offset", offset, f"the update has bytes 0 to {len(self.update) - 1}")
        changed = bytearray(self.update)
        changed[offset] ^= 1
        step = f"byte {offset} changed from 0x{self.update[offset]:02X} to 0x{changed[offset]:02X}"
        return self._step(step, update=bytes(changed))

    def strip(self) -> WorkbenchState:
        """Return the state without a signature."""
        return self._step("signature taken off", signed=None)

    def _step(self, step: str, **changes: object) -> WorkbenchState:
        """Return the state with the given fields changed, and the step noted."""
        return replace(self, steps=(*self.steps, step), **changes)  # type: ignore[arg-type]

    def response(self) -> UpdateInfoResponse:
        """Return the response that sends the update with its signature."""
        if self.signed is None:
            return UpdateInfoResponse(update=self.update)
        return UpdateInfoResponse(key_crc=self.signed.key_crc, signature=self.signed.signature, update=self.update)

    def evaluate(self) -> tuple[ExchangeResult, InMemoryStorage]:
        """Let a station handle the response. Returns its result, and its files afterwards."""
        body = encode_response(self.response())
        decoder = ResponseDecoder(len(body))
        storage = InMemoryStorage()
        exchange = CupsExchange(storage, self.sig_keys)
        exchange.feed([*decoder.feed(body), *decoder.finish()])
        return exchange.finish(), storage

    def verifies(self, key: KeyPair) -> bool:
        """Return whether the signature verifies with this key.

        Checks as ``lorafw firmware verify`` does. A station accepts more: it runs an update without a signature if it
        has no key.
        """
        if self.signed is None:
            return False
        try:
            key.public_key.verify(self.update, self.signed.signature)
        except BadSignature:
            return False
        return True


_MOODS: Final[dict[UpdateAction, Mood]] = {
    UpdateAction.RUN: "good",
    UpdateAction.REFUSED: "bad",
    UpdateAction.NONE: "idle",
}
_OUTCOME: Final = {
    UpdateAction.RUN: "✔ RUN: the station runs the update",
    UpdateAction.REFUSED: "✖ REFUSED: the station does not run the update",
    UpdateAction.NONE: "○ NONE: no update arrived",
}


class SignatureWorkbench(Panel):
    """The panel of the signature workbench."""

    bench: WorkbenchState
    """The state, which the buttons change."""

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
        """Create the controls and connect them to their actions. ``package`` is the first PackageVersion."""
        self.package = self.connect(text_input("PackageVersion", package), self._start_over)
        self.key = dropdown("Sign with", list(KEYS))
        self.on_gateway = self.connect(dropdown("Gateway has", list(GATEWAYS)), self._set_keys)
        self.sign = self.connect(button("Sign", "Sign the update as it is now"), self._sign)
        self.offset = slider("Byte", 0, 0, 1)
        self.tamper = self.connect(button("Tamper this byte", "Turn over one bit of it"), self._tamper)
        self.strip = self.connect(button("Strip signature", "Send the update without one"), self._strip)
        self.start_over = self.connect(
            button("Start over", "The update as built, signed with the right key"), self._start_over
        )

    def refresh(self) -> None:
        """Limit the choice of a byte to those of the update."""
        self.offset.max = len(self.bench.update) - 1

    def _start_over(self) -> None:
        """Build the update anew, and sign it with the key that the gateway trusts."""
        update = example.update_file(self.package.value)
        name, key = next(iter(KEYS.items()))
        self.bench = WorkbenchState(update, sig_keys=self._sig_keys(), built=update).sign(key, name)

    def _sig_keys(self) -> tuple[bytes, ...]:
        """Return the public keys on the chosen gateway."""
        if not GATEWAYS[self.on_gateway.value]:
            return ()
        key = next(iter(KEYS.values()))
        return (key.public_key.sig_key,)

    def _set_keys(self) -> None:
        self.bench = replace(self.bench, sig_keys=self._sig_keys())

    def _sign(self) -> None:
        self.bench = self.bench.sign(KEYS[self.key.value], self.key.value)

    def _tamper(self) -> None:
        self.bench = self.bench.tamper(self.offset.value)

    def _strip(self) -> None:
        self.bench = self.bench.strip()

    def properties(self) -> list[tuple[str, str]]:
        """Return the properties of the update that is sent, as pairs of a name and a value."""
        update, signed = self.bench.update, self.bench.signed
        signature, crc = "none", "none"
        if signed is not None:
            signature = signed.base64
            crc = f"{signed.key_crc} ({signed.key_crc:08X})"
        properties = [
            ("update file", f"{len(update)} bytes"),
            ("SHA-512", hashlib.sha512(update).hexdigest()[:32] + "…"),
            ("UpdateSignature", signature),
            ("SigKeyCrc", crc),
        ]
        properties += [(f"verifies with {name}", _yes_or_no(self.bench.verifies(key))) for name, key in KEYS.items()]
        return properties

    def headline_html(self) -> SafeHtml:
        """Return what the station does with the update, as a chip."""
        result, _ = self.bench.evaluate()
        return chip(_OUTCOME[result.update], _MOODS[result.update], large=True)

    def html(self) -> SafeHtml:
        """Return the properties of the update, the steps and the station's log."""
        result, storage = self.bench.evaluate()
        rows = [(name, break_anywhere(value)) for name, value in self.properties()]
        properties = table(HEAD, rows, "The update as it is sent")
        steps = "\n".join(f"{number}. {step}" for number, step in enumerate(self.bench.steps, 1))
        log = "\n".join(str(line) for line in result.log)
        steps_and_log = SafeHtml(
            heading("What was done") + preformatted(steps) + heading("What the station logs") + preformatted(log)
        )
        leftover = quiet(
            f"update.bin afterwards: {_describe_leftover(storage)}. The next check comes after the regular interval."
        )
        return SafeHtml(side_by_side((properties, 380), (steps_and_log, 380)) + leftover)

    def text(self) -> str:
        """Return the same as plain text."""
        result, storage = self.bench.evaluate()
        lines = [_OUTCOME[result.update], *self.bench.steps, text_table(HEAD, self.properties())]
        lines += [str(line) for line in result.log]
        lines.append(f"update.bin afterwards: {_describe_leftover(storage)}")
        return "\n".join(lines)


def _yes_or_no(value: bool) -> str:
    return "✔ yes" if value else "✖ no"


def _describe_leftover(storage: InMemoryStorage) -> str:
    """Return in words what has become of update.bin."""
    if storage.update is None:
        return "removed"
    return f"{len(storage.update)} bytes, until the update removes it itself"
