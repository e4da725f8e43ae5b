"""Why is this gateway updated, or not? The answer in words, from what the service knows. Pure.

A sentence that rests on a decision carries the decision's tag: (documented), (observed) or (assumed). The answer fits
one screen: what could be long is cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from lorafw.clock import format_iso
from lorafw.errors import LorafwError
from lorafw.tasks.evaluation import is_send_pending, version_matches
from lorafw.tasks.lifecycle import TaskStatus
from lorafw.tasks.model import NO_VERSION, Answer, Definition, Delivery, ExchangeRecord, Task
from lorafw.tasks.near_misses import NearMiss, near_misses
from lorafw.tasks.near_misses import VersionDifference as VersionDifference  # noqa: PLC0414 -- part of an explanation
from lorafw.tasks.near_misses import differences as differences  # noqa: PLC0414
from lorafw.tasks.policy import Evidence, Policy
from lorafw.tasks.snapshot import Snapshot
from lorafw.text import visible

MAX_LISTED: Final = 3
"""So many definitions that match as well are named, and keys."""

LONGEST_PACKAGE: Final = 32
"""Characters of a PackageVersion in a definition (documented: AWS's service model)."""

NAME_CHARS: Final = 60
"""So much of a name is shown."""

RESYNC_MS: Final = 60 * 1000
"""A station tries again so soon after an exchange that failed (observed)."""

OKSYNC_MS: Final = 24 * 3600 * 1000
"""A station's regular check, where its station.conf says nothing else (observed)."""


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """The answer. ``str()`` of it is one screen of text, and so it shows itself at a prompt and in a notebook."""

    gateway_eui: str
    status: TaskStatus | None
    lines: tuple[str, ...]
    near_misses: tuple[NearMiss, ...] = ()

    def __str__(self) -> str:
        return "\n".join(self.lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """For notebooks: the heading, and the lines as they are, with what belongs to a line under it."""
        heading, *lines = [escape(line, quote=False) for line in self.lines]
        body = "".join(
            f'<div style="margin-left:{"2em" if line.startswith("  ") else "0"}">{line.strip()}</div>' for line in lines
        )
        return f'<div role="note"><strong>{heading}</strong>{body}</div>'


def explain(snapshot: Snapshot, policy: Policy) -> Explanation:
    misses = tuple(near_misses(snapshot, policy)) if snapshot.task is None and not snapshot.matching else ()
    lines = [
        *_gateway_lines(snapshot),
        *_matching_lines(snapshot, misses, policy),
        *_task_lines(snapshot, policy),
        *_key_lines(snapshot, policy),
        *_problem_lines(snapshot, policy),
        *_signature_lines(snapshot, policy),
        *_exchange_lines(snapshot),
    ]
    status = snapshot.task.status if snapshot.task else None
    return Explanation(snapshot.gateway.eui.hex, status, tuple(visible(line) for line in lines), misses)


def definition_to_send(snapshot: Snapshot, policy: Policy) -> Definition | None:
    """The definition whose update this gateway is sent next, if any."""
    if snapshot.task is not None:
        definition = None if snapshot.task.is_ended else snapshot.task.definition
    else:
        definition = next(iter(_ranked(snapshot, policy)), None)
    return definition if definition is not None and definition.has_data_source else None


def failed_definition(snapshot: Snapshot) -> Definition | None:
    """The definition whose task has FAILED: its key or its object may be the reason."""
    task = snapshot.task
    return task.definition if task is not None and task.status is TaskStatus.FAILED else None


def _ranked(snapshot: Snapshot, policy: Policy) -> tuple[Definition, ...]:
    """The definitions that match, the one that wins first."""
    return snapshot.matching[::-1] if policy.several_matches == "newest" else snapshot.matching


def _tag(policy: Policy, name: str) -> Evidence:
    return next(decision.tag for decision in policy.decisions() if decision.name == name)


def _name(name: str | None) -> str:
    text = " ".join((name or "").split())
    return (text if len(text) <= NAME_CHARS else f"{text[:NAME_CHARS]}…") or "without a name"


def _some(names: Iterable[str]) -> str:
    first, rest = (every := list(names))[:MAX_LISTED], every[MAX_LISTED:]
    return ", ".join(first) + (f" and {len(rest)} more" if rest else "")


def _gateway_lines(snapshot: Snapshot) -> Iterator[str]:
    yield f"Gateway {snapshot.gateway.eui.hex} ({_name(snapshot.gateway.name)})"
    if snapshot.request is None or snapshot.seen_ms is None:
        yield "It has not sent a CUPS request yet, so nothing can start: power it on, and check its cups.uri."
        return
    ago = _span(snapshot.now_ms - snapshot.seen_ms)
    yield f"Last CUPS request {format_iso(snapshot.seen_ms)} ({ago} ago) presented:"
    yield f"  {snapshot.request.version}"
    if snapshot.request.package is None:
        yield "It presents no PackageVersion: there is no version.txt in its home folder."
    elif problem := _unnameable(snapshot.request.package):
        yield problem


def _unnameable(package: str) -> str | None:
    """Return why no definition can name this package. Return None if one can."""
    if 1 <= len(package) <= LONGEST_PACKAGE:
        return None
    length = f"has {len(package)} characters" if package else "is empty"
    return (
        f"Its PackageVersion {length}, and a definition's has 1 to {LONGEST_PACKAGE} ({Evidence.DOCUMENTED}), "
        "so no definition can name it: correct its version.txt."
    )


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
    yield _pending_reason(task, snapshot, policy)
    yield from _start_lines(task, snapshot, policy)
    if last := snapshot.log[-1:]:
        yield f"Last event {format_iso(last[0].time)}: {last[0].cause}."


def _pending_reason(task: Task, snapshot: Snapshot, policy: Policy) -> str:
    if task.is_ended:
        tag = _tag(policy, "existing_task")
        if policy.existing_task == "ended_gives_way":
            return f"It has ended; a new one takes its place ({tag})."
        return f"It has ended; delete it before starting a new one ({tag})."
    if not task.definition.has_data_source:
        return "Its definition has no UpdateDataSource, so it never offers anything."
    unreadable = snapshot.look is not None and snapshot.look.problem is not None
    if task.status is TaskStatus.PENDING:
        then = "an update that can be read, and then for " if unreadable else ""
        return f"It waits for {then}{_start(task, policy)}."
    if is_send_pending(task, policy):
        version = task.definition.current_version if task.delivery is Delivery.PENDING else task.offered_version
        once = "once it can be read, " if unreadable else ""
        text = f"The update has not gone out whole yet; {once}it is sent at the next request that presents {version}."
    else:
        text = "The update was sent; it waits for the next request, which shows whether it took effect."
    if snapshot.deadline_ms is None:
        return text
    return f"{text} Without one until {format_iso(snapshot.deadline_ms)} it is FAILED ({_tag(policy, 'silence_timeout_s')})."


def _start(task: Task, policy: Policy) -> str:
    """The request that lets a PENDING task begin."""
    wanted = task.definition.current_version
    if wanted == NO_VERSION or (policy.manual_start == "any_request" and not task.automatic):
        return "any request"
    return f"a request that presents {wanted}"


def _start_lines(task: Task, snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    """What the gateway presents instead of what a PENDING task waits for."""
    if task.status is not TaskStatus.PENDING or snapshot.request is None or not task.definition.has_data_source:
        return
    wanted, presented = task.definition.current_version, snapshot.request.version
    if _start(task, policy) != "any request" and not version_matches(wanted, presented, policy):
        yield from (f"  {d}" for d in differences(wanted, presented, policy) if d.wanted is not None)


def _key_lines(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    """The keys on the gateway against the key of the update that it is sent, or would be."""
    definition = definition_to_send(snapshot, policy) or failed_definition(snapshot)
    update = definition.update if definition is not None else None
    if update is None or snapshot.request is None:
        return
    keys = snapshot.request.keys
    names = _some(_key_name(crc) for crc in keys)
    if not update.signature:
        if keys:
            refused = f"a station refuses it ({Evidence.OBSERVED})"
            yield f"The update is not signed, and the gateway has keys ({names}): {refused}."
        else:
            yield f"The update is not signed, and the gateway has no key: a station runs it ({Evidence.OBSERVED})."
        return
    crc = update.sig_key_crc
    wanted = "no SigKeyCrc" if crc is None else f"SigKeyCrc {_key_name(crc)}"
    if crc in keys:
        yield f"The update is signed with {wanted}, and the gateway has this key."
        return
    tag = _tag(policy, "key_mismatch")
    sent = "is offered all the same" if policy.key_mismatch == "offer" else "is withheld"
    has = f"the keys {names}" if keys else "no key"
    yield f"The update is signed with {wanted}; the gateway has {has}. It {sent} ({tag})."
    yield from _verdict_lines(snapshot, keys)


def _verdict_lines(snapshot: Snapshot, keys: Sequence[int]) -> Iterator[str]:
    """What a station does with a signed update whose SigKeyCrc is none of its keys: it tries them all."""
    signers = snapshot.look.signers if snapshot.look is not None else None
    if not keys:
        yield f"  A station without a key refuses a signed update ({Evidence.OBSERVED}): put sig-0.key into its home folder."
    elif signers is not None and not signers.isdisjoint(keys):
        yield f"  One of these keys verifies the signature, so a station runs the update ({Evidence.OBSERVED})."


def _key_name(crc: int) -> str:
    """As in AWS's SigKeyCrc, and as in a station's log."""
    return f"{crc} ({crc:08X})"


def _problem_lines(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    now = snapshot.look if definition_to_send(snapshot, policy) is not None else None
    if now is not None and now.problem is not None:
        yield f"The update cannot be read {_error_text(now.problem)}"
    elif snapshot.problem is not None:
        yield f"At the last request that needed it the update could not be read {_error_text(snapshot.problem)}"
    if now is not None and now.size is not None:
        yield f"Object and role can be read: the update has {now.size} bytes."


def _signature_lines(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    """A signature that is not of the object that was read: it was overwritten, or another one was signed.

    SigKeyCrc is a label only. Where the gateway has a key that verifies, a station runs the update (observed).
    """
    definition = definition_to_send(snapshot, policy) or failed_definition(snapshot)
    update = definition.update if definition is not None else None
    signers = snapshot.look.signers if snapshot.look is not None else None
    if update is None or update.sig_key_crc is None or signers is None or update.sig_key_crc in signers:
        return
    if snapshot.request is not None and not signers.isdisjoint(snapshot.request.keys):
        return
    belongs_but_faulty = snapshot.look is not None and snapshot.look.signature_fault is not None
    does_not_fit = "cannot be verified" if belongs_but_faulty else "does not belong to the object that is there now"
    yield (
        f"Its signature {does_not_fit}: no key with SigKeyCrc "
        f"{_key_name(update.sig_key_crc)} verifies it, so a station refuses it ({Evidence.OBSERVED})."
    )
    if snapshot.look is not None and snapshot.look.signature_fault is not None:
        yield f"  {snapshot.look.signature_fault}"
        return
    yield "  Was the object overwritten? Sign what is there now, or give each update a key of its own in the bucket."


def _error_text(problem: LorafwError) -> str:
    return f"({type(problem).__name__}): {' '.join(str(problem).split())}"


def _exchange_lines(snapshot: Snapshot) -> Iterator[str]:
    """The last exchanges, and when the next is due."""
    if not snapshot.exchanges:
        return
    yield f"Last {len(snapshot.exchanges)} exchange(s):"
    for exchange in snapshot.exchanges:
        yield f"  {format_iso(exchange.time_ms)} presented {_format_package(exchange.presented.package)}, got {exchange.answer}"
    yield _next_line(snapshot.exchanges, snapshot.now_ms)


def _format_package(package: str | None) -> str:
    """In quotes where one would not see all of it: blanks at its ends or side by side, control characters."""
    if package is None:
        return "no PackageVersion"
    return _name(package) if package.isprintable() and package == " ".join(package.split()) else repr(package)


def _next_line(exchanges: tuple[ExchangeRecord, ...], now_ms: int) -> str:
    """A gateway says nothing of its rhythm, so the last two exchanges must tell."""
    last = exchanges[-1]
    if last.answer is Answer.BROKEN:
        due_ms, why = (
            last.time_ms + RESYNC_MS,
            f"if it tries again as a station does after a broken reply ({Evidence.OBSERVED})",
        )
    elif len(exchanges) == 1:
        due_ms, why = last.time_ms + OKSYNC_MS, f"if it keeps a station's regular check of 24 h ({Evidence.OBSERVED})"
    else:
        apart_ms = last.time_ms - exchanges[-2].time_ms
        due_ms, why = last.time_ms + apart_ms, f"if it keeps the {_span(apart_ms)} between the last two"
    late_ms = now_ms - due_ms
    late = f"; that was {_span(late_ms)} ago" if late_ms > 0 else f", in {_span(-late_ms)}"
    return f"The next is due {format_iso(due_ms)}{late}, {why}."


def _span(ms: int) -> str:
    """A span of time with its two largest units, as ``1 d 3 h`` or ``10.5 s``; ``0 s`` if a clock was set back."""
    ms = max(ms, 0)
    if ms < 60_000:
        return f"{ms / 1000:.3g} s"
    minutes = ms // 60_000
    parts = [(minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "min")]
    return " ".join([f"{count} {unit}" for count, unit in parts if count][:2])
