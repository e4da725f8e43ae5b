"""Plots of simulated rollouts, each with a text alternative."""

from lorafw.lab.plots.rollout import PICTURES, causes, completion, load, retries, timeline, waves

__all__ = ["PICTURES", "causes", "completion", "load", "retries", "timeline", "waves"]
