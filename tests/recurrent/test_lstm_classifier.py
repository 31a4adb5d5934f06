"""The classifier of windows: one and the same whatever way its windows, weights and random numbers come."""

import copy
import pickle
import random

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.class_weight import compute_class_weight

from eventlstm import LogWindows, LSTMClassifier

N_WINDOWS, N_STEPS, N_CHANNELS = 60, 6, 2
EXACT = {"precision": "float64", "batch_size": None, "dropout": 0.0}  # the order and the mix of batches do not matter


def tiny(**changes):
    return LSTMClassifier(**{"hidden_size": 4, "max_epochs": 3, "random_state": 0, **changes})


def toy(n_windows=N_WINDOWS, seed=0):
    """Return windows and whether the first sensor was high over the last half of each."""
    X = np.random.default_rng(seed).normal(size=(n_windows, N_STEPS, N_CHANNELS))
    return X, (X[:, N_STEPS // 2 :, 0].mean(axis=1) > 0).astype(int)


def flat(X):
    return X.reshape(len(X), -1)


@pytest.fixture(scope="module")
def fitted():
    return tiny().fit(*toy())


@pytest.mark.parametrize(
    "architecture",
    [{"cell": "gru"}, {"cell": "rnn"}, {"bidirectional": True}, {"num_layers": 2}, {"cell": "lstm"}],
    ids=str,
)
def test_every_architecture_learns_what_a_window_shows(architecture):
    model = tiny(hidden_size=8, max_epochs=12, lr=0.03, batch_size=16, **architecture).fit(*toy(300))
    assert model.score(*toy(300, seed=1)) > 0.85


def test_probabilities_are_float64_and_sum_to_one(fitted):
    proba = fitted.predict_proba(toy()[0])
    assert proba.dtype == np.float64
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)
    assert np.array_equal(fitted.predict(toy()[0]), fitted.classes_[proba.argmax(axis=1)])


def test_flattened_windows_give_the_same_numbers_as_windows():
    X, y = toy()
    of_windows, of_rows = tiny().fit(X, y), tiny(n_channels=N_CHANNELS).fit(flat(X), y)
    expected = of_windows.predict_proba(X)
    assert np.array_equal(of_windows.predict_proba(flat(X)), expected)
    assert np.array_equal(of_rows.predict_proba(flat(X)), expected)
    assert np.array_equal(of_rows.predict_proba(X), expected)
    for model in (of_windows, of_rows):
        assert (model.n_features_in_, model.n_timesteps_, model.n_channels_) == (12, N_STEPS, N_CHANNELS)


def test_a_data_frame_of_flattened_windows_gives_the_same_numbers_as_its_array():
    X, y = toy()
    frame = pd.DataFrame(flat(X), columns=[f"{sensor}{k}" for k in range(N_STEPS) for sensor in ("flow", "heat")])
    model = tiny(n_channels=N_CHANNELS).fit(frame, y)
    assert model.feature_names_in_.tolist() == frame.columns.tolist()
    assert np.array_equal(model.predict_proba(frame), tiny().fit(X, y).predict_proba(X))


def log_and_labels(n_rows=80):
    values = np.random.default_rng(2).normal(size=(n_rows, N_CHANNELS))
    return values, (values[:, 0] > 0.5).astype(int)


@pytest.mark.parametrize("pad", [True, False])
@pytest.mark.parametrize("early_stopping", [True, False])
def test_windows_cut_from_a_log_give_the_same_numbers_as_their_array(pad, early_stopping):
    values, y = log_and_labels()
    windows = LogWindows(values, N_STEPS, pad=pad)
    model = tiny(early_stopping=early_stopping)
    of_log, of_array = clone(model).fit(windows, y[windows.ends]), clone(model).fit(windows[:], y[windows.ends])
    assert np.array_equal(of_log.predict_proba(windows), of_array.predict_proba(windows[:]))
    assert of_log.n_features_in_ == of_array.n_features_in_


def test_a_log_in_a_data_frame_is_read_without_a_warning():
    values, y = log_and_labels()
    windows = LogWindows(pd.DataFrame(values[:, :1], columns=["flow"]), N_STEPS)  # pandas hands out read-only memory
    assert tiny().fit(windows, y).predict_proba(windows).shape == (len(values), 2)


@pytest.mark.parametrize("labels", [("fault", "ok"), ("ok", "fault", "stop"), (3, 1, 2), (False, True)])
def test_classes_are_whatever_they_are_called(labels):
    X, y = toy()
    y = (y + 2 * (X[:, -1, 1] > 0.5)) % len(labels)
    named = np.array(labels)[y]
    model = tiny().fit(X, named)
    assert np.array_equal(model.classes_, np.unique(named))
    order = np.argsort(np.array(labels))
    numbers = np.argsort(order)[y]
    assert np.array_equal(model.predict_proba(X), tiny().fit(X, numbers).predict_proba(X))
    assert set(model.predict(X)) <= set(named)


def test_one_class_is_all_that_is_ever_predicted():
    X, _ = toy()
    model = tiny().fit(X, np.full(len(X), "ok"))
    assert (model.predict(X) == "ok").all()


@pytest.mark.parametrize("class_weight", [{0: 1.0, 1: 7.0}, "balanced"])
def test_class_weights_are_weights_of_the_samples_of_a_class(class_weight):
    X, y = toy()
    y[20:] = 0
    of_class = compute_class_weight(class_weight, classes=np.array([0, 1]), y=y)
    by_class = tiny(class_weight=class_weight, **EXACT).fit(X, y)
    by_sample = tiny(**EXACT).fit(X, y, sample_weight=of_class[y])
    np.testing.assert_allclose(by_class.predict_proba(X), by_sample.predict_proba(X), rtol=1e-9)
    assert by_class.predict_proba(X)[:, 1].mean() > tiny(**EXACT).fit(X, y).predict_proba(X)[:, 1].mean()


def test_a_class_without_weight_leaves_balanced_weights_to_the_others():
    X, y = toy()
    sample_weight = (y == 0).astype(float)
    model = tiny(class_weight="balanced").fit(X, y, sample_weight)
    assert np.isfinite(model.predict_proba(X)).all()
    assert np.array_equal(sample_weight, y == 0), "the weights belong to the caller"


def test_weights_of_one_are_no_weights():
    X, y = toy()
    weighted = tiny().fit(X, y, sample_weight=np.ones(len(X)))
    assert np.array_equal(weighted.predict_proba(X), tiny().fit(X, y).predict_proba(X))


def test_a_weight_is_so_many_copies_and_no_weight_is_no_sample():
    X, y = toy()
    n_copies = np.random.default_rng(3).integers(0, 4, size=len(X))
    weighted = tiny(max_epochs=30, **EXACT).fit(X, y, sample_weight=n_copies)
    copied = tiny(max_epochs=30, **EXACT).fit(np.repeat(X, n_copies, axis=0), np.repeat(y, n_copies))
    np.testing.assert_allclose(weighted.predict_proba(X), copied.predict_proba(X), rtol=1e-7)


def test_a_seed_gives_the_same_numbers_again_and_another_seed_others():
    X, y = toy()
    first, again, other = (tiny(random_state=seed).fit(X, y).predict_proba(X) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_the_number_of_threads_set_in_torch_changes_nothing():
    X, y = toy()
    before = torch.get_num_threads()
    numbers = []
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            numbers.append(tiny().fit(X, y).predict_proba(X))
            assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(*numbers)


def global_draws():
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002


def test_the_global_generators_are_left_alone():
    X, y = toy()
    before = global_draws()
    model = tiny(early_stopping=True).fit(X, y)
    model.partial_fit(X, y)
    model.predict_proba(X)
    assert global_draws() == before


def test_a_window_is_judged_the_same_alone_and_in_any_company(fitted):
    X, _ = toy(600)  # more than are scored in one call
    together = fitted.predict_proba(X)
    np.testing.assert_allclose(np.vstack([fitted.predict_proba(x[None]) for x in X[:40]]), together[:40], atol=1e-6)
    np.testing.assert_allclose(fitted.predict_proba(X[::-1])[::-1], together, atol=1e-6)


def test_a_validation_set_is_recorded_and_does_not_end_training_by_itself():
    X, y = toy()
    watched = tiny(max_epochs=12, lr=0.05).fit(X, y, X_val=X, y_val=1 - y)
    assert [set(record) for record in watched.history_] == [{"epoch", "train_loss", "valid_loss"}] * 12
    assert np.array_equal(watched.predict_proba(X), tiny(max_epochs=12, lr=0.05).fit(X, y).predict_proba(X))


def test_early_stopping_stops_where_the_validation_set_says():
    X, y = toy()
    watch = {"early_stopping": True, "n_iter_no_change": 3, "dropout": 0.0}
    model = tiny(max_epochs=100, lr=0.05, **watch).fit(X, y, X_val=X, y_val=1 - y)
    valid = [record["valid_loss"] for record in model.history_]
    assert model.n_iter_ == len(valid) == np.argmin(valid) + 1 + 3
    log_loss = -np.log(model.predict_proba(X)[np.arange(len(y)), 1 - y]).mean()
    assert log_loss == pytest.approx(min(valid), rel=1e-5)


def test_early_stopping_without_a_validation_set_holds_windows_out():
    X, y = toy()
    model = tiny(early_stopping=True).fit(X, y)
    assert all("valid_loss" in record for record in model.history_)
    assert not np.allclose(model.predict_proba(X), tiny().fit(X, y).predict_proba(X))


def test_history_and_loss_curve_say_the_same():
    model = tiny().fit(*toy())
    assert model.loss_curve_ == [record["train_loss"] for record in model.history_]
    assert [record["epoch"] for record in model.history_] == [1, 2, 3]
    assert model.n_iter_ == 3


def test_a_second_fit_begins_anew(fitted):
    X, y = toy()
    twice = tiny().fit(*toy(40, seed=5)).fit(X, y)
    assert np.array_equal(twice.predict_proba(X), fitted.predict_proba(X))
    assert twice.n_iter_ == 3


def test_a_warm_start_goes_on_from_the_last_weights():
    X, y = toy()
    model = tiny(warm_start=True, max_epochs=10, lr=0.03).fit(X, y)
    first, network = model.loss_curve_, model.module_
    model.fit(X, y)
    assert model.module_ is network
    assert model.loss_curve_[:10] == first
    assert model.loss_curve_[10] < first[0]
    assert [record["epoch"] for record in model.history_] == list(range(1, 21))


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (toy()[0], toy()[1] + 5, r"y has the classes \[5 6\], but training began with \[0 1\]"),
        (toy()[0][:, :, :1], toy()[1], "X has 1 channels, but LSTMClassifier was fitted on 2"),
        (toy()[0][:, 1:], toy()[1], "X has 10 features, but LSTMClassifier is expecting 12"),
        (LogWindows(np.zeros((60, 3)), N_STEPS), toy()[1], "fitted on 6 steps and 2 channels"),
    ],
)
def test_a_warm_start_refuses_other_classes_and_shapes(X, y, message):
    model = tiny(warm_start=True).fit(*toy())
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X, y)


def test_partial_fit_wants_to_know_all_classes_first():
    X, y = toy()
    with pytest.raises(ValueError, match="classes must be passed in the first call of partial_fit"):
        tiny().partial_fit(X, y)
    model = tiny().partial_fit(X[y == 0], y[y == 0], classes=[0, 1])
    model.partial_fit(X, y)
    assert model.predict_proba(X).shape == (len(X), 2)
    assert model.n_iter_ == 2
    with pytest.raises(ValueError, match=r"Labels \[0 5\] came, but the classes are \[0 1\]"):
        tiny().partial_fit(X, 5 * y, classes=[0, 1])


def test_partial_fit_goes_on_through_a_pickle_as_if_nothing_had_been():
    X, y = toy()
    straight, packed = (tiny(batch_size=7).partial_fit(X, y, classes=[0, 1]) for _ in range(2))
    for _ in range(3):
        packed = pickle.loads(pickle.dumps(packed))
        straight.partial_fit(X, y)
        packed.partial_fit(X, y)
    assert np.array_equal(straight.predict_proba(X), packed.predict_proba(X))
    fresh = copy.deepcopy(straight)
    del fresh.optimizer_state_
    assert not np.allclose(
        fresh.partial_fit(X, y).predict_proba(X), straight.partial_fit(X, y).predict_proba(X), atol=1e-7
    )


def test_the_optimizer_of_another_network_is_never_gone_on_with():
    X, y = toy()
    model = tiny().partial_fit(X, y, classes=[0, 1])
    small = model.optimizer_state_
    model.set_params(hidden_size=9).fit(X, y)
    model.partial_fit(X, y)
    model.optimizer_state_ = small
    with pytest.raises(ValueError, match="optimizer_state_ is not of this network"):
        model.partial_fit(X, y)


@pytest.mark.parametrize(
    "through",
    [lambda model, _: pickle.loads(pickle.dumps(model)), lambda model, _: copy.deepcopy(model), "joblib"],
    ids=["pickle", "deepcopy", "joblib"],
)
def test_a_copy_predicts_the_same(fitted, through, tmp_path):
    if through == "joblib":
        joblib.dump(fitted, tmp_path / "model")
        twin = joblib.load(tmp_path / "model")
    else:
        twin = through(fitted, tmp_path)
    X, _ = toy()
    assert np.array_equal(twin.predict_proba(X), fitted.predict_proba(X))
    assert twin.history_ == fitted.history_
    assert twin.module_ is not fitted.module_


def test_packing_a_model_leaves_it_as_it_was(fitted):
    before = fitted.predict_proba(toy()[0])
    pickle.dumps(fitted)
    assert isinstance(fitted.module_, torch.nn.Module)
    assert np.array_equal(fitted.predict_proba(toy()[0]), before)


def test_a_clone_is_not_fitted(fitted):
    twin = clone(fitted)
    assert twin.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        twin.predict(toy()[0])


def test_a_pickle_holds_nothing_of_torch():
    X, y = toy()
    model = tiny().fit(X, y).partial_fit(X, y)
    assert b"torch" not in pickle.dumps(model)
    for leaf in leaves(model.__getstate__()):
        assert not type(leaf).__module__.startswith("torch"), leaf


def leaves(tree):
    if isinstance(tree, dict):
        tree = [*tree.keys(), *tree.values()]
    if isinstance(tree, (list, tuple)):
        return [leaf for branch in tree for leaf in leaves(branch)]
    return [tree]


def test_parameters_set_after_fit_do_not_hinder_unpickling(fitted):
    X, _ = toy()
    model = copy.deepcopy(fitted).set_params(hidden_size=64, num_layers=3, cell="gru", bidirectional=True)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), fitted.predict_proba(X))


def test_a_precision_set_after_fit_is_the_one_of_predictions_and_of_further_training(fitted):
    X, y = toy()
    model = copy.deepcopy(fitted).set_params(precision="float64")
    np.testing.assert_allclose(model.predict_proba(X), fitted.predict_proba(X), atol=1e-6)
    assert np.isfinite(model.partial_fit(X, y).predict_proba(X)).all()


def test_a_progress_bar_is_shown_on_stderr_only_when_asked_for(capsys):
    tiny().fit(*toy())
    assert capsys.readouterr() == ("", "")
    tiny(verbose=1).fit(*toy())
    out, err = capsys.readouterr()
    assert out == ""
    assert "training" in err
    assert "3/3" in err


def with_nan():
    X, y = toy()
    X[3, 2, 1] = np.nan
    return X, y


def log_with_nan():
    values, y = log_and_labels()
    values[5, 0] = np.nan
    return LogWindows(values, N_STEPS), y


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (tiny(), with_nan(), "Input X contains NaN"),
        (tiny(), log_with_nan(), "log behind X contains NaN or infinity"),
        (tiny(n_channels=5), (flat(toy()[0]), toy()[1]), "12 features a row, which n_channels=5 does not divide"),
        (tiny(), (toy()[0], None), "requires y to be passed"),
        (tiny(), (toy()[0], toy()[1][:-1]), "inconsistent numbers of samples"),
        (tiny(), (LogWindows(np.zeros((60, 2)), 6), toy()[1][:-1]), "inconsistent numbers of samples"),
        (tiny(), (LogWindows(np.zeros((4, 2)), 6, pad=False), []), "log has no window of 6 rows. Pass a longer log"),
        (tiny(), (toy()[0], toy()[0][:, 0, 0]), "Unknown label type: continuous"),
        (tiny(early_stopping=True), (toy()[0][:5], toy()[1][:5]), "Pass X_val and y_val, or set early_stopping=False"),
        (tiny(cell="transformer"), toy(), "The 'cell' parameter of LSTMClassifier must be a str among"),
        (tiny(dropout=1.0), toy(), "The 'dropout' parameter of LSTMClassifier must be"),
        (tiny(device="banana"), toy(), "device='banana' cannot be used here"),
        (tiny(lr=1e30, max_grad_norm=None), toy(), r"training loss became .* in epoch \d. Lower lr \(now 1e\+30\)"),
    ],
)
def test_what_cannot_be_fitted_is_refused_with_the_remedy(model, data, message):
    with pytest.raises(ValueError, match=message):
        model.fit(*data)


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        ({"X_val": toy()[0]}, "X_val came without y_val"),
        ({"X_val": toy()[0], "y_val": toy()[1][:7]}, "inconsistent numbers of samples"),
        ({"X_val": toy()[0], "y_val": toy()[1] + 1}, r"Labels \[1 2\] came, but the classes are \[0 1\]"),
        ({"X_val": toy()[0][:, 1:], "y_val": toy()[1]}, "X has 10 features, but LSTMClassifier is expecting 12"),
    ],
)
def test_a_validation_set_that_does_not_fit_is_refused(validation, message):
    with pytest.raises(ValueError, match=message):
        tiny().fit(*toy(), **validation)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (toy()[0][:, :, :1], r"X has 1 channels, but LSTMClassifier was fitted on 2. Pass windows of shape .*, 6, 2\)"),
        (toy()[0][:, 1:], "X has 10 features, but LSTMClassifier is expecting 12"),
        (with_nan()[0], "Input X contains NaN"),
        (
            LogWindows(np.zeros((60, 2)), 5),
            "Windows of 5 steps and 2 channels came, but the model was fitted on 6 steps",
        ),
        (log_with_nan()[0], "log behind X contains NaN or infinity"),
    ],
)
def test_windows_that_do_not_fit_the_model_are_refused(fitted, X, message):
    with pytest.raises(ValueError, match=message):
        fitted.predict_proba(X)


STARTS = np.array([0, 50])


@pytest.mark.parametrize("architecture", [{}, {"cell": "gru", "num_layers": 2}], ids=str)
def test_steps_scored_in_pieces_are_those_scored_in_one(architecture):
    values, y = log_and_labels()
    model = tiny(**architecture).fit_steps(values, y, starts=STARTS, burn_in=4, stride=8)
    whole, _ = model.predict_proba_steps(values)
    state, pieces = None, []
    for piece in np.split(values, [1, 30]):
        proba, state = model.predict_proba_steps(piece, state)
        pieces.append(proba)
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-6)


def test_training_on_steps_learns_what_steps_show():
    values, y = log_and_labels(400)
    model = tiny(lr=0.03, max_epochs=20, hidden_size=8).fit_steps(values, y, starts=STARTS, burn_in=4, stride=8)
    new_values, new_y = np.random.default_rng(9).normal(size=(300, 2)), None
    new_y = (new_values[:, 0] > 0.5).astype(int)
    assert (model.predict_proba_steps(new_values)[0].argmax(axis=1) == new_y).mean() > 0.9


def test_rows_without_weight_count_neither_in_training_nor_in_validation():
    values, y = log_and_labels()
    ignored = np.arange(len(y)) % 3 == 0
    losses = []
    for labels in (y, np.where(ignored, 1 - y, y)):
        log = {"starts": STARTS, "burn_in": 4, "stride": 8}
        watched = {"X_val": values, "y_val": labels, "starts_val": STARTS, "sample_weight_val": 1.0 - ignored}
        losses.append(tiny().fit_steps(values, labels, 1.0 - ignored, **log, **watched).history_)
    assert losses[0] == losses[1]


def test_steps_cannot_be_trained_on_by_a_network_that_reads_ahead():
    values, y = log_and_labels()
    with pytest.raises(ValueError, match="Use mode='windows', or bidirectional=False"):
        tiny(bidirectional=True).fit_steps(values, y, starts=STARTS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_val": None}, "X_val came without y_val or starts_val"),
        ({"starts_val": None}, "X_val came without y_val or starts_val"),
        ({"X_val": np.full((80, N_CHANNELS), np.nan)}, "contains NaN"),
        ({"sample_weight_val": np.full(80, -1.0)}, "Negative values"),
    ],
    ids=str,
)
def test_a_log_to_watch_is_looked_at_like_the_one_to_learn(changes, message):
    values, y = log_and_labels()
    watched = {"X_val": values, "y_val": y, "starts_val": STARTS}
    with pytest.raises(ValueError, match=message):
        tiny(early_stopping=True).fit_steps(values, y, starts=STARTS, burn_in=4, stride=8, **watched | changes)


def test_labels_of_windows_of_a_log_may_be_objects_and_must_be_known():
    values, y = log_and_labels()
    windows = LogWindows.from_stretches(values, STARTS, 4)
    numbers, objects = (tiny(max_epochs=1).fit(windows, labels) for labels in (y, y.astype(object)))
    assert np.array_equal(numbers.predict_proba(windows), objects.predict_proba(windows))
    with pytest.raises(ValueError, match="y contains NaN: 1 rows have no label, the first is row 7"):
        tiny().fit(windows, np.where(np.arange(len(y)) == 7, np.nan, y))


def test_a_log_taken_for_windows_is_warned_of():
    index = pd.MultiIndex.from_product([["a", "b"], range(20)], names=["machine", "time"])
    log = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 3)), index=index, columns=["p", "q", "r"])
    with pytest.warns(UserWarning, match=r"takes each row as a window .*use EventClassifier, or pass LogWindows"):
        LSTMClassifier(hidden_size=2, max_epochs=1).fit(log, np.arange(40) % 2)
