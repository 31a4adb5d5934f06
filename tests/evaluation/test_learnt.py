"""A report on rows that were learnt from says so first, with what the model was worth on others."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import eventlstm as el
from eventlstm.evaluation.learnt import tell_held_out, tell_learnt

LOG = el.datasets.make_sensor_log(n_machines=3, n_days=4, failures_per_machine=1, random_state=1)
X, Y = LOG.X, LOG.y
NEW = el.datasets.make_sensor_log(n_machines=3, n_days=4, failures_per_machine=1, random_state=2)
FIGURES = {"average_precision": 0.33, "mcc": 0.21, "n_events": 12, "n_found": 5, "false_alarm_rate": 0.4, "per": "day"}
TREES = HistGradientBoostingClassifier(max_iter=3, max_depth=2, random_state=0)
SMALL = el.EventClassifier(TREES, mode="windows", window_size=2, n_estimators=1, inputs="level")


def scaled(model):
    return make_pipeline(StandardScaler(), model).set_output(transform="pandas")


MODELS = {
    "classifier": lambda: SMALL.fit(X, Y),
    "blend": lambda: el.EventBlend([("only", SMALL)]).fit(X, Y),
    "detector": lambda: el.AnomalyDetector(PCA(1), n_estimators=1, threshold=3.0, random_state=0).fit(X),
    "pipeline": lambda: scaled(SMALL).fit(X, Y),
    "pipeline that loses the index": lambda: make_pipeline(StandardScaler(), SMALL).fit(np.asarray(X), np.asarray(Y)),
    "threshold": lambda: FixedThresholdClassifier(scaled(SMALL), threshold=0.2, pos_label=1).fit(X, Y),
    "frozen": lambda: FixedThresholdClassifier(FrozenEstimator(SMALL.fit(X, Y)), pos_label=1).fit(X, Y),
    "search": lambda: GridSearchCV(scaled(SMALL), {"eventclassifier__window_size": [2]}, cv=el.RunKFold(2)).fit(X, Y),
}


@pytest.mark.parametrize("kind", MODELS)
def test_the_rows_of_the_fit_are_named_by_every_kind_of_model(kind):
    model = MODELS[kind]()
    asked, new = (np.asarray(part) if "loses" in kind else part for part in (X, NEW.X))
    (said,) = tell_learnt(model, asked)
    assert said == "100 % of these rows were learnt from: expect worse on new ones."
    assert tell_learnt(model, new) == []


def test_a_saved_model_still_knows_its_rows(tmp_path):
    model = FixedThresholdClassifier(scaled(SMALL), threshold=0.2, pos_label=1).fit(X, Y)
    model.held_out_ = FIGURES
    el.save(model, tmp_path / "model")
    first, second = tell_learnt(el.load(tmp_path / "model"), X.iloc[: len(X) // 2])
    assert first.startswith("100 % of these rows were learnt from")
    assert second == (
        "Held out when it was fitted: average precision 0.33, mcc 0.21, 5 of 12 events found, 0.4 false alarms a day."
    )


@pytest.mark.parametrize(
    "model",
    [None, LogisticRegression().fit([[0.0], [1.0]], [0, 1]), el.EventClassifier()],
    ids=lambda model: str(model)[:9],
)
def test_a_model_that_keeps_no_fingerprint_says_nothing(model):
    assert tell_learnt(model, X) == []


def test_a_log_that_the_model_cannot_read_is_none_that_it_learnt_from():
    assert tell_learnt(SMALL.fit(X, Y), X.assign(pressure_bar="high")) == []


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        (None, []),
        ({}, []),
        ({"average_precision": 0.5, "mcc": np.nan}, ["Held out when it was fitted: average precision 0.50."]),
        (
            {"n_events": 3, "n_found": 2, "false_alarm_rate": 0.001, "per": "step"},
            ["Held out when it was fitted: 2 of 3 events found, 0.001 false alarms a step."],
        ),
    ],
)
def test_held_out_figures_are_told_as_far_as_they_are_known(figures, said):
    assert tell_held_out(figures) == said


def test_the_page_opens_with_the_share_of_rows_and_the_held_out_figures(tmp_path):
    model = scaled(SMALL).fit(X, Y)
    model.held_out_ = FIGURES
    mixed, labels = (
        pd.concat([X.loc[["pump-01"]], NEW.X.loc[["pump-02"]]]),
        pd.concat([Y.loc[["pump-01"]], NEW.y.loc[["pump-02"]]]),
    )
    numbers = el.report(model, mixed, labels, tmp_path / "page.html", baselines=False, n_resamples=5)
    assert re.match(
        r"(4\d|5\d) % of these rows were learnt from: .*precision 0\.33.* The model finds", numbers["verdict"]
    )
    assert numbers["held_out"] == FIGURES
    page = (tmp_path / "page.html").read_text()
    assert page.index("of these rows were learnt from") < page.index("The model finds")


def test_scores_that_folds_made_are_not_blamed_for_the_rows_of_the_model(tmp_path):
    model = SMALL.fit(X, Y)
    score = np.random.default_rng(0).normal(size=len(X))
    numbers = el.report(model, X, Y, tmp_path / "page.html", y_score=score, baselines=False, n_resamples=5)
    assert "The model finds" in numbers["verdict"] and "learnt from" not in numbers["verdict"]
