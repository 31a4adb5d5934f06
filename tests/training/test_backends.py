"""Members and folds trained by processes or a cluster are those of one process, also where a worker is killed."""

import os
import signal
from itertools import chain

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

import eventlstm as el
from eventlstm.evaluation.held_out import compare, cross_fitted_scores
from eventlstm.training import backends
from eventlstm.training.backends import find_backend, one_by_one

LOG = el.datasets.make_sensor_log(n_machines=3, n_days=2, failures_per_machine=1, random_state=0)
X, Y = LOG.X.iloc[:, :2], LOG.y
FOLDS = list(el.RunKFold(2).split(X, Y))
NETWORK = el.LSTMClassifier(hidden_size=2, max_epochs=1, min_steps=1, dropout=0.1)
# Maps all arrays into the memory of processes, which may then not write to them.
LOKY = {"backend": "loky", "n_jobs": 2, "max_nbytes": 10}


@pytest.fixture(scope="module")
def cluster():
    """Two workers, processes of their own."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.amm.stop()  # it frees all copies but one of what was scattered
        yield client


def fragile(mark):
    """A model that kills its process in `fit`, but this one, while `mark` is there; it goes then.

    What is defined in here is pickled whole: workers need not import the tests.
    """

    class Fragile(LogisticRegression):
        def __init__(self, mark=None, home=None, C=1.0):
            super().__init__(C=C)
            self.mark, self.home = mark, home

        def fit(self, X, y, sample_weight=None):
            if os.getpid() != self.home and self.mark.exists():
                self.mark.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().fit(X, y, sample_weight)

    return of_rows(Fragile(mark, os.getpid()))


class Counted:
    """An array that counts how often it is pickled."""

    def __init__(self):
        self.values, self.n_pickled = np.arange(1000.0), 0

    def __reduce__(self):
        self.n_pickled += 1
        return np.asarray, (self.values,)


def classifier(**parameters):
    return el.EventClassifier(NETWORK, window_size=4, n_estimators=2, random_state=0, **parameters)


def of_rows(estimator):
    return el.EventClassifier(estimator, mode="windows", window_size=1, inputs="level", n_estimators=1, random_state=0)


def blend(**parts):
    return el.EventBlend([("networks", classifier()), *parts.items()], random_state=0)


def forest():
    return of_rows(ExtraTreesClassifier(20, max_depth=3))


def balanced_bags():
    windows = el.LogWindows(X, 5)
    model = el.BalancedBaggingLSTMClassifier(NETWORK, n_estimators=2, random_state=0)
    return model.fit(windows, Y.to_numpy()[windows.ends]).predict_proba(windows[:50])


def detector():
    return el.AnomalyDetector(PCA(1), window_size=4, n_estimators=2, threshold=3.0, random_state=0)


def search(estimator, **grid):
    found = GridSearchCV(estimator, grid, cv=FOLDS, scoring="average_precision").fit(X, Y)
    return np.concatenate([found.cv_results_["mean_test_score"], found.predict_proba(X)[:, 1]])


def search_of(model):
    return search(model, estimator__C=[0.1, 1.0])


def blend_of(model):
    return blend(fragile=model).fit(X, Y).predict_proba(X)


def folds():
    kept, calls = {}, []
    models = {"blend": blend(forest=forest()), "forest": forest()}
    compare(models, X, Y, el.RunKFold(2), lambda: calls.append(1), {"blend": {"half": {"weights": [0, 1]}}}, kept)
    assert len(calls) == 4
    return np.stack(list(kept.values()))


CASES = {
    "members of EventClassifier": lambda: classifier().fit(X, Y).predict_proba(X),
    "members of windows": lambda: classifier(mode="windows", stride=8).fit(X, Y).predict_proba(X[:50]),
    "parts of EventBlend": lambda: blend(forest=forest()).fit(X, Y).predict_proba(X),
    "members of BalancedBaggingLSTMClassifier": balanced_bags,
    "members of AnomalyDetector": lambda: detector().fit(X).anomaly_score(X),
    "folds": folds,
    "folds without labels": lambda: cross_fitted_scores(detector(), X, 2).to_numpy(),
    "GridSearchCV": lambda: search(classifier(), window_size=[3, 4]),
}


@pytest.mark.slow
def test_a_cluster_gives_the_bits_of_one_process(cluster):
    cluster.wait_for_workers(2)
    for case in ("parts of EventBlend", "folds", "GridSearchCV"):
        alone = CASES[case]()
        with parallel_config("dask", client=cluster):
            np.testing.assert_array_equal(CASES[case](), alone, err_msg=case)


@pytest.mark.slow
@pytest.mark.parametrize("compute", [blend_of, search_of])
def test_a_killed_worker_of_a_cluster_changes_nothing(cluster, tmp_path, compute):
    mark = tmp_path / "mark"
    model = fragile(mark)
    alone = compute(model)
    cluster.wait_for_workers(2)
    mark.touch()
    # what joblib sends for GridSearchCV would else be lost with the worker
    with parallel_config("dask", client=cluster, scatter=[X, Y, *chain(*FOLDS)]):
        np.testing.assert_array_equal(compute(model), alone)
    assert not mark.exists()


@pytest.mark.slow
def test_what_many_calls_take_goes_to_a_cluster_once(cluster):
    log = Counted()
    cluster.wait_for_workers(2)
    with parallel_config("dask", client=cluster):
        sums = list(one_by_one(lambda values, k: values.sum() + k, [(log, k) for k in range(6)]))
    assert sums == [log.values.sum() + k for k in range(6)]
    assert log.n_pickled == 1


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_processes_give_the_bits_of_one(case):
    alone = CASES[case]()
    with parallel_config(**LOKY):
        np.testing.assert_array_equal(CASES[case](), alone)


@pytest.mark.slow
def test_members_come_back_as_themselves_and_an_error_as_it_is():
    with parallel_config(**LOKY):
        model = classifier().fit(X, Y)
        with pytest.raises(ValueError, match="Part 'deaf' of the blend: The 'max_features' parameter"):
            blend(deaf=of_rows(ExtraTreesClassifier(max_features=-1))).fit(X, Y)
    assert [type(member) for member in model.estimators_] == [el.LSTMClassifier] * 2


@pytest.mark.slow
def test_what_many_calls_take_is_mapped_into_processes_once():
    log = np.arange(1000.0)
    with parallel_config(**LOKY):
        (_,) = set(one_by_one(lambda log, k: log.filename, [(log, k) for k in range(6)]))


def test_threads_stay_the_default_and_inner_loops_stay_where_they_are():
    assert find_backend(None) is None and find_backend(2) is None
    with parallel_config("threading", n_jobs=2):
        assert find_backend(None) is None
    with parallel_config("loky"):
        assert find_backend(1) is None
        assert [find_backend(n_jobs).n_jobs for n_jobs in (None, 3)] == [-1, 3]
    with parallel_config(**LOKY):
        assert find_backend(None).n_jobs == 2
        assert list(one_by_one(lambda: find_backend(2) is not None, [(), ()])) == [False, False]


@pytest.mark.slow
def test_a_killed_process_changes_nothing(tmp_path):
    mark = tmp_path / "mark"
    model = fragile(mark)
    alone = blend_of(model)
    mark.touch()
    with parallel_config(**LOKY):
        np.testing.assert_array_equal(blend_of(model), alone)
    assert not mark.exists()


@pytest.mark.slow
def test_work_that_kills_every_process_is_an_error_that_says_so(monkeypatch):
    monkeypatch.setattr(backends, "N_RETRIES", 0)
    with parallel_config(**LOKY), pytest.raises(ChildProcessError, match="killed 1 times over the same work"):
        list(one_by_one(lambda: os.kill(os.getpid(), signal.SIGKILL), [(), ()]))
