"""The alarms of many machines, row by row: each has a state machine of its own, and what its alarm is called."""

from __future__ import annotations

from typing import Any, NamedTuple

from sklearn.base import clone

from ..alarms.alarm_policy import AlarmPolicy, rules_of
from ..alarms.machine import AlarmMachine
from ..alarms.model_scores import policy_of, threshold_of

OFF, OPENED, ON, CLOSED = "off", "opened", "on", "closed"


class AlarmState(NamedTuple):
    """Whether an alarm is on after a row."""

    alarm: str | None  # "opened", "on", "closed" on the first row out of it, "off"; None without a threshold
    alarm_id: str | None  # of the alarm that is on, or that this row has closed
    since: Any  # the time of the row that opened it


NO_THRESHOLD = AlarmState(None, None, None)
NO_ALARM = AlarmState(OFF, None, None)


class AlarmStates:
    """What is known of the alarms of each machine, by slot; a policy of None knows none."""

    def __init__(self, policy: AlarmPolicy | None, *, has_dates: bool) -> None:
        self.rules = None if policy is None else rules_of(policy, has_dates)
        self.has_dates = has_dates
        self.machines: list[AlarmMachine] = []
        self.open: list[AlarmState] = []  # the alarm that is on, or `NO_ALARM`

    def introduce(self, run: Any) -> None:
        """Take a new machine."""
        self.machines.append(AlarmMachine())
        self.open.append(NO_THRESHOLD if self.rules is None else NO_ALARM)

    def step(self, slot: int, clock: float, score: float, run: Any, time: Any) -> AlarmState:
        """Return the state after one more row of a machine, at a time that is `clock` as a number."""
        if self.rules is None:
            return NO_THRESHOLD
        machine, before = self.machines[slot], self.open[slot]
        machine.move_on(self.rules, clock, self.has_dates)
        goes_on = machine.on_since is not None  # what was on before a gap has ended
        if not machine.see(self.rules, clock, score):
            self.open[slot] = NO_ALARM
            return before._replace(alarm=CLOSED) if before.alarm == ON else NO_ALARM
        if goes_on:
            return before
        self.open[slot] = AlarmState(ON, f"{time}" if run is None else f"{run_name(run)}@{time}", time)
        return self.open[slot]._replace(alarm=OPENED)

    def snapshot(self, slots: list[int]) -> list[tuple[dict[str, Any], AlarmState]]:
        """Return a copy of what is known of some machines."""
        return [(dict(vars(self.machines[slot])), self.open[slot]) for slot in slots]

    def put_back(self, slots: list[int], snapshot: Any, n_machines: int) -> None:
        """Know again what a snapshot holds, and no machines beyond as many as there were."""
        del self.machines[n_machines:], self.open[n_machines:]
        for slot, (known, state) in zip(slots, snapshot, strict=True):
            vars(self.machines[slot]).update(known)
            self.open[slot] = state


def choose_policy(model: Any, policy: AlarmPolicy | None, *, has_dates: bool) -> AlarmPolicy | None:
    """Return the rules for alarms that are given, or else those of the model; None where nothing says a threshold."""
    chosen = policy_of(model) if policy is None else clone(policy)
    if chosen.threshold is None:
        chosen.set_params(threshold=threshold_of(model))
    if chosen.threshold is None and policy is None:
        return None
    rules_of(chosen, has_dates)  # refuses what does not go together, now and not at the first row
    return chosen


def run_name(run: Any) -> str:
    """Return how a machine is called, as `logs.index.run_names` does."""
    return "" if run is None else " / ".join(map(str, run if isinstance(run, tuple) else (run,)))
