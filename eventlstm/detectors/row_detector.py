"""What a detector of anomalies does inside: it checks a log, fits models to its quiet rows and scores rows by them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import check_consistent_length

from .._validation import check_is_fitted
from ..logs.checking import (
    check_log_values,
    cut_as_learnt,
    learn_index,
    refuse_lost_index,
    refuse_other_index,
    warn_if_torn,
)
from ..logs.index import RowIndex, read_index
from ..logs.input_scaler import InputScaler
from ..logs.rows import Rows
from ..recurrent.lstm_forecaster import LSTMForecaster
from ..recurrent.members import make_members, refuse_unseeded_checkpoints
from .error_scorer import ErrorScorer, smooth
from .row_models import FARTHEST, RowModels, StepForecasts, View, choose_kind

# What the members forecast, in turn.
TARGETS = {"level": ("level",), "change": ("change",), "both": ("level", "change")}
# Rows learnt in a chunk of step-by-step training, as a multiple of the rows of history before them: 32 + 64 by default.
CHUNK_RATIO = 2
# Quiet rows below which there is nothing to learn from and to hold out.
FEWEST_ROWS = 5


class RowDetector(OutlierMixin, BaseEstimator):
    """Base of `AnomalyDetector`, which describes the parameters."""

    def _check_fit(self, X: Any, y: Any) -> tuple[Rows, RowIndex]:
        """Check a log, learn what it is made of, label its quiet rows and weigh those that can be learnt from."""
        values = check_log_values(self, X, reset=True)
        index = read_index(X)
        learn_index(self, X, index)
        starts = cut_as_learnt(self, index)
        quiet = self._find_quiet(X, y, len(values))
        if quiet.sum() < FEWEST_ROWS:
            raise ValueError(
                f"{int(quiet.sum())} quiet rows came (n_samples={len(values)}), and {FEWEST_ROWS} or more are wanted. "
                f"Pass a longer log, or see that y holds normal_label={self.normal_label!r} on quiet rows."
            )
        warn_if_torn(index, starts, self.window_size)
        log = Rows(values, starts, index.runs[starts], quiet, None)
        return log._replace(weight=_settled(log, self.window_size)), index

    def _find_quiet(self, X: Any, y: Any, n_rows: int) -> np.ndarray:
        if y is None or self.normal_label is None:
            return np.ones(n_rows, dtype=bool)
        refuse_other_index(X, y)
        labels = column_or_1d(y)
        check_consistent_length(X, labels)
        quiet: np.ndarray = np.asarray(labels == self.normal_label)
        return quiet

    def _check_log(self, X: Any) -> Rows:
        """Return a log to score."""
        check_is_fitted(self, "offset_")
        refuse_lost_index(X, self.index_names_)
        values = check_log_values(self, X, reset=False)
        index = read_index(X)
        starts = cut_as_learnt(self, index)
        warn_if_torn(index, starts, self.window_size)
        return Rows(values, starts, index.runs[starts], None, None)

    def _learn(self, log: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Fit all on the quiet rows of a log; return what each sensor adds to the score of each row, and held rows."""
        held = self._hold_out(log)
        self._fit_view(log)
        template = self._template()
        refuse_unseeded_checkpoints(template, self)
        _refuse_codes(template)
        members = make_members(template, self.n_estimators, check_random_state(self.random_state), self.verbose)
        self.estimators_ = self._models(members).fit(*split_rows(log, held), self.n_jobs)
        errors = self._models(self.estimators_).errors(log, self.n_jobs)
        self.scorer_ = None
        if choose_kind(template).gives_errors:
            scorer = ErrorScorer(norm=self.norm, cap=self.cap, shrinkage=self.shrinkage)
            self.scorer_ = scorer.fit(errors, log.weight)
            self.cold_ = self._learn_cold_starts(log, scorer)
        parts = self._of_errors(errors, log.starts)
        self.quiet_parts_ = parts[log.weight > 0].mean(axis=0)
        return parts, held

    def _template(self) -> Any:
        return default_forecaster() if self.estimator is None else self.estimator

    def _fit_view(self, log: Rows) -> None:
        """Learn what the models see of the sensors, and in which units errors are measured."""
        wanted = {"starts": log.starts, "sample_weight": log.weight}
        self.levels_ = InputScaler("level", clip=FARTHEST, robust=False).fit(log.values, **wanted)
        quiet = self.levels_.transform(log.values, starts=log.starts)[log.weight > 0]
        self.still_ = np.ptp(quiet, axis=0) == 0
        relative = self.inputs == "relative"
        self.relative_ = InputScaler("relative").fit(log.values, **wanted) if relative else None

    def _models(self, members: list[Any]) -> RowModels:
        kind = choose_kind(members[0])
        stride = self.stride
        if stride == "auto":
            stride = CHUNK_RATIO * self.window_size if issubclass(kind, StepForecasts) else 1
        view = View(self.levels_, self.relative_, self.clip, self.still_)
        return kind(members, view, TARGETS[self.targets], self.window_size, int(stride))

    def _hold_out(self, log: Rows) -> np.ndarray:
        """Return which rows are held out: those of each run from the first of its last quiet rows on."""
        run = np.repeat(log.runs, np.diff(np.append(log.starts, len(log.values))))
        held = _last_rows(run, log.weight > 0, self.validation_fraction)
        if not held.any():  # runs of a few rows: the last of all
            held = _last_rows(np.zeros_like(run), log.weight > 0, self.validation_fraction)
        if not held.any():
            raise ValueError(
                f"validation_fraction={self.validation_fraction} of {int((log.weight > 0).sum())} quiet rows is less "
                "than one row. Raise it, or pass a longer log."
            )
        return held

    def _trim(self, log: Rows, score: np.ndarray) -> Rows:
        """Return a log whose rows with the highest scores are no longer quiet."""
        quiet = log.labels & (score <= np.quantile(score[log.labels], 1.0 - self.trim))
        log = log._replace(labels=quiet)
        return log._replace(weight=_settled(log, self.window_size))

    def _keep_quiet(self, log: Rows, index: RowIndex, parts: np.ndarray, held: np.ndarray) -> None:
        """Keep the scores of the quiet rows, as they are while no other rows have gone into the mean."""
        counted = log.weight > 0
        borders = np.flatnonzero(np.diff(counted, prepend=counted[:1]))
        score = self._score(parts, np.union1d(log.starts, borders))
        rows = {"score": score, "run": index.runs, "time": index.times, "held_out": held}
        self.quiet_ = {name: values[counted] for name, values in rows.items()}

    def _learn_cold_starts(self, log: Rows, scorer: ErrorScorer) -> np.ndarray:
        """Return how many times larger errors are on the first rows of a stretch, (n_first, n_sensors).

        Models know little there, in every run and after every gap. They are started anew all over the quiet rows; where
        starts are few, sensors share what was seen of all.
        """
        borders = np.flatnonzero(np.diff(log.weight > 0, prepend=0))
        begins = np.union1d(log.starts, borders)
        ends = np.append(begins[1:], len(log.values))
        pieces = [np.arange(begin, end, self.window_size) for begin, end in zip(begins, ends, strict=True)]
        starts = np.concatenate(pieces)
        models = self._models(self.estimators_)
        errors = models.errors(log._replace(starts=starts, runs=np.arange(len(starts))), self.n_jobs)
        place, quiet = steps_in_stretch(starts, len(errors)), log.weight > 0
        squares = np.clip(errors / scorer.scale_, -self.cap, self.cap) ** 2
        larger = np.ones((self.window_size - (not models.looks_ahead), errors.shape[1]))
        for age in range(len(larger)):
            seen = squares[quiet & (place == age)]
            if len(seen):
                larger[age] = (seen.sum(axis=0) + self.shrinkage * seen.mean()) / (len(seen) + self.shrinkage)
        return np.sqrt(np.maximum(larger, 1.0))

    def _parts(self, log: Rows) -> np.ndarray:
        """Return what each sensor adds to the score of each row, (n_rows, n_sensors), before it is smoothed."""
        return self._of_errors(self._models(self.estimators_).errors(log, self.n_jobs), log.starts)

    def _score(self, parts: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Return the score of each row, (n_rows,)."""
        return self._smooth(parts.sum(axis=1, keepdims=True), starts, self.quiet_parts_.sum(keepdims=True))[:, 0]

    def _of_errors(self, errors: np.ndarray, starts: np.ndarray) -> np.ndarray:
        if self.scorer_ is None:
            return errors
        place = steps_in_stretch(starts, len(errors))
        young = place < len(self.cold_)
        errors[young] /= self.cold_[place[young]]
        return self.scorer_.parts(errors)

    def _smooth(self, parts: np.ndarray, starts: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Smooth each stretch by itself; before it, nothing is known but what quiet rows are like, `before`."""
        if self.smoothing <= 1:
            return parts
        return np.concatenate(
            [smooth(part, self.smoothing, before, self.average) for part in np.split(parts, starts[1:])]
        )


def default_forecaster() -> LSTMForecaster:
    """Return the forecaster that learns the quiet rows unless another estimator is named."""
    return LSTMForecaster(
        optimizer="adam",
        weight_decay=0.0,
        schedule="constant",
        dropout=0.2,
        batch_size=8,
        max_epochs=60,
        early_stopping=True,
        n_iter_no_change=10,
    )


def _refuse_codes(template: Any) -> None:
    """Refuse an estimator that is told of codes: here all channels are measurements."""
    told = [codes for name, codes in template.get_params().items() if name.endswith("categorical_channels")]
    if any(codes is not None for codes in told):
        raise ValueError(
            f"categorical_channels of {type(template).__name__} hold codes, which have no error. Leave them out."
        )


def _settled(log: Rows, window_size: int) -> np.ndarray:
    """Return which rows are quiet, and far enough from those that are not to owe nothing to them, as weights.

    That is `window_size` rows, or fewer where it would cost more than half of the quiet rows.
    """
    # What was forecast from within a large event made the scales of quiet errors up to 100 times too large: average
    # precision .44, and .56 without these rows (made logs, events marked).
    rows = np.arange(len(log.values))
    last_loud = np.maximum.accumulate(np.where(log.labels, -np.inf, rows))
    first = np.repeat(log.starts, np.diff(np.append(log.starts, len(rows))))
    distance = np.where(last_loud >= first, rows - last_loud, np.inf)
    settled: np.ndarray = log.labels & (distance >= min(window_size + 1, np.median(distance[log.labels])))
    return settled.astype(float)


def _last_rows(run: np.ndarray, quiet: np.ndarray, share: float) -> np.ndarray:
    """Return which rows are among, or behind, the last `share` of the quiet rows of each run."""
    first = np.searchsorted(run, run)
    so_far = np.append(0, np.cumsum(quiet))
    n_before = so_far[:-1] - so_far[first]  # quiet rows of the run before each row
    n_quiet = np.bincount(run, weights=quiet)[run]
    n_held = np.floor(share * n_quiet)
    held: np.ndarray = (n_before >= n_quiet - n_held) & (n_held > 0)
    return held


def steps_in_stretch(starts: np.ndarray, n_rows: int) -> np.ndarray:
    """Return how many rows of its stretch are before each row."""
    return np.arange(n_rows) - np.repeat(starts, np.diff(np.append(starts, n_rows)))


def split_rows(log: Rows, held: np.ndarray) -> tuple[Rows, Rows]:
    """Return the rows to train on and those held out, which begin stretches of their own."""
    borders = np.flatnonzero(np.diff(held, prepend=held[:1]))
    starts = np.union1d(log.starts, borders)
    stretch = np.searchsorted(log.starts, starts, side="right") - 1
    cut = log._replace(starts=starts, runs=log.runs[stretch])
    return cut.take(~held[starts]), cut.take(held[starts])
