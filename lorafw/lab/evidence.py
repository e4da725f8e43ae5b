"""The sources of what the lessons call *documented* or *observed*: page or program, section, and date.

A lesson links each of these tags to one of the sources here. While a notebook is written, the link is
``[*documented*](source:KEY)``. ``notebooks/execute.py`` replaces ``source:KEY`` by the address of the source and by a
title that names page, section and date, so that the title can be read without a network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from lorafw.errors import LabError

_GUIDE: Final = "https://docs.aws.amazon.com/iot-wireless/latest/developerguide/"
_API: Final = "https://docs.aws.amazon.com/iot-wireless/2020-11-22/apireference/"
_STATION: Final = "https://github.com/lorabasics/basicstation/blob/v2.0.6/"
_SCHEDULE: Final = f"{_GUIDE}lorawan-schedule-firmware-update.html"
_SCHEDULE_PAGE: Final = "AWS IoT Wireless guide, Schedule and run the firmware update by using a task definition"
_GUIDE_DATE: Final = "edition of October 2021, read again in November 2026"
_API_VERSION: Final = "API version 2020-11-22, as in botocore 1.44.8"
_READ: Final = "read in November 2026"
_RUN: Final = "run and recorded in November 2026"


@dataclass(frozen=True, slots=True)
class Source:
    """A place where a statement can be checked."""

    page: str
    section: str
    url: str
    date: str
    """When the page was published or read, or when the program was run."""

    @property
    def title(self) -> str:
        """Page, section and date in one line, without quotation marks."""
        return f"{self.page}, section {self.section}; {self.date}"


def _schedule(section: str, anchor: str) -> Source:
    """Return a section of the page that the lessons follow."""
    return Source(_SCHEDULE_PAGE, section, f"{_SCHEDULE}#{anchor}", _GUIDE_DATE)


def _operation(name: str, section: str) -> Source:
    """Return a section of the page of an operation in the API reference."""
    return Source(f"AWS IoT Wireless API Reference, {name}", section, f"{_API}API_{name}.html", _API_VERSION)


def _program(path: str, section: str) -> Source:
    """Return a file of Basics Station 2.0.6, the program whose behaviour was recorded."""
    return Source(f"LoRa Basics Station 2.0.6, {path}", section, f"{_STATION}{path}", _RUN)


SOURCES: Final[Mapping[str, Source]] = MappingProxyType(
    {
        "schedule": Source(_SCHEDULE_PAGE, "introduction", _SCHEDULE, _GUIDE_DATE),
        "schedule-version": _schedule(
            "Get the current version running on your gateway", "lorawan-gateway-current-version"
        ),
        "schedule-definition": _schedule("Create a wireless gateway task definition", "lorawan-create-task-definition"),
        "schedule-run": _schedule("Run the firmware update task and track progress", "lorawan-run-fwupdate-task"),
        "signing": Source(
            "AWS IoT Wireless guide, Generate the firmware update file and signature",
            "Generate the firmware update file; Generate signature for the firmware update",
            f"{_GUIDE}lorawan-script-fwupdate-sigkey.html",
            _GUIDE_DATE,
        ),
        "upload": Source(
            "AWS IoT Wireless guide, Upload the firmware file to an S3 bucket and add an IAM role",
            "Create an Amazon S3 bucket and upload the update file; "
            "Create an IAM role with permissions to read the S3 bucket",
            f"{_GUIDE}lorawan-upload-firmware-s3bucket.html",
            _GUIDE_DATE,
        ),
        "add-gateway": Source(
            "AWS IoT Core guide, Add a gateway to AWS IoT Core for LoRaWAN",
            "Add a gateway by using the API",
            "https://docs.aws.amazon.com/iot/latest/developerguide/connect-iot-lorawan-onboard-gateway-add.html",
            _GUIDE_DATE,
        ),
        "create-bucket": Source(
            "AWS CLI Command Reference, s3api create-bucket",
            "Description",
            "https://docs.aws.amazon.com/cli/latest/reference/s3api/create-bucket.html",
            _READ,
        ),
        "s3-encryption": Source(
            "Amazon S3 User Guide, Using server-side encryption with Amazon S3 managed keys (SSE-S3)",
            "Important (at the top)",
            "https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingServerSideEncryption.html",
            _READ,
        ),
        "iam-deny": Source(
            "AWS IAM User Guide, The difference between explicit and implicit denies",
            "introduction",
            "https://docs.aws.amazon.com/IAM/latest/UserGuide/"
            "reference_policies_evaluation-logic_AccessPolicyLanguage_Interplay.html",
            _READ,
        ),
        "iam-actions": Source(
            "AWS Service Authorization Reference, Actions, resources, and condition keys for AWS IoT Core for LoRaWAN",
            "Actions defined by AWS IoT Core for LoRaWAN",
            "https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsiotcoreforlorawan.html",
            _READ,
        ),
        "api": Source(
            "AWS IoT Wireless API Reference",
            "Actions",
            f"{_API}API_Operations.html",
            _API_VERSION,
        ),
        "api-task": _operation("GetWirelessGatewayTask", "Response Elements, Errors"),
        "api-delete-definition": _operation("DeleteWirelessGatewayTaskDefinition", "introduction"),
        "api-version": _operation("LoRaWANGatewayVersion", "Contents"),
        "api-create-definition": _operation("CreateWirelessGatewayTaskDefinition", "Request Body, AutoCreateTasks"),
        "api-list": _operation("ListWirelessGateways", "Response Elements"),
        "api-endpoint": _operation("GetServiceEndpoint", "Response Elements"),
        "api-log-level": _operation("PutResourceLogLevel", "Request Body"),
        "quotas": Source(
            "AWS General Reference, AWS IoT Wireless endpoints and quotas",
            "Service quotas",
            "https://docs.aws.amazon.com/general/latest/gr/iot-lorawan.html",
            _READ,
        ),
        "jobs-abort": Source(
            "AWS IoT API Reference, AbortCriteria",
            "Contents",
            "https://docs.aws.amazon.com/iot/latest/apireference/API_AbortCriteria.html",
            _READ,
        ),
        "caller-identity": Source(
            "AWS CLI Command Reference, sts get-caller-identity",
            "Description",
            "https://docs.aws.amazon.com/cli/latest/reference/sts/get-caller-identity.html",
            _READ,
        ),
        "clients": Source(
            "botocore",
            "ParamValidator: it checks required members, types and minimums",
            "https://github.com/boto/botocore/blob/develop/botocore/validate.py",
            "botocore 1.44.8, run in November 2026",
        ),
        "base64": Source(
            "AWS IoT Wireless API Reference, LoRaWANUpdateGatewayTaskCreate",
            "UpdateSignature, with the base64 of GNU coreutils, which wraps lines",
            f"{_API}API_LoRaWANUpdateGatewayTaskCreate.html",
            "run in November 2026",
        ),
        "station-cups": _program("src/cups.c", "the exchange with the CUPS server"),
        "station-sys": _program("src-linux/sys_linux.c", "start, options, and /tmp/update.bin"),
        "station-files": _program("src/sys.c", "version.txt, sig-0.key and the credentials"),
        "station-intervals": _program("src/s2conf.h", "CUPS_OKSYNC_INTV and CUPS_RESYNC_INTV"),
        "station-recordings": _program("src/cups.h", "the parts of a response, in order; 80 responses were recorded"),
    }
)

TAG: Final = re.compile(r"\[\*(documented|observed)\*\]\((\S+?)(?: \"([^\"]*)\")?\)")
"""A tag with its link: the tag, the address or ``source:KEY``, and the title."""
UNLINKED_TAG: Final = re.compile(r"(?<![\[*])\*(?:documented|observed)\*(?!\*)")


def link_sources(markdown: str) -> str:
    """Return a text in which each tag is linked to the address of its source, with page, section and date.

    Raises:
        LabError: A tag names a source that is not in ``SOURCES``.
    """
    return TAG.sub(_full_link, markdown)


def _full_link(tag: re.Match[str]) -> str:
    """Return a tag with the whole link of its source."""
    word, target, _ = tag.groups()
    source = source_of(target)
    return f'[*{word}*]({source.url} "{source.title}")'


def source_of(target: str) -> Source:
    """Return the source that a link names.

    Args:
        target: The address of a source, or ``source:`` and its key.

    Raises:
        LabError: No source has this key or address.
    """
    source = SOURCES.get(target.removeprefix("source:"))
    if source is not None:
        return source
    for candidate in SOURCES.values():
        if candidate.url == target:
            return candidate
    raise LabError(f"{target!r} is no source: add it to lorafw.lab.evidence.SOURCES, with page, section and date")
