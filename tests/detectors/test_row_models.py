"""Models of quiet rows are told by what they offer, learn what is quiet, and miss rows by what they get wrong."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingRegressor, IsolationForest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.mixture import GaussianMixture
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from eventlstm import AnomalyDetector, LSTMAutoencoder, LSTMClassifier, LSTMForecaster
from eventlstm.detectors.quiet_rows import split_rows
from eventlstm.detectors.row_models import (
    OutlierScores,
    Projections,
    Reconstructions,
    RowModels,
    StepForecasts,
    View,
    WindowForecasts,
    choose_kind,
)
from eventlstm.logs.input_scaler import InputScaler
from eventlstm.logs.rows import Rows

WINDOW = 5
RNG = np.random.default_rng(0)

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def log_of(values, starts=(0,), loud=()):
    weight = np.ones(len(values))
    weight[list(loud)] = 0.0
    starts = np.array(starts)
    return Rows(np.asarray(values, dtype=float), starts, np.arange(len(starts)), weight > 0, weight)


LOG = log_of(np.cumsum(RNG.normal(size=(90, 2)), axis=0), starts=(0, 30, 31))


def view_of(log, inputs="level", clip=4.0):
    levels = InputScaler("level", clip=np.inf, robust=False).fit(log.values, starts=log.starts)
    relative = InputScaler("relative", spans=(3,)).fit(log.values, starts=log.starts)
    still = np.ptp(log.values, axis=0) == 0
    return View(levels, relative if inputs == "relative" else None, clip, still)


def fit_models(kind, members, log=LOG, *, targets=("level",), stride=1, **view) -> RowModels:
    models = kind(members, view_of(log, **view), targets, WINDOW, stride)
    held = np.zeros(len(log.values), dtype=bool)
    held[-10:] = True
    fitted = models.fit(*split_rows(log, held), 1)
    return kind(fitted, models.view, targets, WINDOW, stride)


class Recorder(RegressorMixin, BaseEstimator):
    """Keeps what it is fitted on, and forecasts the last row of each window."""

    def fit(self, X, y):
        """Keep both."""
        self.X_, self.y_ = X, y
        return self

    def predict(self, X):
        """Return the last two channels."""
        return X[:, -2:]


SMALL = {"hidden_size": 3, "max_epochs": 2, "batch_size": 16, "random_state": 0, "n_jobs": 1}


@pytest.mark.parametrize(
    ("estimator", "kind"),
    [
        (LSTMForecaster(), StepForecasts),
        (LSTMForecaster(bidirectional=True), WindowForecasts),
        (LSTMForecaster(pooling="luong"), WindowForecasts),
        (LSTMAutoencoder(), Reconstructions),
        (Ridge(), WindowForecasts),
        (make_pipeline(StandardScaler(), Ridge()), WindowForecasts),
        (PCA(), Projections),
        (make_pipeline(StandardScaler(), PCA()), Projections),
        (IsolationForest(), OutlierScores),
        (LocalOutlierFactor(novelty=True), OutlierScores),
        (OneClassSVM(), OutlierScores),
        (GaussianMixture(), OutlierScores),
        (make_pipeline(StandardScaler(), IsolationForest()), OutlierScores),
    ],
    ids=str,
)
def test_a_model_is_told_by_what_it_offers(estimator, kind):
    assert choose_kind(estimator) is kind


@pytest.mark.parametrize("estimator", [LSTMClassifier(), LogisticRegression(), LocalOutlierFactor(), BaseEstimator()])
def test_what_says_nothing_of_quiet_rows_is_refused(estimator):
    with pytest.raises(ValueError, match=f"{type(estimator).__name__} neither forecasts nor reconstructs nor scores"):
        choose_kind(estimator)


@pytest.mark.parametrize("target", ["level", "change"])
def test_a_regressor_learns_each_quiet_row_from_the_window_before_it_in_its_stretch(target):
    log = LOG._replace(weight=np.where(np.isin(np.arange(90), [10, 50]), 0.0, 1.0))
    models = fit_models(WindowForecasts, [Recorder()], log, targets=(target,))
    _, levels = models.view.see(log)
    rows = np.array([row for row in range(80) if row not in (0, 30, 31, 10, 50)])
    before = rows - 1
    member = models.members[0]
    np.testing.assert_allclose(member.y_, levels[rows] - levels[before] * (target == "change"))
    first = np.array([0, 30, 31])[np.searchsorted([0, 30, 31], before, side="right") - 1]
    steps = np.maximum(before[:, None] + np.arange(1 - WINDOW, 1), first[:, None])
    np.testing.assert_allclose(member.X_, np.clip(levels, -4, 4)[steps].reshape(len(rows), -1))


@pytest.mark.parametrize("target", ["level", "change"])
def test_the_error_of_a_forecast_is_at_the_row_it_was_of(target):
    models = fit_models(WindowForecasts, [Recorder()], targets=(target,), clip=100.0)
    _, levels = models.view.see(LOG)
    before = np.arange(90) - 1
    before[[0, 30, 31]] = [0, 30, 31]
    expected = levels - levels[before] * (1 + (target == "change"))
    np.testing.assert_allclose(models.errors(LOG, 1), expected, atol=1e-9)


def test_step_by_step_the_error_of_a_forecast_is_at_the_row_it_was_of():
    models = fit_models(StepForecasts, [LSTMForecaster(**SMALL)], stride=8)
    errors = models.errors(LOG, 1)
    inputs, levels = models.view.see(LOG)
    for first, last in ((0, 30), (30, 31), (31, 90)):
        warm = np.repeat(inputs[first : first + 1], WINDOW, axis=0)
        forecast, _ = models.members[0].predict_steps(np.concatenate([warm, inputs[first:last]]))
        np.testing.assert_allclose(errors[first:last], levels[first:last] - forecast[WINDOW - 1 : -1, 0], atol=1e-5)


@pytest.mark.parametrize("inputs", ["level", "relative"])
@pytest.mark.parametrize(
    ("kind", "member"), [(Reconstructions, LSTMAutoencoder(latent_size=2, **SMALL)), (Projections, PCA(3))], ids=str
)
def test_a_reconstruction_misses_the_last_row_in_the_units_it_is_shown(kind, member, inputs):
    models = fit_models(kind, [clone(member)], inputs=inputs, clip=1.0)
    seen, levels = models.view.see(LOG)
    windows = models._cut(seen, LOG)[:]
    if kind is Reconstructions:
        back = models.members[0].reconstruct(windows)
    else:
        flat = windows.reshape(len(windows), -1)
        back = models.members[0].inverse_transform(models.members[0].transform(flat)).reshape(windows.shape)
    missed = seen[:, :2] - back[:, -1, :2]
    beyond = levels - seen if inputs == "level" else 0.0
    np.testing.assert_allclose(models.errors(LOG, 1), missed + beyond, atol=1e-5)
    assert np.abs(beyond).max() > 0.5 or inputs == "relative"


class Rebuilder(BaseEstimator):
    """Reconstructs and offers nothing more."""

    def fit(self, X, y=None):
        """Learn nothing."""
        return self

    def reconstruct(self, X):
        """Return half of all."""
        return X.reshape(len(X), WINDOW, -1) / 2


def test_what_reconstructs_whole_windows_only_will_do():
    class Windowed(Rebuilder):
        """Takes windows by themselves."""

        def __sklearn_tags__(self):
            """Say so."""
            tags = super().__sklearn_tags__()
            tags.input_tags.three_d_array = True
            return tags

    models = fit_models(Reconstructions, [Windowed()], clip=1e9)
    _, levels = models.view.see(LOG)
    np.testing.assert_allclose(models.errors(LOG, 1), levels / 2)


def test_the_errors_of_members_are_averaged_and_every_member_counts():
    members = [LSTMForecaster(**{**SMALL, "random_state": seed}) for seed in range(3)]
    models = fit_models(StepForecasts, members, targets=("level", "change"), stride=8)
    alone = [
        type(models)([member], models.view, (target,), WINDOW, 8).errors(LOG, 1)
        for member, target in zip(models.members, ("level", "change", "level"), strict=True)
    ]
    np.testing.assert_allclose(models.errors(LOG, 1), np.mean(alone, axis=0), atol=1e-9)
    assert min(np.abs(one - other).max() for k, one in enumerate(alone) for other in alone[:k]) > 1e-3


def test_a_regressor_of_one_target_is_repeated_for_each_sensor():
    models = fit_models(WindowForecasts, [GradientBoostingRegressor(n_estimators=3)])
    assert isinstance(models.members[0], MultiOutputRegressor)
    assert models.errors(LOG, 1).shape == (90, 2)
    one = log_of(LOG.values[:, :1], LOG.starts)
    assert isinstance(
        fit_models(WindowForecasts, [GradientBoostingRegressor(n_estimators=3)], one).members[0],
        GradientBoostingRegressor,
    )


class Broken(Recorder):
    """Fails for a reason of its own."""

    def fit(self, X, y):
        """Fail."""
        raise ValueError("the solver has not converged")


def test_other_errors_of_a_regressor_are_its_own():
    with pytest.raises(ValueError, match="has not converged"):
        fit_models(WindowForecasts, [Broken()])


@pytest.mark.parametrize(
    ("kind", "member"),
    [
        (Reconstructions, LSTMAutoencoder(latent_size=2, early_stopping=np.True_, n_iter_no_change=1, **SMALL)),
        (WindowForecasts, LSTMForecaster(bidirectional=True, early_stopping=True, n_iter_no_change=1, **SMALL)),
        (StepForecasts, LSTMForecaster(early_stopping=True, n_iter_no_change=1, **SMALL)),
    ],
    ids=str,
)
def test_networks_stop_by_the_rows_held_out(kind, member):
    models = fit_models(kind, [member])
    still = LOG._replace(values=np.where(np.arange(90)[:, None] >= 80, 40.0, LOG.values))
    other = fit_models(kind, [clone(member)], still)
    losses = [[record["valid_loss"] for record in one.members[0].history_] for one in (models, other)]
    assert losses[0] != losses[1]


def test_a_network_inside_a_pipeline_is_told_its_channels():
    models = fit_models(OutlierScores, [make_pipeline(StandardScaler(), LSTMAutoencoder(latent_size=2, **SMALL))])
    assert models.members[0][-1].n_channels_ == 2
    assert models.errors(LOG, 1).shape == (90, 1)


@pytest.mark.parametrize("estimator", [Ridge(), PCA(1), IsolationForest(n_estimators=2, random_state=0)])
def test_a_member_that_wants_all_windows_at_once_learns_as_many_as_memory_holds(estimator, monkeypatch):
    class Counting(type(estimator)):
        def fit(self, X, *args, **kwargs):
            """Keep the number of windows."""
            self.n_seen_ = len(X)
            return super().fit(X, *args, **kwargs)

    monkeypatch.setattr("eventlstm.detectors.row_models.MOST_VALUES", 20 * 4 * 2)
    X = np.random.default_rng(0).normal(size=(300, 2))
    member = Counting(**estimator.get_params())
    detector = AnomalyDetector(member, window_size=4, n_estimators=1, threshold=3.0, random_state=0).fit(X)
    assert detector.estimators_[0].n_seen_ == 20
    assert np.isfinite(detector.anomaly_score(X)).all()
