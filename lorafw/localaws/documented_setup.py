"""Set up the example of AWS's documentation: its bucket, role and gateways, and one gateway that polls CUPS.

The polling gateway has two signature keys, so that every documented command works unchanged:

* The first key is calculated from the documented signature and the file in the bucket. This is possible for any file
  (see ``firmware.recovery``), so it does not show who signed the file.
* The second key is a new key of the lab. The user can sign updates with it.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorafw import example
from lorafw.errors import LorafwError
from lorafw.firmware.recovery import recover_public_keys
from lorafw.firmware.signing import KeyPair, PublicKey
from lorafw.gateway.home import Home
from lorafw.gateway.provisioning import write_home
from lorafw.gateway.transport import HttpTransport
from lorafw.gateway.virtual import VirtualGateway
from lorafw.localaws.cloud import Cloud
from lorafw.localaws.provisioning import create_bucket_and_role, upload_update
from lorafw.tasks.model import AccountRegion
from lorafw.tasks.service import UpdateService

OWNER = AccountRegion(example.ACCOUNT, example.REGION)

_CHECK_INTERVAL_S = 0.1
"""Time between two looks for a new task definition."""
_GATEWAYS = {example.GATEWAY_ID: example.GATEWAY_EUI, example.SECOND_GATEWAY_ID: example.SECOND_GATEWAY_EUI}
"""The EUI of each gateway of the example, by its id."""


@dataclass(frozen=True, slots=True)
class ExampleFiles:
    """The files of the documented example."""

    home: Home
    """The polling gateway's home folder."""
    second_home: Home
    """The home folder of the other gateway."""
    private_key: Path
    """The lab's private key. Its public key is the gateways' ``sig-1.key``."""


@contextlib.contextmanager
def documented_setup(cloud: Cloud, log: Callable[[str], None]) -> Iterator[ExampleFiles]:
    """Create the documented example, and let one gateway poll until the block ends.

    The resources in the local AWS stay after the block.

    Args:
        cloud: The local AWS in which the example is created.
        log: Called with each log line of the polling gateway, from another thread as well.

    Yields:
        The files of the example. They are deleted when the block ends.
    """
    with tempfile.TemporaryDirectory(prefix="lorafw-world-") as folder:
        _ensure_resources(cloud)
        files = create_files(Path(folder), cloud.cups.uri)
        gateway = _poll_once(files, log)
        with PollingThread(gateway, cloud.service, log):
            yield files


def create_files(folder: Path, cups_uri: str) -> ExampleFiles:
    """Write the home folders of both gateways and a new private key of the lab.

    Args:
        folder: Where to write them.
        cups_uri: The address of the CUPS server, for the gateways.

    Returns:
        The files.
    """
    lab_key = KeyPair.generate()
    private_key = folder / "private.pem"
    lab_key.save(private_key)
    sig_keys = [_documented_key(), lab_key.public_key]
    return ExampleFiles(
        home=_create_home(folder / "gateway", example.GATEWAY_ID, cups_uri, sig_keys),
        second_home=_create_home(folder / "gateway-2", example.SECOND_GATEWAY_ID, cups_uri, sig_keys),
        private_key=private_key,
    )


def _poll_once(files: ExampleFiles, log: Callable[[str], None]) -> VirtualGateway:
    """Let each of the two gateways poll once, so that AWS knows its version.

    Args:
        files: The home folders of the gateways.
        log: Called with each log line of the first gateway.

    Returns:
        The first gateway, which is the one that goes on polling.
    """
    VirtualGateway(files.second_home, HttpTransport()).poll()
    gateway = VirtualGateway(files.home, HttpTransport(), log=log)
    gateway.poll()
    return gateway


def _ensure_resources(cloud: Cloud) -> None:
    """Create the bucket with the update, the role and the gateways, unless a kept state has them already."""
    if cloud.service.find_gateway(example.GATEWAY_EUI) is not None:
        return
    create_bucket_and_role(cloud.client)
    upload_update(cloud.client, example.update_file())
    for gateway_id, eui in _GATEWAYS.items():
        cloud.service.create_gateway(
            OWNER,
            eui,
            gateway_id=gateway_id,
            name=example.GATEWAY_NAME,
            description=example.GATEWAY_NAME,
            lorawan={"RfRegion": example.RF_REGION},
        )


def _documented_key() -> PublicKey:
    """Return a key that verifies the documented signature of the update file in the bucket."""
    first_key, *_ = recover_public_keys(example.update_file(), example.SIGNATURE)
    return first_key


def _create_home(path: Path, gateway_id: str, cups_uri: str, sig_keys: Sequence[PublicKey]) -> Home:
    """Write the home folder of a gateway of the example."""
    return write_home(
        path,
        eui=_GATEWAYS[gateway_id],
        cups_uri=cups_uri,
        package=example.CURRENT_VERSION.package,
        sig_keys=sig_keys,
        interval_s=example.POLL_INTERVAL_S,
    )


class PollingThread:
    """A context manager that lets a gateway poll in a thread until the block ends.

    The gateway polls when its interval has passed, and at once if the user has created a task definition. A real
    gateway would wait for its interval. The user of the example should not have to.

    Args:
        gateway: The gateway.
        service: Has the task definitions of the user.
        log: Called with the reason if a poll fails.
    """

    def __init__(self, gateway: VirtualGateway, service: UpdateService, log: Callable[[str], None]) -> None:
        self._gateway = gateway
        self._service = service
        self._log = log
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll_until_stopped, name="lorafw-world", daemon=True)

    def __enter__(self) -> PollingThread:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the thread, after a poll that is under way."""
        self._stop.set()
        self._thread.join()

    def _poll_until_stopped(self) -> None:
        """Poll, in the thread, until ``__exit__`` asks the thread to stop."""
        newest_seen = 0
        next_poll_s = time.monotonic() + example.POLL_INTERVAL_S
        while not self._stop.wait(_CHECK_INTERVAL_S):
            newest = _newest_definition_number(self._service)
            has_new_definition = newest > newest_seen
            newest_seen = max(newest_seen, newest)
            is_poll_due = time.monotonic() >= next_poll_s
            if has_new_definition or is_poll_due:
                wait_s = self._poll()
                next_poll_s = time.monotonic() + wait_s

    def _poll(self) -> float:
        """Let the gateway poll once, and log an error. Return the seconds until its next poll."""
        try:
            return self._gateway.poll().wait_s
        except LorafwError as error:
            self._log(f"the gateway cannot poll: {error}")
        except Exception as error:  # otherwise the thread would end unnoticed while ``serve`` goes on
            self._log(f"the gateway failed to poll: {type(error).__name__}: {error}")
        return example.POLL_INTERVAL_S


def _newest_definition_number(service: UpdateService) -> int:
    """Return the sequence number of the user's newest task definition. 0 if there is none."""
    return max((definition.sequence for definition in service.definitions(OWNER)), default=0)
