"""A scorer as the judge of early stopping says what it would say of the fitted classifier."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, fbeta_score, get_scorer, make_scorer
from sklearn.model_selection import train_test_split

from eventlstm import LSTMClassifier

F2 = make_scorer(fbeta_score, beta=2)
SCORERS = ["average_precision", "roc_auc", "f1", "neg_log_loss", "balanced_accuracy", F2]


def noisy(n_windows, seed):
    """Return windows of which a quarter, roughly, is of an event that noise half hides."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_windows, 6, 2))
    return X, (X[:, 3, 0] + 0.5 * rng.normal(size=n_windows) > 0.7).astype(int)


X, Y = noisy(96, 0)
X_VAL, Y_VAL = noisy(80, 1)
WATCHED = {"X_val": X_VAL, "y_val": Y_VAL}


def small(scoring, **changes):
    settings = {"hidden_size": 4, "max_epochs": 4, "batch_size": 16, "lr": 0.03, "n_jobs": 1, "random_state": 0}
    settings["dropout"] = 0.0  # after dropout the intercept is refitted behind the last score
    return LSTMClassifier(scoring=scoring, **{**settings, **changes})


@pytest.mark.parametrize("scoring", SCORERS, ids=str)
@pytest.mark.parametrize("changes", [{}, {"class_weight": "balanced"}, {"precision": "bfloat16"}], ids=str)
def test_the_last_score_on_record_is_that_of_the_fitted_classifier(scoring, changes):
    model = small(scoring, **changes).fit(X, Y, **WATCHED)
    expected = get_scorer(scoring)(model, X_VAL, Y_VAL)
    assert [set(record) for record in model.history_] == [{"epoch", "train_loss", "valid_loss", "valid_score"}] * 4
    assert model.history_[-1]["valid_score"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("scoring", ["average_precision", "neg_log_loss"])
def test_early_stopping_stops_by_the_score_and_ends_on_the_weights_of_the_best_epoch(scoring):
    model = small(scoring, early_stopping=True, n_iter_no_change=2, max_epochs=40, schedule="constant", lr=0.1)
    model.fit(X, Y, **WATCHED)
    scores = [record["valid_score"] for record in model.history_]
    assert model.n_iter_ < 40
    assert len(scores) - 1 - int(np.argmax(scores)) <= 2 + scores.count(max(scores))
    assert get_scorer(scoring)(model, X_VAL, Y_VAL) == pytest.approx(max(scores), abs=1e-6)


def test_without_early_stopping_a_scorer_changes_nothing_but_the_record():
    one, other = small("roc_auc").fit(X, Y, **WATCHED), small("loss").fit(X, Y, **WATCHED)
    assert np.array_equal(one.predict_proba(X), other.predict_proba(X))
    assert one.loss_curve_ == other.loss_curve_


def test_windows_held_out_count_by_their_sample_weight_and_not_by_their_class():
    weight = np.where(np.arange(len(X)) % 3 == 0, 4.0, 1.0)
    settings = {"early_stopping": True, "validation_fraction": 0.5, "tol": 0.0, "class_weight": "balanced"}
    model = small("accuracy", max_epochs=1, **settings).fit(X, Y, weight)
    _, rest = train_test_split(np.arange(len(X)), test_size=0.5, stratify=Y, random_state=np.random.RandomState(0))
    expected = accuracy_score(Y[rest], model.predict(X[rest]), sample_weight=weight[rest])
    assert model.history_[0]["valid_score"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("scoring", ["f1_macro", "roc_auc", "neg_log_loss", "accuracy"])
def test_classes_may_be_words_where_the_scorer_takes_them(scoring):
    words = np.array(["ok", "fault"])
    model = small(scoring).fit(X, words[Y], X_val=X_VAL, y_val=words[Y_VAL])
    expected = get_scorer(scoring)(model, X_VAL, words[Y_VAL])
    assert model.history_[-1]["valid_score"] == pytest.approx(expected, abs=1e-6)


def test_a_function_of_the_estimator_is_a_scorer():
    def surest(estimator, X, y):
        assert np.array_equal(estimator.classes_, [0, 1])
        return estimator.predict_proba(X).max()

    model = small(surest, class_weight="balanced").fit(X, Y, **WATCHED)
    assert model.history_[-1]["valid_score"] == pytest.approx(model.predict_proba(X_VAL).max(), abs=1e-6)


def test_several_classes_are_scored_as_well():
    three, three_val = (Y + (X[:, 5, 1] > 0), Y_VAL + (X_VAL[:, 5, 1] > 0))
    model = small("roc_auc_ovr").fit(X, three, X_val=X_VAL, y_val=three_val)
    expected = get_scorer("roc_auc_ovr")(model, X_VAL, three_val)
    assert model.history_[-1]["valid_score"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("scoring", ["average_precision", "f1"])
def test_the_steps_of_a_log_are_scored_once_each_and_without_their_padding(scoring):
    log, log_val = (np.random.default_rng(seed).normal(size=(150, 2)) for seed in (0, 1))
    y, y_val = (values[:, 0] > 0.7 for values in (log, log_val))
    starts = np.array([0, 70])
    model = small(scoring, class_weight="balanced").fit_steps(
        log, y, starts=starts, burn_in=100, stride=16, X_val=log_val, y_val=y_val, starts_val=starts
    )
    assert 0.0 < model.history_[-1]["valid_score"] <= 1.0
    judged = _Stretches(model, starts, burn_in=100)
    assert model.history_[-1]["valid_score"] == pytest.approx(get_scorer(scoring)(judged, log_val, y_val), abs=1e-3)


class _Stretches(LSTMClassifier):
    """A classifier of steps to a scorer: each stretch is begun with copies of its first row, as chunks are."""

    def __init__(self, model, starts, burn_in):
        self.model, self.starts, self.burn_in = model, starts, burn_in

    @property
    def classes_(self):
        return self.model.classes_

    def predict_proba(self, X):
        stretches = [np.concatenate([part[:1].repeat(self.burn_in, 0), part]) for part in np.split(X, self.starts[1:])]
        return np.concatenate([self.model.predict_proba_steps(part)[0][self.burn_in :] for part in stretches])

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def test_an_unknown_scorer_is_refused():
    with pytest.raises(ValueError, match="'alarm' is not a valid scoring value"):
        small("alarm").fit(X, Y, **WATCHED)
