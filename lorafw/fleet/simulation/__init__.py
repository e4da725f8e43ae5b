"""The simulator's engine. Nothing outside `lorafw.fleet` imports it."""
