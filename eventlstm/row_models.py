"""Models of quiet rows: what each says of a log, as errors by sensor ``(n_rows, n_sensors)`` or one score a row.

A model sees the channels of a log (`View`) and is one of five kinds, told by what the estimator offers: it forecasts
step by step, forecasts from windows (any regressor), reconstructs windows, projects them and back, or only scores them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle, repeat
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_regressor

from .checked_log import Rows
from .inputs import InputScaler
from .lanes import walk
from .members import as_input, crew, flatten, side_by_side, takes_windows
from .windows import LogWindows

# Windows handed to a model at a time.
BLOCK = 8192


class View(NamedTuple):
    """How models see a log."""

    levels: InputScaler  # sensors by deviations, not clipped: what errors are measured in
    relative: InputScaler | None  # channels beside the levels, which the inputs then are
    clip: float  # largest absolute level among the inputs

    def see_steps(self, lanes: np.ndarray, past: Any = None) -> tuple[np.ndarray, np.ndarray, Any]:
        """Return inputs and levels of lanes (n_lanes, n_rows, n_sensors), and the state to go on from."""
        levels, _ = self.levels.transform_steps(lanes)
        if self.relative is None:
            return np.clip(levels, -self.clip, self.clip), levels, None
        inputs, past = self.relative.transform_steps(lanes, past)
        return inputs, levels, past

    def see(self, log: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs and levels of a log, each (n_rows, n_channels)."""
        levels = self.levels.transform(log.values, starts=log.starts)
        if self.relative is None:
            return np.clip(levels, -self.clip, self.clip), levels
        return self.relative.transform(log.values, starts=log.starts), levels


class RowModels:
    """Several models of one kind, whose forecasts or scores are averaged; subclasses know a kind."""

    gives_errors = True

    def __init__(self, members: list[Any], view: View, targets: tuple[str, ...], window_size: int, stride: int) -> None:
        self.members, self.view, self.targets = members, view, targets
        self.window_size, self.stride = window_size, stride

    def fit(self, train: Rows, held: Rows, n_jobs: int | None) -> None:
        """Fit the members on the rows with weight; `held` is there for those that watch a loss."""
        seen, watched = (*self.view.see(train), train), (*self.view.see(held), held)
        self.members = side_by_side(
            self._fit_member, n_jobs, self.members, cycle(self.targets), repeat(seen), repeat(watched)
        )

    def errors(self, log: Rows, n_jobs: int | None) -> np.ndarray:
        """Return the mean error of the members at each row, (n_rows, n_sensors), or their scores, (n_rows, 1)."""
        seen = (*self.view.see(log), log)
        turns = side_by_side(self._errors, n_jobs, self.members, cycle(self.targets), repeat(seen))
        mean: np.ndarray = np.mean(turns, axis=0)
        return mean

    def _fit_member(self, member: Any, target: str, seen: Any, watched: Any) -> Any:
        windows = self._cut(seen[0], seen[2], stride=self.stride, quiet=True)
        return member.fit(self._as_input(member, windows))

    def _errors(self, member: Any, target: str, seen: Any) -> np.ndarray:
        raise NotImplementedError

    def _cut(self, inputs: np.ndarray, log: Rows, *, stride: int = 1, quiet: bool = False) -> LogWindows:
        """Return the window that ends at each row; with `quiet`, only those whose own rows are all quiet."""
        windows = LogWindows.from_stretches(inputs, log.starts, self.window_size, stride=stride)
        if not quiet:
            return windows
        loud = np.concatenate([[0], np.cumsum(log.weight <= 0)])
        first = log.starts[np.searchsorted(log.starts, windows.ends, side="right") - 1]
        begins = np.maximum(windows.ends + 1 - self.window_size, first)
        kept = np.flatnonzero(loud[windows.ends + 1] == loud[begins])
        if not len(kept):
            raise ValueError(
                f"No window of window_size={self.window_size} rows holds quiet rows only. Lower window_size, or mark "
                "longer quiet stretches."
            )
        return windows.take(kept)

    def _as_input(self, member: Any, windows: LogWindows) -> Any:
        return as_input(member, windows)

    def _by_block(self, function: Callable[[Any], np.ndarray], member: Any, windows: LogWindows) -> np.ndarray:
        """Call a method of a member for all windows, some at a time."""
        blocks = (windows[k : k + BLOCK] for k in range(0, len(windows), BLOCK))
        whole = takes_windows(member)
        return np.concatenate([np.asarray(function(block if whole else flatten(block))) for block in blocks])


class StepForecasts(RowModels):
    """Forecasters that go through a log step by step, with `fit_steps` and `predict_steps`."""

    def errors(self, log: Rows, n_jobs: int | None) -> np.ndarray:
        """Return the error of the mean forecast of each row, (n_rows, n_sensors)."""
        out = np.empty(log.values.shape)
        with crew(n_jobs, len(self.members)) as call:

            def step(lanes: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
                return self.step(lanes, state, call)

            return walk(step, log.values, log.starts, out, warm_up=self.window_size)

    def step(self, lanes: np.ndarray, state: Any, call: Callable[..., list[Any]]) -> tuple[np.ndarray, Any]:
        """Return the errors (n_lanes, n_rows, n_sensors) at some rows of stretches, and the state after them.

        The state is None where stretches begin; the first row there has no forecast, and no error.
        """
        past, states, expected = state or (None, repeat(None), None)
        inputs, levels, past = self.view.see_steps(lanes, past)
        turns = call(self._forecast, self.members, cycle(self.targets), repeat(inputs), repeat(levels), states)
        forecasts, states = zip(*turns, strict=True)
        forecast = np.mean(forecasts, axis=0)  # (n_lanes, n_rows, n_sensors), each of the row after
        expected = levels[:, :1] if expected is None else expected
        errors = levels - np.concatenate([expected, forecast[:, :-1]], axis=1)
        return errors, (past, states, forecast[:, -1:].copy())

    def _forecast(
        self, member: Any, target: str, inputs: np.ndarray, levels: np.ndarray, state: Any
    ) -> tuple[np.ndarray, Any]:
        forecast, state = member.predict_steps(inputs, state)
        next_row = np.asarray(forecast[..., 0, :], dtype=np.float64)
        return (next_row + levels if target == "change" else next_row), state

    def _fit_member(self, member: Any, target: str, seen: Any, watched: Any) -> Any:
        parts: dict[str, Any] = {}
        for suffix, (inputs, levels, log) in (("", seen), ("_val", watched)):
            parts[f"X{suffix}"], parts[f"starts{suffix}"] = inputs, log.starts
            parts[f"sample_weight{suffix}"] = log.weight
            parts[f"Y{suffix}"] = levels if target == "level" else changes(levels, log.starts)
        return member.fit_steps(**parts, burn_in=self.window_size, stride=self.stride)


class WindowForecasts(RowModels):
    """Regressors that forecast a row from the window before it."""

    def _fit_member(self, member: Any, target: str, seen: Any, watched: Any) -> Any:
        inputs, levels, log = seen
        windows = self._cut(inputs, log, stride=self.stride, quiet=True)
        last = np.append(log.starts[1:], len(levels)) - 1
        windows = windows.take(np.flatnonzero(~np.isin(windows.ends, last)))
        rows = windows.ends + 1
        windows = windows.take(np.flatnonzero(log.weight[rows] > 0))
        rows = windows.ends + 1
        wanted = levels[rows] - levels[windows.ends] if target == "change" else levels[rows]
        return member.fit(self._as_input(member, windows), wanted)

    def _errors(self, member: Any, target: str, seen: Any) -> np.ndarray:
        inputs, levels, log = seen
        forecast = self._by_block(member.predict, member, self._cut(inputs, log)).reshape(levels.shape)
        forecast = forecast + levels if target == "change" else forecast
        before = np.arange(len(levels)) - 1
        before[log.starts] = log.starts  # before the first row of a stretch there are copies of it
        return levels - forecast[before]


class Reconstructions(RowModels):
    """Autoencoders, whose error is that of the last row of each window."""

    def _errors(self, member: Any, target: str, seen: Any) -> np.ndarray:
        inputs, levels, log = seen
        windows = self._cut(inputs, log)
        last = self._by_block(lambda block: member.reconstruct(block)[:, -1], member, windows)
        return levels - last[:, : levels.shape[1]]


class Projections(RowModels):
    """Transformers that lead back, such as PCA, whose error is that of the last row of each window."""

    def _errors(self, member: Any, target: str, seen: Any) -> np.ndarray:
        inputs, levels, log = seen
        n_channels = inputs.shape[1]

        def last_row(block: np.ndarray) -> np.ndarray:
            back = np.asarray(member.inverse_transform(member.transform(block)))
            return back.reshape(len(back), -1, n_channels)[:, -1, : levels.shape[1]]

        return levels - self._by_block(last_row, member, self._cut(inputs, log))


class Scores(RowModels):
    """Outlier detectors that only score windows; high is abnormal."""

    gives_errors = False

    def _errors(self, member: Any, target: str, seen: Any) -> np.ndarray:
        score = self._by_block(abnormality(member), member, self._cut(seen[0], seen[2]))
        return score.reshape(-1, 1).astype(np.float64)


def choose_kind(estimator: Any) -> type[RowModels]:
    """Return the kind of an estimator, by what it offers."""
    if hasattr(estimator, "fit_steps") and hasattr(estimator, "predict_steps"):
        return StepForecasts
    if hasattr(estimator, "reconstruct"):
        return Reconstructions
    if is_regressor(estimator):
        return WindowForecasts
    if hasattr(estimator, "score_samples") or hasattr(estimator, "decision_function"):
        return Projections if hasattr(estimator, "inverse_transform") else Scores
    if hasattr(estimator, "inverse_transform"):
        return Projections
    raise ValueError(
        f"{type(estimator).__name__} neither forecasts nor reconstructs nor scores. Pass LSTMForecaster, "
        "LSTMAutoencoder, a regressor, a transformer with inverse_transform, or an outlier detector with score_samples."
    )


def abnormality(detector: Any) -> Callable[[Any], np.ndarray]:
    """Return a function of samples that is high where they are abnormal, whatever the detector's own sign.

    scikit-learn's `score_samples` and `decision_function` are high for normal samples; PyOD's `decision_function`,
    whose detectors keep `decision_scores_`, is high for abnormal ones.
    """
    if hasattr(detector, "anomaly_score"):
        return detector.anomaly_score
    if hasattr(detector, "decision_scores_"):
        return detector.decision_function
    if hasattr(detector, "score_samples"):
        return lambda X: -detector.score_samples(X)
    return lambda X: -detector.decision_function(X)


def changes(levels: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return by how much each row differs from the row before in its stretch, 0 for the first."""
    moved = np.diff(levels, axis=0, prepend=levels[:1])
    moved[starts] = 0.0
    return moved
