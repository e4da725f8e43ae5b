"""Why is this gateway updated, or not? The answer in words, from what the service knows. Pure.

A sentence that rests on a decision carries the decision's tag: (documented), (observed) or (assumed). The answer fits
one screen: what could be long is cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from lorafw.clock import iso
from lorafw.cups.messages import UpdateInfoRequest
from lorafw.errors import LorafwError
from lorafw.tasks.judge import accepts, comparable, is_send_open
from lorafw.tasks.lifecycle import LogRow, TaskStatus
from lorafw.tasks.model import NO_VERSION, Definition, Delivery, Exchange, Gateway, Task
from lorafw.tasks.policy import Policy, Tag
from lorafw.version import AWS_NAMES, GatewayVersion

NEAR_MISSES: Final = 3
"""So many definitions that nearly match are shown."""

SEVERAL: Final = 3
"""So many definitions that match as well are named, and keys."""

NAME_CHARS: Final = 60
"""So much of a name is shown."""

_DEFAULT: Final = Policy()

_BUILD_TIME: Final = re.compile(r"\s*\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}\s*$")


@dataclass(frozen=True, slots=True)
class Look:
    """What came of looking at an update just now: its size in bytes, or what keeps it from being read."""

    size: int | None
    problem: LorafwError | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the service knows of one gateway at one moment."""

    now_ms: int
    gateway: Gateway
    request: UpdateInfoRequest | None
    seen_ms: int | None
    task: Task | None
    problem: LorafwError | None
    definitions: tuple[Definition, ...]
    matching: tuple[Definition, ...]
    deadline_ms: int | None
    log: tuple[LogRow, ...]
    exchanges: tuple[Exchange, ...] = ()
    look: Look | None = None


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

    @property
    def is_slip(self) -> bool:
        """Nothing but case, blanks and build times: what a person overlooks."""
        return all(difference.kind in _SLIPS for difference in self.differences)


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
    misses = tuple(near_misses(snapshot, policy)) if snapshot.task is None and not snapshot.matching else ()
    lines = [
        *_gateway_lines(snapshot),
        *_matching_lines(snapshot, misses, policy),
        *_task_lines(snapshot, policy),
        *_key_lines(snapshot, policy),
        *_problem_lines(snapshot),
        *_exchange_lines(snapshot),
    ]
    status = snapshot.task.status if snapshot.task else None
    return Explanation(snapshot.gateway.eui.hex, status, tuple(lines), misses)


def at_stake(snapshot: Snapshot, policy: Policy) -> Definition | None:
    """The definition whose update this gateway is sent next, if any."""
    if snapshot.task is not None:
        definition = None if snapshot.task.is_ended else snapshot.task.definition
    else:
        definition = next(iter(_ranked(snapshot, policy)), None)
    return definition if definition is not None and definition.can_offer else None


def _ranked(snapshot: Snapshot, policy: Policy) -> tuple[Definition, ...]:
    """The definitions that match, the one that wins first."""
    return snapshot.matching[::-1] if policy.several_matches == "newest" else snapshot.matching


def differences(wanted: GatewayVersion, presented: GatewayVersion, policy: Policy = _DEFAULT) -> tuple[Difference, ...]:
    """The fields that keep a definition from matching by itself, with what kind of difference it is."""
    found = []
    for field, name in AWS_NAMES.items():
        want, show = getattr(wanted, field), getattr(presented, field)
        if want is None:
            differ = policy.absent_field == "strict"
        else:
            differ = getattr(comparable(wanted, policy), field) != getattr(comparable(presented, policy), field)
        if differ:
            found.append(Difference(name, want, show, _kind(want, show)))
    return tuple(found)


def near_misses(snapshot: Snapshot, policy: Policy = _DEFAULT) -> Iterator[NearMiss]:
    """Definitions that differ in one field only, or in nothing but case, blanks and build times: these come first."""
    if snapshot.request is None:
        return
    presented = snapshot.request.version
    misses = [
        NearMiss(definition, differences(definition.current_version, presented, policy))
        for definition in snapshot.definitions
        if definition.auto_create_tasks and definition.update is not None
    ]
    near = [miss for miss in misses if miss.differences and (len(miss.differences) == 1 or miss.is_slip)]
    yield from sorted(near, key=lambda miss: not miss.is_slip)[:NEAR_MISSES]


_CASE: Final = "upper and lower case differ"
_BLANK: Final = "a blank too many or too few"
_BUILD: Final = "only the build time differs"
_SLIPS: Final = frozenset((_CASE, _BLANK, _BUILD))


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


def _tag(policy: Policy, name: str) -> Tag:
    return next(decision.tag for decision in policy.decisions() if decision.name == name)


def _name(name: str | None) -> str:
    text = " ".join((name or "").split())
    return (text if len(text) <= NAME_CHARS else f"{text[:NAME_CHARS]}…") or "without a name"


def _some(names: Iterable[str]) -> str:
    first, rest = (every := list(names))[:SEVERAL], every[SEVERAL:]
    return ", ".join(first) + (f" and {len(rest)} more" if rest else "")


def _gateway_lines(snapshot: Snapshot) -> Iterator[str]:
    yield f"Gateway {snapshot.gateway.eui.hex} ({_name(snapshot.gateway.name)})"
    if snapshot.request is None or snapshot.seen_ms is None:
        yield "It has not sent a CUPS request yet, so nothing can start: power it on, and check its cups.uri."
        return
    yield f"Last CUPS request {iso(snapshot.seen_ms)}: {snapshot.request.version}"
    if snapshot.request.package is None:
        yield "It presents no PackageVersion: there is no version.txt in its home folder."


def _matching_lines(snapshot: Snapshot, misses: tuple[NearMiss, ...], policy: Policy) -> Iterator[str]:
    if snapshot.request is None:
        return
    if snapshot.matching:
        first, *others = _ranked(snapshot, policy)
        yield f"Matches task definition {first.id} ({_name(first.name)})."
        if others:
            tag = _tag(policy, "several_matches")
            yield f"Also matched by {_some(d.id for d in others)}; the {policy.several_matches} wins ({tag})."
        if policy.automatic_creation == "never":
            yield "No task is made by itself: automatic_creation is 'never'."
        return
    if not snapshot.definitions:
        yield "There is no task definition in this account and Region."
        return
    yield "No task definition with AutoCreateTasks matches."
    if empty := [d.id for d in snapshot.definitions if d.auto_create_tasks and d.update is None]:
        tag = _tag(policy, "without_source")
        yield f"Without Update, so never offering anything ({tag}): {_some(empty)}."
    for miss in misses:
        yield f"Nearly: {miss.definition.id} ({_name(miss.definition.name)})"
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
    yield from _start_lines(task, snapshot, policy)
    if last := snapshot.log[-1:]:
        yield f"Last event {iso(last[0].time)}: {last[0].cause}."


def _waits_for(task: Task, snapshot: Snapshot, policy: Policy) -> str:
    if task.is_ended:
        tag = _tag(policy, "existing_task")
        if policy.existing_task == "ended_gives_way":
            return f"It has ended; a new one takes its place ({tag})."
        return f"It has ended; delete it before starting a new one ({tag})."
    if not task.definition.can_offer:
        return "Its definition has no UpdateDataSource, so it never offers anything."
    if task.status is TaskStatus.PENDING:
        return f"It waits for {_start(task, policy)}."
    if is_send_open(task, policy):
        version = task.definition.current_version if task.delivery is Delivery.DUE else task.offered_version
        text = f"The update has not gone out whole yet; it is sent at the next request that presents {version}."
    else:
        text = "The update was sent; it waits for the next request, which shows whether it took effect."
    if snapshot.deadline_ms is None:
        return text
    return f"{text} Without one until {iso(snapshot.deadline_ms)} it is FAILED ({_tag(policy, 'silence_timeout_s')})."


def _start(task: Task, policy: Policy) -> str:
    """The request that lets a PENDING task begin."""
    wanted = task.definition.current_version
    if wanted == NO_VERSION or (policy.manual_start == "any_request" and not task.automatic):
        return "any request"
    return f"a request that presents {wanted}"


def _start_lines(task: Task, snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    """What the gateway presents instead of what a PENDING task waits for."""
    if task.status is not TaskStatus.PENDING or snapshot.request is None or not task.definition.can_offer:
        return
    wanted, presented = task.definition.current_version, snapshot.request.version
    if _start(task, policy) != "any request" and not accepts(wanted, presented, policy):
        yield from (f"  {d}" for d in differences(wanted, presented, policy) if d.wanted is not None)


def _key_lines(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    update = snapshot.task.definition.update if snapshot.task else None
    if update is None or snapshot.request is None:
        return
    keys = snapshot.request.keys
    names = _some(f"{crc} ({crc:08X})" for crc in keys) or "none"
    if not update.signature:
        if keys:
            refused = f"a station refuses it ({Tag.OBSERVED})"
            yield f"The update is not signed, and the gateway has keys ({names}): {refused}."
        return
    if update.sig_key_crc not in keys:
        crc = update.sig_key_crc
        wanted = "no SigKeyCrc" if crc is None else f"SigKeyCrc {crc} ({crc:08X})"
        tag = _tag(policy, "key_mismatch")
        sent = "is offered all the same" if policy.key_mismatch == "offer" else "is withheld"
        yield f"The update is signed with {wanted}; the gateway has the keys {names}. It {sent} ({tag})."


def _problem_lines(snapshot: Snapshot) -> Iterator[str]:
    now = snapshot.look
    if now is not None and now.problem is not None:
        yield f"The update cannot be read {_words(now.problem)}"
    elif snapshot.problem is not None:
        yield f"At the last request that needed it the update could not be read {_words(snapshot.problem)}"
    if now is not None and now.size is not None:
        yield f"Object and role can be read: the update has {now.size} bytes."


def _words(problem: LorafwError) -> str:
    return f"({type(problem).__name__}): {' '.join(str(problem).split())}"


def _exchange_lines(snapshot: Snapshot) -> Iterator[str]:
    """The last exchanges, and when the next is due if the gateway keeps its rhythm."""
    if not snapshot.exchanges:
        return
    yield "Last exchanges: " + "; ".join(
        f"{iso(exchange.time_ms)} presented {exchange.presented.package or 'no package'}, got {exchange.answer}"
        for exchange in snapshot.exchanges
    )
    if len(snapshot.exchanges) > 1:
        before, last = snapshot.exchanges[-2:]
        apart_ms = last.time_ms - before.time_ms
        due = iso(last.time_ms + apart_ms)
        yield f"The last two were {apart_ms / 1000:g} s apart; at that rate the next is due {due}."
