"""What the lessons need beside the library: exercises that check themselves, a server, and a terminal's folder."""

from lorafw.lab.exercises import check
from lorafw.lab.serving import ServeProcess
from lorafw.lab.workspace import Workspace

__all__ = ["ServeProcess", "Workspace", "check"]
