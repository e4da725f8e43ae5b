"""The signature workbench: sign an update, spoil it, and hear what a Basics Station says.

The reply is encoded and decoded by ``cups.codec`` and judged by ``station.exchange``, as on a gateway; only its files
are in memory. What is done to the update is a plain value that changes by steps.
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
from lorafw.lab.panels.base import Panel, button, dropdown, slider, text_input
from lorafw.lab.panels.html import (
    SafeHtml,
    bold,
    break_anywhere,
    heading,
    html,
    preformatted,
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
HEAD: Final = ("", "value")


@dataclass(slots=True)
class InMemoryStorage:
    """A station's files in memory: ``update`` is update.bin, None where there is none; ``ran`` holds what was run."""

    update: bytes | None = None
    ran: list[bytes] = field(default_factory=list)
    _partial: bytearray = field(default_factory=bytearray)

    def reset_config(self) -> None:
        """Not looked at here."""

    def save_uri(self, category: str, uri: str) -> None:
        """Not looked at here."""

    def save_credentials(self, category: str, credentials: Credentials) -> None:
        """Not looked at here."""

    def commit_config(self) -> None:
        """Not looked at here."""

    def update_begin(self, length: int) -> Iterable[LogLine]:
        self._partial.clear()
        return ()

    def update_data(self, data: bytes) -> Iterable[LogLine]:
        self._partial += data
        return ()

    def update_commit(self) -> bool:
        self.update = bytes(self._partial)
        return True

    def update_abort(self) -> None:
        self.update = None

    def update_run(self) -> Iterable[LogLine]:
        if self.update is not None:
            self.ran.append(self.update)
        return ()


@dataclass(frozen=True, slots=True)
class WorkbenchState:
    """An update, its signature (None: there is none), the keys on the gateway, and what was done, step by step.

    ``built``: the update as it was before anything was done to it; without it, nothing counts as changed.
    """

    update: bytes
    signed: UpdateSignature | None = None
    sig_keys: tuple[bytes, ...] = ()
    steps: tuple[str, ...] = ()
    built: bytes | None = None

    @property
    def is_changed(self) -> bool:
        return self.built is not None and self.update != self.built

    def sign(self, key: KeyPair, name: str) -> WorkbenchState:
        return self._step(f"signed with {name}", signed=sign_update(key, self.update))

    def tamper(self, offset: int) -> WorkbenchState:
        """One bit of the byte at ``offset`` is turned over. Raises Invalid where there is no such byte."""
        if not 0 <= offset < len(self.update):
            raise InvalidValue("offset", offset, f"the update has bytes 0 to {len(self.update) - 1}")
        changed = bytearray(self.update)
        changed[offset] ^= 1
        step = f"byte {offset} changed from 0x{self.update[offset]:02X} to 0x{changed[offset]:02X}"
        return self._step(step, update=bytes(changed))

    def strip(self) -> WorkbenchState:
        return self._step("signature taken off", signed=None)

    def _step(self, step: str, **changes: object) -> WorkbenchState:
        return replace(self, steps=(*self.steps, step), **changes)  # type: ignore[arg-type]

    def response(self) -> UpdateInfoResponse:
        if self.signed is None:
            return UpdateInfoResponse(update=self.update)
        return UpdateInfoResponse(key_crc=self.signed.key_crc, signature=self.signed.signature, update=self.update)

    def judged(self) -> tuple[ExchangeResult, InMemoryStorage]:
        """What a station makes of the reply, and what it leaves behind."""
        body = encode_response(self.response())
        decoder, storage = ResponseDecoder(len(body)), InMemoryStorage()
        exchange = CupsExchange(storage, self.sig_keys)
        exchange.feed([*decoder.feed(body), *decoder.finish()])
        return exchange.verdict(), storage

    def verifies(self, key: KeyPair) -> bool:
        """Does the signature verify with this key? As ``lorafw firmware verify`` asks, not as a station does."""
        if self.signed is None:
            return False
        try:
            key.public_key.verify(self.update, self.signed.signature)
        except BadSignature:
            return False
        return True


_OUTCOME: Final = {
    UpdateAction.RUN: "✔ RUN: the station runs the update",
    UpdateAction.REFUSED: "✖ REFUSED: the station does not run the update",
    UpdateAction.NONE: "○ NONE: no update arrived",
}


class SignatureWorkbench(Panel):
    """Buttons change ``bench``, the state; below stands what the station says of it."""

    def __init__(self, package: str = example.NEXT_PACKAGE) -> None:
        super().__init__()
        self.package = self.reacts(text_input("PackageVersion", package, "260px"), self._start_over)
        self.key = dropdown("Sign with", list(KEYS), "480px")
        self.on_gateway = self.reacts(dropdown("Gateway has", list(GATEWAYS), "300px"), self._set_keys)
        self.sign = self.reacts(button("Sign", "Sign the update as it is now"), self._sign)
        self.offset = slider("Byte", 0, 0, 1)
        self.tamper = self.reacts(button("Tamper this byte", "Turn over one bit of it"), self._tamper)
        self.strip = self.reacts(button("Strip signature", "Send the update without one"), self._strip)
        self.start_over = self.reacts(
            button("Start over", "The update as built, signed with the right key"), self._start_over
        )
        self._start_over()
        self.assemble(
            (self.package, self.on_gateway, self.start_over),
            (self.key, self.sign, self.strip),
            (self.offset, self.tamper),
        )

    def refresh(self) -> None:
        self.offset.max = len(self.bench.update) - 1

    def _start_over(self) -> None:
        update = example.update_file(self.package.value)
        name, key = next(iter(KEYS.items()))
        self.bench = WorkbenchState(update, sig_keys=self._sig_keys(), built=update).sign(key, name)

    def _sig_keys(self) -> tuple[bytes, ...]:
        key = next(iter(KEYS.values()))
        return (key.public_key.sig_key,) if GATEWAYS[self.on_gateway.value] else ()

    def _set_keys(self) -> None:
        self.bench = replace(self.bench, sig_keys=self._sig_keys())

    def _sign(self) -> None:
        self.bench = self.bench.sign(KEYS[self.key.value], self.key.value)

    def _tamper(self) -> None:
        self.bench = self.bench.tamper(self.offset.value)

    def _strip(self) -> None:
        self.bench = self.bench.strip()

    def facts(self) -> list[tuple[str, str]]:
        """(what, its value), as they stand."""
        bench = self.bench
        signed = bench.signed
        rows = [
            ("update file", f"{len(bench.update)} bytes"),
            ("SHA-512", hashlib.sha512(bench.update).hexdigest()[:32] + "…"),
            ("UpdateSignature", signed.base64 if signed else "none"),
            ("SigKeyCrc", f"{signed.key_crc} ({signed.key_crc:08X})" if signed else "none"),
        ]
        return rows + [(f"verifies with {name}", _yes(bench.verifies(key))) for name, key in KEYS.items()]

    def html(self) -> SafeHtml:
        verdict, storage = self.bench.judged()
        steps = "\n".join(f"{number}. {step}" for number, step in enumerate(self.bench.steps, 1))
        log = "\n".join(map(str, verdict.log))
        return SafeHtml(
            heading(_OUTCOME[verdict.update])
            + side_by_side(
                (
                    table(
                        HEAD,
                        ((bold(name), break_anywhere(value)) for name, value in self.facts()),
                        "The update as it is sent",
                    ),
                    480,
                ),
                (
                    SafeHtml(
                        heading("What was done")
                        + preformatted(steps)
                        + heading("What the station logs")
                        + preformatted(log)
                    ),
                    480,
                ),
            )
            + html(
                f"update.bin afterwards: {_describe_leftover(storage)}. The next check comes after the regular interval."
            )
        )

    def text(self) -> str:
        verdict, storage = self.bench.judged()
        return "\n".join(
            (
                _OUTCOME[verdict.update],
                *self.bench.steps,
                text_table(HEAD, self.facts()),
                *map(str, verdict.log),
                f"update.bin afterwards: {_describe_leftover(storage)}",
            )
        )


def _yes(value: bool) -> str:
    return "✔ yes" if value else "✖ no"


def _describe_leftover(storage: InMemoryStorage) -> str:
    return "removed" if storage.update is None else f"{len(storage.update)} bytes, until the update removes it itself"
