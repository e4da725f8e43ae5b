"""JupyterLab or Voila for the lessons, in a separate process on loopback.

The server is separate from any other Jupyter of the learner: it ignores Jupyter's variables and configuration files,
and keeps its kernels, settings and workspaces in the working copy. It makes no request to the network: it fetches no
news, looks for no updates and installs no extensions. No AWS command in it reaches the learner's own account: until a
lesson opens a lab, the AWS variables name an address that nothing listens on.
"""

from __future__ import annotations

import importlib.util
import secrets
import webbrowser
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final, Self

from lorafw.errors import LabError
from lorafw.lab.jupyter_process import JupyterProcess, read_server_record, responds_ok
from lorafw.lab.jupyter_settings import LAB_OPTIONS, VOILA_OPTIONS, jupyter_environment, write_settings
from lorafw.lab.lessons import WorkingCopy
from lorafw.server.loopback import ensure_port_free

PORT: Final = 8888
"""The first port that is tried. It is JupyterLab's own."""
TRIES: Final = 100
"""Number of ports to try if the first one is taken."""


class NotebookServer(ABC):
    """A server that shows the lessons of a working copy in a browser.

    A context manager, or ``start()`` and ``stop()``. Each application, such as JupyterLab, has a subclass.
    """

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
        self._process: JupyterProcess | None = None
        self.url = ""
        """Address of the first page, with the token. Empty until the server has started."""

    # --- what an application defines ---

    @abstractmethod
    def command(self, port: int) -> list[str]:
        """Return the module to run and its command-line arguments."""

    @abstractmethod
    def wait_for_url(self, process: JupyterProcess, port: int) -> str:
        """Wait until the address of the first page is known, and return it."""

    @property
    @abstractmethod
    def status_url(self) -> str:
        """An address that answers 200 as soon as the server is ready. Known when ``url`` is."""

    def show_first_page(self) -> None:  # noqa: B027 -- JupyterLab opens the browser itself
        """Open the first page in a browser. Called when the server is ready, if a browser was asked for."""

    # --- starting and stopping ---

    def start(self) -> Self:
        """Start the server, and wait until it answers.

        Returns:
            This object.

        Raises:
            LabError: The application is not installed, the port is taken, or the server does not start. In the last
                case the message holds the end of the server's log.
        """
        _require_installed(self.module, self.extra)
        write_settings(self._copy.ensure_state_folder())
        port = self._choose_port()
        try:
            self._start_on(port)
        except LabError:
            # Another program may have taken the port since it was found free. If not, the error has another cause.
            next_port = self._choose_port()
            if next_port == port:
                raise
            self._start_on(next_port)
        return self

    def _start_on(self, port: int) -> None:
        """Start the server on a port, and wait until it answers. Stop it if it does not."""
        self._process = JupyterProcess(
            self.title,
            self.command(port),
            environment=self.server_environment(),
            # Voila reads configuration files of its current folder, so this must not be a folder of the learner.
            folder=self._copy.ensure_state_folder() / "config",
            log=self.log,
        )
        try:
            self.url = self.wait_for_url(self._process, port)
            self._process.wait_until(self._is_ready)
            if self._browser:
                self.show_first_page()
        except BaseException:
            self.stop()
            raise

    def _is_ready(self) -> bool:
        """Return whether the server answers."""
        return responds_ok(self.status_url)

    def _choose_port(self) -> int:
        """Return the port that was asked for, or the first free one. Raises LabError if it is taken."""
        if self._port:
            return find_free_port(range(self._port, self._port + 1))
        return find_free_port(range(PORT, PORT + TRIES))

    def wait(self) -> int:
        """Wait for the server process to exit, and return its exit status."""
        if self._process is None:
            return 0
        return self._process.wait()

    def stop(self) -> None:
        """Stop the server and its kernels. Does nothing the second time."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- files and variables ---

    @property
    def log(self) -> Path:
        """The file that receives the output of the server."""
        return self._copy.ensure_state_folder() / self.log_filename

    def environment(self) -> dict[str, str]:
        """Return the environment variables of kernels and terminals."""
        return jupyter_environment(self._copy.ensure_state_folder())

    def server_environment(self) -> dict[str, str]:
        """Return the environment variables of the server process."""
        return self.environment()


class JupyterLabServer(NotebookServer):
    """JupyterLab on the lessons: the learner reads and runs their code."""

    title = "JupyterLab"
    module = "jupyterlab"
    extra = "lab"
    log_filename = "jupyter.log"

    def command(self, port: int) -> list[str]:
        """Return the module to run and its command-line arguments."""
        # JupyterLab looks for a free port itself, unless the user named one.
        retries = 0 if self._port else TRIES
        config = self._copy.ensure_state_folder() / "config" / "lab.json"
        return [
            "jupyterlab",
            f"--ServerApp.port={port}",
            f"--ServerApp.port_retries={retries}",
            f"--ServerApp.open_browser={self._browser}",
            f"--ServerApp.root_dir={self._copy.path}",
            f"--LabApp.default_url=/lab/tree/{self._copy.first}",
            f"--config={config}",
            *LAB_OPTIONS,
        ]

    def wait_for_url(self, process: JupyterProcess, port: int) -> str:
        """Wait until JupyterLab has written its address and its token to a file, and return the first page's address.

        Args:
            process: The process. Its id is in the name of the file.
            port: Not used. JupyterLab listens on another port if this one is taken.
        """
        path = self._copy.ensure_state_folder() / "runtime" / f"jpserver-{process.pid}.json"

        def has_written_address() -> bool:
            return "url" in read_server_record(path)

        process.wait_until(has_written_address)
        record = read_server_record(path)
        base_url = record["url"].replace("localhost", "127.0.0.1")
        return f"{base_url}lab/tree/{self._copy.first}?token={record['token']}"

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
        return ["voila", str(self._copy.path), f"--port={port}", *VOILA_OPTIONS]

    def wait_for_url(self, process: JupyterProcess, port: int) -> str:
        """Return the address of the list of lessons. It is known from the beginning."""
        return f"http://127.0.0.1:{port}/?token={self._token}"

    @property
    def status_url(self) -> str:
        """The address of the list of lessons."""
        return self.url

    def server_environment(self) -> dict[str, str]:
        """Return the variables of the server, the token among them: other users can read a command line."""
        return self.environment() | {"JUPYTER_TOKEN": self._token}

    def show_first_page(self) -> None:
        """Open the list of lessons in a browser.

        The browser gets the name of a file that leads it to the address. The address holds the token, and other users
        of the machine can read the command line of the browser.
        """
        page = self._copy.ensure_state_folder() / "runtime" / "voila-open.html"
        page.unlink(missing_ok=True)
        page.touch(mode=0o600)
        page.write_text(f'<!DOCTYPE html><meta http-equiv="refresh" content="0; url={self.url}">')
        webbrowser.open(page.as_uri())


def find_free_port(candidates: Sequence[int]) -> int:
    """Return the first port on which no program listens.

    Args:
        candidates: The ports to try.

    Raises:
        LabError: All of them are taken.
    """
    for port in candidates:
        with suppress(OSError):
            ensure_port_free("127.0.0.1", port)
            return port
    raise LabError(f"port {candidates[0]} is taken; give another with --port")


def _require_installed(module: str, extra: str) -> None:
    """Raise LabError if the module is not installed. ``extra`` is the extra of lorafw that installs it."""
    if importlib.util.find_spec(module) is None:
        raise LabError(f"{module} is not installed here: pip install 'lorafw[{extra}]'")


def sign_unchanged_lessons(copy: WorkingCopy) -> None:
    """Sign the lessons that the learner has not changed, so that JupyterLab shows the tables and pictures in them.

    Writes Jupyter's signature database in the working copy.

    Args:
        copy: The working copy.
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

    Args:
        copy: The working copy.
    """
    for path in (copy.ensure_state_folder() / "runtime").glob("jpserver-*.json"):
        record = read_server_record(path)
        if "url" in record and responds_ok(f"{record['url']}api"):
            return True
    return False
