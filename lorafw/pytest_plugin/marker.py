"""The options of ``@pytest.mark.lorafw``: which fixture each of them is for, and what is wrong with an unknown one."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import pytest

from lorafw.errors import InvalidValue
from lorafw.example import REGION
from lorafw.pytest_plugin.guard import allowed_hosts
from lorafw.tasks.policy import Policy

TESTBED: Final = "lorafw_testbed"
SERVER: Final = "lorafw_server"
SERVER_OPTIONS: Final = ("policy", "region", "serve")
"""Options that the fixture ``lorafw_server`` reads. ``serve`` is a list of options of `lorafw serve`."""


def request_testbed(item: pytest.Item) -> None:
    """Add the fixture ``lorafw_testbed`` to a marked test that uses no fixture of lorafw. Changes the test."""
    names: list[str] | None = getattr(item, "fixturenames", None)
    if names is not None and TESTBED not in names and SERVER not in names:
        names.append(TESTBED)


def check_server_scope(item: pytest.Item) -> None:
    """Fail the test if its marker has options for a server that it shares with other tests."""
    scope = item.config.getini(f"{SERVER}_scope")
    if scope == "function" or SERVER not in getattr(item, "fixturenames", ()):
        return
    own = [name for name in marker_options(item) if name in SERVER_OPTIONS]
    if own and TESTBED not in getattr(item, "fixturenames", ()):
        _fail(
            f"{own[0]}: {SERVER} is shared by the tests of a {scope}, so a test cannot set it; "
            f"set {SERVER}_scope = function in the configuration of pytest"
        )


def testbed_options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the arguments of ``Testbed`` for a test. Fails the test if an option is unknown."""
    from lorafw.testbed import Testbed  # noqa: PLC0415 -- loads the servers and the cryptography

    options = marker_options(request.node)
    if options.pop("serve", None) is not None and SERVER not in request.fixturenames:
        _fail(f"serve: this is an option of the fixture {SERVER}, which the test does not use")
    known = [name for name in inspect.signature(Testbed).parameters if name != "self"]
    _check_names(options, known, TESTBED)
    if isinstance(options.get("policy"), Mapping):
        options["policy"] = policy_of(options["policy"])
    hosts = allowed_hosts(request.config)
    if hosts:
        options["allow_hosts"] = [*hosts, *options.get("allow_hosts", ())]
    return options


def server_options(request: pytest.FixtureRequest) -> tuple[Policy, str, list[str]]:
    """Return the policy, the Region and further command-line options of a server. Fails the test if one is unknown."""
    options = marker_options(request.node)
    if TESTBED not in request.fixturenames:
        _check_names(options, SERVER_OPTIONS, SERVER)
    policy = options.get("policy") or Policy()
    if isinstance(policy, Mapping):
        policy = policy_of(policy)
    words = options.get("serve", [])
    if isinstance(words, str) or not all(isinstance(word, str) for word in words):
        _fail(f'serve: {words!r} is not a list of options of \'lorafw serve\'; write ["--seed", "documented"]')
    return policy, options.get("region", REGION), list(words)


def marker_options(node: Any) -> dict[str, Any]:
    """Return the options of all ``lorafw`` markers of a test, its class and its module. The closest marker wins."""
    options: dict[str, Any] = {}
    for marker in reversed(list(node.iter_markers("lorafw"))):
        if marker.args:
            _fail(f"{marker.args[0]!r} has no name; write the options by name, such as lorafw(gateways=3)")
        options |= marker.kwargs
    return options


def policy_of(values: Mapping[str, object]) -> Policy:
    """Return the policy with these values. Fails the test if a name or a value is unknown."""
    try:
        return Policy().with_string_values({name: str(value) for name, value in values.items()})
    except InvalidValue as error:
        _fail(str(error))


def _check_names(options: Mapping[str, object], known: list[str] | tuple[str, ...], fixture: str) -> None:
    """Fail the test if an option is not one of those that the fixture takes."""
    for name in options:
        if name in known:
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"known: {', '.join(known)}"
        if near:
            hint = f"did you mean {near[0]}?"
        _fail(f"{name}: {fixture} has no such option; {hint}")


def _fail(message: str) -> NoReturn:
    """Fail the test with one line about its marker."""
    pytest.fail(f"@pytest.mark.lorafw: {message}", pytrace=False)
