"""Carry out a rollout plan: save it, apply it, follow it, stop it.

::

    from lorafw.rollout import apply, make_plan, read_plan, write_plan

The decisions are pure (``decisions``); everything that reaches AWS, the clock and the disk is at the edge (``engine``).
``apply`` can be killed at any moment and started again. No gateway gets a second task.
"""
