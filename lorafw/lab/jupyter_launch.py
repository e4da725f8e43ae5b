"""Run a Jupyter application that reads no configuration but its command line.

    python -m lorafw.lab.jupyter_launch jupyterlab --port=8888

With ``JUPYTER_NO_CONFIG`` Jupyter reads no configuration of the user, of the Python environment or of the machine. It
makes an empty folder in its place and leaves it behind. Here the folder is removed when the application ends.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import tempfile
from typing import NoReturn


def main() -> None:
    """Run the module that the first argument names, with the other arguments."""
    os.environ["JUPYTER_NO_CONFIG"] = "1"
    signal.signal(signal.SIGTERM, _end)  # Jupyter sets its own handler when it is ready.
    from jupyter_core.paths import jupyter_config_dir  # noqa: PLC0415 -- after the variable is set

    with tempfile.TemporaryDirectory(prefix="lorafw-jupyter-") as folder:
        tempfile.tempdir = folder
        jupyter_config_dir()  # Jupyter remembers the folder that it makes here.
        tempfile.tempdir = None
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _end(*_: object) -> NoReturn:
    """Exit with status 0. A handler for SIGTERM."""
    sys.exit(0)


if __name__ == "__main__":
    main()
