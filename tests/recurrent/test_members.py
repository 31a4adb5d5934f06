"""Members of an ensemble: made, run side by side, and pooled."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from sklearn import config_context, get_config
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from eventlstm import EventClassifier, LSTMClassifier
from eventlstm.recurrent.members import SUREST, make_members, mean_log_odds
from eventlstm.training.crew import crew, side_by_side
from eventlstm.training.threads import end_if_stopped


def test_members_are_clones_with_seeds_of_their_own():
    template = make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=3))
    members = make_members(template, 3, np.random.RandomState(0), verbose=0)
    seeds = {member[-1].random_state for member in members}
    assert len(seeds) == 3
    assert template[-1].random_state is None
    again = make_members(template, 3, np.random.RandomState(0), verbose=0)
    assert [m[-1].random_state for m in again] == [m[-1].random_state for m in members]
    (kept,) = make_members(template.set_params(randomforestclassifier__random_state=7), 1, None, verbose=0)
    assert kept[-1].random_state == 7


@pytest.mark.parametrize("n_jobs", [1, 2, 5, -1, None])
def test_results_come_in_the_order_of_the_members(n_jobs):
    def wait(member, item):
        time.sleep(0.01 * (3 - member))
        return member, item

    results = side_by_side(wait, n_jobs, [0, 1, 2, 3], iter("abab"))
    assert results == [(0, "a"), (1, "b"), (2, "a"), (3, "b")]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_crew_keeps_its_threads_and_the_caller_s_settings_from_call_to_call(n_jobs):
    def whereabouts(member):
        time.sleep(0.01)
        return threading.get_ident(), get_config()["assume_finite"]

    with config_context(assume_finite=True), crew(n_jobs, 3) as call:
        seen = [place for _ in range(5) for place in call(whereabouts, [0, 1, 2])]
    assert len({thread for thread, _ in seen}) == n_jobs
    assert all(finite for _, finite in seen)


@pytest.mark.parametrize(("n_jobs", "at_once"), [(1, 1), (2, 2), (4, 4), (5, 4)])
def test_crews_inside_a_crew_share_its_threads(n_jobs, at_once):
    lock, running, most = threading.Lock(), [], []
    all_here = threading.Barrier(at_once, timeout=60)  # fewer threads would never meet

    def work(member):
        with lock:
            running.append(member)
            most.append(len(running))
        all_here.wait()
        with lock:
            running.remove(member)
        return member

    def lead(leader):
        return side_by_side(work, 8, [f"{leader}{k}" for k in range(4)])

    results = side_by_side(lead, n_jobs, ["a", "b"])
    assert results == [["a0", "a1", "a2", "a3"], ["b0", "b1", "b2", "b3"]]
    assert max(most) <= n_jobs


def test_what_ends_a_crew_ends_those_inside_it():
    begun = threading.Event()

    def train(member):
        begun.set()
        for _ in range(1000):
            end_if_stopped()
            time.sleep(0.01)

    def lead(leader):
        if leader == "fails":
            assert begun.wait(timeout=60)
            raise ValueError("over")
        side_by_side(train, 2, ["a", "b"])

    start = time.perf_counter()
    with pytest.raises(ValueError, match="over"):
        side_by_side(lead, 4, ["fails", "trains"])
    assert time.perf_counter() - start < 5


def test_an_error_of_a_member_is_raised():
    def fail(member):
        raise ValueError(f"member {member}")

    with pytest.raises(ValueError, match="member 0"):
        side_by_side(fail, 2, [0, 1])


@pytest.fixture
def _signals_that_end_no_wait():
    """SIGINT as polars leaves it: system calls go on after it. In the background of a shell it would be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.siginterrupt(signal.SIGINT, False)
    yield
    signal.signal(signal.SIGINT, before)  # which sets the other back too


@pytest.mark.usefixtures("_signals_that_end_no_wait")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_interrupt_ends_all_members_at_once_and_the_next_fit_is_whole(n_jobs):
    X, y = np.random.default_rng(0).normal(size=(2000, 3)), np.arange(2000) % 50 == 0
    LSTMClassifier(max_epochs=1).fit(X[:, None], y)  # torch's first fit imports much, which must not be interrupted
    endless = EventClassifier(LSTMClassifier(hidden_size=4, max_epochs=100_000), n_jobs=n_jobs, random_state=0)
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        endless.fit(X, y)
    assert not hasattr(endless, "estimators_")
    short = endless.set_params(estimator__max_epochs=2).fit(X, y)
    assert [member.n_iter_ for member in short.estimators_] == [2] * 5


def test_the_pool_is_the_mean_of_log_odds():
    proba = np.random.default_rng(0).dirichlet([1, 1], size=(3, 20))
    log_odds = np.log(proba[..., 1] / proba[..., 0]).mean(axis=0)
    np.testing.assert_allclose(mean_log_odds(proba)[:, 1], 1 / (1 + np.exp(-log_odds)))
    np.testing.assert_array_equal(mean_log_odds(proba[:1]), proba[0])


def test_the_pool_counts_members_by_their_weight():
    proba = np.random.default_rng(0).dirichlet([1, 1], size=(3, 20))
    np.testing.assert_allclose(mean_log_odds(proba, np.array([2, 1, 0])), mean_log_odds(proba[[0, 0, 1]]))


def test_no_member_silences_the_others_with_an_exact_zero():
    proba = np.array([[[1.0, 0.0]], [[0.1, 0.9]], [[0.1, 0.9]]])
    (quiet, event), *_ = mean_log_odds(proba)
    expected = (SUREST * 0.9**2 / 0.1**2) ** (1 / 3)
    np.testing.assert_allclose(event / quiet, expected)


def test_pooled_probabilities_of_several_classes_sum_to_one():
    proba = np.random.default_rng(0).dirichlet([0.1, 0.1, 0.1], size=(4, 50))
    np.testing.assert_allclose(mean_log_odds(proba).sum(axis=1), 1.0)
    lanes = proba.reshape(4, 10, 5, 3)
    np.testing.assert_array_equal(mean_log_odds(lanes).reshape(50, 3), mean_log_odds(proba))
