"""Checks of the arguments of ``Testbed`` and its methods.

The values that are refused here would fail later with an obscure error, or make the testbed run without end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from lorafw.clock import parse_iso
from lorafw.errors import LabError
from lorafw.tasks.policy import Policy
from lorafw.version import GatewayVersion

MIN_INTERVAL_S: Final = 0.001
"""Resolution of the clock. Gateways that poll more often would stop the clock."""


def check_gateways(count: object) -> None:
    """Raise LabError unless ``count`` is a whole number, 0 or more."""
    if not _is_whole(count, 0):
        raise LabError(f"gateways: {count!r} is not a number of gateways; give a whole number, 0 or more")


def check_interval(interval_s: object) -> None:
    """Raise LabError unless ``interval_s`` is a finite number of seconds, at least MIN_INTERVAL_S."""
    if not _is_number(interval_s, MIN_INTERVAL_S):
        raise LabError(
            f"interval_s: {interval_s!r} is not a time between polls; give seconds, {MIN_INTERVAL_S} or more"
        )


def check_policy(policy: object) -> None:
    """Raise LabError unless ``policy`` is a Policy or None."""
    if policy is not None and not isinstance(policy, Policy):
        raise LabError(f"policy: {policy!r} is not a Policy; give one, for example Policy(settle_s=30)")


def read_start(start: str | datetime) -> str:
    """Return ``start`` as an ISO 8601 time. Raises LabError if it is no time."""
    text = start.isoformat() if isinstance(start, datetime) else start
    try:
        parse_iso(text)
    except (TypeError, ValueError, OverflowError):
        raise LabError(
            f"start: {start!r} is not a time; give one like '2021-03-12T09:56:12.047Z', or a datetime"
        ) from None
    return text


def check_moto_config(config: object, allow_hosts: Sequence[str]) -> None:
    """Raise LabError if ``config`` is no configuration of moto, or would lead out of the testbed.

    Args:
        config: The configuration, or None.
        allow_hosts: The hosts that the testbed allows. moto's passthrough needs one.

    Raises:
        LabError: ``config`` is not a mapping of mappings, or has passthrough without an allowed host.
    """
    if config is None:
        return
    if not isinstance(config, Mapping) or not all(isinstance(part, Mapping) for part in config.values()):
        raise LabError(
            f"moto_config: {config!r} is not a configuration of moto; give one, for example "
            "{'iot': {'use_valid_cert': True}}"
        )
    passthrough = config.get("core", {}).get("passthrough") or {}
    if any(passthrough.values()) and not allow_hosts:
        raise LabError(
            f"moto_config: passthrough {passthrough!r} would lead out of the testbed; name the hosts that may be "
            "reached with allow_hosts=[...]"
        )


def check_tags(tags: object) -> None:
    """Raise LabError unless ``tags`` is a mapping of texts to texts."""
    if not isinstance(tags, Mapping) or not all(isinstance(text, str) for pair in tags.items() for text in pair):
        raise LabError(f"tags: {tags!r} are not tags; give a mapping of texts, for example {{'site': 'roof'}}")


def check_seconds(seconds: object) -> None:
    """Raise LabError unless ``seconds`` is a finite number, 0 or more."""
    if not _is_number(seconds, 0):
        raise LabError(f"seconds: {seconds!r} cannot be advanced by; a clock moves forward only: give 0 or more")


def check_polls(polls: object) -> None:
    """Raise LabError unless ``polls`` is None or a whole number, 1 or more."""
    if polls is not None and not _is_whole(polls, 1):
        raise LabError(
            f"polls: {polls!r} is not how many polls a fault holds for; give 1 or more, or leave it out: until heal()"
        )


def check_version(field: str, version: object) -> None:
    """Raise LabError unless ``version`` is None or a GatewayVersion. ``field`` is its name in the message."""
    if version is not None and not isinstance(version, GatewayVersion):
        raise LabError(f"{field}: {version!r} is not a GatewayVersion; give one: GatewayVersion(package='1.0.0')")


def _is_number(value: object, minimum: float) -> bool:
    """Return whether ``value`` is a finite number, at least ``minimum``. A bool is not a number here."""
    return isinstance(value, int | float) and not isinstance(value, bool) and minimum <= value < math.inf


def _is_whole(value: object, minimum: int) -> bool:
    """Return whether ``value`` is a whole number, at least ``minimum``. A bool is not a number here."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= minimum
