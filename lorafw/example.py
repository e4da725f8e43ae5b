"""The values of AWS's documented example: gateways, bucket, role, versions and signature.

Source: AWS IoT Wireless developer guide, "Schedule and run the firmware update by using a task definition"
(October 2021). It names two gateway ids and two accounts for what is meant to be one; here both gateways exist, and
everything lives in one account.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from lorafw.eui import GatewayEui
from lorafw.firmware.image import build_image
from lorafw.version import GatewayVersion

REGION: Final = "us-east-1"
ACCOUNT: Final = "123456789012"
"""moto's account, and that of the documented role."""

GATEWAY_ID: Final = "1352172b-0602-4b40-896f-54da9ed16b57"
GATEWAY_EUI: Final = GatewayEui.parse("5a11b0a85a11b0a8")
GATEWAY_NAME: Final = "Raspberry pi"
RF_REGION: Final = "US915"

SECOND_GATEWAY_ID: Final = "3039b406-5cc9-4307-925b-9948c63da25b"
"""The id that the documentation passes to get-wireless-gateway-firmware-information."""
SECOND_GATEWAY_EUI: Final = GatewayEui.parse("5a11b0a85a11b0a9")
"""Not documented: the documentation gives this gateway no EUI."""

CURRENT_VERSION: Final = GatewayVersion(station="2.0.5(rpi/std) 2021-03-09 03:45:09", package="1.0.0", model="rpi")
NEXT_PACKAGE: Final = "1.0.1"
POLL_INTERVAL_S: Final = 10.0
"""The documented log ends with "next regular check in 10s"."""

DEFINITION_NAME: Final = "FirmwareUpdate"
BUCKET: Final = "iotwirelessfwupdate"
KEY: Final = "fwstation"
DATA_SOURCE: Final = f"s3://{BUCKET}/{KEY}"
ROLE_NAME: Final = "IoTWirelessFwUpdateRole"
ROLE_ARN: Final = f"arn:aws:iam::{ACCOUNT}:role/{ROLE_NAME}"
POLICY_NAME: Final = "ReadFwUpdate"
"""Not documented: the documentation gives the policy of the role no name."""

SIG_KEY_CRC: Final = 3434210794
SIGNATURE: Final = base64.b64decode(
    "MEQCIDPY/p2ssgXIPNCOgZr+NzeTLpX+WfBo5tYWbh5pQWN3AiBROen+XlIdMScvAsfVfU/ZScJCalkVNZh4esyS8mNIgA=="
)

TRUST_POLICY: Final = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "iotwireless.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)
"""The documented trust policy: AWS IoT Wireless may assume the update role."""


def role_arn(account: str) -> str:
    """Return the ARN that the documented role has in an account."""
    return f"arn:aws:iam::{account}:role/{ROLE_NAME}"


def permission_policy(bucket: str = BUCKET, key: str = KEY) -> str:
    """Return the documented policy of the update role as JSON: it may read one object and list its bucket."""
    statement = {
        "Effect": "Allow",
        "Action": ["s3:ListBucketVersions", "s3:ListBucket", "s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{bucket}/{key}", f"arn:aws:s3:::{bucket}"],
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def input_json(
    *,
    signature: bytes = SIGNATURE,
    sig_key_crc: int = SIG_KEY_CRC,
    current_version: GatewayVersion = CURRENT_VERSION,
    update_version: GatewayVersion | None = None,
    data_source: str = DATA_SOURCE,
    role: str = ROLE_ARN,
    name: str = DEFINITION_NAME,
    auto_create_tasks: bool = True,
) -> dict[str, Any]:
    """Return the documented input.json: the arguments of CreateWirelessGatewayTaskDefinition.

    Args:
        signature: UpdateSignature, in DER. If it is empty, the result has neither UpdateSignature nor SigKeyCrc.
        sig_key_crc: SigKeyCrc, the CRC of the signing key.
        current_version: CurrentVersion, which a gateway must have to be updated.
        update_version: UpdateVersion, or None to leave it out, as the documented example does.
        data_source: UpdateDataSource, the URL of the update file.
        role: UpdateDataRole, the ARN of the role that reads the update file.
        name: Name of the task definition.
        auto_create_tasks: Whether the definition creates tasks for all gateways that match it.
    """
    lorawan: dict[str, Any] = {}
    if signature:
        lorawan["SigKeyCrc"] = sig_key_crc
        lorawan["UpdateSignature"] = base64.b64encode(signature).decode()
    lorawan["CurrentVersion"] = current_version.to_aws()
    if update_version is not None:
        lorawan["UpdateVersion"] = update_version.to_aws()
    return {
        "AutoCreateTasks": auto_create_tasks,
        "Name": name,
        "Update": {
            "UpdateDataSource": data_source,
            "UpdateDataRole": role,
            "LoRaWAN": lorawan,
        },
    }


def update_file(package: str = NEXT_PACKAGE) -> bytes:
    """Return a small update file. Equal package versions give equal bytes."""
    station = f"#!/bin/sh\n# stands for the Basics Station of package {package}\n".encode()
    return build_image(package_version=package, files={"station": station})
