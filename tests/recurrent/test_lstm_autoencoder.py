"""The autoencoder ranks abnormal windows above normal ones, whatever way its windows, weights and draws come."""

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

import eventlstm as el
from eventlstm import LogWindows, LSTMAutoencoder
from eventlstm.alarms.tails import find_offset
from eventlstm.recurrent.checking import CheckedWindows
from eventlstm.recurrent.holding_out import hold_out_unlabelled
from eventlstm.training.augmentation import Augmentation
from eventlstm.training.loop import Trainer

N_STEPS, N_CHANNELS = 8, 2
# Sums over the whole set in double precision: the one way of training in which a weight of two is exactly two copies.
EXACT = {"precision": "float64", "batch_size": None, "dropout": 0.0}
CHECKED = LSTMAutoencoder(hidden_size=4, latent_size=2, max_epochs=3, lr=0.05, **EXACT)

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@parametrize_with_checks([CHECKED])
def test_every_check_of_scikit_learn_passes(estimator, check):
    check(estimator)


def test_scikit_learn_has_more_than_fifty_checks_those_of_outliers_and_transformers_among_them():
    names = [check.func.__name__ for _, check in estimator_checks_generator(CHECKED)]
    assert len(names) > 50
    assert {"check_outliers_train", "check_outliers_fit_predict", "check_transformer_general"} <= set(names)


def waves(n_windows=60, seed=0):
    """Return windows of two sensors that follow one wave from anywhere in it."""
    rng = np.random.default_rng(seed)
    t = rng.uniform(0, 2 * np.pi, (n_windows, 1)) + np.arange(N_STEPS)
    return np.stack([np.sin(t), np.cos(t)], axis=2) + rng.normal(0, 0.05, (n_windows, N_STEPS, N_CHANNELS))


def odd(n_windows=60, seed=1):
    """Return windows whose wave jumps to its other side half-way, and grows."""
    X = waves(n_windows, seed)
    X[:, N_STEPS // 2 :] *= -1.6
    return X


X, NORMAL, ODD = waves(), waves(60, 2), odd()
LENGTHS = np.random.default_rng(3).integers(3, N_STEPS + 1, len(X))
RAGGED = np.where(np.arange(N_STEPS)[:, None] < LENGTHS[:, None, None], X, np.nan)


def tiny(**changes):
    settings = {"hidden_size": 4, "latent_size": 2, "max_epochs": 3, "batch_size": 16, "n_jobs": 1, "random_state": 0}
    return LSTMAutoencoder(**{**settings, **changes})


def learner(**changes):
    return tiny(**{"hidden_size": 8, "latent_size": 4, "max_epochs": 20, "lr": 0.04, "batch_size": 20, **changes})


@pytest.fixture(scope="module")
def fitted():
    return tiny().fit(X)


@pytest.fixture(scope="module")
def learnt():
    return learner().fit(X)


OPTIONS = {
    "lstm": {},
    "gru": {"cell": "gru"},
    "rnn": {"cell": "rnn"},
    "peephole": {"cell": "peephole"},
    "both ways": {"bidirectional": True},
    "two layers": {"num_layers": 2, "residual": True, "layer_norm": True},
    "not told": {"teacher_forcing": None},
    "told by half": {"teacher_forcing": 0.5},
    "huber": {"loss": "huber"},
    "absolute": {"loss": "absolute"},
    "recurrent dropout": {"recurrent_dropout": 0.1},
    "truncation": {"tbptt_steps": 4},
    "retention": {"retention_steps": 6},
    "bfloat16": {"precision": "bfloat16"},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 20},
    **{name: {"augmentation": Augmentation(**{name: 0.05})} for name in ("jitter", "scaling", "time_warp", "mixup")},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_ranks_abnormal_windows_above_normal_ones_and_is_kept(name, tmp_path):
    model, both = learner(**OPTIONS[name]).fit(X), np.concatenate([NORMAL, ODD])
    y = np.arange(len(both)) >= len(NORMAL)
    for error in ("last", "mean"):
        assert roc_auc_score(y, model.set_params(error=error).anomaly_score(both)) > 0.8
    el.save(model, tmp_path / "model")
    for twin in (el.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(twin.score_samples(both), model.score_samples(both))
        assert (repr(twin), twin.offset_) == (repr(model), model.offset_)


def test_the_four_scores_are_one(learnt):
    score = learnt.anomaly_score(ODD)
    assert score.dtype == np.float64
    assert np.array_equal(learnt.score_samples(ODD), -score)
    assert np.array_equal(learnt.decision_function(ODD), -score - learnt.offset_)
    assert np.array_equal(learnt.predict(ODD), np.where(-score >= learnt.offset_, 1, -1))


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "padded"])
def test_scores_are_squares_of_the_errors_shown(lengths):
    model = tiny().fit(X, lengths=lengths)
    r = model.reconstruction_errors(X, lengths=lengths)
    last = r[np.arange(len(X)), -1 if lengths is None else lengths - 1]
    np.testing.assert_allclose(model.last_step_errors(X, lengths=lengths), last, atol=1e-6)
    np.testing.assert_allclose(model.anomaly_score(X, lengths=lengths), (last**2).mean(axis=1), rtol=1e-4)
    mean = model.set_params(error="mean").anomaly_score(X, lengths=lengths)
    np.testing.assert_allclose(mean, np.nanmean(r**2, axis=(1, 2)), rtol=1e-6)
    written = model.reconstruct(X, lengths=lengths)
    np.testing.assert_allclose(written + r, X if lengths is None else RAGGED, atol=1e-6)


def test_a_window_is_written_from_its_latent_vector(learnt):
    z = learnt.transform(X)
    assert z.shape == (len(X), 4)
    assert (1 - (learnt.reconstruction_errors(X) ** 2).mean() / X.var()) > 0.8
    assert learnt.get_feature_names_out().tolist() == [f"lstmautoencoder{k}" for k in range(4)]
    model = make_pipeline(tiny().set_output(transform="pandas"), LogisticRegression()).fit(X, X[:, 0, 0] > 0)
    assert model[-1].feature_names_in_.tolist() == ["lstmautoencoder0", "lstmautoencoder1"]


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("changes", [{}, {"early_stopping": True}, {"error": "mean"}], ids=str)
def test_contamination_is_the_share_of_the_training_windows_found_abnormal(share, changes):
    model = tiny(contamination=share, **changes).fit(X)
    assert (model.predict(X) == -1).sum() == round(share * len(X))
    assert np.array_equal(clone(model).fit_predict(X), model.predict(X))


def test_contamination_counts_windows_by_their_weight():
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    model = tiny(contamination=0.2).fit(X, sample_weight=weight)
    found = weight[model.predict(X) == -1].sum() / weight.sum()
    assert 0.2 - 4 / weight.sum() < found <= 0.2


def test_padding_is_no_part_of_a_window_nor_of_the_border():
    by_nan, by_length = tiny().fit(RAGGED), tiny().fit(X, lengths=LENGTHS)
    assert by_nan.offset_ == by_length.offset_
    assert np.array_equal(by_nan.anomaly_score(RAGGED), by_length.anomaly_score(X, lengths=LENGTHS))
    k = LENGTHS.argmin()
    alone = by_nan.anomaly_score(np.pad(X[k, : LENGTHS[k]], ((0, N_STEPS - LENGTHS[k]), (0, 0)))[None], lengths=[3])
    np.testing.assert_allclose(alone, by_nan.anomaly_score(RAGGED)[k], rtol=1e-5)


def test_the_automatic_border_is_that_of_windows_held_out():
    held_out = waves(300, 5)
    model = tiny().fit(X, X_val=held_out)
    assert (model.predict(held_out) == -1).sum() == 3
    assert np.array_equal(model.score_samples(X), tiny().fit(X).score_samples(X)), "they are watched, not learnt from"
    alone = tiny().fit(X)
    assert (alone.predict(X) == 1).all(), "a hundredth of sixty windows is less than one"
    assert alone.offset_ == pytest.approx(alone.score_samples(X).min(), rel=1e-5)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.5])
def test_the_border_leaves_the_largest_part_below_that_is_no_more_than_the_share(share):
    rng = np.random.default_rng(0)
    for _ in range(50):
        score, weight = rng.choice([-3.0, -1.0, -0.5, 0.0, 1.0, 7.0], 30), rng.integers(0, 4, 30).astype(float)
        offset = find_offset(score, weight, share)
        below = weight[score < offset].sum()
        next_lowest = score[(score >= offset) & (weight > 0)].min()
        assert below <= share * weight.sum() < below + weight[score == next_lowest].sum()
        assert offset == find_offset(np.repeat(score, weight.astype(int)), np.ones(int(weight.sum())), share)


def test_a_weight_is_so_many_copies_and_no_weight_is_no_sample():
    n_copies = np.random.default_rng(3).integers(0, 4, size=len(X))
    model = tiny(max_epochs=30, contamination=0.2, **EXACT)
    weighted, copied = clone(model).fit(X, sample_weight=n_copies), clone(model).fit(np.repeat(X, n_copies, axis=0))
    np.testing.assert_allclose(weighted.score_samples(X), copied.score_samples(X), rtol=1e-7)
    assert weighted.offset_ == pytest.approx(copied.offset_, rel=1e-7)
    assert np.array_equal(weighted.predict(X), copied.predict(X))


def test_flattened_windows_give_the_same_numbers_as_windows(fitted):
    flat = X.reshape(len(X), -1)
    frame = pd.DataFrame(flat, columns=[f"{sensor}{k}" for k in range(N_STEPS) for sensor in ("flow", "heat")])
    expected = fitted.score_samples(X)
    assert np.array_equal(fitted.score_samples(flat), expected)
    for rows in (flat, frame):
        model = tiny(n_channels=N_CHANNELS).fit(rows)
        assert np.array_equal(model.score_samples(rows), expected)
        assert (model.n_features_in_, model.n_timesteps_, model.n_channels_) == (16, N_STEPS, N_CHANNELS)


@pytest.mark.parametrize("pad", [True, False])
def test_windows_cut_from_a_log_give_the_same_numbers_as_their_array(pad):
    windows = LogWindows(np.random.default_rng(2).normal(size=(80, N_CHANNELS)), N_STEPS, pad=pad)
    of_log, of_array = tiny().fit(windows, X_val=windows), tiny().fit(windows[:], X_val=windows[:])
    assert np.array_equal(of_log.score_samples(windows), of_array.score_samples(windows[:]))
    assert np.array_equal(of_log.reconstruct(windows), of_array.reconstruct(windows[:]))
    assert (of_log.offset_, of_log.n_features_in_) == (of_array.offset_, of_array.n_features_in_)


def test_windows_held_out_of_a_log_are_its_last_and_share_no_row_with_the_others():
    windows = LogWindows(np.zeros((200, 1)), N_STEPS)
    rng = np.random.RandomState(0)
    train, rest = hold_out_unlabelled(CheckedWindows(windows), np.ones(200), 0.1, rng)
    assert (windows.ends[rest] - N_STEPS + 1).min() > windows.ends[train].max()
    assert rest[-1] == 199
    assert len(train) == 180


def test_a_window_is_judged_the_same_alone_and_in_any_company(fitted):
    many = waves(600, 7)  # more than are scored in one call
    together = fitted.score_samples(many)
    alone = np.concatenate([fitted.score_samples(x[None]) for x in many[:20]])
    np.testing.assert_allclose(alone, together[:20], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(fitted.score_samples(many[::-1])[::-1], together, rtol=1e-4, atol=1e-7)


def test_a_validation_set_is_recorded_and_does_not_end_training_by_itself():
    watched = tiny(max_epochs=12, lr=0.05).fit(X, X_val=-X)
    assert [set(record) for record in watched.history_] == [{"epoch", "train_loss", "valid_loss"}] * 12
    assert (watched.n_iter_, len(watched.loss_curve_)) == (12, 12)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "padded"])
@pytest.mark.parametrize("error", ["last", "mean"])
def test_early_stopping_ends_on_the_weights_by_which_held_out_windows_are_judged_best(error, lengths):
    model = tiny(error=error, max_epochs=100, lr=0.1, early_stopping=True, n_iter_no_change=2)
    model.fit(X, lengths=lengths, X_val=(held_out := waves(40, 8) ** 3))
    valid = [record["valid_loss"] for record in model.history_]
    assert model.n_iter_ == np.argmin(valid) + 1 + 2 < 100
    assert model.anomaly_score(held_out).mean() == pytest.approx(min(valid), rel=1e-5)


@pytest.mark.parametrize("loss", ["squared", "huber", "absolute"])
def test_the_loss_is_the_mean_over_all_values_that_are_no_padding(loss):
    still = {"lr": 1e-9, "dropout": 0.0, "weight_decay": 0.0, "max_epochs": 1, "teacher_forcing": None}
    model = tiny(loss=loss, **still).fit(RAGGED * 3)
    r = model.reconstruction_errors(RAGGED * 3)
    size = np.abs(r)
    values = {"squared": r**2, "absolute": size, "huber": np.where(size < 1, r**2 / 2, size - 0.5)}
    assert model.loss_curve_[0] == pytest.approx(np.nanmean(values[loss], axis=(1, 2)).mean(), rel=1e-5)


def test_a_seed_gives_the_same_numbers_again_and_another_seed_others():
    first, again, other = (tiny(random_state=seed, early_stopping=True).fit(X) for seed in (0, 0, 1))
    assert np.array_equal(first.score_samples(X), again.score_samples(X))
    assert first.offset_ == again.offset_
    assert not np.allclose(first.score_samples(X), other.score_samples(X))


def test_the_global_generators_are_left_alone():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    tiny(early_stopping=True, teacher_forcing=0.5).fit(X).predict(X)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "padded"])
@pytest.mark.parametrize("options", [{}, {"teacher_forcing": 0.5, "bidirectional": True}], ids=str)
def test_the_number_of_threads_changes_no_bit(options, lengths):
    models = [tiny(n_jobs=n, micro_batch_size=4, **options).fit(X, lengths=lengths) for n in (1, 2)]
    many = waves(600, 7)
    assert models[0].history_ == models[1].history_
    assert np.array_equal(models[0].score_samples(many), models[1].score_samples(many))


def test_the_size_of_the_pieces_changes_rounding_only():
    whole, cut = (tiny(micro_batch_size=size, precision="float64", dropout=0).fit(RAGGED) for size in (16, 3))
    np.testing.assert_allclose(cut.score_samples(X), whole.score_samples(X), rtol=1e-9)


@pytest.mark.parametrize("through", [lambda model: pickle.loads(pickle.dumps(model)), copy.deepcopy, "joblib"])
def test_a_copy_scores_the_same_whatever_parameters_were_set_after_fit(through, fitted, tmp_path):
    changed = copy.deepcopy(fitted).set_params(hidden_size=64, cell="gru", latent_size=9, teacher_forcing=0.5)
    if through == "joblib":
        joblib.dump(changed, tmp_path / "model")
        twin = joblib.load(tmp_path / "model")
    else:
        twin = through(changed)
    assert np.array_equal(twin.score_samples(X), fitted.score_samples(X))
    assert twin.transform(X).shape == (len(X), 2)
    assert twin.get_feature_names_out().tolist() == ["lstmautoencoder0", "lstmautoencoder1"]
    assert b"torch" not in pickle.dumps(twin)
    with pytest.raises(NotFittedError):
        clone(twin).predict(X)


def test_a_warm_start_goes_on_from_the_last_weights():
    model = tiny(warm_start=True, lr=0.03).fit(X)
    network, offset = model.module_, model.offset_
    model.fit(X)
    assert model.module_ is network
    assert [record["epoch"] for record in model.history_] == [1, 2, 3, 4, 5, 6]
    assert model.loss_curve_[3] < model.loss_curve_[0]
    assert model.offset_ != offset
    with pytest.raises(ValueError, match="X has 14 features, but LSTMAutoencoder is expecting 16"):
        model.fit(X[:, 1:])


def test_a_killed_training_goes_on_as_if_nothing_had_been(tmp_path, monkeypatch):
    model = tiny(checkpoint=str(tmp_path / "fit"), early_stopping=True, max_epochs=4, teacher_forcing=0.5)
    whole = tiny(early_stopping=True, max_epochs=4, teacher_forcing=0.5).fit(X)
    evaluate, calls = Trainer.evaluate, []

    def kill(self, batches):
        calls.append(1)
        if len(calls) == 3:
            raise MemoryError("killed")
        return evaluate(self, batches)

    with monkeypatch.context() as patch, pytest.raises(MemoryError, match="killed"):
        patch.setattr(Trainer, "evaluate", kill)
        clone(model).fit(X)
    assert (tmp_path / "fit").exists()
    model.fit(X)
    assert model.history_ == whole.history_
    assert np.array_equal(model.score_samples(X), whole.score_samples(X))
    assert model.offset_ == whole.offset_


def test_codes_are_read_and_have_no_error():
    codes = np.array([3.0, 17.0, -1.0])[np.random.default_rng(0).integers(0, 3, X.shape[:2])]
    coded = np.concatenate([X, codes[..., None]], axis=2)
    model = tiny(categorical_channels=[2]).fit(coded)
    assert np.isnan(model.reconstruct(coded)[..., 2]).all()
    r = model.reconstruction_errors(coded)
    assert np.isnan(model.last_step_errors(coded)).tolist() == [[False, False, True]] * len(X)
    np.testing.assert_allclose(model.anomaly_score(coded), (r[:, -1, :2] ** 2).mean(axis=1), rtol=1e-5)
    other = coded.copy()
    other[..., 2] = 17.0
    assert not np.allclose(model.anomaly_score(other), model.anomaly_score(coded))
    with pytest.raises(ValueError, match="All 2 channels hold codes"):
        tiny(categorical_channels=[0, 1]).fit(X)


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (tiny(), np.where(X.max() == X, np.nan, X), "NaN before the end of a window"),
        (tiny(n_channels=5), X.reshape(len(X), -1), "16 features a row, which n_channels=5 does not divide"),
        (tiny(), LogWindows(np.zeros((4, 2)), 6, pad=False), "log has no window of 6 rows. Pass a longer log"),
        (tiny(early_stopping=True), X[:1], r"cannot hold out 10% of 1 windows .* Pass X_val, or set early_stopping"),
        (tiny(contamination=0.6), X, "The 'contamination' parameter of LSTMAutoencoder must be"),
        (tiny(teacher_forcing=1.5), X, "The 'teacher_forcing' parameter of LSTMAutoencoder must be"),
        (tiny(error="max"), X, "The 'error' parameter of LSTMAutoencoder must be a str among"),
        (tiny(latent_size=0), X, "The 'latent_size' parameter of LSTMAutoencoder must be an int"),
        (tiny(lr=1e30, max_grad_norm=None), X, r"training loss became .* in epoch \d. Lower lr \(now 1e\+30\)"),
    ],
)
def test_what_cannot_be_fitted_is_refused_with_the_remedy(model, data, message):
    with pytest.raises(ValueError, match=message):
        model.fit(data)


def test_windows_of_another_shape_are_refused(fitted):
    with pytest.raises(ValueError, match="X has 1 channels, but LSTMAutoencoder was fitted on 2"):
        fitted.predict(X[:, :, :1])
    with pytest.raises(ValueError, match="fitted on 8 steps and 2 channels"):
        fitted.predict(LogWindows(np.zeros((60, 3)), N_STEPS))
    with pytest.raises(ValueError, match="at least one non-zero number"):
        tiny().fit(X, sample_weight=np.zeros(len(X)))
