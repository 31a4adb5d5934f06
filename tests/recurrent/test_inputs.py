"""Windows of unequal length, and channels that hold codes."""

import numpy as np
import pytest
import sklearn
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_validate

from eventlstm import EventClassifier, LogWindows, LSTMClassifier
from eventlstm.recurrent.codes import Codes

POOLINGS = ["last", "mean", "max", "additive", "luong", "multihead"]
NETS = [
    *({"pooling": pooling, "bidirectional": pooling in ("max", "luong")} for pooling in POOLINGS),
    {"pooling": "last", "bidirectional": True},
    {"cell": "gru", "num_layers": 2, "residual": True},
    {"cell": "rnn", "layer_norm": True},
    {"cell": "peephole", "bidirectional": True},
]
N_WINDOWS, N_STEPS = 60, 7


def net(**changes):
    settings = {"hidden_size": 4, "num_heads": 2, "batch_size": 16, "max_epochs": 2, "n_jobs": 1, "random_state": 0}
    return LSTMClassifier(**{**settings, **changes})


def windows(n_steps=N_STEPS, seed=0):
    X = np.random.default_rng(seed).normal(size=(N_WINDOWS, n_steps, 2))
    return X, (X[:, 0, 0] > 0).astype(int)


X, Y = windows()
LENGTHS = np.random.default_rng(1).integers(1, N_STEPS + 1, N_WINDOWS)


def with_tail(X, lengths, tail=np.nan):
    return np.where((np.arange(X.shape[1]) < np.asarray(lengths)[:, None])[..., None], X, tail)


RAGGED = with_tail(X, LENGTHS)


@pytest.mark.parametrize("options", NETS, ids=str)
def test_a_tail_of_nan_is_the_same_as_lengths_whatever_stands_behind_them(options):
    model = net(**options).fit(RAGGED, Y)
    expected = model.predict_proba(RAGGED)
    for tail in (np.nan, 1e6, np.inf):
        given = with_tail(X, LENGTHS, tail)
        assert np.array_equal(net(**options).fit(given, Y, lengths=LENGTHS).predict_proba(RAGGED), expected)
        assert np.array_equal(model.predict_proba(given, lengths=LENGTHS), expected)
        assert np.array_equal(model.predict(given, lengths=list(LENGTHS)), model.predict(RAGGED))


@pytest.mark.parametrize("options", NETS, ids=str)
def test_a_window_is_judged_the_same_whatever_its_padding_and_that_of_others(options):
    model = net(**options, dropout=0.0).fit(RAGGED, Y)
    together = model.predict_proba(RAGGED)
    apart = np.concatenate([model.predict_proba(RAGGED[k : k + 1]) for k in range(12)])
    np.testing.assert_allclose(apart, together[:12], atol=1e-6)
    longer = np.concatenate([RAGGED, np.full((N_WINDOWS, 5, 2), np.nan)], axis=1)
    wider = net(**options, dropout=0.0).fit(longer, Y)
    np.testing.assert_allclose(wider.predict_proba(longer), together, atol=1e-6)


@pytest.mark.parametrize("options", NETS, ids=str)
def test_windows_of_one_shorter_length_are_windows_of_that_length(options):
    short, padded = X[:, :4], with_tail(X, [4] * N_WINDOWS)
    one, other = (net(**options, dropout=0.0).fit(windows, Y) for windows in (short, padded))
    np.testing.assert_allclose(other.predict_proba(padded), one.predict_proba(short), atol=1e-6)


def test_full_lengths_are_none():
    full = [N_STEPS] * N_WINDOWS
    expected = net().fit(X, Y).predict_proba(X)
    assert np.array_equal(net().fit(X, Y, lengths=full).predict_proba(X, lengths=full), expected)


def test_flattened_windows_end_where_their_values_do():
    flat = RAGGED[:, :, :1].reshape(N_WINDOWS, -1)
    expected = net().fit(RAGGED[:, :, :1], Y).predict_proba(RAGGED[:, :, :1])
    assert np.array_equal(net().fit(flat, Y).predict_proba(flat), expected)
    two = net(n_channels=2).fit(RAGGED.reshape(N_WINDOWS, -1), Y)
    assert np.array_equal(two.predict_proba(RAGGED), net().fit(RAGGED, Y).predict_proba(RAGGED))


def test_the_input_is_left_as_it_was():
    given = RAGGED.astype(np.float32)
    before = given.copy()
    model = net(categorical_channels=[1]).fit(given, Y, X_val=given, y_val=Y)
    for use in (model.predict_proba, model.gate_activations, lambda X: model.gradient_flow(X, Y)):
        use(given)
        assert np.array_equal(given, before, equal_nan=True)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_windows_held_out_may_be_ragged_too(early_stopping):
    model = net(early_stopping=early_stopping, pooling="mean", validation_fraction=0.5)
    held_out = {} if early_stopping else {"X_val": RAGGED, "y_val": Y}
    model.fit(RAGGED, Y, **held_out)
    assert np.isfinite([record["valid_loss"] for record in model.history_]).all()


HOLE = np.where((np.arange(N_STEPS) == 2)[:, None], np.nan, X)
ONE_CHANNEL = np.where(np.arange(2) == 0, RAGGED, X)
REFUSED = {
    "a hole": (HOLE, {}, "NaN before the end of a window"),
    "a hole and lengths": (HOLE, {"lengths": [4] * N_WINDOWS}, "NaN before the end of a window"),
    "one channel": (ONE_CHANNEL, {}, "NaN before the end of a window"),
    "nothing": (with_tail(X, np.arange(N_WINDOWS) % 2), {}, "Leave out windows that contain NaN only"),
    "infinity": (np.where(X > 2, np.inf, X), {}, "infinity"),
    "infinity before the end": (np.full_like(X, np.inf), {"lengths": [4] * N_WINDOWS}, "infinity"),
    "no step": (X, {"lengths": [0] * N_WINDOWS}, "lengths does not say from 1 to 7 steps"),
    "a step too many": (X, {"lengths": [8] * N_WINDOWS}, "lengths does not say from 1 to 7 steps"),
    "parts of steps": (X, {"lengths": [4.0] * N_WINDOWS}, "give lengths as whole numbers"),
    "too few lengths": (X, {"lengths": [4]}, "for each of the 60 windows"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_missing_elsewhere_is_refused(what):
    given, lengths, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        net().fit(given, Y, **lengths)
    with pytest.raises(ValueError, match=message):
        net().fit(X, Y).predict_proba(given, **lengths)


def test_ragged_windows_pass_through_searches_and_cross_validation():
    search = GridSearchCV(net(), {"pooling": ["mean", "last"]}, cv=2, scoring="roc_auc").fit(RAGGED, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    proba = cross_val_predict(net(), RAGGED, Y, cv=3, method="predict_proba")
    assert proba.shape == (N_WINDOWS, 2)


def test_lengths_are_routed_to_fit():
    with sklearn.config_context(enable_metadata_routing=True):
        model = net().set_fit_request(lengths=True)
        found = cross_validate(model, X, Y, cv=2, params={"lengths": LENGTHS}, return_estimator=True)
    expected = cross_validate(net(), RAGGED, Y, cv=2, return_estimator=True)
    for one, other in zip(found["estimator"], expected["estimator"], strict=True):
        assert np.array_equal(one.predict_proba(X), other.predict_proba(X))


CODES = np.array([3.0, 17.0, -1.0])


def modes(n_rows, seed=0, codes=CODES):
    """Return a log of a sensor and a mode; an event is a high sensor in the second mode."""
    rng = np.random.default_rng(seed)
    sensor, mode = rng.normal(size=n_rows), rng.integers(0, 3, n_rows)
    return np.column_stack([sensor, codes[mode]]), ((sensor > 0.3) & (mode == 1)).astype(int)


def coded(**changes):
    options = {"max_epochs": 12, "lr": 0.03, "hidden_size": 8, "dropout": 0.0, **changes}
    return net(categorical_channels=[1], **options)


def as_windows(log, y):
    return LogWindows(log, 3)[:], y


@pytest.mark.parametrize("options", [{}, {"embedding_size": 1}, {"embedding_size": 5}, {"pooling": "luong"}], ids=str)
def test_what_depends_on_a_code_is_learnt_from_windows(options):
    model = coded(**options).fit(*as_windows(*modes(300)))
    X, y = as_windows(*modes(300, seed=1))
    assert roc_auc_score(y, model.predict_proba(X)[:, 1]) > 0.95
    assert [list(known) for known in model.categories_] == [[-1.0, 3.0, 17.0]]


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("mode", ["windows", "stateful"])
def test_what_depends_on_a_code_is_learnt_from_logs(mode, precision):
    settings = {"inputs": None, "n_estimators": 2, "window_size": 3, "n_jobs": 1, "random_state": 0}
    (log, y), (fresh, y_fresh) = modes(300), modes(300, seed=1)
    before = log.copy()
    member = coded(precision=precision, batch_size=16 if mode == "windows" else 2, max_epochs=12)
    model = EventClassifier(member, mode=mode, **settings).fit(log, y)
    assert roc_auc_score(y_fresh, model.predict_proba(fresh)[:, 1]) > 0.95
    assert np.array_equal(log, before)


def fit_steps(model, log, y):
    starts = np.array([0, 100])
    return model.fit_steps(log, y, starts=starts, burn_in=4, stride=8, X_val=log, y_val=y, starts_val=starts)


def fit_windows(model, log, y):
    return model.fit(LogWindows(log, 3), y)


FORMS = {
    "windows": (
        lambda model, log, y: model.fit(LogWindows(log, 3)[:], y),
        lambda model, log: model.predict_proba(LogWindows(log, 3)[:]),
    ),
    "a log of windows": (fit_windows, lambda model, log: model.predict_proba(LogWindows(log, 3))),
    "steps": (fit_steps, lambda model, log: model.predict_proba_steps(log)[0]),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_names_of_codes_change_nothing_while_they_keep_their_order(form):
    fit, score = FORMS[form]
    found = []
    for codes in (CODES, CODES * 2 + 0.5, np.array([1.0, 2.0, 0.0]), np.array([0.0, 1e6, -1e6])):
        log, y = modes(200, codes=codes)
        found.append(score(fit(coded(max_epochs=2), log, y), log))
    assert all(np.array_equal(other, found[0]) for other in found[1:])


@pytest.mark.parametrize("form", FORMS)
def test_codes_that_fit_has_not_seen_are_all_one_and_none_of_those_it_has(form):
    fit, score = FORMS[form]
    log, y = modes(200)
    model = fit(coded(), log.astype(np.float32), y)
    unknown = [score(model, np.column_stack([log[:, 0], np.full(200, code)])) for code in (0, 5, 1e9, -2.5)]
    assert all(np.array_equal(other, unknown[0]) for other in unknown[1:])
    assert (model.module_.encoder.embed.tables[0].weight[0] == 0).all()
    for code in CODES:
        assert not np.allclose(score(model, np.column_stack([log[:, 0], np.full(200, code)])), unknown[0], atol=1e-3)


def test_steps_leave_the_caller_s_log_as_it_was():
    log, y = modes(200)
    log = log.astype(np.float32)
    before = log.copy()
    model = fit_steps(coded(max_epochs=1), log, y)
    model.predict_proba_steps(log)
    assert np.array_equal(log, before)


@pytest.mark.parametrize("channels", [[2], [-1], [0, 0], [0.5], ["a"], [True, False], [[0]]], ids=str)
def test_positions_that_are_none_are_refused(channels):
    with pytest.raises(ValueError, match="must be different positions from 0 to 1: the windows have 2 channels"):
        net(categorical_channels=channels).fit(X, Y)


def test_codes_of_padding_are_not_learnt():
    log, y = modes(120)
    X = LogWindows(log, 6)[:]
    lengths = [3] * len(X)
    X[:, 3:, 1] = 99.0
    model = coded(max_epochs=2).fit(X, y, lengths=lengths)
    assert [list(known) for known in model.categories_] == [[-1.0, 3.0, 17.0]]
    other = coded(max_epochs=2).fit(with_tail(X, lengths), y)
    assert np.array_equal(model.predict_proba(X, lengths=lengths), other.predict_proba(with_tail(X, lengths)))


def fit_twice(model, windows, y):
    return model.set_params(warm_start=True).fit(windows, y).fit(windows, y)


def fit_in_parts(model, windows, y):
    return model.partial_fit(windows, y, classes=[0, 1]).partial_fit(windows, y)


@pytest.mark.parametrize("train", [fit_twice, fit_in_parts])
def test_a_log_of_codes_goes_on_in_training_as_the_array_of_its_windows(train):
    log, y = modes(120)
    windows = LogWindows(log, 3)
    of_log, of_array = (train(coded(max_epochs=2), given, y) for given in (windows, windows[:]))
    assert np.array_equal(of_log.predict_proba(windows), of_array.predict_proba(windows))


def test_codes_are_numbered_from_one_and_zero_is_unknown():
    codes = Codes((1,), [np.array([-1.0, 3.0, 17.0])])
    rows = np.array([[3.0, 3.0], [-1.0, -1.0], [17.0, 17.0], [5.0, 5.0]])
    assert codes.encode(rows).tolist() == [[3.0, 2.0], [-1.0, 1.0], [17.0, 3.0], [5.0, 0.0]]
    assert codes.counts == ((1, 4),)
    assert Codes((), []).encode(rows) is rows
