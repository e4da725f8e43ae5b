"""Open a testbed once, before a process divides into one for each run of a script: each run then opens one faster."""

import contextlib

# If no testbed can be opened here, then the script's own testbed says why.
with contextlib.suppress(Exception):
    from lorafw.testbed.testbed import Testbed

    with Testbed() as testbed:
        testbed.define_update()
