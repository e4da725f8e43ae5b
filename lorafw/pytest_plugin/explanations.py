"""What the report of a failed test says about gateways: `explain` for each whose task did not complete."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lorafw.lab.serve_process import ServeProcess
    from lorafw.tasks.model import Gateway
    from lorafw.tasks.service import UpdateService
    from lorafw.testbed import Testbed

MAX_EXPLAINED: Final = 20
"""Number of gateways that a report explains in full. Of the others it gives the EUI and the status."""

COMPLETED: Final = "COMPLETED"

Section = tuple[str, str]
"""The title and the text of a section in a report."""


def open_sections() -> list[Section]:
    """Return the sections about the testbed that is open, and about the servers that run."""
    sections: list[Section] = []
    testbed = open_testbed()
    if testbed is not None:
        sections += testbed_sections(testbed.service)
    if "lorafw.pytest_plugin.server" in sys.modules:
        from lorafw.pytest_plugin.server import running  # noqa: PLC0415

        for server in running:
            sections += server_sections(server)
    return sections


def open_testbed() -> Testbed | None:
    """Return the testbed that is open in this process, or None. Imports nothing if no testbed was imported."""
    if "lorafw.testbed.testbed" not in sys.modules:
        return None
    from lorafw.testbed import Testbed  # noqa: PLC0415

    testbed = Testbed.current()
    if testbed is None or not testbed.is_open:
        return None
    return testbed


def testbed_sections(service: UpdateService) -> list[Section]:
    """Return one section with the explanations of the gateways of a testbed. It is left out if all tasks completed."""
    try:
        text = explain_unfinished(service)
    except Exception as error:  # The test has failed for a reason of its own, and the report must say that one.
        text = f"explain failed: {type(error).__name__}: {error}"
    return _section("lorafw explain", text)


def server_sections(server: ServeProcess) -> list[Section]:
    """Return the sections about a server: the explanations of its gateways, and what it has printed."""
    try:
        text = _explain_unfinished_at(server)
    except Exception as error:  # For example, the test may not open sockets.
        text = f"explain failed: {type(error).__name__}: {error}"
    return [*_section("lorafw explain", text), *_section("lorafw serve", server.output)]


def explain_unfinished(service: UpdateService) -> str:
    """Return the explanation of each gateway whose task did not complete, in all accounts and Regions.

    Beyond MAX_EXPLAINED gateways, the text only says how many there are.
    """
    unfinished = list(_unfinished_gateways(service))
    paragraphs = []
    for gateway, _ in unfinished[:MAX_EXPLAINED]:
        paragraphs.append(str(service.explain(gateway.owner, gateway.id)))
    if len(unfinished) > MAX_EXPLAINED:
        paragraphs.append(_summarize(unfinished[MAX_EXPLAINED:]))
    return "\n\n".join(paragraphs)


def _summarize(gateways: Sequence[tuple[Gateway, str]]) -> str:
    """Return how many gateways are not explained, and how many have each status. Each gateway has its status."""
    counts = Counter(status for _, status in gateways)
    summary = ", ".join(f"{count} with {status}" for status, count in sorted(counts.items()))
    first_gateway, _ = gateways[0]
    last_gateway, _ = gateways[-1]
    return (
        f"{len(gateways)} more gateways, from {first_gateway.eui.hex} to {last_gateway.eui.hex}, are not explained "
        f"here: {summary}. print(bed.explain(EUI)) explains one of them."
    )


def _unfinished_gateways(service: UpdateService) -> Iterator[tuple[Gateway, str]]:
    """Yield each gateway whose task did not complete, with the status of its task."""
    for owner in sorted(service.owners(), key=str):
        for gateway in service.gateways(owner):
            status = _status_of(service, gateway)
            if status != COMPLETED:
                yield gateway, status


def _status_of(service: UpdateService, gateway: Gateway) -> str:
    """Return the status of a gateway's task, or "no task"."""
    from lorafw.errors import NotFound  # noqa: PLC0415

    try:
        return str(service.task(gateway.owner, gateway.id).status)
    except NotFound:
        return "no task"


def _explain_unfinished_at(server: ServeProcess) -> str:
    """Return the explanations of the gateways of a server, except of those whose task completed. Sends requests."""
    from lorafw.localaws.lab_endpoint import LabEndpoint  # noqa: PLC0415
    from lorafw.localaws.remote_explanation import request_explanation  # noqa: PLC0415

    region = server.environment["AWS_DEFAULT_REGION"]
    texts = []
    for gateway in _gateways_of(server.api, region):
        explanation = request_explanation(LabEndpoint(server.api, region), gateway)
        if explanation.get("status") != COMPLETED:
            texts.append("\n".join(explanation["lines"]))
    return "\n\n".join(texts)


def _gateways_of(url: str, region: str) -> list[str]:
    """Return the ids of the first gateways that a server has in a Region. Sends a request."""
    from lorafw.isolation.sessions import make_client  # noqa: PLC0415

    client = make_client("iotwireless", region=region, endpoint_url=url)
    page = client.list_wireless_gateways(MaxResults=MAX_EXPLAINED)
    return [gateway["Id"] for gateway in page["WirelessGatewayList"]]


def _section(title: str, text: str) -> list[Section]:
    """Return a section, or nothing if its text is empty."""
    if not text.strip():
        return []
    return [(title, text)]
