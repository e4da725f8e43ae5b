"""Explains in words why a gateway is updated, or why it is not, from a snapshot of what the service knows.

A sentence about behaviour says how that behaviour is known: (documented), (observed) or (assumed). The text fits one
screen: long names and lists are truncated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

from lorafw.clock import format_iso
from lorafw.tasks.decision import Evidence
from lorafw.tasks.evaluation import is_send_pending, version_matches
from lorafw.tasks.explain_exchanges import exchange_lines
from lorafw.tasks.explain_update import key_lines, signature_lines, source_lines
from lorafw.tasks.explained_update import rank_matches
from lorafw.tasks.explanation_text import evidence_of, format_duration, format_name, join_limited
from lorafw.tasks.gateway_state import Refusal
from lorafw.tasks.lifecycle import TaskStatus
from lorafw.tasks.model import NO_VERSION, Definition, Delivery, Task
from lorafw.tasks.near_misses import NearMiss, near_misses
from lorafw.tasks.near_misses import VersionDifference as VersionDifference  # noqa: PLC0414 -- part of an explanation
from lorafw.tasks.near_misses import differences as differences  # noqa: PLC0414
from lorafw.tasks.policy import Policy
from lorafw.tasks.snapshot import Snapshot
from lorafw.text import visible
from lorafw.version import GatewayVersion

MAX_PACKAGE_CHARS: Final = 32
"""Maximum length of a PackageVersion in a definition (documented: AWS's service model)."""


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """Why a gateway is updated, or why it is not. ``str()`` returns one screen of text."""

    gateway_eui: str
    """16 lower-case hex digits."""
    status: TaskStatus | None
    """Status of the gateway's task. None if it has no task."""
    lines: tuple[str, ...]
    """The text. A line that begins with two blanks belongs to the line before it."""
    near_misses: tuple[NearMiss, ...] = ()
    """Definitions that almost match. Empty if one matches or if the gateway has a task."""

    def __str__(self) -> str:
        return "\n".join(self.lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return HTML for a notebook: the first line as a heading, and lines that belong to another one indented."""
        heading, *lines = [escape(line, quote=False) for line in self.lines]
        body = "".join(_line_html(line) for line in lines)
        return f'<div role="note"><strong>{heading}</strong>{body}</div>'


def _line_html(line: str) -> str:
    margin = "2em" if line.startswith("  ") else "0"
    return f'<div style="margin-left:{margin}">{line.strip()}</div>'


def explain(snapshot: Snapshot, policy: Policy) -> Explanation:
    """Explain why a gateway is updated, or why it is not.

    Args:
        snapshot: What the service knows of the gateway.
        policy: The decisions of the service.

    Returns:
        The explanation: a summary and the facts behind it.
    """
    misses: tuple[NearMiss, ...] = ()
    if snapshot.task is None and not snapshot.matching:
        misses = tuple(near_misses(snapshot, policy))
    lines: list[str] = []
    # 1. The gateway, and the definitions that match it.
    lines += _gateway_lines(snapshot)
    lines += _matching_lines(snapshot, misses, policy)
    # 2. Its task.
    lines += _task_lines(snapshot, policy)
    # 3. The update: does the gateway have its key, can its file be read, and is its signature valid?
    lines += key_lines(snapshot, policy)
    lines += source_lines(snapshot, policy)
    lines += signature_lines(snapshot, policy)
    # 4. The last CUPS requests.
    lines += exchange_lines(snapshot)
    status = snapshot.task.status if snapshot.task else None
    visible_lines = tuple(visible(line) for line in lines)
    return Explanation(snapshot.gateway.eui.hex, status, visible_lines, misses)


# --- the gateway and the definitions ---


def _gateway_lines(snapshot: Snapshot) -> Iterator[str]:
    """Describe the gateway and what it presented."""
    yield f"Gateway {snapshot.gateway.eui.hex} ({format_name(snapshot.gateway.name)})"
    if snapshot.refusal is not None:
        yield _refusal_line(snapshot.refusal, snapshot.now_ms)
    if snapshot.request is None or snapshot.last_seen_ms is None:
        if snapshot.refusal is None:
            yield "It has not sent a CUPS request yet, so nothing can start: power it on, and check its cups.uri."
        return
    age = format_duration(snapshot.now_ms - snapshot.last_seen_ms)
    yield f"Last CUPS request {format_iso(snapshot.last_seen_ms)} ({age} ago) presented:"
    yield f"  {snapshot.request.version}"
    if snapshot.request.package is None:
        yield "It presents no PackageVersion: there is no version.txt in its home folder."
    elif not 1 <= len(snapshot.request.package) <= MAX_PACKAGE_CHARS:
        yield _package_length_problem(snapshot.request.package)


def _refusal_line(refusal: Refusal, now_ms: int) -> str:
    """Say when and why the server refused a request. Somebody else may have sent it in the name of the gateway."""
    age = format_duration(now_ms - refusal.time_ms)
    return f"The last CUPS request in its name was refused {format_iso(refusal.time_ms)} ({age} ago): {refusal.reason}."


def _package_length_problem(package: str) -> str:
    """Explain why no definition can name a package of this length."""
    length = f"has {len(package)} characters" if package else "is empty"
    return (
        f"Its PackageVersion {length}, and a definition's has 1 to {MAX_PACKAGE_CHARS} ({Evidence.DOCUMENTED}), "
        "so no definition can name it: correct its version.txt."
    )


def _matching_lines(snapshot: Snapshot, misses: tuple[NearMiss, ...], policy: Policy) -> Iterator[str]:
    """Describe which definitions match, or almost match."""
    if snapshot.request is None:
        return
    if snapshot.matching:
        yield from _match_lines(snapshot, policy)
        return
    if not snapshot.definitions:
        yield "There is no task definition in this account and Region."
        yield from _elsewhere_lines(snapshot)
        return
    yield "No task definition with AutoCreateTasks matches."
    yield from _elsewhere_lines(snapshot)
    yield from _manual_match_lines(snapshot, policy)
    automatic = [definition for definition in snapshot.definitions if definition.auto_create_tasks]
    without_update = [definition.id for definition in automatic if definition.update is None]
    if without_update:
        evidence = evidence_of(policy, "without_source")
        yield f"Without Update, so never offering anything ({evidence}): {join_limited(without_update)}."
    for miss in misses:
        yield f"Nearly: {miss.definition.id} ({format_name(miss.definition.name)})"
        for difference in miss.differences:
            yield f"  {difference}"


def _elsewhere_lines(snapshot: Snapshot) -> Iterator[str]:
    """Name the definitions that would match if they were in the Region of the gateway."""
    ids_by_region: dict[str, list[str]] = {}
    for definition in snapshot.matching_elsewhere:
        ids_by_region.setdefault(definition.owner.region, []).append(definition.id)
    here = snapshot.gateway.owner.region
    for region, ids in ids_by_region.items():
        yield f"These would match, but they are in {region}, and the gateway is in {here}: {join_limited(ids)}."


def _manual_match_lines(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    """Name the definitions that match, but make no task because they are without AutoCreateTasks."""
    if snapshot.request is None or snapshot.task is not None:
        return
    presented = snapshot.request.version
    ids = [definition.id for definition in snapshot.definitions if _matches_by_hand(definition, presented, policy)]
    if ids:
        evidence = Evidence.DOCUMENTED
        yield f"Without AutoCreateTasks, these need CreateWirelessGatewayTask ({evidence}): {join_limited(ids)}."


def _matches_by_hand(definition: Definition, presented: GatewayVersion, policy: Policy) -> bool:
    """Return True if a definition without AutoCreateTasks is for gateways that present this version."""
    if definition.auto_create_tasks or not definition.has_data_source:
        return False
    return version_matches(definition.current_version, presented, policy)


def _match_lines(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    """Describe the definition that wins, and the others that match."""
    winner, *others = rank_matches(snapshot, policy)
    yield f"Matches task definition {winner.id} ({format_name(winner.name)})."
    if others:
        ids = join_limited(definition.id for definition in others)
        evidence = evidence_of(policy, "several_matches")
        yield f"Also matched by {ids}; the {policy.several_matches} wins ({evidence})."
    if policy.automatic_creation == "never":
        yield "No task is made by itself: automatic_creation is 'never'."


# --- the task ---


def _task_lines(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    """Describe the task and what it waits for."""
    task = snapshot.task
    if task is None:
        if snapshot.request is not None:
            yield "It has no task."
        return
    kind = "automatic" if task.automatic else "manual"
    yield f"Task ({kind}, of definition {task.definition.id}): {task.status}, {task.sends} whole send(s)."
    yield _pending_reason(task, snapshot, policy)
    yield from _version_difference_lines(task, snapshot, policy)
    if snapshot.log:
        last_row = snapshot.log[-1]
        yield f"Last event {format_iso(last_row.time)}: {last_row.cause}."


def _pending_reason(task: Task, snapshot: Snapshot, policy: Policy) -> str:
    """Say what the task waits for, or that it waits for nothing."""
    if task.is_ended:
        return _ended_reason(policy)
    if not task.definition.has_data_source:
        return "Its definition has no UpdateDataSource, so it never offers anything."
    is_unreadable = snapshot.source is not None and snapshot.source.error is not None
    if task.status is TaskStatus.PENDING:
        readable = "an update that can be read, and then for " if is_unreadable else ""
        return f"It waits for {readable}{_start_condition(task, policy)}."
    if is_send_pending(task, policy):
        reason = _send_reason(task, is_unreadable=is_unreadable)
    else:
        reason = "The update was sent; it waits for the next request, which shows whether it took effect."
    if snapshot.deadline_ms is None:
        return reason
    evidence = evidence_of(policy, "silence_timeout_s")
    return f"{reason} Without one until {format_iso(snapshot.deadline_ms)} it is FAILED ({evidence})."


def _ended_reason(policy: Policy) -> str:
    """Say how a new task can replace a task that has ended."""
    evidence = evidence_of(policy, "existing_task")
    if policy.existing_task == "ended_gives_way":
        return f"It has ended; a new one takes its place ({evidence})."
    return f"It has ended; delete it before starting a new one ({evidence})."


def _send_reason(task: Task, *, is_unreadable: bool) -> str:
    """Say when the update is sent, for a task whose send is pending."""
    version = task.definition.current_version if task.delivery is Delivery.PENDING else task.offered_version
    condition = "once it can be read, " if is_unreadable else ""
    return f"The update has not gone out whole yet; {condition}it is sent at the next request that presents {version}."


def _starts_at_any_request(task: Task, policy: Policy) -> bool:
    """Return True if a PENDING task starts at the next request, whatever version it presents."""
    if policy.manual_start == "any_request" and not task.automatic:
        return True
    return task.definition.current_version == NO_VERSION


def _start_condition(task: Task, policy: Policy) -> str:
    """Describe the request that starts a PENDING task."""
    if _starts_at_any_request(task, policy):
        return "any request"
    return f"a request that presents {task.definition.current_version}"


def _version_difference_lines(task: Task, snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    """Describe how the presented version differs from the one that starts a PENDING task."""
    if task.status is not TaskStatus.PENDING or snapshot.request is None or not task.definition.has_data_source:
        return
    wanted, presented = task.definition.current_version, snapshot.request.version
    if _starts_at_any_request(task, policy) or version_matches(wanted, presented, policy):
        return
    for difference in differences(wanted, presented, policy):
        if difference.wanted is not None:
            yield f"  {difference}"
