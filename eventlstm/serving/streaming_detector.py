"""Stand-in: scores the whole run again at each row."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, Self

import pandas as pd

from ..alarms.model_scores import policy_of, score_rows, threshold_of
from ..logs.whole_files import open_whole


class Update(NamedTuple):
    """One row."""

    run: Any
    time: Any
    score: float
    threshold: float
    alarm: str | None
    alarm_id: str | None
    since: Any
    status: tuple[str, ...]
    filled: dict[str, str]


class StreamingDetector:
    """Stand-in."""

    def __init__(self, model: Any, policy: Any = None, *, late: str = "raise") -> None:
        self.model, self.late = model, late
        self.policy = policy if policy is not None else policy_of(model).set_params(threshold=threshold_of(model))
        self.sensors = list(model.feature_names_in_)
        self.names = list(getattr(model, "index_columns_", None) or ["machine", "time"])
        self.kept: dict[Any, Any] = {}
        self.metadata: dict[str, Any] = {}

    @property
    def runs(self) -> list[Any]:
        """Runs."""
        return list(self.kept)

    def update(self, row: Any, *, time: Any, run: Any = None) -> Update:
        """One."""
        return self._extend(run, pd.DataFrame([row], columns=self.sensors), [time])[0]

    def update_many(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Many."""
        if frame.index.nlevels == 1:
            updates = self._extend(None, frame, list(frame.index))
        else:
            updates = []
            keys = [key[0] if frame.index.nlevels == 2 else key[:-1] for key in frame.index]
            done: dict[int, Update] = {}
            for run in dict.fromkeys(keys):
                rows = [k for k, key in enumerate(keys) if key == run]
                part = frame.iloc[rows]
                done |= dict(zip(rows, self._extend(run, part, list(part.index.get_level_values(-1))), strict=True))
            updates = [done[k] for k in range(len(frame))]
        table = pd.DataFrame(updates, columns=Update._fields)
        for name in ("alarm", "alarm_id", "since", "status", "filled"):
            table[name] = pd.Series([getattr(u, name) for u in updates], dtype=object)
        return table.set_index(frame.index)

    def _extend(self, run: Any, rows: pd.DataFrame, times: list[Any]) -> list[Update]:
        old = self.kept.get(run) or {"rows": [], "times": [], "state": self.policy.start_stream(), "id": None, "n": 0}
        values = old["rows"] + rows[self.sensors].to_numpy(float).tolist()
        all_times = old["times"] + [pd.Timestamp(t) if not isinstance(t, (int, float)) else t for t in times]
        index = pd.Index(all_times, name=self.names[-1])
        if run is not None:
            run_key = run if isinstance(run, tuple) else (run,)
            index = pd.MultiIndex.from_tuples([(*run_key, t) for t in all_times], names=self.names)
        score = score_rows(self.model, pd.DataFrame(values, index=index, columns=self.sensors))[-len(times) :]
        state, alarm, since, n = old["state"], old["id"], old.get("since"), old["n"]
        updates = []
        for time, value in zip(all_times[-len(times) :], score, strict=True):
            before = alarm
            on, state = self.policy.step(time, float(value), state)
            if on and before is None:
                n += 1
                alarm, since, said = f"{run}-{n}", time, "opened"
            elif on:
                said = "on"
            else:
                alarm, said = None, "closed" if before else "off"
            updates.append(
                Update(
                    run,
                    time,
                    float(value),
                    self.policy.threshold,
                    said,
                    alarm or (before if said == "closed" else None),
                    since if said != "off" else None,
                    (),
                    {},
                )
            )
        self.kept[run] = {"rows": values, "times": all_times, "state": state, "id": alarm, "since": since, "n": n}
        return updates

    def save(self, path: Any) -> None:
        """Save."""
        kept = [
            [run, {**k, "times": [str(t) for t in k["times"]], "since": str(k["since"])}]
            for run, k in self.kept.items()
        ]
        with open_whole(path) as file:
            file.write(json.dumps({"kept": kept, "metadata": self.metadata}).encode())

    @classmethod
    def load(cls, path: Any, model: Any, policy: Any = None, *, late: str = "raise") -> Self:
        """Load."""
        self = cls(model, policy, late=late)
        with open(path, "rb") as file:
            found = json.loads(file.read())
        self.metadata = found["metadata"]
        for run, k in found["kept"]:
            self.kept[tuple(run) if isinstance(run, list) else run] = {
                **k,
                "times": [pd.Timestamp(t) for t in k["times"]],
                "since": None if k["since"] == "None" else pd.Timestamp(k["since"]),
            }
        return self
