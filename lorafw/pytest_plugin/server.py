"""The fixture ``lorafw_server``: a `lorafw serve` process that the clients and programs of a test use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lorafw.lab.serve_process import ServeProcess
from lorafw.pytest_plugin.guard import server_guard
from lorafw.pytest_plugin.marker import server_options
from lorafw.tasks.policy import Policy

running: list[ServeProcess] = []
"""The servers of this process that are running, the last one last."""


@contextmanager
def running_server(request: pytest.FixtureRequest) -> Iterator[ServeProcess]:
    """Run `lorafw serve` on free ports, with the options of the test's markers, until the end of the block.

    Until then the environment variables of this process lead boto3 and the AWS CLI to the server, and botocore reaches
    this machine only. No socket is opened in this process.

    Args:
        request: The request of the fixture.

    Yields:
        The server.

    Raises:
        SourceUnavailable: The server does not start. The message contains its output.
    """
    policy, region, serve_options = server_options(request)
    process = ServeProcess(*_policy_options(policy), *serve_options)
    with process as server, server_guard(request.config, region, server.api):
        running.append(server)
        try:
            yield server
        finally:
            running.remove(server)


def _policy_options(policy: Policy) -> list[str]:
    """Return the command-line options of `lorafw serve` for a policy. Decisions at their default need none."""
    defaults = {decision.name: decision.value for decision in Policy().decisions()}
    options = []
    for decision in policy.decisions():
        if decision.value != defaults[decision.name]:
            options += ["--policy", f"{decision.name}={decision.value}"]
    return options
