"""The history of one gateway in a rollout, as text."""

from __future__ import annotations

from lorafw.fleet.fleet import Fleet
from lorafw.fleet.plan import Plan
from lorafw.fleet.simulation.event_log import EventLog, EventRow


def describe_history(fleet: Fleet, plan: Plan, index: int, log: EventLog) -> str:
    """Return the history of one gateway as text, one line for each row of its log.

    Args:
        fleet: The fleet.
        plan: The plan of the rollout.
        index: The position of the gateway in the fleet.
        log: The log of this gateway alone, in time order.
    """
    lines = [f"Gateway {fleet.number[index]}, {_describe_gateway(fleet, index)}"]
    lines += [_describe_row(row) for row in log.iter_rows()]
    if len(log) == 0:
        lines.append(f"It never had a task: {_reason_without_task(fleet, plan, index)}")
    return "\n".join(lines)


def _describe_gateway(fleet: Fleet, index: int) -> str:
    """Return the backhaul, region, ISP and polls of a gateway as text."""
    backhaul = fleet.names["backhaul"][int(fleet.backhaul[index])]
    region = fleet.names["region"][int(fleet.region[index])]
    isp = fleet.names["isp"][int(fleet.isp[index])]
    period_h = fleet.period_ms[index] / 3.6e6
    first_poll = format_elapsed(int(fleet.phase_ms[index]))
    groups = f"backhaul {backhaul}, region {region}, isp {isp}"
    return f"{groups}, polls every {period_h:g} h, first at {first_poll}"


def _describe_row(row: EventRow) -> str:
    """Return a row of the log as text, for example "0 d 03:04:05  PENDING -> IN_PROGRESS, send 1: offered"."""
    text = f"{format_elapsed(row.time_ms)}  {_describe_transition(row)}"
    if row.attempt:
        text += f", send {row.attempt}"
    text += f": {row.cause}"
    if row.fault:
        text += f" (cause: {row.fault})"
    return text


def _describe_transition(row: EventRow) -> str:
    """Return the statuses before and after a row as text: one of them if the status stayed the same."""
    if row.from_status is None:
        return "PENDING"
    if row.from_status == row.to_status:
        return row.from_status
    return f"{row.from_status} -> {row.to_status or 'no task'}"


def _reason_without_task(fleet: Fleet, plan: Plan, index: int) -> str:
    """Return why a gateway never had a task, as a clause."""
    if fleet.gone[index]:
        return "it is gone, and never polls."
    update_version = plan.update.current_version
    if update_version is not None and plan.is_automatic:
        update_version_code = fleet.code_of("version", update_version)
        if fleet.version[index] != update_version_code:
            return f"the update is for {update_version!r}."
    return "the rollout stopped, or the horizon came, before its turn."


def format_elapsed(time_ms: int) -> str:
    """Return a time since the start as text, for example "2 d 03:04:05"."""
    days, rest = divmod(time_ms // 1000, 86400)
    return f"{days} d {rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
