"""The saved plan of a rollout: a JSON file with a hash over itself.

The file holds everything that the rollout depends on and that must not change unnoticed: the account and the Region,
the gateways of each wave, the update file, the role, the task definition, the waves with their gates, and the
prediction. It does not hold what changes from gateway to gateway: ``apply`` checks each gateway just before it creates
its task.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Final

from lorafw.atomic import PRIVATE_MODE, write_atomic
from lorafw.errors import FleetError, RolloutError, WrongTarget
from lorafw.fleet.io.toml import parse_plan, plan_to_table
from lorafw.fleet.plan import Plan, Wave
from lorafw.localaws.connection import Target
from lorafw.rollout.envelope import Band, read_band
from lorafw.rollout.prediction import stall_ms
from lorafw.version import GatewayVersion

FORMAT: Final = 2
"""The version of the file's format."""

DEFINITION_TAG: Final = "lorafw-rollout"
"""The tag of the task definition that is created for a plan. Its value is the hash of the plan."""

MAX_FILE_BYTES: Final = 256 * 1024 * 1024
"""The largest file that is read."""


@dataclass(frozen=True, slots=True)
class UpdateObject:
    """The update file in S3, as it was when the plan was made."""

    bucket: str
    key: str
    version_id: str | None
    """None if the bucket has no versions."""
    etag: str
    size_bytes: int
    sha512: str
    """In hexadecimal."""

    @property
    def url(self) -> str:
        """The address of the object, as in UpdateDataSource."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class RoleSnapshot:
    """The role that AWS reads the update file with, as it was when the plan was made."""

    arn: str
    sha256: str | None
    """Hash of its trust policy and of the names and texts of its policies. None if they could not be read."""


@dataclass(frozen=True, slots=True)
class PlannedWave:
    """The gateways of one wave, in the order in which their tasks are created."""

    gateways: tuple[str, ...]
    """The ids of the gateways."""
    offsets_ms: tuple[int, ...]
    """How long after the start of the wave each task is created. Never decreases."""


@dataclass(frozen=True, slots=True)
class FleetSample:
    """What some gateways looked like when the plan was made. Nothing depends on it later."""

    size: int
    versions: Mapping[str, int]
    """How many of them presented each version."""
    tasks: Mapping[str, int]
    """How many of them had a task, by its status."""


@dataclass(frozen=True, kw_only=True)
class SavedPlan:
    """A rollout that was planned. Read-only."""

    target: Target
    """The account and the Region that the plan is for."""
    definition: Mapping[str, Any]
    """The arguments of CreateWirelessGatewayTaskDefinition, without the token and the tags."""
    update_object: UpdateObject
    """The update file in S3."""
    role: RoleSnapshot
    """The role that AWS reads the update file with."""
    plan: Plan
    """The waves, gates, rate and abort criterion, as the simulator knows them."""
    waves: tuple[PlannedWave, ...]
    """The gateways of each wave."""
    seed: int
    """The seed of the order of the gateways and of the prediction."""
    poll_period_ms: int
    """The time between two polls that is assumed: the median of the fleet."""
    sample: FleetSample
    """What some of the gateways looked like."""
    prediction: Mapping[str, Any] = field(default_factory=dict)
    """The predicted curves; see ``prediction``."""
    assumptions: tuple[tuple[str, str, str], ...] = ()
    """(quantity, value, source) of everything that the prediction assumes."""
    findings: tuple[str, ...] = ()
    """What the rules found, one line each."""
    allowed: tuple[str, ...] = ()
    """The ids of the rules that were overridden with ``--allow``."""
    created_at: str = ""
    """When the plan was made."""
    created_by: str = ""
    """Who made it."""
    version: str = ""
    """The version of lorafw that made it."""

    def check_target(self, target: Target) -> None:
        """Check that a connection leads to where the plan was made.

        Args:
            target: Where the connection leads.

        Raises:
            WrongTarget: The account or the Region differs, or the plan is for the lab and the connection is not.
        """
        if self.target != target:
            raise WrongTarget(f"the plan is for {self.target}, and this would be {target}; nothing was sent")

    @cached_property
    def sha256(self) -> str:
        """The hash of the plan, in hexadecimal. It is also the ClientRequestToken of the task definition."""
        return _hash(to_document(self))

    @cached_property
    def wave_of(self) -> Mapping[str, int]:
        """The index of the wave of each gateway, by the id of the gateway."""
        wave_by_gateway: dict[str, int] = {}
        for index, wave in enumerate(self.waves):
            for gateway in wave.gateways:
                wave_by_gateway[gateway] = index
        return wave_by_gateway

    @cached_property
    def offset_ms_of(self) -> Mapping[str, int]:
        """How long after the start of its wave each task is created, in milliseconds, by the id of the gateway."""
        offset_ms_by_gateway: dict[str, int] = {}
        for wave in self.waves:
            for gateway, offset_ms in zip(wave.gateways, wave.offsets_ms, strict=True):
                offset_ms_by_gateway[gateway] = offset_ms
        return offset_ms_by_gateway

    @cached_property
    def bands(self) -> tuple[Band | None, ...]:
        """The band of each wave: how many gateways are COMPLETED, FAILED or stalled if it follows the prediction.

        None for a wave without a prediction.
        """
        return tuple(read_band(self.prediction, index) for index in range(len(self.waves)))

    @cached_property
    def stall_ms(self) -> int | None:
        """The time in milliseconds after which an update that was offered, and whose task is open, has stalled.

        None if the prediction does not say how many updates will stall.
        """
        if not any(self.bands):
            return None
        return stall_ms(self.poll_period_ms)

    @property
    def gateway_ids(self) -> tuple[str, ...]:
        """The ids of all gateways, wave by wave."""
        return tuple(chain.from_iterable(wave.gateways for wave in self.waves))

    @property
    def wave_rules(self) -> tuple[Wave, ...]:
        """The bake time and the gate of each wave. A plan without waves has one wave without a gate."""
        return self.plan.waves or (Wave(share=1.0),)

    @cached_property
    def current_version(self) -> GatewayVersion:
        """CurrentVersion of the task definition. Its fields are None if they are not given."""
        return _version_of(self.definition, "CurrentVersion") or GatewayVersion()

    @cached_property
    def update_version(self) -> GatewayVersion | None:
        """UpdateVersion of the task definition, or None if it has none."""
        return _version_of(self.definition, "UpdateVersion")


def write_plan(plan: SavedPlan, path: Path | str) -> None:
    """Write a plan to a file that only its owner can read.

    Args:
        plan: The plan.
        path: The file. An existing one is replaced.

    Raises:
        OSError: The file cannot be written.
    """
    document: dict[str, Any] = {"sha256": plan.sha256}
    document.update(to_document(plan))
    write_atomic(Path(path), json.dumps(document, indent=1) + "\n", mode=PRIVATE_MODE)


def read_plan(path: Path | str) -> SavedPlan:
    """Read a plan from its file, and check its hash.

    Args:
        path: The file.

    Returns:
        The plan.

    Raises:
        RolloutError: The file is no saved plan, or it was changed after it was made.
        OSError: The file cannot be opened.
    """
    path = Path(path)
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise RolloutError(f"{path} has more than {MAX_FILE_BYTES} bytes; this is no saved plan")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RolloutError(f"{path} is no saved plan: {error}. 'lorafw rollout plan' makes one") from error
    return _parse(document, path)


def _parse(document: Any, path: Path) -> SavedPlan:
    """Return the plan in a document. Raises RolloutError if it is none, or was changed."""
    if not isinstance(document, dict) or "sha256" not in document:
        raise RolloutError(f"{path} is no saved plan. 'lorafw rollout plan' makes one")
    expected = document.pop("sha256")
    if document.get("format") != FORMAT:
        raise RolloutError(f"{path} has format {document.get('format')!r}; this version of lorafw reads {FORMAT}")
    if _hash(document) != expected:
        raise RolloutError(f"{path} was changed after it was made: its hash differs. Make a new plan")
    try:
        return _from_document(document)
    except (KeyError, TypeError, ValueError, FleetError) as error:
        raise RolloutError(f"{path} is no saved plan: {error!r}") from error


def to_document(plan: SavedPlan) -> dict[str, Any]:
    """Return the plan as a JSON document, without its hash."""
    return {
        "format": FORMAT,
        "created_at": plan.created_at,
        "created_by": plan.created_by,
        "version": plan.version,
        "target": asdict(plan.target),
        "definition": dict(plan.definition),
        "update_object": asdict(plan.update_object),
        "role": asdict(plan.role),
        "plan": plan_to_table(plan.plan),
        "seed": plan.seed,
        "poll_period_ms": plan.poll_period_ms,
        "waves": [{"gateways": list(wave.gateways), "offsets_ms": list(wave.offsets_ms)} for wave in plan.waves],
        "sample": asdict(plan.sample),
        "prediction": dict(plan.prediction),
        "assumptions": [list(row) for row in plan.assumptions],
        "findings": list(plan.findings),
        "allowed": list(plan.allowed),
    }


def _from_document(document: Mapping[str, Any]) -> SavedPlan:
    """Return the plan in a document whose hash was checked. The reverse of ``to_document``."""
    waves = tuple(PlannedWave(tuple(wave["gateways"]), tuple(wave["offsets_ms"])) for wave in document["waves"])
    return SavedPlan(
        target=Target(**document["target"]),
        definition=document["definition"],
        update_object=UpdateObject(**document["update_object"]),
        role=RoleSnapshot(**document["role"]),
        plan=parse_plan({"plan": document["plan"]}),
        waves=waves,
        seed=document["seed"],
        poll_period_ms=document["poll_period_ms"],
        sample=FleetSample(**document["sample"]),
        prediction=document["prediction"],
        assumptions=tuple((name, value, source) for name, value, source in document["assumptions"]),
        findings=tuple(document["findings"]),
        allowed=tuple(document["allowed"]),
        created_at=document["created_at"],
        created_by=document["created_by"],
        version=document["version"],
    )


def _hash(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a document in a form that does not depend on order and blanks."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _version_of(definition: Mapping[str, Any], name: str) -> GatewayVersion | None:
    """Return one of the two versions of a task definition. None if it is not given."""
    members = definition.get("Update", {}).get("LoRaWAN", {}).get(name)
    if not members:
        return None
    return GatewayVersion.from_aws(members)
