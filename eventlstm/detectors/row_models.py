"""Models of quiet rows: what each says of a log, as errors by sensor ``(n_rows, n_sensors)`` or one score a row.

A model sees the channels of a log (`View`) and is one of five kinds, told by what the estimator offers: it forecasts
step by step, forecasts from windows (any regressor), reconstructs windows, projects them and back, or only scores them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from itertools import cycle, repeat
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.multioutput import MultiOutputRegressor

from ..alarms.model_scores import score_rows
from ..logs.causal_features import CausalFeatures, with_lags
from ..logs.input_scaler import InputScaler
from ..logs.lanes import walk
from ..logs.log_windows import LogWindows
from ..logs.rows import Rows
from ..recurrent.members import as_input, by_block, has_tags, set_n_channels, stops_early, takes_3d
from ..training.crew import crew, side_by_side, train_side_by_side

# Values of windows learnt by a member that wants them all at once: half a GB, of windows spread evenly over the log.
MOST_VALUES = 2**26
# The farthest level, in deviations: beyond it nothing is more abnormal, and the squares of float32 would overflow.
FARTHEST = 1e6
# What scikit-learn's regressors of a single target say of several.
ONE_TARGET = "1d array"


class View(NamedTuple):
    """How models see a log."""

    levels: InputScaler  # sensors by deviations, as good as not clipped: what forecasts are compared with
    relative: InputScaler | CausalFeatures | None  # channels, levels first, that the inputs then are
    clip: float  # largest absolute level among the inputs
    still: np.ndarray  # (n_sensors,) sensors that never moved on quiet rows; networks never quite say a constant

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

    def clipped_off(self, inputs: np.ndarray, levels: np.ndarray) -> np.ndarray | float:
        """Return by how much the levels are beyond what models are shown of them, (n_rows, n_sensors)."""
        return levels - inputs if self.relative is None else 0.0  # the relative view bends levels and clips nothing


class RowModels(ABC):
    """Several models of one kind, whose forecasts or scores are averaged; subclasses know a kind."""

    gives_errors = True  # or one score a row
    looks_ahead = False  # whether a row is judged by those before it alone: the first of a stretch has none

    def __init__(self, members: list[Any], view: View, targets: tuple[str, ...], window_size: int, stride: int) -> None:
        self.members, self.view, self.targets = members, view, targets
        self.window_size, self.stride = window_size, stride

    def fit(self, train: Rows, held: Rows, n_jobs: int | None) -> list[Any]:
        """Return the members fitted on the rows with weight; `held` is there for those that watch a loss."""
        seen, watched = (*self.view.see(train), train), (*self.view.see(held), held)
        members = self.members, cycle(self.targets)
        return train_side_by_side(self._fit_member, n_jobs, *members, repeat(seen), repeat(watched))

    @abstractmethod
    def errors(self, log: Rows, n_jobs: int | None) -> np.ndarray:
        """Return the mean error of the members at each row, (n_rows, n_sensors), or their scores, (n_rows, 1)."""

    @abstractmethod
    def step(self, lanes: np.ndarray, state: Any, call: Callable[..., list[Any]]) -> tuple[np.ndarray, Any]:
        """Return the errors (n_lanes, n_rows, n_sensors) at some rows of stretches, and the state after them.

        `call` is that of a crew; the state is None where stretches begin.
        """

    @abstractmethod
    def _fit_member(self, member: Any, target: str, seen: Any, watched: Any) -> Any:
        """Return one member fitted on inputs, levels and rows, beside those to watch."""


class WindowModels(RowModels):
    """Models of windows: each row is judged by the window that ends there, or by the one before."""

    def errors(self, log: Rows, n_jobs: int | None) -> np.ndarray:
        """Return the mean error of the members at each row, (n_rows, n_sensors), or their scores, (n_rows, 1)."""
        seen = (*self.view.see(log), log)
        turns = side_by_side(self._errors, n_jobs, self.members, cycle(self.targets), repeat(seen))
        mean: np.ndarray = np.mean(turns, axis=0)
        return mean

    def step(self, lanes: np.ndarray, state: Any, call: Callable[..., list[Any]]) -> tuple[np.ndarray, Any]:
        """Return the errors at some rows of stretches, and the state after them."""
        past, before, expected = state or (None, None, None)
        inputs, levels, past = self.view.see_steps(lanes, past)
        lagged, before = with_lags(inputs, self.window_size, before)
        windows = lagged.reshape(-1, self.window_size, inputs.shape[-1])
        rows = (repeat(part.reshape(-1, part.shape[-1])) for part in (inputs, levels))
        turns = call(self._say, self.members, cycle(self.targets), repeat(windows), *rows)
        said = np.stack([turn.reshape(*lanes.shape[:2], -1) for turn in turns])  # (n_members, n_lanes, n_rows, n)
        errors, expected = self._misses(said, levels, expected)
        mean: np.ndarray = np.mean(errors, axis=0)
        return mean, (past, before, expected)

    @abstractmethod
    def _say(self, member: Any, target: str, windows: np.ndarray, inputs: np.ndarray, levels: np.ndarray) -> Any:
        """Return what one member says of windows that end at some rows."""

    def _misses(self, said: np.ndarray, levels: np.ndarray, expected: Any) -> tuple[np.ndarray, Any]:
        """Return the errors of the members, and what they expect of the row after the last."""
        return said, None

    def _fit_member(self, member: Any, target: str, seen: Any, watched: Any) -> Any:
        inputs, _, log = seen
        windows = self._cut_quiet(inputs, log)
        windows = windows.take(refuse_empty(learnable(member, windows)))
        if has_tags(member):
            set_n_channels(member, windows)
        if not (takes_3d(member) and stops_early(member)):  # scikit-learn's boosting stops early on rows of its own
            return member.fit(as_input(member, windows))
        inputs, _, log = watched
        held = self._cut_quiet(inputs, log)
        refuse_empty(held.ends)
        return member.fit(windows, X_val=held)

    @abstractmethod
    def _errors(self, member: Any, target: str, seen: Any) -> np.ndarray:
        """Return the errors, or the scores, of one member."""

    def _cut(self, inputs: np.ndarray, log: Rows, stride: int = 1) -> LogWindows:
        """Return the window that ends at each row, or at every `stride`-th."""
        return LogWindows.from_stretches(inputs, log.starts, self.window_size, stride=stride)

    def _cut_quiet(self, inputs: np.ndarray, log: Rows) -> LogWindows:
        """Return the windows to learn: those that end at a quiet row."""
        windows = self._cut(inputs, log, stride=self.stride)
        return windows.take(np.flatnonzero(log.weight[windows.ends] > 0))


class StepForecasts(RowModels):
    """Forecasters that go through a log step by step, with `fit_steps` and `predict_steps`."""

    looks_ahead = True

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
        next_row = np.array(forecast[..., 0, :], dtype=np.float64)
        next_row[..., self.view.still] = 0.0  # the level at which they stood, or no change
        return (next_row + levels if target == "change" else next_row), state

    def _fit_member(self, member: Any, target: str, seen: Any, watched: Any) -> Any:
        parts: dict[str, Any] = {}
        for suffix, (inputs, levels, log) in (("", seen), ("_val", watched)):
            parts[f"X{suffix}"], parts[f"starts{suffix}"] = inputs, log.starts
            parts[f"sample_weight{suffix}"] = log.weight
            parts[f"Y{suffix}"] = levels if target == "level" else changes(levels, log.starts)
        return member.fit_steps(**parts, burn_in=self.window_size, stride=self.stride)


class WindowForecasts(WindowModels):
    """Regressors that forecast a row from the window before it."""

    looks_ahead = True

    def _fit_member(self, member: Any, target: str, seen: Any, watched: Any) -> Any:
        windows, wanted = self._examples(member, target, *seen)
        if has_tags(member):
            set_n_channels(member, windows)
        if takes_3d(member) and stops_early(member):
            windows_val, wanted_val = self._examples(member, target, *watched)
            return member.fit(windows, wanted, X_val=windows_val, y_val=wanted_val)
        inputs = as_input(member, windows)
        try:
            return member.fit(inputs, wanted)
        except ValueError as error:
            if ONE_TARGET not in str(error):
                raise
            return MultiOutputRegressor(member).fit(inputs, wanted)

    def _examples(
        self, member: Any, target: str, inputs: np.ndarray, levels: np.ndarray, log: Rows
    ) -> tuple[LogWindows, np.ndarray]:
        """Return windows that a quiet row follows, and what is to be forecast of it, flat for one sensor."""
        windows = self._cut(inputs, log, stride=self.stride)
        last = np.append(log.starts[1:], len(levels)) - 1
        followed = ~np.isin(windows.ends, last) & (log.weight[np.minimum(windows.ends + 1, len(levels) - 1)] > 0)
        windows = windows.take(np.flatnonzero(followed))
        windows = windows.take(refuse_empty(learnable(member, windows)))
        rows = windows.ends + 1
        wanted = levels[rows] - levels[windows.ends] if target == "change" else levels[rows]
        return windows, wanted.ravel() if wanted.shape[1] == 1 else wanted

    def _errors(self, member: Any, target: str, seen: Any) -> np.ndarray:
        inputs, levels, log = seen
        forecast = self.forecast(member, target, self._cut(inputs, log), levels)
        before = np.arange(len(levels)) - 1
        before[log.starts] = log.starts  # before the first row of a stretch there are copies of it
        return levels - forecast[before]

    def _say(self, member: Any, target: str, windows: np.ndarray, inputs: np.ndarray, levels: np.ndarray) -> Any:
        return self.forecast(member, target, windows, levels)

    def _misses(self, said: np.ndarray, levels: np.ndarray, expected: Any) -> tuple[np.ndarray, Any]:
        expected = said[:, :, :1] if expected is None else expected  # before a stretch there are copies of its first
        return levels - np.concatenate([expected, said[:, :, :-1]], axis=2), said[:, :, -1:].copy()

    def forecast(self, member: Any, target: str, windows: LogWindows | np.ndarray, levels: np.ndarray) -> np.ndarray:
        """Return what one member forecasts (n_windows, n_sensors) of the row after each window.

        `levels` (n_windows, n_sensors) are those of the rows that the windows end at.
        """
        forecast = by_block(member.predict, windows, whole=takes_3d(member)).reshape(levels.shape)
        return forecast + levels if target == "change" else forecast


class JudgedWindows(WindowModels):
    """Models that judge a row by the window that ends there."""

    @abstractmethod
    def judge(
        self, member: Any, windows: LogWindows | np.ndarray, inputs: np.ndarray, levels: np.ndarray
    ) -> np.ndarray:
        """Return the errors (n_windows, n_sensors), or the scores, of one member at the rows that windows end at.

        `inputs` (n_windows, n_channels) and `levels` (n_windows, n_sensors) are what the models see of these rows.
        """

    def _errors(self, member: Any, target: str, seen: Any) -> np.ndarray:
        inputs, levels, log = seen
        return self.judge(member, self._cut(inputs, log), inputs, levels)

    def _say(self, member: Any, target: str, windows: np.ndarray, inputs: np.ndarray, levels: np.ndarray) -> Any:
        return self.judge(member, windows, inputs, levels)


class Reconstructions(JudgedWindows):
    """Autoencoders, whose error is that of the last row of each window."""

    def judge(
        self, member: Any, windows: LogWindows | np.ndarray, inputs: np.ndarray, levels: np.ndarray
    ) -> np.ndarray:
        """Return by how much the reconstruction misses each sensor at the last row of windows."""
        missed = getattr(member, "last_step_errors", lambda block: block[:, -1] - member.reconstruct(block)[:, -1])
        errors = by_block(missed, windows, whole=takes_3d(member))[:, : levels.shape[1]]
        errors = errors + self.view.clipped_off(inputs, levels)
        errors[:, self.view.still] = levels[:, self.view.still]
        return errors


class Projections(JudgedWindows):
    """Transformers that lead back, such as PCA, whose error is that of the last row of each window."""

    def judge(
        self, member: Any, windows: LogWindows | np.ndarray, inputs: np.ndarray, levels: np.ndarray
    ) -> np.ndarray:
        """Return by how much the way there and back misses each sensor at the last row of windows."""

        def missed(block: np.ndarray) -> np.ndarray:
            back = np.asarray(member.inverse_transform(member.transform(block)))
            return (block - back).reshape(len(block), -1, inputs.shape[1])[:, -1, : levels.shape[1]]

        return by_block(missed, windows, whole=takes_3d(member)) + self.view.clipped_off(inputs, levels)


class OutlierScores(JudgedWindows):
    """Outlier detectors that only score windows; high is abnormal."""

    gives_errors = False

    def judge(
        self, member: Any, windows: LogWindows | np.ndarray, inputs: np.ndarray, levels: np.ndarray
    ) -> np.ndarray:
        """Return the score of windows."""
        score = by_block(partial(score_rows, member), windows, whole=takes_3d(member))
        return score.reshape(-1, 1).astype(np.float64)


def choose_kind(estimator: Any) -> type[RowModels]:
    """Return the kind of an estimator, by what it offers."""
    if hasattr(estimator, "fit_steps") and hasattr(estimator, "predict_steps"):
        causal = not getattr(estimator, "bidirectional", False) and getattr(estimator, "pooling", "last") == "last"
        return StepForecasts if causal else WindowForecasts
    if hasattr(estimator, "reconstruct"):
        return Reconstructions
    if has_tags(estimator) and is_regressor(estimator):
        return WindowForecasts
    if hasattr(estimator, "inverse_transform"):
        return Projections
    scores = hasattr(estimator, "score_samples") or hasattr(estimator, "decision_function")
    if scores and not (has_tags(estimator) and is_classifier(estimator)):
        return OutlierScores
    raise ValueError(
        f"{type(estimator).__name__} neither forecasts nor reconstructs nor scores. Pass LSTMForecaster, "
        "LSTMAutoencoder, a regressor, a transformer with inverse_transform, or an outlier detector with score_samples "
        "(LocalOutlierFactor has it with novelty=True)."
    )


def learnable(member: Any, windows: LogWindows) -> np.ndarray:
    """Return the windows to learn from: all, or as many as memory holds for a member that wants them at once."""
    most = len(windows) if takes_3d(member) else MOST_VALUES // (windows.shape[1] * windows.shape[2])
    return np.unique(np.linspace(0, len(windows) - 1, min(most, len(windows))).astype(int))


def refuse_empty(items: np.ndarray) -> np.ndarray:
    """Refuse to learn from nothing."""
    if len(items):
        return items
    raise ValueError(
        "No window is left to learn from: none ends at a quiet row, or of a regressor, none before one. Lower stride, "
        "raise max_gap, or pass longer quiet stretches."
    )


def changes(levels: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return by how much each row differs from the row before in its stretch, 0 for the first."""
    moved = np.diff(levels, axis=0, prepend=levels[:1])
    moved[starts] = 0.0
    return moved
