"""A real browser on the lab: `lorafw lab` as a process, Debian's Chromium, and what a person does there.

One server and one browser serve a whole module of tests.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZE = {"width": 1280, "height": 800}
PATIENCE_MS = 120_000
# What the browser itself says of a page that is not about the page.
NOT_OURS = re.compile(r"favicon|ResizeObserver loop|\[Violation\]")


def need_chromium() -> None:
    """Skip where there is no Chromium; on CI it is an error."""
    if CHROMIUM is None:
        message = "chromium is not installed: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


@contextmanager
def lab_process(folder: Path, *options: str) -> Iterator[str]:
    """`lorafw lab` on a folder; gives the address that it prints, and ends it as a terminal does."""
    command = [sys.executable, "-m", "lorafw", "lab", "--no-browser", "--dir", str(folder), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _address(process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:  # it prints the address, or ends with what is wrong
        said += line
        if found := re.search(r"http://127\.0\.0\.1:\d+/\S*", line):
            return found[0]
    raise AssertionError(f"lorafw lab did not come up: {said}")


@contextmanager
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


def expose_app(folder: Path) -> None:
    """Let the page give its application to the test; a setting of JupyterLab's own, in the lab's own folder."""
    config = folder / ".lab" / "config"
    config.mkdir(parents=True, exist_ok=True)
    (config / "lab.json").write_text('{"LabApp": {"expose_app_in_browser": true}}')


def write_notebook(path: Path, *cells: str) -> Path:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    )
    nbformat.write(notebook, path)
    return path


_RUN_ALL = """async () => {
    const { sessionContext, content } = window.jupyterapp.shell.currentWidget;
    await sessionContext.ready;
    await sessionContext.session.kernel.info;
    const ended_well = await window.jupyterapp.commands.execute('notebook:run-all-cells');
    const code = [...content.model.cells].filter(cell => cell.type === 'code' && cell.sharedModel.getSource().trim());
    return ended_well && code.every(cell => cell.executionCount !== null);
}"""
_FAILURES = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
    .filter(cell => cell.type === 'code')
    .flatMap(cell => cell.outputs.toJSON())
    .filter(output => output.output_type === 'error')
    .map(output => `${output.ename}: ${output.evalue}`)"""


_OPEN = """async name => {
    const widget = await window.jupyterapp.commands.execute('docmanager:open', { path: name });
    await widget.context.ready;
}"""
# JupyterLab's widget manager reports an error if a notebook is closed while its kernel starts.
# The last line lets the page report what the shutdown cancels before another notebook is opened.
_CLOSE = """async () => {
    const widget = window.jupyterapp.shell.currentWidget;
    await widget?.sessionContext?.ready;
    await widget?.sessionContext?.shutdown();
    widget?.dispose();
    await new Promise(resolve => setTimeout(resolve));
}"""


class LabPage:
    """JupyterLab in a page of the browser, with one notebook open."""

    def __init__(
        self, browser: Any, url: str, size: dict[str, int] = SIZE, proxy: dict[str, str] | None = None
    ) -> None:
        self._server, _, token = url.partition("lab/tree/")
        self._token = token.partition("?token=")[2]
        self.page = browser.new_page(viewport=size, proxy=proxy)
        self.page.set_default_timeout(PATIENCE_MS)
        self._is_loaded = False
        self.errors: list[str] = []

    def _listen(self) -> None:
        """Collect the errors of the page from now on."""
        self.page.on("console", self._add_console_error)
        self.page.on("pageerror", self._add_page_error)

    def _stop_listening(self) -> None:
        """Ignore what the page says about a kernel or a notebook that is taken from it."""
        self.page.remove_listener("console", self._add_console_error)
        self.page.remove_listener("pageerror", self._add_page_error)

    def _add_console_error(self, message: Any) -> None:
        if message.type == "error" and not NOT_OURS.search(message.text):
            self.errors.append(f"{message.text} ({message.location.get('url')})")

    def _add_page_error(self, error: Any) -> None:
        self.errors.append(str(error))

    def open(self, name: str) -> LabPage:
        """Open a notebook alone on the screen. Loads JupyterLab, which takes seconds, only the first time."""
        self._listen()
        if self._is_loaded:
            self.page.evaluate(_OPEN, name)
        else:
            self._load(name)
        self.page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
        self.page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
        return self

    def _load(self, name: str) -> None:
        """Load JupyterLab with this notebook, in a workspace of its own."""
        workspace = re.sub(r"\W", "-", name)
        self.page.goto(f"{self._server}lab/workspaces/{workspace}/tree/{name}?token={self._token}&reset")
        self.page.wait_for_function("window.jupyterapp !== undefined")
        self.page.evaluate("window.jupyterapp.restored")
        self._is_loaded = True

    def close_notebook(self) -> None:
        """Close the notebook without saving it, and end its kernel. JupyterLab stays open."""
        self._stop_listening()
        self.page.evaluate(_CLOSE)

    def run_all(self) -> bool:
        """Run All Cells; did every cell run, and end well?"""
        return bool(self.page.evaluate(_RUN_ALL))

    def save(self, path: Path, text: str) -> None:
        """Save the notebook until its file holds the text.

        JupyterLab ignores the command while another save of the notebook, such as an automatic one, is running.
        """
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while text not in path.read_text():
            assert time.monotonic() < deadline, f"{path.name} was saved without {text!r}"
            self.page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
            self.page.wait_for_timeout(100)

    def failures(self) -> list[str]:
        """What cells that failed said."""
        return list(self.page.evaluate(_FAILURES))

    def set_theme(self, theme: str) -> None:
        """Switch to a theme of JupyterLab, and wait until it is shown."""
        self.page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        self.page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
        self.page.wait_for_timeout(500)  # its style sheets are loaded

    def close(self) -> None:
        """Close the notebook and the page."""
        self.close_notebook()
        self.page.close()
