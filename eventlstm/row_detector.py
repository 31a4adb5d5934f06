"""What a detector of anomalies does inside: it checks a log, fits models to its quiet rows and scores rows by them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import check_consistent_length

from ._validation import check_is_fitted, check_log_values
from .checked_log import Rows, refuse_lost_index, refuse_other_index, says_time, warn_if_torn
from .error_scoring import ErrorScorer, smooth
from .events import row_labels
from .forecaster import LSTMForecaster
from .inputs import InputScaler
from .log_index import RowIndex, cut_stretches, longest_step, read_index
from .members import make_members, refuse_unseeded_checkpoints
from .row_models import RowModels, StepForecasts, View, choose_kind

# What the members forecast, in turn.
TARGETS = {"level": ("level",), "change": ("change",), "both": ("level", "change")}
# Rows learnt in a chunk of step-by-step training, as a multiple of the rows of history before them: 32 + 64 by default.
CHUNK_RATIO = 2
# Quiet rows below which there is nothing to learn from and to hold out.
FEWEST_ROWS = 5


class RowDetector(OutlierMixin, BaseEstimator):
    """Base of `AnomalyDetector`, which describes the parameters."""

    def _check_fit(self, X: Any, y: Any) -> Rows:
        """Check a log, learn what it is made of, and mark its quiet rows by their weight."""
        values = check_log_values(self, X, reset=True)
        index = read_index(X)
        self.max_gap_, self.has_dates_ = longest_step(index, self.max_gap), index.is_datetime
        starts = cut_stretches(index, self.max_gap_)
        self.index_names_ = list(X.index.names) if says_time(X) else None
        quiet = self._find_quiet(X, y, len(values))
        if quiet.sum() < FEWEST_ROWS:
            raise ValueError(
                f"{int(quiet.sum())} quiet rows came (n_samples={len(values)}), and {FEWEST_ROWS} or more are wanted. "
                f"Pass a longer log, or see that y holds normal_label={self.normal_label!r} on quiet rows."
            )
        warn_if_torn(index, starts, self.window_size)
        return Rows(values, starts, index.runs[starts], np.zeros(len(values)), quiet.astype(float))

    def _find_quiet(self, X: Any, y: Any, n_rows: int) -> np.ndarray:
        if y is None or self.normal_label is None:
            return np.ones(n_rows, dtype=bool)
        refuse_other_index(X, y)
        labels = column_or_1d(y)
        check_consistent_length(X, labels)
        quiet: np.ndarray = np.asarray(labels == self.normal_label)
        return quiet

    def _check_log(self, X: Any) -> tuple[Rows, pd.Index]:
        """Return a log to score, and the index that says what its rows are."""
        check_is_fitted(self, "offset_")
        refuse_lost_index(X, self.index_names_)
        values = check_log_values(self, X, reset=False)
        index = read_index(X)
        starts = cut_stretches(index, self._longest_step(index))
        warn_if_torn(index, starts, self.window_size)
        return Rows(values, starts, index.runs[starts], None, None), row_labels(X)

    def _longest_step(self, index: RowIndex) -> float:
        """Return the gap learnt in `fit`: what a log is scored with must not change the scores of its other runs."""
        return self.max_gap_ if index.is_datetime == self.has_dates_ else longest_step(index, self.max_gap)

    def _learn(self, log: Rows) -> np.ndarray:
        """Fit all on the quiet rows of a log and return what each sensor adds to the score of each row."""
        held = self._held_out(log)
        view = self._fit_view(log)
        template = self._template()
        refuse_unseeded_checkpoints(template, self)
        members = make_members(template, self.n_estimators, check_random_state(self.random_state), self.verbose)
        kind = choose_kind(template)
        self.models_ = kind(members, view, TARGETS[self.targets], self.window_size, self._stride(kind))
        self.models_.fit(*split_rows(log, held), self.n_jobs)
        self.estimators_ = self.models_.members
        errors = self.models_.errors(log, self.n_jobs)
        self.scorer_ = None
        if kind.gives_errors:
            scorer = ErrorScorer(norm=self.norm, cap=self.cap, shrinkage=self.shrinkage)
            self.scorer_ = scorer.fit(errors, log.weight)
        parts = self._of_errors(errors)
        self.quiet_parts_ = parts[log.weight > 0].mean(axis=0)
        return parts

    def _template(self) -> Any:
        if self.estimator is not None:
            return self.estimator
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

    def _fit_view(self, log: Rows) -> View:
        levels = InputScaler("level", clip=np.inf, robust=False).fit(
            log.values, starts=log.starts, sample_weight=log.weight
        )
        relative = None
        if self.inputs == "relative":
            relative = InputScaler("relative").fit(log.values, starts=log.starts, sample_weight=log.weight)
        return View(levels, relative, self.clip)

    def _held_out(self, log: Rows) -> np.ndarray:
        """Return which rows are held out: the last quiet ones of each run."""
        run = np.repeat(log.runs, np.diff(np.append(log.starts, len(log.values))))
        quiet = log.weight > 0
        so_far = np.cumsum(quiet)
        first = np.searchsorted(run, np.arange(run[-1] + 1))
        before = np.append(0, so_far)[first][run]
        n_quiet = np.bincount(run, weights=quiet)[run]
        held: np.ndarray = (so_far - before > np.ceil((1.0 - self.validation_fraction) * n_quiet)) & quiet
        return held

    def _stride(self, kind: type[RowModels]) -> int:
        if self.stride == "auto":
            return CHUNK_RATIO * self.window_size if issubclass(kind, StepForecasts) else 1
        return int(self.stride)

    def _parts(self, log: Rows) -> np.ndarray:
        """Return what each sensor adds to the score of each row, (n_rows, n_sensors), before it is smoothed."""
        return self._of_errors(self.models_.errors(log, self.n_jobs))

    def _of_errors(self, errors: np.ndarray) -> np.ndarray:
        return errors if self.scorer_ is None else self.scorer_.parts(errors)

    def _smooth(self, parts: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Smooth each stretch by itself; before it, nothing is known but what quiet rows are like."""
        if self.smoothing <= 1:
            return parts
        before = self.quiet_parts_ if parts.shape[1] == len(self.quiet_parts_) else self.quiet_parts_.sum(keepdims=True)
        return np.concatenate([smooth(part, self.smoothing, before) for part in np.split(parts, starts[1:])])


def split_rows(log: Rows, held: np.ndarray) -> tuple[Rows, Rows]:
    """Return the rows to train on and those held out, which begin stretches of their own."""
    borders = np.flatnonzero(np.diff(held, prepend=held[:1]))
    starts = np.union1d(log.starts, borders)
    stretch = np.searchsorted(log.starts, starts, side="right") - 1
    cut = log._replace(starts=starts, runs=log.runs[stretch])
    return cut.take(~held[starts]), cut.take(held[starts])
