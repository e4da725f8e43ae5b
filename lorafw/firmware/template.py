"""The head of an update file: the manifest, which lorafw reads, and the script, which a gateway runs.

The station runs /tmp/update.bin detached, never looks at its exit status and never removes it. One that is
still there is run again at every start, without a look at the signature. Hence the order (source: Basics
Station 2.0.6, sys_linux.c):

1. Make sure that ``$0`` is this file, open it, remove it; the rest is read through the open descriptor. So no
   outcome leaves the file, not even a power cut. If it cannot be removed nothing is installed: it would be
   installed at every start, and with a restart command that never ends.
2. Stage every file, version.txt too, in a folder of its own inside the home folder, and check each size. A
   full disk, or an update file cut short, ends here with the home folder as it was.
3. Rename each file into place, version.txt last, with the disk flushed before and between. After a power cut
   each file is the old one or the new one, and a new version.txt means that all are new.
4. Run the restart command, if there is one. The script belongs to the station's process group (and systemd
   unit), so a command that kills these kills the script: by then nothing is left to do.

The head is text, padded with line ends to whole blocks. The payload follows, one file behind the other.
Nothing is searched for, only sizes count, so a payload may hold anything. The script uses what POSIX has, and
sync.

The words of the script are part of the format, because a head counts only if it is the one that its manifest
renders to. Whoever changes a word raises FORMAT.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from reprlib import repr as brief
from shlex import quote
from types import NoneType
from typing import Final, TypedDict, cast

from lorafw.errors import FirmwareError

FORMAT: Final = 1
MAGIC: Final = b"#!/bin/sh\n# lorafw-fwstation "
BLOCK: Final = 4096
MAX_HEAD_BLOCKS: Final = 32
"""Holds the longest head that image.py allows, every character escaped."""


class Entry(TypedDict):
    name: str
    mode: str
    size: int
    sha256: str


class Manifest(TypedDict):
    package_version: str
    files: list[Entry]
    restart: str | None
    default_home: str


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
    """The content of version.txt. A station trims the line end."""
    return package_version.encode() + b"\n"


def render(manifest: Manifest) -> bytes:
    """The head that belongs to a manifest, padded to whole blocks."""
    settings = "\n".join(_read_settings(manifest))
    blocks = 1
    while True:
        line = json.dumps({**manifest, "header_blocks": blocks}, sort_keys=True, separators=(",", ":"))
        text = f"{MAGIC.decode()}{FORMAT} {line}\nheader_blocks={blocks}\n{settings}{_SCRIPT}".encode()
        if len(text) <= blocks * BLOCK:
            return text.ljust(blocks * BLOCK, b"\n")
        blocks = -(-len(text) // BLOCK)


def _read_settings(manifest: Manifest) -> list[str]:
    """What the script has to know, as assignments, and as a function that calls another one for each file."""
    files = [f'    "$1" {quote(file["name"])} {file["mode"]} {file["size"]}' for file in manifest["files"]]
    return [
        "# An update file for a LoRa Basics Station: this script, the files named above, version.txt.",
        f"package={quote(manifest['package_version'])}",
        f"default_home={quote(manifest['default_home'])}",
        f"restart={quote(manifest['restart'] or '')}",
        f"version_size={len(version_txt(manifest['package_version']))}",
        "each_file() {",
        *(files or ["    :"]),
        "}",
    ]


def read_manifest(data: bytes) -> tuple[Manifest, int]:
    """The manifest, of the right types but not yet of sensible values, and the size of the head."""
    if not data.startswith(MAGIC):
        raise FirmwareError(f"bytes 0 to {len(MAGIC)}: not an update file of lorafw")
    end = data.find(b"\n", len(MAGIC), MAX_HEAD_BLOCKS * BLOCK)
    if end < 0:
        raise FirmwareError(f"the manifest does not end within {MAX_HEAD_BLOCKS * BLOCK} bytes")
    number, _, text = data[len(MAGIC) : end].partition(b" ")
    if number != str(FORMAT).encode():
        raise FirmwareError(f"format {brief(number)} is unknown: this version of lorafw reads format {FORMAT}")
    try:
        found = json.loads(text.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise FirmwareError(f"manifest: not JSON: {error}") from error
    _check_shape("manifest", found, _MANIFEST)
    for index, entry in enumerate(found["files"]):
        _check_shape(f"manifest: files[{index}]", entry, _ENTRY)
    blocks = found.pop("header_blocks")
    if not 1 <= blocks <= MAX_HEAD_BLOCKS or blocks * BLOCK > len(data):
        raise FirmwareError(f"manifest: header_blocks is {brief(blocks)}, and the file has {len(data)} bytes")
    return cast("Manifest", found), blocks * BLOCK


def _check_shape(where: str, value: object, shape: Mapping[str, tuple[type, ...]]) -> None:
    if not isinstance(value, dict) or value.keys() != shape.keys():
        raise FirmwareError(f"{where} is {brief(value)}, not an object with {', '.join(shape)}")
    for key, kinds in shape.items():
        # Not isinstance: True is an int there.
        if type(value[key]) not in kinds:
            raise FirmwareError(f"{where}: {key} is {brief(value[key])}, not {kinds[0].__name__}")
