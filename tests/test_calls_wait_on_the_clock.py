"""boto3 calls that wait advance the clock of a testbed: retries with jitter, and clients that get no reply."""

from __future__ import annotations

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ReadTimeoutError

from lorafw import Testbed


def waits(seed: int) -> list[int]:
    """Return the times at which two throttled calls succeed, one with each of boto3's common retry modes."""
    with Testbed(seed=seed) as bed:
        times = []
        for config in (Config(retries={"mode": "legacy"}), Config(retries={"mode": "standard"})):
            bed.fail_next("GetCallerIdentity", "Throttling", times=2)
            boto3.client("sts", region_name="us-east-1", config=config).get_caller_identity()
            times.append(bed.clock.now_ms())
        return times


def test_the_jitter_of_retries_comes_from_the_seed() -> None:
    assert waits(1) == waits(1) != waits(2)


def test_a_call_in_process_that_times_out_lasts_as_long_as_the_client_waits() -> None:
    with Testbed() as bed:
        before_ms = bed.clock.now_ms()
        bed.fail_next("GetCallerIdentity", "timeout-before-effect")
        with pytest.raises(ReadTimeoutError):
            boto3.client("sts", config=Config(read_timeout=45, retries={"total_max_attempts": 1})).get_caller_identity()
        assert bed.clock.now_ms() - before_ms == 45_000
