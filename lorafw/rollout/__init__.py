"""Carry out a rollout plan: save it, apply it, follow it, stop it.

::

    from lorafw.rollout import apply, connect_clients, make_plan, read_plan, read_state, write_plan

    connection = connect_clients(bed.client, "lab")
    plan = make_plan(canary_plan(), definition, mixed_fleet, connection)
    apply(plan, Path("rollout.journal"), connection, SimulatedTime(bed.clock.now_ms, bed.advance))

The decisions are pure (``decisions.step``); everything that reaches AWS, the clock and the disk is at the edge
(``engine``). ``apply`` can be killed at any moment and started again. No gateway gets a second task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorafw._lazy import attach

if TYPE_CHECKING:
    from lorafw.localaws.connection import Connection as Connection
    from lorafw.localaws.connection import connect_account as connect_account
    from lorafw.localaws.connection import connect_clients as connect_clients
    from lorafw.localaws.connection import connect_lab as connect_lab
    from lorafw.rollout.application import apply as apply
    from lorafw.rollout.application import command as command
    from lorafw.rollout.application import read_state as read_state
    from lorafw.rollout.cleaning import clean as clean
    from lorafw.rollout.curves import WaveCourse as WaveCourse
    from lorafw.rollout.decisions import step as step
    from lorafw.rollout.engine import Until as Until
    from lorafw.rollout.envelope import Band as Band
    from lorafw.rollout.envelope import read_band as read_band
    from lorafw.rollout.events import Command as Command
    from lorafw.rollout.planning import make_plan as make_plan
    from lorafw.rollout.report.html import format_html as format_html
    from lorafw.rollout.report.html import write_html as write_html
    from lorafw.rollout.report.log_files import write_csv as write_csv
    from lorafw.rollout.report.log_files import write_parquet as write_parquet
    from lorafw.rollout.report.markdown import format_markdown as format_markdown
    from lorafw.rollout.report.markdown import write_markdown as write_markdown
    from lorafw.rollout.report.report import Report as Report
    from lorafw.rollout.report.report import read_report as read_report
    from lorafw.rollout.report.text import format_report as format_report
    from lorafw.rollout.saved_plan import SavedPlan as SavedPlan
    from lorafw.rollout.saved_plan import read_plan as read_plan
    from lorafw.rollout.saved_plan import write_plan as write_plan
    from lorafw.rollout.status import StateName as StateName
    from lorafw.rollout.status import describe_state as describe_state
    from lorafw.rollout.status import status_document as status_document
    from lorafw.rollout.timing import RealTime as RealTime
    from lorafw.rollout.timing import SimulatedTime as SimulatedTime

_MODULE_BY_NAME = {
    "Band": "envelope",
    "Command": "events",
    "Connection": ".localaws.connection",
    "RealTime": "timing",
    "Report": "report.report",
    "SavedPlan": "saved_plan",
    "SimulatedTime": "timing",
    "StateName": "status",
    "Until": "engine",
    "WaveCourse": "curves",
    "apply": "application",
    "clean": "cleaning",
    "command": "application",
    "connect_account": ".localaws.connection",
    "connect_clients": ".localaws.connection",
    "connect_lab": ".localaws.connection",
    "describe_state": "status",
    "format_html": "report.html",
    "format_markdown": "report.markdown",
    "format_report": "report.text",
    "make_plan": "planning",
    "read_band": "envelope",
    "read_plan": "saved_plan",
    "read_report": "report.report",
    "read_state": "application",
    "status_document": "status",
    "step": "decisions",
    "write_csv": "report.log_files",
    "write_html": "report.html",
    "write_markdown": "report.markdown",
    "write_parquet": "report.log_files",
    "write_plan": "saved_plan",
}

__all__ = [  # noqa: PLE0604 -- the table above is the only list of the public names
    *_MODULE_BY_NAME
]

__getattr__, __dir__ = attach(__name__, _MODULE_BY_NAME)
