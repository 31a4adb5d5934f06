"""Fitted models that score a log piece by piece: each keeps what it knows of the stretch that goes on."""

from __future__ import annotations

from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
import pandas as pd

from ..alarms.model_scores import steps_of
from ..detectors.anomaly_detector import AnomalyDetector, row_scorer_of, span_of
from ..detectors.event_blend import EventBlend, weights_of
from ..detectors.event_classifier import EventClassifier, ensemble_of, history_of
from ..detectors.row_models import StepForecasts
from ..detectors.run_scales import scale_runs
from ..detectors.smoothing import smooth_on
from ..logs.causal_features import CausalFeatures
from ..logs.checking import check_log_values, gap_rule_of, refuse_lost_index, refuse_other_clock
from ..logs.forward_fill import ForwardFill, fill_forward
from ..logs.lanes import BLOCK_ROWS
from ..logs.rows import Rows
from ..recurrent.members import BLOCK, mean_log_odds
from ..serving.models import is_own, refuse_neighbours
from ..training.crew import crew, side_by_side
from .carried import Cut, Cutter, Piece, go_on


class NoPiecesError(TypeError):
    """A model, or a step before it, makes of a row what hangs on more than the rows before it."""


class Part:
    """A part of a model with stretches of its own rule, and the state of the one that goes on."""

    def __init__(self, estimator: Any) -> None:
        self.estimator, self.cutter, self.state = estimator, Cutter(gap_rule_of(estimator)), None

    def cut(self, frame: pd.DataFrame, piece: Piece) -> Cut:
        """Return the stretches of the next piece, refusing a log of another kind than in `fit`."""
        refuse_lost_index(frame, self.estimator.index_names_)
        refuse_other_clock(piece.rows, self.estimator.has_dates_)
        return self.cutter.cut(piece)


class ClassifierPart(Part):
    """An `EventClassifier`."""

    def __init__(self, model: EventClassifier) -> None:
        super().__init__(model)
        self.ensemble, self.n_history = ensemble_of(model), history_of(model)
        self.is_stateful = model.mode == "stateful"
        if self.is_stateful:
            self.ensemble.refuse_to_look_ahead("scoring in pieces", NoPiecesError)

    def say(self, frame: pd.DataFrame, piece: Piece) -> np.ndarray:
        """Return the probabilities (n_rows, n_classes) of the next piece."""
        values, cut = check_log_values(self.estimator, frame, reset=False), self.cut(frame, piece)
        out, ensemble = np.empty((len(values), len(self.ensemble.classes))), self.ensemble
        with crew(ensemble.n_jobs, len(ensemble.members)) as call:
            if self.is_stateful:
                step, warm_up, block = partial(ensemble.step, call=call), self.n_history, BLOCK_ROWS
            else:
                step, warm_up = partial(ensemble.window_step, window_size=self.n_history, call=call), 0
                block = BLOCK
            self.state = go_on(step, values, cut, self.state, out, warm_up=warm_up, block_rows=block)
        return out


class BlendPart:
    """An `EventBlend`: its parts side by side, those of weight zero left out."""

    def __init__(self, blend: EventBlend) -> None:
        weights = weights_of(blend)
        self.blend, self.weights = blend, weights[weights > 0]
        self.parts = [PieceModel(part) for part, w in zip(blend.estimators_, weights, strict=True) if w > 0]

    def say(self, frame: pd.DataFrame, piece: Piece) -> np.ndarray:
        """Return the probabilities (n_rows, n_classes) of the next piece."""
        refuse_lost_index(frame, self.blend.index_names_)
        check_log_values(self.blend, frame, reset=False)
        said = side_by_side(PieceModel.say, self.blend.n_jobs, self.parts, repeat(frame), repeat(piece))
        return mean_log_odds(np.stack(said), self.weights)


class DetectorPart(Part):
    """An `AnomalyDetector`."""

    def __init__(self, model: AnomalyDetector) -> None:
        super().__init__(model)
        self.scorer, self.n_sensors = row_scorer_of(model), model.n_features_in_
        self.before: np.ndarray = model.quiet_parts_.sum(keepdims=True)
        self.kept: np.ndarray | None = None

    def say(self, frame: pd.DataFrame, piece: Piece) -> np.ndarray:
        """Return the score (n_rows, 1) of the next piece."""
        values, cut, models = (
            check_log_values(self.estimator, frame, reset=False),
            self.cut(frame, piece),
            self.scorer.models,
        )
        out = np.empty((len(values), self.n_sensors if models.gives_errors else 1))
        is_stepwise = isinstance(models, StepForecasts)
        how = {"warm_up": models.window_size, "block_rows": BLOCK_ROWS} if is_stepwise else {"block_rows": BLOCK}
        with crew(self.scorer.n_jobs, len(models.members)) as call:
            self.state = go_on(partial(models.step, call=call), values, cut, self.state, out, **how)
        rows = Rows(values, cut.starts, piece.rows.runs[cut.starts], None, None)
        errors = scale_runs(out, rows, piece.names, self.scorer.run_scales)
        return self._smooth(self.scorer.parts_of(errors, cut.starts, cut.age).sum(axis=1, keepdims=True), cut)

    def _smooth(self, score: np.ndarray, cut: Cut) -> np.ndarray:
        done = []
        for k, stretch in enumerate(np.split(score, cut.starts[1:])):
            kept = self.kept if cut.goes_on and not k else None
            mean, self.kept = smooth_on(stretch, span_of(self.estimator), self.before, self.estimator.average, kept)
            done.append(mean)
        return np.concatenate(done)


class FillPart(Part):
    """`ForwardFill` before a model; the state is the values known last, NaN where there are none."""

    def make(self, frame: pd.DataFrame, piece: Piece) -> pd.DataFrame:
        """Return the next piece without missing values."""
        cut, values = self.cut(frame, piece), frame.to_numpy(dtype=np.float64, copy=True)
        if cut.goes_on:
            values[0] = np.where(np.isnan(values[0]), self.state, values[0])
        values = fill_forward(values, cut.starts)
        self.state = values[-1].copy()
        return frame_like(frame, np.where(np.isnan(values), self.estimator.statistics_, values), frame.columns)


class FeaturePart(Part):
    """`CausalFeatures` before a model."""

    def make(self, frame: pd.DataFrame, piece: Piece) -> pd.DataFrame:
        """Return the features of the next piece."""
        values, cut = check_log_values(self.estimator, frame, reset=False), self.cut(frame, piece)
        out = np.empty((len(values), self.estimator.n_channels))
        self.state = go_on(self.estimator.transform_steps, values, cut, self.state, out)
        return frame_like(frame, out, self.estimator.get_feature_names_out())


class RowPart:
    """A step of another library, which makes something of each row by itself."""

    def __init__(self, step: Any) -> None:
        try:
            refuse_neighbours(step, "transform")
        except TypeError as error:
            raise NoPiecesError(*error.args) from None
        self.step = step

    def make(self, frame: pd.DataFrame, piece: Piece) -> pd.DataFrame:
        """Return what the step makes of the next piece."""
        made: pd.DataFrame = self.step.transform(frame)
        return made


class PieceModel:
    """A fitted model behind the steps of its pipelines."""

    def __init__(self, model: Any) -> None:
        *before, last = [step for step in steps_of(model) if not hasattr(step, "fit_resample")]
        self.before, self.core = [_as_step(step) for step in before], _as_core(last)
        if before and last.index_names_ is None:
            raise NoPiecesError(
                "The model has not seen run and time in fit: call set_output(transform='pandas') and fit."
            )

    def say(self, frame: pd.DataFrame, piece: Piece) -> np.ndarray:
        """Return what the model says of the next piece, (n_rows, n_classes) or (n_rows, 1)."""
        for step in self.before:
            frame = step.make(frame, piece)
        said: np.ndarray = self.core.say(frame, piece)
        return said


def frame_like(frame: pd.DataFrame, values: np.ndarray, columns: Any) -> pd.DataFrame:
    """Return values with the index of a frame."""
    return pd.DataFrame(values, index=frame.index, columns=columns)


def _as_step(step: Any) -> Any:
    if isinstance(step, ForwardFill):
        return FillPart(step)
    return FeaturePart(step) if isinstance(step, CausalFeatures) else RowPart(step)


def _as_core(model: Any) -> Any:
    for kind, part, method in (
        (EventClassifier, ClassifierPart, "predict_proba"),
        (EventBlend, BlendPart, "predict_proba"),
        (AnomalyDetector, DetectorPart, "anomaly_score"),
    ):
        if is_own(model, kind, method):
            return part(model)
    raise NoPiecesError(
        f"{type(model).__name__} is no model of logs that goes piece by piece. Pass a fitted EventClassifier, "
        "EventBlend or AnomalyDetector, or a pipeline that ends in one."
    )
