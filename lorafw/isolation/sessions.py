"""boto3 sessions for lorafw itself. They do not read the user's variables, files or metadata service."""

from __future__ import annotations

import functools
import os
import threading
from typing import TYPE_CHECKING, Any, Final

from lorafw.errors import LabError
from lorafw.isolation.accounts import access_key_of

if TYPE_CHECKING:
    from botocore.config import Config

KEY_ID: Final = "testing"
SECRET: Final = "testing"  # noqa: S105 -- no emulated AWS checks it

_client_lock = threading.Lock()
"""Held while a client is created. boto3 clients are thread-safe, but creating one from a shared session is not."""


def make_client(
    service: str,
    *,
    region: str,
    endpoint_url: str | None = None,
    config: Config | None = None,
    account: str | None = None,
) -> Any:
    """Create a boto3 client that is configured by these arguments only. Several threads may call this function.

    Args:
        service: The name of the service, such as "s3".
        region: The Region, such as "us-east-1".
        endpoint_url: Where the service is. None means AWS's own address, which a testbed answers.
        config: More settings of the client, such as timeouts. None means botocore's default ones.
        account: The account of the testbed that the client is in. None means the testbed's own account.

    Returns:
        A new client. It uses no proxy, because it speaks to the testbed or to a port of this machine.
    """
    key_id = KEY_ID if account is None else access_key_of(account)
    with _client_lock:
        return _session().client(
            service,
            region_name=region,
            endpoint_url=endpoint_url,
            aws_access_key_id=key_id,
            aws_secret_access_key=SECRET,
            config=_without_user_settings(config),
        )


def _without_user_settings(config: Config | None) -> Config:
    """Return the settings of a client, without the proxies and endpoints that the user has configured for AWS."""
    from botocore.config import Config  # noqa: PLC0415 -- botocore takes a tenth of a second

    own_settings = Config(proxies={}, ignore_configured_endpoint_urls=True)  # type: ignore[call-arg]  # not in the stubs
    if config is None:
        return own_settings
    return config.merge(own_settings)  # own_settings win


@functools.cache
def service_model(service: str) -> Any:
    """Return botocore's model of a service, such as "iotwireless", without the user's changes to it."""
    return _core_session().get_service_model(service)


def available_regions(service: str) -> list[str]:
    """Return the Regions in which botocore knows an endpoint of a service."""
    regions: list[str] = _core_session().get_available_regions(service)
    return regions


@functools.cache
def _session() -> Any:
    """Return the boto3 session of all clients of this module. It is created at the first call."""
    import boto3  # noqa: PLC0415

    return boto3.Session(botocore_session=_core_session())


@functools.cache
def _core_session() -> Any:
    """Return the botocore session of this module. It is created at the first call."""
    from botocore.configprovider import ConfigValueStore  # noqa: PLC0415
    from botocore.loaders import Loader  # noqa: PLC0415
    from botocore.session import Session  # noqa: PLC0415

    core = Session()
    core.register_component("config_store", ConfigValueStore(_defaults()))
    # Without the default paths: a folder ~/.aws/models would change what the services look like.
    models = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    core.register_component("data_loader", models)
    # Plugins that BOTOCORE_EXPERIMENTAL__PLUGINS names could change the clients.
    core._register_client_plugins = _register_no_plugins  # type: ignore[attr-defined]  # not in the stubs
    return core


def _register_no_plugins(_: Any) -> None:
    """Add no plugin to a client."""


def _defaults() -> dict[str, Any]:
    """Return botocore's default settings as constant providers. The two settings files are replaced by empty ones."""
    from botocore import configprovider  # noqa: PLC0415

    try:
        variables = configprovider.BOTOCORE_DEFAUT_SESSION_VARIABLES  # botocore spells it so
    except AttributeError as error:
        raise LabError(f"this botocore keeps its settings in another way ({error}): pip install -U lorafw") from error
    values = {name: default for name, (_, _, default, _) in variables.items()}
    values |= {"config_file": os.devnull, "credentials_file": os.devnull}
    return {name: configprovider.ConstantProvider(value) for name, value in values.items() if value is not None}
