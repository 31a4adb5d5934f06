"""What `fit` leaves on the estimators of scikit-learn and the samplers of imbalanced-learn that an archive holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from .agreement import (
    agree_fixed_threshold,
    agree_imputer,
    agree_min_max_scaler,
    agree_pipeline,
    agree_robust_scaler,
    agree_standard_scaler,
)
from .checks import (
    FLOATS,
    INTEGERS,
    NUMBERS,
    Check,
    anything,
    array,
    dtype,
    either,
    flag,
    labels,
    names,
    optional,
    real,
    several,
    text,
    whole,
)

Checks = dict[str, Check]


class Fitted(NamedTuple):
    """What a fit of a class leaves."""

    needed: Checks
    others: Checks = {}  # those that only some fits leave
    agree: Callable[[Any], Iterable[tuple[Any, str]]] = lambda estimator: ()  # what has to hold, and what is wrong else


INPUT: Checks = {"n_features_in_": whole(1)}
NAMES: Checks = {"feature_names_in_": names}
# forests looks at the plain ones
FOREST = Fitted(
    {**INPUT, "classes_": labels, "estimators_": anything, "n_classes_": whole(2), "n_outputs_": whole(1)},
    {**NAMES, **dict.fromkeys(("_n_samples", "_n_samples_bootstrap", "_sample_weight", "estimator_"), anything)},
)
BY_FEATURE = array(FLOATS, "n_features_in_", missing=True)
SAMPLER = Fitted({})  # what they have learnt is not stored

FITTED_ELSEWHERE: dict[str, Fitted] = {
    "ADASYN": SAMPLER,
    "BorderlineSMOTE": SAMPLER,
    "EditedNearestNeighbours": SAMPLER,
    "ExtraTreesClassifier": FOREST,
    "FixedThresholdClassifier": Fitted({"estimator_": anything}, {**INPUT, **NAMES}, agree_fixed_threshold),
    # boosted_trees looks at the plain ones
    "HistGradientBoostingClassifier": Fitted(
        {**INPUT, "classes_": labels, "_predictors": anything, "_bin_mapper": anything},
        {
            **NAMES,
            **dict.fromkeys(
                (
                    "_baseline_prediction",
                    "_feature_subsample_rng",
                    "_fitted_with_sw",
                    "_in_fit",
                    "_is_categorical_remapped",
                    "_label_encoder",
                    "_loss",
                    "_n_features",
                    "_preprocessor",
                    "_random_seed",
                    "_scorer",
                    "_use_validation_data",
                    "do_early_stopping_",
                    "is_categorical_",
                    "n_trees_per_iteration_",
                    "train_score_",
                    "validation_score_",
                ),
                anything,
            ),
        },
    ),
    "MinMaxScaler": Fitted(
        {
            **INPUT,
            **dict.fromkeys(("data_max_", "data_min_", "data_range_", "min_", "scale_"), BY_FEATURE),
            "n_samples_seen_": whole(),
        },
        NAMES,
        agree_min_max_scaler,
    ),
    "MissingIndicator": Fitted(
        {
            **INPUT,
            "features_": array(INTEGERS, None, low=0),
            "_n_features": whole(1),
            "_precomputed": flag,
        },
        NAMES,
    ),
    "NearMiss": SAMPLER,
    "Pipeline": Fitted({}, {}, agree_pipeline),
    "RandomOverSampler": SAMPLER,
    "RandomUnderSampler": SAMPLER,
    "RandomForestClassifier": FOREST,
    "RobustScaler": Fitted(
        {**INPUT, "center_": optional(BY_FEATURE), "scale_": optional(BY_FEATURE)}, NAMES, agree_robust_scaler
    ),
    "SMOTE": SAMPLER,
    "SMOTEENN": SAMPLER,
    "SMOTENC": SAMPLER,
    "SMOTETomek": SAMPLER,
    "SimpleImputer": Fitted(
        {
            **INPUT,
            "statistics_": either(BY_FEATURE, several(either(real(), text), "n_features_in_", kind=np.ndarray)),
            "indicator_": optional(lambda value, owner: hasattr(value, "features_")),
            "_fit_dtype": dtype,
            "_fill_dtype": dtype,
        },
        NAMES,
        agree_imputer,
    ),
    "StandardScaler": Fitted(
        {
            **INPUT,
            "mean_": optional(BY_FEATURE),
            "var_": optional(BY_FEATURE),
            "scale_": optional(BY_FEATURE),
            "n_samples_seen_": either(real(0), array(NUMBERS, "n_features_in_", low=0)),
        },
        NAMES,
        agree_standard_scaler,
    ),
    "TomekLinks": SAMPLER,
}
