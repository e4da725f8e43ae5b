"""A file that lorafw writes is whole or not there, and a private key is never readable by others."""

from __future__ import annotations

import os
import resource
import signal
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from click.testing import CliRunner

import lorafw.atomic
import lorafw.errors
from lorafw.atomic import PRIVATE_MODE, open_atomic, write_atomic
from lorafw.cli import main
from lorafw.cups.credentials import Credentials
from lorafw.eui import GatewayEui
from lorafw.firmware.image import FirmwareImage, build_image, install_image, unpack_image
from lorafw.gateway import certificate_chain
from lorafw.gateway.config_files import Backup
from lorafw.gateway.home import Home
from lorafw.gateway.provisioning import write_home
from lorafw.lab.lessons import WorkingCopy, packaged_lessons
from lorafw.lab.plots.figure import AccessibleFigure
from lorafw.server.certificate_authority import load_or_create

OLD, NEW = b"old" * 1000, b"new" * 1000


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Let the process take no permission away, as a careless start script does."""
    before = os.umask(0)
    yield
    os.umask(before)


@contextmanager
def full_disk(free_bytes: int = 0) -> Iterator[None]:
    """Let every write that would make a file longer than this fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def modes_seen(folder: Path) -> Iterator[dict[str, set[int]]]:
    """Collect the modes that each file below a folder has had at any moment that another thread can see."""
    seen: dict[str, set[int]] = {}
    is_over = threading.Event()

    def look() -> None:
        for file in folder.rglob("*"):
            try:
                seen.setdefault(file.name, set()).add(stat.S_IMODE(file.lstat().st_mode))
            except FileNotFoundError:
                continue

    def watch() -> None:
        while not is_over.is_set():
            look()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        is_over.set()
        watcher.join()
        look()


@pytest.fixture(params=["without a name", "with a name"])
def temporary_file(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Try both ways of writing: that of Linux, and that of file systems without O_TMPFILE."""
    if request.param == "with a name":
        monkeypatch.setattr(lorafw.atomic, "_DESCRIPTORS", Path("/there-is-no-such-folder"))


def test_a_new_file_has_its_mode_and_content_and_leaves_no_other_file(
    tmp_path: Path, temporary_file: None, no_umask: None
) -> None:
    write_atomic(tmp_path / "key", NEW, mode=PRIVATE_MODE)
    assert (tmp_path / "key").read_bytes() == NEW
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert names(tmp_path) == ["key"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, temporary_file: None) -> None:
    path = tmp_path / "file"
    write_atomic(path, OLD)
    with full_disk(), pytest.raises(OSError, match="File too large"):
        write_atomic(path, NEW)
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["file"]


def interrupt(file: BinaryIO) -> None:
    file.write(NEW)
    raise KeyboardInterrupt


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, temporary_file: None) -> None:
    path = tmp_path / "file"
    write_atomic(path, OLD)
    with pytest.raises(KeyboardInterrupt), open_atomic(path) as file:
        interrupt(file)
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["file"]


def test_an_existing_file_is_not_overwritten_unless_that_is_wanted(tmp_path: Path, temporary_file: None) -> None:
    path = tmp_path / "file"
    write_atomic(path, OLD, overwrite=False)
    with pytest.raises(FileExistsError):
        write_atomic(path, NEW, overwrite=False)
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["file"]


def test_an_existing_file_is_not_overwritten_where_there_are_no_hard_links(
    tmp_path: Path, temporary_file: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_hard_links(source: Path, target: Path, **rest: object) -> None:
        if rest:  # the descriptor of a file without a name gets one
            real_link(source, target, **rest)  # type: ignore[arg-type]
            return
        raise PermissionError(1, "Operation not permitted")

    real_link = os.link
    monkeypatch.setattr(os, "link", no_hard_links)
    write_atomic(tmp_path / "file", OLD, overwrite=False)
    with pytest.raises(FileExistsError):
        write_atomic(tmp_path / "file", NEW, overwrite=False)
    assert (tmp_path / "file").read_bytes() == OLD
    assert names(tmp_path) == ["file"]


def test_a_symbolic_link_is_replaced_and_its_target_stays(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(OLD)
    (tmp_path / "link").symlink_to("target")
    write_atomic(tmp_path / "link", NEW)
    assert (tmp_path / "target").read_bytes() == OLD
    assert not (tmp_path / "link").is_symlink()


def test_a_device_or_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    for path in (tmp_path / "pipe", tmp_path / "null", tmp_path):
        with pytest.raises(OSError, match="not a regular file"):
            write_atomic(path, NEW)


def test_a_process_that_is_killed_while_it_writes_leaves_the_old_file_alone(tmp_path: Path) -> None:
    if not hasattr(os, "O_TMPFILE"):
        pytest.skip("only Linux has files without a name")
    write_atomic(tmp_path / "file", OLD)
    program = (
        "import sys, time, pathlib; from lorafw.atomic import open_atomic\n"
        "with open_atomic(pathlib.Path(sys.argv[1])) as file:\n"
        "    file.write(b'x' * 99999); print('!', flush=True); time.sleep(9)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "file")], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.read(1)
        child.send_signal(signal.SIGKILL)
    assert (tmp_path / "file").read_bytes() == OLD
    assert names(tmp_path) == ["file"]


# --- keys ---


def test_the_backup_of_a_gateways_key_is_never_readable_by_others(tmp_path: Path, no_umask: None) -> None:
    with modes_seen(tmp_path) as seen:
        for number in range(20):
            home = Home(tmp_path / str(number))
            home.path.mkdir()
            home.write("cups.key", b"secret" * 100_000, mode=PRIVATE_MODE)
            Backup(home, "cups").make(lambda _line: None)
    assert seen["cups-bak.key"] == {0o600}
    assert {mode for name, modes in seen.items() if ".key" in name for mode in modes} == {0o600}


def test_no_key_is_ever_readable_by_others(tmp_path: Path, no_umask: None) -> None:
    with modes_seen(tmp_path) as seen:
        assert keygen(tmp_path) == 0
        load_or_create(tmp_path / "state", ["localhost"])
        write_home(
            tmp_path / "home",
            eui=GatewayEui(1),
            cups_uri="http://localhost:1",
            package="1.0.0",
            credentials=Credentials(trust=b"t", certificate=b"c", key=b"k"),
        )
    for name in ("private.pem", "ca.pem", "server.pem", "cups.key"):
        assert seen[name] == {0o600}, name
    assert seen["home"] == {0o755}, "otherwise anybody could put another key there"


def key_and_certificate(folder: Path) -> tuple[bytes, bytes]:
    load_or_create(folder, ["localhost"])
    content = (folder / "server.pem").read_bytes()
    certificate, _, key = content.partition(b"-----BEGIN PRIVATE KEY-----")
    return b"-----BEGIN PRIVATE KEY-----" + key, certificate


def test_the_key_of_a_tls_client_is_written_to_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "memfd_create"):
        pytest.skip("only Linux has files in memory")
    key, certificate = key_and_certificate(tmp_path / "state")
    monkeypatch.setattr(certificate_chain.tempfile, "mkstemp", lambda **_: pytest.fail("a file was written"))
    certificate_chain.load_cert_chain(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate, key)


def test_the_key_of_a_tls_client_is_encrypted_in_a_file_where_there_are_no_files_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = key_and_certificate(tmp_path / "state")
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(certificate_chain.tempfile, "tempdir", str(tmp_path))
    written: list[bytes] = []

    class Context(ssl.SSLContext):
        def load_cert_chain(self, certfile: str, *rest: object, **more: object) -> None:  # type: ignore[override]
            written.append(Path(certfile).read_bytes())
            super().load_cert_chain(certfile, *rest, **more)  # type: ignore[arg-type]

    certificate_chain.load_cert_chain(Context(ssl.PROTOCOL_TLS_CLIENT), certificate, key)
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in written[0]
    assert b"BEGIN PRIVATE KEY" not in written[0]
    assert names(tmp_path) == ["state"]


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    key, _ = key_and_certificate(tmp_path / "one")
    _, certificate = key_and_certificate(tmp_path / "other")
    with pytest.raises(ssl.SSLError, match=r"(?i)key.values.mismatch"):
        certificate_chain.load_cert_chain(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate, key)


# --- results of commands ---


def keygen(folder: Path) -> int:
    words = ["--private-key", str(folder / "private.pem"), "--sig-key", str(folder / "sig-0.key")]
    return CliRunner().invoke(main, ["firmware", "keygen", *words]).exit_code


@pytest.mark.parametrize("free_bytes", [0, 10, 63, 100])
def test_keygen_on_a_full_disk_leaves_no_key_at_all(tmp_path: Path, free_bytes: int) -> None:
    with full_disk(free_bytes):
        assert keygen(tmp_path) == 1
    assert names(tmp_path) == []
    assert keygen(tmp_path) == 0


def test_keygen_that_is_terminated_between_its_two_files_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def terminate(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["lorafw.cli.firmware"], "write_atomic", terminate)
        assert keygen(tmp_path) == 128 + signal.SIGTERM
    assert names(tmp_path) == []
    assert keygen(tmp_path) == 0


def test_keygen_loses_no_old_key(tmp_path: Path) -> None:
    for name in ("private.pem", "sig-0.key"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_bytes(OLD)
        assert keygen(folder) == 1
        assert names(folder) == [name]
        assert (folder / name).read_bytes() == OLD


def build(output: Path) -> int:
    return CliRunner().invoke(main, ["firmware", "build", "--package", "1.0.1", "-o", str(output)]).exit_code


def test_build_on_a_full_disk_leaves_the_old_update_file(tmp_path: Path) -> None:
    (tmp_path / "fwstation").write_bytes(OLD)
    with full_disk(100):
        assert build(tmp_path / "fwstation") == 1
    assert (tmp_path / "fwstation").read_bytes() == OLD
    assert names(tmp_path) == ["fwstation"]


def test_build_does_not_write_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(OLD)
    (tmp_path / "fwstation").symlink_to("precious")
    assert build(tmp_path / "fwstation") == 0
    assert (tmp_path / "precious").read_bytes() == OLD
    assert unpack_image((tmp_path / "fwstation").read_bytes()).package_version == "1.0.1"
    assert os.access(tmp_path / "fwstation", os.X_OK)


def test_a_picture_is_whole_or_the_old_one(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    path = tmp_path / "figure.svg"
    path.write_bytes(OLD)
    with full_disk(), pytest.raises(OSError, match="File too large"):
        AccessibleFigure(Figure(), "nothing").save(path)
    assert path.read_bytes() == OLD


# --- updates ---


def image() -> FirmwareImage:
    return unpack_image(build_image(package_version="1.0.1", files={"notes": b"x" * 5000}))


def test_an_update_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "notes").write_bytes(OLD)
    with full_disk(100), pytest.raises(lorafw.errors.FirmwareError, match="File too large"):
        install_image(image(), tmp_path)
    assert names(tmp_path) == ["notes"]
    assert (tmp_path / "notes").read_bytes() == OLD


def test_an_update_removes_what_a_killed_update_left_and_nothing_of_a_running_one(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    for name in (f".fwstation-{ended.pid}", ".fwstation-a8x_tmp", f".fwstation-{os.getppid()}"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "station").write_bytes(OLD)
    install_image(image(), tmp_path)
    assert names(tmp_path) == [f".fwstation-{os.getppid()}", "notes", "version.txt"]


# --- lessons ---


def test_lessons_on_a_full_disk_are_whole_or_not_there(tmp_path: Path) -> None:
    copy = WorkingCopy(tmp_path)
    with full_disk(20_000), pytest.raises(OSError, match="File too large"):
        copy.update()
    assert not [name for name in names(tmp_path) if ".ipynb." in name]
    assert 0 < len(list(tmp_path.glob("*.ipynb"))) < len(packaged_lessons())
    assert sorted(tmp_path.glob("*.ipynb")) == copy.unchanged()
    copy.update()
    assert len(copy.unchanged()) == len(packaged_lessons()), "the next attempt delivers the others"
