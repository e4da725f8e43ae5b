"""The control routes of `lorafw serve --clock manual`, tested with schemathesis against their OpenAPI document.

schemathesis sends valid and invalid requests that it makes from the document, and checks status, headers and content
of each answer. It is not part of the extra ``test``, because its pytest plugin would load in every test run. Give the
command of an installation of its own:

    python -m venv /tmp/schemathesis && /tmp/schemathesis/bin/pip install schemathesis
    python tests/bench/control.py --schemathesis /tmp/schemathesis/bin/schemathesis [--examples 100] [--seed 1]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

START_LIMIT_S = 120.0
PORTS = ("--api-port", "0", "--cups-port", "0", "--cups-plain-port", "0")


def wait_for_url(ready: Path, server: subprocess.Popen[bytes]) -> str:
    """Return the address of the API when the server is ready."""
    deadline = time.monotonic() + START_LIMIT_S
    while not ready.exists():
        if server.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("`lorafw serve` did not start")
        time.sleep(0.05)
    return str(json.loads(ready.read_text())["api"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schemathesis", default="schemathesis")
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ready = folder / "ready.json"
        serve = [sys.executable, "-m", "lorafw", "serve", "--clock", "manual", *PORTS]
        serve += ["--ready-file", str(ready), "--state-dir", str(folder / "state")]
        with subprocess.Popen(serve, stdout=subprocess.DEVNULL) as server:
            try:
                url = f"{wait_for_url(ready, server)}/lorafw/openapi.json"
                command = [options.schemathesis, "run", url, "--max-examples", str(options.examples)]
                command += ["--seed", str(options.seed), "--checks", "all"]
                done = subprocess.run(command, cwd=folder, check=False)
                is_alive = server.poll() is None
            finally:
                server.terminate()
    return done.returncode if is_alive else 1


if __name__ == "__main__":
    sys.exit(main())
