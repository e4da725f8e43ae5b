"""Find the alias of the AWS CLI that a command line would use.

An alias is a setting of the user: it can name another endpoint, and run any command in a shell. The AWS CLI reads
aliases from a fixed file in the home folder, and no option turns them off.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from lorafw.errors import LabError

_FILE: Final = "~/.aws/cli/alias"
_TOP_LEVEL: Final = "toplevel"
"""The section with aliases of services and commands. The aliases in ``[command sts]`` are operations of sts."""


def check_no_alias(words: Sequence[str]) -> None:
    """Check that a command is not an alias of the user.

    Args:
        words: The command without its options, such as ``["iotwireless", "list-wireless-gateways"]``.

    Raises:
        LabError: The command is an alias, or the aliases cannot be read.
    """
    sections = _read_aliases()
    section = _TOP_LEVEL
    for count, word in enumerate(words, start=1):
        if word in sections.get(section, {}):
            raise LabError(
                f"'lorafw aws {' '.join(words[:count])}' is refused: {word!r} is an alias in {_FILE}, which may lead "
                "elsewhere. Type the command in full, or rename the alias if it hides a command of the AWS CLI"
            )
        section = f"command {' '.join(words[:count])}"


def _read_aliases() -> dict[str, Any]:
    """Return the aliases of each section of the user's file, as the AWS CLI reads them. Empty if there is no file."""
    path = Path(_FILE).expanduser()
    if not path.exists():
        return {}
    from botocore.configloader import raw_config_parse  # noqa: PLC0415 -- botocore takes a tenth of a second
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    try:
        sections: dict[str, Any] = raw_config_parse(str(path), parse_subsections=False)
    except (BotoCoreError, OSError, ValueError) as error:
        raise LabError(f"{_FILE} cannot be read, so it is not known what an alias does: {error}") from error
    return sections
