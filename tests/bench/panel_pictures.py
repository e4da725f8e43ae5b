"""Take a picture of each panel in JupyterLab, in its light and its dark theme, on a page of 1280 x 800.

    python tests/bench/panel_pictures.py FOLDER [PANEL ...]

A panel that is higher than the page is cut off where the page ends, as a person sees it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parent.parent))

from browser import LabPage, chromium, expose_app, lab_process, write_notebook
from rollout_example import MONITOR_IN_A_NOTEBOOK

MONITOR = MONITOR_IN_A_NOTEBOOK.replace("\nRolloutMonitor(", "\nmonitor = RolloutMonitor(") + "\n"
RUN = """import asyncio
async def run():
    monitor.controls.apply.click()
    await asyncio.sleep(0.5)
    while monitor.job.is_running:
        await asyncio.sleep(0.1)
await run()
monitor.controls.reason.value = "three roofs have a fault of their own"
monitor.controls.commands["promote"].click()
await run()
monitor"""
"""Carries the plan out until it leaves its prediction, goes on, and ends at the gate."""
PANELS = {
    "match-explorer": "from lorafw.lab import MatchExplorer\nMatchExplorer()",
    "wire-inspector": "from lorafw.lab import WireInspector\nWireInspector()",
    "signature-workbench": "from lorafw.lab import SignatureWorkbench\nSignatureWorkbench()",
    "task-board": (
        "from lorafw import Testbed\nfrom lorafw.lab import TaskBoard\n"
        "bed = Testbed(gateways=3).start()\nbed.define_update('1.0.1')\n"
        "bed.inject('wrong-key', bed.gateways[1])\nbed.advance(25)\nTaskBoard(bed)"
    ),
    "fleet-dashboard": "from lorafw.lab import FleetDashboard\nFleetDashboard()",
    "rollout-monitor-planned": MONITOR + "monitor",
    "rollout-monitor-held": MONITOR + RUN,
    "rollout-planner": "from lorafw.lab import RolloutPlanner\nRolloutPlanner()",
}
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


def take_pictures(folder: Path, panels: dict[str, str]) -> None:
    """Write one PNG file for each panel and theme into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as lessons:
        expose_app(Path(lessons))
        for name, code in panels.items():
            write_notebook(Path(lessons) / f"{name}.ipynb", code)
        with lab_process(Path(lessons)) as url, chromium() as browser:
            for name in panels:
                page = LabPage(browser, url).open(f"{name}.ipynb")
                assert page.run_all(), page.failures()
                page.page.locator(".jp-OutputArea-output").first.scroll_into_view_if_needed()
                for label, theme in THEMES.items():
                    page.set_theme(theme)
                    page.page.screenshot(path=folder / f"{name}-{label}.png")
                page.close()


if __name__ == "__main__":
    chosen = {name: code for name, code in PANELS.items() if sys.argv[2:] == [] or name in sys.argv[2:]}
    take_pictures(Path(sys.argv[1]), chosen)
