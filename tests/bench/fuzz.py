"""Check that random and mutated inputs give a value or an error of lorafw, and nothing else.

    python tests/bench/fuzz.py                     five minutes of each
    python tests/bench/fuzz.py requests --seconds 60 --seed 7
    python tests/bench/fuzz.py replies             HTTP replies: the virtual gateway does what ``judge`` says
    python tests/bench/fuzz.py home                home folders

Each input is made from a seed and a number. A failure is printed with both, so that it can be repeated. The requests
and responses are recorded ones, changed in one to eight places, and random bytes. The exit status is 1 if another
exception was raised, or if the process grew by more than 4 MB after the first tenth of the time.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import gc
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fuzz_exchanges import HomeFiles, Replies

from lorafw.cups.codec import decode_request, decode_response, encode_request
from lorafw.cups.credentials import parse_credentials
from lorafw.cups.parser import RequestDecoder, ResponseDecoder
from lorafw.errors import CupsError
from lorafw.firmware.signing import KeyPair
from lorafw.station.evaluation import evaluate_reply
from lorafw.station.http import request_body

DATA = Path(__file__).parents[2] / "data"
GROWTH_LIMIT = 4 << 20
SOME_AT_ONCE = 200

NASTY_JSON = [
    b"null", b"true", b"-1", b"4294967296", b"1e400", b"-0.0", b"NaN", b"9" * 5000, b'"\\ud800"', b'"\\u0000"',
    b"[" * 3000, b'{"router":' * 500, b'"::"', b'"1:2:3:4:5"', b"[[[]]]", b'""', b"\xff\xfe", b"\xef\xbb\xbf",
    b'"keys":',
]  # fmt: skip
NASTY_BYTES = [
    b"\x00" * 4, b"\xff" * 4, b"\x30\x82\xff\xff", b"\x30\x80", b"\x02\x01\x00", b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"HTTP/1.1 200 OK\r\n", b"Content-Length: 99999999999999999999\r\n", b"\r\n\r\n", b"\x00", b"\xff",
]  # fmt: skip


def recorded(name: str, field: str) -> list[bytes]:
    return [base64.b64decode(case[field]) for case in json.loads((DATA / name).read_text())]


def mutated(chance: random.Random, corpus: list[bytes], nasty: list[bytes]) -> bytes:
    """One of the corpus, changed in some places; once in eight bytes of chance."""
    if chance.random() < 0.125:
        return chance.randbytes(chance.randrange(400))
    data = bytearray(chance.choice(corpus))
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(data) + 1)
        until = min(len(data), at + chance.choice((1, 1, 2, 4, 50, len(data))))
        match chance.randrange(6):
            case 0:
                data[at:until] = chance.randbytes(until - at)
            case 1:
                del data[at:until]
            case 2:
                data[at:at] = data[at:until]
            case 3:
                data[at : at + chance.randrange(3)] = chance.choice(nasty)
            case 4:
                other = chance.choice(corpus)
                data[at:] = other[chance.randrange(len(other) + 1) :]
            case 5 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
    return bytes(data)


def pieces(chance: random.Random, data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        until = at + chance.randint(1, max(1, len(data) // 3))
        yield data[at:until]
        at = until


class Mutating:
    """A target whose inputs are changed ones of a corpus."""

    corpus: list[bytes]
    nasty: list[bytes]

    def make(self, chance: random.Random) -> bytes:
        return mutated(chance, self.corpus, self.nasty)


class Requests(Mutating):
    """Decoders of requests: bodies, whole ones and in pieces, and HTTP around them."""

    nasty = NASTY_JSON

    def __init__(self) -> None:
        whole = recorded("station-requests.json", "raw")
        self.corpus = whole + [raw.partition(b"\r\n\r\n")[2] for raw in whole]

    def check(self, data: bytes, chance: random.Random) -> bool:
        """Was it a request?"""
        try:
            request = decode_request(request_body(data))
        except CupsError:
            return False
        decoder = RequestDecoder()
        for piece in pieces(chance, request_body(data)):
            decoder.feed(piece)
        assert decoder.finish() == request, "the same bytes in pieces are the same request"
        encode_request(request)
        return True


class Responses(Mutating):
    """Decoders of responses, the whole judgement of a station, and the parser of credentials."""

    nasty = NASTY_BYTES

    def __init__(self) -> None:
        bodies = recorded("station-responses.json", "response")
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
        self.corpus = bodies + [head % len(body) + body for body in bodies]
        self.keys = [KeyPair.from_secret(1).public_key.sig_key, bytes(65)]

    def check(self, data: bytes, chance: random.Random) -> bool:
        evaluate_reply(data, sig_keys=self.keys[: chance.randrange(3)], server_closes=chance.random() < 0.5)
        decoder = ResponseDecoder(len(data))
        for piece in pieces(chance, data):
            decoder.feed(piece)
        decoder.finish()
        with contextlib.suppress(CupsError):
            parse_credentials(data)
        try:
            decode_response(data)
        except CupsError:
            return False
        return True


class Target(Protocol):
    """What is fuzzed."""

    def make(self, chance: random.Random) -> bytes:
        """Make an input."""
        ...

    def check(self, data: bytes, chance: random.Random) -> bool:
        """Was it a value? Raises what is looked for."""
        ...


TARGETS: dict[str, Callable[[], Target]] = {
    "requests": Requests,
    "responses": Responses,
    "replies": Replies,
    "home": HomeFiles,
}


@dataclass
class Tally:
    """What a run came to."""

    inputs: int = 0
    values: int = 0
    failures: int = 0


class Run:
    """Inputs of one kind, by number."""

    def __init__(self, name: str, seed: int) -> None:
        self.name, self._seed, self._target = name, seed, TARGETS[name]()
        self.tally = Tally()

    def some(self, count: int) -> None:
        for _ in range(count):
            self.one(self.tally.inputs)
            self.tally.inputs += 1

    def one(self, number: int) -> None:
        chance = random.Random(f"{self._seed}-{self.name}-{number}")
        data = self._target.make(chance)
        try:
            self.tally.values += self._target.check(data, chance)
        except Exception as error:  # every other exception is what is looked for
            self.tally.failures += 1
            told = base64.b64encode(data[:2000]).decode()
            print(f"{self.name} seed {self._seed} number {number}: {type(error).__name__}: {error}\n  {told}")


def resident_bytes() -> int:
    """What the process has of the machine's memory (Linux)."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def run_for(name: str, seconds: float, seed: int) -> bool:
    """True where all was well. Tells what was done, and how memory went."""
    run = Run(name, seed)
    started = time.monotonic()
    seen: list[int] = []
    while (elapsed := time.monotonic() - started) < seconds:
        run.some(SOME_AT_ONCE)
        if elapsed >= (len(seen) + 1) * seconds / 10:
            seen.append(resident_bytes())
            print(f"\r{name}: {elapsed:4.0f} s, {run.tally.inputs} inputs", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    seen.append(resident_bytes())
    tally, growth = run.tally, seen[-1] - seen[0]
    refused = tally.inputs - tally.values - tally.failures
    first, last, more = (size / 2**20 for size in (seen[0], seen[-1], growth))
    print(
        f"{name}: {seconds:g} s, seed {seed}: {tally.inputs} inputs, {tally.values} values, {refused} refused, "
        f"{tally.failures} other exceptions; resident memory {first:.1f} MB after a tenth of the time, {last:.1f} MB "
        f"at the end ({more:+.2f} MB)"
    )
    return tally.failures == 0 and growth <= GROWTH_LIMIT


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["all", *TARGETS], default="all")
    parser.add_argument("--seconds", type=float, default=300.0, help="for each of them (default: 300)")
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    names = [*TARGETS] if words.what == "all" else [words.what]
    well = [run_for(name, words.seconds, words.seed) for name in names]
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
