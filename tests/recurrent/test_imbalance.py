"""Losses and samplers inside the classifier: what each may change of a training, and what none may."""

import pickle

import numpy as np
import pytest
import torch
from imblearn.combine import SMOTEENN, SMOTETomek
from imblearn.over_sampling import ADASYN, SMOTE, BorderlineSMOTE, RandomOverSampler
from imblearn.pipeline import make_pipeline
from imblearn.under_sampling import NearMiss, RandomUnderSampler
from sklearn.base import clone
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks
from torch import nn

from eventlstm import EventClassifier, FlattenWindows, LogWindows, LSTMClassifier, TemporalOversampler, load, save
from eventlstm.losses import LOSSES, ClassBalancedLoss, FocalLoss, LDAMLoss
from eventlstm.training.checkpoints import fingerprint

pytestmark = pytest.mark.usefixtures("one_torch_thread")

N_STEPS, N_CHANNELS = 4, 2
SAMPLERS = [
    SMOTE(),
    BorderlineSMOTE(),
    ADASYN(),
    SMOTETomek(),
    SMOTEENN(),
    RandomOverSampler(),
    RandomUnderSampler(),
    NearMiss(),
]
each_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: type(sampler).__name__)
each_loss = pytest.mark.parametrize("loss", LOSSES)
# As in the checks of the plain classifier: sums over the whole set in double precision.
EXACT = {"hidden_size": 8, "dropout": 0, "precision": "float64", "batch_size": None, "max_epochs": 60, "lr": 0.05}
SAMPLED = LSTMClassifier(**EXACT, n_jobs=1, sampler=RandomUnderSampler(random_state=0))
FOCUSED = LSTMClassifier(**EXACT, n_jobs=1, loss="focal")
IN_PARTS = "what comes in parts cannot be sampled"
NOT_FOR_SAMPLERS = {
    "check_fit_score_takes_y": IN_PARTS,
    "check_n_features_in_after_fitting": IN_PARTS,
    "check_estimators_partial_fit_n_features": IN_PARTS,
    "check_sample_weight_equivalence_on_dense_data": "a sampler counts windows, whatever they weigh",
}
few_are_meant = pytest.mark.filterwarnings("ignore:.*(neighbours|found no windows):UserWarning")
overlap_is_meant = pytest.mark.filterwarnings("ignore:.*overlap on the log:UserWarning")


class Watched(LSTMClassifier):
    """Keeps what it is trained on and watched by."""

    def _train_watched(self, loss, batches, watched, weight):
        self.trained_, self.watched_ = batches, watched
        return super()._train_watched(loss, batches, watched, weight)


def tiny(kind=LSTMClassifier, **changes):
    return kind(**{"hidden_size": 4, "max_epochs": 2, "random_state": 0, "n_jobs": 1, **changes})


def toy(n_windows=200, seed=0):
    """Return windows and whether the first sensor ended high, which is so in one of six."""
    X = np.random.default_rng(seed).normal(size=(n_windows, N_STEPS, N_CHANNELS))
    return X, (X[:, -1, 0] > 1.0).astype(int)


def log(n_rows=300, seed=0):
    X = np.random.default_rng(seed).normal(size=(n_rows, N_CHANNELS)).cumsum(axis=0)
    X -= X.mean(axis=0)
    return X, (X[:, 0] > np.quantile(X[:, 0], 0.85)).astype(int)


def rows_of(windows):
    return {window.tobytes() for window in np.asarray(windows, dtype=np.float32)}


def assert_same(one, other, X):
    assert np.array_equal(one.predict_proba(X), other.predict_proba(X))
    assert one.loss_curve_ == other.loss_curve_


@each_loss
def test_every_loss_learns_what_a_window_shows(loss):
    model = tiny(loss=loss, hidden_size=8, max_epochs=15, lr=0.03, batch_size=32, balanced_batches=True)
    X, y = toy(400, seed=1)
    assert average_precision_score(y, model.fit(*toy(400)).predict_proba(X)[:, 1]) > 0.9


@each_sampler
def test_every_sampler_leaves_windows_that_are_learnt_from(sampler):
    model = tiny(sampler=sampler, max_epochs=15, lr=0.03, batch_size=32)
    X, y = toy(400, seed=1)
    assert average_precision_score(y, model.fit(*toy(400)).predict_proba(X)[:, 1]) > 0.8


def test_temporal_windows_are_made_inside_fit():
    X, y = log()
    windows = LogWindows(X, N_STEPS)
    model = tiny(Watched, sampler=TemporalOversampler()).fit(windows, y)
    assert model.trained_.gather.n_items > len(windows)
    assert model.trained_.gather.values.shape == X.shape  # views of the log
    assert model.predict_proba(windows).shape == (len(X), 2)


@each_sampler
@pytest.mark.parametrize("as_log", [False, True])
@overlap_is_meant
@few_are_meant
def test_windows_held_out_are_as_they_came_and_never_sampled_from(sampler, as_log):
    X, y = toy()
    if as_log:
        rows, y = log(200)
        X = LogWindows(rows, N_STEPS)
    model = tiny(Watched, sampler=sampler, early_stopping=True, validation_fraction=0.25).fit(X, y)
    held_out, target = (model.watched_.gather(torch.arange(50)), model.watched_.target.numpy())
    trained = model.trained_.gather(torch.arange(model.trained_.gather.n_items))
    assert rows_of(held_out) <= rows_of(X[:])
    assert not rows_of(held_out) & rows_of(trained)
    assert len(target) == model.watched_.gather.n_items == 50
    assert target.sum() == pytest.approx(0.25 * y.sum(), abs=1)
    assert len(trained) != 150  # it has sampled


def test_windows_given_to_watch_are_not_sampled():
    X, y = toy()
    model = tiny(Watched, sampler=RandomUnderSampler()).fit(X, y, X_val=X[:30], y_val=y[:30])
    assert np.array_equal(model.watched_.gather.values.numpy(), X[:30].astype(np.float32))
    assert np.array_equal(model.watched_.target.numpy(), y[:30])


def test_what_is_held_out_counts_classes_as_training_does():
    X, y = toy()
    model = tiny(Watched, sampler=RandomUnderSampler()).fit(X, y, X_val=X, y_val=y)
    assert np.bincount(y, weights=model.watched_.weight) == pytest.approx([len(y) / 2] * 2)


@each_sampler
def test_a_seed_gives_the_same_model_again_for_any_number_of_threads(sampler):
    X, y = toy()
    once, again, wider = (tiny(sampler=sampler, micro_batch_size=8, batch_size=32, n_jobs=n) for n in (1, 1, 2))
    before = repr(sampler.get_params()), sorted(vars(sampler))
    once.fit(X, y)
    assert (repr(sampler.get_params()), sorted(vars(sampler))) == before
    assert once.sampler is sampler
    assert_same(again.fit(X, y), once, X)
    assert_same(wider.fit(X, y), once, X)


@overlap_is_meant
@pytest.mark.parametrize("sampler", [SMOTE(), RandomUnderSampler()], ids=str)
def test_members_are_the_same_for_any_number_of_threads(sampler):
    X, y = log()
    few, many = (
        EventClassifier(
            tiny(sampler=sampler), mode="windows", window_size=3, n_estimators=2, n_jobs=n_jobs, random_state=0
        ).fit(X, y)
        for n_jobs in (1, 2)
    )
    assert np.array_equal(few.predict_proba(X), many.predict_proba(X))


@pytest.mark.parametrize(
    ("changes", "ratio"),
    [
        ({}, 1.0),
        ({"sampler": RandomUnderSampler()}, "odds"),
        ({"sampler": RandomOverSampler(sampling_strategy=0.5)}, "half odds"),
        ({"class_weight": {0: 1.0, 1: 7.0}}, 7.0),
        ({"class_weight": "balanced"}, "odds"),
        ({"class_weight": "balanced", "sampler": RandomUnderSampler()}, "odds"),
        ({"class_weight": {1: 3.0}, "loss": FocalLoss(alpha=0.8)}, 12.0),
        ({"loss": "logit_adjusted"}, "odds"),
        ({"loss": "logit_adjusted", "sampler": RandomUnderSampler()}, "odds"),
        ({"balanced_batches": True, "prior_bias": True}, 1.0),
    ],
    ids=str,
)
def test_class_factors_tell_how_training_has_seen_each_class(changes, ratio):
    X, y = toy()
    odds = (y == 0).sum() / (y == 1).sum()
    expected = {"odds": odds, "half odds": odds / 2}.get(ratio, ratio)
    factors = tiny(max_epochs=1, **changes).fit(X, y).class_factors_
    assert factors[1] / factors[0] == pytest.approx(expected, rel=0.02)


def test_a_class_that_a_part_of_the_data_lacks_keeps_its_factor():
    X, y = toy()
    model = tiny(class_weight={0: 1.0, 1: 7.0}).partial_fit(X, y, classes=[0, 1]).partial_fit(X[y == 0], y[y == 0])
    assert model.class_factors_ == pytest.approx([1.0, 7.0])


def test_a_class_without_weight_is_not_led_back_to():
    X, y = toy()
    proba = tiny(class_weight={0: 1.0, 1: 0.0}, correct_prior=True).fit(X, y).predict_proba(X)
    assert np.isfinite(proba).all()


@pytest.mark.parametrize("loss", ["class_balanced", "logit_adjusted", "asymmetric", "ldam"])
def test_a_loss_that_counts_classes_is_refused_by_parts(loss):
    with pytest.raises(ValueError, match="counts the classes, which a part of the data does not tell"):
        tiny(loss=loss).partial_fit(*toy(), classes=[0, 1])


def test_a_sampler_is_refused_by_parts_and_by_steps():
    with pytest.raises(ValueError, match="A sampler cannot balance what comes in parts"):
        tiny(sampler=SMOTE()).partial_fit(*toy(), classes=[0, 1])
    with pytest.raises(ValueError, match="mode='windows'"):
        EventClassifier(tiny(sampler=SMOTE()), n_estimators=1).fit(*log())


class UntrainedError(Exception):
    """What a loss raises that is never to be called."""


def never(logits, target):
    raise UntrainedError


@pytest.mark.parametrize("loss", ["asymmetric", "ldam", "average_precision", never, nn.CrossEntropyLoss()])
@pytest.mark.parametrize("fit", ["fit", "fit_steps", "partial_fit"])
def test_what_cannot_be_undone_is_refused_before_training(loss, fit):
    model = tiny(loss=loss, correct_prior=True)
    more = {"fit": {}, "fit_steps": {"starts": np.array([0])}, "partial_fit": {"classes": [0, 1]}}[fit]
    X, y = log() if fit == "fit_steps" else toy()
    message = "counts the classes" if fit == "partial_fit" and loss in ("asymmetric", "ldam") else "no closed form"
    with pytest.raises(ValueError, match=message):
        getattr(model, fit)(X, y, **more)
    assert not hasattr(model, "module_")


@few_are_meant
@pytest.mark.filterwarnings("ignore:A class to be sampled has one window only:UserWarning")
@pytest.mark.parametrize("n_positive", [1, 2, 5])
def test_a_search_over_losses_and_samplers_runs_whatever_the_events_of_a_fold(n_positive):
    X, _ = toy(40)
    y = np.zeros(40, dtype=int)
    y[: 2 * n_positive] = 1
    X[y == 1, -1, 0] += 4.0
    grid = [
        {
            "loss": ["cross_entropy", FocalLoss(), ClassBalancedLoss()],
            "sampler": [None, RandomUnderSampler(), SMOTE()],
        },
        {"loss": [FocalLoss()], "loss__gamma": [0.0, 1.0], "correct_prior": [True]},
    ]
    search = GridSearchCV(tiny(max_epochs=2), grid, cv=StratifiedKFold(2), scoring="average_precision")
    search.fit(X, y)
    assert len(search.cv_results_["params"]) == 11
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def smooth(logits, target):
    return nn.functional.cross_entropy(logits, target, label_smoothing=0.1, reduction="none")


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: type(sampler).__name__)
@pytest.mark.parametrize("correct_prior", [False, True])
def test_a_model_comes_back_with_its_sampler_and_its_loss(sampler, correct_prior, tmp_path):
    X, y = toy()
    model = tiny(sampler=sampler, loss=FocalLoss(gamma=1.0), correct_prior=correct_prior).fit(X, y)
    save(model, tmp_path / "model")
    for twin in (load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        assert_same(twin, model, X)
        assert repr(twin.sampler) == repr(sampler) and repr(twin.loss) == "FocalLoss(gamma=1.0)"
        assert_same(twin.fit(X, y), model, X)
    assert_same(clone(model).fit(X, y), model, X)


def test_a_function_as_a_loss_can_be_pickled_and_not_saved(tmp_path):
    X, y = toy()
    model = tiny(loss=smooth).fit(X, y)
    assert_same(pickle.loads(pickle.dumps(model)), model, X)
    with pytest.raises(TypeError, match=r"estimator\.loss"):
        save(model, tmp_path / "model")


def test_classes_are_weighed_from_the_epoch_that_ldam_defers_to():
    X, y = toy()
    later, never_weighed = (
        tiny(loss=LDAMLoss(deferred=0.6, beta=beta), max_epochs=5).fit(X, y) for beta in (0.99, 0.0)
    )
    assert later.loss_curve_[:3] == never_weighed.loss_curve_[:3]
    assert abs(np.subtract(later.loss_curve_[3:], never_weighed.loss_curve_[3:])).min() > 0.01


def test_epochs_before_and_after_a_change_of_the_loss_are_judged_alike():
    X, y = toy()
    model = tiny(loss=LDAMLoss(deferred=0.5, beta=0.99), lr=1e-9, max_epochs=4).fit(X, y, X_val=X, y_val=y)
    assert model.loss_curve_[0] != pytest.approx(model.loss_curve_[-1], rel=0.01)
    judged = [record["valid_loss"] for record in model.history_]
    assert judged == pytest.approx([judged[0]] * 4, rel=1e-4)


def test_average_precision_takes_batches_whole():
    X, y = toy()
    pieces, whole = (tiny(loss="average_precision", batch_size=40, micro_batch_size=n) for n in (3, 64))
    assert_same(pieces.fit(X, y), whole.fit(X, y), X)


class KilledError(Exception):
    """What ends a training in the middle."""


class Killed(LSTMClassifier):
    """Is killed in its third epoch."""

    def _train_watched(self, loss, batches, watched, weight):
        begin, begun = batches.epoch, []

        def epoch(generator):
            begun.append(generator)
            if len(begun) == 3:
                raise KilledError
            return begin(generator)

        batches.epoch = epoch
        return super()._train_watched(loss, batches, watched, weight)


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": LDAMLoss(deferred=0.5)},
        {"loss": "average_precision", "balanced_batches": True},
        {"sampler": SMOTE(), "loss": nn.CrossEntropyLoss(label_smoothing=0.1)},
        {"sampler": RandomUnderSampler(), "early_stopping": True, "scoring": "neg_log_loss", "correct_prior": True},
    ],
    ids=str,
)
def test_a_killed_training_goes_on_to_the_same_model(changes, tmp_path):
    X, y = toy()
    changes = {"max_epochs": 5, "batch_size": 16, **changes}
    path = tmp_path / "training"
    with pytest.raises(KilledError):
        tiny(Killed, checkpoint=path, **changes).fit(X, y)
    assert path.exists()
    assert_same(tiny(checkpoint=path, **changes).fit(X, y), tiny(**changes).fit(X, y), X)


def test_a_checkpoint_of_another_module_as_loss_is_told():
    modules = [nn.CrossEntropyLoss(), nn.CrossEntropyLoss(label_smoothing=0.1), nn.CrossEntropyLoss(torch.ones(2))]
    assert len({fingerprint(module) for module in modules}) == 3
    assert fingerprint(nn.CrossEntropyLoss()) == fingerprint(modules[0])


@pytest.mark.parametrize("sampler", [SMOTE(), RandomUnderSampler(), NearMiss()], ids=str)
@pytest.mark.parametrize("changes", [{"class_weight": "balanced"}, {"loss": "class_balanced"}], ids=str)
def test_a_window_of_weight_zero_is_left_out_whatever_balances(sampler, changes):
    X, y = toy()
    weight = (np.arange(len(y)) % 3 > 0) * 1.0
    used = weight > 0
    model = tiny(sampler=sampler, correct_prior=True, **changes)
    left_out = clone(model).fit(X[used], y[used], weight[used])
    assert_same(model.fit(X, y, weight), left_out, X)
    assert np.array_equal(model.class_factors_, left_out.class_factors_)


@pytest.mark.parametrize("as_log", [False, True])
def test_an_event_without_weight_is_no_event_to_a_loss_that_counts_them(as_log):
    X, y = toy(300)
    if as_log:
        rows, y = log()
        X = LogWindows(rows, N_STEPS)
    weight = np.where((y == 1) & (np.arange(len(y)) > len(y) / 2), 0.0, 1.0)
    used = np.flatnonzero(weight)
    model = tiny(loss=ClassBalancedLoss(0.9), batch_size=None)
    factors = clone(model).fit(X, y, weight).class_factors_
    assert factors == pytest.approx(clone(model).fit(X.take(used, axis=0), y[used]).class_factors_)


def test_samplers_stand_before_a_network_in_pipelines():
    X, y = toy()
    inside = make_pipeline(FlattenWindows(), StandardScaler(), SMOTE(random_state=0), tiny(n_channels=N_CHANNELS))
    assert inside.fit(X, y).predict_proba(X).shape == (len(X), 2)


@pytest.mark.slow
@parametrize_with_checks(
    [SAMPLED, FOCUSED],
    expected_failed_checks=lambda estimator: NOT_FOR_SAMPLERS if estimator.sampler is not None else {},
    xfail_strict=True,
)
def test_with_a_sampler_no_check_fails_but_those_that_cannot_hold_and_with_a_loss_none(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", [SAMPLED, FOCUSED], ids=str)
def test_scikit_learn_has_more_than_forty_checks_for_each(estimator):
    assert len(list(estimator_checks_generator(estimator))) > 40
