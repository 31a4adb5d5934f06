"""Thresholds keep what they promise: laws of units and budgets first, then rates on rows that come after."""

import pickle
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter
from sklearn.base import clone
from sklearn.metrics import fbeta_score, matthews_corrcoef

import eventlstm as el
from eventlstm.alarms.tails import Clusters
from eventlstm.thresholds import (
    AutoThreshold,
    DynamicThreshold,
    LabelledThreshold,
    QuantileThreshold,
    StreamingTailThreshold,
    TailThreshold,
    effective_rows,
)

RATE = 1e-2
ON_QUIET = (
    QuantileThreshold(RATE),
    TailThreshold(RATE),
    StreamingTailThreshold(RATE),
    StreamingTailThreshold(RATE, depth=20),
    AutoThreshold(false_alarm_rate=RATE),
    AutoThreshold(2.0),
    AutoThreshold(20.0, merge_gap="auto"),
)
ALL = (*ON_QUIET, DynamicThreshold(), LabelledThreshold(), LabelledThreshold("mcc"), LabelledThreshold("cost"))
MINUTES_A_DAY = 1440
QUICK = settings(max_examples=40, deadline=None)

each_quiet = pytest.mark.parametrize("threshold", ON_QUIET, ids=str)
each = pytest.mark.parametrize("threshold", ALL, ids=str)
guesses_are_meant = pytest.mark.filterwarnings("ignore:.*the threshold is a guess:UserWarning")
large_budgets_are_meant = pytest.mark.filterwarnings("ignore:.*of the quiet rows are above:UserWarning")


def skewed(n_rows, memory=0.9, seed=0):
    """Right-skewed scores that hang together: the mean square of four autoregressions."""
    noise = np.random.default_rng(seed).normal(size=(n_rows + 500, 4)) * np.sqrt(1 - memory**2)
    return (lfilter([1.0], [1.0, -memory], noise, axis=0)[500:] ** 2).mean(axis=1)


def timed(values, freq="min"):
    return pd.Series(values, index=pd.date_range("2026-01-01", periods=len(values), freq=freq))


def in_runs(values, n_runs):
    """Scores as a log of several machines, a row a minute."""
    n_rows = len(values) // n_runs
    times = pd.date_range("2026-01-01", periods=n_rows, freq="min")
    return pd.Series(values, index=pd.MultiIndex.from_product([range(n_runs), times], names=["machine", "time"]))


def labelled(n_rows=3000):
    values, y = skewed(n_rows), np.zeros(n_rows, dtype=int)
    y[1000:1030] = y[2000:2010] = 1
    values[y == 1] += 3.0
    return timed(values), y


@each
@pytest.mark.parametrize("unit", [1e-9, 0.25, 1e6])
def test_another_unit_of_the_scores_is_another_unit_of_the_threshold(threshold, unit):
    score, y = labelled()
    plain, scaled = (clone(threshold).fit(score * factor, y).threshold_ for factor in (1.0, unit))
    assert scaled == pytest.approx(unit * plain, rel=1e-6)


@pytest.mark.parametrize("threshold", (*ON_QUIET, LabelledThreshold()), ids=str)
def test_scores_raised_by_a_constant_raise_the_threshold_by_it(threshold):
    score, y = labelled()
    plain, shifted = (clone(threshold).fit(score + offset, y).threshold_ for offset in (0.0, -7.0))
    assert shifted == pytest.approx(plain - 7.0, abs=1e-5)


@guesses_are_meant
@large_budgets_are_meant
@each_quiet
def test_a_larger_budget_never_asks_for_a_higher_threshold(threshold):
    score = timed(skewed(4000))
    per_day = isinstance(threshold, AutoThreshold) and threshold.false_alarm_rate is None
    name = "max_false_alarms_per_day" if per_day else "false_alarm_rate"
    budgets = np.geomspace(0.01, 1000, 40) if per_day else np.geomspace(1e-6, 0.019, 40)
    found = [clone(threshold).set_params(**{name: float(budget)}).fit(score).threshold_ for budget in budgets]
    assert (np.diff(found) <= 0).all()
    assert found[0] > found[-1]


@each
def test_a_threshold_survives_cloning_and_pickling(threshold):
    score, y = labelled()
    fitted = clone(threshold).fit(score, y)
    again = clone(fitted).fit(score, y)
    kept = pickle.loads(pickle.dumps(fitted))
    assert fitted.threshold_ == again.threshold_ == kept.threshold_
    assert isinstance(fitted.threshold_, float)
    pd.testing.assert_series_equal(kept.flag(score), fitted.flag(score))


@each
def test_rows_are_flagged_above_the_threshold_and_keep_their_index(threshold):
    score, y = labelled()
    fitted = clone(threshold).fit(score, y)
    pd.testing.assert_series_equal(fitted.flag(score), score > fitted.threshold_)
    np.testing.assert_array_equal(fitted.flag([np.nan, np.inf][:1]), [False])
    np.testing.assert_array_equal(fitted.flag([fitted.threshold_, fitted.threshold_ + 1]), [False, True])


@each_quiet
def test_rows_of_events_and_rows_without_a_score_do_not_count(threshold):
    score, y = labelled()
    hidden = score.where(y == 0)
    assert clone(threshold).fit(score, y).threshold_ == clone(threshold).fit(hidden).threshold_
    assert clone(threshold).fit(score, y).threshold_ < clone(threshold).fit(score).threshold_


@guesses_are_meant
@each_quiet
def test_constant_scores_raise_no_alarm(threshold):
    fitted = clone(threshold).fit(timed(np.full(2000, 0.1)))
    assert not fitted.flag([0.1]).any()
    assert fitted.flag([0.2]).all()


@each
@pytest.mark.parametrize(
    ("score", "message"),
    [
        (np.ones((5, 2)), "one score per row is wanted"),
        ([1.0, np.inf, 2.0], "score contains infinity"),
    ],
)
def test_scores_that_are_none_are_refused(threshold, score, message):
    with pytest.raises(ValueError, match=message):
        clone(threshold).fit(score, np.zeros(len(score)))


@pytest.mark.parametrize(
    ("score", "y", "message"),
    [
        ([np.nan, 1.0], None, "1 of 2 scores are of quiet rows"),
        ([1.0, 2.0], [1, 1], "0 of 2 scores are of quiet rows"),
        ([1.0, 2.0], [0, 2], "where 0 and 1 are wanted"),
        (timed([1.0, 2.0]), timed([0, 0], "h"), "their indexes differ"),
    ],
)
def test_labels_that_do_not_fit_or_leave_nothing_are_refused(score, y, message):
    with pytest.raises(ValueError, match=message):
        QuantileThreshold().fit(score, y)


@pytest.mark.parametrize("threshold", [TailThreshold(0.05), StreamingTailThreshold(0.05)], ids=str)
def test_a_rate_below_the_level_of_the_tail_is_refused(threshold):
    with pytest.raises(ValueError, match=r"Lower the rate, or the level to less than 0\.95"):
        threshold.fit(skewed(1000))


def realised_rates(threshold, n_rows, n_draws=15):
    fresh = np.sort(skewed(200_000, seed=1000))
    found = [clone(threshold).fit(skewed(n_rows, seed=seed)).threshold_ for seed in range(n_draws)]
    return 1.0 - np.searchsorted(fresh, found, side="right") / len(fresh)


@pytest.mark.parametrize("rate", [1e-2, 1e-3])
@pytest.mark.parametrize("kind", [QuantileThreshold, TailThreshold, AutoThreshold], ids=lambda kind: kind.__name__)
def test_fresh_rows_exceed_a_threshold_as_often_as_was_asked(kind, rate):
    realised = realised_rates(kind(false_alarm_rate=rate), n_rows=10_000)
    assert 0.5 < np.median(realised) / rate < 2.0


@pytest.mark.parametrize("merge_gap", [0, 15, "auto"])
@pytest.mark.parametrize(("n_days", "method"), [(20, "quantile"), (4, "tail")])
def test_fresh_rows_bring_as_many_alarms_a_day_as_were_asked(merge_gap, n_days, method):
    fresh, n_fresh_days = skewed(200_000, seed=1000), 200_000 / MINUTES_A_DAY
    realised = []
    for seed in range(15):
        score = timed(skewed(n_days * MINUTES_A_DAY, seed=seed))
        threshold = AutoThreshold(max_false_alarms_per_day=1, merge_gap=merge_gap).fit(score)
        alarms = Clusters(fresh, np.array([0]), threshold.merge_rows_)
        realised.append(alarms.count(threshold.threshold_) / n_fresh_days)
    assert 0.5 < np.median(realised) < 2.0
    assert threshold.method_ == method


@pytest.mark.parametrize("threshold", [QuantileThreshold(1e-3), TailThreshold(1e-3), AutoThreshold()], ids=str)
def test_too_few_rows_for_a_rate_are_warned_of_with_how_many_it_takes(threshold):
    with pytest.warns(UserWarning, match=r"2000 rows are worth \d+ independent ones.*Hold out \d+ rows") as caught:
        threshold.fit(skewed(2000, memory=0.95))
    assert caught[0].filename == __file__


def test_too_few_days_for_a_budget_are_warned_of_with_how_many_it_takes():
    with pytest.warns(UserWarning, match=r"6 hours of quiet rows hold .* Hold out 1\.8 days or more"):
        AutoThreshold(max_false_alarms_per_day=1).fit(timed(skewed(MINUTES_A_DAY // 4)))


def test_a_budget_a_day_is_kept_on_the_very_rows_it_was_counted_on():
    score = timed(skewed(30 * MINUTES_A_DAY))
    for budget in (2.0, 5.0):
        threshold = AutoThreshold(budget).fit(score)
        flags = threshold.flag(score).to_numpy()
        n_alarms = (flags & ~np.append(False, flags[:-1])).sum()
        assert n_alarms == 30 * budget


def test_a_budget_is_for_each_machine():
    values = skewed(24 * MINUTES_A_DAY)
    alone, fleet = AutoThreshold().fit(timed(values)), AutoThreshold().fit(in_runs(values, 4))
    assert fleet.n_expected_ == pytest.approx(alone.n_expected_, rel=0.1)
    assert fleet.threshold_ == pytest.approx(alone.threshold_, rel=0.05)


def test_a_gap_in_time_is_not_observed():
    score = timed(skewed(20 * MINUTES_A_DAY))
    later = score.copy()
    later.index = later.index.where(np.arange(len(later)) < len(later) // 2, later.index + pd.Timedelta("90D"))
    assert AutoThreshold().fit(later).threshold_ == pytest.approx(AutoThreshold().fit(score).threshold_, rel=1e-2)


def test_single_rows_without_a_score_tear_nothing():
    score = timed(skewed(20 * MINUTES_A_DAY))
    holed = score.where(np.arange(len(score)) % 2 == 0)
    threshold = AutoThreshold().fit(holed)
    assert threshold.n_expected_ == pytest.approx(AutoThreshold().fit(score).n_expected_, rel=0.2)


DRIFTS = {
    "up": lambda share: 20 * share,
    "down": lambda share: -20 * share,
    "up by leaps": lambda share: 4 * np.floor(8 * share),
    "there and back": lambda share: 10 * np.sin(np.pi * share),
    "up late": lambda share: 30 * np.maximum(share - 0.6, 0),
}


@guesses_are_meant
@pytest.mark.parametrize("budget", [1, 4, 20])
@pytest.mark.parametrize("drift", DRIFTS)
def test_alarms_that_take_more_than_a_quarter_of_the_rows_are_warned_of_however_few_they_are(drift, budget):
    score = timed(np.random.default_rng(0).exponential(size=7200) + DRIFTS[drift](np.linspace(0, 1, 7200)), "10min")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        threshold = AutoThreshold(budget, merge_gap=15).fit(score)
    told = [re.match(r"(\d+)% of the quiet rows are above", str(one.message)) for one in caught]
    share = threshold.flag(score).mean()
    assert [int(one.group(1)) for one in told if one] == ([round(100 * share)] if share > 0.25 else [])


@pytest.mark.parametrize("freq", ["min", "10min", "30min"])
def test_scores_that_do_not_drift_are_not_called_so(freq):
    AutoThreshold(1, merge_gap=15).fit(timed(skewed(20 * MINUTES_A_DAY, memory=0.5), freq))


@large_budgets_are_meant
def test_a_budget_that_no_threshold_reaches_gives_most_alarms():
    values = skewed(2000)
    threshold = AutoThreshold(max_false_alarms_per_day=10_000).fit(timed(values))
    alarms = Clusters(values, np.array([0]), 0)
    assert alarms.count(threshold.threshold_) == alarms.most


def test_a_gap_to_merge_is_told_in_rows_or_in_time():
    score = timed(skewed(10 * MINUTES_A_DAY), "30s")
    rows, span = (AutoThreshold(4, merge_gap=gap).fit(score) for gap in (30, "15min"))
    assert rows.threshold_ == span.threshold_
    assert rows.merge_rows_ == span.merge_rows_ == 30


def test_without_date_times_the_budget_is_a_share_of_rows():
    values = skewed(20_000)
    by_rows = AutoThreshold().fit(values)
    assert by_rows.threshold_ == AutoThreshold(false_alarm_rate=1e-3).fit(timed(values)).threshold_
    assert not hasattr(by_rows, "merge_rows_")


def test_effective_rows_are_those_of_the_slower_scores():
    noise = np.random.default_rng(0).normal(size=6000)
    assert effective_rows(noise) == pytest.approx(6000, rel=0.1)
    assert effective_rows(np.repeat(noise[:600], 10)) == pytest.approx(600, rel=0.4)


@QUICK
@given(cuts=st.lists(st.integers(0, 500), max_size=4), depth=st.sampled_from([0, 10]))
def test_a_stream_may_be_cut_anywhere(cuts, depth):
    values = skewed(2500, memory=0.5)
    fitted = StreamingTailThreshold(1e-2, depth=depth).fit(values[:2000])
    whole, parts = pickle.loads(pickle.dumps(fitted)), pickle.loads(pickle.dumps(fitted))
    expected = whole.update(values[2000:])
    found = [parts.update(part) for part in np.split(values[2000:], sorted(cuts))]
    np.testing.assert_array_equal(np.concatenate(found), expected)
    assert parts.threshold_ == whole.threshold_


def test_a_stream_without_updates_begins_as_the_tail_of_all_rows():
    values = skewed(5000)
    assert StreamingTailThreshold(1e-3, max_excesses=5000).fit(values).threshold_ == pytest.approx(
        TailThreshold(1e-3).fit(values).threshold_
    )


def test_a_stream_neither_forgets_its_tail_nor_runs_away():
    rng = np.random.default_rng(0)
    stream = StreamingTailThreshold(2e-3, max_excesses=200).fit(rng.exponential(size=2000))
    flags = stream.update(rng.exponential(size=25_000))
    assert stream.threshold_ == pytest.approx(-np.log(2e-3), rel=0.1)
    assert 0.7 < flags.mean() / 2e-3 < 1.5


def test_a_stream_learns_from_the_first_row_of_an_alarm_only():
    once, long = (StreamingTailThreshold(1e-2, depth=5).fit(skewed(3000)) for _ in range(2))
    before, n_before = once.threshold_, once.n_rows_
    assert once.update(1e6) is True
    np.testing.assert_array_equal(long.update([1e3, 1e6, np.nan, 1e6]), [True, True, False, True])
    assert once.threshold_ == long.threshold_ == pytest.approx(before, rel=0.02)
    assert once.n_rows_ == long.n_rows_ == n_before + 1


@guesses_are_meant
def test_a_stream_with_depth_follows_a_drift_that_one_without_flags_again_and_again():
    values = skewed(2000, memory=0.5) + np.linspace(0.0, 30.0, 2000)
    share = {
        depth: StreamingTailThreshold(2e-3, depth=depth, max_excesses=100)
        .fit(values[:1500])
        .update(values[1500:])
        .mean()
        for depth in (0, 50)
    }
    assert 10 * share[50] < share[0]
    assert share[50] <= 0.004


def test_a_stream_keeps_the_index_of_its_scores():
    score = timed(skewed(3000))
    flags = StreamingTailThreshold(1e-2).fit(score[:2000]).update(score[2000:])
    assert flags.index.equals(score.index[2000:])
    assert flags.dtype == bool


def test_a_depth_beyond_all_stretches_is_refused():
    with pytest.raises(ValueError, match="No stretch of score is longer than depth=50"):
        StreamingTailThreshold(1e-2, depth=50).fit(in_runs(skewed(200), 4))


def with_peaks(*peaks):
    errors = np.abs(np.random.default_rng(0).normal(size=4000))
    for k, peak in enumerate(peaks):
        errors[500 + 800 * k : 510 + 800 * k] = peak
    return errors


def test_a_dynamic_threshold_flags_what_stands_out():
    errors = with_peaks(30.0, 28.0)
    flags = DynamicThreshold().fit(errors).flag(errors)
    np.testing.assert_array_equal(np.flatnonzero(flags), [*range(500, 510), *range(1300, 1310)])


def test_pruning_keeps_the_peaks_down_to_the_last_large_drop():
    errors = with_peaks(30.0, 20.0)
    errors[2500] = errors.max(where=errors < 10, initial=0.0) * 1.01  # hardly above the highest quiet error
    pruned, kept = DynamicThreshold(prune=0.13).fit(errors), DynamicThreshold(prune=0.0).fit(errors)
    assert pruned.epsilon_ == kept.epsilon_
    assert kept.threshold_ <= pruned.threshold_
    assert DynamicThreshold(prune=0.9).fit(errors).threshold_ == 30.0


def test_quiet_errors_are_left_alone():
    for errors in (np.random.default_rng(0).uniform(size=4000), np.full(100, 0.1)):
        assert not DynamicThreshold().fit(errors).flag(errors).any()


def test_negative_errors_are_refused():
    with pytest.raises(ValueError, match="takes errors, from zero on"):
        DynamicThreshold().fit([-1.0, 2.0])


def best_by_loop(score, y, measure):
    """Return the best of a measure over all thresholds, one by one."""
    levels = [-np.inf, *np.unique(score)]
    return max(measure(y, (score > level).astype(int)) for level in levels)


MEASURES = {
    "fbeta": lambda y, flags: fbeta_score(y, flags, beta=0.5, zero_division=0.0),
    "mcc": matthews_corrcoef,
    "cost": lambda y, flags: -np.mean(10.0 * ((y == 1) & (flags == 0)) + ((y == 0) & (flags == 1))),
}


@QUICK
@given(
    rows=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 1)), min_size=2, max_size=25),
    name=st.sampled_from(sorted(MEASURES)),
)
def test_no_threshold_does_better_on_the_labels(rows, name):
    score, y = (np.array(column, dtype=float) for column in zip((0, 0), (8, 1), *rows, strict=True))
    fitted = LabelledThreshold(name).fit(score, y)
    assert fitted.best_score_ == pytest.approx(best_by_loop(score, y, MEASURES[name]))
    assert MEASURES[name](y, fitted.flag(score).astype(int)) == pytest.approx(fitted.best_score_)


def test_a_measure_of_ones_own_reads_the_index_of_the_labels():
    score, y = labelled()
    seen = []

    def f_half(y_true, y_pred):
        seen.append(y_true.index.equals(y_pred.index) and y_true.index.equals(score.index))
        precision, recall = y_true[y_pred == 1].mean(), y_pred[y_true == 1].mean()  # NaN where nothing is flagged
        return 1.25 * precision * recall / (0.25 * precision + recall)

    own = LabelledThreshold(f_half).fit(score, pd.Series(y, index=score.index))
    best = LabelledThreshold("fbeta").fit(score, y)
    assert all(seen)
    assert len(seen) <= 200
    assert 0.8 * best.best_score_ <= own.best_score_ <= best.best_score_


@pytest.mark.parametrize(
    ("measure", "y", "message"),
    [
        ("fbeta", None, r"needs labels: fit\(score, y\)"),
        ("fbeta", [0, 0, 0], "one class only"),
        (lambda y_true, y_pred: np.nan, [0, 1, 0], "NaN at all thresholds"),
    ],
)
def test_labels_that_tell_no_threshold_are_refused(measure, y, message):
    with pytest.raises(ValueError, match=message):
        LabelledThreshold(measure).fit([0.1, 0.2, 0.3], y)


def test_the_module_is_public():
    assert el.thresholds.AutoThreshold is AutoThreshold


def test_a_stream_begins_at_the_mean_of_the_last_stretch():
    noise = np.random.default_rng(0).exponential(size=400)
    index = pd.MultiIndex.from_product([["a", "b"], range(200)])
    score = pd.Series(noise + np.repeat([100.0, 0.0], 200), index)
    stream = StreamingTailThreshold(0.02, depth=100).fit(score)
    assert stream.threshold_ < 50
