"""Windows chosen or made for training: what sampling must leave alone, and what it does with too few events."""

import tracemalloc
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.combine import SMOTEENN, SMOTETomek
from imblearn.over_sampling import (
    ADASYN,
    SMOTE,
    SMOTENC,
    BorderlineSMOTE,
    KMeansSMOTE,
    RandomOverSampler,
)
from imblearn.pipeline import make_pipeline
from imblearn.under_sampling import EditedNearestNeighbours, NearMiss, RandomUnderSampler, TomekLinks
from imblearn.utils.estimator_checks import estimator_checks_generator as sampler_checks_generator
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from eventlstm import FlattenWindows, LogWindows, LSTMClassifier, TemporalOversampler, WindowSampler
from eventlstm.sampling.resampling import resample
from eventlstm.sampling.temporal_oversampler import earliest_ends

N_STEPS, N_CHANNELS = 6, 3
SAMPLERS = [
    WindowSampler(RandomOverSampler(random_state=0)),
    WindowSampler(RandomUnderSampler(random_state=0)),
    WindowSampler(SMOTE(random_state=0)),
]
MAKERS = [
    SMOTE(random_state=0),
    BorderlineSMOTE(random_state=0),
    ADASYN(random_state=0),
    SMOTETomek(random_state=0),
]
CHOOSERS = [
    RandomOverSampler(random_state=0),
    RandomUnderSampler(random_state=0),
    NearMiss(),
    TomekLinks(),
    EditedNearestNeighbours(),
]

overlap_is_meant = pytest.mark.filterwarnings("ignore:.*overlap on the log:UserWarning")


# imbalanced-learn's own decorator hands pytest a generator, which pytest 9 warns of.
@pytest.mark.parametrize(
    ("estimator", "check"), [pair for sampler in SAMPLERS for pair in sampler_checks_generator(sampler)]
)
def test_every_check_of_imbalanced_learn_passes(estimator, check):
    check(estimator)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_imbalanced_learn_has_at_least_fifteen_checks_for_each(sampler):
    names = [check.func.__name__ for _, check in sampler_checks_generator(sampler)]
    assert len(names) >= 15
    assert {"check_samplers_pandas", "check_samplers_sample_indices"} <= set(names)


@parametrize_with_checks([FlattenWindows()])
def test_every_check_of_scikit_learn_passes(estimator, check):
    check(estimator)


def test_scikit_learn_has_more_than_thirty_checks_of_a_transformer():
    assert len(list(estimator_checks_generator(FlattenWindows()))) > 30


def test_flattened_windows_come_back_as_they_were():
    X, _ = make_windows()
    flatten = FlattenWindows().fit(X)
    assert flatten.transform(X).shape == (len(X), N_STEPS * N_CHANNELS)
    np.testing.assert_array_equal(flatten.inverse_transform(flatten.transform(X)), X)


def test_windows_that_come_flattened_take_their_shape_from_n_channels():
    X, _ = make_windows()
    flatten = FlattenWindows(n_channels=N_CHANNELS).fit(X.reshape(len(X), -1))
    np.testing.assert_array_equal(flatten.inverse_transform(flatten.transform(X)), X)
    with pytest.raises(ValueError, match="n_channels=4 does not divide"):
        FlattenWindows(n_channels=4).fit(X.reshape(len(X), -1))


def test_flattened_columns_are_named_by_channel_and_step():
    X, _ = make_windows()
    flatten = FlattenWindows().set_output(transform="pandas").fit(X)
    assert list(flatten.transform(X).columns[:4]) == ["x0_t0", "x1_t0", "x2_t0", "x0_t1"]
    names = flatten.get_feature_names_out(["flow", "heat", "load"])
    assert (names[0], names[-1]) == ("flow_t0", "load_t5")
    with pytest.raises(ValueError, match="number of channels, 3, but 2 came"):
        flatten.get_feature_names_out(["flow", "heat"])


def test_windows_of_a_log_are_flattened_like_their_array():
    windows, _ = make_log()
    expected = FlattenWindows().fit_transform(windows[:])
    np.testing.assert_array_equal(FlattenWindows().fit_transform(windows), expected)


@pytest.mark.parametrize("sampler", MAKERS + CHOOSERS, ids=str)
def test_three_d_and_flattened_windows_give_the_same(sampler):
    X, y = make_windows()
    deep, labels = WindowSampler(sampler).fit_resample(X, y)
    flat, flat_labels = WindowSampler(sampler).fit_resample(X.reshape(len(X), -1), y)
    bare, bare_labels = clone(sampler).fit_resample(X.reshape(len(X), -1), y)
    np.testing.assert_array_equal(deep.reshape(len(deep), -1), flat)
    np.testing.assert_array_equal(flat, bare)
    np.testing.assert_array_equal(labels, flat_labels)
    np.testing.assert_array_equal(labels, bare_labels)


@pytest.mark.parametrize("sampler", MAKERS + CHOOSERS, ids=str)
def test_inside_fit_a_sampler_gives_the_windows_that_it_gives_outside(sampler):
    X, y = make_windows()
    expected, expected_labels = clone(sampler).fit_resample(X.reshape(len(X), -1), y)
    sampled = resample(sampler, X, y)
    assert in_any_order(sampled.values, sampled.y) == in_any_order(expected, expected_labels)


@pytest.mark.parametrize("sampler", MAKERS + CHOOSERS, ids=str)
def test_each_channel_keeps_its_place(sampler):
    X, y = make_windows()
    X += 100.0 * np.arange(N_CHANNELS)  # far apart, so that a scrambled window would show
    sampled = resample(sampler, X, y)
    assert (np.abs(sampled.values - 100.0 * np.arange(N_CHANNELS)) < 50.0).all()


@overlap_is_meant
@pytest.mark.parametrize("sampler", MAKERS + CHOOSERS, ids=str)
def test_windows_of_a_log_give_what_their_array_gives(sampler):
    windows, y = make_log()
    of_array = resample(sampler, windows[:], y)
    of_log = resample(sampler, windows, y)
    assert isinstance(of_log.values, LogWindows)
    np.testing.assert_array_equal(of_log.values[:], of_array.values)
    np.testing.assert_array_equal(of_log.y, of_array.y)


@pytest.mark.parametrize("sampler", MAKERS, ids=str)
def test_chosen_windows_are_told_from_made_ones(sampler):
    X, y = make_windows()
    sampled = resample(sampler, X, y)
    chosen = sampled.origin >= 0
    np.testing.assert_array_equal(sampled.values[chosen], X[sampled.origin[chosen]])
    np.testing.assert_array_equal(sampled.y[chosen], y[sampled.origin[chosen]])
    assert 0 < (~chosen).sum() == len(sampled.y) - chosen.sum()


@pytest.mark.parametrize("sampler", MAKERS, ids=str)
def test_windows_are_made_of_the_minority_only(sampler):
    X, y = make_windows()
    sampled = resample(sampler, X, y)
    assert set(sampled.y[sampled.origin < 0]) == {1}


def test_smote_makes_windows_on_the_line_between_two_of_the_minority():
    X, y = make_windows()
    sampled = resample(SMOTE(random_state=0), X, y)
    made = sampled.values[sampled.origin < 0].reshape(-1, N_STEPS * N_CHANNELS)
    minority = X[y == 1].reshape(-1, N_STEPS * N_CHANNELS)
    to_start = made[:, None] - minority  # (n_made, n_minority, n_columns)
    length = np.linalg.norm(minority[:, None] - minority, axis=2)  # (n_minority, n_minority)
    distance = np.linalg.norm(to_start, axis=2)  # (n_made, n_minority)
    detour = distance[:, :, None] + distance[:, None, :] - length  # none on the line between the two
    np.fill_diagonal(length, np.inf)
    assert (detour.reshape(len(made), -1).min(axis=1) < 1e-9).all()


def test_undersampling_a_log_copies_nothing():
    windows = LogWindows(np.zeros((100_000, 16)), window_size=64)
    y = np.zeros(len(windows), dtype=np.int8)
    y[::1000] = 1
    tracemalloc.start()
    sampled = resample(RandomUnderSampler(random_state=0), windows, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sampled.values.values is windows.values
    assert np.isin(sampled.values.ends, windows.ends).all()
    assert sampled.counts == {0: 100, 1: 100}
    assert peak < windows.values.nbytes  # row numbers; the windows would be 64 times the log


def test_smote_on_a_log_copies_the_minority_only():
    rng = np.random.default_rng(0)
    windows = LogWindows(rng.normal(size=(20_000, 8)), window_size=64)
    y = np.zeros(len(windows), dtype=np.int8)
    y[::1000] = 1
    tracemalloc.start()
    sampled = resample(SMOTE(sampling_strategy=0.005, random_state=0), windows, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sampled.counts[1] == int(0.005 * sampled.counts[0])
    assert peak < 5 * windows.values.nbytes  # the windows would be 64 times the log


@pytest.mark.parametrize("sampler", [SMOTE(random_state=0), SMOTENC([2], random_state=0)], ids=str)
def test_categorical_channels_keep_their_codes(sampler):
    X, y = make_windows()
    X[:, :, 2] = np.random.default_rng(1).choice([1.0, 4.0, 9.0], X.shape[:2])
    if isinstance(sampler, SMOTENC):
        sampler = sampler.set_params(categorical_features=list(range(2, N_STEPS * N_CHANNELS, N_CHANNELS)))
    sampled = resample(sampler, X, y, categorical_channels=[2])
    made = sampled.values[sampled.origin < 0]
    assert set(made[:, :, 2].ravel()) <= {1.0, 4.0, 9.0}
    assert len(np.unique(made[:, :, 0])) == made[:, :, 0].size
    deep, _ = WindowSampler(SMOTE(random_state=0), [2]).fit_resample(X, y)
    flat, _ = WindowSampler(SMOTE(random_state=0), [2], n_channels=3).fit_resample(X.reshape(len(X), -1), y)
    np.testing.assert_array_equal(deep[len(X) :], made)
    np.testing.assert_array_equal(flat.reshape(deep.shape), deep)


def test_windows_of_codes_alone_go_to_the_smote_for_them():
    X, y = make_windows()
    X = X.round()
    sampled = resample(SMOTE(random_state=0), X, y, categorical_channels=[0, 1, 2])
    assert type(sampled.sampler).__name__ == "SMOTEN"
    assert np.isin(sampled.values, X).all()


def test_a_sampler_that_would_mix_codes_gives_way_with_a_warning():
    X, y = make_windows()
    X[:, :, 2] = X[:, :, 2] > 0
    with pytest.warns(UserWarning, match="BorderlineSMOTE would make values between the codes.*SMOTENC takes"):
        sampled = resample(BorderlineSMOTE(random_state=0), X, y, categorical_channels=[2])
    assert set(sampled.values[:, :, 2].ravel()) == {0.0, 1.0}


def test_values_that_are_no_codes_are_refused_from_any_sampler():
    X, y = make_windows()
    X[:, :, 2] = 1.0
    with pytest.raises(ValueError, match="Shaker made values that are no codes in categorical channel 2"):
        resample(Shaker(), X, y, categorical_channels=[2])


@pytest.mark.parametrize("sampler", MAKERS, ids=str)
@pytest.mark.parametrize("n_positive", [2, 3, 5])
def test_with_few_events_the_neighbours_are_lowered_with_a_warning(sampler, n_positive):
    X, y = make_windows(n_positive=n_positive)
    with pytest.warns(UserWarning) as caught:
        sampled = resample(sampler, X, y)
    assert f"at most {n_positive - 1}" in str(caught[0].message)
    assert sampled.counts[1] > n_positive


@pytest.mark.parametrize("sampler", MAKERS, ids=str)
def test_a_single_event_is_repeated_with_one_warning(sampler):
    X, y = make_windows(n_positive=1)
    with pytest.warns(UserWarning, match="one window only") as caught:
        sampled = resample(sampler, X, y)
    assert len(caught) == 1
    assert sampled.counts == {0: 60, 1: 60}
    assert (sampled.values[sampled.y == 1] == X[y == 1]).all()


def test_a_neighbour_search_of_ones_own_is_lowered_too():
    X, y = make_windows(n_positive=3)
    with pytest.warns(UserWarning, match="k_neighbors__n_neighbors=6 neighbours.* at most 3"):
        resample(SMOTE(k_neighbors=NearestNeighbors(n_neighbors=6), random_state=0), X, y)


def test_near_miss_is_lowered_to_the_events_there_are():
    X, y = make_windows(n_positive=2)
    with pytest.warns(UserWarning, match="n_neighbors=2 is used"):
        assert resample(NearMiss(), X, y).counts == {0: 2, 1: 2}


@pytest.mark.parametrize("sampler", [*MAKERS, *CHOOSERS, TemporalOversampler()], ids=str)
def test_no_event_at_all_is_an_error_that_names_the_fold(sampler):
    windows, y = make_log()
    with pytest.raises(ValueError, match=r"one class.*fold of a cross-validation"):
        resample(sampler, windows, np.zeros_like(y))


@pytest.mark.parametrize(
    "sampler",
    [
        ADASYN(random_state=0),
        BorderlineSMOTE(random_state=0),
        KMeansSMOTE(cluster_balance_threshold=0.99, random_state=0),
    ],
    ids=str,
)
def test_where_a_method_finds_no_place_smote_makes_the_windows_with_one_warning(sampler):
    X, y = make_windows(n_positive=20)
    if not isinstance(sampler, KMeansSMOTE):
        X[y == 1] += 1000.0  # far from all others, so that there is no border
    with pytest.warns(UserWarning, match="plain SMOTE made the windows") as caught:
        sampled = resample(sampler, X, y)
    assert len(caught) == 1
    assert sampled.counts == {0: 60, 1: 60}


def test_other_failures_of_a_sampler_are_not_hidden():
    X, y = make_windows()
    with pytest.raises(ValueError, match="should be greater or equal to the original number"):
        resample(SMOTE(sampling_strategy={1: 2}), X, y)
    with pytest.raises(ValueError, match="'k_neighbors' parameter of SMOTE must be"):
        resample(SMOTE(k_neighbors=0), X, y)


def test_a_sampler_that_leaves_no_window_of_a_class_is_refused():
    X, y = make_windows()
    with pytest.raises(ValueError, match=r"Shaker left no window of class \[0\]"):
        resample(Shaker(keep=1), X, y)


def test_smote_on_overlapping_windows_of_a_log_warns_once_and_on_others_not():
    windows, y = make_log()
    with pytest.warns(UserWarning, match="overlap on the log") as caught:
        resample(SMOTE(random_state=0), windows, y)
    assert len(caught) == 1
    apart = windows.take(np.arange(0, len(windows), N_STEPS))
    resample(SMOTE(k_neighbors=1, random_state=0), apart, y[::N_STEPS])
    resample(RandomOverSampler(random_state=0), windows, y)


def test_chosen_windows_keep_their_weights_and_made_ones_get_the_mean_of_their_class():
    X, y = make_windows()
    weight = np.linspace(1.0, 2.0, len(y))
    sampled = resample(SMOTE(random_state=0), X, y, weight)
    np.testing.assert_array_equal(sampled.weight[: len(y)], weight)
    np.testing.assert_allclose(sampled.weight[len(y) :], weight[y == 1].mean())
    chosen = resample(RandomUnderSampler(random_state=0), X, y, weight)
    np.testing.assert_array_equal(chosen.weight, weight[chosen.origin])


@pytest.mark.parametrize("sampler", MAKERS + CHOOSERS, ids=str)
def test_a_window_of_weight_zero_counts_as_little_as_one_left_out(sampler):
    X, y = make_windows()
    weight = (np.arange(len(y)) % 7 > 0).astype(float)
    kept = weight > 0
    sampled, expected = resample(sampler, X, y, weight), resample(sampler, X[kept], y[kept])
    np.testing.assert_array_equal(sampled.values, expected.values)
    chosen = expected.origin >= 0
    np.testing.assert_array_equal(sampled.origin[chosen], np.flatnonzero(kept)[expected.origin[chosen]])


def test_chosen_windows_keep_their_lengths_and_made_ones_could_have_none():
    X, y = make_windows()
    lengths = 1 + np.arange(len(y)) % N_STEPS
    chosen = resample(RandomOverSampler(random_state=0), X, y, lengths=lengths)
    np.testing.assert_array_equal(chosen.lengths, lengths[chosen.origin])
    with pytest.raises(ValueError, match=r"no common end when lengths differ\. Take RandomOverSampler"):
        resample(SMOTE(random_state=0), X, y, lengths=lengths)


def test_no_sampler_changes_nothing():
    windows, y = make_log()
    weight = np.zeros(len(y))
    sampled = resample(None, windows, y, weight)
    assert (sampled.values, sampled.weight.tolist()) == (windows, weight.tolist())
    assert WindowSampler(None).fit_resample(windows, y)[0] is windows


@pytest.mark.parametrize("sampler", [SMOTE(), SMOTETomek(), SMOTEENN(smote=SMOTE()), RandomUnderSampler()], ids=str)
def test_a_sampler_without_a_seed_is_seeded_by_the_caller_and_left_alone(sampler):
    X, y = make_windows()
    before = str(sampler.get_params())
    np.random.seed(0)  # noqa: NPY002, imbalanced-learn draws from there unless seeded
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (resample(sampler, X, y, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.values, again.values)
    assert first.values.shape != other.values.shape or (first.values != other.values).any()
    assert str(sampler.get_params()) == before
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_a_sampler_with_a_seed_keeps_it():
    X, y = make_windows()
    first, again = (resample(SMOTE(random_state=3), X, y, random_state=seed) for seed in (0, 1))
    np.testing.assert_array_equal(first.values, again.values)


@pytest.mark.parametrize("sampler_of", [lambda: Shaker(), lambda: RandomOverSampler(shrinkage=0.1, random_state=0)])
def test_samplers_of_ones_own_and_those_that_shake_what_they_draw_work(sampler_of):
    X, y = make_windows()
    sampled = resample(sampler_of(), X, y)
    np.testing.assert_array_equal(sampled.values[: len(X)], X)
    assert (sampled.origin[len(X) :] == -1).all()
    deep, _ = WindowSampler(sampler_of()).fit_resample(X, y)
    np.testing.assert_array_equal(deep, sampled.values)


def test_labels_may_be_words():
    X, y = make_windows()
    words = np.where(y == 1, "fault", "ok")
    assert resample(SMOTE(random_state=0), X, words).counts == {"fault": 60, "ok": 60}


def test_a_window_sampler_shows_what_its_sampler_has_learnt():
    X, y = make_windows()
    sampler = WindowSampler(RandomUnderSampler(random_state=0)).fit(X, y)
    assert sampler.n_features_in_ == N_STEPS * N_CHANNELS
    assert dict(sampler.sampling_strategy_) == {0: 12}
    assert sampler.sample_indices_.shape == (24,)
    assert not hasattr(WindowSampler(SMOTE(random_state=0)).fit(X, y), "sample_indices_")


def test_a_window_sampler_takes_windows_of_a_log():
    windows, y = make_log()
    chosen, _ = WindowSampler(RandomUnderSampler(random_state=0)).fit_resample(windows, y)
    assert chosen.values is windows.values
    sampler = WindowSampler(RandomUnderSampler(random_state=0)).fit(windows, y)
    assert sampler.n_features_in_ == N_STEPS * N_CHANNELS
    assert sampler.sample_indices_.shape == (30,)
    more, labels = WindowSampler(TemporalOversampler(random_state=0)).fit_resample(windows, y)
    assert (more.values is windows.values, labels.mean()) == (True, 0.5)


@pytest.mark.filterwarnings("ignore:.*(neighbours|RandomOverSampler|plain SMOTE).*:UserWarning")
@pytest.mark.parametrize("n_positive", [1, 2, 5])
def test_a_search_over_samplers_runs_whatever_the_events_of_a_fold(n_positive, one_torch_thread):
    X, y = make_windows(n_positive=2 * n_positive)  # halves, so that a fold trains on n_positive
    model = LSTMClassifier(hidden_size=2, max_epochs=1, random_state=0)
    pipeline = make_pipeline(WindowSampler(SMOTE(random_state=0)), model)
    samplers = [SMOTE(random_state=0), ADASYN(random_state=0), RandomUnderSampler(random_state=0), None]
    grid = [{"windowsampler__sampler__k_neighbors": [1, 3]}, {"windowsampler__sampler": samplers}]
    folds = StratifiedKFold(2)
    search = GridSearchCV(pipeline, grid, cv=folds, scoring="average_precision", error_score="raise").fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert [y[train].sum() for train, _ in folds.split(X, y)] == [n_positive] * 2


def test_a_search_runs_on_flattened_windows_with_stock_samplers(one_torch_thread):
    X, y = make_windows()
    model = LSTMClassifier(n_channels=N_CHANNELS, hidden_size=2, max_epochs=1, random_state=0)
    pipeline = make_pipeline(FlattenWindows(), SMOTE(random_state=0), model)
    search = GridSearchCV(pipeline, {"smote__k_neighbors": [1, 3]}, cv=2, error_score="raise").fit(X, y)
    assert search.best_estimator_[-1].n_timesteps_ == N_STEPS


@pytest.mark.parametrize("max_shift", [1, 3, 10])
def test_temporal_windows_end_at_their_event_or_a_few_rows_before_it(max_shift):
    windows, y = make_log()
    more, labels = TemporalOversampler(max_shift, random_state=0).fit_resample(windows, y)
    np.testing.assert_array_equal(more.ends[: len(y)], windows.ends)
    rows = np.flatnonzero(y)
    made = more.ends[len(y) :]
    ahead = rows[np.searchsorted(rows, made).clip(max=len(rows) - 1)] - made  # to the next row of an event
    assert (labels[len(y) :] == 1).all()
    assert ahead.min() == 0
    assert 0.5 * max_shift < ahead.max() <= max_shift


def test_temporal_windows_never_leave_their_stretch():
    index = pd.MultiIndex.from_product([["a", "b", "c"], range(20)])
    log = pd.DataFrame(np.repeat([[1.0], [2.0], [3.0]], 20, axis=0), index=index)
    windows = LogWindows(log, window_size=4)
    y = np.isin(windows.ends % 20, [0, 1]) & (windows.ends >= 20)
    more, labels = TemporalOversampler(random_state=0).fit_resample(windows, y.astype(int))
    made = more[np.arange(len(y), len(labels))]
    assert (made == made[:, :1]).all()  # one run in each
    assert set(more.ends[len(y) :]) == {20, 40}
    full = LogWindows(log, window_size=4, pad=False)
    more, _ = TemporalOversampler(random_state=0).fit_resample(full, (full.ends % 20 < 5).astype(int))
    assert (more.ends % 20).min() == 3  # where all windows are full ones, so are the new


def test_temporal_windows_stay_behind_the_event_before():
    windows = LogWindows(np.arange(60.0)[:, None], window_size=4)
    y = np.zeros(60, dtype=int)
    y[20:22], y[24] = 1, 2
    more, labels = TemporalOversampler(10, random_state=0).fit_resample(windows, y)
    made, labels = more.ends[60:], labels[60:]
    assert set(made[labels == 2]) == {22, 23}
    assert set(made[labels == 1]) <= set(range(10, 21))


def test_temporal_windows_of_several_events_come_from_all_of_them():
    windows, y = make_log()
    more, _ = TemporalOversampler(3, random_state=0).fit_resample(windows, y)
    made = more.ends[len(y) :]
    assert all(((made >= first - 3) & (made < first)).any() for first in np.flatnonzero(np.diff(y) == 1) + 1)


def test_temporal_windows_of_an_event_do_not_depend_on_the_order_of_the_windows():
    windows, y = make_log()
    order = np.random.default_rng(0).permutation(len(y))
    np.testing.assert_array_equal(earliest_ends(windows.take(order), y[order]), earliest_ends(windows, y)[order])


def test_a_single_temporal_window_is_enough_for_more():
    windows = LogWindows(np.arange(40.0)[:, None], window_size=4)
    sampled = resample(TemporalOversampler(3), windows, np.arange(40) == 20, np.ones(40), random_state=0)
    assert sampled.counts == {False: 39, True: 39}
    assert set(sampled.values.ends[40:]) == {17, 18, 19}
    assert sampled.values.values is windows.values


@overlap_is_meant
@pytest.mark.parametrize("sampler", [SMOTE(random_state=0), TemporalOversampler(random_state=0)], ids=str)
def test_a_network_trains_on_what_was_made_of_a_log(sampler, one_torch_thread):
    windows, y = make_log()
    sampled = resample(sampler, windows, y)
    of_log, of_array = (
        LSTMClassifier(hidden_size=2, max_epochs=1, random_state=0).fit(values, sampled.y)
        for values in (sampled.values, sampled.values[:])
    )
    np.testing.assert_allclose(of_log.predict_proba(windows), of_array.predict_proba(windows), atol=1e-6)


@given(ratio=st.floats(0.2, 1.0), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_temporal_windows_make_the_ratio_that_is_asked_for_and_follow_the_seed(ratio, seed):
    windows, y = make_log()
    first, again = (
        TemporalOversampler(sampling_strategy=ratio, random_state=seed).fit_resample(windows, y) for _ in range(2)
    )
    counts, expected = (
        Counter(first[1]),
        Counter(RandomOverSampler(sampling_strategy=ratio).fit_resample(y[:, None], y)[1]),
    )
    assert counts == expected
    np.testing.assert_array_equal(first[0].ends, again[0].ends)


def test_temporal_windows_are_refused_where_there_is_no_log():
    X, y = make_windows()
    for call in (TemporalOversampler().fit_resample, lambda X, y: resample(TemporalOversampler(), X, y)):
        with pytest.raises(ValueError, match=r"does not know\. Pass LogWindows.*EventClassifier"):
            call(X, y)
    with pytest.raises(ValueError, match="'max_shift' parameter of TemporalOversampler must be"):
        TemporalOversampler(max_shift=0).fit_resample(*make_log())


class Shaker:
    """A sampler that knows nothing of imbalanced-learn: repeats the events, shaken, or leaves one class only."""

    def __init__(self, keep=None):
        self.keep = keep

    def fit_resample(self, X, y):
        if self.keep is not None:
            return X[y == self.keep], y[y == self.keep]
        more = X[y == 1] + 0.01
        return np.concatenate([X, more]), np.append(y, np.ones(len(more), dtype=y.dtype))


def make_windows(n_negative=60, n_positive=12):
    """Windows of noise whose events are a little higher; events stand between the others."""
    rng = np.random.default_rng(0)
    y = np.zeros(n_negative + n_positive, dtype=int)
    y[np.linspace(1, len(y) - 2, n_positive).astype(int)] = 1
    return rng.normal(size=(len(y), N_STEPS, N_CHANNELS)) + 0.5 * y[:, None, None], y


def make_log():
    """The windows of a log of two runs with three events, and a class for each."""
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([["a", "b"], range(60)])
    y = np.zeros(120, dtype=int)
    for first in (25, 45, 100):
        y[first : first + 5] = 1
    log = pd.DataFrame(rng.normal(size=(120, N_CHANNELS)) + y[:, None], index=index)
    return LogWindows(log, N_STEPS), y


def in_any_order(X, y):
    """The windows and their classes as a multiset."""
    return Counter((row.tobytes(), label) for row, label in zip(X.reshape(len(X), -1), y.tolist(), strict=True))
