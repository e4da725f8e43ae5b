"""LW4xx: rules about the gateways of the account, their tasks and the other task definitions."""

from __future__ import annotations

from typing import Final

from lorafw.doctor.findings import Severity, Violations, rule
from lorafw.doctor.subject import OtherDefinition, SampledGateway, Subject
from lorafw.tasks.near_misses import differences
from lorafw.version import GatewayVersion

_GUIDE: Final = "AWS IoT Wireless Developer Guide, Update gateway firmware using CUPS"
_MAX_PACKAGE_CHARS: Final = 32
_ENDED: Final = ("COMPLETED", "FAILED")
_LONG_SILENCE_S: Final = 7 * 86_400.0
"""A gateway that was silent for longer probably takes no update soon. A decision of lorafw."""


@rule(
    "LW401",
    Severity.ERROR,
    title="No gateway presents the CurrentVersion, so no gateway is updated.",
    remedy="Copy CurrentVersion from get-wireless-gateway-firmware-information of a gateway.",
    source=_GUIDE,
)
def check_some_gateway_matches(subject: Subject) -> Violations:
    """Check that a gateway of the sample presents CurrentVersion."""
    current = _current_version(subject)
    presenting = [gateway for gateway in _sample(subject) if gateway.version is not None]
    if current is None or not presenting:
        return
    if not any(_matches(current, gateway) for gateway in presenting):
        yield f"None of {_describe_sample(subject)} presents {current}."


@rule(
    "LW402",
    Severity.WARNING,
    title="A gateway presents nearly the CurrentVersion, and it is not updated.",
    remedy="Create another task definition for its version, or correct CurrentVersion.",
    source="lorafw, policy 'comparison' (assumed)",
)
def check_near_misses(subject: Subject) -> Violations:
    """Check that no gateway of the sample differs from CurrentVersion in one field only."""
    current = _current_version(subject)
    if current is None:
        return
    for gateway in _sample(subject):
        if gateway.version is None:
            continue
        found = differences(current, gateway.version)
        if len(found) == 1:
            yield f"Gateway {gateway.id}: {found[0]}."


@rule(
    "LW403",
    Severity.WARNING,
    title="Another task definition with AutoCreateTasks has the same CurrentVersion.",
    remedy="Delete one of the two definitions. AWS does not document which one wins.",
    source="lorafw, policy 'several_matches' (assumed)",
)
def check_overlapping_definitions(subject: Subject) -> Violations:
    """Check that no automatic definition of the account has the same CurrentVersion."""
    current = _current_version(subject)
    for other in _definitions(subject):
        if current is not None and other.auto_create_tasks and other.current_version == current:
            yield f"Definition {other.id} matches the same gateways."


@rule(
    "LW404",
    Severity.ERROR,
    title="Another task definition with AutoCreateTasks races the waves of the rollout.",
    remedy="Delete that definition before the rollout starts.",
    source=_GUIDE,
)
def check_automatic_definitions_in_a_rollout(subject: Subject) -> Violations:
    """Check that no automatic definition creates tasks for gateways of a rollout."""
    current = _current_version(subject)
    if not subject.has_waves or current is None:
        return
    for other in _definitions(subject):
        if other.auto_create_tasks and other.current_version is not None and other.current_version.accepts(current):
            yield f"Definition {other.id} creates tasks for the same gateways."


@rule(
    "LW405",
    Severity.ERROR,
    title="A gateway already has a task, so CreateWirelessGatewayTask answers ConflictException.",
    remedy="Delete the task, or wait until it has ended and delete it then.",
    source="AWS IoT Wireless Developer Guide, Schedule and run the firmware update by using a task definition",
)
def check_tasks_in_the_way(subject: Subject) -> Violations:
    """Check that the gateways of the sample that match have no task.

    A rollout in waves deals with ended tasks itself.
    """
    current = _current_version(subject)
    if current is None:
        return
    harmless = _ENDED if subject.has_waves else ()
    for gateway in _sample(subject):
        is_in_the_way = gateway.task_status is not None and gateway.task_status not in harmless
        if is_in_the_way and _matches(current, gateway):
            yield f"Gateway {gateway.id} has a task that is {gateway.task_status}."


@rule(
    "LW406",
    Severity.WARNING,
    title="A gateway presents no PackageVersion, or one that no definition can name.",
    remedy="Write 1 to 32 characters to version.txt in the gateway's home folder.",
    source="AWS IoT Wireless API Reference, LoRaWANGatewayVersion",
)
def check_presented_packages(subject: Subject) -> Violations:
    """Check the PackageVersion that the gateways of the sample present."""
    for gateway in _sample(subject):
        if gateway.version is None:
            continue
        package = gateway.version.package
        if package is None:
            yield f"Gateway {gateway.id} presents no PackageVersion."
        elif not 0 < len(package) <= _MAX_PACKAGE_CHARS:
            yield f"Gateway {gateway.id} presents a PackageVersion of {len(package)} characters."


@rule(
    "LW407",
    Severity.WARNING,
    title="A gateway has been silent for more than a week, and an update waits until it comes back.",
    remedy="Check power and network of the gateway before the rollout.",
    source="lorafw (assumed)",
)
def check_silent_gateways(subject: Subject) -> Violations:
    """Check that the gateways of the sample were heard of in the last week."""
    for gateway in _sample(subject):
        if gateway.silent_s is not None and gateway.silent_s > _LONG_SILENCE_S:
            yield f"Gateway {gateway.id} has been silent for {gateway.silent_s / 86_400:.0f} days."


@rule(
    "LW408",
    Severity.WARNING,
    title="A gateway has never sent a CUPS request, so AWS does not know its version.",
    remedy="Check cups.uri, cups.trust and the certificate on the gateway.",
    source=_GUIDE,
)
def check_gateways_have_connected(subject: Subject) -> Violations:
    """Check that the gateways of the sample have presented a version."""
    for gateway in _sample(subject):
        if gateway.version is None:
            yield f"Gateway {gateway.id} has presented no version."


@rule(
    "LW409",
    Severity.ERROR,
    title="The account has no LoRaWAN gateway in this Region.",
    remedy="Use the Region of the gateways: set AWS_DEFAULT_REGION or give --region.",
    source="AWS IoT Wireless API Reference, ListWirelessGateways",
)
def check_has_gateways(subject: Subject) -> Violations:
    """Check that the account has gateways."""
    if subject.account is not None and subject.account.has_lorawan and subject.account.gateway_count == 0:
        yield f"Account {subject.account.account} has no gateway in {subject.account.region}."


def _sample(subject: Subject) -> tuple[SampledGateway, ...]:
    """Return the gateways that were looked at."""
    if subject.account is None:
        return ()
    return subject.account.sample


def _definitions(subject: Subject) -> tuple[OtherDefinition, ...]:
    """Return the task definitions of the account."""
    if subject.account is None:
        return ()
    return subject.account.definitions


def _current_version(subject: Subject) -> GatewayVersion | None:
    """Return CurrentVersion of the definition. None if it is missing or empty."""
    if subject.definition is None:
        return None
    current = subject.definition.version("CurrentVersion")
    if current is None or not current.to_aws():
        return None
    return current


def _matches(current: GatewayVersion, gateway: SampledGateway) -> bool:
    """Return whether a gateway presents every field that CurrentVersion gives."""
    return gateway.version is not None and current.accepts(gateway.version)


def _describe_sample(subject: Subject) -> str:
    """Return how many gateways were looked at, in words."""
    assert subject.account is not None
    looked_at, total = len(subject.account.sample), subject.account.gateway_count
    if looked_at == total:
        return f"all {total} gateways"
    return f"{looked_at} of {total} gateways (a sample)"
