"""The report on a rollout: what was planned, predicted and seen, who decided what, and what became of each gateway.

``document`` gathers the facts from the plan and the journal. ``text``, ``markdown`` and ``html`` write them for people,
and ``log_files`` writes the rows of the task log for programs.
"""

from lorafw.rollout.report.document import report_document
from lorafw.rollout.report.text import format_report

__all__ = ["format_report", "report_document"]
