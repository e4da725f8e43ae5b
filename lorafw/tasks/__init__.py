"""The heart: what a firmware update task is, when it starts, and how it ends."""
