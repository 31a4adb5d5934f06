"""The alarms of many machines, row by row: each has a state machine of its own, and what its alarm is called."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..alarms.alarm_policy import AlarmPolicy, rules_of
from ..alarms.machine import AlarmMachine

OFF, OPENED, ON, CLOSED = "off", "opened", "on", "closed"
# Thresholds are often the score of a row, and an alarm wants more than that: by so much of it a score may be off.
ROUNDING = 1e-6


class AlarmState(NamedTuple):
    """Whether an alarm is on after a row."""

    alarm: str | None  # "opened", "on", "closed" on the first row out of it, "off"; None of a late row
    alarm_id: str | None  # of the alarm that is on, or that this row has closed
    since: Any  # the time of the row that opened it


OF_LATE_ROW = AlarmState(None, None, None)
NO_ALARM = AlarmState(OFF, None, None)


class AlarmStates:
    """What is known of the alarms of each machine, by slot."""

    def __init__(self, policy: AlarmPolicy, *, has_dates: bool) -> None:
        self.rules = rules_of(policy, has_dates)  # refuses what does not go together, now and not at the first row
        self.has_dates = has_dates
        self.machines: list[AlarmMachine] = []
        self.open: list[AlarmState] = []  # the alarm that is on, or `NO_ALARM`

    def introduce(self, slot: int) -> None:
        """Take a new machine."""
        if slot == len(self.machines):
            self.machines.append(AlarmMachine())
            self.open.append(NO_ALARM)
        self.machines[slot], self.open[slot] = AlarmMachine(), NO_ALARM

    def step(self, slot: int, clock: float, score: float, run: Any, time: Any) -> AlarmState:
        """Return the state after one more row of a machine, at a time that is `clock` as a number."""
        machine, before, score = self.machines[slot], self.open[slot], self._rounded(score)
        machine.move_on(self.rules, clock, self.has_dates)
        goes_on = machine.on_since is not None  # what was on before a gap has ended
        if not machine.see(self.rules, clock, score):
            self.open[slot] = NO_ALARM
            return before._replace(alarm=CLOSED) if before.alarm == ON else NO_ALARM
        if goes_on:
            return before
        self.open[slot] = AlarmState(ON, f"{time}" if run is None else f"{run_name(run)}@{time}", time)
        return self.open[slot]._replace(alarm=OPENED)

    def _rounded(self, score: float) -> float:
        """Return a score, or the level of the rules that it is equal to but for the rounding of a network."""
        for level in (self.rules.threshold, self.rules.off):
            if abs(score - level) <= ROUNDING * abs(level):
                return level
        return score

    def snapshot(self, slots: list[int]) -> list[tuple[dict[str, Any], AlarmState]]:
        """Return a copy of what is known of some machines."""
        return [(dict(vars(self.machines[slot])), self.open[slot]) for slot in slots]

    def put_back(self, slots: list[int], snapshot: Any) -> None:
        """Know again what a snapshot holds."""
        for slot, (known, state) in zip(slots, snapshot, strict=True):
            vars(self.machines[slot]).update(known)
            self.open[slot] = state


def is_off(state: AlarmState) -> bool:
    """Return whether no alarm is on."""
    return state.alarm_id is None


def run_name(run: Any) -> str:
    """Return how a machine is called, as `logs.index.run_names` does."""
    return "" if run is None else " / ".join(map(str, run if isinstance(run, tuple) else (run,)))
