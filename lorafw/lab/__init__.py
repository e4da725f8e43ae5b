"""What the lessons need beside the library: exercises that check themselves, a server, a folder, panels.

The names below are loaded when they are first used: a lesson without panels does not wait for ipywidgets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorafw.lazy import names_of

if TYPE_CHECKING:
    from lorafw.lab.board import TaskBoard as TaskBoard
    from lorafw.lab.dashboard import FleetDashboard as FleetDashboard
    from lorafw.lab.exercises import check as check
    from lorafw.lab.match import MatchExplorer as MatchExplorer
    from lorafw.lab.planner import RolloutPlanner as RolloutPlanner
    from lorafw.lab.readiness import check_setup as check_setup
    from lorafw.lab.scenario import Scenario as Scenario
    from lorafw.lab.serving import ServeProcess as ServeProcess
    from lorafw.lab.signature import SignatureWorkbench as SignatureWorkbench
    from lorafw.lab.wire import WireInspector as WireInspector
    from lorafw.lab.workspace import Workspace as Workspace

_HOME_OF = {
    "FleetDashboard": "dashboard",
    "MatchExplorer": "match",
    "RolloutPlanner": "planner",
    "Scenario": "scenario",
    "ServeProcess": "serving",
    "SignatureWorkbench": "signature",
    "TaskBoard": "board",
    "WireInspector": "wire",
    "Workspace": "workspace",
    "check": "exercises",
    "check_setup": "readiness",
}

__all__ = [  # noqa: PLE0604 -- the table above is the one place where a public name is written
    *_HOME_OF
]

__getattr__, __dir__ = names_of(__name__, _HOME_OF)
