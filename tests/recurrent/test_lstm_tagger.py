"""The tagger of steps: what it learns, in which forms labels come, and how it is read whole and step by step."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

import eventlstm as el
from eventlstm import LogWindows, LSTMTagger
from eventlstm.networks import LinearChainCRF

pytestmark = pytest.mark.usefixtures("one_torch_thread")

# A 1-D `y` is a label of each window's last step, of which scikit-learn's checks suppose nothing that does not hold.
# Sums over the whole set in double precision: the one way of training in which a weight of two is exactly two copies.
EXACT = {"hidden_size": 8, "dropout": 0, "precision": "float64", "batch_size": None, "max_epochs": 60, "lr": 0.05}
CHECKED = [
    LSTMTagger(**EXACT),
    LSTMTagger(crf=True, bidirectional=True, **EXACT),
    LSTMTagger(crf=True, decoding="filtered", **EXACT),
]
# The defaults, made cheaper and nothing else.
DEFAULT = LSTMTagger(hidden_size=8, max_epochs=5)
WEIGHT_CHECK = {
    "check_sample_weight_equivalence_on_dense_data": "copies of a sample change how mini-batches are dealt and summed"
}
FORMS = {
    "softmax": {},
    "softmax, both ways": {"bidirectional": True},
    "field": {"crf": True},
    "field, both ways": {"crf": True, "bidirectional": True},
    "field, filtered": {"crf": True, "decoding": "filtered"},
}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
STAY = 0.95  # of the hidden chain


@parametrize_with_checks(CHECKED)
def test_every_check_of_scikit_learn_passes(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([DEFAULT], expected_failed_checks=lambda _: WEIGHT_CHECK, xfail_strict=True)
def test_the_defaults_fail_no_check_of_scikit_learn_but_that_of_copies(estimator, check):
    check(estimator)


def test_scikit_learn_has_more_than_forty_checks_for_it():
    assert len(list(estimator_checks_generator(CHECKED[0]))) > 40  # a wrong tag would silently leave almost none


def tiny(**changes):
    return LSTMTagger(**{"hidden_size": 4, "dropout": 0, "max_epochs": 2, "batch_size": 8, "random_state": 0} | changes)


def chains(n_windows=40, n_steps=60, seed=0):
    """Windows of a hidden chain of two states seen through noise, (X, y)."""
    rng = np.random.default_rng(seed)
    flips = rng.random((n_windows, n_steps)) > STAY
    flips[:, 0] = rng.random(n_windows) < 0.5
    y = np.cumsum(flips, axis=1) % 2
    return (y * 2 - 1)[..., None] * 0.7 + rng.normal(size=(n_windows, n_steps, 1)), y


def optimum(X):
    """The true probabilities of the hidden chain given all of a window and given each prefix, and its best path."""
    crf = LinearChainCRF(2)
    crf.initialize(torch.tensor([[STAY, 1 - STAY], [1 - STAY, STAY]]).log())
    crf.double()
    density = torch.tensor(-0.5 * (X - np.array([-0.7, 0.7])) ** 2)  # logarithms, but for a constant
    with torch.no_grad():
        return crf.smooth(density).exp().numpy(), crf.filter(density).exp().numpy(), crf.decode(density).numpy()


@pytest.fixture(scope="module")
def hidden():
    return chains(300, seed=1)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_hidden_markov_chain_is_labelled_as_well_as_can_be(hidden, bidirectional):
    (X, y), (smoothed, _, path) = hidden, optimum(hidden[0])
    network = {"crf": True, "bidirectional": bidirectional, "hidden_size": 4, "dropout": 0, "max_epochs": 20}
    model = LSTMTagger(batch_size=4, lr=0.01, random_state=0, **network).fit(*chains())
    proba = model.predict_proba(X)
    best, best_path = (smoothed.argmax(-1) == y).mean(), (path == y).mean()  # .929 and .923
    assert (proba.argmax(-1) == y).mean() > best - 0.01
    assert (model.predict(X) == y).mean() > best_path - 0.01
    assert np.abs(proba - smoothed).mean() < 0.04
    if not bidirectional:
        filtered = model.set_params(decoding="filtered").predict_proba(X)  # the same network, heard causally
        best = (optimum(X)[1].argmax(-1) == y).mean()  # .883
        assert best - 0.015 < (filtered.argmax(-1) == y).mean() < best + 0.015


def test_training_begins_at_the_chain_of_the_labels():
    X, y = chains()
    model = tiny(crf=True, max_epochs=1, lr=1e-12, hidden_size=1).fit(X, y)
    with torch.no_grad():
        model.module_.head.weight.zero_()
    proba = model.set_params(decoding="filtered").predict_proba(X[:1])[0]
    counts = np.histogram2d(y[:, :-1].ravel(), y[:, 1:].ravel(), bins=2)[0] + 1
    wanted = np.linalg.matrix_power(counts / counts.sum(1, keepdims=True), 5)
    np.testing.assert_allclose(proba[5], proba[0] @ wanted, atol=1e-6)


@each_form
def test_labels_may_be_many_and_have_names(form):
    rng = np.random.default_rng(0)
    number = rng.integers(3, size=(40, 4)).repeat(4, axis=1)
    X, y = np.eye(3)[number] + 0.2 * rng.normal(size=(40, 16, 3)), np.array(["fill", "heat", "rest"])[number]
    model = tiny(max_epochs=20, hidden_size=8, lr=0.02, **form).fit(X, y)
    assert model.predict(X).shape == y.shape and model.predict(X).dtype == y.dtype
    assert model.predict_proba(X).shape == (40, 16, 3)
    np.testing.assert_allclose(model.predict_proba(X).sum(-1), 1.0)
    assert model.score(X, y) > 0.9


@each_form
def test_windows_of_other_lengths_are_judged_as_they_are_alone(form):
    X, y = chains(20, 12)
    model = tiny(precision="float64", **form).fit(X, y)
    lengths = np.arange(20) % 12 + 1
    proba, labels = model.predict_proba(X, lengths=lengths), model.predict(X, lengths=lengths)
    for k, n in enumerate(lengths):
        alone = np.full((1, 12, 1), np.nan)
        alone[0, :n] = X[k, :n]
        np.testing.assert_allclose(proba[k], model.predict_proba(alone)[0], atol=1e-12)
        np.testing.assert_array_equal(labels[k], model.predict(alone)[0])
        assert (proba[k, n:] == proba[k, n - 1]).all() and (labels[k, n:] == labels[k, n - 1]).all()
        whole = model.predict_proba_steps(X[k, :n])[0]  # another path to the same numbers
        np.testing.assert_allclose(proba[k, :n], whole, atol=1e-12)


@each_form
def test_what_stands_behind_the_end_of_a_window_changes_nothing(form):
    X, y = chains(20, 12)
    lengths = np.arange(20) % 12 + 1
    behind = np.arange(12) >= lengths[:, None]
    other, labels = np.where(behind[..., None], 9.0, X), np.where(behind, np.nan, y)
    first, second = tiny(**form).fit(X, y, lengths=lengths), tiny(**form).fit(other, labels, lengths=lengths)
    np.testing.assert_array_equal(first.predict_proba(X, lengths=lengths), second.predict_proba(other, lengths=lengths))


@each_form
def test_flattened_windows_give_the_same_numbers_as_windows(form):
    X, y = chains(20, 12)
    X = np.concatenate([X, X**2], axis=2)
    first = tiny(**form).fit(X, y)
    second = tiny(n_channels=2, **form).fit(X.reshape(20, -1), y)
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X.reshape(20, -1)))


@each_form
def test_labels_of_the_last_steps_make_the_steps_before_history(form):
    X, y = chains(60, 12)
    model = tiny(max_epochs=30, lr=0.02, **form).fit(X, y[:, -3:])
    assert model.predict(X).shape == (60, 3) and model.predict_proba(X).shape == (60, 3, 2)
    assert model.score(X, y[:, -3:]) > 0.75
    last = tiny(max_epochs=2, **form).fit(X, y[:, -1])
    assert last.predict(X).shape == (60,)
    np.testing.assert_array_equal(last.predict(X), last.predict_proba(X).argmax(-1))


@pytest.mark.parametrize("n_labelled", [1, 3])
def test_the_labels_of_history_are_summed_over(n_labelled):
    """The likelihood of the last labels is that of all labels, summed over those of the steps before."""
    net = tiny(crf=True, precision="float64").fit(*chains(4, 6)).module_
    X, y = (torch.tensor(part) for part in chains(4, 6, seed=3))
    known = torch.ones(4, n_labelled, dtype=torch.bool)
    with torch.no_grad():
        logits = net.forward_labelled(X, y[:, -n_labelled:], known).log_softmax(-1)
        found = logits.gather(-1, y[:, -n_labelled:, None])[..., 0].sum(1)
        pasts = torch.cartesian_prod(*[torch.arange(2)] * (6 - n_labelled))
        for k in range(4):
            paths = torch.cat([pasts, y[k, -n_labelled:].expand(len(pasts), -1)], dim=1)
            each = net.crf.log_likelihood(net(X[k : k + 1]).expand(len(paths), -1, -1), paths)
            torch.testing.assert_close(found[k], each.logsumexp(0), rtol=0, atol=1e-10)


def test_a_transition_that_never_came_can_be_forbidden():
    rng = np.random.default_rng(0)
    order = np.sort(rng.integers(3, size=(60, 10)), axis=1)  # phases that never go back
    order[:, 0] = 0
    order = np.minimum(order, np.concatenate([order[:, :1], order[:, :-1] + 1], axis=1))  # nor leave one out
    X = np.eye(3)[order] + rng.normal(size=(60, 10, 3))
    free = tiny(crf=True, max_epochs=3).fit(X, order)
    bound = tiny(crf=True, max_epochs=3, forbid_unseen=True).fit(X, order)
    noise = 3 * rng.normal(size=(400, 10, 3))

    def forbidden(labels):
        return ~np.isin(np.diff(labels, axis=1), [0, 1])

    assert not forbidden(order).any() and not forbidden(bound.predict(noise)).any()
    assert bound.module_.crf.scores()[2, 0] < -1e3 and free.module_.crf.scores()[2, 0] > -1e3


@each_form
def test_steps_scored_in_pieces_are_those_scored_in_one(form):
    X, y = chains(10, 30)
    model = tiny(**form).fit(X, y)
    whole, _ = model.predict_proba_steps(X[:3])
    np.testing.assert_allclose(whole, model.predict_proba(X[:3]), atol=1e-6)
    if model.looks_ahead:
        _, state = model.predict_proba_steps(X[:3, :10])
        with pytest.raises(ValueError, match=r"judges a row by later ones too, .* set decoding='filtered'"):
            model.predict_proba_steps(X[:3, 10:], state)
        return
    pieces, state = [], None
    for part in np.split(X[:3], [1, 4, 17], axis=1):
        proba, state = model.predict_proba_steps(part, state)
        pieces.append(proba)
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole, atol=1e-6)
    twice, _ = model.predict_proba_steps(np.tile(X[:3], (2, 1, 1)), model.repeat_state(state, 2))
    np.testing.assert_allclose(twice[:3], twice[3:])


def test_filtered_scores_of_a_prefix_are_a_prefix_of_the_scores():
    X, y = chains(10, 30)
    model = tiny(crf=True, decoding="filtered").fit(X, y)
    whole, _ = model.predict_proba_steps(X[0])
    for n in (1, 7, 29):
        np.testing.assert_allclose(model.predict_proba_steps(X[0, :n])[0], whole[:n], atol=1e-6)
    smoothed = model.set_params(decoding="smoothed").predict_proba_steps(X[0])[0]
    assert np.abs(smoothed - whole)[:-1].max() > 1e-3
    np.testing.assert_allclose(smoothed[-1], whole[-1], atol=1e-6)  # where nothing comes after


def test_a_filtered_field_is_trained_on_what_it_says():
    X, y = chains(10, 30)
    model = tiny(crf=True, decoding="filtered", precision="float64", batch_size=None).fit(X, y, X_val=X, y_val=y)
    wanted = -np.log(np.take_along_axis(model.predict_proba(X), y[..., None], axis=2)).mean()
    assert model.history_[-1]["valid_loss"] == pytest.approx(wanted, abs=1e-9)


def test_training_on_steps_learns_what_steps_show():
    X, y = chains(8, 100)
    starts = np.arange(8) * 100
    for form in FORMS.values():
        model = tiny(max_epochs=20, lr=0.02, **form)
        model.fit_steps(X.reshape(-1, 1), y.ravel(), starts=starts, burn_in=8, stride=24)
        proba, _ = model.predict_proba_steps(X)
        assert (proba.argmax(-1) == y).mean() > (0.85 if "crf" in form else 0.8)


def test_rows_without_weight_count_neither_in_training_nor_in_validation():
    X, y = chains(4, 50)
    X, y, starts = X.reshape(-1, 1), y.ravel(), np.arange(4) * 50
    weight = np.ones(200)
    weight[20:30] = weight[190:] = 0
    watched = {"X_val": X, "starts_val": starts, "sample_weight_val": weight}
    fits = [
        tiny(crf=True).fit_steps(X, labels, weight, starts=starts, burn_in=5, stride=20, y_val=labels, **watched)
        for labels in (y, np.where(weight > 0, y, 1 - y))
    ]
    assert fits[0].history_ == fits[1].history_
    assert {"train_loss", "valid_loss"} <= fits[0].history_[0].keys()


def test_a_chunk_ends_with_its_stretch():
    """Copies behind the last row of a stretch are shown to nobody: the loss held out is that of the rows alone."""
    X, y = chains(1, 50)
    X, y = X[0], y[0]
    model = tiny(crf=True, bidirectional=True, precision="float64")
    model.fit_steps(X, y, starts=np.array([0]), burn_in=1, stride=64, X_val=X, y_val=y, starts_val=np.array([0]))
    with torch.no_grad():
        before = torch.tensor(np.concatenate([X[:1], X]))[None]  # one copy of the first row as history
        known = torch.ones(1, 50, dtype=torch.bool)
        logits = model.module_.forward_labelled(before, torch.tensor(y)[None], known).log_softmax(-1)
        wanted = -logits.gather(-1, torch.tensor(y)[None, :, None]).mean()
    assert model.history_[-1]["valid_loss"] == pytest.approx(float(wanted), abs=1e-9)


@each_form
def test_weights_of_windows_are_copies_of_them(form):
    X, y = chains(12, 10)
    twice = np.arange(12) % 3
    exact = {"precision": "float64", "batch_size": None, "max_epochs": 5, **form}
    weighted = tiny(**exact).fit(X, y, twice)
    copied = tiny(**exact).fit(X.repeat(twice, axis=0), y.repeat(twice, axis=0))
    np.testing.assert_allclose(weighted.predict_proba(X), copied.predict_proba(X), atol=1e-8)


@pytest.mark.parametrize("crf", [False, True])
def test_losses_and_class_weights_raise_the_rare_class(crf):
    X, y = chains(40, 30)
    y = y * (np.arange(30) > 24)  # rare
    fits = [
        tiny(crf=crf, max_epochs=15, lr=0.01, **how).fit(X, y)
        for how in ({}, {"class_weight": "balanced"}, {"loss": "focal"}, {"loss": el.losses.FocalLoss(gamma=1.0)})
    ]
    plain, balanced, focal, mild = (model.predict_proba(X)[..., 1].mean() for model in fits)
    assert balanced > plain + 0.05
    assert focal != plain and mild not in (focal, plain)


def test_a_validation_set_is_recorded_and_early_stopping_holds_windows_out():
    X, y = chains(30, 10)
    watched = tiny(crf=True).fit(X, y, X_val=X[:5], y_val=y[:5])
    assert all("valid_loss" in record for record in watched.history_)
    stopped = tiny(crf=True, early_stopping=True, max_epochs=50, n_iter_no_change=2, tol=1.0).fit(X, y)
    assert stopped.n_iter_ < 50


def test_a_warm_start_goes_on_and_keeps_transitions():
    X, y = chains(20, 10)
    model = tiny(crf=True, warm_start=True).fit(X, y)
    before = model.module_.crf.transitions.detach().clone()
    model.set_params(lr=1e-12).fit(X, y)
    torch.testing.assert_close(model.module_.crf.transitions.detach(), before)
    assert model.n_iter_ == 4
    with pytest.raises(ValueError, match="training began with"):
        model.fit(X, y[:, -1])


@each_form
@pytest.mark.parametrize("through", ["pickle", "archive"])
def test_a_copy_predicts_the_same_bits(form, through, tmp_path):
    X, y = chains(10, 12)
    model = tiny(**form).fit(X, y)
    if through == "pickle":
        twin = pickle.loads(pickle.dumps(model))
    else:
        el.save(model, tmp_path / "tagger.eventlstm")
        twin = el.load(tmp_path / "tagger.eventlstm")
    np.testing.assert_array_equal(twin.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))


def test_the_number_of_threads_changes_no_number():
    X, y = chains(200, 12)
    few, many = (tiny(crf=True, batch_size=200, n_jobs=n).fit(X, y) for n in (1, 4))
    np.testing.assert_array_equal(few.predict_proba(X), many.predict_proba(X))


def test_windows_of_a_log_give_the_same_numbers_as_their_array():
    values, y = chains(1, 60)
    windows = LogWindows(values[0], 8)
    first = tiny(crf=True).fit(windows, y[0])
    np.testing.assert_array_equal(
        first.predict_proba(windows), tiny(crf=True).fit(np.asarray(windows), y[0]).predict_proba(np.asarray(windows))
    )


X, Y = chains(6, 5)
MISSING = np.where(np.arange(5) == 2, np.nan, Y)


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (tiny(bidirectional=True, decoding="filtered"), (X, Y), "bidirectional=True reads ahead"),
        (tiny(forbid_unseen=True), (X, Y), "Set crf=True"),
        (tiny(crf=True, forbid_unseen=True), (X, Y[:, -1]), "Label all steps"),
        (tiny(crf=True, augmentation=el.Augmentation(mixup=0.2)), (X, Y), "Set mixup=0"),
        (tiny(), (X, None), "Pass a class per step"),
        (tiny(), (X, Y[:, :, None]), r"y has the shape \(6, 5, 1\), where windows have 5 steps"),
        (tiny(), (X, np.tile(Y, 2)), r"y has the shape \(6, 10\)"),
        (tiny(), (X, Y[:4]), "inconsistent numbers of samples"),
        (tiny(), (X, MISSING), "y contains NaN: 6 rows have no label"),
        (tiny(), (X, Y + 0.5 * X[..., 0]), "Unknown label type"),
        (tiny(decoding="sideways"), (X, Y), "decoding"),
    ],
    ids=str,
)
def test_what_cannot_be_fitted_is_refused_with_the_remedy(model, data, message):
    with pytest.raises(ValueError, match=message):
        model.fit(*data)


def test_windows_that_end_early_need_a_label_for_each_step():
    with pytest.raises(ValueError, match="end early, but y is of the last 2 steps only"):
        tiny().fit(X, Y[:, -2:], lengths=[5, 4, 3, 5, 5, 5])
    with pytest.raises(ValueError, match="end early"):
        tiny().fit(X, Y[:, -2:]).predict(X, lengths=[5, 4, 3, 5, 5, 5])


def test_a_step_log_to_watch_comes_with_its_labels():
    with pytest.raises(ValueError, match="X_val came without"):
        tiny().fit_steps(X[0], Y[0], starts=np.array([0]), X_val=X[1])
    with pytest.raises(ValueError, match="early_stopping watches a log held out"):
        tiny(early_stopping=True).fit_steps(X[0], Y[0], starts=np.array([0]))
