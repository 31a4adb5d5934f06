"""How large the errors of models are on each run, beside those on all: machines differ in how noisy they are."""

from __future__ import annotations

import numpy as np

from ..logs.rows import Rows

# Rows that the common scale counts for beside a run's own: few quiet rows of a run say little of its noise, for they
# hang together. In pairs of machines of which one is five times as noisy, a budget of one false alarm a day became
# none and two of common scales.
RUN_ROWS = 20
FLOOR = 1e-3


def learn_run_scales(errors: np.ndarray, log: Rows, names: list[str]) -> dict[str, list[float]]:
    """Return by run and sensor how many times larger errors (n_rows, n_sensors) are than on all quiet rows.

    A single run has no other to differ from.
    """
    quiet, run = log.weight > 0, _run_of_row(log)
    if len(names) < 2:
        return {}
    common = _rms(errors[quiet])
    scales = {}
    for number, name in enumerate(names):
        own = errors[quiet & (run == number)]
        if len(own):
            share = len(own) / (len(own) + RUN_ROWS)
            scales[name] = ((_rms(own) / common) ** share).tolist()
    return scales


def scale_runs(errors: np.ndarray, log: Rows, names: list[str], scales: dict[str, list[float]]) -> np.ndarray:
    """Return errors (n_rows, n_sensors) in units of the run they are of; those of unknown runs stay as they are."""
    if not scales:
        return errors
    ones = [1.0] * errors.shape[1]
    return errors / np.array([scales.get(name, ones) for name in names])[_run_of_row(log)]


def _run_of_row(log: Rows) -> np.ndarray:
    return np.repeat(log.runs, np.diff(np.append(log.starts, len(log.values))))


def _rms(errors: np.ndarray) -> np.ndarray:
    return np.maximum(np.sqrt(np.mean(errors**2, axis=0)), FLOOR)
