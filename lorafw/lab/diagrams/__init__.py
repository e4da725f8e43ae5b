"""Diagrams for the lessons, each with a text alternative. They are drawn from the tables and values that the code uses.

A lesson shows a diagram as the value of a cell, for example ``diagrams.task_states()``. If a table changes, its diagram
and the text alternative change, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorafw._lazy import attach

if TYPE_CHECKING:
    from lorafw.lab.diagrams.exchange import cups_exchange as cups_exchange
    from lorafw.lab.diagrams.overview import update_overview as update_overview
    from lorafw.lab.diagrams.permissions import trust_and_permission as trust_and_permission
    from lorafw.lab.diagrams.reply import reply_layout as reply_layout
    from lorafw.lab.diagrams.sends import send_timeline as send_timeline
    from lorafw.lab.diagrams.states import task_states as task_states
    from lorafw.lab.diagrams.waves import rollout_waves as rollout_waves

_MODULE_BY_NAME = {
    "cups_exchange": "exchange",
    "reply_layout": "reply",
    "rollout_waves": "waves",
    "send_timeline": "sends",
    "task_states": "states",
    "trust_and_permission": "permissions",
    "update_overview": "overview",
}

__all__ = [  # noqa: PLE0604 -- the table above is the one place where a public name is written
    *_MODULE_BY_NAME
]

__getattr__, __dir__ = attach(__name__, _MODULE_BY_NAME)
