"""Where the true probability of each window is known, training that changes probabilities is led back to it."""

import numpy as np
import pandas as pd
import pytest
from imblearn.under_sampling import RandomUnderSampler
from scipy.special import expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.metrics import get_scorer

from eventlstm import EventClassifier, LSTMClassifier, RunKFold
from eventlstm.losses import ClassBalancedLoss, FocalLoss

pytestmark = pytest.mark.usefixtures("one_torch_thread")

# An event in 200 windows on average, in two thousand at a reading of zero.
SLOPE, OFFSET, PREVALENCE = 1.5, -6.4, 0.005
N_STEPS = 3
# The bounds of expected over observed events, and how far off they are where nothing is undone.
LEAST, MOST, FAR_OFF = 0.8, 1.25, 5.0


def known(n_rows, seed):
    """Return readings, the true probability of an event at each, and whether there was one."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n_rows)
    p = expit(SLOPE * x + OFFSET)
    return x[:, None], p, (rng.random(n_rows) < p).astype(int)


def windows(n_windows, seed):
    """Return windows whose last reading alone tells the probability."""
    x, p, y = known(n_windows, seed)
    before = np.random.default_rng(seed + 1).normal(size=(n_windows, N_STEPS - 1))
    return np.concatenate([before, x], axis=1)[:, :, None], p, y


def learner(**changes):
    settings = {"hidden_size": 4, "dropout": 0.0, "max_epochs": 12, "batch_size": 1000, "lr": 0.02, "n_jobs": 1}
    return LSTMClassifier(**{**settings, "micro_batch_size": 1000, "random_state": 0, **changes})


def expected_over_observed(predicted, p):
    return predicted[:, 1].sum() / p.sum()


def assert_calibrated(predicted, p):
    """Hold the whole, and each tenth by the true probability but the lowest, which holds one event in a thousand."""
    assert LEAST < expected_over_observed(predicted, p) < MOST
    tenths = np.array_split(np.argsort(p), 10)
    assert all(0.5 < expected_over_observed(predicted[part], p[part]) < 2.0 for part in tenths[1:])


X_NEW, P_NEW, _ = windows(20_000, seed=9)
# So few windows are left of many: more of them for as little noise, and smaller steps.
UNDERSAMPLED = {"sampler": RandomUnderSampler(), "max_epochs": 15, "batch_size": 64, "lr": 0.01}
N_WINDOWS, N_TO_SAMPLE = 40_000, 150_000
DISTORTING = [
    {"class_weight": "balanced"},
    {"loss": "focal"},
    {"loss": ClassBalancedLoss(beta=0.9999)},
    {"loss": "logit_adjusted"},
    UNDERSAMPLED,
]


@pytest.mark.parametrize("changes", DISTORTING, ids=str)
def test_corrected_probabilities_are_the_true_ones_where_others_are_far_off(changes):
    X, p, y = windows(N_TO_SAMPLE if "sampler" in changes else N_WINDOWS, seed=2)
    assert p.mean() == pytest.approx(PREVALENCE, rel=0.05)
    model = learner(**changes).fit(X, y)
    assert expected_over_observed(model.predict_proba(X_NEW), P_NEW) > FAR_OFF
    assert_calibrated(model.set_params(correct_prior=True).predict_proba(X_NEW), P_NEW)


@pytest.mark.parametrize(
    ("mode", "changes"),
    [
        ("stateful", {"class_weight": "balanced"}),
        ("stateful", {"loss": "focal"}),
        ("windows", {"class_weight": "balanced"}),
        ("windows", UNDERSAMPLED),
    ],
    ids=str,
)
def test_each_member_on_a_log_is_corrected(mode, changes):
    X, _, y = known(N_TO_SAMPLE if "sampler" in changes else N_WINDOWS, seed=2)
    chunks = {"batch_size": 160} if mode == "stateful" else {}
    log = {"window_size": N_STEPS, "mode": mode, "inputs": None, "n_estimators": 2, "random_state": 0}
    model = EventClassifier(learner(**{**chunks, **changes}), **log).fit(X, y)
    x_new, p_new, _ = known(20_000, seed=9)
    assert expected_over_observed(model.predict_proba(x_new), p_new) > FAR_OFF
    for member in model.estimators_:
        member.set_params(correct_prior=True)
        assert member.class_factors_.shape == (2,)
    assert_calibrated(model.predict_proba(x_new), p_new)


@pytest.mark.parametrize("changes", [{}, {"class_weight": "balanced"}, {"sampler": RandomUnderSampler()}], ids=str)
def test_setting_the_correction_after_fit_is_the_same_as_before(changes):
    X, _, y = windows(600, seed=2)
    y[:9] = 1
    corrected = learner(correct_prior=True, **changes).fit(X, y).predict_proba(X)
    later = learner(**changes).fit(X, y).set_params(correct_prior=True).predict_proba(X)
    assert np.array_equal(corrected, later)


@pytest.mark.parametrize("loss", ["cross_entropy", "logit_adjusted", "class_balanced", FocalLoss(alpha=0.9)], ids=str)
@pytest.mark.parametrize("changes", [{}, {"class_weight": {0: 1, 1: 5}}, {"sampler": RandomUnderSampler()}], ids=str)
def test_the_first_guess_is_the_share_of_each_class_as_training_begins_to_weigh_it(loss, changes):
    X, _, y = windows(4000, seed=3)
    model = learner(loss=loss, prior_bias=True, max_epochs=1, lr=1e-9, hidden_size=32, **changes).fit(X, y)
    seen = np.bincount(y) * model.class_factors_
    guess = model.predict_proba(X).mean(axis=0)
    assert guess == pytest.approx(seen / seen.sum(), rel=0.05)  # the network's own weights add a little


def test_training_that_begins_at_the_prior_begins_at_the_entropy_of_the_labels():
    X, _, y = windows(4000, seed=3)
    model = learner(prior_bias=True, max_epochs=1, lr=1e-9, hidden_size=32).fit(X, y)
    share = y.mean()
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    assert model.loss_curve_[0] == pytest.approx(entropy, rel=0.01)


def test_a_loss_that_defers_its_weights_begins_at_the_plain_share():
    X, _, y = windows(4000, seed=3)
    model = learner(loss="ldam", prior_bias=True, max_epochs=1, lr=1e-9, hidden_size=32).fit(X, y)
    assert model.predict_proba(X)[:, 1].mean() == pytest.approx(y.mean(), rel=0.05)


@pytest.mark.parametrize("changes", [{"class_weight": "balanced"}, {"loss": "focal"}], ids=str)
def test_a_scorer_is_shown_the_probabilities_that_the_classifier_returns(changes):
    X, _, y = windows(600, seed=2)
    y[:9] = 1
    model = learner(correct_prior=True, scoring="neg_log_loss", max_epochs=2, **changes).fit(X, y, X_val=X, y_val=y)
    assert model.history_[-1]["valid_score"] == pytest.approx(get_scorer("neg_log_loss")(model, X, y), abs=1e-6)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration_on_runs_held_out_serves_where_no_closed_form_does(method):
    n_runs, n_rows = 12, 1500
    x, _, y = known(n_runs * n_rows, seed=5)
    index = pd.MultiIndex.from_product([range(n_runs), range(n_rows)], names=["machine", "time"])
    X, y = pd.DataFrame(x, index=index, columns=["flow"]), pd.Series(y, index=index)
    network = learner(loss="asymmetric", class_weight="balanced", batch_size=40)
    plain = EventClassifier(network, window_size=N_STEPS, inputs=None, n_estimators=1, random_state=0)
    model = CalibratedClassifierCV(plain, cv=RunKFold(3), method=method).fit(X, y)
    x_new, p_new, _ = known(10_000, seed=9)
    x_new = pd.DataFrame(x_new, columns=["flow"], index=index[:10_000])
    assert expected_over_observed(plain.fit(X, y).predict_proba(x_new), p_new) > FAR_OFF
    assert LEAST < expected_over_observed(model.predict_proba(x_new), p_new) < MOST
