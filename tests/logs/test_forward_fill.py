"""Missing values are filled from the rows before them, and sensors that tell too little are named."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

import eventlstm as el


def with_holes(n_runs=3, n_rows=40, n_sensors=3, share=0.4, seed=0):
    """A log of several runs in date-times, with a gap in each and values missing."""
    rng = np.random.default_rng(seed)
    times = pd.date_range("2024-01-01", periods=n_rows, freq="min").to_numpy(copy=True)
    times[n_rows // 2 :] += np.timedelta64(1, "D")
    index = pd.MultiIndex.from_product([list("ABCDEF")[:n_runs], times], names=["machine", "time"])
    values = rng.normal(size=(len(index), n_sensors))
    values[rng.random(values.shape) < share] = np.nan
    return pd.DataFrame(values, index=index, columns=[f"sensor_{k}" for k in range(n_sensors)])


@parametrize_with_checks([el.ForwardFill()])
def test_every_check_of_scikit_learn_passes(estimator, check):
    check(estimator)


def test_scikit_learn_has_more_than_forty_checks_for_it():
    assert len(list(estimator_checks_generator(el.ForwardFill()))) > 40


def test_it_fills_as_pandas_does_in_each_stretch_and_then_by_the_median():
    X = with_holes()
    later = X.index.get_level_values("time") >= pd.Timestamp("2024-01-02")
    expected = X.groupby([X.index.get_level_values(0), later]).ffill().fillna(X.median())
    pd.testing.assert_frame_equal(el.ForwardFill().fit_transform(X), expected)


def test_without_a_limit_values_go_on_over_gaps_but_not_into_other_runs():
    X = with_holes()
    expected = X.groupby(level=0).ffill().fillna(X.median())
    pd.testing.assert_frame_equal(el.ForwardFill(max_gap=None).fit_transform(X), expected)


def test_what_comes_later_changes_no_row_before():
    X = with_holes(n_runs=1)
    fill = el.ForwardFill().fit(X)
    for n_rows in (1, 7, 20, 33):
        pd.testing.assert_frame_equal(fill.transform(X[:n_rows]), fill.transform(X)[:n_rows])


def test_filling_twice_is_filling_once_and_known_values_stay():
    X = with_holes()
    fill = el.ForwardFill().fit(X)
    once = fill.transform(X)
    pd.testing.assert_frame_equal(fill.transform(once), once)
    assert (once == X).to_numpy()[X.notna().to_numpy()].all()
    assert X.isna().any(axis=None), "the log handed in is left as it was"


def test_an_array_is_one_run_and_stays_an_array_of_its_dtype():
    X = np.array([[np.nan, 1.0], [2.0, np.nan], [np.nan, 3.0], [5.0, np.nan]], dtype=np.float32)
    filled = el.ForwardFill().fit_transform(X)
    assert filled.dtype == np.float32
    np.testing.assert_array_equal(filled, [[3.5, 1], [2, 1], [2, 3], [5, 3]])


def test_a_sensor_without_any_value_becomes_zero_and_keeps_its_column():
    X = with_holes().assign(sensor_1=np.nan)
    filled = el.ForwardFill().fit_transform(X)
    assert (filled["sensor_1"] == 0).all() and list(filled) == list(X)


def test_a_lost_index_is_refused_since_runs_could_not_be_kept_apart():
    X = with_holes()
    fill = el.ForwardFill().fit(X)
    with pytest.raises(ValueError, match="lost the index that says run and time"):
        fill.transform(X.reset_index(drop=True))


def test_a_span_that_is_no_time_is_refused():
    with pytest.raises(ValueError, match="max_gap='soon' is not a length of time"):
        el.ForwardFill(max_gap="soon").fit(with_holes())


def test_a_saved_fill_fills_alike(tmp_path):
    X = with_holes()
    model = make_pipeline(el.ForwardFill(max_gap="5min"), el.ForwardFill()).fit(X)
    el.save(model, tmp_path / "fill")
    pd.testing.assert_frame_equal(el.load(tmp_path / "fill").transform(X), model.transform(X))


def test_in_a_pipeline_a_detector_still_sees_runs_and_times():
    X = with_holes(n_rows=60)
    y = pd.Series(np.arange(len(X)) % 20 > 15, index=X.index).astype(int)
    detector = el.EventClassifier(LogisticRegression(), mode="windows", window_size=4, n_estimators=1)
    score = make_pipeline(el.ForwardFill(), detector).fit(X, y).predict_proba(X)
    assert score.shape == (len(X), 2) and np.isfinite(score).all()
