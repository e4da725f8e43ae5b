"""``python -m lorafw`` is the ``lorafw`` command."""

from lorafw.cli import main

main()
