"""Measures of events and ranges have the published values, follow their definitions in loops, and keep their laws."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV, cross_val_score
from sklearn.tree import DecisionTreeClassifier

import eventlstm as el
from eventlstm.metrics import (
    affiliation_precision_score,
    affiliation_recall_score,
    composite_f_score,
    detection_report,
    event_fbeta_score,
    event_precision_score,
    event_recall_score,
    range_precision_score,
    range_recall_score,
)

IN_RANGE = (
    affiliation_precision_score,
    affiliation_recall_score,
    composite_f_score,
    event_fbeta_score,
    event_precision_score,
    event_recall_score,
    range_precision_score,
    range_recall_score,
)


def rows(*spans, n=100):
    """Flags of the rows from the first to the last of each span."""
    flags = np.zeros(n, dtype=int)
    for first, last in spans:
        flags[first : last + 1] = 1
    return flags


def in_runs(values, lengths):
    """Values as the rows of several runs of the given lengths."""
    index = [(run, row) for run, length in enumerate(lengths) for row in range(length)]
    return pd.Series(np.asarray(values), index=pd.MultiIndex.from_tuples(index, names=["run", "time"]))


def spans_of(flags):
    """The first and last row of each run of flags in one run."""
    edges = np.flatnonzero(np.diff(flags, prepend=0, append=0))
    return list(zip(edges[::2].tolist(), (edges[1::2] - 1).tolist(), strict=True))


@st.composite
def labelled_runs(draw):
    """Labels and predictions of one to three runs, with their lengths."""
    lengths = draw(st.lists(st.integers(1, 25), min_size=1, max_size=3))
    bits = st.lists(st.sampled_from([0, 0, 1]), min_size=sum(lengths), max_size=sum(lengths))
    return np.array(draw(bits)), np.array(draw(bits)), lengths


CASES = {
    # true rows, flagged rows, affiliation P and R, range P, range R (flat, front, back, middle, alpha .5), composite F
    "A": ([(40, 59)], [(30, 49)], 0.85, 0.95, 0.5, 0.5, 0.738095, 0.261905, 0.5, 0.75, 0.666667),
    "C": ([(20, 29), (60, 79)], [(25, 26)], 1, 0.462222, 1, 0.1, 0.081818, 0.118182, 0.15, 0.3, 0.666667),
    "D": (
        [(20, 39)],
        [(20, 22), (25, 27), (33, 33)],
        *(1, 0.974750, 1, 0.116667, 0.168254, 0.065079, 0.103030, 0.558333, 1),
    ),
    "E": ([(20, 39)], [(20, 39), (70, 79)], 0.75, 1, 0.5, 1, 1, 1, 1, 1, 0.8),
    "F": ([(20, 39)], [(0, 99)], 0.52, 1, 0.2, 1, 1, 1, 1, 1, 0.333333),
    "G": (
        [(20, 39), (60, 69)],
        [(22, 24), (45, 45), (66, 66)],
        *(0.9225, 0.8655, 0.666667, 0.125, 0.157792, 0.092208, 0.121212, 0.5625, 0.888889),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_values_are_those_of_published_code(case):
    true, flagged, *expected = CASES[case]
    y, p = rows(*true), rows(*flagged)
    assert [
        affiliation_precision_score(y, p),
        affiliation_recall_score(y, p),
        range_precision_score(y, p),
        range_recall_score(y, p),
        range_recall_score(y, p, bias="front"),
        range_recall_score(y, p, bias="back"),
        range_recall_score(y, p, bias="middle"),
        range_recall_score(y, p, alpha=0.5),
        composite_f_score(y, p),
    ] == pytest.approx(expected, abs=1e-6)


def test_rows_without_an_event_around_them_have_the_affiliation_of_the_paper():
    y, p = [0, 0, 0, 1, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 0, 0, 0, 1, 0]
    assert affiliation_precision_score(y, p) == pytest.approx((0.636364 + 1) / 2, abs=1e-6)
    assert affiliation_recall_score(y, p) == pytest.approx((0.818182 + 0.870370) / 2, abs=1e-6)


def test_the_composite_measure_has_the_precision_of_rows_and_the_recall_of_events():
    y, p = np.isin(np.arange(10), [0, 2, 3, 5, 7, 9]), np.isin(np.arange(10), [3, 6])
    assert composite_f_score(y, p) == pytest.approx(2 * 0.5 * 0.2 / 0.7)


def test_an_event_found_in_the_last_row_of_the_log_is_found():
    y, p = rows((8, 9), n=10), rows((9, 9), n=10)
    assert composite_f_score(y, p) == event_recall_score(y, p) == 1.0


def test_an_alarm_without_end_is_worth_nothing():
    y = rows((20, 39))
    assert event_fbeta_score(y, np.ones(100, dtype=int)) == 0.0
    assert event_fbeta_score(y, np.ones(100, dtype=int), match="overlap") == 0.0
    assert event_precision_score(y, np.ones(100, dtype=int), match="overlap", corrected=False) == 1.0


def test_events_are_weighed_by_their_precision_and_recall():
    y, p = rows((20, 29), (40, 49)), rows((22, 24), (60, 68))
    assert event_recall_score(y, p) == 0.5
    assert event_precision_score(y, p, corrected=False) == 0.5
    precision = 0.5 * (1 - 9 / 80)
    assert event_precision_score(y, p) == pytest.approx(precision)
    assert event_fbeta_score(y, p) == pytest.approx(1.25 * precision * 0.5 / (0.25 * precision + 0.5))
    assert event_fbeta_score(y, p, beta=1) == pytest.approx(2 * precision * 0.5 / (precision + 0.5))


def test_an_alarm_counts_for_the_time_it_began_in():
    y, early_alarm, late_alarm = rows((20, 29)), rows((17, 22)), rows((32, 35))
    assert event_recall_score(y, early_alarm) == 0.0
    assert event_recall_score(y, early_alarm, early=3) == 1.0
    assert event_recall_score(y, early_alarm, early=2) == 0.0
    assert event_recall_score(y, early_alarm, match="overlap") == 1.0
    assert event_recall_score(y, late_alarm, late=3) == 1.0
    assert event_recall_score(y, late_alarm, late=2, match="overlap") == 0.0


def test_rows_before_an_event_are_of_that_event_and_of_no_other():
    y, between = rows((20, 22), (30, 32)), rows((27, 27))
    assert event_recall_score(y, between, early=5, late=9) == 0.5
    assert event_precision_score(y, between, early=5, late=9) == 1.0


def test_spans_of_time_are_rows_of_an_even_clock():
    clock = pd.date_range("2024-01-01", periods=100, freq="5min")
    y, p = rows((20, 29), (60, 69)), rows((17, 22), (72, 75), (90, 90))
    for early, late in ((0, 0), (3, 2), (3, 3), (9, 9)):
        value = event_fbeta_score(y, p, early=early, late=late)
        minutes = {"early": f"{5 * early}min", "late": pd.Timedelta(minutes=5 * late)}
        assert event_fbeta_score(pd.Series(y, index=clock), p, **minutes) == value
        numbers = pd.Series(y, index=np.arange(100) * 0.1)
        assert event_fbeta_score(numbers, p, early=0.1 * early, late=0.1 * late) == pytest.approx(value)


@settings(max_examples=80, deadline=None)
@given(
    log=labelled_runs(), early=st.integers(0, 4), late=st.integers(0, 4), match=st.sampled_from(["onset", "overlap"])
)
def test_events_are_found_as_plain_loops_find_them(log, early, late, match):
    y, p, lengths = log
    n_events = n_found = n_false = 0
    for begin, length in zip(np.cumsum([0, *lengths[:-1]]), lengths, strict=True):
        events, alarms = spans_of(y[begin : begin + length]), spans_of(p[begin : begin + length])
        around = [[max(a - early, 0), min(b + late, length - 1)] for a, b in events]
        for k, (before, after) in enumerate(pairwise(events)):
            around[k + 1][0] = max(around[k + 1][0], before[1] + 1)
            around[k][1] = min(around[k][1], around[k + 1][0] - 1, after[0] - 1)
        meets = np.array(
            [[low <= (a if match == "onset" else b) and a <= high for a, b in alarms] for low, high in around]
        )
        meets = meets.reshape(len(events), len(alarms))
        n_events, n_found = n_events + len(events), n_found + meets.any(axis=1).sum()
        n_false += (~meets.any(axis=0)).sum()
    labels, options = in_runs(y, lengths), {"early": early, "late": late, "match": match}
    recall = event_recall_score(labels, p, **options)
    precision = event_precision_score(labels, p, corrected=False, **options)
    np.testing.assert_equal(recall, n_found / n_events if n_events else np.nan)
    np.testing.assert_equal(precision, n_found / (n_found + n_false) if n_found + n_false else np.nan)


@settings(max_examples=30, deadline=None)
@given(log=labelled_runs())
def test_affiliation_is_what_sampling_comes_to(log):
    y, p, _ = log
    if not y.any():
        return
    n, fine = len(y), 100
    at = (np.arange(n * fine) + 0.5) / fine
    events = [(a, b + 1) for a, b in spans_of(y)]
    borders = [0, *((b + a) / 2 for (_, b), (a, _) in pairwise(events)), n]
    precision, recall = [], []
    for (a, b), low, high in zip(events, borders, borders[1:], strict=False):
        zone = at[(at > low) & (at < high)]
        flagged = zone[p[zone.astype(int)] == 1]
        away = np.sort(np.maximum(np.maximum(a - zone, zone - b), 0))
        if len(flagged):
            own = np.maximum(np.maximum(a - flagged, flagged - b), 0)
            precision.append(np.mean(np.where(own > 0, 1 - np.searchsorted(away, own, "right") / len(zone), 1)))
        inside = zone[(zone > a) & (zone < b)][fine // 20 :: fine // 10]
        nearest = np.abs(inside[:, None] - flagged).min(axis=1) if len(flagged) else np.full(len(inside), np.inf)
        recall.append(np.mean(np.abs(zone - inside[:, None]) > nearest[:, None]))
    assert affiliation_recall_score(y, p) == pytest.approx(np.mean(recall), abs=0.02)
    expected = np.mean(precision) if precision else np.nan
    assert affiliation_precision_score(y, p) == pytest.approx(expected, abs=0.02, nan_ok=True)


@settings(max_examples=80, deadline=None)
@given(log=labelled_runs())
def test_values_lie_between_0_and_1_and_are_1_for_events_flagged_exactly(log):
    y, p, lengths = log
    labels = in_runs(y, lengths)
    for measure in IN_RANGE:
        value = measure(labels, p)
        assert np.isnan(value) or 0 <= value <= 1
        assert np.isnan(measure(labels, y)) if not y.any() else measure(labels, y) == pytest.approx(1)


@settings(max_examples=40, deadline=None)
@given(log=labelled_runs(), seed=st.integers(0, 99))
def test_the_order_of_runs_and_the_clock_change_nothing(log, seed):
    y, p, lengths = log
    labels = in_runs(y, lengths)
    parts = np.split(np.arange(len(y)), np.cumsum(lengths)[:-1])
    order = np.concatenate([parts[k] for k in np.random.RandomState(seed).permutation(len(parts))])
    levels = [labels.index.get_level_values(k) for k in (0, 1)]
    clock = pd.MultiIndex.from_arrays(
        [levels[0], pd.Timestamp("2024-03-30", tz="Europe/Paris") + levels[1] * pd.Timedelta("1h")]
    )
    for measure in IN_RANGE:
        value = measure(labels, p)
        for again in (measure(labels.iloc[order], p[order]), measure(labels.set_axis(clock), p)):
            np.testing.assert_allclose(again, value, rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(log=labelled_runs())
def test_time_reversed_swaps_front_and_back_and_leaves_the_rest(log):
    y, p, _ = log
    back = (range_recall_score(y[::-1], p[::-1], bias="back"), range_precision_score(y[::-1], p[::-1], bias="back"))
    front = (range_recall_score(y, p, bias="front"), range_precision_score(y, p, bias="front"))
    np.testing.assert_allclose(back, front, rtol=1e-12)
    symmetric = (affiliation_precision_score, affiliation_recall_score, composite_f_score, range_recall_score)
    for measure in symmetric:
        np.testing.assert_allclose(measure(y[::-1], p[::-1]), measure(y, p), rtol=1e-12)


def test_precision_of_ranges_is_recall_with_the_roles_changed():
    rng = np.random.RandomState(0)
    y, p = rng.binomial(1, 0.3, (2, 200))
    for cardinality in ("reciprocal", "one"):
        assert range_precision_score(y, p, cardinality=cardinality) == range_recall_score(p, y, cardinality=cardinality)
    assert range_recall_score(y, p) < range_recall_score(y, p, cardinality="one")


def test_alarms_where_no_event_is_have_no_event_to_be_near_to():
    y, p = in_runs(rows((3, 5), n=20), [10, 10]), rows((3, 5), (15, 16), n=20)
    assert affiliation_precision_score(y, p) == 0.5
    assert affiliation_precision_score(y.droplevel("run").reset_index(drop=True), p) > 0.5


def test_a_gap_parts_events_only_when_asked():
    y = pd.Series(rows((2, 7), n=10), index=[0, 1, 2, 3, 4, 95, 96, 97, 98, 99])
    p = rows((3, 3), n=10)
    assert event_recall_score(y, p) == event_recall_score(y, p, max_gap=91) == 1.0
    assert event_recall_score(y, p, max_gap=9.5) == event_recall_score(y, p, max_gap="auto") == 0.5


@pytest.mark.parametrize(
    ("y", "p", "undefined"),
    [
        ([0, 0], [0, 1], set(IN_RANGE) - {range_precision_score, event_precision_score}),
        ([0, 0], [0, 0], set(IN_RANGE)),
        ([0, 1], [0, 0], {affiliation_precision_score, range_precision_score, event_precision_score}),
    ],
)
def test_what_is_undefined_is_nan_without_a_warning(y, p, undefined):
    assert {measure for measure in IN_RANGE if np.isnan(measure(y, p))} == undefined


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: event_recall_score([0, 1], [0, 0.5]), "y_pred holds .* where 0 and 1 are wanted"),
        (lambda: event_recall_score([0, 1], [0, 1, 1]), "y_pred has 3 rows and y_true 2"),
        (lambda: event_recall_score(pd.Series([0, 1]), pd.Series([0, 1], index=[1, 2])), "another index"),
        (lambda: event_recall_score([0, 1], [0, 1], match="start"), "match='start' is unknown"),
        (lambda: event_recall_score([0, 1], [0, 1], early=-1), "early=-1 is negative"),
        (lambda: event_recall_score([0, 1], [0, 1], late="5min"), "late='5min' is a length of time, but the index"),
        (lambda: event_fbeta_score([0, 1], [0, 1], beta=0), "beta=0 is no weight"),
        (lambda: range_recall_score([0, 1], [0, 1], alpha=2), "alpha=2 is no share"),
        (lambda: range_recall_score([0, 1], [0, 1], bias="left"), "bias='left' is unknown"),
        (lambda: range_precision_score([0, 1], [0, 1], cardinality="two"), "cardinality='two' is unknown"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.fixture(scope="module")
def log():
    return el.datasets.make_sensor_log(n_machines=4, n_days=5, random_state=0)


def test_events_score_models_in_cross_validation_by_the_runs_of_the_labels(log):
    model, cv = DecisionTreeClassifier(max_depth=4, random_state=0), el.RunKFold(2)
    scores = cross_val_score(model, log.X, log.y, cv=cv, scoring=make_scorer(event_recall_score, early="2h"))
    by_hand = [
        event_recall_score(
            log.y.iloc[test], model.fit(log.X.iloc[train], log.y.iloc[train]).predict(log.X.iloc[test]), early="2h"
        )
        for train, test in cv.split(log.X, log.y)
    ]
    assert scores.tolist() == by_hand


def test_events_choose_models_and_thresholds(log):
    scoring = make_scorer(event_fbeta_score, match="overlap")
    search = GridSearchCV(
        DecisionTreeClassifier(random_state=0), {"max_depth": [1, 4]}, scoring=scoring, cv=el.RunKFold(2)
    ).fit(log.X, log.y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    tuned = TunedThresholdClassifierCV(search.best_estimator_, scoring=scoring, cv=el.RunKFold(2)).fit(log.X, log.y)
    tuned_score = scoring(tuned, X=log.X, y_true=log.y)
    assert tuned_score >= scoring(search.best_estimator_, X=log.X, y_true=log.y)


def test_the_row_by_row_values_are_those_of_published_code():
    rows_f1 = {"A": 0.5, "C": 0.125, "D": 0.518519, "E": 0.8, "F": 0.333333, "G": 0.228571}
    for case, expected in rows_f1.items():
        true, flagged, *_ = CASES[case]
        assert detection_report(rows(*true), rows(*flagged), 0.5)["f1"] == pytest.approx(expected, abs=1e-6)
    report = detection_report([0, 0, 1, 1], [1, 3, 2, 4], threshold=1.5)  # published: from 2 on
    assert (report["f1"], report["average_precision"]) == pytest.approx((0.8, 0.833333), abs=1e-6)
