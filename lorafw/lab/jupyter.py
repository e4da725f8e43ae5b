"""JupyterLab or Voila for the lessons, in a separate process on loopback.

The server is separate from any other Jupyter of the learner: it ignores Jupyter's variables and configuration files,
and keeps its kernels, settings and workspaces in the working copy. It makes no request to the network: it fetches no
news, looks for no updates and installs no extensions. No AWS command in it reaches the learner's own account: until a
lesson opens a lab, the AWS variables name an address that nothing listens on.
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
import urllib.request
import webbrowser
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ClassVar, Final, Self, TypeVar

from lorafw.errors import LabError
from lorafw.isolation.environment import unreachable_aws_variables, without_aws_settings
from lorafw.lab.lessons import WorkingCopy
from lorafw.localaws.aws_cli import AWS_CONFIG_FILE
from lorafw.server.loopback import ensure_port_free

T = TypeVar("T")

START_LIMIT_S: Final = 120.0
"""How long a server may take to answer."""
STOP_LIMIT_S: Final = 15.0
"""How long a server may take to exit after SIGTERM."""
_CHECK_INTERVAL_S: Final = 0.05
_SHOWN_LOG_LINES: Final = 8
"""Number of lines of the server's log that an error shows."""
PORT: Final = 8888
"""The first port that is tried. It is JupyterLab's own."""
TRIES: Final = 100
"""Number of ports to try if the first one is taken."""

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
    # JupyterLab enables itself, but not these two extensions, which its pages use.
    "--ServerApp.jpserver_extensions=jupyter_server_terminals=True",
    "--ServerApp.jpserver_extensions=jupyter_lsp=True",
    "--ServerApp.allow_remote_access=False",
)
# Voila's pages link to style sheets on other servers. With this policy the browser sends requests to this server only,
# and no other page may show this one in a frame.
_CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' ws://127.0.0.1:*; "
    "frame-ancestors 'self'"
)
_VOILA_SETTINGS: Final = {
    "headers": {"Content-Security-Policy": _CONTENT_SECURITY_POLICY},
    "allow_remote_access": False,
}
_VOILA_ACCESS: Final = (
    "--Voila.auto_token=True",
    f"--Voila.identity_provider_class={_ACCESS}.LabIdentityProvider",
    f"--VoilaConfiguration.multi_kernel_manager_class={_ACCESS}.BoundedKernelManager",
    "--VoilaConfiguration.file_denylist=.*",
    f"--Voila.tornado_settings={_VOILA_SETTINGS}",
)


class NotebookServer(ABC):
    """A server that shows the lessons of a working copy. A context manager, or ``start()`` and ``stop()``."""

    title: ClassVar[str]
    """Name of the application, as messages show it."""
    module: ClassVar[str]
    """Python module of the application."""
    extra: ClassVar[str]
    """The extra of lorafw that installs the application."""
    log_filename: ClassVar[str]

    def __init__(self, copy: WorkingCopy, *, port: int | None = None, browser: bool = False) -> None:
        """Prepare the server. Nothing is started.

        Args:
            copy: The working copy with the lessons.
            port: Port to listen on. None means the first free one from 8888 on.
            browser: Open a browser as soon as the server is ready.
        """
        self._copy = copy
        self._port = port
        self._browser = browser
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""
        """Address of the first page, with the token. Empty until the server has started."""

    @abstractmethod
    def command(self, port: int) -> list[str]:
        """Return the module to run and its command-line arguments."""

    @abstractmethod
    def wait_for_url(self, port: int) -> str:
        """Wait until the address of the first page is known, and return it."""

    @property
    @abstractmethod
    def status_url(self) -> str:
        """An address that answers 200 as soon as the server is ready. Known when ``url`` is."""

    def start(self) -> Self:
        """Start the server, and wait until it answers.

        Returns:
            This object.

        Raises:
            LabError: The application is not installed, the port is taken, or the server does not start. In the last
                case the message holds the end of the server's log.
        """
        _require_installed(self.module, self.extra)
        self._write_settings()
        first_port = self._choose_port()
        try:
            self._start_on(first_port)
        except LabError:
            # Another program can take the port after it was found free. Then the next free port does.
            next_port = self._choose_port()
            if next_port == first_port:
                raise
            self._start_on(next_port)
        return self

    def _start_on(self, port: int) -> None:
        """Start the server on a port, and wait until it answers. Stop it if it does not."""
        self._process = self._start_process(self.command(port))
        try:
            self.url = self.wait_for_url(port)
            self._wait_for(self._is_ready)
            self._open_browser()
        except BaseException:
            self.stop()
            raise

    def wait(self) -> int:
        """Wait for the server process to exit, and return its exit status."""
        if self._process is None:
            return 0
        return self._process.wait()

    def stop(self) -> None:
        """Stop the server and its kernels. Kill the process if it does not exit in time."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> Path:
        """The file that receives the output of the server."""
        return self._copy.ensure_state_folder() / self.log_filename

    def environment(self) -> dict[str, str]:
        """Return the environment variables of kernels and terminals.

        They are the variables of the user without those of AWS and of another Jupyter.
        """
        state_folder = self._copy.ensure_state_folder()
        folders = {name: str(state_folder / folder) for name, folder in _FOLDERS.items()}
        # '!aws' in a lesson is the AWS CLI that was installed beside this Python.
        search_path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        return {
            **_without_jupyter(without_aws_settings(os.environ)),
            **unreachable_aws_variables(),
            "AWS_CONFIG_FILE": str(AWS_CONFIG_FILE),
            **folders,
            "PATH": search_path,
            "JUPYTER_PREFER_ENV_PATH": "1",
        }

    def _server_environment(self) -> dict[str, str]:
        """Return the environment variables of the server process."""
        return self.environment()

    @abstractmethod
    def _open_browser(self) -> None:
        """Open the browser if that was asked for, unless the application opens it itself. Called when it is ready."""

    def _start_process(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start the server as a process that writes its output to ``log``."""
        # Voila reads configuration files of its current folder, so this must not be a folder of the learner.
        current_folder = self._copy.ensure_state_folder() / "config"
        with self.log.open("wb") as log:
            return subprocess.Popen(  # noqa: S603 -- this Python, this package
                [sys.executable, "-m", "lorafw.lab.jupyter_launch", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._server_environment(),
                cwd=current_folder,
                start_new_session=True,  # Ctrl-C reaches only the command, which then stops the server.
            )

    def _write_settings(self) -> None:
        """Create Jupyter's folders and the settings that do not exist yet."""
        state_folder = self._copy.ensure_state_folder()
        for name in _FOLDERS.values():
            (state_folder / name).mkdir(mode=0o700, exist_ok=True)
        for name, settings in _SETTINGS.items():
            path = state_folder / "settings" / name
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(settings))

    def _choose_port(self) -> int:
        """Return the port that was asked for, or the first free one."""
        candidates = range(PORT, PORT + TRIES)
        if self._port:
            candidates = range(self._port, self._port + 1)
        for port in candidates:
            with suppress(OSError):
                ensure_port_free("127.0.0.1", port)
                return port
        raise LabError(f"port {candidates[0]} is taken; give another with --port")

    def _is_ready(self) -> bool:
        return _responds_ok(self.status_url)

    def _wait_for(self, condition: Callable[[], T]) -> T:
        """Call ``condition`` until it returns a true value, and return that value.

        Raises:
            LabError: The server process has ended, or the time is up.
        """
        assert self._process is not None
        deadline_s = time.monotonic() + START_LIMIT_S
        while True:
            result = condition()
            if result:
                return result
            has_exited = self._process.poll() is not None
            if has_exited or time.monotonic() > deadline_s:
                log_lines = self.log.read_text(errors="replace").splitlines()
                end_of_log = "\n".join(log_lines[-_SHOWN_LOG_LINES:])
                raise LabError(f"{self.title} did not come up; {self.log} ends with\n{end_of_log}")
            time.sleep(_CHECK_INTERVAL_S)


class JupyterLabServer(NotebookServer):
    """JupyterLab on the lessons: the learner reads and runs their code."""

    title = "JupyterLab"
    module = "jupyterlab"
    extra = "lab"
    log_filename = "jupyter.log"

    def command(self, port: int) -> list[str]:
        """Return the module to run and its command-line arguments."""
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
            f"--config={self._copy.ensure_state_folder() / 'config' / 'lab.json'}",
            *_LAB_ACCESS,
            *_OFFLINE,
        ]

    def wait_for_url(self, port: int) -> str:
        """Wait until JupyterLab has written its address and its token to a file, and return the first page's address.

        Args:
            port: Not used. JupyterLab listens on another port if this one is taken.
        """
        assert self._process is not None
        path = self._copy.ensure_state_folder() / "runtime" / f"jpserver-{self._process.pid}.json"
        record = self._wait_for(partial(_read_server_record, path))
        base_url = record["url"].replace("localhost", "127.0.0.1")
        return f"{base_url}lab/tree/{self._copy.first}?token={record['token']}"

    def _open_browser(self) -> None:
        """Do nothing: JupyterLab opens the browser itself, see ``ServerApp.open_browser``."""

    @property
    def status_url(self) -> str:
        """The address of JupyterLab's REST API, which needs no token to answer."""
        base_url, _, _ = self.url.partition("lab/tree/")
        return f"{base_url}api"

    def _choose_port(self) -> int:
        """Return the port to ask for. JupyterLab looks for a free one itself, unless a certain port is given."""
        if self._port:
            return super()._choose_port()
        return PORT


class VoilaServer(NotebookServer):
    """Voila on the lessons: the learner sees their text and panels, not their code."""

    title = "Voila"
    module = "voila"
    extra = "app"
    log_filename = "voila.log"

    def __init__(self, copy: WorkingCopy, *, port: int | None = None, browser: bool = False) -> None:
        super().__init__(copy, port=port, browser=browser)
        self._token = secrets.token_hex(24)

    def command(self, port: int) -> list[str]:
        """Return the module to run and its command-line arguments."""
        listen = [f"--port={port}", "--Voila.port_retries=0", "--Voila.ip=127.0.0.1", "--no-browser"]
        return ["voila", str(self._copy.path), *listen, *_VOILA_ACCESS]

    def wait_for_url(self, port: int) -> str:
        """Return the address of the list of lessons. It is known from the beginning."""
        return f"http://127.0.0.1:{port}/?token={self._token}"

    @property
    def status_url(self) -> str:
        """The address of the list of lessons."""
        return self.url

    def _server_environment(self) -> dict[str, str]:
        """Return the variables of the server, the token among them: other users can read a command line."""
        return self.environment() | {"JUPYTER_TOKEN": self._token}

    def _open_browser(self) -> None:
        """Open the browser if that was asked for.

        The browser gets the name of a file that leads it to the address. The address holds the token, and other users
        of the machine can read the command line of the browser.
        """
        if not self._browser:
            return
        page = self._copy.ensure_state_folder() / "runtime" / "voila-open.html"
        page.unlink(missing_ok=True)
        page.touch(mode=0o600)
        page.write_text(f'<!DOCTYPE html><meta http-equiv="refresh" content="0; url={self.url}">')
        webbrowser.open(page.as_uri())


def _without_jupyter(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are not settings of a Jupyter application."""
    return {name: value for name, value in environment.items() if not name.startswith(_FOREIGN_PREFIXES)}


def sign_unchanged_lessons(copy: WorkingCopy) -> None:
    """Sign the lessons that the learner has not changed, so that JupyterLab shows the tables and pictures in them.

    Writes Jupyter's signature database in the working copy.
    """
    import nbformat  # noqa: PLC0415 -- only the lab has it
    from nbformat.sign import NotebookNotary  # noqa: PLC0415

    data = copy.ensure_state_folder() / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    notary = NotebookNotary(data_dir=str(data))
    try:
        for path in copy.unchanged():
            notebook = nbformat.read(path, as_version=4)
            if not notary.check_signature(notebook):
                notary.sign(notebook)
    finally:
        notary.store.close()


def is_lab_running(copy: WorkingCopy) -> bool:
    """Return whether a JupyterLab runs on this working copy.

    JupyterLab leaves its file behind if it is killed. Therefore the server in each file is asked.
    """
    for path in (copy.ensure_state_folder() / "runtime").glob("jpserver-*.json"):
        record = _read_server_record(path)
        if "url" in record and _responds_ok(f"{record['url']}api"):
            return True
    return False


def _read_server_record(path: Path) -> dict[str, str]:
    """Return what a Jupyter server has written about itself; empty if the file cannot be read."""
    with suppress(OSError, ValueError, RecursionError):
        content = json.loads(path.read_text())
        if isinstance(content, dict):
            return content
    return {}


class _KeepRedirects(urllib.request.HTTPRedirectHandler):
    """Makes a redirect an error instead of following it."""

    def redirect_request(self, *_: object) -> None:
        """Return None: the redirect is not followed."""


_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}), _KeepRedirects)
"""Opens URLs of this machine. A server that redirects a valid token to its login page is another server than ours."""


def _responds_ok(url: str) -> bool:
    """Return whether a request to the address is answered with status 200, without a redirect."""
    try:
        with _OPENER.open(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except (OSError, http.client.HTTPException, ValueError):  # URLError is an OSError
        return False


def _require_installed(module: str, extra: str) -> None:
    """Raise LabError if the module is not installed."""
    if importlib.util.find_spec(module) is None:
        raise LabError(f"{module} is not installed here: pip install 'lorafw[{extra}]'")
