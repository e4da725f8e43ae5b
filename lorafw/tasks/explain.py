"""Explains in words why a gateway is updated, or why it is not, from a snapshot of what the service knows.

A sentence about behaviour says how that behaviour is known: (documented), (observed) or (assumed). The text fits one
screen: long names and lists are truncated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from lorafw.clock import format_iso
from lorafw.errors import LorafwError
from lorafw.tasks.decision import Evidence
from lorafw.tasks.evaluation import is_send_pending, version_matches
from lorafw.tasks.lifecycle import TaskStatus
from lorafw.tasks.model import NO_VERSION, Definition, Delivery, ExchangeRecord, ReplyState, Task, UpdateSpec
from lorafw.tasks.near_misses import NearMiss, near_misses
from lorafw.tasks.near_misses import VersionDifference as VersionDifference  # noqa: PLC0414 -- part of an explanation
from lorafw.tasks.near_misses import differences as differences  # noqa: PLC0414
from lorafw.tasks.policy import Policy
from lorafw.tasks.snapshot import Snapshot
from lorafw.text import visible

MAX_LISTED: Final = 3
"""Maximum number of ids or keys in a list. The others are only counted."""

MAX_PACKAGE_CHARS: Final = 32
"""Maximum length of a PackageVersion in a definition (documented: AWS's service model)."""

MAX_NAME_CHARS: Final = 60
"""Longer names are truncated."""

RESYNC_MS: Final = 60 * 1000
"""How long a station waits after a failed exchange before it tries again (observed)."""

OKSYNC_MS: Final = 24 * 3600 * 1000
"""How long a station waits after a successful exchange, unless its station.conf says otherwise (observed)."""


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
    lines = [
        *_gateway_lines(snapshot),
        *_matching_lines(snapshot, misses, policy),
        *_task_lines(snapshot, policy),
        *_key_lines(snapshot, policy),
        *_source_lines(snapshot, policy),
        *_signature_lines(snapshot, policy),
        *_exchange_lines(snapshot),
    ]
    status = snapshot.task.status if snapshot.task else None
    return Explanation(snapshot.gateway.eui.hex, status, tuple(visible(line) for line in lines), misses)


def definition_in_question(snapshot: Snapshot, policy: Policy) -> Definition | None:
    """Return the definition to send or, if the task is FAILED, the definition of the task. None if there is neither."""
    return definition_to_send(snapshot, policy) or _failed_definition(snapshot)


def definition_to_send(snapshot: Snapshot, policy: Policy) -> Definition | None:
    """Return the definition whose update the gateway is sent next. None if nothing is to be sent."""
    if snapshot.task is None:
        definition = next(iter(_ranked(snapshot, policy)), None)
    elif snapshot.task.is_ended:
        definition = None
    else:
        definition = snapshot.task.definition
    if definition is None or not definition.has_data_source:
        return None
    return definition


def _failed_definition(snapshot: Snapshot) -> Definition | None:
    """Return the definition of a FAILED task, because its key or its file may be the reason. None if not FAILED."""
    task = snapshot.task
    if task is None or task.status is not TaskStatus.FAILED:
        return None
    return task.definition


def _update_in_question(snapshot: Snapshot, policy: Policy) -> UpdateSpec | None:
    """Return the update that is sent next, or that has failed. None if there is none."""
    definition = definition_in_question(snapshot, policy)
    return None if definition is None else definition.update


def _ranked(snapshot: Snapshot, policy: Policy) -> tuple[Definition, ...]:
    """Return the definitions that match, with the winner first."""
    return snapshot.matching[::-1] if policy.several_matches == "newest" else snapshot.matching


def _evidence(policy: Policy, name: str) -> Evidence:
    """Return how the decision with this name is known."""
    return next(decision.tag for decision in policy.decisions() if decision.name == name)


def _format_name(name: str | None) -> str:
    """Return a name on one line, truncated."""
    text = " ".join((name or "").split())
    if not text:
        return "without a name"
    return text if len(text) <= MAX_NAME_CHARS else f"{text[:MAX_NAME_CHARS]}…"


def _join_limited(names: Iterable[str]) -> str:
    """Join the first names with commas, and count the others."""
    all_names = list(names)
    text = ", ".join(all_names[:MAX_LISTED])
    omitted_count = len(all_names) - MAX_LISTED
    return f"{text} and {omitted_count} more" if omitted_count > 0 else text


# --- the gateway and the definitions ---


def _gateway_lines(snapshot: Snapshot) -> Iterator[str]:
    """Describe the gateway and what it presented."""
    yield f"Gateway {snapshot.gateway.eui.hex} ({_format_name(snapshot.gateway.name)})"
    if snapshot.request is None or snapshot.last_seen_ms is None:
        yield "It has not sent a CUPS request yet, so nothing can start: power it on, and check its cups.uri."
        return
    age = format_duration(snapshot.now_ms - snapshot.last_seen_ms)
    yield f"Last CUPS request {format_iso(snapshot.last_seen_ms)} ({age} ago) presented:"
    yield f"  {snapshot.request.version}"
    if snapshot.request.package is None:
        yield "It presents no PackageVersion: there is no version.txt in its home folder."
    elif not 1 <= len(snapshot.request.package) <= MAX_PACKAGE_CHARS:
        yield _package_length_problem(snapshot.request.package)


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
        return
    yield "No task definition with AutoCreateTasks matches."
    automatic = [definition for definition in snapshot.definitions if definition.auto_create_tasks]
    without_update = [definition.id for definition in automatic if definition.update is None]
    if without_update:
        evidence = _evidence(policy, "without_source")
        yield f"Without Update, so never offering anything ({evidence}): {_join_limited(without_update)}."
    for miss in misses:
        yield f"Nearly: {miss.definition.id} ({_format_name(miss.definition.name)})"
        for difference in miss.differences:
            yield f"  {difference}"


def _match_lines(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    """Describe the definition that wins, and the others that match."""
    winner, *others = _ranked(snapshot, policy)
    yield f"Matches task definition {winner.id} ({_format_name(winner.name)})."
    if others:
        ids = _join_limited(definition.id for definition in others)
        evidence = _evidence(policy, "several_matches")
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
    evidence = _evidence(policy, "silence_timeout_s")
    return f"{reason} Without one until {format_iso(snapshot.deadline_ms)} it is FAILED ({evidence})."


def _ended_reason(policy: Policy) -> str:
    """Say how a new task can replace a task that has ended."""
    evidence = _evidence(policy, "existing_task")
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


# --- keys, update file and signature ---


def _key_lines(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    """Compare the keys on the gateway with the key of the update."""
    update = _update_in_question(snapshot, policy)
    if update is None or snapshot.request is None:
        return
    keys = snapshot.request.keys
    if not update.signature:
        yield _unsigned_line(keys)
    elif update.sig_key_crc in keys:
        yield f"The update is signed with {_format_sig_key(update)}, and the gateway has this key."
    else:
        yield _key_mismatch_line(update, keys, policy)
        yield from _other_key_lines(snapshot, keys)


def _key_mismatch_line(update: UpdateSpec, keys: Sequence[int], policy: Policy) -> str:
    """Say that the gateway does not have the key of the update, and whether the service sends the update anyway."""
    present = f"the keys {_format_keys(keys)}" if keys else "no key"
    consequence = "is offered all the same" if policy.key_mismatch == "offer" else "is withheld"
    evidence = _evidence(policy, "key_mismatch")
    sig_key = _format_sig_key(update)
    return f"The update is signed with {sig_key}; the gateway has {present}. It {consequence} ({evidence})."


def _unsigned_line(keys: Sequence[int]) -> str:
    """Say what a station with these keys does with an update that is not signed."""
    if keys:
        refused = f"a station refuses it ({Evidence.OBSERVED})"
        return f"The update is not signed, and the gateway has keys ({_format_keys(keys)}): {refused}."
    return f"The update is not signed, and the gateway has no key: a station runs it ({Evidence.OBSERVED})."


def _other_key_lines(snapshot: Snapshot, keys: Sequence[int]) -> Iterator[str]:
    """Say what a station does with a signed update whose SigKeyCrc is none of its keys. It tries all of them."""
    observed = Evidence.OBSERVED
    signers = snapshot.source.signers if snapshot.source is not None else None
    if not keys:
        yield f"  A station without a key refuses a signed update ({observed}): put sig-0.key into its home folder."
    elif signers is not None and not signers.isdisjoint(keys):
        yield f"  One of these keys verifies the signature, so a station runs the update ({observed})."


def _format_key(crc: int) -> str:
    """Return a key's CRC in decimal, as in SigKeyCrc, and in hex, as in a station's log."""
    return f"{crc} ({crc:08X})"


def _format_sig_key(update: UpdateSpec) -> str:
    """Return the SigKeyCrc of an update as text."""
    if update.sig_key_crc is None:
        return "no SigKeyCrc"
    return f"SigKeyCrc {_format_key(update.sig_key_crc)}"


def _format_keys(crcs: Sequence[int]) -> str:
    """Return the CRCs of keys as a list that is truncated if it is long."""
    return _join_limited(_format_key(crc) for crc in crcs)


def _source_lines(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    """Say whether the update file can be read now, or could be read at the last request that needed it."""
    source = snapshot.source if definition_to_send(snapshot, policy) is not None else None
    if source is not None and source.error is not None:
        yield f"The update cannot be read {_format_error(source.error)}"
    elif snapshot.last_read_error is not None:
        error = _format_error(snapshot.last_read_error)
        yield f"At the last request that needed it the update could not be read {error}"
    if source is not None and source.size is not None:
        yield f"Object and role can be read: the update has {source.size} bytes."


def _signature_lines(snapshot: Snapshot, policy: Policy) -> Iterator[str]:
    """Explain why no station accepts the signature, if that is so. Most often the update file was overwritten."""
    update, source = _update_in_question(snapshot, policy), snapshot.source
    if update is None or update.sig_key_crc is None:
        return  # The update is not signed.
    if source is None or source.signers is None:
        return  # The update could not be read, so its signature was not checked.
    # A station tries all of its keys, whatever SigKeyCrc says (observed).
    tried_keys = {update.sig_key_crc, *snapshot.key_crcs}
    if source.signers.isdisjoint(tried_keys):
        yield from _bad_signature_lines(update.sig_key_crc, source.signature_fault)


def _bad_signature_lines(sig_key_crc: int, fault: str | None) -> Iterator[str]:
    """Describe a signature that no key verifies. ``fault`` is what the signer did wrong, or None if it is unknown."""
    if fault is None:
        problem = "does not belong to the object that is there now"
        hint = "Was the object overwritten? Sign what is there now, or give each update a key of its own in the bucket."
    else:
        problem = "cannot be verified"
        hint = fault
    key = _format_key(sig_key_crc)
    refusal = f"no key with SigKeyCrc {key} verifies it, so a station refuses it ({Evidence.OBSERVED})"
    yield f"Its signature {problem}: {refusal}."
    yield f"  {hint}"


def _format_error(error: LorafwError) -> str:
    """Return the class and the message of an error on one line."""
    message = " ".join(str(error).split())
    return f"({type(error).__name__}): {message}"


# --- exchanges ---


def _exchange_lines(snapshot: Snapshot) -> Iterator[str]:
    """Describe the last exchanges, and when the next one is expected."""
    if not snapshot.exchanges:
        return
    yield f"Last {len(snapshot.exchanges)} exchange(s):"
    for exchange in snapshot.exchanges:
        package = _format_package(exchange.presented.package)
        yield f"  {format_iso(exchange.time_ms)} presented {package}, got {exchange.answer}"
    yield _next_exchange_line(snapshot.exchanges, snapshot.now_ms)


def _format_package(package: str | None) -> str:
    """Return a package as text. In quotes if it has characters that are easily overlooked."""
    if package is None:
        return "no PackageVersion"
    # Blanks at the ends or side by side, and control characters, can only be seen in the quoted form.
    is_plain = package.isprintable() and package == " ".join(package.split())
    return _format_name(package) if is_plain else repr(package)


def _next_exchange_line(exchanges: tuple[ExchangeRecord, ...], now_ms: int) -> str:
    """Say when the next exchange is expected."""
    interval_ms, assumption = _expected_interval(exchanges)
    expected_ms = exchanges[-1].time_ms + interval_ms
    late_ms = now_ms - expected_ms
    distance = f"; that was {format_duration(late_ms)} ago" if late_ms > 0 else f", in {format_duration(-late_ms)}"
    return f"The next is due {format_iso(expected_ms)}{distance}, {assumption}."


def _expected_interval(exchanges: tuple[ExchangeRecord, ...]) -> tuple[int, str]:
    """Return the expected time between the last exchange and the next, in ms, and the assumption behind it.

    A request does not say how often the gateway polls, so this can only be inferred from the last two exchanges.
    """
    last = exchanges[-1]
    if last.answer is ReplyState.BROKEN:
        return RESYNC_MS, f"if it tries again as a station does after a broken reply ({Evidence.OBSERVED})"
    if len(exchanges) == 1:
        return OKSYNC_MS, f"if it keeps a station's regular check of 24 h ({Evidence.OBSERVED})"
    interval_ms = last.time_ms - exchanges[-2].time_ms
    return interval_ms, f"if it keeps the {format_duration(interval_ms)} between the last two"


def format_duration(duration_ms: int) -> str:
    """Return a duration in its two largest units, such as ``1 d 3 h`` or ``10.5 s``. ``0 s`` if it is negative."""
    duration_ms = max(duration_ms, 0)
    if duration_ms < 60_000:
        return f"{duration_ms / 1000:.3g} s"
    minutes = duration_ms // 60_000
    units = [(minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "min")]
    parts = [f"{count} {unit}" for count, unit in units if count]
    return " ".join(parts[:2])
