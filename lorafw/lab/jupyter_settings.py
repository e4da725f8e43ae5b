"""The environment variables, settings and options with which lorafw runs JupyterLab and Voila.

With them a server is separate from any other Jupyter of the learner, makes no request to the network, and lets nobody
in without its token.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final

from lorafw.isolation.environment import unreachable_aws_variables, without_aws_settings
from lorafw.localaws.aws_cli import AWS_CONFIG_FILE

_FOLDERS: Final = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
    "MPLCONFIGDIR": "matplotlib",
}
"""The variables that name a folder, each with the name of its folder in the state folder."""
_FOREIGN_PREFIXES: Final = ("JUPYTER", "JPY_", "VOILA_")
"""Variables with these prefixes are settings of the learner's other Jupyter."""
_SETTINGS: Final = {
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
    # A page that is opened again shows its panels as they were saved, and not an error in their place.
    "@jupyter-widgets/jupyterlab-manager/plugin.jupyterlab-settings": {"saveState": True},
}
"""The settings of JupyterLab, by file."""

_ACCESS: Final = "lorafw.lab.jupyter_access"
LAB_OPTIONS: Final = (
    "--allow-root",
    "--ServerApp.ip=127.0.0.1",
    # Who may use the server.
    f"--ServerApp.identity_provider_class={_ACCESS}.LabIdentityProvider",
    "--ServerApp.allow_remote_access=False",
    # JupyterLab enables itself, but not these two extensions, which its pages use.
    "--ServerApp.jpserver_extensions=jupyter_server_terminals=True",
    "--ServerApp.jpserver_extensions=jupyter_lsp=True",
    # No request to the network.
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.news_url=None",
    "--LabApp.extension_manager=readonly",
)
"""Options of JupyterLab that are the same for every working copy."""

# Voila's pages link to style sheets on other servers. With this policy the browser sends requests to this server only,
# and no other page may show this one in a frame.
_CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' ws://127.0.0.1:*; "
    "frame-ancestors 'self'"
)
_VOILA_SETTINGS: Final = {
    "headers": {"Content-Security-Policy": _CONTENT_SECURITY_POLICY},
    "allow_remote_access": False,
}
VOILA_OPTIONS: Final = (
    "--Voila.ip=127.0.0.1",
    "--Voila.port_retries=0",
    "--no-browser",
    "--Voila.auto_token=True",
    f"--Voila.identity_provider_class={_ACCESS}.LabIdentityProvider",
    f"--VoilaConfiguration.multi_kernel_manager_class={_ACCESS}.BoundedKernelManager",
    "--VoilaConfiguration.file_denylist=.*",
    f"--Voila.tornado_settings={_VOILA_SETTINGS}",
)
"""Options of Voila that are the same for every working copy."""


def jupyter_environment(state_folder: Path) -> dict[str, str]:
    """Return the environment variables of kernels and terminals.

    They are the variables of the user, without those of AWS and of another Jupyter. The AWS variables name an address
    that nothing listens on, until a lesson opens a lab.

    Args:
        state_folder: The folder that holds the files of the lab.
    """
    environment = {}
    for name, value in without_aws_settings(os.environ).items():
        if not name.startswith(_FOREIGN_PREFIXES):
            environment[name] = value
    environment |= unreachable_aws_variables()
    environment["AWS_CONFIG_FILE"] = str(AWS_CONFIG_FILE)
    for name, folder in _FOLDERS.items():
        environment[name] = str(state_folder / folder)
    # '!aws' in a lesson is the AWS CLI that was installed beside this Python.
    search_path = os.environ.get("PATH", "")
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{search_path}"
    environment["JUPYTER_PREFER_ENV_PATH"] = "1"
    return environment


def write_settings(state_folder: Path) -> None:
    """Create Jupyter's folders and the settings that do not exist yet. A setting that was changed stays.

    Args:
        state_folder: The folder that holds the files of the lab.
    """
    for name in _FOLDERS.values():
        (state_folder / name).mkdir(mode=0o700, exist_ok=True)
    for name, settings in _SETTINGS.items():
        path = state_folder / "settings" / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(settings))
