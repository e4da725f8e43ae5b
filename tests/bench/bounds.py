"""Check that each parser answers inputs of 1 MiB quickly and in little memory, with a value or a LorafwError.

The inputs are repeated and nested patterns. Each runs in a process of its own. It may take one second, and 64 MB more
than the process had before. Larger inputs may take longer in proportion, which ``--size`` can show. A parser is one row
of PARSERS: a function that takes bytes.

    .venv/bin/python tests/bench/bounds.py [--parser NAME] [--size 1048576]
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from lorafw.errors import LorafwError

LIMIT_S = 1.0
LIMIT_MB = 64.0
GIVE_UP_S = 20.0
SIZE = 1 << 20

Parser = Callable[[bytes], object]


# --- the parsers: add yours here ---


def parse_toml(content: bytes) -> object:
    from lorafw.fleet import io

    return io.read_fleet(_file(content)), io.read_plan(_file(content))


def parse_csv(content: bytes) -> object:
    from lorafw.fleet import io

    return io.read_csv(_file(content), ignore_unknown=True, fill_empty=True)


def parse_parquet(content: bytes) -> object:
    from lorafw.fleet import io

    return io.read_parquet(_file(content))


def parse_request(content: bytes) -> object:
    from lorafw.cups.codec import decode_request

    return decode_request(content)


def parse_response(content: bytes) -> object:
    from lorafw.cups.codec import decode_response

    return decode_response(content)


def parse_image(content: bytes) -> object:
    from lorafw.firmware.image import unpack_image

    return unpack_image(content)


HOME_FILES = ("station.conf", "version.txt", "cups.uri", "tc.uri", "sig-0.key", "cups.trust", "cups.crt", "cups.key")


def parse_home_files(content: bytes) -> object:
    """Put the content into each file of a home folder in turn, and read the folder as a gateway does."""
    from lorafw.gateway.client_tls import client_context
    from lorafw.gateway.home import Home

    conf = b'{"station_conf": {"routerid": "58a0:cbff:fe80:1"}}'
    outcomes = []
    for name in HOME_FILES:
        folder = Path(tempfile.mkdtemp())
        (folder / "station.conf").write_bytes(conf)
        (folder / "cups.uri").write_text("https://localhost:443")
        (folder / name).write_bytes(content)
        home = Home(folder)
        outcomes.append(outcome(lambda _, home=home: home.build_request("2.0.6(linux/std) 2026-11-23", "linux"), b""))
        outcomes.append(outcome(lambda _, home=home: client_context(home.read_credentials("cups")), b""))
    return outcomes


def parse_policy(content: bytes) -> object:
    from lorafw.sources.iam.context import CannotEvaluate
    from lorafw.sources.iam.documents import NamedPolicy, read_statements

    with suppress(CannotEvaluate):  # a document that cannot be evaluated denies, with this as the reason
        return [statement.checked_elements() for statement in read_statements(NamedPolicy("the policy", content))]
    return "cannot be evaluated"


def parse_http_reply(content: bytes) -> object:
    from lorafw.station.evaluation import evaluate_reply

    return evaluate_reply(content)


def parse_credentials(content: bytes) -> object:
    from lorafw.cups.credentials import parse_credentials as parse

    return parse(content)


PARSERS: dict[str, Parser] = {
    "toml": parse_toml,
    "csv": parse_csv,
    "parquet": parse_parquet,
    "request": parse_request,
    "response": parse_response,
    "image": parse_image,
    "home files": parse_home_files,
    "policy": parse_policy,
    "HTTP reply": parse_http_reply,
    "credentials": parse_credentials,
}


# --- the patterns: (head, repeated, tail) ---

PATTERNS: dict[str, tuple[bytes, bytes, bytes]] = {
    "zeros": (b"", b"\x00", b""),
    "ones": (b"", b"\xff", b""),
    "a line": (b"", b"a", b""),
    "digits": (b"[fleet]\ngateways = ", b"9", b""),
    "short lines": (b"gateway\n", b"7\n", b""),
    "empty cells": (b"gateway", b",", b"\n"),
    "columns": (b"gateway", b",c", b"\n"),
    "rows": (b"region\n", b"ab\n", b""),
    "quotes": (b"gateway\n", b'"', b""),
    "lists": (b"[plan]\nname = ", b"[", b""),
    "tables": (b"[plan]\nname = ", b"{a=", b""),
    "dotted key": (b"a", b".a", b" = 1"),
    "dotted table": (b"[a", b".a", b"]"),
    "waves": (b"", b"[[plan.waves]]\nsize = 1\n", b""),
    "open strings": (b"", b"'''", b""),
    "JSON objects": (b"", b'{"router":', b""),
    "JSON lists": (b'{"keys":', b"[", b""),
    "JSON numbers": (b'{"keys":[1', b",1", b"]}"),
    "comments": (b'{"station_conf":{', b"/**/", b"}}"),
    "members": (b'{"station_conf":{', b'"a":1,', b"}}"),
    "wildcards": (
        b'{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"',
        b"*a?",
        b'"}]}',
    ),
    "statements": (
        b'{"Version":"2012-10-17","Statement":[',
        b'{"Effect":"Allow","Action":"s3:*","Resource":"*"},',
        b'{"Effect":"Deny","Action":"s3:*","Resource":"*"}]}',
    ),
    "PEM": (b"", b"-----BEGIN CERTIFICATE-----\n", b""),
    "header lines": (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n", b"\r\n"),
    "Parquet": (b"PAR1", b"\x15\x00", b"\xff\xff\x00\x00PAR1"),
}


def pattern(name: str, size: int) -> bytes:
    """Return the pattern, filled to about ``size`` bytes."""
    head, repeated, tail = PATTERNS[name]
    count = (size - len(head) - len(tail)) // len(repeated)
    return head + repeated * count + tail


def _file(content: bytes) -> Path:
    path = Path(tempfile.gettempdir()) / "bounds-input"
    path.write_bytes(content)
    return path


def outcome(parse: Parser, content: bytes) -> str:
    """Return what the parser makes of the content. Raises whatever is no LorafwError."""
    try:
        parse(content)
    except LorafwError as error:
        return type(error).__name__
    return "a value"


def _run(pipe: Connection, parse: Parser, content: bytes) -> None:
    """In a process of its own: warm up, then measure."""
    with tempfile.TemporaryDirectory(prefix="bounds-") as folder:
        tempfile.tempdir = folder
        outcome(parse, content[:64])
        before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.process_time()
        try:
            told = outcome(parse, content)
        except Exception as error:
            told = f"TRACEBACK {type(error).__name__}"
        taken_s = time.process_time() - start
        after_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pipe.send((told, taken_s, (after_kb - before_kb) / 1024))


def measure(parse: Parser, content: bytes) -> tuple[str, float, float]:
    """Return (outcome, seconds of CPU, MB beyond what was there before)."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(theirs, parse, content))
    process.start()
    theirs.close()
    try:
        if ours.poll(GIVE_UP_S):
            result: tuple[str, float, float] = ours.recv()
            return result
    except EOFError:
        return "CRASH", 0.0, 0.0
    finally:
        process.kill()
        process.join()
    return "TOO SLOW", GIVE_UP_S, 0.0


def faults(parsers: dict[str, Parser], size: int) -> Iterator[str]:
    """Print a line for each parser and pattern; yield those that are out of bounds."""
    for parser_name, parse in parsers.items():
        with suppress(Exception):  # loads the parser's modules once, before the processes part
            outcome(parse, b"")
        for pattern_name in PATTERNS:
            told, taken_s, more_mb = measure(parse, pattern(pattern_name, size))
            line = f"{parser_name:10} {pattern_name:14} {taken_s:6.2f} s {more_mb:7.1f} MB  {told}"
            print(line, flush=True)
            if told.isupper() or told.startswith("TRACEBACK") or taken_s > LIMIT_S or more_mb > LIMIT_MB:
                yield line


def main() -> None:
    """Measure, and end with status 1 if something is out of bounds."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--parser", choices=PARSERS)
    options.add_argument("--size", type=int, default=SIZE)
    given = options.parse_args()
    parsers = {given.parser: PARSERS[given.parser]} if given.parser else PARSERS
    found = list(faults(parsers, given.size))
    print("\n".join(["", "Out of bounds:", *found]) if found else "\nAll within bounds.")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
