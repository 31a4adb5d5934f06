"""How what a fit leaves goes together: shapes with classes, channels, members and parameters.

Each function yields pairs: whether something holds, and what the estimator has where it does not. Parameters may have
been set anew since `fit`; they are asked only where a use of the model would fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from .._validation import validate_steps
from ..alarms.tails import fit_excesses
from ..detectors.anomaly_detector import BESIDE
from ..detectors.row_models import StepForecasts, choose_kind
from ..losses.choice import make_loss
from .checks import LONGEST, rising

Agreement = Iterator[tuple[Any, str]]
# By how much a tail fitted anew may differ: the search for it stops at about a hundredth of this.
TAIL_ROUNDING = 1e-3


def agree_windows(model: Any) -> Agreement:
    """Hold the width of windows to steps and channels."""
    right = model.n_features_in_ == model.n_timesteps_ * model.n_channels_
    yield right, f"{model.n_features_in_} features of {model.n_timesteps_} steps and {model.n_channels_} channels"


def agree_network(model: Any) -> Agreement:
    """Hold a network to the channels and codes it was fitted on, and its history to itself."""
    yield from agree_windows(model)
    architecture, codes = model.module_.architecture, list(model.categorical_channels or ())
    yield architecture["n_channels"] == model.n_channels_, "a network of other channels"
    yield len(codes) == len(model.categories_), "codes of other channels than categorical_channels"
    known = [(channel, len(codes) + 1) for channel, codes in zip(codes, model.categories_, strict=False)]
    yield list(map(tuple, architecture["categories"])) == known, "a network of other codes"
    yield all(len(codes) and rising(codes.tolist()) for codes in model.categories_), "codes that do not rise"
    yield len(model.history_) == len(model.loss_curve_) == model.n_iter_, "a history of other epochs"


def agree_classifier(model: Any) -> Agreement:
    """Hold a network to its classes, and its loss to the way back that it is asked for."""
    yield from agree_network(model)
    n_classes = len(model.classes_)
    yield model.module_.architecture["n_outputs"] == n_classes, "a network of other classes"
    if model.correct_prior:
        make_loss(model.loss).restore(np.full((1, n_classes), 1 / n_classes))


def agree_tagger(model: Any) -> Agreement:
    """Hold a network to its classes, and labels to the steps of a window."""
    yield from agree_network(model)
    yield model.module_.architecture["n_outputs"] == len(model.classes_), "a network of other classes"
    shape = model.label_shape_
    yield len(shape) <= 1 and np.prod(shape) <= model.n_timesteps_, "labels of other steps"


def agree_forecaster(model: Any) -> Agreement:
    """Hold a network to the targets, their units and their quantiles."""
    yield from agree_network(model)
    architecture, n_values = model.module_.architecture, model.horizon_ * model.n_targets_
    yield len(model.target_center_) == n_values, "units of other targets"
    yield architecture["n_outputs"] == n_values * max(1, len(model.quantiles_)), "a network of other targets"
    yield architecture["horizon"] == model.horizon_, "a network of another horizon"
    yield rising((0.0, *model.quantiles_, 1.0)), "quantiles that do not rise between 0 and 1"
    shape = getattr(model, "target_shape_", (n_values,))
    yield hasattr(model, "target_shape_") or model.n_timesteps_ == 1, "no shape of targets, but windows"
    yield len(shape) <= 2 and np.prod(shape, dtype=object) == n_values, "targets of another shape"


def agree_bagging(model: Any) -> Agreement:
    """Hold the members of an ensemble of windows to its windows and classes."""
    yield from agree_windows(model)
    for member, factors in zip(model.estimators_, model.class_factors_, strict=True):
        yield from agree_member(model, member, model.n_channels_, model.n_timesteps_)
        own = np.isin(model.classes_, member.classes_)
        yield (factors[own] > 0).all(), "a class with a factor of zero"


def agree_member(model: Any, member: Any, n_channels: int, n_steps: int | None) -> Agreement:
    """Hold a classifier in an ensemble to its classes and windows; without `n_steps` it goes step by step."""
    yield is_ready(member, "predict_proba"), "a member that is not a fitted classifier"
    yield np.isin(member.classes_, model.classes_).all(), "a member of other classes"
    yield sees(member, n_channels, n_steps), "a member of other windows"


def sees(member: Any, n_channels: int, n_steps: int | None) -> bool:
    """Return whether a fitted member takes windows of so many steps and channels, or single steps."""
    if hasattr(member, "module_"):
        architecture = member.module_.architecture
        if n_steps is not None:
            one_label = not getattr(member, "label_shape_", ())  # of the last step, not of all
            return bool(one_label and (member.n_timesteps_, member.n_channels_) == (n_steps, n_channels))
        causal = architecture.get("pooling") == "last" and not architecture["bidirectional"]
        return bool((causal or "crf" in architecture) and member.n_channels_ == n_channels)
    return n_steps is not None and takes(member, n_steps * n_channels)


def takes(model: Any, n_features: int | None) -> bool:
    """Return whether a fitted model takes so many features; some pipelines do not say, and None is not known."""
    return n_features is None or bool(getattr(model, "n_features_in_", n_features) == n_features)


def is_ready(model: Any, *methods: str) -> bool:
    """Return whether a model has been fitted and has these methods."""
    if isinstance(getattr(model, "steps", None), list):
        return bool(model.steps) and all(hasattr(model, method) for method in methods) and is_ready(model.steps[-1][1])
    learnt = [name for name in vars(model) if name.endswith("_") and not name.startswith("_")]
    return bool(learnt) and all(hasattr(model, method) for method in methods)


def agree_event_classifier(model: Any) -> Agreement:
    """Hold the members to what the scalers hand them, and the scalers to the sensors."""
    yield getattr(model, "window_size_", model.window_size) <= LONGEST, "a window that no run fills"
    yield from agree_usual(model)
    n_steps = model.window_size if model.mode == "windows" else None
    for scaler in model.scalers_:
        yield reads(scaler, model.n_features_in_), "a scaler of other sensors"
    for k, member in enumerate(model.estimators_):
        scaler = model.scalers_[k % len(model.scalers_)]
        yield from agree_member(model, member, n_channels_of(scaler, model.n_features_in_), n_steps)
        codes = [] if scaler is None else scaler.code_channels
        own = getattr(member, "categorical_channels", None)
        yield not codes or own is None or list(own) == codes, "a member of other codes"


def agree_usual(model: Any) -> Agreement:
    """Hold what is usual to the class that it is of."""
    both = ("quiet_class_", "usual_")
    yield (
        len({hasattr(model, name) for name in both}) == 1,
        "a quiet class without what is usual on its rows, or the other way round",
    )
    yield getattr(model, "quiet_class_", 0) < len(model.classes_), "a quiet class that it does not know"


def reads(scaler: Any, n_sensors: int) -> bool:
    """Return whether a fitted scaler takes so many sensors."""
    if scaler is None:
        return True
    if not hasattr(scaler, "center_"):
        return bool(scaler.n_features_in_ == n_sensors)
    n_measured = n_sensors - len(scaler.categorical)
    if scaler.view == "whitened":
        n_read, n_measured = scaler.whitening_.shape
    else:
        n_read = n_measured
    n_views = 1 if scaler.view == "level" else 2 + len(scaler.spans)
    fits = n_read + len(scaler.categorical) == n_sensors and len(scaler.center_) == n_measured * n_views
    return fits and all(sensor < n_sensors for sensor in scaler.categorical)


def n_channels_of(scaler: Any, n_sensors: int) -> int:
    """Return how many channels members see of the sensors."""
    return n_sensors if scaler is None else int(scaler.n_channels)


def agree_input_scaler(model: Any) -> Agreement:
    """Hold the sensors of codes to come once each, and whitened ones to be sensors."""
    if model.view == "whitened":
        yield hasattr(model, "mean_") and hasattr(model, "whitening_"), "a whitened view without its whitening"
    yield len(set(model.categorical)) == len(model.categorical), "sensors of codes that come twice"


def agree_causal_features(model: Any) -> Agreement:
    """Hold the scalers to the views and the sensors."""
    views = [scaler.view for scaler in model.scalers_]
    wanted = [*model.views, *["whitened"] * bool(model.whitened_lags)]
    yield views == wanted, "scalers of other views"
    for scaler in model.scalers_:
        yield is_ready(scaler) and reads(scaler, model.n_features_in_), "a scaler of other sensors"
        yield list(scaler.categorical) == list(model.codes_), "a scaler of other codes"


def agree_blend(model: Any) -> Agreement:
    """Hold the parts to the classes and sensors of the blend, and the weights to the parts."""
    listed = model.names_ if model.estimators is None else [name for name, _ in model.estimators]
    weights = np.ones(len(listed)) if model.weights is None else np.asarray(model.weights, dtype=float)
    yield from agree_usual(model)
    yield weights.shape == (len(listed),), "weights of other parts"
    yield len(set(model.names_)) == len(model.names_) and set(model.names_) <= set(listed), "names of other parts"
    yield weights[[listed.index(name) for name in model.names_]].any(), "no part with a weight"
    for part in model.estimators_:
        yield is_ready(part, "predict_proba"), "a part that is not a fitted classifier"
        yield np.array_equal(part.classes_, model.classes_), "a part of other classes"
        yield takes(part, model.n_features_in_), "a part of other sensors"
        named = [getattr(of, "feature_names_in_", None) for of in (part, model)]
        yield named[0] is None or (named[1] is not None and list(named[0]) == list(named[1])), "a part of other names"
        yield getattr(part, "index_names_", model.index_names_) == model.index_names_, "a part of another index"


def agree_anomaly_detector(model: Any) -> Agreement:
    """Hold the members, the scalers and the scorer to the sensors, and the threshold to its sign."""
    yield getattr(model, "window_size_", model.window_size) <= LONGEST, "a window that no run fills"
    n_sensors = model.n_features_in_
    yield model.offset_ == -model.threshold_, "an offset that is not less the threshold"
    yield model.levels_.view == "level" and not model.levels_.categorical, "levels of another view"
    yield reads(model.levels_, n_sensors) and is_ready(model.levels_), "levels of other sensors"
    relative = model.relative_
    if relative is not None:
        found = type(relative), relative.get_params()
        yield found in [(type(view), view.get_params()) for view in BESIDE.values()], "channels of another view"
        yield reads(relative, n_sensors) and is_ready(relative), "channels of other sensors"
    yield from agree_quiet_models(model, n_channels_of(relative, n_sensors))
    yield hasattr(model, "smoothing_") or model.smoothing != "auto", "no span to smooth over"
    scores_rows = model.scorer_ is None
    yield len(model.quiet_parts_) == (1 if scores_rows else n_sensors), "parts of other sensors"
    if not scores_rows:
        yield model.scorer_.scale_.shape == model.cold_.shape[1:] == (n_sensors,), "scales of other sensors"
    n_quiet = {len(values) for values in model.quiet_.values()}
    yield len(n_quiet) == 1, "quiet rows of different numbers"
    yield (np.diff(model.quiet_["run"]) >= 0).all(), "quiet rows of runs that do not rise"


def agree_quiet_models(model: Any, n_channels: int) -> Agreement:
    """Hold the models of quiet rows to one kind, and to what they see."""
    kind = choose_kind(model.estimators_[0])
    n_steps = None if kind is StepForecasts else model.window_size
    yield kind.gives_errors == (model.scorer_ is not None), "members of another kind than its scores"
    for member in model.estimators_:
        yield is_ready(member) and choose_kind(member) is kind, "members of several kinds"
        yield sees(member, n_channels, n_steps), "a member of other windows"
        if hasattr(member, "n_targets_"):
            n_values = member.n_targets_ * (1 if n_steps is None else member.horizon_)
            yield n_values == model.n_features_in_, "a member of other targets"
            yield n_steps is None or hasattr(member, "target_shape_"), "a member that never saw windows"


def agree_outlier_classifier(model: Any) -> Agreement:
    """Hold the detector to the samples, of two classes."""
    yield len(model.classes_) == 2, "other classes than two"
    scores = hasattr(model.detector_, "score_samples") or hasattr(model.detector_, "decision_function")
    yield is_ready(model.detector_) and scores, "a detector that does not score"
    yield takes(model.detector_, model.n_features_in_), "a detector of other samples"


def agree_fixed_threshold(model: Any) -> Agreement:
    """Hold the classifier to two classes, one of them the label."""
    yield is_ready(model.estimator_) and hasattr(model.estimator_, "predict_proba"), "a classifier that is not fitted"
    classes = model.estimator_.classes_.tolist()
    yield len(classes) == 2, "a classifier of other classes than two"
    yield model.pos_label in classes if model.pos_label is not None else set(classes) <= {-1, 0, 1}, "another label"
    response = model.response_method
    yield response == "auto" or hasattr(model.estimator_, response), "a classifier without that response"


def agree_pipeline(model: Any) -> Agreement:
    """Hold each step to what the step before hands on, once all have been fitted."""
    validate_steps(model)
    steps = [step for _, step in model.steps if step not in (None, "passthrough")]
    if not steps or not all(map(is_ready, steps)):
        return
    for step, after in pairwise(steps):
        yield takes(after, n_outputs(step)), "a step that takes other features than it is handed"
        yield names_agree(step, after), "a step that takes other names than it is handed"
    if getattr(steps[-1], "index_names_", None) is not None:
        kept = {container(step) for step in steps[:-1] if not hasattr(step, "index_names_")}
        yield kept in (set(), {None}, {"pandas"}), "a step that loses the index which the last one wants"
        kept = {container(step) for step in steps[:-1]}
        yield kept <= {None, "default", "pandas"}, "a step that hands on no frame of pandas"


def container(step: Any) -> Any:
    """Return what a step has been told to hand on, None where scikit-learn's own setting decides."""
    return getattr(step, "_sklearn_output_config", {}).get("transform")


def names_agree(step: Any, after: Any) -> bool:
    """Return whether a step was fitted on the names that the step before hands on, where both know them."""
    own, handed = (getattr(of, "feature_names_in_", None) for of in (after, step))
    one_to_one = n_outputs(step) == getattr(step, "n_features_in_", None)
    return not one_to_one or own is None or handed is None or list(own) == list(handed)


def n_outputs(step: Any) -> int | None:
    """Return how many features a fitted step hands on, None where it is not known."""
    if hasattr(step, "module_"):
        return step.module_.architecture.get("latent_size")
    if hasattr(step, "statistics_") and hasattr(step, "indicator_"):
        n_kept = len(step.statistics_) if step.keep_empty_features else len(step.statistics_) - n_empty(step)
        return n_kept + (0 if step.indicator_ is None else len(step.indicator_.features_))
    same = any(hasattr(step, name) for name in ("statistics_", "data_min_", "n_samples_seen_", "center_"))
    return int(step.n_features_in_) if same or hasattr(step, "n_timesteps_") else None


def n_empty(imputer: Any) -> int:
    """Return how many features had no value to impute from."""
    statistics = imputer.statistics_
    return int(np.isnan(statistics).sum()) if statistics.dtype.kind == "f" else 0


def agree_imputer(model: Any) -> Agreement:
    """Hold the indicator of missing values to the features."""
    yield model.add_indicator == (model.indicator_ is not None), "an indicator that it was not asked for, or none"
    if model.indicator_ is not None:
        features = model.indicator_.features_.tolist()
        yield rising(features) and all(k < model.n_features_in_ for k in features), "an indicator of other features"
        yield model.indicator_.n_features_in_ == model.n_features_in_, "an indicator of other features"


def agree_standard_scaler(model: Any) -> Agreement:
    """Hold means and scales to what is asked for, and to each other: missing where no value was seen."""
    yield not model.with_mean or model.mean_ is not None, "no mean"
    yield not model.with_std or model.scale_ is not None, "no scale"
    yield from agree_missing(model.mean_, model.var_, model.scale_)


def agree_robust_scaler(model: Any) -> Agreement:
    """Hold centres and scales to what is asked for, and to each other."""
    yield not model.with_centering or model.center_ is not None, "no center"
    yield not model.with_scaling or model.scale_ is not None, "no scale"
    yield from agree_missing(model.center_, model.scale_)


def agree_min_max_scaler(model: Any) -> Agreement:
    """Hold the range of each feature to its ends."""
    yield from agree_missing(model.data_min_, model.data_max_, model.data_range_, model.min_, model.scale_)
    yield not (model.data_min_ > model.data_max_).any(), "a least value above the largest"


def agree_missing(*values: Any) -> Agreement:
    """Hold arrays by feature to miss the same, and the last of them, the scale, to be above zero."""
    missing = [np.isnan(one).tolist() for one in values if one is not None]
    yield all(one == missing[0] for one in missing), "numbers that are missing"
    yield values[-1] is None or not (values[-1] <= 0).any(), "a scale that is not above zero"


def agree_tail(model: Any) -> Agreement:
    """Hold a threshold to the tail."""
    yield model.threshold_ >= model.level_, "a threshold below the level"


def agree_streaming(model: Any) -> Agreement:
    """Hold the tail to the excesses that it is fitted to."""
    state = vars(model)
    excess, exact = np.array(state["_excesses"], dtype=np.float64).reshape(-1, 2).T
    yield np.isin(exact, (0.0, 1.0)).all(), "excesses that are neither exact nor not"
    yield len(excess) <= state["_n_excesses"] <= model.n_rows_, "more excesses than rows"
    fitted = fit_excesses(excess, exact > 0)
    yield np.allclose((model.shape_, model.scale_), fitted, rtol=TAIL_ROUNDING), "a tail that its excesses do not have"
