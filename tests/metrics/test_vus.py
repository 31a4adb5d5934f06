"""Volumes under the surface equal their definition, written out in loops, and the values published code gives."""

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from eventlstm.metrics import vus_pr_score, vus_roc_score

BOTH = (vus_pr_score, vus_roc_score)
FROZEN_LABELS = np.isin(np.arange(50), [*range(10, 15), *range(30, 34)]).astype(int)
FROZEN_SCORE = np.round(0.3 * np.sin(1.3 * np.arange(50)) + 0.5 + 0.4 * FROZEN_LABELS, 3)


def plain_loops(runs, score, buffer, n_thresholds=250):
    """The definition for one tolerance and threshold after the other; `runs` are the labels of each run in turn."""
    y, n = np.concatenate(runs), len(score)
    offsets = np.cumsum([0, *map(len, runs)])
    levels = np.sort(score)[::-1][np.linspace(0, n - 1, n_thresholds).astype(int)]
    areas = []
    for width in range(buffer + 1):
        half, soft, spans = width // 2, y.astype(float), []
        for labels, offset in zip(runs, offsets, strict=False):
            soft[offset : offset + len(labels)], own = widen(labels, width, half)
            spans += [(offset + a, offset + b) for a, b in own]
        points = []
        for level in levels:
            flagged = score >= level
            hits = soft[flagged].sum()
            true_rows = (2 * y.sum() + soft[flagged & (y == 0)].sum()) / 2
            found = np.mean([flagged[a : b + 1].any() for a, b in spans])
            recall = min(hits / true_rows, 1) * found
            points.append(((flagged.sum() - hits) / (n - true_rows), recall, hits / flagged.sum()))
        false_rate, recall, precision = np.array(points).T
        roc = np.trapezoid([0, *recall, 1], [0, *false_rate, 1])
        areas.append((np.sum(np.diff(recall, prepend=0) * precision), roc))
    return np.mean(areas, axis=0)


def widen(y, width, half):
    """The soft labels of one run, and its events widened and joined."""
    n, soft, spans, last = len(y), y.astype(float), [], None
    edges = np.flatnonzero(np.diff(y, prepend=0, append=0))
    for a, b in zip(edges[::2], edges[1::2] - 1, strict=True):
        for i in range(b + 1, min(b + half, n - 1) + 1):
            soft[i] += np.sqrt(1 - (i - b) / width)
        for i in range(max(a - half, 0), a):
            soft[i] += np.sqrt(1 - (a - i) / width)
        low, high = max(a - half, 0), min(b + half, n - 1)
        if spans and not last + half < a - half:
            spans[-1] = (spans[-1][0], high)
        else:
            spans.append((low, high))
        last = b
    return np.minimum(soft, 1), spans


def in_runs(values, lengths):
    """Values as the rows of several runs of the given lengths."""
    index = [(run, row) for run, length in enumerate(lengths) for row in range(length)]
    return pd.Series(values, index=pd.MultiIndex.from_tuples(index, names=["run", "time"]))


@st.composite
def made_logs(draw):
    """Labels of one to three runs, and scores of all rows with ties."""
    lengths = draw(st.lists(st.integers(1, 30), min_size=1, max_size=3))
    labels = [np.array(draw(st.lists(st.sampled_from([0, 0, 0, 1]), min_size=n, max_size=n))) for n in lengths]
    score = draw(st.lists(st.integers(-5, 5), min_size=sum(lengths), max_size=sum(lengths)))
    return labels, np.array(score, dtype=float)


@pytest.mark.parametrize(
    ("buffer", "roc", "pr"),
    [(0, 0.864498645, 0.722502806), (4, 0.876339753, 0.738109659), (10, 0.906019455, 0.787375289)],
)
def test_the_values_are_those_of_the_benchmark_that_made_the_measure_known(buffer, roc, pr):
    assert vus_roc_score(FROZEN_LABELS, FROZEN_SCORE, buffer=buffer) == pytest.approx(roc, abs=1e-9)
    assert vus_pr_score(FROZEN_LABELS, FROZEN_SCORE, buffer=buffer) == pytest.approx(pr, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(log=made_logs(), buffer=st.integers(0, 14), n_thresholds=st.integers(2, 40))
def test_the_values_are_those_of_the_definition_in_loops(log, buffer, n_thresholds):
    runs, score = log
    y = in_runs(np.concatenate(runs), [len(run) for run in runs])
    options = {"buffer": buffer, "n_thresholds": n_thresholds}
    if y.nunique() < 2:
        return
    pr, roc = plain_loops(runs, score, **options)
    assert vus_pr_score(y, score, **options) == pytest.approx(pr, abs=1e-12)
    assert vus_roc_score(y, score, **options) == pytest.approx(roc, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(log=made_logs(), buffer=st.integers(0, 14))
def test_only_the_order_of_scores_matters_and_values_lie_between_0_and_1(log, buffer):
    runs, score = log
    y = in_runs(np.concatenate(runs), [len(run) for run in runs])
    for measure in BOTH:
        value = measure(y, score, buffer=buffer)
        assert np.isnan(value) or 0 <= value <= 1
        for mapped in (3 * score - 7, np.exp(score), np.where(score == score.max(), np.inf, score)):
            np.testing.assert_allclose(measure(y, mapped, buffer=buffer), value, rtol=1e-12)


@pytest.mark.parametrize("measure", BOTH)
def test_the_order_of_runs_and_the_clock_change_nothing(measure):
    rng = np.random.RandomState(0)
    y, score = in_runs(rng.binomial(1, 0.2, 90), [30, 40, 20]), rng.normal(size=90)
    value = measure(y, score, buffer=6)
    order = np.concatenate([np.arange(70, 90), np.arange(30), np.arange(30, 70)])
    assert measure(y.iloc[order], score[order], buffer=6) == pytest.approx(value, rel=1e-12)
    shifted = y.set_axis(pd.MultiIndex.from_arrays([y.index.get_level_values(0), y.index.get_level_values(1) + 1e6]))
    assert measure(shifted, score, buffer=6) == value


@pytest.mark.parametrize("measure", BOTH)
def test_time_reversed_gives_the_same(measure):
    assert measure(FROZEN_LABELS[::-1], FROZEN_SCORE[::-1], buffer=9) == pytest.approx(
        measure(FROZEN_LABELS, FROZEN_SCORE, buffer=9), rel=1e-12
    )


def test_no_tolerance_reaches_into_another_run_or_over_a_gap():
    y, score = np.array([0, 0, 0, 1, 0, 0, 0, 0]), np.array([0, 0, 0, 0.5, 0.9, 0, 0, 0])
    joined = vus_pr_score(y, score, buffer=4)
    parted = vus_pr_score(in_runs(y, [4, 4]), score, buffer=4)
    clock = pd.Series(y, index=[0, 1, 2, 3, 90, 91, 92, 93])
    assert parted < joined == vus_pr_score(clock, score, buffer=4)
    assert vus_pr_score(clock, score, buffer=4, max_gap=5) == parted


def test_without_tolerance_one_event_is_measured_as_scikit_learn_does():
    rng = np.random.RandomState(1)
    y, score = np.repeat([0, 1, 0], [40, 20, 60]), rng.normal(size=120)
    score[50] = 9.0  # the highest score is of the event, so that it is found at every threshold
    exact = {"buffer": 0, "n_thresholds": None}
    assert vus_pr_score(y, score, **exact) == pytest.approx(average_precision_score(y, score), rel=1e-12)
    assert vus_roc_score(y, score, **exact) == pytest.approx(roc_auc_score(y, score), rel=1e-12)


def test_every_distinct_score_as_threshold_is_what_many_thresholds_come_to():
    many = len(FROZEN_SCORE)
    for measure in BOTH:
        assert measure(FROZEN_LABELS, FROZEN_SCORE, buffer=8, n_thresholds=None) == pytest.approx(
            measure(FROZEN_LABELS, FROZEN_SCORE, buffer=8, n_thresholds=many), rel=1e-12
        )


def test_events_flagged_exactly_are_perfect_without_tolerance():
    assert vus_pr_score(FROZEN_LABELS, FROZEN_LABELS, buffer=0) == 1.0
    assert vus_roc_score(FROZEN_LABELS, FROZEN_LABELS, buffer=0) == 1.0


def test_few_thresholds_are_coarse_where_events_are_rare():
    y = np.zeros(20_000, dtype=int)
    y[500:520] = 1
    score = y + np.linspace(0, 0.5, 20_000)
    assert vus_pr_score(y, score, buffer=0) < 0.5 < vus_pr_score(y, score, buffer=0, n_thresholds=None) == 1.0


@pytest.mark.parametrize(("y", "measures"), [([0, 0, 0], BOTH), ([1, 1, 1], (vus_roc_score,))])
def test_what_is_undefined_is_nan_without_a_warning(y, measures):
    for measure in measures:
        assert np.isnan(measure(y, [0.1, 0.2, 0.3]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 2], [0.1, 0.2]), "y_true holds .* where 0 and 1 are wanted"),
        (([0, 1], [0.1, np.nan]), "y_score holds NaN in 1 rows"),
        (([0, 1], [0.1, 0.2, 0.3]), "y_score has 3 rows and y_true 2"),
        (([0, 1], [[0.9, 0.1], [0.2, 0.8]]), r"y_score\[:, 1\]"),
        ((pd.Series([0, 1]), pd.Series([0.1, 0.2], index=[1, 2])), "another index than y_true"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments, message):
    for measure in BOTH:
        with pytest.raises(ValueError, match=message):
            measure(*arguments)


@pytest.mark.parametrize(
    ("options", "message"), [({"buffer": -1}, "buffer=-1"), ({"buffer": 2.5}, "2.5"), ({"n_thresholds": 1}, "no curve")]
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        vus_pr_score([0, 1], [0.1, 0.2], **options)


def test_a_long_log_takes_a_thirtieth_of_the_time_of_loops_or_less():
    rng = np.random.RandomState(0)
    y = np.zeros(100_000, dtype=int)
    for first in rng.randint(0, 99_000, 50):
        y[first : first + 100] = 1
    score = rng.normal(size=100_000) + y
    begin = time.perf_counter()
    value = vus_pr_score(y, score, buffer=100)
    ours = time.perf_counter() - begin
    begin = time.perf_counter()
    plain_loops([y], score, 3)  # 4 of the 101 tolerances; the wider ones take longer
    loops = (time.perf_counter() - begin) * 101 / 4
    assert 0 < value < 1
    assert loops > 30 * ours, f"{loops:.2f} s by loops, {ours:.3f} s by arrays."
