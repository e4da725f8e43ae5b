"""LW6xx: rules about the settings of the terminal in which the AWS CLI will run."""

from __future__ import annotations

from typing import Final

from lorafw.doctor.findings import Severity, Violations, rule
from lorafw.doctor.subject import EnvironmentFacts, Subject

_SDK_GUIDE: Final = "AWS SDKs and Tools Reference Guide, Service-specific endpoints"
_PREFIX: Final = "AWS_ENDPOINT_URL"
_IGNORE: Final = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
_FIRST_WITH_ENDPOINT_URL: Final = {1: (1, 29), 2: (2, 13)}
"""The first version of each AWS CLI that reads AWS_ENDPOINT_URL."""


@rule(
    "LW601",
    Severity.ERROR,
    title="This AWS CLI ignores AWS_ENDPOINT_URL, so its commands reach the real AWS.",
    remedy="Use 'lorafw aws' in place of 'aws', or update the AWS CLI.",
    source=_SDK_GUIDE,
)
def check_cli_version(subject: Subject) -> Violations:
    """Check that the AWS CLI reads AWS_ENDPOINT_URL."""
    facts = _lab_environment(subject)
    if facts is None or facts.cli_version is None:
        return
    first = _FIRST_WITH_ENDPOINT_URL.get(facts.cli_version[0])
    if first is not None and facts.cli_version < first:
        yield f"Its version is {'.'.join(map(str, facts.cli_version))}; {'.'.join(map(str, first))} is the first."


@rule(
    "LW602",
    Severity.ERROR,
    title="AWS_ENDPOINT_URL does not name the lab.",
    remedy="Paste the lines that 'lorafw serve' prints into this terminal.",
    source=_SDK_GUIDE,
)
def check_endpoint(subject: Subject) -> Violations:
    """Check that AWS_ENDPOINT_URL is the address of the lab."""
    facts = _lab_environment(subject)
    if facts is None:
        return
    url = facts.variables.get(_PREFIX)
    if url is None:
        yield f"{_PREFIX} is not set; the lab is at {facts.lab_url}."
    elif url.rstrip("/") != facts.lab_url:
        yield f"{_PREFIX} is {url!r}; the lab is at {facts.lab_url}."


@rule(
    "LW603",
    Severity.ERROR,
    title="A variable for one service leads past the lab.",
    remedy="Unset the variable.",
    source=_SDK_GUIDE,
)
def check_service_endpoints(subject: Subject) -> Violations:
    """Check that no AWS_ENDPOINT_URL_<SERVICE> names another address."""
    facts = _lab_environment(subject)
    if facts is None:
        return
    for name, url in sorted(facts.variables.items()):
        if name.startswith(f"{_PREFIX}_") and url.rstrip("/") != facts.lab_url:
            yield f"{name} is {url!r}."


@rule(
    "LW604",
    Severity.ERROR,
    title="A variable makes AWS tools ignore AWS_ENDPOINT_URL.",
    remedy=f"Unset {_IGNORE}.",
    source=_SDK_GUIDE,
)
def check_ignored_endpoints(subject: Subject) -> Violations:
    """Check that configured endpoints are not ignored."""
    facts = _lab_environment(subject)
    if facts is not None and facts.variables.get(_IGNORE, "").lower() == "true":
        yield f"{_IGNORE} is true."


@rule(
    "LW605",
    Severity.WARNING,
    title="AWS tools use a profile, and its settings may win over the variables of the lab.",
    remedy="Unset AWS_PROFILE, or use 'lorafw aws'.",
    source="AWS CLI User Guide, Configuration and credential precedence",
)
def check_profile(subject: Subject) -> Violations:
    """Check that no profile is chosen."""
    facts = _lab_environment(subject)
    if facts is None:
        return
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        if facts.variables.get(name):
            yield f"{name} is {facts.variables[name]!r}."


@rule(
    "LW606",
    Severity.ERROR,
    title="A variable leads calls for a real account to another address.",
    remedy="Unset the variable.",
    source=_SDK_GUIDE,
)
def check_no_endpoint_for_an_account(subject: Subject) -> Violations:
    """Check that no endpoint variable is set if a real account is meant."""
    facts = subject.environment
    if facts is None or facts.lab_url is not None:
        return
    for name, url in sorted(facts.variables.items()):
        if name.startswith(_PREFIX) and url:
            yield f"{name} is {url!r}."


def _lab_environment(subject: Subject) -> EnvironmentFacts | None:
    """Return the environment if a lab is meant, otherwise None."""
    facts = subject.environment
    if facts is None or facts.lab_url is None:
        return None
    return facts
