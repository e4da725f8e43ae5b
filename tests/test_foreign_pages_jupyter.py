"""JupyterLab and Voila use no setting of the learner's other Jupyter, and answer no page of another origin.

Both are started once, with every setting of another Jupyter that once broke the lab or opened it to others. In a real
browser the learner is logged in to both, and then opens a page of another server of this machine and one of another
site.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from browser import chromium, lab_process, need_chromium
from tornado.web import HTTPError

from lorafw.lab.jupyter import JupyterLabServer
from lorafw.lab.jupyter_access import MAX_VOILA_KERNELS, BoundedKernelManager, is_from_another_page
from lorafw.lab.lessons import WorkingCopy

RESERVED = "a+b c/d?e=f&g#h%"
CONFIG = {
    "ServerApp": {
        "certfile": "/none.pem",
        "keyfile": "/none.key",
        "sock": "/tmp/none.sock",
        "base_url": "/elsewhere/",
        "allow_origin": "*",
        "disable_check_xsrf": True,
        "allow_remote_access": True,
        "jpserver_extensions": {"no_such_extension_of_the_learner": True},
        "password": "sha1:67c9e60bb8b6:9ffede0825894254b2e042ea597d771089e11aed",
    },
    "PasswordIdentityProvider": {"hashed_password": "sha1:67c9e60bb8b6:9ffede0825894254b2e042ea597d771089e11aed"},
    "IdentityProvider": {"token": ""},
    "Voila": {"base_url": "/elsewhere/", "token": "", "ip": "0.0.0.0"},
    "VoilaConfiguration": {"template": "no-such-template"},
}
NAMES = ("jupyter_config", "jupyter_server_config", "jupyter_lab_config", "jupyter_labapp_config", "voila")
VARIABLES = {
    "JUPYTER_TOKEN": RESERVED,
    "JUPYTER_TOKEN_FILE": "/none",
    "JUPYTER_PLATFORM_DIRS": "1",
    "JUPYTER_PREFER_ENV_PATH": "0",
    "JUPYTER_PORT": "1",
    "JUPYTER_NO_CONFIG": "",
    "JUPYTERLAB_DIR": "/none",
    "JUPYTERHUB_SERVICE_PREFIX": "/elsewhere/",
    "VOILA_BASE_URL": "/elsewhere/",
    "JPY_PARENT_PID": "1",
}
FOLDERS = ("JUPYTER_CONFIG_DIR", "JUPYTER_CONFIG_PATH", "JUPYTER_PATH", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR")


def write_other_jupyter(home: Path) -> dict[str, str]:
    """Write the learner's other Jupyter and return the variables that lead to it."""
    folders = [home / ".jupyter", home / ".config" / "jupyter", home / "elsewhere", home]
    for folder in folders:
        extensions = folder / "jupyter_server_config.d"
        extensions.mkdir(parents=True, exist_ok=True)
        (extensions / "extension.json").write_text(json.dumps({"ServerApp": CONFIG["ServerApp"]}))
        for name in NAMES:
            (folder / f"{name}.json").write_text(json.dumps(CONFIG))
            (folder / f"{name}.py").write_text(
                f"open({str(home / 'was-read')!r}, 'w')\nc.IdentityProvider.token = ''\n"
            )
    return {**VARIABLES, **dict.fromkeys(FOLDERS, str(home / "elsewhere")), "HOME": str(home)}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def urls(home: Path) -> Iterator[tuple[str, str]]:
    """The addresses that are printed for JupyterLab and for Voila, beside the learner's other Jupyter."""
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack, ThreadPoolExecutor() as pool:
        for name, value in write_other_jupyter(home).items():
            patch.setenv(name, value)
        # Voila also reads files of the folder in which it is started.
        patch.chdir(home)
        starts = [
            pool.submit(stack.enter_context, lab_process(home / folder, *options))
            for folder, options in (("lab", ()), ("app", ("--app",)))
        ]
        lab, app = (start.result() for start in starts)
        yield lab, app


def answer(url: str, **headers: str) -> int:
    """Return the status of a GET without cookies. A redirect counts as what it is."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stay)
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def root(url: str) -> str:
    return f"http://{urlsplit(url).netloc}/"


def test_the_printed_address_is_valid_whatever_other_jupyter_there_is(urls: tuple[str, str], home: Path) -> None:
    for url in urls:
        assert url.startswith("http://127.0.0.1:")
        token = url.partition("?token=")[2]
        assert len(token) >= 48
        assert token != RESERVED
        assert answer(url) == 200
        assert answer(url.replace(token, "wrong")) == 302
        assert answer(url.partition("?")[0]) == 302
    assert not (home / "was-read").exists()
    assert "no_such_extension" not in (home / "lab" / ".lab" / "jupyter.log").read_text()


def test_no_variable_of_another_jupyter_comes_to_the_kernels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {**VARIABLES, **dict.fromkeys(FOLDERS, "/elsewhere")}.items():
        monkeypatch.setenv(name, value)
    environment = JupyterLabServer(WorkingCopy(tmp_path)).environment()
    assert [name for name, value in environment.items() if "elsewhere" in value or value == RESERVED] == []
    ours = {name for name in environment if name.startswith(("JUPYTER", "VOILA", "JPY"))}
    assert {environment[name].startswith(str(tmp_path)) for name in ours - {"JUPYTER_PREFER_ENV_PATH"}} == {True}


def test_jupyter_reads_configuration_from_one_empty_folder_that_goes_with_it(tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(
        "import os, tempfile; from jupyter_core.paths import jupyter_config_path\n"
        "print(tempfile.gettempdir(), *jupyter_config_path(), *map(os.listdir, jupyter_config_path()))"
    )
    done = subprocess.run(
        [sys.executable, "-m", "lorafw.lab.jupyter_launch", "probe"],
        env={
            **os.environ,
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parent.parent}",
            "TMPDIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    temporary, folder, content = done.stdout.split()
    assert temporary == str(tmp_path)
    assert content == "[]"
    assert not Path(folder).exists()
    assert sorted(path.name for path in tmp_path.glob("*jupyter*")) == []


@pytest.mark.parametrize(
    ("headers", "is_foreign"),
    [
        ({}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, False),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Origin": "http://127.0.0.1:8888"}, False),
        ({"Origin": "http://127.0.0.1:9999"}, True),
        ({"Origin": "null"}, True),
        ({"Referer": "http://127.0.0.1:8888/lab"}, False),
        ({"Referer": "http://example.com/"}, True),
    ],
    ids=str,
)
def test_headers_show_which_page_started_a_request(headers: dict[str, str], is_foreign: bool) -> None:
    assert is_from_another_page({"Host": "127.0.0.1:8888", **headers}) is is_foreign


def test_a_name_that_is_not_of_this_machine_is_refused(urls: tuple[str, str]) -> None:
    for url in urls:
        assert answer(url, Host=f"rebound.example:{urlsplit(url).port}") == 403
        assert answer(url, Host=f"localhost:{urlsplit(url).port}") == 200


def test_voila_starts_a_limited_number_of_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    async def start(manager: BoundedKernelManager, **_: object) -> str:
        await asyncio.sleep(0)  # They all ask before the first one has started.
        manager._kernels[str(len(manager))] = object()
        return str(len(manager))

    async def ask_often() -> list[object]:
        manager = BoundedKernelManager()
        starts = [manager.start_kernel(path="") for _ in range(MAX_VOILA_KERNELS + 2)]
        answers: list[object] = list(await asyncio.gather(*starts, return_exceptions=True))
        manager._kernels.popitem()
        return [*answers, await manager.start_kernel(path="")]

    monkeypatch.setattr(BoundedKernelManager.__base__, "start_kernel", start)
    answers = asyncio.run(ask_often())
    refused = [answer for answer in answers if isinstance(answer, HTTPError)]
    assert [error.status_code for error in refused] == [503, 503]
    assert "Close the page of one" in str(refused[0].reason)
    assert len(answers) - len(refused) == MAX_VOILA_KERNELS + 1


def test_voila_ends_kernels_that_no_page_shows() -> None:
    manager = BoundedKernelManager()
    assert (manager.cull_idle_timeout, manager.cull_interval) == (120, 10)
    assert not manager.cull_connected
    assert not manager.cull_busy


class _ForeignPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!DOCTYPE html><title>foreign</title>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def foreign_port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _ForeignPage) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def learner(urls: tuple[str, str]) -> Iterator[Any]:
    """A browser that is logged in to both."""
    need_chromium()
    with chromium() as browser:
        context = browser.new_context()
        page = context.new_page()
        for url, path in zip(urls, ("no-such-page", "voila/api/contents/"), strict=True):
            page.goto(f"{root(url)}{path}?token={url.partition('?token=')[2]}")
        page.close()
        assert len({cookie["name"] for cookie in context.cookies() if cookie["name"].startswith("username-")}) == 2
        yield context


# Each line is an attempt of a foreign page. A request that can be read gives its status; "sent" cannot be read.
ATTACK = """async ([lab, app]) => {
    const read = (url, options) => fetch(url, {credentials: 'include', ...options}).then(r => r.status, () => 'unread');
    const send = (url, options) => fetch(url, {credentials: 'include', mode: 'no-cors', ...options})
        .then(() => 'sent', () => 'unsent');
    const socket = url => new Promise(done => {
        const one = new WebSocket(url.replace('http', 'ws'));
        one.onopen = () => done('open');
        one.onerror = () => done('closed');
    });
    const image = url => new Promise(done => {
        const one = new Image();
        one.onload = one.onerror = () => done();
        one.src = url;
    });
    const post = body => ({method: 'POST', body, headers: {'Content-Type': 'text/plain'}});
    const kernel = JSON.stringify({name: 'python3', path: 'x.ipynb', type: 'notebook', kernel: {name: 'python3'}});
    const reads = [];
    for (const path of ['api/contents', 'api/status', 'lab', 'files/00-start-here.ipynb'])
        reads.push(await read(lab + path));
    for (const path of ['', 'voila/render/00-start-here.ipynb', 'voila/api/contents/'])
        reads.push(await read(app + path));
    for (const path of ['api/kernels', 'api/sessions', 'api/terminals', 'api/contents'])
        await send(lab + path, post(kernel));
    await image(lab + 'logout');
    await image(app + 'voila/render/00-start-here.ipynb');
    await send(app + 'voila/render/00-start-here.ipynb');
    const frame = document.createElement('iframe');
    frame.src = app + 'voila/render/00-start-here.ipynb';
    document.body.append(frame);
    await new Promise(done => frame.onload = done);
    const sockets = [await socket(lab + 'terminals/websocket/1'), await socket(lab + 'api/events/subscribe')];
    return {reads, sockets};
}"""
STATE = """async lab => Promise.all(['api/kernels', 'api/sessions', 'api/terminals', 'api/contents'].map(
    path => fetch(lab + path).then(answer => answer.json()).then(list => (list.content || list).length)))"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"], ids=["another port", "another site"])
def test_a_foreign_page_reads_nothing_and_changes_nothing(
    learner: Any, urls: tuple[str, str], foreign_port: int, home: Path, host: str
) -> None:
    lab, app = map(root, urls)
    own = learner.new_page()
    own.goto(f"{lab}no-such-page")  # the smallest page of JupyterLab's own origin
    before = own.evaluate(STATE, lab)
    assert before[3] > 10  # its own page reads the lessons
    foreign = learner.new_page()
    foreign.goto(f"http://{host}:{foreign_port}/")
    seen = foreign.evaluate(ATTACK, [lab, app])
    assert seen == {"reads": ["unread"] * 7, "sockets": ["closed"] * 2}
    # The browser sends the cookie with a link that is followed, too.
    with foreign.expect_navigation() as navigation:
        foreign.evaluate("url => { location = url }", f"{app}voila/render/00-start-here.ipynb")
    assert navigation.value.status == 403
    assert foreign.get_by_text("Another web page asked for this").count() == 1
    assert own.evaluate(STATE, lab) == before
    assert "Kernel started" not in (home / "app" / ".lab" / "voila.log").read_text()
    foreign.close()
    own.close()
