"""Render and read the head of an update file. It has a manifest for lorafw and a shell script for the gateway.

The station runs /tmp/update.bin in the background. It ignores the exit status and never removes the file. If the
file still exists when the station starts, the station runs it again without checking the signature (source: Basics
Station 2.0.6, sys_linux.c). This is why the script does its work in this order:

1. Check that ``$0`` is this file, open it and remove it. The script reads the rest through the open descriptor. The
   file is removed first, so that even after a power cut the station does not run it again. If the file cannot be
   removed, the script installs nothing, because the station would install the update again at every start. With a
   restart command, the station would restart without end.
2. Write every file, version.txt included, to a staging folder inside the home folder, and check each size. If the
   disk is full or the update file is cut short, the script ends here and the home folder has not changed.
3. Move each file into place, version.txt last, and flush the disk before and after. After a power cut each file is
   either the old or the new one, and a new version.txt means that all files are new.
4. Run the restart command, if there is one. The script belongs to the process group and the systemd unit of the
   station, so a command that stops these also stops the script. By then all other work is done.

The head is text, padded with newlines to whole blocks. The contents of the files follow without separators. Their
sizes are in the manifest, so they may contain any bytes. The script needs a POSIX shell and ``sync``.

``unpack_image`` accepts a head only if rendering its manifest gives the same bytes. Therefore every change to the
script, even to a comment in it, needs a new FORMAT.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from reprlib import repr as brief
from shlex import quote
from types import NoneType
from typing import Final, TypedDict, cast

from lorafw.errors import FirmwareError

FORMAT: Final = 1
MAGIC: Final = b"#!/bin/sh\n# lorafw-fwstation "
BLOCK_BYTES: Final = 4096
MAX_HEAD_BLOCKS: Final = 32
"""The maximum size of a head. It is enough for the longest manifest of image.py, with every character escaped."""


class Entry(TypedDict):
    """One file in the manifest."""

    name: str
    mode: str
    """Permissions in octal, ``644`` or ``755``."""
    size: int
    """Number of bytes."""
    sha256: str
    """SHA-256 of the content in hexadecimal."""


class Manifest(TypedDict):
    """The description of an update file at its start."""

    package_version: str
    files: list[Entry]
    """The files, in the order of their contents in the update file."""
    restart: str | None
    """The shell command that runs after the installation, or None."""
    default_home: str
    """The home folder of the station if STATION_HOME is not set."""


_ENTRY: Final = {"name": (str,), "mode": (str,), "size": (int,), "sha256": (str,)}
_MANIFEST: Final = {
    "package_version": (str,),
    "files": (list,),
    "restart": (str, NoneType),
    "default_home": (str,),
    "header_blocks": (int,),
}

_SCRIPT: Final = r"""
set -u

# In a subshell: the station reads what is printed, and if it is gone, a broken pipe must not stop the update.
say() { (printf 'fwstation %s: %s\n' "$package" "$1"); }

fail() {
    say "$1" >&2
    exit 1
}

# $0 is removed below. A shell that is fed this text through a pipe has its own name there.
second=
{ IFS= read -r second && IFS= read -r second; } <"$0"
case $second in
"# lorafw-fwstation "*) ;;
*) fail "$0 is not the update file: run it as a file; nothing has changed" ;;
esac

exec 3<"$0" || exit 1
rm -f -- "$0" || fail "cannot remove $0, which the station would run at every start; nothing is installed"
dd bs=4096 count="$header_blocks" <&3 >/dev/null 2>&1 || fail "cannot read the update file"

home=${STATION_HOME:-}
[ -n "$home" ] || home=$default_home
case $home in
/*) ;;
*) home=./$home ;;
esac
[ -d "$home" ] || fail "home folder $home does not exist"

# What a power cut left of an earlier run would fill the flash for ever.
for old in "$home"/.fwstation-*; do
    kill -0 "${old##*-}" 2>/dev/null || rm -rf "$old"
done
stage=$home/.fwstation-$$
rm -rf "$stage"
mkdir -m 700 "$stage" || fail "cannot write into home folder $home"
trap 'rm -rf "$stage"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# take NAME MODE SIZE: the next SIZE bytes of the payload become NAME in the staging folder.
take() {
    [ ! -d "$home/$1" ] || fail "$home/$1 is a folder; nothing has changed"
    whole=$(($3 / 65536))
    rest=$(($3 % 65536))
    report=$({
        { [ "$whole" -eq 0 ] || dd bs=65536 count="$whole"; } &&
            { [ "$rest" -eq 0 ] || dd bs="$rest" count=1; }
    } 2>&1 <&3 >"$stage/$1") || fail "cannot write $1 into $stage; nothing has changed: $report"
    [ "$(wc -c <"$stage/$1")" -eq "$3" ] || fail "the update file ends inside $1; nothing has changed"
    chmod "$2" "$stage/$1" || fail "cannot set the mode of $1; nothing has changed"
}

put() { mv -f "$stage/$1" "$home/$1" || fail "cannot replace $home/$1; version.txt is still the old one"; }

# sync is everywhere, but POSIX has it only since 2024.
flush() { sync 2>/dev/null || :; }

each_file take
take version.txt 644 "$version_size"
flush
each_file put
flush
put version.txt
flush
rm -rf "$stage"
exec 3<&-
say "installed in $home"
[ -n "$restart" ] || exit 0
sh -c "$restart" || fail "installed, but the restart command ended with status $?"
exit 0
"""


def version_txt(package_version: str) -> bytes:
    """Return the content of version.txt. A station removes the newline at its end."""
    return package_version.encode() + b"\n"


def render(manifest: Manifest) -> bytes:
    """Return the head for a manifest, padded with newlines to whole blocks."""
    # The head contains its own number of blocks, and more digits may need one more block.
    block_count = 1
    while True:
        head = _render_unpadded(manifest, block_count)
        if len(head) <= block_count * BLOCK_BYTES:
            return head.ljust(block_count * BLOCK_BYTES, b"\n")
        block_count = math.ceil(len(head) / BLOCK_BYTES)


def _render_unpadded(manifest: Manifest, block_count: int) -> bytes:
    """Return the head for a manifest without padding. ``block_count`` is the number that the head states."""
    members = {**manifest, "header_blocks": block_count}
    manifest_line = json.dumps(members, sort_keys=True, separators=(",", ":"))
    first_lines = f"{MAGIC.decode()}{FORMAT} {manifest_line}\nheader_blocks={block_count}\n"
    assignments = "\n".join(_shell_assignments(manifest))
    return f"{first_lines}{assignments}{_SCRIPT}".encode()


def _shell_assignments(manifest: Manifest) -> list[str]:
    """Return the shell lines that assign the values of a manifest to variables of the script.

    They also define ``each_file``, which calls a given shell function once for each file.
    """
    calls = [f'    "$1" {quote(file["name"])} {file["mode"]} {file["size"]}' for file in manifest["files"]]
    if not calls:
        calls = ["    :"]  # a shell function must hold at least one command
    return [
        "# An update file for a LoRa Basics Station: this script, the files named above, version.txt.",
        f"package={quote(manifest['package_version'])}",
        f"default_home={quote(manifest['default_home'])}",
        f"restart={quote(manifest['restart'] or '')}",
        f"version_size={len(version_txt(manifest['package_version']))}",
        "each_file() {",
        *calls,
        "}",
    ]


def read_manifest(data: bytes) -> tuple[Manifest, int]:
    """Return the manifest of an update file and the size of its head in bytes.

    Checks the types of the manifest's members, but not their values.

    Args:
        data: The content of the update file.

    Raises:
        FirmwareError: The file was not built by lorafw, has another format, or its manifest is damaged.
    """
    text = _manifest_text(data)
    try:
        manifest = json.loads(text.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise FirmwareError(f"manifest: not JSON: {error}") from error
    _check_members("manifest", manifest, _MANIFEST)
    for index, entry in enumerate(manifest["files"]):
        _check_members(f"manifest: files[{index}]", entry, _ENTRY)
    block_count = manifest.pop("header_blocks")
    if not 1 <= block_count <= MAX_HEAD_BLOCKS or block_count * BLOCK_BYTES > len(data):
        raise FirmwareError(f"manifest: header_blocks is {brief(block_count)}, and the file has {len(data)} bytes")
    return cast("Manifest", manifest), block_count * BLOCK_BYTES


def _manifest_text(data: bytes) -> bytes:
    """Return the JSON text of the manifest. Raises FirmwareError if the first lines are not those of this format."""
    if not data.startswith(MAGIC):
        raise FirmwareError(f"bytes 0 to {len(MAGIC)}: not an update file of lorafw")
    end = data.find(b"\n", len(MAGIC), MAX_HEAD_BLOCKS * BLOCK_BYTES)
    if end < 0:
        raise FirmwareError(f"the manifest does not end within {MAX_HEAD_BLOCKS * BLOCK_BYTES} bytes")
    file_format, _, text = data[len(MAGIC) : end].partition(b" ")
    if file_format != str(FORMAT).encode():
        raise FirmwareError(f"format {brief(file_format)} is unknown: this version of lorafw reads format {FORMAT}")
    return text


def _check_members(location: str, value: object, types_by_name: Mapping[str, tuple[type, ...]]) -> None:
    """Raise FirmwareError unless a JSON value is an object with exactly these members and types.

    ``location`` names the value in the error message.
    """
    if not isinstance(value, dict) or value.keys() != types_by_name.keys():
        raise FirmwareError(f"{location} is {brief(value)}, not an object with {', '.join(types_by_name)}")
    for name, types in types_by_name.items():
        # isinstance would accept True as an int.
        if type(value[name]) not in types:
            raise FirmwareError(f"{location}: {name} is {brief(value[name])}, not {types[0].__name__}")
