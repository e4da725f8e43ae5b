"""The gateway's side: what a Basics Station does, and a virtual one that does it."""
