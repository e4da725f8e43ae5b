"""Make a plan: read the account, simulate the rollout, and put both into a saved plan. Nothing is changed at AWS."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Final

import numpy as np

from lorafw.clock import format_iso
from lorafw.errors import RolloutError
from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Plan
from lorafw.fleet.schedule import schedule_waves
from lorafw.localaws.connection import Connection
from lorafw.rollout.account_facts import read_role, read_sample, read_update_object
from lorafw.rollout.aws_api import AwsApi, CallError
from lorafw.rollout.calls import list_gateways
from lorafw.rollout.fleet_draws import FleetMaker
from lorafw.rollout.prediction import REPLICATIONS, predict
from lorafw.rollout.rates import CALLS_PER_S, OperationRates
from lorafw.rollout.rules import Rule, run_rules
from lorafw.rollout.saved_plan import FleetSample, PlannedWave, SavedPlan
from lorafw.rollout.timing import RealTime, RolloutClock

SAMPLE_SIZE: Final = 50
"""How many gateways are looked at when a plan is made."""

_NOT_TAKEN: Final = ("ClientRequestToken", "Tags")
"""Members of a definition that the rollout sets itself."""


def make_plan(
    plan: Plan,
    definition: Mapping[str, Any],
    fleet: Fleet | FleetMaker,
    connection: Connection,
    *,
    seed: int = 0,
    replications: int = REPLICATIONS,
    rules: Iterable[Rule] = (),
    allowed: Collection[str] = (),
    clock: RolloutClock | None = None,
    calls_per_s: float = CALLS_PER_S,
) -> SavedPlan:
    """Plan a rollout in an account. The account is only read.

    Args:
        plan: The waves, gates, rate and abort criterion.
        definition: The arguments of CreateWirelessGatewayTaskDefinition, as in AWS's ``input.json``. AutoCreateTasks is
            set to false, because otherwise every gateway would get a task at once.
        fleet: The model of the fleet. If it names its gateways, the rollout is for these; otherwise it is for all
            gateways of the account, in the order of the list. A function makes the model for their number.
        connection: The account.
        seed: The seed of the order and of the prediction.
        replications: Number of simulated rollouts.
        rules: The rules to check the plan with.
        allowed: The ids of rules whose errors do not refuse the plan.
        clock: The clock. None for the machine's.
        calls_per_s: The largest number of calls of one operation in a second.

    Returns:
        The plan, to be written with ``write_plan``.

    Raises:
        RolloutError: The definition cannot be used, the account cannot be read, or a rule refuses the plan.
        FleetError: The waves do not fit the number of gateways, or a wave would have none.
    """
    clock = clock or RealTime()

    # 1. Read the update file, the role and the gateways.
    members = _checked_definition(definition)
    draft = _draft(plan, members, connection, seed, clock)
    api = AwsApi(connection.clients, OperationRates(calls_per_s, clock.monotonic_s, clock.sleep))
    try:
        registered = list(list_gateways(api).uplinks_ms)
        model, gateways = _match_fleet(fleet, registered, connection)
        waves = _plan_waves(model, plan, gateways, seed)
        sample = read_sample(api, gateways, SAMPLE_SIZE, seed)
    except CallError as error:
        raise RolloutError(f"the account cannot be read: {error}") from error

    # 2. Predict how the rollout will go.
    from lorafw.fleet.defaults import assumptions  # noqa: PLC0415

    make_fleet = None if isinstance(fleet, Fleet) else fleet
    prediction = predict(model, plan, seed=seed, replications=replications, make_fleet=make_fleet)
    saved = replace(
        draft,
        waves=waves,
        poll_period_ms=int(np.median(model.period_ms)),
        sample=sample,
        prediction=prediction,
        assumptions=tuple(assumptions(model, plan)),
        allowed=tuple(sorted(allowed)),
    )

    # 3. Check the plan.
    findings = run_rules(saved, connection, rules, allowed)
    return replace(saved, findings=tuple(map(str, findings)))


def _draft(plan: Plan, members: Mapping[str, Any], connection: Connection, seed: int, clock: RolloutClock) -> SavedPlan:
    """Return the plan without its gateways and without a prediction."""
    return SavedPlan(
        target=connection.target,
        definition=members,
        update_object=read_update_object(members, connection.clients),
        role=read_role(members, connection.clients),
        plan=plan,
        waves=(),
        seed=seed,
        poll_period_ms=1,
        sample=FleetSample(0, {}, {}),
        created_at=format_iso(clock.now_ms()),
        created_by=connection.actor,
        version=version("lorafw"),
    )


def _checked_definition(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return the definition as the rollout creates it. Raises RolloutError if no rollout can use it."""
    update = definition.get("Update")
    if not isinstance(update, Mapping):
        raise RolloutError("the definition has no Update; give the input.json of CreateWirelessGatewayTaskDefinition")
    lorawan = update.get("LoRaWAN")
    if not isinstance(lorawan, Mapping) or not lorawan.get("CurrentVersion"):
        raise RolloutError("the definition has no CurrentVersion; without it every gateway matches")
    members = {name: value for name, value in definition.items() if name not in _NOT_TAKEN}
    return {**members, "AutoCreateTasks": False}


def _match_fleet(
    fleet: Fleet | FleetMaker, registered: Sequence[str], connection: Connection
) -> tuple[Fleet, Sequence[str]]:
    """Return the model of the fleet, and the id of each of its gateways.

    Args:
        fleet: The model, or a function that makes it for a number of gateways.
        registered: The ids of all gateways of the account.
        connection: The account, for messages.

    Returns:
        The model and the ids, in the same order.

    Raises:
        RolloutError: The model does not fit the gateways of the account.
    """
    if not registered:
        raise RolloutError(f"there is no LoRaWAN gateway in {connection.target}; is it the right Region?")
    if not isinstance(fleet, Fleet):
        return fleet(len(registered)), registered
    names = fleet.names.get("number") or ()
    if not names:
        if fleet.size != len(registered):
            counts = f"the fleet has {fleet.size} gateways, and {connection.target} has {len(registered)}"
            raise RolloutError(f"{counts}; name the gateways of the rollout by their ids")
        return fleet, registered
    registered_ids = frozenset(registered)
    unknown = [name for name in names if name not in registered_ids]
    if unknown:
        raise RolloutError(f"{len(unknown)} gateways of the fleet are not registered, such as {unknown[0]!r}")
    return fleet, names


def _plan_waves(fleet: Fleet, plan: Plan, gateways: Sequence[str], seed: int) -> tuple[PlannedWave, ...]:
    """Return the waves, each in the order in which its tasks are created."""
    waves = []
    for schedule in schedule_waves(fleet, plan, seed=seed):
        order = np.argsort(schedule.offsets_ms, kind="stable")
        ids = tuple(gateways[index] for index in schedule.gateway_index[order].tolist())
        waves.append(PlannedWave(ids, tuple(schedule.offsets_ms[order].tolist())))
    return tuple(waves)
