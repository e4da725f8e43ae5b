"""Let ``lorafw.doctor`` check a plan before it is saved."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from typing import Final, Literal

from lorafw.clock import SystemClock
from lorafw.doctor import Finding as DoctorFinding
from lorafw.doctor import Severity, Subject, diagnose
from lorafw.doctor.account import AccountReader
from lorafw.doctor.subject import DefinitionDocument
from lorafw.localaws.connection import Connection
from lorafw.rollout.rules import Finding
from lorafw.rollout.saved_plan import SavedPlan

_MAX_EVIDENCE: Final = 3
"""Number of violations of one rule that are named."""

_SEVERITIES: Final[dict[Severity, Literal["error", "warning"]]] = {
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
}
"""Notes are left out: a plan is read before each apply, and they do not change."""

_CHECKED_AGAIN: Final = frozenset(("LW405",))
"""Rules whose errors do not refuse a plan, because apply looks again just before it creates each task."""


def check_with_doctor(plan: SavedPlan, connection: Connection) -> Iterator[Finding]:
    """Yield what the doctor's rules find in the definition, the update file, the account and a sample of the gateways.

    Args:
        plan: The plan that is about to be saved.
        connection: The account. It is only read.
    """
    definition = DefinitionDocument(plan.definition)
    reader = AccountReader(
        connection.clients,
        account=connection.target.account,
        region=connection.target.region,
        now_ms=SystemClock().now_ms(),
        has_own_clock=connection.target.kind == "lab",
        gateway_ids=plan.gateway_ids,
    )
    facts, update_file = reader.read(definition)
    subject = Subject(definition=definition, account=facts, update_file=update_file, has_waves=True)
    findings = [finding for finding in diagnose(subject) if finding.rule.severity in _SEVERITIES]
    for _, group in groupby(findings, attrgetter("rule.id")):
        yield _summarize(list(group))


def _summarize(findings: list[DoctorFinding]) -> Finding:
    """Return one finding for all violations of one rule."""
    rule = findings[0].rule
    evidence = " ".join(finding.evidence for finding in findings[:_MAX_EVIDENCE])
    more = ""
    if len(findings) > _MAX_EVIDENCE:
        more = f" And {len(findings) - _MAX_EVIDENCE} more."
    severity = _SEVERITIES[rule.severity]
    if rule.id in _CHECKED_AGAIN:
        severity = "warning"
    return Finding(rule.id, severity, f"{rule.title} {evidence}{more} Remedy: {rule.remedy}")
