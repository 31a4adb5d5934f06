"""The threshold that is chosen is the best there is, halfway between two scores."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, matthews_corrcoef

from eventlstm import AlarmPolicy, choose_threshold

quickly = settings(max_examples=60, deadline=None)

MEASURES = {"mcc": matthews_corrcoef, "f1": f1_score}
tied = st.integers(0, 4).map(lambda k: k / 4)
close = st.floats(0.0, 1.0)
labelled = st.lists(st.tuples(st.integers(0, 1), tied), min_size=2, max_size=14) | st.lists(
    st.tuples(st.integers(0, 1), close), min_size=2, max_size=14
)
each_objective = pytest.mark.parametrize("objective", MEASURES)


@each_objective
@given(rows=labelled.filter(lambda rows: len({label for label, _ in rows}) == 2))
@quickly
def test_no_threshold_does_better_than_the_chosen_one(objective, rows):
    y, scores = (np.array(column) for column in zip(*rows, strict=True))
    chosen = choose_threshold(y, scores, objective=objective)
    best = max(measured(objective, y, scores >= threshold) for threshold in scores)
    assert measured(objective, y, scores > chosen) == pytest.approx(best, abs=1e-12)


@each_objective
@given(rows=labelled.filter(lambda rows: len({label for label, _ in rows}) == 2))
@quickly
def test_the_threshold_lies_halfway_between_two_neighbouring_scores(objective, rows):
    y, scores = (np.array(column) for column in zip(*rows, strict=True))
    chosen = choose_threshold(y, scores, objective=objective)
    below, above = scores[scores <= chosen], scores[scores > chosen]
    if len(below):
        assert below.max() <= chosen < above.min()
        assert chosen == pytest.approx((below.max() + above.min()) / 2, rel=1e-12, abs=1e-300)
    else:
        assert chosen == np.nextafter(scores.min(), -np.inf)


@each_objective
def test_the_order_of_the_rows_and_the_type_of_labels_do_not_matter(objective):
    rng = np.random.RandomState(0)
    y = rng.binomial(1, 0.2, 200)
    scores = rng.normal(size=200) + y
    order = rng.permutation(200)
    chosen = choose_threshold(y, scores, objective=objective)
    assert choose_threshold(y[order], scores[order], objective=objective) == chosen
    assert choose_threshold(y.astype(bool), scores, objective=objective) == chosen
    assert choose_threshold(pd.Series(y), pd.Series(scores), objective=objective) == chosen
    flags = scores.astype(np.float32) > chosen  # noise in the last bits
    np.testing.assert_array_equal(flags, scores > chosen)


@each_objective
def test_scores_that_say_nothing_flag_every_row(objective):
    assert choose_threshold([0, 1, 0], [0.3, 0.3, 0.3], objective=objective) == np.nextafter(0.3, 0)


def test_scores_a_last_bit_apart_are_told_apart():
    above = np.nextafter(1.0, 2.0)
    assert choose_threshold([0, 1], [1.0, above]) == 1.0


@pytest.mark.parametrize(
    ("y", "scores", "objective", "message"),
    [
        ([0, 0], [0.1, 0.2], "mcc", "one class only. Choose a threshold on rows with and without an event"),
        ([1, 1], [0.1, 0.2], "f1", "one class only"),
        ([], [], "f1", "one class only"),
        (
            [0, 1],
            [0.1, 0.2],
            "accuracy",
            r"objective='accuracy' is unknown. Choose one of \['mcc', 'f1', 'recall', 'precision'\]",
        ),
        ([0, 1], [0.1, np.nan], "mcc", "NaN"),
        ([0, 1], [0.1, 0.2, 0.3], "mcc", "inconsistent numbers of samples"),
    ],
)
def test_rows_that_give_no_threshold_are_refused(y, scores, objective, message):
    with pytest.raises(ValueError, match=message):
        choose_threshold(y, scores, objective=objective)


def measured(objective, y, flagged):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of undefined precision, where nothing is flagged
        return MEASURES[objective](y, flagged)


@pytest.mark.parametrize("objective", ["mcc", "f1"])
@pytest.mark.parametrize(
    "how", [{}, {"policy": AlarmPolicy(merge_gap=2)}, {"cost": (20, 1)}, {"max_false_alarms_per_day": 2.0}]
)
def test_a_weight_of_two_is_as_good_as_a_second_run_that_is_the_same(objective, how):
    rng = np.random.default_rng(0)
    times = pd.date_range("2024-01-01", periods=200, freq="h", name="time")
    y = pd.Series(0, index=pd.MultiIndex.from_product([["a", "b", "c"], times], names=["machine", "time"]))
    for run in range(3):
        for begin in (30, 90, 150):
            y.iloc[200 * run + begin : 200 * run + begin + 8] = 1
    score = pd.Series(rng.normal(size=600), index=y.index).round(1) + 1.2 * y
    again = y.loc[["b"]].rename({"b": "d"}, level="machine")
    score_again = score.loc[["b"]].set_axis(again.index)
    weight = np.where(y.index.get_level_values("machine") == "b", 2.0, 1.0)
    twice = choose_threshold(pd.concat([y, again]), pd.concat([score, score_again]), objective=objective, **how)
    assert choose_threshold(y, score, objective=objective, sample_weight=weight, **how) == pytest.approx(twice)


def test_rows_without_weight_do_not_choose():
    y, score = [0, 0, 1, 0, 1, 0, 0], [0.1, 0.2, 0.6, 0.4, 0.9, 0.95, 0.97]
    assert choose_threshold(y, score, sample_weight=[1, 1, 1, 1, 1, 0, 0]) == choose_threshold(y[:5], score[:5])
    with pytest.raises(ValueError, match="one class only"):
        choose_threshold(y, score, sample_weight=[1, 1, 0, 1, 0, 1, 1])
