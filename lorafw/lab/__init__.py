"""What the lessons use beside the library: exercises with feedback, a server process, a workspace, and panels.

Each name is imported when it is first used, so that a lesson without panels does not import ipywidgets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorafw._lazy import attach

if TYPE_CHECKING:
    from lorafw.lab.capstone import Capstone as Capstone
    from lorafw.lab.exercises import check as check
    from lorafw.lab.exercises import choose as choose
    from lorafw.lab.exercises import hint as hint
    from lorafw.lab.exercises import solution as solution
    from lorafw.lab.panels.fleet_dashboard import FleetDashboard as FleetDashboard
    from lorafw.lab.panels.match_explorer import MatchExplorer as MatchExplorer
    from lorafw.lab.panels.rollout_monitor import RolloutMonitor as RolloutMonitor
    from lorafw.lab.panels.rollout_planner import RolloutPlanner as RolloutPlanner
    from lorafw.lab.panels.scenario import Scenario as Scenario
    from lorafw.lab.panels.signature_workbench import SignatureWorkbench as SignatureWorkbench
    from lorafw.lab.panels.task_board import TaskBoard as TaskBoard
    from lorafw.lab.panels.wire_inspector import WireInspector as WireInspector
    from lorafw.lab.serve_process import ServeProcess as ServeProcess
    from lorafw.lab.setup_check import check_setup as check_setup
    from lorafw.lab.ten_questions import TenQuestions as TenQuestions
    from lorafw.lab.workspace import Workspace as Workspace

_MODULE_BY_NAME = {
    "Capstone": "capstone",
    "FleetDashboard": "panels.fleet_dashboard",
    "MatchExplorer": "panels.match_explorer",
    "RolloutMonitor": "panels.rollout_monitor",
    "RolloutPlanner": "panels.rollout_planner",
    "Scenario": "panels.scenario",
    "ServeProcess": "serve_process",
    "SignatureWorkbench": "panels.signature_workbench",
    "TaskBoard": "panels.task_board",
    "TenQuestions": "ten_questions",
    "WireInspector": "panels.wire_inspector",
    "Workspace": "workspace",
    "check": "exercises",
    "check_setup": "setup_check",
    "choose": "exercises",
    "hint": "exercises",
    "solution": "exercises",
}

__all__ = [  # noqa: PLE0604 -- the table above is the one place where a public name is written
    *_MODULE_BY_NAME
]

__getattr__, __dir__ = attach(__name__, _MODULE_BY_NAME)
