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
from collections.abc import Callable
from pathlib import Path

from lorafw import example
from lorafw.errors import LorafwError
from lorafw.firmware.recovery import recover_public_keys
from lorafw.firmware.signing import KeyPair
from lorafw.gateway.home import Home
from lorafw.gateway.provisioning import write_home
from lorafw.gateway.transport import HttpTransport
from lorafw.gateway.virtual import VirtualGateway
from lorafw.localaws.cloud import Cloud
from lorafw.localaws.provisioning import create_bucket_and_role, upload_update
from lorafw.tasks.model import AccountRegion

OWNER = AccountRegion(example.ACCOUNT, example.REGION)

_CHECK_INTERVAL_S = 0.1
"""Time between two looks for a new task definition."""
_GATEWAYS = {example.GATEWAY_ID: example.GATEWAY_EUI, example.SECOND_GATEWAY_ID: example.SECOND_GATEWAY_EUI}


class DocumentedSetup:
    """A context manager that creates the documented example and lets one gateway poll until the block ends.

    Args:
        cloud: The local AWS in which the example is created.
        log: Called with each log line of the polling gateway, from another thread as well.
    """

    def __init__(self, cloud: Cloud, log: Callable[[str], None]) -> None:
        self._cloud = cloud
        self._log = log
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll_until_stopped, name="lorafw-world", daemon=True)
        self._exit_stack = contextlib.ExitStack()

    home: Home
    """The polling gateway's home folder."""
    private_key: Path
    """The lab's private key. Its public key is the gateway's ``sig-1.key``."""

    def __enter__(self) -> DocumentedSetup:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lorafw-world-")))
            if self._cloud.service.find_gateway(example.GATEWAY_EUI) is None:
                self._create_resources()
            self._create_keys(folder)
            self.home = self._create_home(folder / "gateway", example.GATEWAY_ID)
            second_home = self._create_home(folder / "gateway-2", example.SECOND_GATEWAY_ID)
            VirtualGateway(second_home, HttpTransport()).poll()
            self._gateway = VirtualGateway(self.home, HttpTransport(), log=self._log)
            self._gateway.poll()
            self._thread.start()
            self._exit_stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._exit_stack.close()

    def _create_resources(self) -> None:
        """Create the bucket with the update, the role and the gateways. A kept state has them already."""
        create_bucket_and_role(self._cloud.client)
        upload_update(self._cloud.client, example.update_file())
        for gateway_id, eui in _GATEWAYS.items():
            self._cloud.service.create_gateway(
                OWNER,
                eui,
                gateway_id=gateway_id,
                name=example.GATEWAY_NAME,
                description=example.GATEWAY_NAME,
                lorawan={"RfRegion": example.RF_REGION},
            )

    def _create_keys(self, folder: Path) -> None:
        """Create the lab's key pair, write its private key to the folder, and calculate the key of the example."""
        key_pair = KeyPair.generate()
        self.private_key = folder / "private.pem"
        key_pair.save(self.private_key)
        example_key, *_ = recover_public_keys(example.update_file(), example.SIGNATURE)
        self._sig_keys = (example_key, key_pair.public_key)

    def _create_home(self, path: Path, gateway_id: str) -> Home:
        """Write the home folder of a gateway of the example."""
        return write_home(
            path,
            eui=_GATEWAYS[gateway_id],
            cups_uri=self._cloud.cups.uri,
            package=example.CURRENT_VERSION.package,
            sig_keys=self._sig_keys,
            interval_s=example.POLL_INTERVAL_S,
        )

    def _poll_until_stopped(self) -> None:
        """Let the gateway poll when its interval has passed, and at once if the user has created a task definition.

        A real gateway would wait for its interval. The user of the example should not have to.
        """
        newest_seen = 0
        next_poll_s = time.monotonic() + example.POLL_INTERVAL_S
        while not self._stop.wait(_CHECK_INTERVAL_S):
            newest = self._newest_definition_number()
            has_new_definition = newest > newest_seen
            newest_seen = max(newest_seen, newest)
            is_poll_due = time.monotonic() >= next_poll_s
            if has_new_definition or is_poll_due:
                wait_s = self._poll_and_log_errors()
                next_poll_s = time.monotonic() + wait_s

    def _newest_definition_number(self) -> int:
        """Return the sequence number of the newest task definition. 0 if there is none."""
        definitions = self._cloud.service.definitions(OWNER)
        return max((definition.sequence for definition in definitions), default=0)

    def _poll_and_log_errors(self) -> float:
        """Let the gateway poll once. Returns the seconds that it waits until its next poll."""
        try:
            return self._gateway.poll().wait_s
        except LorafwError as error:
            self._log(f"the gateway cannot poll: {error}")
        except Exception as error:  # otherwise the thread would end unnoticed while ``serve`` goes on
            self._log(f"the gateway failed to poll: {type(error).__name__}: {error}")
        return example.POLL_INTERVAL_S
