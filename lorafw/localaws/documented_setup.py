"""The example of AWS's documentation: its bucket, role and gateways, and one gateway that polls CUPS.

So that every documented command runs as printed, the gateway holds two keys: the first is one that was calculated from
the documented signature for the file in the bucket (``firmware.recovery``: a signature alone proves nothing); the
second is a key of the lab, for signatures of one's own.
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
_GATEWAYS = {example.GATEWAY_ID: example.GATEWAY_EUI, example.SECOND_GATEWAY_ID: example.SECOND_GATEWAY_EUI}


class DocumentedSetup:
    """Context manager that creates the documented example and polls with one gateway.

    ``log`` is called with each log line of the polling gateway.
    """

    def __init__(self, cloud: Cloud, log: Callable[[str], None]) -> None:
        self._cloud = cloud
        self._log = log
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lorafw-world", daemon=True)
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
            self._make_keys(folder)
            self.home = self._make_home(folder / "gateway", example.GATEWAY_ID)
            second = self._make_home(folder / "gateway-2", example.SECOND_GATEWAY_ID)
            VirtualGateway(second, HttpTransport()).poll()
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

    def _make_keys(self, folder: Path) -> None:
        pair = KeyPair.generate()
        self.private_key = folder / "private.pem"
        pair.save(self.private_key)
        documented, *_ = recover_public_keys(example.update_file(), example.SIGNATURE)
        self._sig_keys = (documented, pair.public_key)

    def _make_home(self, path: Path, gateway_id: str) -> Home:
        return write_home(
            path,
            eui=_GATEWAYS[gateway_id],
            cups_uri=self._cloud.cups.uri,
            package=example.CURRENT_VERSION.package,
            sig_keys=self._sig_keys,
            interval_s=example.POLL_INTERVAL_S,
        )

    def _run(self) -> None:
        """Poll every ten seconds until stopped. Poll at once if there is a new definition, as after a power-on."""
        known, due = 0, time.monotonic() + example.POLL_INTERVAL_S
        while not self._stop.wait(_CHECK_INTERVAL_S):
            newest = max((d.sequence for d in self._cloud.service.definitions(OWNER)), default=0)
            if newest <= known and time.monotonic() < due:
                continue
            known = max(known, newest)
            try:
                wait_s = self._gateway.poll().wait_s
            except LorafwError as error:
                self._log(f"the gateway cannot poll: {error}")
                wait_s = example.POLL_INTERVAL_S
            except Exception as error:  # a thread that ended here would end in silence, and serve would stay
                self._log(f"the gateway failed to poll: {type(error).__name__}: {error}")
                wait_s = example.POLL_INTERVAL_S
            due = time.monotonic() + wait_s
