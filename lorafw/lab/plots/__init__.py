"""Plots of simulated rollouts, each with a text alternative."""

from lorafw.lab.plots.rollout import PICTURES, causes, completion, load, retries, waves
from lorafw.lab.plots.timeline import paired_timelines, timeline

__all__ = ["PICTURES", "causes", "completion", "load", "paired_timelines", "retries", "timeline", "waves"]
