"""The update file, run by shells that know nothing of lorafw, and read back without running it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from lorafw.errors import FirmwareError
from lorafw.firmware.image import (
    MAX_FILES,
    MAX_HOME_CHARS,
    MAX_IMAGE_BYTES,
    MAX_NAME_CHARS,
    MAX_RESTART_CHARS,
    FirmwareFile,
    FirmwareImage,
    build_image,
    install_image,
    looks_like_image,
    unpack_image,
)
from lorafw.firmware.template import BLOCK_BYTES, MAGIC, MAX_HEAD_BLOCKS, render

OLD = {"station": b"old station", "station.conf": b"old conf\n", "version.txt": b"1.0.0\n"}
EVERY_BYTE = bytes(range(256))
RANDOM_3_MB = random.Random(7).randbytes(3_000_017)
SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"]}

PAYLOADS = {
    "one byte": b"\x00",
    "one line end": b"\n",
    "line ends at both ends": b"\n\n\nconf\n\n\n",
    "no line end": b"{}",
    "one less than a block": b"a" * 4095,
    "a block": b"a" * 4096,
    "one more than a block": b"a" * 4097,
    "one less than a read": b"b" * 65535,
    "a read": b"b" * 65536,
    "one more than a read": b"b" * 65537,
    "every byte": EVERY_BYTE,
    "blanks": b" " * 8192,
    "zeros": bytes(5000),
    "script": b"#!/bin/sh\nEND_STATION:\nexit 3\n# lorafw-fwstation 1 {}\n",
    "text that is not UTF-8": b"\xff\xfe\x80 \xc3",
    "3 MB at random": RANDOM_3_MB,
}


def need(*programs: str) -> None:
    """Skip where a program is missing; where everything must be there (CI), fail."""
    for program in programs:
        if shutil.which(program) is None:
            if os.environ.get("CI") == "true":
                pytest.fail(f"{program} is not installed")
            pytest.skip(f"{program} is not installed")


class Box:
    """A gateway's disk: a home folder that is in use, and a place for update.bin."""

    def __init__(self, root: Path, shell: list[str]) -> None:
        self.root, self.shell = root, shell
        self.home, self.update = root / "home", root / "update.bin"
        self.home.mkdir()
        for name, content in OLD.items():
            (self.home / name).write_bytes(content)

    def run(
        self,
        data: bytes,
        *,
        env: Mapping[str, str | None] = {},
        cwd: Path | None = None,
        argv: list[str] | None = None,
        before: Callable[[], None] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run the update as a station does: by its path alone, STATION_HOME set, stdin inherited."""
        self.update.write_bytes(data)
        self.update.chmod(0o750)
        wanted = {**os.environ, "STATION_HOME": str(self.home), **env}
        return subprocess.run(
            argv or [*self.shell, str(self.update)],
            env={name: value for name, value in wanted.items() if value is not None},
            cwd=cwd or self.root,
            preexec_fn=before,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def content(self) -> dict[str, bytes]:
        """Every file in the home folder; a staging folder left there is an error."""
        return {path.name: path.read_bytes() for path in self.home.iterdir()}

    def shim(self, name: str, script: str) -> dict[str, str | None]:
        """A program of ours before the real one; the environment that finds it."""
        folder = self.root / "shims"
        folder.mkdir(exist_ok=True)
        real = shutil.which(name)
        (folder / name).write_text(f"#!/bin/sh\nreal={real}\nroot='{self.root}'\n{script}\n")
        (folder / name).chmod(0o755)
        return {"PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.fixture(params=list(SHELLS))
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Box:
    shell = SHELLS[request.param]
    need(shell[0])
    return Box(tmp_path, shell)


@pytest.fixture
def dash_box(tmp_path: Path) -> Box:
    need("dash")
    return Box(tmp_path, SHELLS["dash"])


def image_of(**changes: object) -> bytes:
    return build_image(**{"package_version": "1.0.1", "files": {"station": b"new"}} | changes)  # type: ignore[arg-type]


# --- what a shell does with it ------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_every_payload_is_extracted_to_the_byte(box: Box, payload: bytes) -> None:
    files = {"a": payload, "station": payload, "station.conf": b"{}\n", "z": payload}
    done = box.run(build_image(package_version="1.0.1", files=files))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"fwstation 1.0.1: installed in {box.home}\n"
    assert box.content() == files | {"version.txt": b"1.0.1\n"}
    assert not box.update.exists()


def test_a_payload_that_holds_the_script_itself_is_extracted_whole(box: Box) -> None:
    inner = image_of(files={"station": EVERY_BYTE, "notes": b"END_STATION:\n"})
    files = {"station": inner, "twice": inner + inner, "head": inner[:BLOCK_BYTES]}
    assert box.run(image_of(files=files)).returncode == 0
    assert box.content() == OLD | files | {"version.txt": b"1.0.1\n"}


def test_an_empty_file_of_the_user_is_extracted_as_an_empty_file(box: Box) -> None:
    assert box.run(image_of(files={"empty": b"", "after": b"x"})).returncode == 0
    assert box.content() == OLD | {"empty": b"", "after": b"x", "version.txt": b"1.0.1\n"}


def test_an_update_without_files_changes_the_version_alone(box: Box) -> None:
    assert box.run(build_image(package_version="1.0.1")).returncode == 0
    assert box.content() == OLD | {"version.txt": b"1.0.1\n"}


def test_the_station_and_what_is_named_can_be_executed_and_the_rest_cannot(box: Box) -> None:
    files = {"station": b"s", "station.conf": b"{}", "radio init.sh": b"#!/bin/sh\n", "data.sh": b"x"}
    done = box.run(image_of(files=files, executable=["radio init.sh"]), before=lambda: os.umask(0o077) and None)
    assert done.returncode == 0
    modes = {path.name: path.stat().st_mode & 0o777 for path in box.home.iterdir()}
    assert modes == {
        "station": 0o755,
        "radio init.sh": 0o755,
        "station.conf": 0o644,
        "data.sh": 0o644,
        "version.txt": 0o644,
    }


def test_files_that_the_update_does_not_name_stay(box: Box) -> None:
    (box.home / "cups.uri").write_text("https://cups:443")
    assert box.run(image_of()).returncode == 0
    assert (box.home / "cups.uri").read_text() == "https://cups:443"
    assert (box.home / "station.conf").read_bytes() == OLD["station.conf"]


def test_the_kernel_runs_it_by_its_first_line_whatever_its_name(dash_box: Box) -> None:
    dash_box.update = dash_box.root / "any name; $(touch x) 'of' it"
    done = dash_box.run(image_of(), argv=[str(dash_box.update)], cwd=Path("/"))
    assert (done.returncode, done.stderr) == (0, "")
    assert not dash_box.update.exists()
    assert dash_box.content() == OLD | {"station": b"new", "version.txt": b"1.0.1\n"}


def test_without_station_home_it_installs_into_the_working_directory(box: Box) -> None:
    assert box.run(image_of(), env={"STATION_HOME": None}, cwd=box.home).returncode == 0
    assert box.content() == OLD | {"station": b"new", "version.txt": b"1.0.1\n"}


@pytest.mark.parametrize("name", ["-rf", "it's", 'a "b" $(touch c) `d`', "blank ", "Áß\U0001f600", "*"])
def test_without_station_home_it_installs_into_the_default_home_however_that_is_called(box: Box, name: str) -> None:
    home = box.home.rename(box.root / name)
    box.home = home
    data = image_of(default_home=f"{box.root}/{name}/.")
    assert box.run(data, env={"STATION_HOME": ""}).returncode == 0
    assert box.content() == OLD | {"station": b"new", "version.txt": b"1.0.1\n"}


def test_a_home_with_a_relative_name_that_looks_like_an_option_is_a_home(box: Box) -> None:
    box.home = box.home.rename(box.root / "-rf")
    assert box.run(image_of(), env={"STATION_HOME": "-rf"}).returncode == 0
    assert box.content() == OLD | {"station": b"new", "version.txt": b"1.0.1\n"}


def test_nothing_but_busybox_is_needed(tmp_path: Path) -> None:
    need("busybox")
    box = Box(tmp_path, ["/bin/false"])
    busybox = shutil.which("busybox")
    assert busybox
    tools = tmp_path / "bin"
    tools.mkdir()
    for applet in ("sh", "dd", "wc", "mv", "rm", "mkdir", "chmod", "sync"):
        (tools / applet).symlink_to(busybox)
    data = image_of(files={"station": RANDOM_3_MB}, restart='echo "$0" >ran')
    done = box.run(data, env={"PATH": str(tools)}, argv=[str(tools / "sh"), str(box.update)])
    assert (done.returncode, done.stderr) == (0, "")
    assert box.content()["station"] == RANDOM_3_MB
    assert (tmp_path / "ran").exists()


def test_a_gateway_without_sync_is_updated(box: Box) -> None:
    env = box.shim("sync", "exit 127")
    assert box.run(image_of(), env=env).returncode == 0


def test_shellcheck_finds_nothing_beyond_posix(tmp_path: Path) -> None:
    need("shellcheck")
    head = tmp_path / "head.sh"
    head.write_bytes(render(unpack_image(image_of(restart='it\'s "so" && exit 3')).describe()))
    done = subprocess.run(["shellcheck", "-s", "sh", str(head)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_three_megabytes_are_copied_in_large_blocks(dash_box: Box) -> None:
    env = dash_box.shim("dd", 'echo "$@" >>"$root/calls"; exec "$real" "$@"')
    assert dash_box.run(image_of(files={"station": RANDOM_3_MB}), env=env).returncode == 0
    calls = (dash_box.root / "calls").read_text().splitlines()
    assert calls == ["bs=4096 count=1", "bs=65536 count=45", "bs=50897 count=1", "bs=6 count=1"]


# --- restart --------------------------------------------------------------------------------------------------


def test_restart_runs_once_after_version_txt_and_with_the_update_gone(box: Box) -> None:
    restart = f'cat version.txt station >>"{box.root}/log"; ls -A >>"{box.root}/log"; ls "{box.update}" || :'
    data = image_of(files={"station": b"new\n"}, restart=f"cd {box.home} && {restart}")
    done = box.run(data)
    assert done.returncode == 0
    assert (box.root / "log").read_text() == "1.0.1\nnew\nstation\nstation.conf\nversion.txt\n"
    assert "No such file" in done.stderr


@pytest.mark.parametrize(
    "text", ["it's", 'a "b" c', "$HOME `id` $(id)", "back\\slash \\n", "two\nlines", "%s # ! *", "Á\u0085ß 😀"]
)
def test_restart_is_the_command_that_was_given_however_it_is_quoted(box: Box, text: str) -> None:
    quoted = "'" + text.replace("'", "'\\''") + "'"
    assert box.run(image_of(restart=f"printf %s {quoted} >out")).returncode == 0
    assert (box.root / "out").read_text() == text


def test_a_restart_that_fails_is_reported_and_the_files_stay(box: Box) -> None:
    done = box.run(image_of(restart="exit 7"))
    assert done.returncode == 1
    assert done.stderr == "fwstation 1.0.1: installed, but the restart command ended with status 7\n"
    assert box.content() == OLD | {"station": b"new", "version.txt": b"1.0.1\n"}
    assert not box.update.exists()


def test_a_restart_that_kills_the_update_itself_leaves_everything_installed(box: Box) -> None:
    done = box.run(image_of(restart="kill -9 $PPID"))
    assert done.returncode == -9
    assert box.content() == OLD | {"station": b"new", "version.txt": b"1.0.1\n"}
    assert not box.update.exists()


def test_restart_inherits_no_open_update_file_and_no_changed_mask(box: Box) -> None:
    data = image_of(restart="umask >mask; ls -l /proc/self/fd >fds")
    assert box.run(data, before=lambda: os.umask(0o027) and None).returncode == 0
    assert (box.root / "mask").read_text() == "0027\n"
    assert "update.bin" not in (box.root / "fds").read_text()


def test_no_restart_is_run_after_a_failure(box: Box) -> None:
    done = box.run(image_of(restart="touch ran"), env={"STATION_HOME": str(box.root / "nowhere")})
    assert done.returncode == 1
    assert not (box.root / "ran").exists()


# --- failure: what is left behind -----------------------------------------------------------------------------


def assert_untouched(box: Box, done: subprocess.CompletedProcess[str], message: str) -> None:
    assert done.returncode > 0
    assert message in done.stderr
    assert box.content() == OLD
    assert not box.update.exists()


def test_a_home_that_does_not_exist_is_named(box: Box) -> None:
    done = box.run(image_of(), env={"STATION_HOME": str(box.root / "nowhere")})
    assert_untouched(box, done, f"home folder {box.root / 'nowhere'} does not exist")


def test_a_full_disk_leaves_everything_old(box: Box) -> None:
    limit = 200 * 1024
    data = image_of(files={"a": b"fits", "station": RANDOM_3_MB, "z": b"fits"})
    done = box.run(data, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert_untouched(box, done, "cannot write station into")


def test_a_home_that_cannot_be_written_is_named(dash_box: Box) -> None:
    env = dash_box.shim("mkdir", 'echo "mkdir: Read-only file system" >&2; exit 1')
    done = dash_box.run(image_of(), env=env)
    assert_untouched(dash_box, done, f"cannot write into home folder {dash_box.home}")


@pytest.mark.parametrize("cut", [1, 6, 7, 100_000, 2_999_999, 3_000_016, 3_000_023])
def test_a_file_cut_short_leaves_everything_old(box: Box, cut: int) -> None:
    data = image_of(files={"station": RANDOM_3_MB, "station.conf": b"{"})
    assert_untouched(box, box.run(data[:-cut]), "the update file ends inside")


@pytest.mark.parametrize("name", ["station", "version.txt"])
def test_a_folder_where_a_file_should_go_leaves_everything_old(box: Box, name: str) -> None:
    (box.home / name).unlink()
    (box.home / name).mkdir()
    done = box.run(image_of(files={"a": b"a", "station": b"new"}))
    assert done.returncode == 1
    assert f"{box.home / name} is a folder" in done.stderr
    assert sorted(path.name for path in box.home.iterdir()) == sorted(OLD)
    assert list((box.home / name).iterdir()) == []
    assert not box.update.exists()


def test_a_file_that_cannot_remove_itself_installs_nothing(dash_box: Box) -> None:
    env = dash_box.shim("rm", 'case $3 in *update.bin) exit 1 ;; esac; exec "$real" "$@"')
    done = dash_box.run(image_of(restart="touch ran"), env=env)
    assert done.returncode == 1
    assert f"cannot remove {dash_box.update}" in done.stderr
    assert dash_box.content() == OLD
    assert not (dash_box.root / "ran").exists()


def test_it_does_not_remove_the_shell_that_it_is_piped_into(tmp_path: Path) -> None:
    need("dash")
    box = Box(tmp_path, [])
    shell = shutil.copy(shutil.which("dash") or "", tmp_path / "dash")
    done = subprocess.run(
        [shell], input=image_of(), env={"STATION_HOME": str(box.home)}, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"run it as a file; nothing has changed" in done.stderr
    assert (tmp_path / "dash").exists()
    assert box.content() == OLD


def test_a_station_that_is_gone_and_reads_no_more_does_not_stop_the_update(box: Box) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = box.run(image_of(restart="touch ran"), before=lambda: os.dup2(write_end, 1) and None)
    os.close(write_end)
    assert done.returncode == 0
    assert (box.root / "ran").exists()


@pytest.mark.parametrize(("signal", "status"), [("HUP", 129), ("INT", 130), ("TERM", 143)])
def test_a_signal_while_it_extracts_leaves_everything_old(dash_box: Box, signal: str, status: int) -> None:
    env = dash_box.shim("chmod", f'kill -{signal} $PPID; exec "$real" "$@"')
    done = dash_box.run(image_of(restart="touch ran"), env=env)
    assert done.returncode == status
    assert dash_box.content() == OLD
    assert not dash_box.update.exists()


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_rename_that_fails_leaves_the_old_version(dash_box: Box, fails_at: int) -> None:
    env = dash_box.shim("mv", f'echo >>"$root/n"; [ "$(wc -l <"$root/n")" -ne {fails_at} ] && exec "$real" "$@"')
    done = dash_box.run(image_of(files={"station": b"new", "station.conf": b"new conf"}), env=env)
    assert done.returncode == 1
    assert "version.txt is still the old one" in done.stderr
    assert dash_box.content()["version.txt"] == OLD["version.txt"]
    assert sorted(dash_box.content()) == sorted(OLD)
    assert not dash_box.update.exists()


@pytest.mark.parametrize("program", ["dd", "wc", "chmod", "sync", "mv"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("call", [1, 3, 5, *(pytest.param(call, marks=pytest.mark.slow) for call in (2, 4))])
def test_after_a_power_cut_each_file_is_old_or_new_and_the_version_is_new_only_with_all(
    dash_box: Box, program: str, moment: str, call: int
) -> None:
    work = {"before": "", "after": '"$real" "$@"'}[moment]
    env = dash_box.shim(
        program,
        f"""
        echo x >>"$root/calls"
        n=0
        while read -r _; do n=$((n + 1)); done <"$root/calls"
        [ $n -eq {call} ] || exec "$real" "$@"
        {work}
        kill -9 "$(cat "$root/pid")"
        """,
    )
    data = image_of(files={"station": b"new station", "station.conf": b"new conf"})
    starter = f'echo $$ >"{dash_box.root}/pid"; exec dash "{dash_box.update}"'
    done = dash_box.run(data, env=env, argv=["dash", "-c", starter])
    new = OLD | {"station": b"new station", "station.conf": b"new conf", "version.txt": b"1.0.1\n"}
    left = {path.name: path.read_bytes() for path in dash_box.home.iterdir() if path.is_file()}
    assert done.returncode in (0, -9)
    assert sorted(left) == sorted(OLD)
    assert all(content in (OLD[name], new[name]) for name, content in left.items())
    assert left["version.txt"] == OLD["version.txt"] or left == new
    assert not dash_box.update.exists()
    # And the next update is not disturbed by what was left, and clears it away.
    assert dash_box.run(image_of(package_version="1.0.2", files={})).returncode == 0
    assert sorted(path.name for path in dash_box.home.iterdir()) == sorted(OLD)


def test_runs_that_overlap_leave_one_whole_update(dash_box: Box) -> None:
    files = {"station": RANDOM_3_MB}
    runs = []
    for number in range(6):
        update = dash_box.root / f"update-{number}"
        update.write_bytes(build_image(package_version=f"2.{number}", files=files))
        env = {**os.environ, "STATION_HOME": str(dash_box.home)}
        runs.append(subprocess.Popen(["dash", str(update)], env=env, stdout=subprocess.DEVNULL))
    assert [run.wait(60) for run in runs] == [0] * 6
    left = dash_box.content()
    assert left["version.txt"] in [f"2.{number}\n".encode() for number in range(6)]
    assert left == OLD | files | {"version.txt": left["version.txt"]}


# --- building -------------------------------------------------------------------------------------------------


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"s")
    one = image_of(files={"station": b"s", "a": b"a"}, restart="true")
    two = image_of(files={"a": b"a", "station": tmp_path / "binary"}, restart="true")
    assert one == two


def test_the_format_is_this_one() -> None:
    """If this fails, the script or the manifest has changed: raise FORMAT, then write the new hash here."""
    data = image_of(files={"station": EVERY_BYTE}, restart="it's", default_home="/opt/station")
    assert data.startswith(b"#!/bin/sh\n# lorafw-fwstation 1 {")
    assert hashlib.sha256(data).hexdigest() == "7459c4fdd0bf3405591dcc147325f192704eea12b7b55a3bacbac0a0a4095eb4"


@pytest.mark.parametrize(
    "version", ["", " ", " 1.0", "1.0 ", "1.0\n", "a\nb", "a\tb", "\x00", "\x7f", "v" * 33, "\ud800"]
)
def test_a_version_that_a_station_would_present_otherwise_is_refused(version: str) -> None:
    with pytest.raises(FirmwareError, match=r"package_version .*: (give|take out)"):
        build_image(package_version=version)


@pytest.mark.parametrize("version", ["1", "v" * 32, "1.0.0 build 7", "é" * 32, "it's; $(rm)", '"quoted"', "-n", "%s"])
def test_every_other_version_is_written_as_it_is(version: str, box: Box) -> None:
    done = box.run(build_image(package_version=version))
    assert done.returncode == 0
    assert box.content()["version.txt"] == f"{version}\n".encode()


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/etc/passwd",
        "a\\b",
        "C:x",
        ".hidden",
        "-rf",
        " a",
        "a\n",
        "a\x00",
        "é",
        "n" * 101,
    ],
)
def test_a_name_that_is_not_plain_is_refused(name: str) -> None:
    with pytest.raises(FirmwareError, match=r"file name .*: give"):
        image_of(files={name: b"x"})


@pytest.mark.parametrize(
    "name",
    ["version.txt", "VERSION.TXT", "cups.uri", "cups-bak.trust", "tc.key", "tc-temp.uri", "sig-0.key", "sig-12.key"],
)
def test_a_name_that_belongs_to_cups_or_to_the_version_is_refused(name: str) -> None:
    with pytest.raises(FirmwareError, match=r"has no place in an update file .*leave it out"):
        image_of(files={name: b"x"})


@pytest.mark.parametrize("name", ["cups", "tcp.conf", "sig-0.keys", "version", "a b", "a..b", "x=1,y@z+"])
def test_a_name_that_only_resembles_a_refused_one_is_taken(name: str, box: Box) -> None:
    assert box.run(image_of(files={name: b"x"})).returncode == 0
    assert box.content()[name] == b"x"


@pytest.mark.parametrize("name", ["station", "station.conf"])
def test_a_station_or_its_configuration_may_not_be_empty(name: str) -> None:
    with pytest.raises(FirmwareError, match=f"file '{name}' is empty"):
        image_of(files={name: b""})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"restart": ""}, "restart '': give"),
        ({"restart": " \n"}, "restart .*: give"),
        ({"restart": "x" * (MAX_RESTART_CHARS + 1)}, "restart .*: give"),
        ({"restart": "a\0b"}, "restart .*: take out NUL"),
        ({"restart": "\udc80"}, "restart .*: take out NUL and surrogates"),
        ({"default_home": ""}, "default_home '' has 0 characters"),
        ({"default_home": "/a\nb"}, "default_home .*: take out"),
        ({"default_home": "/" * (MAX_HOME_CHARS + 1)}, "default_home .* has 1025 characters"),
        ({"executable": ["statoin"]}, "executable: .'statoin'. are not among the files"),
        ({"files": {"a": b"", "A": b""}}, "a name occurs twice"),
        ({"files": {f"f{n}": b"" for n in range(MAX_FILES + 1)}}, "65 are too many"),
        ({"files": {"station": Path("/nowhere/station")}}, "file 'station': cannot read /nowhere/station"),
        ({"files": {"station": Path("/")}}, "file 'station': cannot read /"),
        ({"files": {"station": Path("a\0b")}}, "file 'station': cannot read"),
    ],
)
def test_what_cannot_work_is_refused_by_name_with_a_remedy(change: dict[str, object], message: str) -> None:
    with pytest.raises(FirmwareError, match=message):
        image_of(**change)


def test_an_update_of_two_gigabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as huge:
        huge.truncate(2**31)
    with pytest.raises(FirmwareError, match="would have 2147483648 bytes, and a station takes 2147483647"):
        image_of(files={"station": tmp_path / "huge"})
    assert MAX_IMAGE_BYTES == 2**31 - 1


def test_the_limit_counts_the_whole_update_file() -> None:
    size = len(image_of())
    assert len(image_of(max_bytes=size)) == size
    with pytest.raises(FirmwareError, match=f"would have {size} bytes, and a station takes {size - 1}"):
        image_of(max_bytes=size - 1)


@pytest.mark.parametrize("character", ["'", "\U0001f600", "\\", "x"])
def test_the_longest_of_everything_still_has_a_head_that_is_read_and_run(character: str, box: Box) -> None:
    names = [f"{n:02}{'n ' * 49}" for n in range(MAX_FILES)]
    assert all(len(name) == MAX_NAME_CHARS for name in names)
    data = build_image(
        package_version=character * 32,
        files=dict.fromkeys(names, b"x"),
        executable=names,
        restart=f": {character * (MAX_RESTART_CHARS - 2)}"[: MAX_RESTART_CHARS - 1],
        default_home=character * MAX_HOME_CHARS,
    )
    image = unpack_image(data)
    assert len(data) - 64 - len(image.version_txt) <= MAX_HEAD_BLOCKS * BLOCK_BYTES
    assert [file.name for file in image.files] == names
    box.run(data)
    assert box.content()["version.txt"] == image.version_txt


# --- reading --------------------------------------------------------------------------------------------------


def test_unpacking_gives_back_what_was_built() -> None:
    files = {"station.conf": b"{}\n", "station": RANDOM_3_MB}
    image = unpack_image(image_of(files=files, restart="systemctl restart station", default_home="/opt/s"))
    assert image == FirmwareImage(
        "1.0.1",
        (FirmwareFile("station", RANDOM_3_MB, 0o755), FirmwareFile("station.conf", b"{}\n", 0o644)),
        "systemctl restart station",
        "/opt/s",
    )
    with pytest.raises(FrozenInstanceError):
        image.restart = None  # type: ignore[misc]


def test_the_summary_is_json_and_names_each_file_with_its_hash() -> None:
    image = unpack_image(image_of(files={"station": b"abc"}))
    assert json.loads(json.dumps(image.describe())) == {
        "package_version": "1.0.1",
        "files": [
            {
                "name": "station",
                "mode": "755",
                "size": 3,
                "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            }
        ],
        "restart": None,
        "default_home": ".",
    }
    assert "abc" not in repr(image)


def test_is_image_looks_at_the_first_line_only() -> None:
    assert looks_like_image(image_of())
    assert looks_like_image(MAGIC + b"99 what a later lorafw writes")
    assert not looks_like_image(b"")
    assert not looks_like_image(b"#!/bin/sh\nexit 0\n")
    assert not looks_like_image(b"\x7fELF" + image_of())


def with_manifest(data: bytes, **changes: object) -> bytes:
    """The same file with another manifest line, padded so that the payload stays where it is."""
    first, line, rest = data.split(b"\n", 2)
    prefix, number, text = line[:18], line[19:20], line[21:]
    changed = json.dumps(json.loads(text) | changes, sort_keys=True, separators=(",", ":")).encode()
    head = b"\n".join([first, prefix + b" " + number + b" " + changed, rest[: len(rest)]])
    surplus = len(head) - len(data)
    cut = head.rindex(b"\nexit 0\n") + 8
    return head[:cut] + (head[cut + surplus :] if surplus >= 0 else b"\n" * -surplus + head[cut:])


def entry(**changes: object) -> dict[str, object]:
    return {"name": "station", "mode": "755", "size": 3, "sha256": hashlib.sha256(b"new").hexdigest()} | changes


def test_a_manifest_that_is_written_anew_without_change_is_the_same_file() -> None:
    assert with_manifest(image_of()) == image_of()
    assert with_manifest(image_of(), files=[entry()]) == image_of()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"files": [entry(name="../../etc/passwd")]}, "file name '../../etc/passwd': give"),
        ({"files": [entry(name="/etc/passwd")]}, "file name '/etc/passwd': give"),
        ({"files": [entry(name="sig-0.key")]}, "has no place in an update file"),
        ({"files": [entry(name="\ud800")]}, "file name .*: give"),
        ({"files": [entry(size=-1)]}, "file 'station': -1 bytes from byte 4096 on are not there"),
        ({"files": [entry(size=2**70)]}, "bytes from byte 4096 on are not there"),
        ({"files": [entry(size=10)]}, "bytes from byte 4096 on are not there"),
        ({"files": [entry(size=2)]}, "do not have the SHA-256 of the manifest"),
        ({"files": [entry(size=3.0)]}, r"files\[0\]: size is 3.0, not int"),
        ({"files": [entry(size=True)]}, r"files\[0\]: size is True, not int"),
        ({"files": [entry(mode="4755")]}, "mode is '4755', not 644 or 755"),
        ({"files": [entry(mode=755)]}, "mode is 755, not str"),
        ({"files": [entry(mode="644")]}, "the script is not the one that belongs to the manifest"),
        ({"files": [entry(sha256="0" * 64)]}, "bytes 4096 to 4099 do not have the SHA-256"),
        ({"files": [entry(extra=1)]}, r"files\[0\] is .*, not an object with name, mode, size, sha256"),
        ({"files": ["station"]}, r"files\[0\] is 'station', not an object"),
        ({"files": []}, "the script is not the one|not version.txt"),
        ({"files": {}}, "files is {}, not list"),
        ({"files": [entry(), entry(size=0, sha256=hashlib.sha256().hexdigest())]}, "is empty|occurs twice"),
        ({"package_version": "1.0.2"}, "the script is not the one"),
        ({"package_version": "1.0.1 "}, "take out control characters"),
        ({"package_version": None}, "package_version is None, not str"),
        ({"restart": "reboot"}, "the script is not the one"),
        ({"restart": ""}, "restart '': give"),
        ({"restart": 1}, "restart is 1, not str"),
        ({"default_home": "/"}, "the script is not the one"),
        ({"header_blocks": 0}, "header_blocks is 0"),
        ({"header_blocks": -1}, "header_blocks is -1"),
        ({"header_blocks": 2}, "header_blocks is 2, and the file has 4105 bytes"),
        ({"header_blocks": 10**4000}, "header_blocks is 1000"),
        ({"header_blocks": False}, "header_blocks is False, not int"),
        ({"surplus": 1}, "not an object with package_version"),
    ],
)
def test_a_manifest_that_lies_is_found_out(changes: dict[str, object], message: str) -> None:
    with pytest.raises(FirmwareError, match=message):
        unpack_image(with_manifest(image_of(), **changes))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an update file of lorafw"),
        (b"#!/bin/sh\nexit 0\n", "not an update file of lorafw"),
        (MAGIC, "manifest does not end"),
        (MAGIC + b"1 " + b"{" * 200_000, "manifest does not end within 131072 bytes"),
        (MAGIC + b"1 " + b" " * 200_000 + b"\n", "manifest does not end within 131072 bytes"),
        (MAGIC + b"2 {}\n", "format b'2' is unknown: this version of lorafw reads format 1"),
        (MAGIC + b"\n", "format b'' is unknown"),
        (MAGIC + b"1\n", "not JSON"),
        (MAGIC + b"1 {\n", "not JSON"),
        (MAGIC + b'1 "\xff"\n', "not JSON"),
        (MAGIC + b"1 " + b"[" * 100_000 + b"\n", "not JSON"),
        (MAGIC + b"1 " + b'{"a":' * 20_000 + b"\n", "not JSON"),
        (MAGIC + b"1 " + b"9" * 100_000 + b"\n", "not JSON"),
        (MAGIC + b"1 []\n", "manifest is .., not an object"),
        (MAGIC + b"1 null\n", "manifest is None, not an object"),
        (MAGIC + b"1 NaN\n", "manifest is nan, not an object"),
    ],
)
def test_what_is_not_an_update_file_is_named_as_such(data: bytes, message: str) -> None:
    with pytest.raises(FirmwareError, match=message):
        unpack_image(data)


def test_a_changed_script_is_found_out_byte_by_byte() -> None:
    data = image_of()
    for at in range(len(data)):
        with pytest.raises(FirmwareError):
            unpack_image(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def test_every_beginning_and_every_prolongation_of_an_update_file_is_refused() -> None:
    data = image_of()
    for end in range(len(data)):
        with pytest.raises(FirmwareError):
            unpack_image(data[:end])
    for surplus in (b"\0", b"\n", b"1.0.1\n", data):
        with pytest.raises(FirmwareError, match=r"not version\.txt"):
            unpack_image(data + surplus)


@pytest.mark.parametrize("mode", [0, 0o777, 0o4755, -1])
def test_a_file_value_with_another_mode_does_not_exist(mode: int) -> None:
    with pytest.raises(FirmwareError, match="give 0o644 or 0o755"):
        FirmwareFile("a", b"", mode)


# --- installing without running -------------------------------------------------------------------------------


def test_installing_leaves_what_the_script_leaves(box: Box) -> None:
    files = {"station": EVERY_BYTE, "station.conf": b"{}\n", "init.sh": b"", "empty": b""}
    data = image_of(files=files, executable=["init.sh"], restart="touch ran")
    twin = box.root / "twin"
    shutil.copytree(box.home, twin)
    install_image(unpack_image(data), twin)
    assert not (box.root / "ran").exists()
    assert box.run(data).returncode == 0

    def disk(home: Path) -> dict[str, tuple[bytes, int]]:
        return {path.name: (path.read_bytes(), path.stat().st_mode) for path in home.iterdir()}

    assert disk(twin) == disk(box.home)


def test_installing_writes_version_txt_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, target: order.append(target.name) or replace(self, target))
    install_image(unpack_image(image_of(files={"zzz": b"", "station": b"s"})), tmp_path)
    assert order == ["station", "zzz", "version.txt"]


def test_installing_into_a_home_that_does_not_exist_names_it(tmp_path: Path) -> None:
    with pytest.raises(FirmwareError, match=r"cannot install '1.0.1' into .*nowhere"):
        install_image(unpack_image(image_of()), tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["station", "version.txt"])
def test_installing_over_a_folder_changes_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(FirmwareError, match=f"{name} is a folder; nothing has changed"):
        install_image(unpack_image(image_of(files={"a": b"a", "station": b"s"})), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_installing_that_fails_midway_keeps_the_old_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "version.txt").write_bytes(b"1.0.0\n")
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.name == "station":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(FirmwareError, match="No space left on device"):
        install_image(unpack_image(image_of()), tmp_path)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("version.txt", b"1.0.0\n")]


# --- anything at all ------------------------------------------------------------------------------------------

printable = st.characters(exclude_categories=["C", "Z"], include_characters=" ")
versions = st.text(printable, min_size=1, max_size=32).filter(lambda text: text == text.strip())
names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.+=@, -]{0,20}", fullmatch=True)
payloads = st.binary(max_size=9000) | st.sampled_from([*PAYLOADS.values(), image_of()])
commands = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)
image_arguments = st.fixed_dictionaries(
    {
        "package_version": versions,
        "files": st.dictionaries(names, payloads, max_size=4),
        "restart": st.none() | commands.filter(str.strip),
        "default_home": versions,
    }
)


def build_or_skip(arguments: dict[str, object]) -> bytes:
    try:
        return build_image(**arguments)  # type: ignore[arg-type]
    except FirmwareError:
        assume(False)
        raise


@given(image_arguments)
def test_whatever_is_built_is_unpacked_again(arguments: dict[str, object]) -> None:
    data = build_or_skip(arguments)
    image = unpack_image(data)
    assert {file.name: file.content for file in image.files} == arguments["files"]
    assert (image.package_version, image.restart, image.default_home) == (
        arguments["package_version"],
        arguments["restart"],
        arguments["default_home"],
    )


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(versions, st.dictionaries(names, payloads, max_size=3), commands)
def test_whatever_is_built_is_extracted_by_dash(version: str, files: dict[str, bytes], text: str) -> None:
    need("dash")
    quoted = "'" + text.replace("'", "'\\''") + "'"
    data = build_or_skip({"package_version": version, "files": files, "restart": f"printf %s {quoted} >said"})
    with tempfile.TemporaryDirectory() as root:
        box = Box(Path(root), SHELLS["dash"])
        done = box.run(data)
        assert (done.returncode, done.stderr) == (0, "")
        assert box.content() == OLD | files | {"version.txt": f"{version}\n".encode()}
        assert (box.root / "said").read_bytes() == text.encode()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.binary())
def test_any_bytes_give_an_image_or_a_firmware_error(data: bytes) -> None:
    for start in (b"", MAGIC, MAGIC + b"1 "):
        with pytest.raises(FirmwareError):
            unpack_image(start + data)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "package_version": json_values,
            "files": json_values
            | st.lists(
                st.fixed_dictionaries(
                    {},
                    optional={"name": json_values, "mode": json_values, "size": json_values, "sha256": json_values},
                )
                | st.builds(
                    entry, name=st.text(), size=st.integers(), mode=st.sampled_from(["644", "755", "", "1" * 99])
                )
            ),
            "restart": json_values,
            "default_home": json_values,
            "header_blocks": st.integers() | json_values,
        },
    )
)
@example({"files": [entry(size=10**4000)]})
def test_any_manifest_gives_an_image_or_a_firmware_error(changes: dict[str, object]) -> None:
    data = with_manifest(image_of(), **changes)
    try:
        image = unpack_image(data)
    except FirmwareError:
        pass
    else:
        assert image == unpack_image(image_of())
