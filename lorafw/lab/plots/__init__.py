"""Plots of simulated rollouts and of rollouts that were carried out, each with a text alternative."""

from lorafw.lab.plots.course import wave_course
from lorafw.lab.plots.rollout import PICTURES, causes, completion, load, retries
from lorafw.lab.plots.timeline import paired_timelines, timeline
from lorafw.lab.plots.wave_bars import waves

__all__ = [
    "PICTURES",
    "causes",
    "completion",
    "load",
    "paired_timelines",
    "retries",
    "timeline",
    "wave_course",
    "waves",
]
