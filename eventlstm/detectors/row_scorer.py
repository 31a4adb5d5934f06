"""From a log to what each sensor adds to the score of a row, ``(n_rows, n_sensors)``: errors in units of quiet ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..logs.rows import Rows
from .error_scorer import ErrorScorer
from .quiet_rows import change_rows
from .row_models import RowModels
from .run_scales import scale_runs


class RowScorer(NamedTuple):
    """Fitted models of quiet rows, and how their errors become scores."""

    models: RowModels
    scorer: ErrorScorer | None  # None where the models give scores of their own
    cold: np.ndarray | None  # (n_first, n_sensors) how many times larger errors are on the first rows of a stretch
    run_scales: dict[str, list[float]]  # (n_sensors,) by run, how many times larger errors are on it
    n_jobs: int | None

    def parts(self, log: Rows, names: list[str]) -> np.ndarray:
        """Return what each sensor adds to the score of each row, (n_rows, n_sensors), before it is smoothed.

        `names` are those of the runs, in their order.
        """
        errors = scale_runs(self.models.errors(log, self.n_jobs), log, names, self.run_scales)
        return self.parts_of(errors, log.starts)

    def parts_of(self, errors: np.ndarray, starts: np.ndarray, age: int = 0) -> np.ndarray:
        """Return what errors (n_rows, n_sensors), in units of their run, add to the score of each row.

        `age` is how many rows of the first stretch came before.
        """
        if self.scorer is None or self.cold is None:
            return errors
        step = steps_in_stretch(starts, len(errors), age)
        young = step < len(self.cold)
        errors[young] /= self.cold[step[young]]
        return self.scorer.parts(errors)


def learn_cold_starts(
    models: RowModels,
    log: Rows,
    names: list[str],
    scorer: ErrorScorer,
    run_scales: dict[str, list[float]],
    n_jobs: int | None,
) -> np.ndarray:
    """Return how many times larger errors are on the first rows of a stretch, (n_first, n_sensors).

    Models know little there, in every run and after every gap. They are started anew all over the quiet rows; where
    starts are few, sensors share what was seen of all.
    """
    starts = _cut_into_windows(log, models.window_size)
    errors = models.errors(log._replace(starts=starts, runs=np.arange(len(starts))), n_jobs)
    errors = scale_runs(errors, log, names, run_scales)
    step, quiet = steps_in_stretch(starts, len(errors)), log.weight > 0
    squares = np.clip(errors / scorer.scale_, -scorer.cap, scorer.cap) ** 2
    larger = np.ones((models.window_size - (not models.looks_ahead), errors.shape[1]))
    for age in range(len(larger)):
        seen = squares[quiet & (step == age)]
        if len(seen):
            larger[age] = (seen.sum(axis=0) + scorer.shrinkage * seen.mean()) / (len(seen) + scorer.shrinkage)
    return np.sqrt(np.maximum(larger, 1.0))


def _cut_into_windows(log: Rows, window_size: int) -> np.ndarray:
    """Return the first rows of stretches of `window_size` rows, none of them partly quiet."""
    begins = np.union1d(log.starts, change_rows(log.weight > 0))
    ends = np.append(begins[1:], len(log.values))
    return np.concatenate([np.arange(begin, end, window_size) for begin, end in zip(begins, ends, strict=True)])


def steps_in_stretch(starts: np.ndarray, n_rows: int, age: int = 0) -> np.ndarray:
    """Return how many rows of its stretch are before each row; of the first stretch, `age` came before all."""
    step: np.ndarray = np.arange(n_rows) - np.repeat(starts, np.diff(np.append(starts, n_rows)))
    step[: starts[1] if len(starts) > 1 else n_rows] += age
    return step
