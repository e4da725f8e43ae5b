"""JupyterLab or Voila as a process of its own, on loopback, offline, with folders of its own.

Nothing of the learner's other Jupyter is read or changed. No variable and no configuration file of it counts, and
kernels, settings and workspaces lie in the working copy. Nothing asks the network: no news, no look for updates, no
extension manager. And no AWS command in it reaches the learner's own account: until a lesson opens a lab, the AWS
variables lead nowhere.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import time
import webbrowser
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from lorafw.errors import LabError
from lorafw.isolation.environment import unreachable_aws_variables, without_aws_settings
from lorafw.lab.lessons import WorkingCopy
from lorafw.localaws.aws_cli import AWS_CONFIG_FILE
from lorafw.server.loopback import DIRECT_OPENER, ensure_port_free

START_LIMIT_S: Final = 120.0
STOP_LIMIT_S: Final = 15.0
PORT: Final = 8888
TRIES: Final = 100
"""If a port is taken, so many following ones are tried."""

_FOLDERS: Final = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
    "MPLCONFIGDIR": "matplotlib",
}
_SETTINGS: Final = {
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
    # A page that is opened again shows its panels as they were saved, and not an error in their place.
    "@jupyter-widgets/jupyterlab-manager/plugin.jupyterlab-settings": {"saveState": True},
}
_OFFLINE: Final = (
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.news_url=None",
    "--LabApp.extension_manager=readonly",
)
_FOREIGN_PREFIXES: Final = ("JUPYTER", "JPY_", "VOILA_")
"""Variables with these prefixes are settings of the learner's other Jupyter."""

_ACCESS: Final = "lorafw.lab.jupyter_access"
_LAB_ACCESS: Final = (
    f"--ServerApp.identity_provider_class={_ACCESS}.LabIdentityProvider",
    # JupyterLab enables itself. It also asks these two, which come with it.
    "--ServerApp.jpserver_extensions=jupyter_server_terminals=True",
    "--ServerApp.jpserver_extensions=jupyter_lsp=True",
    "--ServerApp.allow_remote_access=False",
)
# Voila's pages name style sheets on other servers. The browser may ask this server only. No other page may frame it.
_CONTENT_POLICY: Final = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' ws://127.0.0.1:*; "
    "frame-ancestors 'self'"
)
_VOILA_SETTINGS: Final = {"headers": {"Content-Security-Policy": _CONTENT_POLICY}, "allow_remote_access": False}
_VOILA_ACCESS: Final = (
    "--Voila.auto_token=True",
    f"--Voila.identity_provider_class={_ACCESS}.LabIdentityProvider",
    f"--VoilaConfiguration.multi_kernel_manager_class={_ACCESS}.BoundedKernelManager",
    "--VoilaConfiguration.file_denylist=.*",
    f"--Voila.tornado_settings={_VOILA_SETTINGS}",
)


class LabServer:
    """Start it, print ``url``, ``wait`` for it, ``stop`` it. ``app``: Voila instead of JupyterLab."""

    def __init__(self, copy: WorkingCopy, *, port: int | None = None, browser: bool = False, app: bool = False) -> None:
        self._copy, self._port, self._browser, self._app = copy, port, browser, app
        self._process: subprocess.Popen[bytes] | None = None
        self._voila_token = secrets.token_hex(24)
        self.url = ""

    def start(self) -> LabServer:
        """Raises LabError, with the server's last words, where it is not installed or does not come up."""
        _require_installed("voila" if self._app else "jupyterlab", "app" if self._app else "lab")
        self._write_settings()
        # JupyterLab looks for a free port itself, unless it is told which.
        port = self._free_port() if self._app or self._port else PORT
        command = self._voila(port) if self._app else self._lab(port)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- this Python, this package
                [sys.executable, "-m", "lorafw.lab.jupyter_launch", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._server_environment(),
                cwd=self._copy.state / "config",  # Voila reads configuration files of its current folder.
                start_new_session=True,  # Ctrl-C comes to the command alone, which then ends this in peace
            )
        try:
            self.url = f"http://127.0.0.1:{port}/?token={self._voila_token}" if self._app else self._lab_url()
            self._wait_until(lambda: _responds_ok(self.url if self._app else self.url.split("lab/tree/")[0] + "api"))
            if self._app and self._browser:
                self._open_browser()
        except BaseException:
            self.stop()
            raise
        return self

    def wait(self) -> int:
        """Until it ends by itself; gives its exit status."""
        return self._process.wait() if self._process is not None else 0

    def stop(self) -> None:
        """End it with its kernels."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> LabServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> Path:
        """What the server writes."""
        return self._copy.state / ("voila.log" if self._app else "jupyter.log")

    def environment(self) -> dict[str, str]:
        """Return the variables of the kernels and of the terminals: those of the user without AWS's and Jupyter's."""
        folders = {name: str(self._copy.state / folder) for name, folder in _FOLDERS.items()}
        # '!aws' in a lesson is the AWS CLI that was installed beside this Python.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        config = {"AWS_CONFIG_FILE": str(AWS_CONFIG_FILE)}
        ours = {**unreachable_aws_variables(), **config, **folders, "PATH": path, "JUPYTER_PREFER_ENV_PATH": "1"}
        return _without_jupyter(without_aws_settings(os.environ)) | ours

    def _server_environment(self) -> dict[str, str]:
        """Return the variables of the server. Voila gets its token there: other users can read a command line."""
        if self._app:
            return self.environment() | {"JUPYTER_TOKEN": self._voila_token}
        return self.environment()

    def _write_settings(self) -> None:
        for name in _FOLDERS.values():
            (self._copy.state / name).mkdir(mode=0o700, exist_ok=True)
        for name, settings in _SETTINGS.items():
            path = self._copy.state / "settings" / name
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(settings))

    def _lab(self, port: int) -> list[str]:
        retries = 0 if self._port else TRIES
        return [
            "jupyterlab",
            "--allow-root",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={port}",
            f"--ServerApp.port_retries={retries}",
            f"--ServerApp.open_browser={self._browser}",
            f"--ServerApp.root_dir={self._copy.path}",
            f"--LabApp.default_url=/lab/tree/{self._copy.first}",
            f"--config={self._copy.state / 'config' / 'lab.json'}",
            *_LAB_ACCESS,
            *_OFFLINE,
        ]

    def _voila(self, port: int) -> list[str]:
        ours = [f"--port={port}", "--Voila.port_retries=0", "--Voila.ip=127.0.0.1", "--no-browser"]
        return ["voila", str(self._copy.path), *ours, *_VOILA_ACCESS]

    def _open_browser(self) -> None:
        """Open the address by way of a file, as JupyterLab does: other users can read the browser's command line."""
        page = self._copy.state / "runtime" / "voila-open.html"
        page.unlink(missing_ok=True)
        page.touch(mode=0o600)
        page.write_text(f'<!DOCTYPE html><meta http-equiv="refresh" content="0; url={self.url}">')
        webbrowser.open(page.as_uri())

    def _free_port(self) -> int:
        for port in [self._port] if self._port else range(PORT, PORT + TRIES):
            with suppress(OSError):
                ensure_port_free("127.0.0.1", port)
                return port
        raise LabError(f"port {self._port or PORT} is taken; give another with --port")

    def _lab_url(self) -> str:
        """JupyterLab says in a file of its own where it is, and what the token is."""
        assert self._process is not None
        path = self._copy.state / "runtime" / f"jpserver-{self._process.pid}.json"
        self._wait_until(path.exists)
        said: dict[str, str] = {}
        self._wait_until(lambda: said.update(_read(path)) or bool(said))
        return f"{said['url'].replace('localhost', '127.0.0.1')}lab/tree/{self._copy.first}?token={said['token']}"

    def _wait_until(self, is_so: object) -> None:
        assert callable(is_so)
        deadline = time.monotonic() + START_LIMIT_S
        while not is_so():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])
                raise LabError(
                    f"{'Voila' if self._app else 'JupyterLab'} did not come up; {self.log} ends with\n{words}"
                )
            time.sleep(0.05)


def _without_jupyter(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(_FOREIGN_PREFIXES)}


def sign_unchanged_lessons(copy: WorkingCopy) -> None:
    """Sign the lessons that are as they came, so that JupyterLab shows the tables and pictures that they came with."""
    import nbformat  # noqa: PLC0415
    from nbformat.sign import NotebookNotary  # noqa: PLC0415

    data = copy.state / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    notary = NotebookNotary(data_dir=str(data))
    try:
        for path in copy.unchanged():
            if not notary.check_signature(notebook := nbformat.read(path, as_version=4)):
                notary.sign(notebook)
    finally:
        notary.store.close()


def is_lab_running(copy: WorkingCopy) -> bool:
    """Does a JupyterLab run on this copy? One that was killed leaves its file behind, and does not answer."""
    files = (copy.state / "runtime").glob("jpserver-*.json")
    return any(_responds_ok(f"{said['url']}api") for path in files if "url" in (said := _read(path)))


def _read(path: Path) -> dict[str, str]:
    with suppress(OSError, ValueError, RecursionError):
        content = json.loads(path.read_text())
        if isinstance(content, dict):
            return content
    return {}


def _responds_ok(url: str) -> bool:
    try:
        with DIRECT_OPENER.open(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except (OSError, http.client.HTTPException, ValueError):  # URLError is an OSError
        return False


def _require_installed(module: str, extra: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise LabError(f"{module} is not installed here: pip install 'lorafw[{extra}]'")
