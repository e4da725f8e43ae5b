"""Compare how many polls per second lorafw's server and a minimal aiohttp handler answer when there is no update.

1,000 gateways and 1,000 definitions are registered. The server records the time of each request, and each poll uses a
connection of its own, as stations do. The two servers take turns in short rounds, so that other programs of the machine
affect both. The command also compares the CPU time per request, which does not depend on how fast the load is.

    python tests/bench/polls.py [--rounds 10] [--seconds 2] [--only plain]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from load import answer_pipe
from servers import make_identities, process, serve_bare, serve_lorafw

BOUND = {"plain": 0.7, "tls": 0.9}


def compare(folder: Path, gateways: int, tls: bool, rounds: int, seconds: float, at_once: int) -> list[float]:
    """Print each round, and return the ratios of requests a second."""
    identities = make_identities(folder, gateways)
    gateways_of_load = identities[:64] if tls else [type(one)(one.number) for one in identities]
    rate_ratios, cpu_ratios = [], []
    with ExitStack() as stack:
        lorafw, lorafw_port = stack.enter_context(process(serve_lorafw, folder, identities, tls))
        bare, bare_port = stack.enter_context(process(serve_bare, folder, identities, tls))
        load, _ = stack.enter_context(process(answer_pipe, gateways_of_load))
        for turn in range(-1, rounds):
            seen = {}
            order = [("lorafw", lorafw, lorafw_port), ("aiohttp", bare, bare_port)]
            for name, pipe, port in order if turn % 2 else order[::-1]:
                pipe.send("cpu")
                before = pipe.recv()
                load.send((port, seconds if turn >= 0 else 0.5, at_once, None))
                result = load.recv()
                pipe.send("cpu")
                cpu = (pipe.recv() - before) / max(len(result.times), 1)
                assert result.failures == 0, f"{result.failures} polls of {name} failed"
                seen[name] = (result.rate, cpu)
            if turn < 0:
                continue  # both are warm now
            rate_ratios.append(seen["lorafw"][0] / seen["aiohttp"][0])
            cpu_ratios.append(seen["aiohttp"][1] / seen["lorafw"][1])
            print(
                f"  round {turn + 1:2}: lorafw {seen['lorafw'][0]:6.0f}/s {seen['lorafw'][1] * 1e6:5.0f} us CPU,"
                f" aiohttp {seen['aiohttp'][0]:6.0f}/s {seen['aiohttp'][1] * 1e6:5.0f} us CPU,"
                f" ratio {rate_ratios[-1]:.2f}",
                flush=True,
            )
    for name, ratios in (("requests a second", rate_ratios), ("requests a CPU second", cpu_ratios)):
        print(
            f"  {name}: ratio min {min(ratios):.2f}, median {statistics.median(ratios):.2f}, max {max(ratios):.2f}",
            flush=True,
        )
    return rate_ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--gateways", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--only", choices=list(BOUND))
    options = parser.parse_args()
    failed = False
    for name, bound in BOUND.items():
        if options.only in (None, name):
            print(f"{name}:")
            with tempfile.TemporaryDirectory() as folder:
                ratios = compare(
                    Path(folder), options.gateways, name == "tls", options.rounds, options.seconds, options.at_once
                )
            median = statistics.median(ratios)
            failed |= median < bound
            print(f"  {'holds' if median >= bound else 'DOES NOT HOLD'}: median {median:.2f}, at least {bound}")
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
