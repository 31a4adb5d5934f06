"""Machines of different noise are each judged by their own, so that a budget of alarms holds on all of them."""

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

import eventlstm as el


def noisy_pair(seed, n_rows, ratio):
    """Autoregressive noise of two machines, one `ratio` times as large as the other."""
    rng = np.random.default_rng(seed)
    values = np.zeros((2, n_rows, 3))
    for row in range(1, n_rows):
        values[:, row] = 0.9 * values[:, row - 1] + 0.44 * rng.normal(size=(2, 3))
    values[1] *= ratio
    times = pd.date_range("2024-01-01", periods=n_rows, freq="10min")
    index = pd.MultiIndex.from_product([["calm", "loud"], times], names=["machine", "time"])
    return pd.DataFrame(values.reshape(-1, 3), index=index, columns=["flow", "heat", "load"])


def detector(estimator, **changes):
    return el.AnomalyDetector(estimator, window_size=4, random_state=0, **changes)


@pytest.mark.parametrize("ratio", [1.0, 5.0, 30.0])
def test_a_budget_of_alarms_holds_on_a_calm_and_on_a_loud_machine(ratio):
    model = detector(PCA(0.9)).fit(noisy_pair(0, 30 * 144, ratio))
    later = noisy_pair(1, 60 * 144, ratio)
    score = pd.Series(model.anomaly_score(later), index=later.index)
    flags = el.AlarmPolicy(threshold=model.threshold_).flag(score)
    for machine in ("calm", "loud"):
        own = flags.loc[machine].to_numpy()
        assert 0.5 < (np.diff(own, prepend=0) == 1).sum() / 60 < 2.0, machine


@pytest.mark.parametrize("norm", ["squares", "mahalanobis"])
def test_a_jump_is_as_abnormal_on_a_calm_machine_as_on_a_loud_one(norm):
    X = noisy_pair(0, 1500, 10.0)
    model = detector(Ridge(), norm=norm, threshold=5.0).fit(X)
    jump = X.copy()
    jump.iloc[700, 0] += 4.0
    jump.iloc[2200, 0] += 40.0
    score = model.anomaly_score(jump)
    assert score[700] == pytest.approx(score[2200], rel=0.5)
    assert min(score[700], score[2200]) > np.quantile(score, 0.99)


def test_a_run_that_fit_did_not_see_is_in_common_units():
    X = noisy_pair(0, 600, 10.0)
    model = detector(Ridge(), threshold=5.0).fit(X)
    other = X.rename(index={"calm": "new", "loud": "newer"}, level=0)
    known, unknown = model.anomaly_score(X), model.anomaly_score(other)
    assert set(model.run_scales_) == {"calm", "loud"}
    assert known[:600].mean() > 5 * unknown[:600].mean()


def test_a_run_with_few_quiet_rows_keeps_near_the_common_units():
    X = noisy_pair(0, 600, 10.0)
    y = pd.Series(0, index=X.index)
    y.iloc[20:600] = 1
    model = detector(Ridge(), threshold=5.0).fit(X, y)
    whole = detector(Ridge(), threshold=5.0).fit(X)
    assert 1 > model.run_scales_["calm"][0] > whole.run_scales_["calm"][0]


def test_a_single_run_has_no_scale_of_its_own():
    assert detector(Ridge(), threshold=5.0).fit(noisy_pair(0, 200, 1.0).loc["calm"]).run_scales_ == {}
