"""An enrolment under way, written down step by step, so that one that is interrupted can be taken back.

Before anything is made at AWS, a file in the new home folder says what is going to be: a process that was killed leaves
it, and the next attempt at the same folder takes back what it names. An error takes it back at once; where that is not
possible either (no network), the file stays for the next attempt.

What cannot be taken back: a certificate that AWS made and whose answer never arrived. Nobody knows its id, it is bound
to no gateway, and its key is nowhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from lorafw.errors import HomeError
from lorafw.gateway.home import Home

JOURNAL: Final = "init.json"


@dataclass(frozen=True, slots=True)
class Record:
    """What an attempt makes. ``is_new``: the gateway was not registered before it.

    ``before`` is the certificate that the gateway had before, if it was.
    """

    eui: str
    is_new: bool
    before: str | None = None
    certificate_id: str | None = None


class Attempt:
    """One enrolment, with its record."""

    def __init__(self, home: Home, record: Record) -> None:
        self._home = home
        self.record = record

    def begin(self) -> None:
        """From here on something may be there."""
        self._write()

    def made(self, certificate_id: str) -> None:
        """There is a certificate now."""
        self.record = replace(self.record, certificate_id=certificate_id)
        self._write()

    def _write(self) -> None:
        self._home.write(JOURNAL, json.dumps(asdict(self.record)) + "\n", mode=0o600)


@contextmanager
def attempt(path: Path, clients: Callable[[str], Any], eui: str) -> Iterator[Attempt]:
    """All of what is made inside, or nothing. An attempt at this folder that was interrupted is taken back first."""
    take_back(path, clients)
    wireless = clients("iotwireless")
    is_new, before = _known(wireless, eui)
    folder_is_new = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    there = {file.name for file in path.iterdir()}
    under_way = Attempt(Home(path), Record(eui, is_new, before))
    try:
        under_way.begin()
        yield under_way
    except BaseException:
        _clear(path, there)
        _take_back(under_way.record, wireless, clients("iot"))
        (path / JOURNAL).unlink(missing_ok=True)
        if folder_is_new:
            path.rmdir()
        raise
    (path / JOURNAL).unlink()


def take_back(path: Path, clients: Callable[[str], Any]) -> None:
    """Take back what an interrupted attempt at this folder has made, as its record says."""
    file = path / JOURNAL
    if not file.exists():
        return
    try:
        record = Record(**json.loads(file.read_text()))
    except (ValueError, TypeError) as error:
        raise HomeError(f"{file} is not the record of an attempt: {error}; remove it") from error
    _take_back(record, clients("iotwireless"), clients("iot"))
    file.unlink()


def _known(wireless: Any, eui: str) -> tuple[bool, str | None]:
    """Is the gateway new to this account, and which certificate does it have?"""
    try:
        gateway = wireless.get_wireless_gateway(Identifier=eui, IdentifierType="GatewayEui")
    except wireless.exceptions.ResourceNotFoundException:
        return True, None
    return False, _certificate_of(wireless, gateway["Id"])


def _certificate_of(wireless: Any, gateway_id: str) -> str | None:
    try:
        found = wireless.get_wireless_gateway_certificate(Id=gateway_id)
    except wireless.exceptions.ResourceNotFoundException:
        return None
    certificate_id: str | None = found.get("IotCertificateId")
    return certificate_id


def _take_back(record: Record, wireless: Any, iot: Any) -> None:
    try:
        gateway_id = wireless.get_wireless_gateway(Identifier=record.eui, IdentifierType="GatewayEui")["Id"]
    except wireless.exceptions.ResourceNotFoundException:
        gateway_id = None
    if gateway_id is not None and record.certificate_id is not None:
        _unbind(record, wireless, gateway_id)
    if record.certificate_id is not None:
        _delete_certificate(iot, record.certificate_id)
    if gateway_id is not None and record.is_new:
        wireless.delete_wireless_gateway(Id=gateway_id)


def _unbind(record: Record, wireless: Any, gateway_id: str) -> None:
    if _certificate_of(wireless, gateway_id) != record.certificate_id:
        return
    if record.before is None:
        wireless.disassociate_wireless_gateway_from_certificate(Id=gateway_id)
    else:
        wireless.associate_wireless_gateway_with_certificate(Id=gateway_id, IotCertificateId=record.before)


def _delete_certificate(iot: Any, certificate_id: str) -> None:
    try:
        iot.update_certificate(certificateId=certificate_id, newStatus="INACTIVE")
        iot.delete_certificate(certificateId=certificate_id)
    except iot.exceptions.ResourceNotFoundException:
        return


def _clear(path: Path, there: set[str]) -> None:
    """Remove the files that the attempt wrote, its record apart."""
    for file in path.iterdir():
        if file.name not in there and file.name != JOURNAL:
            file.unlink()
