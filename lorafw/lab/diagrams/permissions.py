"""Who may assume the update role, and what the role may read, drawn from its two policies."""

from __future__ import annotations

import json
from typing import Any, Final

from lorafw import example
from lorafw.lab.diagrams.canvas import BLUE, GREEN, SMALL, YELLOW, Canvas, Diagram

# Positions and sizes in pixels.
_SIZE: Final = (1000, 250)
_BOX_TOP: Final = 90
_BOX_HEIGHT: Final = 70
_SERVICE_BOX: Final = (20, 250)
"""Left and right edge of the box of the service."""
_ROLE_BOX: Final = (400, 610)
_BUCKET_BOX: Final = (750, 980)
_ARROW_Y: Final = _BOX_TOP + _BOX_HEIGHT / 2
_ACTION_GAP: Final = 9
"""Distance from the arrow up to the base line of the lowest action."""
_ACTION_SPACING: Final = 15
_CAPTION_Y: Final = 190
_CAPTION_SPACING: Final = 16


def trust_and_permission(
    trust_policy: str = example.TRUST_POLICY, permission_policy: str | None = None, role: str = example.ROLE_NAME
) -> Diagram:
    """Return a diagram of the role through which AWS reads an update file.

    The trust policy of a role says who may assume it. Its permission policy says what it may do, and with which files.

    Args:
        trust_policy: The trust policy of the role, as JSON.
        permission_policy: Its permission policy, as JSON. None means that of AWS's example.
        role: Name of the role.
    """
    trusts = _statements(trust_policy)
    principals = _collect(trusts, "Principal")
    assume_actions = _collect(trusts, "Action")
    permissions = _statements(permission_policy or example.permission_policy())
    actions = _collect(permissions, "Action")
    resources = _collect(permissions, "Resource")
    object_names = [resource.removeprefix("arn:aws:s3:::") for resource in resources]

    canvas = Canvas("Trust and permission", *_SIZE)
    _draw_box(canvas, _SERVICE_BOX, ["AWS IoT Wireless", *principals], BLUE)
    _draw_box(canvas, _ROLE_BOX, ["role", role], YELLOW)
    _draw_box(canvas, _BUCKET_BOX, ["S3", *object_names], GREEN)
    _draw_arrow(canvas, _SERVICE_BOX, _ROLE_BOX, assume_actions)
    _draw_arrow(canvas, _ROLE_BOX, _BUCKET_BOX, actions)
    _draw_caption(canvas, _SERVICE_BOX, _ROLE_BOX, ["The trust policy says", "who may assume the role."])
    _draw_caption(canvas, _ROLE_BOX, _BUCKET_BOX, ["The permission policy says", "what the role may do."])
    return canvas.finish(
        f"Trust and permission. The trust policy of the role {role} lets {', '.join(principals)} do "
        f"{', '.join(assume_actions)}. Its permission policy lets the role do {', '.join(actions)} "
        f"on {', '.join(resources)}. Without either of them AWS cannot read the update file."
    )


def _statements(policy: str) -> list[dict[str, Any]]:
    """Return the statements of a policy that allow something."""
    statements = _as_list(json.loads(policy)["Statement"])
    return [statement for statement in statements if statement["Effect"] == "Allow"]


def _collect(statements: list[dict[str, Any]], member: str) -> list[str]:
    """Return the texts of one member of all statements, in order.

    A member is a text, a list of texts, or, for a principal such as ``{"Service": "iotwireless.amazonaws.com"}``, an
    object with such values.
    """
    texts: list[str] = []
    for statement in statements:
        value = statement[member]
        parts = value.values() if isinstance(value, dict) else [value]
        for part in parts:
            texts += _as_list(part)
    return texts


def _as_list(value: Any) -> list[Any]:
    """Return a list as it is, and a single value as a list."""
    return value if isinstance(value, list) else [value]


def _draw_box(canvas: Canvas, edges: tuple[float, float], lines: list[str], fill: str) -> None:
    """Draw a box between a left and a right edge."""
    left, right = edges
    canvas.box(left, _BOX_TOP, right - left, _BOX_HEIGHT, lines, fill)


def _draw_arrow(canvas: Canvas, source: tuple[float, float], target: tuple[float, float], actions: list[str]) -> None:
    """Draw an arrow from one box to another, with the names of actions above it. A box is its left and right edge."""
    _, start = source
    end, _ = target
    middle = (start + end) / 2
    canvas.line((start, _ARROW_Y), (end, _ARROW_Y), arrow=True)
    for index, action in enumerate(reversed(actions)):
        action_y = _ARROW_Y - _ACTION_GAP - _ACTION_SPACING * index
        canvas.text((middle, action_y), action, size=SMALL)


def _draw_caption(canvas: Canvas, source: tuple[float, float], target: tuple[float, float], lines: list[str]) -> None:
    """Draw lines of text below the arrow from one box to another. A box is its left and right edge."""
    _, start = source
    end, _ = target
    middle = (start + end) / 2
    for index, line in enumerate(lines):
        canvas.text((middle, _CAPTION_Y + _CAPTION_SPACING * index), line, size=SMALL)
