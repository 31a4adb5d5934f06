"""Each member of a balanced ensemble learns from a bag of its own, and each one counts."""

import warnings
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler
from imblearn.utils.estimator_checks import estimator_checks_generator as imbalance_checks_generator
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, balanced_accuracy_score
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from eventlstm import BalancedBaggingLSTMClassifier, EventClassifier, LogWindows, LSTMClassifier, load, save
from eventlstm.losses.priors import undo_factors
from eventlstm.recurrent.members import SUREST
from eventlstm.sampling.bags import draw_bag, find_units

N_STEPS, N_CHANNELS = 5, 2

# No draw at all and sums over the whole set in double precision: only so is a weight of two exactly two copies.
NETWORK = LSTMClassifier(hidden_size=8, dropout=0, precision="float64", batch_size=None, max_epochs=30, lr=0.1)
EXACT = BalancedBaggingLSTMClassifier(NETWORK, 2, bootstrap=False, sampling_strategy={}, n_jobs=1, random_state=0)
# The ensemble's own defaults, with networks that are quick.
DEFAULT = BalancedBaggingLSTMClassifier(
    LSTMClassifier(hidden_size=8, max_epochs=30, batch_size=None, lr=0.1), 2, random_state=0
)
WEIGHT_CHECK = {"check_sample_weight_equivalence_on_dense_data": "copies of a sample change what is drawn and left out"}


def tiny_network(**parameters):
    return LSTMClassifier(**({"hidden_size": 3, "max_epochs": 1, "min_batches": 1} | parameters))


def tiny(n_estimators=3, **parameters):
    network = parameters.pop("estimator", tiny_network())
    return BalancedBaggingLSTMClassifier(network, n_estimators, **({"random_state": 0} | parameters))


def make_windows(n_windows=120, n_events=12, seed=0):
    """Windows of two sensors, of which the first is higher in the events."""
    y = np.zeros(n_windows, dtype=int)
    y[np.random.RandomState(seed).permutation(n_windows)[:n_events]] = 1
    X = np.random.RandomState(seed + 1).normal(size=(n_windows, N_STEPS, N_CHANNELS))
    X[:, :, 0] += 2.0 * y[:, None]
    return X, y


def make_log(n_runs=6, n_rows=60, first_event=20, stride=1):
    """Windows of runs that each have an event of five rows, and the number of the run of each window."""
    y = np.tile((np.arange(n_rows) >= first_event) & (np.arange(n_rows) < first_event + 5), n_runs).astype(int)
    values = np.random.RandomState(0).normal(size=(len(y), N_CHANNELS)) + 2.0 * y[:, None]
    windows = LogWindows.from_stretches(values, np.arange(n_runs) * n_rows, N_STEPS, stride=stride)
    return windows, y[windows.ends], windows.ends // n_rows


def log_probabilities(model, X):
    return [np.log(np.maximum(member.predict_proba(X), SUREST)) for member in model.estimators_]


@parametrize_with_checks([EXACT])
def test_every_check_of_scikit_learn_passes(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([DEFAULT], expected_failed_checks=lambda _: WEIGHT_CHECK, xfail_strict=True)
def test_the_default_way_of_drawing_fails_no_check_but_that_of_weights(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("estimator", "check"), [pair for model in (EXACT, DEFAULT) for pair in imbalance_checks_generator(model)]
)
def test_every_check_of_imbalanced_learn_passes(estimator, check):
    check(estimator)


def test_both_have_checks_for_it():
    assert len(list(estimator_checks_generator(EXACT))) > 40  # a wrong tag would silently leave almost none
    names = {check.func.__name__ for _, check in imbalance_checks_generator(DEFAULT)}
    multilabel = "check_classifier_on_multilabel_or_multioutput_targets"
    assert names == {multilabel, "check_classifiers_with_encoded_labels"}


def test_the_ensemble_is_the_mean_of_the_log_odds_of_its_members():
    X, y = make_windows()
    model = tiny().fit(X, y)
    log_odds = np.mean([logs[:, 1] - logs[:, 0] for logs in log_probabilities(model, X)], axis=0)
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], 1 / (1 + np.exp(-log_odds)))


@pytest.mark.parametrize("planted", range(3))
def test_every_member_counts(planted):
    X, y = make_windows()
    model = tiny().fit(X, y)
    before = model.predict_proba(X)
    other = tiny_network(random_state=7, lr=0.1).fit(X, 1 - y)
    model.estimators_[planted] = other
    odds = np.exp(np.mean(log_probabilities(model, X), axis=0))
    after = model.predict_proba(X)
    np.testing.assert_allclose(after, odds / odds.sum(axis=1, keepdims=True))
    assert np.abs(after - before).max() > 1e-3


def test_no_two_members_are_alike():
    X, y = make_windows()
    model = tiny(4).fit(X, y)
    of_members = [member.predict_proba(X).tobytes() for member in model.estimators_]
    assert len(set(of_members)) == len({samples.tobytes() for samples in model.estimators_samples_}) == 4


def test_the_number_of_threads_does_not_change_a_bit():
    X, y = make_windows()
    models = [
        tiny(20, n_jobs=n_jobs, oob_score=True, estimator=tiny_network(dropout=0.3)).fit(X, y) for n_jobs in (1, 2)
    ]
    one, two = ([model.predict_proba(X), model.oob_decision_function_, model.class_counts_] for model in models)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def test_two_fits_with_one_seed_are_alike_and_leave_the_global_generators_alone():
    X, y = make_windows()
    before = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002
    one, two = (tiny().fit(X, y).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002


def test_flattened_windows_give_the_same_numbers():
    X, y = make_windows()
    flat = X.reshape(len(X), -1)
    of_flat = tiny(estimator=tiny_network(n_channels=N_CHANNELS)).fit(flat, y)
    np.testing.assert_array_equal(of_flat.predict_proba(flat), tiny().fit(X, y).predict_proba(X))
    np.testing.assert_array_equal(of_flat.predict_proba(X), of_flat.predict_proba(flat))


def test_a_log_gives_windows_that_are_balanced_and_scored_alike_in_any_form():
    windows, y, _ = make_log()
    model = tiny().fit(windows, y)
    np.testing.assert_array_equal(model.class_counts_[:, 0], model.class_counts_[:, 1])
    np.testing.assert_allclose(model.predict_proba(windows), model.predict_proba(windows[:]), rtol=1e-6)
    with pytest.raises(ValueError, match="Cut windows of that size"):
        model.predict_proba(LogWindows(windows.values, N_STEPS + 1))


def test_the_samples_told_are_those_trained_on():
    X, y = make_windows()
    model = tiny().fit(X, y)
    for samples, counts in zip(model.estimators_samples_, model.class_counts_, strict=True):
        np.testing.assert_array_equal(np.bincount(y[samples]), counts)
        assert counts[0] == counts[1]
    replay = clone(model.estimators_[0]).fit(X[model.estimators_samples_[0]], y[model.estimators_samples_[0]])
    np.testing.assert_array_equal(replay.predict_proba(X), model.estimators_[0].predict_proba(X))


def test_windows_that_were_made_are_counted_and_have_no_number():
    X, y = make_windows()
    model = tiny(sampler=SMOTE(k_neighbors=1)).fit(X, y)
    for samples, counts in zip(model.estimators_samples_, model.class_counts_, strict=True):
        assert counts[0] == counts[1] == (y[samples] == 0).sum() > (y[samples] == 1).sum()


def test_the_sampling_strategy_is_the_sampler_s():
    X, y = make_windows()
    for sampler in (None, RandomUnderSampler()):
        counts = tiny(sampler=sampler, sampling_strategy=0.5).fit(X, y).class_counts_
        np.testing.assert_array_equal(counts[:, 0], 2 * counts[:, 1])
    told = tiny(sampler=RandomOverSampler(sampling_strategy=0.25), bootstrap=False).fit(X, y)
    np.testing.assert_array_equal(told.class_counts_, [[108, 27]] * 3)  # and "auto" leaves it what it was told


def test_plain_bags_are_bootstraps():
    X, y = make_windows()
    model = tiny(sampling_strategy={}).fit(X, y)
    drawn = [len(np.unique(samples)) / len(y) for samples in model.estimators_samples_]
    assert [len(samples) for samples in model.estimators_samples_] == [len(y)] * 3
    assert 0.55 < np.mean(drawn) < 0.72  # 1 - 1/e of them


@pytest.mark.parametrize(("max_samples", "n_drawn"), [(40, 40), (0.5, 60), (1.0, 120)])
def test_max_samples_is_a_number_or_a_share(max_samples, n_drawn):
    X, y = make_windows()
    model = tiny(max_samples=max_samples, bootstrap=False, sampling_strategy={}).fit(X, y)
    assert [len(np.unique(samples)) for samples in model.estimators_samples_] == [n_drawn] * 3


def test_runs_are_drawn_whole():
    windows, y, run = make_log()
    for seed in range(5):
        model = tiny(2, sampling_strategy={}, random_state=seed).fit(windows, y)
        for samples in model.estimators_samples_:
            times = np.bincount(samples, minlength=len(y))
            assert all(np.ptp(times[run == k]) == 0 for k in range(6))
            assert times.sum() == len(y)


def test_of_a_single_run_events_are_drawn_with_what_lies_around_them():
    windows, y, event = make_log()
    windows = LogWindows.from_stretches(windows.values, np.array([0]), N_STEPS)
    unit = find_units(windows, y)
    assert unit.max() == 5
    middles = np.flatnonzero(np.diff(unit)) + 1
    np.testing.assert_array_equal(middles, 52 + 1 + 60 * np.arange(5))  # between the ends at 24 and begins at 80
    assert all(len(np.unique(unit[(y == 1) & (event == k)])) == 1 for k in range(6))


def test_no_window_sees_an_event_of_another_unit():
    rng = np.random.RandomState(0)
    for _ in range(20):
        y = (rng.uniform(size=300) < 0.03).astype(int)
        y[0] = 0
        windows = LogWindows(np.arange(300.0)[:, None], N_STEPS)
        unit = find_units(windows, y)
        for row in np.flatnonzero(y):
            seeing = np.flatnonzero((windows[:] == row).any(axis=(1, 2)))
            assert len(np.unique(unit[seeing])) == 1


def test_units_do_not_depend_on_the_order_of_the_windows():
    windows, y, _ = make_log()
    windows = LogWindows.from_stretches(windows.values, np.array([0]), N_STEPS)
    order = np.random.RandomState(0).permutation(len(y))
    np.testing.assert_array_equal(find_units(windows.take(order), y[order]), find_units(windows, y)[order])


def test_bags_hold_every_class_however_rare():
    unit, y = np.arange(50), np.arange(50) // 49
    for seed in range(30):
        bag = draw_bag(unit, y, np.random.RandomState(seed))
        assert {0, 1} == set(y[bag.drawn])
        assert not set(bag.drawn) & set(bag.rest)


def test_a_bag_that_cannot_hold_every_class_is_refused_with_the_remedy():
    X, y = make_windows()
    with pytest.raises(ValueError, match=r"None of 100 bags of 1 of 120 units .* Set bootstrap=False"):
        tiny(max_samples=1).fit(X, y)
    with pytest.raises(ValueError, match="more than the 120 units"):
        tiny(max_samples=500, bootstrap=False).fit(X, y)


def test_a_single_class_is_refused_with_the_remedy():
    X, y = make_windows()
    with pytest.raises(ValueError, match=r"of one class only, \[0\].*fewer folds or RunKFold"):
        tiny().fit(X, np.zeros(len(y), dtype=int))
    with pytest.raises(ValueError, match="of one class only"):
        tiny().fit(X, y, sample_weight=1 - y)


def test_out_of_bag_a_window_is_judged_by_members_that_have_not_drawn_it():
    X, y = make_windows()
    with pytest.warns(UserWarning, match="of 120 windows were drawn by all members"):
        model = tiny(6, oob_score=True, sampling_strategy={}).fit(X, y)  # nothing is left out but by the draw
    logs, out = np.array(log_probabilities(model, X)), np.ones((6, len(y)), dtype=bool)
    for k, samples in enumerate(model.estimators_samples_):
        out[k, samples] = False
    known = ~np.isnan(model.oob_decision_function_).any(axis=1)
    np.testing.assert_array_equal(known, out.any(axis=0))
    for row in np.flatnonzero(known):
        odds = np.exp(logs[out[:, row], row].mean(axis=0))
        np.testing.assert_allclose(model.oob_decision_function_[row], odds / odds.sum(), rtol=1e-5)
    expected = average_precision_score(y[known], model.oob_decision_function_[known, 1])
    assert model.oob_score_ == pytest.approx(expected)


def test_out_of_bag_runs_are_whole():
    windows, y, run = make_log()
    with pytest.warns(UserWarning, match="were drawn by all members"):
        model = tiny(2, oob_score=balanced_accuracy_score).fit(windows, y)
    known = ~np.isnan(model.oob_decision_function_[:, 0])
    assert {len(np.unique(known[run == k])) for k in range(6)} == {1}
    assert 0 < known.sum() < len(y)
    guess = model.oob_decision_function_[known].argmax(axis=1)
    assert model.oob_score_ == balanced_accuracy_score(y[known], guess)


def test_where_nothing_is_out_of_bag_the_score_is_undefined():
    X, y = make_windows()
    with pytest.warns(UserWarning, match="120 of 120 windows were drawn by all members"):
        model = tiny(2, bootstrap=False, oob_score=True).fit(X, y)
    assert np.isnan(model.oob_score_)
    assert np.isnan(model.oob_decision_function_).all()


def test_windows_of_weight_zero_are_never_drawn_and_weights_reach_the_members():
    X, y = make_windows()
    weight = np.where(np.arange(len(y)) < 60, 0.0, np.where(y == 1, 3.0, 1.0))
    model = tiny(oob_score=True, n_estimators=20).fit(X, y, weight)
    assert min(samples.min() for samples in model.estimators_samples_) >= 60
    assert np.isnan(model.oob_decision_function_[:60]).all()
    samples = model.estimators_samples_[0]
    replay = clone(model.estimators_[0]).fit(X[samples], y[samples], weight[samples])
    np.testing.assert_array_equal(replay.predict_proba(X), model.estimators_[0].predict_proba(X))


def test_correct_prior_undoes_the_balancing_of_each_member():
    X, y = make_windows()
    weight = np.random.RandomState(0).uniform(0.5, 2.0, size=len(y))
    plain, honest = (tiny(correct_prior=correct).fit(X, y, weight) for correct in (False, True))
    logs = []
    for member, samples in zip(plain.estimators_, plain.estimators_samples_, strict=True):
        seen, there = (np.bincount(y[rows], weights=weight[rows]) for rows in (samples, np.arange(len(y))))
        logs.append(np.log(undo_factors(member.predict_proba(X), seen / there)))
    odds = np.exp(np.mean(logs, axis=0))
    np.testing.assert_allclose(honest.predict_proba(X), odds / odds.sum(axis=1, keepdims=True), rtol=1e-6)
    assert honest.predict_proba(X)[:, 1].mean() < plain.predict_proba(X)[:, 1].mean() / 2


@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
def test_corrected_probabilities_add_up_to_the_events_there_are(loss):
    rng = np.random.RandomState(0)
    y = (rng.uniform(size=4000) < 0.03).astype(int)
    X = (rng.normal(size=4000) + y)[:, None]  # what there is to know leaves most events in doubt
    network = LSTMClassifier(hidden_size=4, max_epochs=40, batch_size=None, lr=0.1, loss=loss, dropout=0)
    plain, honest = (tiny(4, estimator=network, correct_prior=correct).fit(X, y) for correct in (False, True))
    over, right = (model.predict_proba(X)[:, 1].sum() / y.sum() for model in (plain, honest))
    assert 0.8 < right < 1.25 < 5 < over


def test_a_loss_without_a_way_back_is_refused_where_the_prior_is_to_be_corrected():
    X, y = make_windows()
    with pytest.raises(ValueError, match="CalibratedClassifierCV"):
        tiny(estimator=tiny_network(loss="ldam"), correct_prior=True).fit(X, y)


def test_a_warm_start_adds_the_members_that_a_cold_one_has():
    X, y = make_windows()
    cold, warm = tiny(4).fit(X, y), tiny(2, warm_start=True).fit(X, y)
    kept = list(warm.estimators_)
    warm.set_params(n_estimators=4).fit(X, y)
    assert warm.estimators_[:2] == kept
    assert warm.class_counts_.shape == (4, 2)
    np.testing.assert_array_equal(warm.predict_proba(X), cold.predict_proba(X))
    with pytest.warns(UserWarning, match="adds nothing"):
        warm.fit(X, y)
    with pytest.raises(ValueError, match="fewer than the 4 members"):
        warm.set_params(n_estimators=3).fit(X, y)
    with pytest.raises(ValueError, match="oob_score cannot be found"):
        warm.set_params(n_estimators=5, oob_score=True).fit(X, y)
    with pytest.raises(ValueError, match="Fit anew"):
        warm.set_params(oob_score=False).fit(X, y + 1)


def test_three_classes_and_text_for_labels():
    X, y = make_windows(150, 40)
    names = np.where(y == 0, "quiet", np.where(np.arange(150) % 2, "leak", "jam"))
    model = tiny(20, oob_score=balanced_accuracy_score).fit(X, names)
    assert model.predict_proba(X).shape == (150, 3)
    assert set(model.predict(X)) <= {"quiet", "leak", "jam"}
    assert all(len(set(counts)) == 1 for counts in model.class_counts_)
    assert Counter(names[model.estimators_samples_[0]]).keys() == {"quiet", "leak", "jam"}


@pytest.mark.parametrize(
    "estimator",
    [LogisticRegression(), make_pipeline(StandardScaler(), tiny_network())],
    ids=["of a table", "in a pipeline"],
)
def test_any_classifier_can_be_a_member(estimator):
    (X, y), (windows, labels, _) = make_windows(), make_log()
    model = tiny(estimator=estimator).fit(X, y)
    flat = clone(model).set_params(estimator=clone(estimator)).fit(windows, labels)
    assert model.predict_proba(X).shape == (120, 2)
    assert flat.predict_proba(windows).shape == (360, 2)
    assert model.n_features_in_ == N_STEPS * N_CHANNELS


def test_windows_may_differ_in_length():
    X, y = make_windows()
    lengths = np.random.RandomState(0).randint(2, N_STEPS + 1, size=len(y))
    padded = np.where(np.arange(N_STEPS)[:, None] < lengths[:, None, None], X, np.nan)
    told = tiny().fit(X, y, lengths=lengths).predict_proba(X, lengths=lengths)
    np.testing.assert_array_equal(told, tiny().fit(padded, y).predict_proba(padded))
    with pytest.raises(ValueError, match="takes no windows of different lengths"):
        tiny(estimator=LogisticRegression()).fit(padded, y)


def test_members_that_stop_early_watch_what_is_out_of_their_bag():
    windows, y, _ = make_log()
    model = tiny(2, estimator=tiny_network(early_stopping=True)).fit(windows, y)
    assert all("valid_loss" in member.history_[0] for member in model.estimators_)
    assert all((counts == counts[0]).all() for counts in model.class_counts_)  # nothing of the bag was held out
    with pytest.raises(ValueError, match="its bag leaves no other"):
        tiny(estimator=tiny_network(early_stopping=True), bootstrap=False).fit(windows, y)


def test_it_is_a_classifier_of_logs_inside_an_event_classifier():
    windows, y, run = make_log()
    index = pd.MultiIndex.from_arrays([run, np.arange(len(y))], names=["machine", "time"])
    log, labels = pd.DataFrame(windows.values, index=index), pd.Series(y, index=index)
    of_jobs = []
    for n_jobs in (1, 2):
        bagging = tiny(2, estimator=tiny_network(), n_jobs=n_jobs, random_state=None)
        model = EventClassifier(
            bagging, mode="windows", window_size=4, n_estimators=1, inputs="level", n_jobs=n_jobs, random_state=0
        )
        of_jobs.append(model.fit(log, labels).predict_proba(log))
        inner = model.estimators_[0]
        assert all((counts == counts[0]).all() for counts in inner.class_counts_)
        times = np.bincount(inner.estimators_samples_[0], minlength=len(y))
        events_of_run = np.array([times[(run == k) & (y == 1)].sum() for k in range(6)])
        assert set(events_of_run % 5) == {0}  # whole runs are drawn, and no window of an event is left out
    np.testing.assert_array_equal(*of_jobs)


@pytest.mark.parametrize("n_events", [1, 2, 5])
def test_one_search_finds_samplers_losses_and_members_where_few_windows_are_positive(n_events):
    X, _ = make_windows(60, 6)
    y = np.r_[np.ones(n_events, dtype=int), np.zeros(30 - n_events, dtype=int)]
    y = np.r_[y, y]
    grid = {
        "sampler": [None, SMOTE(), RandomOverSampler()],
        "estimator__loss": ["cross_entropy", "focal"],
        "n_estimators": [1, 2],
    }
    folds = PredefinedSplit(np.arange(60) // 30)
    search = GridSearchCV(tiny(), grid, scoring="average_precision", cv=folds, error_score="raise")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "SMOTE looks for|A class to be sampled has one window", UserWarning)
        search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len(search.cv_results_["params"]) == 12


def test_a_saved_ensemble_is_the_same(tmp_path):
    X, y = make_windows()
    model = tiny(20, estimator=None, oob_score=True, sampler=RandomUnderSampler())
    model.set_params(estimator=tiny_network()).fit(X, y)
    save(model, tmp_path / "model")
    loaded = load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(loaded.class_counts_, model.class_counts_)
    assert loaded.oob_score_ == model.oob_score_


def test_without_an_estimator_it_is_one_of_networks():
    X, y = make_windows(24, 8)
    model = BalancedBaggingLSTMClassifier(n_estimators=1, random_state=0).fit(X, y)
    assert isinstance(model.estimators_[0], LSTMClassifier)


def test_a_checkpoint_needs_an_int_as_seed(tmp_path):
    X, y = make_windows()
    network = tiny_network(checkpoint=str(tmp_path / "state"))
    with pytest.raises(ValueError, match="Set it to an int"):
        tiny(estimator=network, random_state=None).fit(X, y)
