"""Put the user's AWS settings aside while a testbed is open: variables, files, profiles and moto's switches.

Programs that a test starts see the changed variables too. They find no AWS with them, unless they are given the ones of
``Testbed.api_over_http``: AWS_ENDPOINT_URL is an address of this machine at which nobody answers.
"""

from __future__ import annotations

import contextlib
import math
import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from lorafw.errors import LabError
from lorafw.isolation.environment import NOWHERE, aws_variables, changed
from lorafw.isolation.sessions import KEY_ID, SECRET

ENDPOINT: Final = "AWS_ENDPOINT_URL"
CREDENTIAL_VARIABLES: Final = (
    "AWS_ACCOUNT_ID",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_CREDENTIAL_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "BOTO_CONFIG",
)
"""Variables that botocore's credential providers read and that are not in its table of settings."""

MOTO_ACCOUNT: Final = "MOTO_ACCOUNT_ID"


def endpoint_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the addresses that variables name for AWS."""
    return [value for name, value in environ.items() if value and (name == ENDPOINT or name.startswith(f"{ENDPOINT}_"))]


def endpoints_in_files() -> list[str]:
    """Return the addresses that the user's configuration file names, in all profiles. A broken file names none."""
    return list(_endpoints_in(_configuration()))


@contextlib.contextmanager
def put_aside(region: str) -> Iterator[None]:
    """Connect clients and sessions that are made without arguments to the testbed, until the end of the block.

    The user's profiles keep their names, and nothing else, so that a script that names a profile still works. Changes
    the environment variables of this process.

    Args:
        region: The Region of clients that are made without one.
    """
    profiles = _configuration().get("profiles", {})
    with tempfile.TemporaryDirectory(prefix="lorafw-aws-") as folder:
        config = Path(folder) / "config"
        config.write_text(_neutral_config(profiles), encoding="utf-8")
        # 1. Unset the variables of the user that botocore reads.
        changes: dict[str, str | None] = dict.fromkeys(_read_by_botocore(os.environ))
        # 2. Set those that lead to no AWS, because the testbed answers before a request is sent.
        changes |= aws_variables(NOWHERE, region)
        changes["AWS_EC2_METADATA_DISABLED"] = "true"
        changes["AWS_CONFIG_FILE"] = str(config)
        changes["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
        with changed(changes):
            yield


@contextlib.contextmanager
def without_moto_switches() -> Iterator[None]:
    """Undo the effect of those moto variables that would break lorafw, until the end of the block.

    moto reads some of its variables only once, when it is imported, and it may have been imported already. Therefore
    the attributes of moto that hold their values are changed too.

    Raises:
        LabError: moto cannot be imported with the variables that are set.
    """
    with changed({MOTO_ACCOUNT: None}), contextlib.ExitStack() as stack:
        try:
            from moto import settings  # noqa: PLC0415
            from moto.s3 import utils  # noqa: PLC0415
        except ValueError as error:
            raise LabError(f"moto cannot read one of its variables (MOTO_... or S3_...): {error}; unset it") from error
        # 1. After this many requests, moto would check the permissions of the caller.
        stack.enter_context(replaced(settings, "INITIAL_NO_AUTH_ACTION_COUNT", math.inf))
        # 2. moto would not find the bucket in the host of a URL, such as bucket.s3.amazonaws.com.
        stack.enter_context(replaced(settings, "S3_IGNORE_SUBDOMAIN_BUCKETNAME", False))
        stack.enter_context(replaced(utils, "S3_IGNORE_SUBDOMAIN_BUCKETNAME", False))
        yield


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[Any]:
    """Replace an attribute of a module, class or object of another library, and restore it at the end of the block.

    Args:
        owner: The module, class or object.
        name: The name of the attribute.
        value: The value that it has inside the block.

    Yields:
        The value that it had before.

    Raises:
        LabError: There is no such attribute, so this release of the library has another shape.
    """
    try:
        before = getattr(owner, name)
    except AttributeError as error:
        raise LabError(
            f"{error}: lorafw does not know this release, and would not keep requests in; "
            "install releases of boto3 and moto that lorafw's requirements name"
        ) from error
    try:
        setattr(owner, name, value)
        yield before
    finally:
        setattr(owner, name, before)


def _read_by_botocore(environ: Mapping[str, str]) -> list[str]:
    """Return the variables that are set and that botocore reads."""
    from botocore import configprovider  # noqa: PLC0415

    tables = (configprovider.BOTOCORE_DEFAUT_SESSION_VARIABLES, configprovider.DEFAULT_S3_CONFIG_VARS)
    known = set(CREDENTIAL_VARIABLES)
    for table in tables:
        for _, names, _, _ in table.values():
            # botocore has one name, a list of names, or None.
            name_list = [names] if isinstance(names, str) else names
            known.update(name_list or ())
    prefixes = (ENDPOINT, "AWS_BEARER_TOKEN_")
    return [name for name in environ if name in known or name.startswith(prefixes)]


def _configuration() -> dict[str, Any]:
    """Return the user's configuration as botocore reads it. It is empty if no file exists or none can be read."""
    from botocore.configloader import load_config, raw_config_parse  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    found: dict[str, Any] = {"profiles": {}}
    with contextlib.suppress(BotoCoreError, OSError, ValueError):
        found = load_config(os.environ.get("AWS_CONFIG_FILE", "~/.aws/config"))
    with contextlib.suppress(BotoCoreError, OSError, ValueError):
        for name in raw_config_parse(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")):
            found["profiles"].setdefault(name, {})
    return found


def _neutral_config(profiles: Mapping[str, Any]) -> str:
    """Return the text of a configuration file in which every profile has dummy keys and nothing else."""
    keys = f"aws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n"
    sections = ["[default]\n" + keys]
    for name in profiles:
        if name != "default" and not set(name) & set("[]\n"):
            sections.append(f"[profile {shlex.quote(name)}]\n{keys}")
    return "\n".join(sections)


def _endpoints_in(node: Any) -> Iterator[str]:
    """Yield the values of all ``endpoint_url`` settings in nested mappings."""
    if not isinstance(node, Mapping):
        return
    for name, value in node.items():
        if name == "endpoint_url" and isinstance(value, str):
            yield value
        yield from _endpoints_in(value)
