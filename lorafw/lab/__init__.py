"""What the lessons need beside the library: exercises that check themselves, and a server of their own."""

from lorafw.lab.exercises import check
from lorafw.lab.serving import ServeProcess

__all__ = ["ServeProcess", "check"]
