"""The documented path of ``lorafw.faults``: ``from lorafw.fault import Fault``."""

from lorafw.faults import FAULTS, Fault

__all__ = ["FAULTS", "Fault"]
