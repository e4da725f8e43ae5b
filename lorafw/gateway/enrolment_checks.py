"""What must hold before ``gateway init`` begins: the new home folder is free, and all boto3 clients ask one server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from lorafw.errors import HomeError
from lorafw.gateway.enrolment_journal import COMMIT_FILENAME, Target

_AWS_DOMAINS: Final = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn")


def find_target(make_client: Callable[[str], Any]) -> Target:
    """Return the account, Region and endpoint that the clients use. Asks STS for the account.

    Raises:
        HomeError: Some clients use AWS and others another server, so that the run would be split between the two.
    """
    wireless = make_client("iotwireless")
    sts = make_client("sts")
    endpoint = wireless.meta.endpoint_url
    for client in (make_client("iot"), sts):
        other_endpoint = client.meta.endpoint_url
        if not _is_same_server(endpoint, other_endpoint):
            service = client.meta.service_model.service_name
            raise HomeError(
                f"boto3 finds iotwireless at {endpoint}, but {service} at {other_endpoint}: set AWS_ENDPOINT_URL for "
                "all services, and none for a single one"
            )
    return Target(sts.get_caller_identity()["Account"], wireless.meta.region_name, endpoint)


def _is_same_server(url: str, other_url: str) -> bool:
    """Return True if two addresses are both of AWS, or have the same host and port."""
    parts, other_parts = urlsplit(url), urlsplit(other_url)
    if _is_aws(parts.hostname) or _is_aws(other_parts.hostname):
        return _is_aws(parts.hostname) and _is_aws(other_parts.hostname)
    return (parts.hostname, parts.port) == (other_parts.hostname, other_parts.port)


def _is_aws(host: str | None) -> bool:
    """Return True if a host belongs to AWS."""
    return host is not None and host.endswith(_AWS_DOMAINS)


def check_new_home(folder: Path) -> None:
    """Raise HomeError if the folder is a station's home, or contains files that a station would read."""
    if (folder / COMMIT_FILENAME).exists():
        raise HomeError(f"{folder} is the home of a gateway already; choose another folder, or remove it")
    if not folder.is_dir():
        return
    found = sorted(path.name for path in folder.iterdir() if _is_read_by_station(path.name))
    if (folder / "tmp" / "update.bin").exists():
        found.append("tmp/update.bin")
    if found:
        raise HomeError(
            f"{folder} holds files that the new gateway would read and trust: {', '.join(found)}; "
            "remove them, or choose another folder"
        )


def _is_read_by_station(name: str) -> bool:
    """Return True if a station reads a file with this name in its home folder."""
    if name in {COMMIT_FILENAME, "version.txt"}:
        return True
    if name.startswith("sig-"):
        return name.endswith(".key")
    prefix, _, suffix = name.partition(".")
    category = prefix.partition("-")[0]
    return category in {"cups", "tc"} and suffix in {"uri", "trust", "crt", "key", "done"}
