"""Who may assume the update role, and what the role may read, drawn from its two policies."""

from __future__ import annotations

import json
from typing import Any

from lorafw import example
from lorafw.lab.diagrams.canvas import BLUE, GREEN, SMALL, YELLOW, Canvas, Diagram


def trust_and_permission(
    trust_policy: str = example.TRUST_POLICY, permission_policy: str | None = None, role: str = example.ROLE_NAME
) -> Diagram:
    """Return a diagram of the role through which AWS reads an update file.

    Args:
        trust_policy: The trust policy of the role, as JSON.
        permission_policy: Its permission policy, as JSON. None: that of AWS's example.
        role: Name of the role.
    """
    trusts = _statements(trust_policy)
    permissions = _statements(permission_policy or example.permission_policy())
    principals = [name for statement in trusts for name in _principals(statement)]
    assume_actions = [action for statement in trusts for action in _as_list(statement["Action"])]
    actions = [action for statement in permissions for action in _as_list(statement["Action"])]
    resources = [resource for statement in permissions for resource in _as_list(statement["Resource"])]
    canvas = Canvas("Trust and permission", 1000, 250)
    canvas.box(20, 90, 230, 70, ["AWS IoT Wireless", *principals], BLUE)
    canvas.box(400, 90, 210, 70, ["role", role], YELLOW)
    canvas.box(750, 90, 230, 70, ["S3", *(name.removeprefix("arn:aws:s3:::") for name in resources)], GREEN)
    _draw_arrow(canvas, (250, 400), assume_actions)
    _draw_arrow(canvas, (610, 750), actions)
    canvas.text((325, 190), "The trust policy says", size=SMALL)
    canvas.text((325, 206), "who may assume the role.", size=SMALL)
    canvas.text((680, 190), "The permission policy says", size=SMALL)
    canvas.text((680, 206), "what the role may do.", size=SMALL)
    return canvas.finish(
        f"Trust and permission. The trust policy of the role {role} lets {', '.join(principals)} do "
        f"{', '.join(assume_actions)}. Its permission policy lets the role do {', '.join(actions)} "
        f"on {', '.join(resources)}. Without either of them AWS cannot read the update file."
    )


def _statements(policy: str) -> list[dict[str, Any]]:
    """Return the statements of a policy that allow something."""
    statements = _as_list(json.loads(policy)["Statement"])
    return [statement for statement in statements if statement["Effect"] == "Allow"]


def _principals(statement: dict[str, Any]) -> list[str]:
    """Return the names of those that a statement of a trust policy is about."""
    principal = statement["Principal"]
    if isinstance(principal, str):
        return [principal]
    return [name for names in principal.values() for name in _as_list(names)]


def _as_list(value: Any) -> list[Any]:
    """Return a list as it is, and a single value as a list."""
    return value if isinstance(value, list) else [value]


def _draw_arrow(canvas: Canvas, ends: tuple[float, float], actions: list[str]) -> None:
    """Draw an arrow with the names of actions above it."""
    middle = (ends[0] + ends[1]) / 2
    canvas.line((ends[0], 125), (ends[1], 125), arrow=True)
    for number, action in enumerate(reversed(actions)):
        canvas.text((middle, 116 - 15 * number), action, size=SMALL)
