"""Compare the speed of the command `lorafw simulate` with that of a lean SimPy model of the same rollout.

    python tests/bench/command_speed.py

The time for one million gateways is subtracted from that for six million, so the start of the command does not count.
The two programs run in turns, and the best time of each counts. Prints both rates and their ratio.
"""

from __future__ import annotations

import math
import random
import subprocess
import sys
import time

import simpy

SMALL, LARGE = 1_000_000, 6_000_000
SIMPY = 50_000
ROUNDS = 5


def simpy_reference(gateways: int, seed: int) -> tuple[int, int]:
    """The reference without a log: (COMPLETED, sends)."""
    env, luck = simpy.Environment(), random.Random(seed).random
    completed = sends = 0

    def gateway(env: simpy.Environment) -> object:
        nonlocal completed, sends
        yield env.timeout(luck() * 86_400)
        for _ in range(3):
            while luck() < 0.02:
                yield env.timeout(86_400)
            sends += 1
            if luck() < 0.9:
                yield env.timeout(90 - 30 * math.log(luck()))
                completed += 1
                return
            yield env.timeout(86_400)
        while luck() < 0.02:
            yield env.timeout(86_400)

    for _ in range(gateways):
        env.process(gateway(env))
    env.run()
    return completed, sends


def command(gateways: int) -> float:
    arguments = ["simulate", "--preset", "reference", "--gateways", str(gateways), "--json"]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "lorafw", *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    small, large, lean = [], [], []
    for seed in range(ROUNDS):
        small.append(command(SMALL))
        large.append(command(LARGE))
        start = time.perf_counter()
        completed, sends = simpy_reference(SIMPY, seed)
        lean.append(time.perf_counter() - start)
        assert abs(completed / SIMPY - 0.999) < 5 * math.sqrt(0.000999 / SIMPY), completed
        assert abs(sends / SIMPY - 1.11) < 5 * 0.35 / math.sqrt(SIMPY), sends
    more = min(large) - min(small)
    ours, theirs = (LARGE - SMALL) / more, SIMPY / min(lean)
    print(f"lorafw simulate, {SMALL:,} gateways: {min(small):.2f} s; {LARGE:,}: {min(large):.2f} s; {more:.2f} s more")
    print(f"gateways a second: lorafw {ours:,.0f}, SimPy {theirs:,.0f}; ratio {ours / theirs:.0f}")


if __name__ == "__main__":
    main()
