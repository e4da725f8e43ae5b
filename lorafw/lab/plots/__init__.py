"""Plots of simulated rollouts, each with a text alternative."""

from lorafw.lab.plots.rollout import PICTURES, completion, load, timeline, waves

__all__ = ["PICTURES", "completion", "load", "timeline", "waves"]
