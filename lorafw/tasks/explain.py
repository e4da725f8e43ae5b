"""Why is this gateway updated, or not? The answer in words, from what the service knows. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lorafw.clock import iso
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.errors import SourceError
from lorafw.tasks.judge import silence_deadline
from lorafw.tasks.lifecycle import LogRow, TaskStatus
from lorafw.tasks.model import Definition, Delivery, Gateway, Task
from lorafw.tasks.policy import Policy
from lorafw.version import AWS_NAMES, GatewayVersion

NEAR_MISSES: Final = 3
"""So many definitions that nearly match are shown."""

_BUILD_TIME: Final = re.compile(r"\s*\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}\s*$")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the service knows of one gateway at one moment."""

    now_ms: int
    gateway: Gateway
    request: UpdateInfoRequest | None
    seen_ms: int | None
    task: Task | None
    problem: SourceError | None
    definitions: tuple[Definition, ...]
    matching: tuple[Definition, ...]
    log: tuple[LogRow, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One field in which a definition and a gateway differ, and how: ``kind`` is in words."""

    field: str
    wanted: str | None
    presented: str | None
    kind: str

    def __str__(self) -> str:
        wants = f"the definition wants {self.wanted!r}, the gateway presents {self.presented!r}"
        return f"{self.field}: {wants} ({self.kind})"


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A definition that almost matches."""

    definition: Definition
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer. ``str()`` of it is one screen of text."""

    gateway_eui: str
    status: TaskStatus | None
    lines: tuple[str, ...]
    near_misses: tuple[NearMiss, ...] = ()

    def __str__(self) -> str:
        return "\n".join(self.lines)


def explain(snapshot: Snapshot, policy: Policy) -> Explanation:
    misses = tuple(near_misses(snapshot)) if snapshot.task is None and not snapshot.matching else ()
    lines = [
        *_gateway_lines(snapshot),
        *_matching_lines(snapshot, misses),
        *_task_lines(snapshot, policy),
        *_key_lines(snapshot, policy),
        *_problem_lines(snapshot),
    ]
    status = snapshot.task.status if snapshot.task else None
    return Explanation(snapshot.gateway.eui.hex, status, tuple(lines), misses)


def differences(wanted: GatewayVersion, presented: GatewayVersion) -> tuple[Difference, ...]:
    """The fields in which they differ, with what kind of difference it is."""
    found = []
    for field, name in AWS_NAMES.items():
        want, show = getattr(wanted, field), getattr(presented, field)
        if want != show or want is None:
            found.append(Difference(name, want, show, _kind(want, show)))
    return tuple(found)


def near_misses(snapshot: Snapshot) -> Iterator[NearMiss]:
    """Definitions that differ in one field only, or in nothing but case, blanks and build times."""
    if snapshot.request is None:
        return
    shown = 0
    for definition in snapshot.definitions:
        if not definition.auto_create_tasks or definition.update is None:
            continue
        found = differences(definition.current_version, snapshot.request.version)
        if found and (len(found) == 1 or all(d.kind in _NEAR_KINDS for d in found)):
            yield NearMiss(definition, found)
            shown += 1
            if shown == NEAR_MISSES:
                return


_CASE: Final = "upper and lower case differ"
_BLANK: Final = "a blank too many or too few"
_BUILD: Final = "only the build time differs"
_NEAR_KINDS: Final = frozenset((_CASE, _BLANK, _BUILD))


def _kind(wanted: str | None, presented: str | None) -> str:
    if wanted is None:
        return "the definition does not give this field, so it matches no gateway by itself"
    if presented is None:
        return "the gateway presents none"
    if "".join(wanted.split()) == "".join(presented.split()):
        return _BLANK
    if wanted.casefold() == presented.casefold():
        return _CASE
    if _BUILD_TIME.sub("", wanted) == _BUILD_TIME.sub("", presented):
        return _BUILD
    return "the values differ"


def _gateway_lines(snapshot: Snapshot) -> Iterator[str]:
    yield f"Gateway {snapshot.gateway.eui.hex} ({snapshot.gateway.name or 'without a name'})"
    if snapshot.request is None or snapshot.seen_ms is None:
        yield "It has not sent a CUPS request yet, so nothing can start: power it on, and check its cups.uri."
        return
    yield f"Last CUPS request {iso(snapshot.seen_ms)}: {snapshot.request.version}"
    if snapshot.request.package is None:
        yield "It presents no PackageVersion: there is no version.txt in its home folder."


def _matching_lines(snapshot: Snapshot, misses: tuple[NearMiss, ...]) -> Iterator[str]:
    if snapshot.request is None:
        return
    if snapshot.matching:
        first, *others = snapshot.matching
        yield f"Matches task definition {first.id} ({first.name or 'without a name'})."
        if others:
            yield f"Also matched by {', '.join(d.id for d in others)}; the oldest wins."
        return
    if not snapshot.definitions:
        yield "There is no task definition in this account and Region."
        return
    yield "No task definition with AutoCreateTasks matches."
    for miss in misses:
        yield f"Nearly: {miss.definition.id} ({miss.definition.name or 'without a name'})"
        yield from (f"  {difference}" for difference in miss.differences)


def _task_lines(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    task = snapshot.task
    if task is None:
        if snapshot.request is not None:
            yield "It has no task."
        return
    kind = "automatic" if task.automatic else "manual"
    yield f"Task ({kind}, of definition {task.definition.id}): {task.status}, {task.sends} whole send(s)."
    yield _waits_for(task, snapshot, policy)
    if last := snapshot.log[-1:]:
        yield f"Last event {iso(last[0].time)}: {last[0].cause}."


def _waits_for(task: Task, snapshot: Snapshot, policy: Policy) -> str:
    if task.is_ended:
        return "It has ended; delete it before starting a new one."
    if not task.definition.can_offer:
        return "Its definition has no UpdateDataSource, so it never offers anything."
    if task.status is TaskStatus.PENDING:
        return f"It waits for a request that presents {task.definition.current_version}."
    if task.delivery is Delivery.WHOLE:
        text = "The update was sent; it waits for the next request, which shows whether it took effect."
    else:
        text = "The update has not gone out whole yet; it is sent at the next request."
    deadline = silence_deadline(task, snapshot.seen_ms or 0, policy)
    return f"{text} Without one until {iso(deadline)} it is FAILED." if deadline is not None else text


def _key_lines(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    update = snapshot.task.definition.update if snapshot.task else None
    if update is None or snapshot.request is None:
        return
    keys = snapshot.request.keys
    names = ", ".join(f"{crc} ({crc:08X})" for crc in keys) or "none"
    if not update.signature:
        if keys:
            yield f"The update is not signed, and the gateway has keys ({names}): a station refuses it."
        return
    if update.sig_key_crc not in keys:
        crc = update.sig_key_crc
        wanted = "no SigKeyCrc" if crc is None else f"SigKeyCrc {crc} ({crc:08X})"
        sent = "is offered all the same" if policy.key_mismatch == "offer" else "is withheld"
        yield f"The update is signed with {wanted}; the gateway has the keys {names}. It {sent}."


def _problem_lines(snapshot: Snapshot) -> Iterator[str]:
    if snapshot.problem is not None:
        yield f"The update cannot be read ({type(snapshot.problem).__name__}): {snapshot.problem}"
