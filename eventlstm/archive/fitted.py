"""What `fit` leaves on each estimator: which attributes, what they may hold, and how they go together.

A new estimator gets a line in ``FITTED``, by the name of its class. What no table knows is read by nobody, and let be.
"""

from __future__ import annotations

import reprlib
from typing import Any

from ..losses.choice import LOSSES
from .agreement import (
    agree_anomaly_detector,
    agree_bagging,
    agree_blend,
    agree_causal_features,
    agree_classifier,
    agree_event_classifier,
    agree_forecaster,
    agree_input_scaler,
    agree_network,
    agree_outlier_classifier,
    agree_streaming,
    agree_tagger,
    agree_tail,
    agree_windows,
)
from .checks import (
    FLOATS,
    INTEGERS,
    LONGEST,
    NUMBERS,
    SMALLEST,
    anything,
    array,
    either,
    fingerprint,
    flag,
    holds,
    index_names,
    labels,
    mapping,
    one_of,
    optional,
    queue,
    real,
    record,
    several,
    text,
    whole,
)
from .fitted_elsewhere import FITTED_ELSEWHERE, INPUT, NAMES, SAMPLER, Checks, Fitted

LEARNT = either(real(), lambda value, owner: value != value)  # NaN where it is not known
LABEL = either(real(), text)
# Of any estimator: how its outputs are to come, and what commands keep with a model.
ANYWHERE: Checks = {
    "_sklearn_output_config": record(transform=one_of("default", "pandas", "polars")),
    "alarm_policy_": lambda value, owner: type(value).__name__ == "AlarmPolicy",
    "event_label_": optional(LABEL),
    "held_out_": mapping(text, either(LEARNT, text)),
    "horizon_": text,
    "index_columns_": several(optional(LABEL)),
    "long_layout_": mapping(text, either(text, flag)),
    "quiet_labels_": several(LABEL),
}
CLOCK: Checks = {"max_gap_": real(0, infinite=True), "has_dates_": flag, "index_names_": index_names}
# What archives of before do not hold.
RATES: Checks = {"max_gaps_": several(real(0, infinite=True), least=1), "steps_": several(real(0), 2)}
OF_LOG: Checks = {**RATES, "fingerprint_": fingerprint, "window_size_": whole(1)}
# What `attribution` of classifiers needs, and archives of before do not hold.
USUAL: Checks = {"quiet_class_": whole(), "usual_": array(FLOATS, "n_features_in_")}
LIST = several(lambda value, owner: hasattr(value, "fit"), least=1)

WINDOWS: Checks = {"n_timesteps_": whole(1), "n_channels_": whole(1), **INPUT}
NETWORK: Checks = {
    **WINDOWS,
    "categories_": several(array(FLOATS, None)),
    "module_": lambda value, owner: hasattr(value, "architecture"),
    "history_": several(mapping(text, LEARNT)),
    "loss_curve_": several(LEARNT),
    "n_iter_": whole(),
}
NETWORK_OTHERS: Checks = {
    **NAMES,
    "_generator": anything,
    "optimizer_state_": mapping(whole(), mapping(text, anything)),
}
THRESHOLD: Checks = {"threshold_": real()}
LOSS = Fitted({})

FITTED: dict[str, Fitted] = {
    **FITTED_ELSEWHERE,
    **dict.fromkeys((cls.__name__ for cls in LOSSES.values()), LOSS),
    "AnomalyDetector": Fitted(
        {
            **INPUT,
            **CLOCK,
            "estimators_": LIST,
            "levels_": anything,
            "offset_": real(infinite=True),
            "quiet_": record(
                score=array(FLOATS, None),
                run=array(INTEGERS, None, low=0),
                time=array(NUMBERS, None),
                held_out=array("b", None),
            ),
            "quiet_parts_": array(FLOATS, None),
            "relative_": anything,
            "scorer_": anything,
            "still_": array("b", "n_features_in_"),
            "threshold_": real(infinite=True),
        },
        {
            **NAMES,
            **OF_LOG,
            "cold_": array(FLOATS, None, None, low=1),
            "has_elapsed_": flag,
            "run_scales_": mapping(text, several(real(SMALLEST), "n_features_in_")),
            "smoothing_": real(1, LONGEST),
        },
        agree_anomaly_detector,
    ),
    "AlarmPolicy": Fitted({}),
    "Augmentation": Fitted({}),
    "AutoThreshold": Fitted(
        {**THRESHOLD, "method_": one_of("quantile", "tail"), "n_expected_": real(0)}, {"merge_rows_": whole()}
    ),
    "BalancedBaggingLSTMClassifier": Fitted(
        {
            **WINDOWS,
            "classes_": labels,
            "estimators_": LIST,
            "estimators_samples_": several(array(INTEGERS, None, low=0), "estimators_"),
            "class_counts_": array(INTEGERS, "estimators_", "classes_", low=0),
            "class_factors_": array(FLOATS, "estimators_", "classes_", low=0),
        },
        {
            **NAMES,
            "oob_decision_function_": array(FLOATS, None, "classes_", low=0, high=1, missing=True),
            "oob_score_": LEARNT,
        },
        agree_bagging,
    ),
    "CausalFeatures": Fitted(
        {
            **INPUT,
            "scalers_": several(lambda value, owner: hasattr(value, "transform_steps")),
            "codes_": several(whole()),
        },
        {**NAMES, **CLOCK, **RATES},
        agree_causal_features,
    ),
    "DynamicThreshold": Fitted({**THRESHOLD, "epsilon_": real()}),
    "ErrorScorer": Fitted(
        {"scale_": array(FLOATS, None, low=SMALLEST), "precision_": optional(array(FLOATS, "scale_", "scale_"))}
    ),
    "EventBlend": Fitted(
        {
            **INPUT,
            "classes_": labels,
            "estimators_": LIST,
            "names_": several(text, "estimators_"),
            "index_names_": index_names,
        },
        {**NAMES, **USUAL, "fingerprint_": fingerprint, "merge_rows_": whole()},
        agree_blend,
    ),
    "EventClassifier": Fitted(
        {
            **INPUT,
            **CLOCK,
            "classes_": labels,
            "estimators_": LIST,
            "scalers_": several(optional(lambda value, owner: hasattr(value, "transform_steps")), least=1),
        },
        {**NAMES, **OF_LOG, **USUAL, "merge_rows_": whole()},
        agree_event_classifier,
    ),
    "FlattenWindows": Fitted({**WINDOWS, "_came_flat": flag}, NAMES, agree_windows),
    "ForwardFill": Fitted({**INPUT, **CLOCK, "statistics_": array(FLOATS, "n_features_in_")}, {**NAMES, **RATES}),
    "InputScaler": Fitted(
        {"center_": array(FLOATS, None), "scale_": array(FLOATS, "center_", low=SMALLEST)},
        {
            "mean_": array(FLOATS, None),
            "whitening_": array(FLOATS, "mean_", None),
        },
        agree_input_scaler,
    ),
    "LSTMAutoencoder": Fitted({**NETWORK, "offset_": real()}, NETWORK_OTHERS, agree_network),
    "LSTMClassifier": Fitted(
        {**NETWORK, "classes_": labels, "class_factors_": array(FLOATS, "classes_", low=SMALLEST)},
        NETWORK_OTHERS,
        agree_classifier,
    ),
    "LSTMForecaster": Fitted(
        {
            **NETWORK,
            "horizon_": whole(1),
            "n_targets_": whole(1),
            "quantiles_": several(real(0, 1), kind=tuple),
            "target_center_": array(FLOATS, None),
            "target_scale_": array(FLOATS, "target_center_", low=SMALLEST),
        },
        {**NETWORK_OTHERS, "target_shape_": several(whole(1), kind=tuple)},
        agree_forecaster,
    ),
    "LSTMTagger": Fitted(
        {**NETWORK, "classes_": labels, "label_shape_": several(whole(1), kind=tuple)}, NETWORK_OTHERS, agree_tagger
    ),
    "LabelledThreshold": Fitted({**THRESHOLD, "best_score_": real()}),
    "OutlierClassifier": Fitted(
        {
            **INPUT,
            "classes_": labels,
            "detector_": anything,
            "quiet_class_": whole(0, 1),
            "border_": real(),
            "spread_": real(SMALLEST),
        },
        NAMES,
        agree_outlier_classifier,
    ),
    "QuantileThreshold": Fitted(THRESHOLD),
    "StreamingTailThreshold": Fitted(
        {
            **THRESHOLD,
            "level_": real(),
            "shape_": real(),
            "scale_": real(0),
            "n_rows_": whole(1),
            "_n_excesses": whole(),
            "_in_alarm": flag,
            "_excesses": queue(several(either(real(0), flag), 2, kind=tuple)),
            "_recent": queue(real()),
            "_mean": real(),
        },
        {},
        agree_streaming,
    ),
    "TailThreshold": Fitted({**THRESHOLD, "level_": real(), "shape_": real(), "scale_": real(0)}, {}, agree_tail),
    "TemporalOversampler": SAMPLER,
    "WindowSampler": SAMPLER,
}


def known_attributes(name: str) -> set[str]:
    """Return the attributes that a fit of a class leaves, by the name of the class."""
    table = FITTED[name]
    return {*table.needed, *table.others, *ANYWHERE}


def check_fitted(estimator: Any) -> None:
    """Refuse what no fit leaves: an attribute that lacks, is of another kind, or does not go with the others."""
    kind = type(estimator).__name__
    if kind not in FITTED:
        return
    table, state = FITTED[kind], vars(estimator)
    checks = {**table.needed, **table.others}
    if checks.keys() & state.keys():
        lacking = sorted(table.needed.keys() - state.keys())
        if lacking:
            raise ValueError(f"{kind} lacks {', '.join(lacking)}, which a fit leaves. Fit it anew")
    for name, check in {**ANYWHERE, **checks}.items():
        if name in state and not holds(check, state[name], estimator):
            raise ValueError(f"{kind} has {name}={reprlib.repr(state[name])}, which no fit leaves. Fit it anew")
    if not checks or checks.keys() & state.keys():
        check_agreement(estimator, table)


def check_agreement(estimator: Any, table: Fitted) -> None:
    """Refuse attributes each of which could be, but not beside the others."""
    kind = type(estimator).__name__
    try:
        faults = [fault for agrees, fault in table.agree(estimator) if not agrees]
    except Exception as error:
        raise ValueError(f"{kind} has attributes that do not go together ({type(error).__name__}: {error})") from None
    if faults:
        raise ValueError(f"{kind} has {faults[0]}. Fit it anew")
