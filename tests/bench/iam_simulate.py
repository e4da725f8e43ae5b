"""Evaluate the policies of tests/iam_cases.py with another evaluator, @cloud-copilot/iam-simulate from npm.

The command needs node and npm, and installs the package into a temporary folder. Without npm it says so, with exit
status 0. It counts and skips cases that the other evaluator cannot express. It prints each disagreement with its known
reason. If a disagreement has no known reason, the exit status is 1.

    python tests/bench/iam_simulate.py
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import iam_cases as table
from test_iam_decisions import document_of, request_of

PACKAGE = "@cloud-copilot/iam-simulate@0.1.173"
ADDRESS_OF_AWS = "52.94.76.1"
"""Any public address stands for the one that AWS calls from."""

KNOWN: dict[tuple[str, str], str] = {
    ("date", "the epoch key"): "AWS takes both forms of time on both sides; the simulator reads a request's epoch time "
    "only if the policy holds epoch time, too",
    ("ip", "every address"): "the simulator matches no address with 0.0.0.0/0, though 52.94.0.0/16 matches",
    ("variable", "in an ARN condition"): "AWS documents variables for ARN operators; the simulator replaces the same "
    "variable with StringLike, but not with ArnEquals or ArnLike",
    ("variable-version", "the old Version"): "the simulator replaces variables whatever the Version",
    ("variable-version", "no Version"): "the simulator replaces variables whatever the Version",
    ("not-principal", "the account alone"): "AWS's own example names a user and its account, and all other users of "
    "the account are denied; for the simulator the account alone excepts everyone in it",
    ("session", "does not limit a session ARN"): "the simulator lets a session policy limit what a bucket policy gives "
    "the session's ARN; AWS documents that it does not",
    ("kms-context", "the encryption context"): "the simulator ignores condition keys whose name goes on after a second "
    "colon, as in kms:EncryptionContext:aws:s3:arn",
}
"""Rule and name of a case to the reason why the simulator answers otherwise."""

RUNNER = """
import { runSimulation } from '@cloud-copilot/iam-simulate'
import { readFileSync } from 'node:fs'
const answers = []
for (const simulation of JSON.parse(readFileSync(0, 'utf8'))) {
  try {
    const result = await runSimulation(simulation, {})
    answers.push(result.overallResult ?? 'error: ' + JSON.stringify(result.errors ?? result))
  } catch (error) {
    answers.push('error: ' + error.message)
  }
}
console.log(JSON.stringify(answers))
"""


def simulation_of(case: table.Case) -> dict[str, Any]:
    """A case in the form that the simulator takes."""
    request = request_of(case)
    known = {key: value if isinstance(value, str) else list(value) for key, value in request.context.values.items()}
    if case.request == "read":
        known[table.IP] = ADDRESS_OF_AWS
    is_service = case.request == "assume"
    simulation: dict[str, Any] = {
        "request": {
            "principal": table.SERVICE["Service"] if is_service else table.SESSION,
            "action": request.action,
            "resource": {"resource": request.resource, "accountId": case.owner},
            "contextVariables": known,
        },
        "identityPolicies": [{"name": "own", "policy": document_of(case, case.identity)}] if case.identity else [],
        "serviceControlPolicies": [],
        "resourceControlPolicies": [],
    }
    if case.resource is not None:
        simulation["resourcePolicy"] = document_of(case, case.resource)
    if case.boundary is not None:
        simulation["permissionBoundaryPolicies"] = [{"name": "b", "policy": document_of(case, case.boundary)}]
    if case.session is not None:
        simulation["sessionPolicy"] = document_of(case, case.session)
    return simulation


def simulate(npm: str, cases: Sequence[table.Case]) -> list[str]:
    """The simulator's answers, in the order of the cases."""
    with tempfile.TemporaryDirectory(prefix="lorafw-simulate-") as folder:
        install = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", PACKAGE]
        subprocess.run(install, cwd=folder, check=True)
        runner = Path(folder, "run.mjs")
        runner.write_text(RUNNER)
        simulations = json.dumps([simulation_of(case) for case in cases])
        done = subprocess.run(
            ["node", runner], cwd=folder, input=simulations, capture_output=True, text=True, check=True
        )
    answers: list[str] = json.loads(done.stdout)
    return answers


def main() -> int:
    """Compare all cases; the exit status."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        print("skipped: npm or node is not there")
        return 0
    cases = [case for case in table.CASES if not case.inside_only]
    unexplained = 0
    different = 0
    for case, answer in zip(cases, simulate(npm, cases), strict=True):
        if (answer == "Allowed") is case.allowed:
            continue
        different += 1
        why = KNOWN.get((case.rule, case.name))
        unexplained += why is None
        print(f"{case.rule}: {case.name}: AWS documents {case.allowed}, the simulator says {answer}")
        print(f"    {why or 'NOT EXPLAINED'}")
    print(
        f"{len(cases)} of {len(table.CASES)} cases compared, {len(cases) - different} agree, {different} differ "
        f"({unexplained} not explained)"
    )
    return 1 if unexplained else 0


if __name__ == "__main__":
    raise SystemExit(main())
