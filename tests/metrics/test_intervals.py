"""An interval holds the true value as often as it says, draws whole events and machines, and repeats from a seed."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.signal import lfilter
from sklearn.metrics import average_precision_score

from eventlstm.metrics import Interval, binomial_interval, bootstrap_interval, poisson_interval

N_ROWS, N_EVENTS = 3000, 15


def draw_log(rng, n_machines=1, n_events=N_EVENTS):
    """Labels and scores of a log: noise that lasts, and events that are more or less clear."""
    length = N_ROWS // n_machines
    noise = lfilter([np.sqrt(1 - 0.95**2)], [1, -0.95], rng.normal(size=(n_machines, length + 100)), axis=1)[:, 100:]
    y = np.zeros((n_machines, length), dtype=int)
    slot = N_ROWS // n_events
    for begin in range(0, N_ROWS, slot):
        at = begin + rng.integers(1, slot - 41)
        machine, row = divmod(at, length)
        rows = slice(row, min(row + rng.integers(5, 40), length))
        y[machine, rows] = 1
        noise[machine, rows] += 2.0 + rng.normal()
    index = pd.MultiIndex.from_product([range(n_machines), range(length)], names=["machine", "time"])
    return pd.Series(y.ravel(), index=index), pd.Series(noise.ravel(), index=index)


def fast_average_precision(y, score):
    order = np.argsort(-np.asarray(score), kind="stable")
    hits = np.asarray(y)[order]
    return (np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits == 1].mean()


def interval_from_rows(y, score, rng, n_resamples):
    rows = rng.integers(len(y), size=(n_resamples, len(y)))
    return np.quantile([fast_average_precision(y[own], score[own]) for own in rows], [0.025, 0.975])


@pytest.mark.slow
@pytest.mark.parametrize("n_machines", [1, 5])
def test_events_drawn_whole_give_the_coverage_asked_for_and_rows_drawn_singly_do_not(n_machines):
    rng = np.random.default_rng(0)
    many = zip(*(draw_log(rng, n_machines) for _ in range(300)), strict=True)
    truth = fast_average_precision(*(np.concatenate(column) for column in many))
    held = []
    for seed in range(100):
        y, score = draw_log(rng, n_machines)
        _, low, high = bootstrap_interval(fast_average_precision, y, score, n_resamples=100, random_state=seed)
        row_low, row_high = interval_from_rows(y.to_numpy(), score.to_numpy(), rng, n_resamples=60)
        held.append((low <= truth <= high, row_low <= truth <= row_high))
    blocks, rows = np.mean(held, axis=0)
    print(f"coverage of 95 % intervals, 15 events on {n_machines} machines: blocks {blocks:.2f}, rows {rows:.2f}")
    assert blocks >= 0.88 and rows < 0.5


@pytest.fixture(scope="module")
def log():
    return draw_log(np.random.default_rng(1), n_machines=5)


def drawn_logs(y, score, n_resamples=20):
    """The logs that a measure is asked about: the own rows first, then the draws."""
    seen = []

    def look(y_true, y_score):
        seen.append((y_true, y_score))
        return float(y_true.mean())

    bootstrap_interval(look, y, score, n_resamples=n_resamples, random_state=0)
    return seen


def test_a_draw_holds_whole_stretches_of_rows_with_their_own_scores_and_times(log):
    y, score = log
    (own, _), *draws = drawn_logs(y, score)
    np.testing.assert_array_equal(own, y)
    for labels, scores in draws:
        assert labels.index.equals(scores.index) and labels.index.is_unique
        for _, run in scores.groupby(level=0):
            times = run.index.get_level_values(1).to_numpy()
            assert (np.diff(times) == 1).all()
            rows = np.flatnonzero(score.to_numpy() == run.iloc[0])[0] + np.arange(len(run))
            np.testing.assert_array_equal(run, score.to_numpy()[rows])
            assert len(set(score.index.get_level_values(0)[rows])) == 1


def test_no_draw_cuts_an_event_and_each_holds_about_as_many(log):
    y, score = log
    labels = y.to_numpy()
    number = np.cumsum(np.diff(labels, prepend=0) == 1) * labels  # events at a run's border do not occur here
    length = dict(zip(*np.unique(number[number > 0], return_counts=True), strict=True))
    of_score = dict(zip(score.to_numpy(), number, strict=True))
    for drawn, scores in drawn_logs(y, score)[1:]:
        numbers = np.array([of_score[value] for value in scores])
        seen = dict(zip(*np.unique(numbers[numbers > 0], return_counts=True), strict=True))
        assert all(count % length[event] == 0 for event, count in seen.items())
        n_events = sum(count // length[event] for event, count in seen.items())
        assert 0.5 * N_EVENTS <= n_events <= 1.5 * N_EVENTS
        assert drawn.sum() == (numbers > 0).sum()


def test_machines_without_events_stay_in_and_every_draw_has_events():
    y, score = draw_log(np.random.default_rng(2), n_machines=5)
    y[y.index.get_level_values(0) > 0] = 0
    with pytest.warns(UserWarning, match="fewer than 10 the interval is unreliable"):
        draws = drawn_logs(y, score)
    assert all(labels.sum() > 0 for labels, _ in draws)


@pytest.mark.parametrize("freq", ["h", "s"])
def test_a_draw_of_a_log_with_date_times_keeps_them(freq):
    y, score = draw_log(np.random.default_rng(3))
    times = pd.date_range("2024-01-01", periods=len(y), freq=freq, tz="UTC")
    for labels, _ in drawn_logs(y.set_axis(times), score.set_axis(times))[1:]:
        assert labels.index.get_level_values(-1).isin(times).all()
        assert labels.groupby(level=0).apply(lambda run: run.index.get_level_values(-1).is_monotonic_increasing).all()


def test_the_interval_is_the_same_from_the_same_seed_and_holds_the_estimate(log):
    first, again, other = (
        bootstrap_interval(fast_average_precision, *log, n_resamples=50, random_state=seed) for seed in (0, 0, 1)
    )
    assert first == again != other
    assert isinstance(first, Interval) and first.low < first.estimate < first.high
    assert first.estimate == pytest.approx(average_precision_score(*log))


def test_the_order_of_the_machines_hardly_matters(log):
    y, score = log
    swapped = pd.concat([y[y.index.get_level_values(0) == name] for name in (3, 1, 4, 0, 2)])
    first = bootstrap_interval(fast_average_precision, y, score, n_resamples=300, random_state=0)
    other = bootstrap_interval(fast_average_precision, swapped, score[swapped.index], n_resamples=300, random_state=0)
    assert first.estimate == pytest.approx(other.estimate)
    np.testing.assert_allclose(first, other, atol=0.06)


def test_arrays_and_series_of_one_run_give_the_same():
    y, score = draw_log(np.random.default_rng(4))
    one, other = (
        bootstrap_interval(fast_average_precision, *pair, n_resamples=30, random_state=0)
        for pair in ((y, score), (y.to_numpy(), score.tolist()))
    )
    assert one == other


def test_a_model_does_not_differ_from_itself_and_does_from_noise(log):
    y, score = log
    same = bootstrap_interval(fast_average_precision, y, score, paired_with=score, n_resamples=20, random_state=0)
    assert same == (0.0, 0.0, 0.0)
    noise = np.random.default_rng(0).normal(size=len(y))
    better = bootstrap_interval(fast_average_precision, y, score, paired_with=noise, n_resamples=60, random_state=0)
    assert better.low > 0
    assert better.estimate == pytest.approx(fast_average_precision(y, score) - fast_average_precision(y, noise))


def test_pairing_is_narrower_than_the_models_apart(log):
    y, score = log
    near = score + 0.05 * np.random.default_rng(0).normal(size=len(y))
    paired = bootstrap_interval(fast_average_precision, y, score, paired_with=near, n_resamples=60, random_state=0)
    alone = bootstrap_interval(fast_average_precision, y, score, n_resamples=60, random_state=0)
    assert paired.high - paired.low < 0.3 * (alone.high - alone.low)


def test_more_confidence_gives_wider_intervals(log):
    y, score = log

    def width(**parameters):
        _, low, high = bootstrap_interval(
            fast_average_precision, y, score, n_resamples=200, random_state=0, **parameters
        )
        return high - low

    assert width(confidence=0.5) < width(confidence=0.9) < width(confidence=0.99)


def test_a_measure_that_is_undefined_gives_an_interval_of_nan(log):
    assert np.isnan(bootstrap_interval(lambda y, score: np.nan, *log, n_resamples=5)).all()
    draws = iter([0.5, *[np.nan] * 6, *[0.4] * 4])
    estimate, low, high = bootstrap_interval(lambda y, score: next(draws), *log, n_resamples=10)
    assert estimate == 0.5 and np.isnan(low) and np.isnan(high)


def test_draws_on_which_a_measure_is_undefined_are_left_out(log):
    draws = iter([0.5, np.nan, *np.linspace(0.4, 0.6, 9)])
    estimate, low, high = bootstrap_interval(lambda y, score: next(draws), *log, n_resamples=10)
    assert 0.4 <= low < estimate < high <= 0.6


def test_the_global_seed_is_left_alone(log):
    np.random.seed(0)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    bootstrap_interval(fast_average_precision, *log, n_resamples=2, random_state=0)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize(
    ("y", "parameters", "message"),
    [
        ([0, 1, 0, 0, 0], {}, "y_true holds 1 events, and an interval needs two"),
        ([0, 2, 0, 1, 0], {}, "y_true holds .*where 0 and 1 are wanted"),
        ([0, 1, 0, 1], {}, "inconsistent numbers of samples"),
        ([0, 1, 0, 1, 0], {"confidence": 95}, "confidence=95 and n_resamples=1000 came"),
        ([0, 1, 0, 1, 0], {"n_resamples": 1}, "n_resamples=1 came"),
    ],
)
def test_rows_that_give_no_interval_are_refused(y, parameters, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(average_precision_score, y, np.arange(5.0), **parameters)


# Exact intervals of counts


@pytest.mark.parametrize("confidence", [0.9, 0.95])
@pytest.mark.parametrize("rate", [0.3, 1.0, 4.2, 30.0])
def test_a_rate_lies_in_its_interval_as_often_as_asked(rate, confidence):
    counts = np.arange(200)
    held = [interval.low <= rate <= interval.high for interval in (exact(k, confidence) for k in counts)]
    assert stats.poisson.pmf(counts, rate)[held].sum() >= confidence - 1e-9


def exact(k, confidence):
    return poisson_interval(int(k), 1.0, confidence=confidence)


@pytest.mark.parametrize("n", [1, 5, 20])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9, 1.0])
def test_a_share_lies_in_its_interval_as_often_as_asked(n, share):
    intervals = [binomial_interval(k, n) for k in range(n + 1)]
    held = [interval.low <= share <= interval.high for interval in intervals]
    assert stats.binom.pmf(np.arange(n + 1), n, share)[held].sum() >= 0.95 - 1e-9


def test_exact_intervals_are_those_of_scipy_and_of_the_tables():
    found = stats.binomtest(3, 20).proportion_ci(method="exact")
    np.testing.assert_allclose(binomial_interval(3, 20), (0.15, found.low, found.high))
    np.testing.assert_allclose(poisson_interval(0, 1), (0, 0, 3.688879), rtol=1e-6)
    np.testing.assert_allclose(poisson_interval(5, 2), (2.5, 1.623486 / 2, 11.66833 / 2), rtol=1e-6)


def test_whole_shares_reach_the_border():
    assert binomial_interval(0, 8)[:2] == (0.0, 0.0) and binomial_interval(8, 8)[::2] == (1.0, 1.0)


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (lambda: poisson_interval(-1, 1), "-1 events were counted"),
        (lambda: poisson_interval(1.5, 1), "1.5 events were counted"),
        (lambda: poisson_interval(1, 0), "exposure=0 came"),
        (lambda: poisson_interval(1, 1, confidence=1.0), r"confidence=1\.0 came"),
        (lambda: binomial_interval(3, 2), "k=3 of n=2 came"),
        (lambda: binomial_interval(0, 0), "k=0 of n=0 came"),
    ],
)
def test_counts_that_cannot_be_are_refused(count, message):
    with pytest.raises(ValueError, match=message):
        count()
