"""Faults by name, each a small object on the path that it disturbs.

A gateway's path has four places: its home folder, the transport to the CUPS server, the disk that takes the update,
and the runner that installs it. A fault takes what is there and gives back what is there instead; all else stays
as it is, so that the server sees what it would see of a real gateway in this trouble. Time is not spent: a link that is
too slow is cut at once, where a station would have given up.

===================  ==========  =================================================================================
name                 place       what the service sees
===================  ==========  =================================================================================
storage-error        server      it cannot read the update: nothing is sent, no attempt is used up
server-error         transport   no request
offline              transport   no request
connection-refused   transport   no request
slow-link            transport   a reply that was not wholly taken: no attempt is used up, offered again
link-drop            transport   a reply that was not wholly taken: no attempt is used up, offered again
truncated-body       transport   a whole send; then, soon, the old version: an attempt is used up
wrong-key            home        ``keys`` without the update's key; a whole send; then the old version
no-key               home        no ``keys``; a whole send; then the old version
unsigned-with-key    transport   a whole send; then the old version
tmp-full             disk        a whole send; then the old version
script-fails         runner      a whole send; then the old version
update-stays         runner      the new version; at a later start the same update once more
power-cut            runner      a whole send; then, after the restart, the old version
version-mismatch     runner      a whole send; then a version that is neither the old nor the new one
===================  ==========  =================================================================================
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, ClassVar, Final, NoReturn

from lorafw.cups.client import (
    BUFFER,
    CLOSED,
    TIMED_OUT,
    HttpReply,
    Transport,
    TransportError,
    no_such_host,
    not_connected,
)
from lorafw.cups.codec import decode_response, encode_response
from lorafw.cups.credentials import Credentials
from lorafw.errors import FaultError, Unavailable
from lorafw.fault import Fault
from lorafw.firmware.signing import KeyPair
from lorafw.gateway.home import Home
from lorafw.gateway.runner import UPDATE_BIN, launch_lines, next_pid, said
from lorafw.gateway.storage import Disk, Run, Runner
from lorafw.tasks.ports import UpdateImage
from lorafw.tasks.service import UpdateService

NOTHING_BYTES: Final = 14
"""A reply with nothing to do: no fault of the link is worth telling there."""


class Injection:
    """One fault. Each method takes what is at a place of the path and gives back what is there instead."""

    fault: ClassVar[Fault]

    def home(self, inner: Home) -> Home:
        return inner

    def transport(self, inner: Transport) -> Transport:
        return inner

    def disk(self, inner: Disk) -> Disk:
        return inner

    def runner(self, inner: Runner) -> Runner:
        return inner


@dataclass(frozen=True, slots=True)
class _NoExchange:
    """A transport over which nothing goes."""

    error: Callable[[str], TransportError]

    def post(self, uri: str, body: bytes, timeout_s: float, credentials: Credentials) -> NoReturn:
        raise self.error(uri)


@dataclass(frozen=True, slots=True)
class _Changed:
    """A transport whose replies are changed on their way, those that hold more than nothing."""

    inner: Transport
    change: Callable[[HttpReply, float], HttpReply]

    @contextmanager
    def post(self, uri: str, body: bytes, timeout_s: float, credentials: Credentials) -> Iterator[HttpReply]:
        with self.inner.post(uri, body, timeout_s, credentials) as reply:
            is_full = reply.status == 200 and reply.content_length > NOTHING_BYTES
            yield self.change(reply, timeout_s) if is_full else reply


@dataclass(frozen=True, slots=True)
class StorageError(Injection):
    """Object storage does not give the update out. Needs the service that reads it."""

    fault = Fault.STORAGE_ERROR
    service: UpdateService

    def transport(self, inner: Transport) -> Transport:
        return _WithoutStorage(inner, self.service)


@dataclass(frozen=True, slots=True)
class _WithoutStorage:
    inner: Transport
    service: UpdateService

    @contextmanager
    def post(self, uri: str, body: bytes, timeout_s: float, credentials: Credentials) -> Iterator[HttpReply]:
        source, self.service.source = self.service.source, _DeadSource()
        try:
            with self.inner.post(uri, body, timeout_s, credentials) as reply:
                yield reply
        finally:
            self.service.source = source


class _DeadSource:
    def open(self, data_source: str, role: str | None, *, account: str, region: str) -> UpdateImage:
        raise Unavailable(f"{data_source}: 503 Slow Down (the fault storage-error of this gateway)")


@dataclass(frozen=True, slots=True)
class ServerError(Injection):
    """What answers is an error page: 500, or another status that is not 200."""

    fault = Fault.SERVER_ERROR
    status: int = 500
    reason: str = "Internal Server Error"

    def transport(self, inner: Transport) -> Transport:
        return _ErrorPage(HttpReply(self.status, self.reason, 0, iter(())))


@dataclass(frozen=True, slots=True)
class _ErrorPage:
    reply: HttpReply

    @contextmanager
    def post(self, uri: str, body: bytes, timeout_s: float, credentials: Credentials) -> Iterator[HttpReply]:
        yield self.reply


class Offline(Injection):
    """No network at the time of the poll: not even the name of the server is found."""

    fault = Fault.OFFLINE

    def transport(self, inner: Transport) -> Transport:
        return _NoExchange(no_such_host)


class ConnectionRefused(Injection):
    """Nobody listens where cups.uri points."""

    fault = Fault.CONNECTION_REFUSED

    def transport(self, inner: Transport) -> Transport:
        return _NoExchange(not_connected)


@dataclass(frozen=True, slots=True)
class SlowLink(Injection):
    """A buffer of 8 KB, or what is left of the reply, takes longer than CUPS_CONN_TIMEOUT."""

    fault = Fault.SLOW_LINK
    bytes_per_s: float = 20.0

    def transport(self, inner: Transport) -> Transport:
        return _Changed(inner, self._slow)

    def _slow(self, reply: HttpReply, timeout_s: float) -> HttpReply:
        if min(BUFFER, reply.content_length) / self.bytes_per_s <= timeout_s:
            return reply
        return replace(reply, body=_broken_off(reply.body, TransportError(TIMED_OUT)))


class LinkDrop(Injection):
    """The connection breaks behind the first bytes of the update."""

    fault = Fault.LINK_DROP

    def transport(self, inner: Transport) -> Transport:
        return _Changed(inner, self._drop)

    def _drop(self, reply: HttpReply, timeout_s: float) -> HttpReply:
        return replace(reply, body=_broken_off(reply.body, TransportError(*CLOSED)))


def _broken_off(body: Iterator[bytes], error: TransportError) -> Iterator[bytes]:
    """The first piece of a body, and no more."""
    yield next(body)
    raise error


class TruncatedBody(Injection):
    """The server has sent all of it; something in between closes after half."""

    fault = Fault.TRUNCATED_BODY

    def transport(self, inner: Transport) -> Transport:
        return _Changed(inner, self._cut)

    def _cut(self, reply: HttpReply, timeout_s: float) -> HttpReply:
        return replace(reply, body=_half(reply.body))


def _half(body: Iterator[bytes]) -> Iterator[bytes]:
    data = b"".join(body)
    yield data[: len(data) // 2]
    raise TransportError(*CLOSED)


class _HomeWithKeys(Home):
    """A home folder in which other keys lie than its files say."""

    def __init__(self, path: Path, keys: tuple[bytes, ...]) -> None:
        super().__init__(path)
        self._keys = keys

    def sig_keys(self) -> list[bytes]:
        return list(self._keys)


@dataclass(frozen=True, slots=True)
class WrongKey(Injection):
    """sig-0.key is a key, and not the one that the update is signed for."""

    fault = Fault.WRONG_KEY
    sig_key: bytes = field(default_factory=lambda: KeyPair.from_secret(0xBAD).public_key.sig_key)

    def home(self, inner: Home) -> Home:
        return _HomeWithKeys(inner.path, (self.sig_key,))


class NoKey(Injection):
    """There is no sig-0.key."""

    fault = Fault.NO_KEY

    def home(self, inner: Home) -> Home:
        return _HomeWithKeys(inner.path, ())


class UnsignedWithKey(Injection):
    """The reply comes without its signature."""

    fault = Fault.UNSIGNED_WITH_KEY

    def transport(self, inner: Transport) -> Transport:
        return _Changed(inner, self._strip)

    def _strip(self, reply: HttpReply, timeout_s: float) -> HttpReply:
        response = decode_response(b"".join(reply.body))
        body = encode_response(replace(response, signature=b"", key_crc=0))
        return replace(reply, content_length=len(body), body=iter((body,)))


class TmpFull(Injection):
    """A full /tmp: it takes the name of the file, and not one byte of it."""

    fault = Fault.TMP_FULL

    def disk(self, inner: Disk) -> Disk:
        def open_full(path: Path) -> BinaryIO:
            inner(path).close()
            return _NoRoom()

        return open_full


class _NoRoom(io.BytesIO):
    def write(self, data: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class ScriptFails(Injection):
    """The script does all but write version.txt, as the published one does with its slip ``prepare_versionp``."""

    fault = Fault.SCRIPT_FAILS

    def runner(self, inner: Runner) -> Runner:
        def run(home: Home, update_bin: Path) -> Run:
            before = _version_txt(home)
            done = inner(home, update_bin)
            _put_back(home, before)
            return Run((*done.lines, said(f"{UPDATE_BIN}: prepare_versionp: command not found")), done.restarts)

        return run


class UpdateStays(Injection):
    """The script does its work and does not remove /tmp/update.bin."""

    fault = Fault.UPDATE_STAYS

    def runner(self, inner: Runner) -> Runner:
        def run(home: Home, update_bin: Path) -> Run:
            content, mode = update_bin.read_bytes(), update_bin.stat().st_mode & 0o777
            done = inner(home, update_bin)
            update_bin.write_bytes(content)
            update_bin.chmod(mode)
            return done

        return run


class PowerCut(Injection):
    """The power goes before anything is in its place; /tmp is in memory, so update.bin is gone with it."""

    fault = Fault.POWER_CUT

    def runner(self, inner: Runner) -> Runner:
        def run(home: Home, update_bin: Path) -> Run:
            update_bin.unlink(missing_ok=True)
            return Run(launch_lines(next_pid()), restarts=True)

        return run


class VersionMismatch(Injection):
    """The script writes a blank in front of the version: a station cuts blanks off behind it, not before it."""

    fault = Fault.VERSION_MISMATCH

    def runner(self, inner: Runner) -> Runner:
        def run(home: Home, update_bin: Path) -> Run:
            before = _version_txt(home)
            done = inner(home, update_bin)
            after = _version_txt(home)
            if after is not None and after != before:
                home.write("version.txt", b" " + after)
            return done

        return run


def _version_txt(home: Home) -> bytes | None:
    path = home.path / "version.txt"
    return path.read_bytes() if path.exists() else None


def _put_back(home: Home, version_txt: bytes | None) -> None:
    if version_txt is None:
        (home.path / "version.txt").unlink(missing_ok=True)
    else:
        home.write("version.txt", version_txt)


_AT_THE_GATEWAY: Final[Mapping[Fault, Callable[[], Injection]]] = {
    made.fault: made
    for made in (
        ServerError,
        Offline,
        ConnectionRefused,
        SlowLink,
        LinkDrop,
        TruncatedBody,
        WrongKey,
        NoKey,
        UnsignedWithKey,
        TmpFull,
        ScriptFails,
        UpdateStays,
        PowerCut,
        VersionMismatch,
    )
}


def injection(fault: Fault | str, service: UpdateService | None = None) -> Injection:
    """The fault of this name, with its defaults. Raises FaultError.

    ``service`` is the one that answers the gateway: storage-error happens there, and nowhere else.
    """
    name = fault.value if isinstance(fault, Fault) else fault
    if name == Fault.STORAGE_ERROR.value:
        if service is None:
            raise FaultError(
                name,
                "storage-error happens at the server, not at a gateway: take the object away there ('aws s3 rm'), "
                "or inject it on a Testbed",
            )
        return StorageError(service)
    for known, make in _AT_THE_GATEWAY.items():
        if known.value == name:
            return make()
    names = ", ".join(known.value for known in Fault if known is not Fault.NONE)
    raise FaultError(name, f"there is no fault {name!r}; the faults are {names}")
